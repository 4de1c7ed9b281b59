/*
 * src/relay/loss.c - see loss.h.
 *
 * PostgreSQL says when it has not executed a request, and only its word counts. 57P01 (an administrator, a fast
 * shutdown) and 57P05 (idle_session_timeout) are sent as FATAL: the transaction is rolled back, and what was answered
 * before comes before them. So if nothing was answered, nothing was committed, unless one statement commits several
 * times (CALL, VACUUM, CREATE INDEX CONCURRENTLY): therefore only statements that can't are relayed again. 25006 says
 * that a server which should be a primary is read-only now. When a link breaks without a word, everything is possible:
 * a crash may follow a commit at once.
 *
 * A function may have had effects outside the database, or on sequences; these come twice. The copy is relayed again
 * once, or until it has run for a second: a shutdown ends one backend after the other, and the next one that a request
 * meets may be about to end, but a request that an administrator ends each time is given up. After 25006 it is relayed
 * again until a server is found that is none of the old primary's, as each costs one of those.
 */
#include "relay/loss.h"

#include "base/clock.h"
#include "pool/pool_target.h"
#include "relay/relay.h"
#include "state/state.h"
#include "statements/statements.h"
#include "wire/fields.h"
#include "wire/frame.h"

#include <stdlib.h>
#include <string.h>

#define REPLAYS_MAX 100u
#define SOON_US US_PER_S /* how soon one must fail again to be relayed a second time */
#define LOOKS_MAX 100000u /* at messages of a copy, for what its Binds mean; then it is not relayed again */
#define KEPT_MAX 65536u /* bytes of a request; larger ones are not relayed again */

/* --- the copy --- */

void
loss_begin(struct exchange *x)
{
	struct server *srv = x->srv;
	struct sent_copy *copy = &srv->loan.sent;

	if (srv->ledger.count > 0 || !srv->is_synced || srv->tx != 'I' || x->body_left > 0)
		return;
	copy->named_before = statements_named_count(x);
	if (copy->len == 0)
		return;
	copy->len = 0;
	copy->is_cut = false;
	copy->is_later = true;
	srv->loan.is_shown = false;
}

static bool
reserve(struct sent_copy *copy, size_t more)
{
	uint32_t cap = copy->cap == 0 ? 512 : copy->cap;
	uint8_t *grown;

	if (more > KEPT_MAX - copy->len)
		return false;
	while (cap - copy->len < more)
		cap *= 2;
	if (cap == copy->cap)
		return true;
	grown = realloc(copy->bytes, cap);
	if (grown == NULL)
		return false;
	copy->bytes = grown;
	copy->cap = cap;
	return true;
}

void
loss_keep_bytes(struct exchange *x, const uint8_t *from, size_t len)
{
	struct sent_copy *copy = &x->srv->loan.sent;

	if (copy->is_cut || x->is_session || x->pins != 0 || x->srv->tx != 'I' || x->srv->loan.is_shown)
		return;
	if (!reserve(copy, len)) {
		copy->is_cut = true;
		return;
	}
	memcpy(copy->bytes + copy->len, from, len);
	copy->len += (uint32_t)len;
}

/* --- may it be relayed again? --- */

/* Returns true if a statement that begins so commits only when all of it is done, and its reply was sent. */
static bool
is_of_one_commit(enum sql_word first)
{
	switch (first) {
	case WORD_SELECT:
	case WORD_INSERT:
	case WORD_UPDATE:
	case WORD_DELETE:
	case WORD_MERGE:
	case WORD_WITH:
	case WORD_VALUES:
	case WORD_TABLE:
	case WORD_BEGIN:
	case WORD_START_TRANSACTION:
		return true;
	default:
		return false;
	}
}

static bool
is_sql_of_one_commit(const struct exchange *x, const char *sql, size_t len)
{
	struct sql_verdict v;
	struct scan scan;

	scan_text(&scan, image_scan_options(x->image), sql, len);
	verdict_of_scan(&v, &scan, sql, len);
	return is_of_one_commit((enum sql_word)v.first);
}

/* Returns true if a message of the copy before this one makes the statement. It is harmless, as was seen there; the
 * client has lost it, if its Parse was not answered. *looks: how many messages may be looked at. */
static bool
is_parsed_before(const struct sent_copy *copy, const uint8_t *end, const char *name, unsigned *looks)
{
	struct parse_fields parse;
	struct frame f;

	for (const uint8_t *p = copy->bytes; p<end && * looks> 0 && frame_parse(p, (size_t)(end - p), &f) == FRAME_OK;
	     p += FRAME_HEAD_LEN + (size_t)f.body_len, --*looks)
		if (f.type == 'P' && fields_parse(p + FRAME_HEAD_LEN, f.body_len, &parse) &&
		    strcmp(parse.name, name) == 0)
			return true;
	return false;
}

static bool
is_message_harmless(struct exchange *x, const struct sent_copy *copy, const struct frame *f, const uint8_t *body,
		    unsigned *looks)
{
	struct parse_fields parse;
	const char *portal, *statement;
	struct statement *st;
	size_t names_len;

	switch (f->type) {
	case 'Q':
		return f->body_len > 0 && is_sql_of_one_commit(x, (const char *)body, f->body_len - 1);
	case 'P':
		return fields_parse(body, f->body_len, &parse) &&
		       is_sql_of_one_commit(x, (const char *)parse.rest, parse.query_len);
	case 'B':
		if (!fields_bind(body, f->body_len, &portal, &statement, &names_len))
			return false;
		st = statements_called(x, statement);
		if (st != NULL)
			return is_of_one_commit((enum sql_word)statement_verdict(st)->first);
		return is_parsed_before(copy, body - FRAME_HEAD_LEN, statement, looks);
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

/*
 * What statement a Bind means is looked up when it is relayed again. Returns true at a Parse that may have taken the
 * name of a statement that was bound and closed before. *step: 0 at first.
 */
static bool
takes_name_again(uint8_t type, const uint8_t *body, int *step)
{
	if (type == 'B' && *step == 0)
		*step = 1;
	else if (type == 'C' && *step == 1)
		*step = 2;
	return type == 'P' && *step == 2 && body[0] != '\0';
}

static bool
is_copy_harmless(struct exchange *x, const struct sent_copy *copy)
{
	unsigned looks = LOOKS_MAX;
	size_t at = 0;
	int step = 0;

	while (at < copy->len) {
		struct frame f;

		if (frame_parse(copy->bytes + at, copy->len - at, &f) != FRAME_OK ||
		    copy->len - at < FRAME_HEAD_LEN + (size_t)f.body_len ||
		    !is_message_harmless(x, copy, &f, copy->bytes + at + FRAME_HEAD_LEN, &looks) ||
		    takes_name_again(f.type, copy->bytes + at + FRAME_HEAD_LEN, &step))
			return false;
		at += FRAME_HEAD_LEN + (size_t)f.body_len;
	}
	return at > 0;
}

/*
 * Returns true if the client may have got something of the answer. What is still in the outbox it has not; that may be
 * the beginning of rows, or that something was parsed and bound, but no CommandComplete and no error.
 */
static bool
is_shown(const struct exchange *x, const struct server *srv)
{
	const struct outbox *o = &x->env->to_client;
	size_t there = 0;

	if (srv->loan.is_shown || srv->loan.tag_text[0] != '\0' || srv->loan.has_failed)
		return true;
	if (!srv->loan.clock.has_passed)
		return false;
	for (int i = 0; o->to == &x->stream && i < o->count; i++)
		there += o->pieces[i].iov_len;
	return there == 0 || there != o->total; /* else nothing of the batch was sent early */
}

/* All that the client has on this server is the copy, and it was shown nothing of it. */
static bool
has_whole_copy(struct exchange *x, const struct server *srv)
{
	const struct sent_copy *copy = &srv->loan.sent;

	return loss_is_held(x) && (x->state == CL_READY || x->state == CL_HELD) && !x->is_session && x->pins == 0 &&
	       !x->is_in_relay && x->listen == NULL && exchange_exclusive(x) == NULL && srv->tx == 'I' &&
	       !is_shown(x, srv) && srv->borrower == x && copy->len > 0 && !copy->is_cut && x->body_left == 0 &&
	       !statements_are_exposed(x) && (!copy->is_later || !session_is_dirty(x));
}

bool
loss_of_primary(const struct exchange *x, const char *sqlstate)
{
	enum target_session_attrs target;
	const char *own;

	if (strcmp(sqlstate, "25006") != 0 || !exchange_is_ready(x) || x->image == NULL)
		return false;
	target = x->entry->target->upstream->target;
	own = image_get(x->image, "default_transaction_read_only");
	return (target == TARGET_READ_WRITE || target == TARGET_PRIMARY) && (own == NULL || strcmp(own, "on") != 0);
}

static bool
may_once_more(const struct exchange *x, const struct server *srv, const char *sqlstate)
{
	bool is_soon = sqlstate[0] == '2' || *x->env->now_us - srv->loan.lent_us < SOON_US;

	return x->rare == NULL || x->rare->replayed_request != x->requests_done + 1 ||
	       x->rare->replay_count < (is_soon ? REPLAYS_MAX : 1);
}

static bool
is_word_of_no_effect(const struct exchange *x, const char *sqlstate)
{
	return strcmp(sqlstate, "57P01") == 0 || strcmp(sqlstate, "57P05") == 0 || loss_of_primary(x, sqlstate);
}

/* Returns true if the server has nothing of the client's: no request, and no state that only this server has. */
static bool
has_nothing(const struct exchange *x, const struct server *srv)
{
	return (x->state == CL_READY || x->state == CL_HELD || x->state == CL_READY_DUE) && !x->is_session &&
	       x->pins == 0 && srv->tx == 'I' && srv->is_synced && (x->body_left == 0 || x->is_body_dropped) &&
	       !statements_hold_server(x) && !statements_are_exposed(x);
}

enum loss
loss_of(struct exchange *x, const struct server *srv, const char *sqlstate, bool is_owing)
{
	if (srv->loan.is_not_executed) /* statements that were parsed with it are gone now */
		return LOSS_NOT_EXECUTED;
	if (!is_owing)
		return has_nothing(x, srv) ? LOSS_OF_NOTHING : LOSS_OF_TRANSACTION;
	if (is_word_of_no_effect(x, sqlstate) && may_once_more(x, srv, sqlstate) && has_whole_copy(x, srv) &&
	    is_copy_harmless(x, &srv->loan.sent))
		return LOSS_NOT_EXECUTED;
	return LOSS_IN_DOUBT;
}

/* --- once more --- */

void
loss_take_back(struct exchange *x)
{
	if (x->env->to_client.to == &x->stream)
		outbox_drop(&x->env->to_client);
}

/* Those that its Parses have made: they will be parsed again. */
static void
forget_statements(struct exchange *x, const struct sent_copy *copy)
{
	struct parse_fields parse;
	struct frame f;

	for (size_t at = 0; frame_parse(copy->bytes + at, copy->len - at, &f) == FRAME_OK;
	     at += FRAME_HEAD_LEN + (size_t)f.body_len)
		if (f.type == 'P' && fields_parse(copy->bytes + at + FRAME_HEAD_LEN, f.body_len, &parse) &&
		    parse.name[0] != '\0')
			statements_forget_since(x, parse.name, copy->named_before);
}

static int
put_ahead(struct exchange *x, const struct sent_copy *copy)
{
	size_t len = (size_t)copy->len + x->pending_len;
	uint8_t *whole = len > UINT32_MAX ? NULL : malloc(len);

	if (whole == NULL)
		return -1;
	memcpy(whole, copy->bytes, copy->len);
	if (x->pending_len > 0)
		memcpy(whole + copy->len, x->pending, x->pending_len);
	exchange_free_input(x);
	x->pending = whole;
	x->pending_len = x->pending_cap = (uint32_t)len;
	return 0;
}

void
loss_replay(struct exchange *x, struct server *srv)
{
	struct exchange_rare *rare = exchange_rare(x);

	session_forget_request(x);
	forget_statements(x, &srv->loan.sent);
	session_stop_lingering(x);
	if (x->state == CL_HELD)
		client_step(x, CE_ANSWERED);
	if (put_ahead(x, &srv->loan.sent) < 0) {
		exchange_out_of_memory(x);
		return;
	}
	rare->replay_count = rare->replayed_request == x->requests_done + 1 ? rare->replay_count + 1 : 1;
	rare->replayed_request = x->requests_done + 1;
	x->entry->counters.replays++;
	log_debug(x->env->log, "client %llu: server %llu has not executed its request, which is relayed again",
		  (unsigned long long)x->ticket.id, (unsigned long long)srv->id);
	relay_unstall(x);
	stream_set_reading(&x->stream, true);
	/* The other idle ones may have been told to end, too. */
	pool_distrust(x->entry->policy, *x->env->now_us);
	exchange_replay(x, relay_bytes);
}
