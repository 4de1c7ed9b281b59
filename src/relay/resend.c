/* src/relay/resend.c - copies what a server was sent since nothing was owed, and relays that again: see resend.h. */
#include "relay/resend.h"
#include "relay/begin.h"
#include "relay/reads.h"
#include "relay/relay.h"
#include "state/state.h"
#include "wire/fields.h"
#include "wire/frame.h"

#include <stdlib.h>
#include <string.h>

#define COPY_MIN 512u
#define KEPT_MAX 65536u /* bytes of a request; larger requests are not relayed again */
/* limit of looks at messages of a copy to find its Binds' statements; a copy beyond it is not relayed again */
#define LOOKS_MAX 100000u

/* --- the copy --- */

__attribute__((noinline)) static bool
make_room(struct request_copy *copy, size_t len, uint32_t max)
{
	uint32_t cap = copy->cap == 0 ? COPY_MIN : copy->cap;
	uint8_t *grown;

	if (len > max - copy->len)
		return false;
	while (cap - copy->len < len)
		cap *= 2;
	grown = realloc(copy->bytes, cap);
	if (grown == NULL)
		return false;
	copy->bytes = grown;
	copy->cap = cap;
	return true;
}

bool
resend_add(struct request_copy *copy, const uint8_t *bytes, size_t len, uint32_t max)
{
	if (len >= copy->cap - copy->len && !make_room(copy, len, max)) /* cap is never more than max */
		return false;
	memcpy(copy->bytes + copy->len, bytes, len);
	copy->len += (uint32_t)len;
	return true;
}

void
resend_begin(struct exchange *x)
{
	struct server *srv = x->srv;
	struct sent_copy *sent = &srv->loan.sent;

	if (srv->ledger.count > 0 || !(srv->is_synced || resend_is_of_statements(srv)) ||
	    !exchange_is_at_rest(x, srv) || x->body_left > 0)
		return;
	sent->named_before = statements_named_count(x);
	sent->local_count = 0;
	srv->loan.clock.has_passed = false;
	if (sent->copy.len == 0)
		return;
	sent->copy.len = 0;
	sent->state = SENT_WHOLE;
	sent->is_later |= x->block != EXCHANGE_BEGUN; /* a BEGIN leaves nothing in the session */
}

void
resend_keep_bytes(struct exchange *x, const uint8_t *from, size_t len)
{
	struct sent_copy *sent = &x->srv->loan.sent;

	if (len > 0 && (sent->state != SENT_WHOLE || x->is_session || x->pins != 0 || !exchange_is_at_rest(x, x->srv) ||
			!resend_add(&sent->copy, from, len, KEPT_MAX)))
		sent->state = SENT_CUT;
}

/* Reads the message at offset at. Returns false at the end of the copy, which may have no bytes at all. */
static bool
frame_at(const struct request_copy *copy, size_t at, struct frame *f)
{
	return at < copy->len && frame_whole(copy->bytes + at, copy->len - at, f);
}

bool
resend_is_of_statements(const struct server *srv)
{
	const struct request_copy *copy = &srv->loan.sent.copy;
	struct frame f;
	size_t at = 0;

	while (frame_at(copy, at, &f) && strchr("PDCHS", f.type) != NULL)
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

	for (; frame_at(copy, at, &f); at += FRAME_HEAD_LEN + (size_t)f.body_len) {
		parses += f.type == 'P';
		if (f.type != 'B')
			continue;
		if (!fields_bind(copy->bytes + at + FRAME_HEAD_LEN, f.body_len, &portal, &statement, &names_len) ||
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

	if (sent->state == SENT_CUT || !frame_whole(sent->copy.bytes, sent->copy.len, &f) || f.body_len == 0)
		return NULL;
	if (f.type == 'P' && fields_parse(body, f.body_len, &parse)) {
		if (!runs_what_it_parses(&sent->copy, parse.name))
			return NULL;
		*len = parse.query_len;
		return (const char *)parse.rest;
	}
	*len = f.body_len - 1;
	return f.type == 'Q' ? (const char *)body : NULL;
}

/* --- may it be relayed again? --- */

/*
 * Returns true if a statement with this first word commits only when all of it is done, and its reply was sent. A
 * request that was not begun, or that a standby has, may be any, except one for statements that the client has lost
 * already.
 */
static bool
is_of_one_commit(const struct exchange *x, uint32_t first)
{
	if (x->srv->loan.end == LOAN_UNBEGUN || exchange_may_leave(x, x->srv))
		return first != WORD_DEALLOCATE;
	return traits_are_plannable(first) || first == WORD_BEGIN || first == WORD_START_TRANSACTION;
}

static bool
is_sql_of_one_commit(const struct exchange *x, const char *sql, size_t len)
{
	struct scan scan;

	scan_text(&scan, gucs_scan_options(x->gucs), sql, len);
	return is_of_one_commit(x, scan.first);
}

/*
 * Returns true if an earlier message of the copy makes the statement. The statement is harmless, which was checked at
 * that message; the client has lost the statement if its Parse was not answered. *looks: how many messages may be read.
 */
static bool
is_parsed_before(const struct request_copy *copy, const uint8_t *end, const char *name, unsigned *looks)
{
	const uint8_t *p = copy->bytes;
	struct parse_fields parse;
	struct frame f;

	for (; *looks > 0 && p < end && frame_whole(p, (size_t)(end - p), &f);
	     p += FRAME_HEAD_LEN + f.body_len, --*looks)
		if (f.type == 'P' && fields_parse(p + FRAME_HEAD_LEN, f.body_len, &parse) &&
		    strcmp(parse.name, name) == 0)
			return true;
	return false;
}

static bool
is_message_harmless(struct exchange *x, const struct request_copy *copy, const struct frame *f, const uint8_t *body,
		    unsigned *looks)
{
	struct parse_fields parse;
	const char *portal, *statement;
	struct statement *st;
	size_t names_len;

	switch (f->type) {
	case 'Q':
		return x->srv->loan.tag_text[0] == '\0' && f->body_len > 0 &&
		       is_sql_of_one_commit(x, (const char *)body, f->body_len - 1);
	case 'P':
		return fields_parse(body, f->body_len, &parse) &&
		       is_sql_of_one_commit(x, (const char *)parse.rest, parse.query_len);
	case 'B':
		if (!fields_bind(body, f->body_len, &portal, &statement, &names_len))
			return false;
		st = statements_called(x, statement);
		return st != NULL ? is_of_one_commit(x, statement_traits(st)->first)
				  : is_parsed_before(copy, body - FRAME_HEAD_LEN, statement, looks);
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

static bool
is_copy_harmless(struct exchange *x, const struct request_copy *copy)
{
	unsigned looks = LOOKS_MAX;
	size_t at = 0;
	bool has_bound = false, has_closed = false;
	struct frame f;

	for (; frame_at(copy, at, &f); at += FRAME_HEAD_LEN + (size_t)f.body_len) {
		const uint8_t *body = copy->bytes + at + FRAME_HEAD_LEN;

		has_bound |= f.type == 'B';
		has_closed |= has_bound && f.type == 'C';
		/* A Bind looks up its statement by name, so no later Parse may take that name again. */
		if (!is_message_harmless(x, copy, &f, body, &looks) || (has_closed && f.type == 'P' && body[0] != '\0'))
			return false;
	}
	return at > 0 && at == copy->len;
}

/*
 * Returns true if the client may have got a part of the answer, or a whole request was answered, or something has
 * failed. Bytes that are still in the outbox were not sent.
 */
static bool
is_shown(const struct exchange *x, const struct server *srv)
{
	const struct outbox *o = &x->env->to_client;
	size_t there = 0;

	if (srv->loan.sent.state == SENT_ANSWERED || x->env->done_count > 0 || srv->loan.sqlstate[0] != '\0')
		return true;
	if (!srv->loan.clock.has_passed)
		return false;
	for (int i = 0; o->to == &x->stream && i < o->count; i++)
		there += o->pieces[i].iov_len;
	return there == 0 || there != o->total; /* else nothing of the batch was sent early */
}

bool
resend_is_possible(struct exchange *x, const struct server *srv)
{
	const struct sent_copy *sent = &srv->loan.sent;

	/* The client has nothing on this server except the copy, and was shown nothing of its answer. */
	return (x->state == CL_READY || x->state == CL_HELD) && !x->is_session && !x->is_in_relay &&
	       exchange_is_at_rest(x, srv) && !is_shown(x, srv) && srv->borrower == x && sent->copy.len > 0 &&
	       sent->state != SENT_CUT && x->body_left == 0 && (!sent->is_later || !state_is_dirty(x, srv)) &&
	       is_copy_harmless(x, &sent->copy);
}

/* --- it is relayed again --- */

bool
resend_now(struct exchange *x, const struct request_copy *copy)
{
	size_t len = (size_t)copy->len + x->pending_len;
	uint8_t *whole = len > UINT32_MAX ? NULL : malloc(len);

	if (whole == NULL) {
		exchange_out_of_memory(x);
		return false;
	}
	memcpy(whole, copy->bytes, copy->len);
	if (x->pending_len > 0)
		memcpy(whole + copy->len, x->pending, x->pending_len);
	exchange_free_input(x);
	x->pending = whole;
	x->pending_len = x->pending_cap = (uint32_t)len;
	stream_set_reading(&x->stream, true);
	exchange_replay(x, relay_bytes);
	return exchange_has_server(x);
}

/* Forgets statements that the copy's Parses have made: relaying the copy makes them again. */
static void
forget_statements(struct exchange *x, const struct sent_copy *sent)
{
	const struct request_copy *copy = &sent->copy;
	struct parse_fields parse;
	struct frame f;

	for (size_t at = 0; frame_at(copy, at, &f); at += FRAME_HEAD_LEN + (size_t)f.body_len)
		if (f.type == 'P' && fields_parse(copy->bytes + at + FRAME_HEAD_LEN, f.body_len, &parse) &&
		    parse.name[0] != '\0')
			statements_forget_since(x, parse.name, sent->named_before);
}

/* Removes the messages that pgweir itself has answered from the beginning of the copy: the client has these
 * statements. */
static void
drop_answered(struct sent_copy *sent)
{
	struct request_copy *copy = &sent->copy;
	size_t at = 0;
	struct frame f;

	for (; sent->local_count > 0 && frame_at(copy, at, &f); at += FRAME_HEAD_LEN + (size_t)f.body_len)
		if (f.type == 'P' || f.type == 'C')
			sent->local_count--;
	memmove(copy->bytes, copy->bytes + at, copy->len - at);
	copy->len -= (uint32_t)at;
}

bool
resend_unexecuted(struct exchange *x, struct server *srv)
{
	struct exchange_rare *rare = exchange_rare(x);

	if (rare == NULL) {
		exchange_out_of_memory(x);
		return false;
	}
	state_forget_request(x);
	drop_answered(&srv->loan.sent);
	forget_statements(x, &srv->loan.sent);
	if (x->state == CL_HELD)
		exchange_step(x, CE_ANSWERED);
	if (rare->replayed_request != x->requests_done + 1) {
		rare->replayed_request = x->requests_done + 1;
		rare->replay_count = 0;
		rare->losses_then = srv->env->losses == NULL ? 0 : srv->env->losses->total;
	}
	rare->replay_count++;
	x->pool->counters.replays++;
	log_debug(x->env->log, "client %llu: server %llu has not executed its request, which is relayed again",
		  (unsigned long long)x->waiter.id, (unsigned long long)srv->id);
	if (srv->loan.standby != 0)
		reads_lost(x, srv);
	else /* the other idle servers may have been told to end, too */
		policy_distrust(x->pool->policy, *x->env->now_us);
	begin_again(x, srv);
	return resend_now(x, &srv->loan.sent.copy);
}
