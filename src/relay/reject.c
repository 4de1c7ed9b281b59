/*
 * src/relay/reject.c - a request that gets no server is answered with an error; the rest of it is dropped, and
 * ReadyForQuery follows where it would have (protocol chapter, "Extended Query": after an error everything up to Sync
 * is ignored). The client's connection stays open.
 */
#include "relay/relay.h"
#include "exchange/holder.h"
#include "exchange/report.h"
#include "statements/statements_crossing.h"
#include "statements/unnamed.h"

#include "config/compat.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <inttypes.h>
#include <string.h>

bool
reject_blame(const struct policy_ticket *t, uint64_t now_us, struct fail *why)
{
	const struct exchange *x = (const struct exchange *)((const char *)t - offsetof(struct exchange, ticket));
	const struct server *srv, *worst = NULL;
	uint64_t since_us, oldest_us = t->since_us;
	char remedy[HOLDER_REMEDY_MAX];

	TAILQ_FOREACH(srv, &x->pool->servers, all)
		if (srv->borrower != NULL && holder_is_stuck(srv, oldest_us, &since_us)) {
			worst = srv;
			oldest_us = since_us;
		}
	if (worst == NULL)
		return false;
	holder_remedy(worst, now_us, remedy, sizeof(remedy));
	fail_hint(why, "%s", remedy);
	return true;
}

void
reject_words(const struct exchange *x, const struct fail *why, struct fail *shown)
{
	compat_tell(x->env->config, why, shown);
	if (shown->detail[0] != '\0' && strcmp(why->sqlstate, "53300") == 0) {
		char detail[FAIL_TEXT_MAX];

		snprintf(detail, sizeof(detail), "%s", shown->detail);
		fail_detail(shown, "Database \"%s\", user \"%s\": %s", x->pool->database->name, x->pool->user, detail);
	}
}

static bool
ends_as_with_pgbouncer(const struct exchange *x, const struct fail *why, enum request_failure kind)
{
	return compat_does(x->env->config, COMPAT_ENDS_THE_UNSERVED) && kind == RF_BACKEND_UNREACHABLE &&
	       why->pgbouncer_text[0] != '\0' && strcmp(why->sqlstate, "57P03") != 0;
}

/* Sends the answer, and drops what is left of the request. unnamed: the statement that it has made, or NULL; taken. */
static void
answer_and_drop(struct exchange *x, struct buf *answer, struct statement *unnamed)
{
	uint8_t first = x->pending_len > 0 ? x->pending[0] : 'S';

	exchange_send(x, answer);
	buf_fini(answer);
	if (first == 'Q' || (first == 'P' && x->pending_len > FRAME_HEAD_LEN && x->pending[FRAME_HEAD_LEN] == 0))
		statements_forget_unnamed(x);
	if (unnamed != NULL && statements_take(x, &(struct statement_crossing){ .name = "", .st = unnamed }) < 0)
		exchange_out_of_memory(x);
	x->rejecting_to = first == 'Q' || first == 'F' ? 'Q' : 'S';
	if (!x->is_closing)
		exchange_replay(x, relay_bytes);
}

void
reject_request(struct exchange *x, const struct fail *why, enum request_failure kind)
{
	struct fail shown;
	struct buf b = { 0 };

	if (x->is_closing)
		return;
	if (x->block == EXCHANGE_DUE) {
		x->pool->database->counters.transactions[TE_LOST]++;
		exchange_set_block(x, EXCHANGE_FAILED);
	}
	reject_words(x, why, &shown);
	report_failure(x, &shown, kind, NULL);
	report_error(x->pool, EO_PROXY, shown.sqlstate);
	if (kind == RF_SHUTDOWN || x->pool->is_orphan || (x->env->is_draining && !x->env->is_gentle) ||
	    ends_as_with_pgbouncer(x, why, kind)) {
		exchange_close(x, &shown);
		return;
	}
	message_error(&b, "ERROR", &shown);
	answer_and_drop(x, &b, NULL);
}

void
reject_as_done(struct exchange *x, const char *tag)
{
	struct statement *unnamed = NULL;
	struct buf b = { 0 };
	struct frame f;

	for (size_t at = 0; frame_parse(x->pending + at, x->pending_len - at, &f) == FRAME_OK;
	     at += FRAME_HEAD_LEN + (size_t)f.body_len) {
		if (f.type == 'P') {
			unnamed = statements_plain_unnamed(x, x->pending + at + FRAME_HEAD_LEN, f.body_len);
			buf_put(&b, MESSAGE_BARE("1"));
		} else if (f.type == 'B')
			buf_put(&b, MESSAGE_BARE("2"));
		else if (f.type == 'D')
			buf_put(&b, MESSAGE_BARE("n"));
		else
			break;
	}
	message_complete(&b, tag);
	answer_and_drop(x, &b, unnamed);
}

size_t
reject_bytes(struct exchange *x, const uint8_t *bytes, size_t len)
{
	struct buf b = { 0 };
	struct fail why;
	struct frame f;
	size_t total, n;

	switch (frame_parse(bytes, len, &f)) {
	case FRAME_PARTIAL:
		return 0;
	case FRAME_BAD:
		fail_set(&why, "08P01", "invalid message length");
		exchange_close(x, &why);
		return len;
	case FRAME_OK:
		break;
	}
	total = FRAME_HEAD_LEN + (size_t)f.body_len;
	n = total < len ? total : len;
	x->body_left = (uint32_t)(total - n);
	x->is_body_dropped = true;
	if (x->rejecting_to == 'Q' || f.type == 'S') {
		exchange_step(x, CE_REJECTED);
		message_ready(&b, x->block >= EXCHANGE_ROLLED_BACK ? 'E' : 'I'); /* as far as its client knows */
		exchange_send(x, &b);
		buf_fini(&b);
		x->ticket.idle_since_us = *x->env->now_us;
	}
	return n;
}
