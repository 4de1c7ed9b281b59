/* src/relay/resend_copy.c - reads copies of requests: which messages they have, and whether they may run twice; see
 * resend.h. */
#include "relay/resend.h"
#include "statements/statements.h"
#include "wire/fields.h"
#include "wire/frame.h"

#include <string.h>

/* how many messages of a copy may be read to find its Binds' statements; a copy that needs more is not relayed again */
#define FRAMES_READ_MAX 100000u

bool
resend_has_only_statements(const struct server *srv)
{
	const struct request_copy *copy = &srv->loan.sent.copy;
	struct frame f;
	size_t at = 0;

	while (resend_read_frame_at(copy, at, &f) && strchr("PDCHS", f.type) != NULL)
		at += FRAME_HEAD_LEN + (size_t)f.body_len;
	return at == copy->len && srv->loan.sent.state != SENT_CUT;
}

/* Returns true if the copy has one Parse and one Bind, and the Bind is of the statement `name`. */
static bool
runs_what_it_parses(const struct request_copy *copy, const char *name)
{
	const char *portal, *statement;
	size_t at = 0, names_len, parses = 0, binds = 0;
	struct frame f;

	for (; resend_read_frame_at(copy, at, &f); at += FRAME_HEAD_LEN + (size_t)f.body_len) {
		parses += f.type == 'P';
		if (f.type != 'B')
			continue;
		if (!fields_read_bind(copy->bytes + at + FRAME_HEAD_LEN, f.body_len, &portal, &statement, &names_len) ||
		    strcmp(statement, name) != 0)
			return false;
		binds++;
	}
	return parses == 1 && binds == 1;
}

const char *
resend_sql(const struct server *srv, size_t *len)
{
	const struct sent_copy *sent = &srv->loan.sent;
	const uint8_t *body = sent->copy.bytes + FRAME_HEAD_LEN;
	struct parse_fields parse;
	struct frame f;

	if (sent->state == SENT_CUT || !frame_parse_whole(sent->copy.bytes, sent->copy.len, &f) || f.body_len == 0)
		return NULL;
	if (f.type == 'P' && fields_read_parse(body, f.body_len, &parse)) {
		if (!runs_what_it_parses(&sent->copy, parse.name))
			return NULL;
		*len = parse.query_len;
		return (const char *)parse.rest;
	}
	*len = f.body_len - 1;
	return f.type == 'Q' ? (const char *)body : NULL;
}

/*
 * Returns true if a statement that begins with the word `first` may run twice, because it commits only once, at its
 * end. If the request was not begun, or its server is a standby, any statement may run twice but DEALLOCATE, whose
 * prepared statement pgweir has dropped already, so a second DEALLOCATE would fail.
 */
static bool
word_may_run_twice(const struct exchange *x, uint32_t first)
{
	if (x->srv == NULL || x->srv->loan.end == LOAN_REST_UNEXECUTED || exchange_can_leave_standby(x, x->srv))
		return first != WORD_DEALLOCATE;
	return traits_are_plannable(first) || first == WORD_BEGIN || first == WORD_START_TRANSACTION;
}

static bool
sql_may_run_twice(const struct exchange *x, const char *sql, size_t len)
{
	struct scan scan;

	scan_text(&scan, gucs_scan_options(x->gucs), sql, len);
	return word_may_run_twice(x, scan.first);
}

/*
 * Returns true if a Parse of the copy before `end` makes the statement `name`. The caller has checked that Parse.
 * (statements_find() does not find a statement before its Parse is answered.) Reads at most *frames_left messages, and
 * subtracts those that were read.
 */
static bool
is_parsed_before(const struct request_copy *copy, const uint8_t *end, const char *name, unsigned *frames_left)
{
	const uint8_t *p = copy->bytes;
	struct parse_fields parse;
	struct frame f;

	for (; *frames_left > 0 && p < end && frame_parse_whole(p, (size_t)(end - p), &f);
	     p += FRAME_HEAD_LEN + f.body_len, --*frames_left)
		if (f.type == 'P' && fields_read_parse(p + FRAME_HEAD_LEN, f.body_len, &parse) &&
		    strcmp(parse.name, name) == 0)
			return true;
	return false;
}

static bool
is_message_harmless(struct exchange *x, const struct request_copy *copy, const struct frame *f, const uint8_t *body,
		    unsigned *frames_left)
{
	struct parse_fields parse;
	const char *portal, *statement;
	struct statement *st;
	size_t names_len;

	switch (f->type) {
	case 'Q':
		return (x->srv == NULL || x->srv->loan.tag_text[0] == '\0') && f->body_len > 0 &&
		       sql_may_run_twice(x, (const char *)body, f->body_len - 1);
	case 'P':
		return fields_read_parse(body, f->body_len, &parse) &&
		       sql_may_run_twice(x, (const char *)parse.rest, parse.query_len);
	case 'B':
		if (!fields_read_bind(body, f->body_len, &portal, &statement, &names_len))
			return false;
		st = statements_find(x, statement);
		return st != NULL ? word_may_run_twice(x, statement_traits(st)->first)
				  : is_parsed_before(copy, body - FRAME_HEAD_LEN, statement, frames_left);
	case 'D':
	case 'E':
	case 'C':
	case 'H':
	case 'S':
		return true;
	default:
		return false; /* COPY, function calls */
	}
}

bool
resend_is_harmless(struct exchange *x, const struct request_copy *copy)
{
	unsigned frames_left = FRAMES_READ_MAX;
	size_t at = 0;
	bool has_bound = false, has_closed = false;
	struct frame f;

	for (; resend_read_frame_at(copy, at, &f); at += FRAME_HEAD_LEN + (size_t)f.body_len) {
		const uint8_t *body = copy->bytes + at + FRAME_HEAD_LEN;

		has_bound |= f.type == 'B';
		has_closed |= has_bound && f.type == 'C';
		/* After a Bind and a Close, a Parse might give another statement the name of the Bind's statement. */
		if (!is_message_harmless(x, copy, &f, body, &frames_left) ||
		    (has_closed && f.type == 'P' && body[0] != '\0'))
			return false;
	}
	return at > 0 && at == copy->len;
}

bool
resend_may_be_sent(struct exchange *x, const uint8_t *bytes, size_t len)
{
	struct request_copy copy = { .bytes = (uint8_t *)(uintptr_t)bytes };
	struct frame f;

	do {
		if (!frame_parse_whole(bytes + copy.len, len - copy.len, &f) ||
		    f.body_len > RESEND_MAX - FRAME_HEAD_LEN - copy.len)
			return false;
		copy.len += FRAME_HEAD_LEN + f.body_len;
	} while (f.type != 'Q' && f.type != 'S' && copy.len <= RESEND_MAX - FRAME_HEAD_LEN);
	return (f.type == 'Q' || f.type == 'S') && resend_is_harmless(x, &copy);
}
