/*
 * src/relay/loss.c - see loss.h.
 *
 * PostgreSQL says when it has not executed a request, and only its word counts. 57P01 (an administrator, a fast
 * shutdown) and 57P05 (idle_session_timeout) are sent as FATAL: the transaction is rolled back, and what was answered
 * before comes before them. A Query is committed before its CommandComplete, other requests are at their Sync. So if
 * neither was answered, nothing was committed, unless one statement commits several times (CALL, VACUUM, CREATE INDEX
 * CONCURRENTLY): therefore only statements that can't are relayed again. 25006 says
 * that a server which should be a primary is read-only now. When a link breaks without a word, everything is possible:
 * a crash may follow a commit at once, and what is between may lose answers.
 *
 * What was not begun at all (LOAN_UNBEGUN) may be relayed again whatever it is, and whatever on_outage says.
 *
 * A function may have had effects outside the database, or on sequences; these come twice. The copy is relayed again
 * once, or until it has run for a second: a shutdown ends one backend after the other, and the next one that a request
 * meets may be about to end, but a request that an administrator ends each time is given up. After 25006 it is relayed
 * again until a server is found that is none of the old primary's, as each costs one of those.
 */
#include "relay/loss.h"

#include "base/clock.h"
#include "pool/pool_target.h"
#include "relay/commit_check.h"
#include "relay/features.h"
#include "relay/relay.h"
#include "relay/resend.h"
#include "state/commit.h"
#include "state/pins.h"
#include "statements/statements.h"
#include "wire/fields.h"
#include "wire/frame.h"

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
	struct sent_copy *sent = &srv->loan.sent;

	if (srv->ledger.count > 0 || !srv->is_synced || srv->tx != 'I' || x->body_left > 0)
		return;
	sent->named_before = statements_named_count(x);
	if (sent->copy.len == 0)
		return;
	sent->copy.len = 0;
	sent->state = SENT_WHOLE;
	sent->is_later = true;
}

void
loss_keep_bytes(struct exchange *x, const uint8_t *from, size_t len)
{
	struct sent_copy *sent = &x->srv->loan.sent;

	if (sent->state != SENT_WHOLE || x->is_session || x->pins != 0 || x->srv->tx != 'I')
		return;
	if (!resend_add(&sent->copy, from, len, KEPT_MAX))
		sent->state = SENT_CUT;
}

/* --- may the copy be relayed again? --- */

/*
 * Returns true if a statement that begins so commits only when all of it is done, and its reply was sent. What was not
 * begun may be any, but for what the client has lost already.
 */
static bool
is_of_one_commit(const struct server *srv, uint32_t first)
{
	static const uint8_t words[] = { WORD_SELECT, WORD_INSERT, WORD_UPDATE, WORD_DELETE, WORD_MERGE,
					 WORD_WITH,   WORD_VALUES, WORD_TABLE,	WORD_BEGIN,  WORD_START_TRANSACTION };

	if (srv->loan.end == LOAN_UNBEGUN)
		return first != WORD_DEALLOCATE;
	return memchr(words, (int)first, sizeof(words)) != NULL;
}

static bool
is_sql_of_one_commit(const struct exchange *x, const char *sql, size_t len)
{
	struct scan scan;

	scan_text(&scan, image_scan_options(x->image), sql, len);
	return is_of_one_commit(x->srv, scan.first);
}

/*
 * Returns true if a message of the copy before this one makes the statement. The statement is harmless, as was seen
 * there; the client has lost it if its Parse was not answered. *looks: how many messages may be looked at.
 */
static bool
is_parsed_before(const struct request_copy *copy, const uint8_t *end, const char *name, unsigned *looks)
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
		if (st != NULL)
			return is_of_one_commit(x->srv, statement_verdict(st)->first);
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
 * A Bind that is relayed again looks its statement up by name. Returns true at a Parse that may take a name which was
 * bound and closed before. *step: 0 at first.
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
is_copy_harmless(struct exchange *x, const struct request_copy *copy)
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
 * Returns true if the client may have got something of the answer, or all of a request was answered, or something has
 * failed. Whatever is still in the outbox was not sent.
 */
static bool
is_shown(const struct exchange *x, const struct server *srv)
{
	const struct outbox *o = &x->env->to_client;
	size_t there = 0;

	if (srv->loan.sent.state == SENT_ANSWERED || x->env->done_count > 0 || srv->loan.undone == UNDONE_FAILED)
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
	const struct sent_copy *sent = &srv->loan.sent;

	return (x->state == CL_READY || x->state == CL_HELD) && !x->is_session && !x->is_in_relay &&
	       !features_tie(x, TIE_REQUEST) && srv->tx == 'I' && !is_shown(x, srv) && srv->borrower == x &&
	       sent->copy.len > 0 && sent->state != SENT_CUT && x->body_left == 0 &&
	       (!sent->is_later || !state_is_dirty(x));
}

bool
loss_of_primary(const struct exchange *x, const char *sqlstate)
{
	enum target_session_attrs target;
	const char *own;

	if (strcmp(sqlstate, "25006") != 0 || !exchange_is_ready(x) || x->image == NULL)
		return false;
	target = x->pool->target->upstream->target;
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
	return (x->state == CL_READY || x->state == CL_HELD || x->state == CL_READY_WITHHELD ||
		x->state == CL_AWAITING) &&
	       !x->is_session && !features_tie(x, TIE_SERVER) && srv->tx == 'I' && srv->is_synced &&
	       (x->body_left == 0 || x->is_body_dropped);
}

/* Returns true if the request may be relayed again, as PostgreSQL says that it has not executed it, or can't have. */
static bool
is_not_executed(struct exchange *x, const struct server *srv, const char *sqlstate)
{
	return sqlstate != NULL &&
	       (srv->loan.end == LOAN_UNBEGUN || (loss_is_held(x) && is_word_of_no_effect(x, sqlstate))) &&
	       may_once_more(x, srv, sqlstate) && has_whole_copy(x, srv) && is_copy_harmless(x, &srv->loan.sent.copy);
}

enum loss
loss_of(struct exchange *x, const struct server *srv, const char *sqlstate, bool is_owing)
{
	if (srv->loan.end == LOAN_NOT_EXECUTED) /* statements that were parsed with it are gone now */
		return LOSS_NOT_EXECUTED;
	if (is_owing && is_not_executed(x, srv, sqlstate))
		return LOSS_NOT_EXECUTED;
	if (commit_check_is_in_doubt(x, srv))
		return LOSS_OF_COMMIT;
	if (is_owing)
		return LOSS_IN_DOUBT;
	if (has_nothing(x, srv))
		return LOSS_OF_NOTHING;
	return commit_check_stays(x, srv) ? LOSS_ROLLED_BACK : LOSS_OF_TRANSACTION;
}

/* --- it is relayed again --- */

void
loss_take_back(struct exchange *x)
{
	if (x->env->to_client.to == &x->stream)
		outbox_drop(&x->env->to_client);
}

/* Forgets statements that the copy's Parses have made: relaying them again makes them again. */
static void
forget_statements(struct exchange *x, const struct sent_copy *sent)
{
	const struct request_copy *copy = &sent->copy;
	struct parse_fields parse;
	struct frame f;

	for (size_t at = 0; frame_parse(copy->bytes + at, copy->len - at, &f) == FRAME_OK;
	     at += FRAME_HEAD_LEN + (size_t)f.body_len)
		if (f.type == 'P' && fields_parse(copy->bytes + at + FRAME_HEAD_LEN, f.body_len, &parse) &&
		    parse.name[0] != '\0')
			statements_forget_since(x, parse.name, sent->named_before);
}

void
loss_replay(struct exchange *x, struct server *srv)
{
	struct exchange_rare *rare = exchange_rare(x);

	if (rare == NULL) {
		exchange_out_of_memory(x);
		return;
	}
	state_forget_request(x);
	forget_statements(x, &srv->loan.sent);
	if (x->state == CL_HELD)
		exchange_step(x, CE_ANSWERED);
	rare->replay_count = rare->replayed_request == x->requests_done + 1 ? rare->replay_count + 1 : 1;
	rare->replayed_request = x->requests_done + 1;
	x->pool->counters.replays++;
	log_debug(x->env->log, "client %llu: server %llu has not executed its request, which is relayed again",
		  (unsigned long long)x->ticket.id, (unsigned long long)srv->id);
	relay_unstall(x);
	/* The other idle ones may have been told to end, too. */
	policy_distrust(x->pool->policy, *x->env->now_us);
	resend_now(x, &srv->loan.sent.copy);
}
