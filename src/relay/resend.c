/* src/relay/resend.c - copies what was sent since the server last owed no reply, and sends it again; see resend.h. */
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

	if (srv->ledger.count > 0 || !(srv->is_synced || resend_has_only_statements(srv)) ||
	    !exchange_is_replayable(x, srv) || x->body_left > 0)
		return;
	sent->named_before = statements_last_name_number(x);
	sent->local_count = 0;
	srv->loan.clock.has_passed_reply = false;
	if (sent->copy.len == 0)
		return;
	sent->copy.len = 0;
	sent->state = SENT_WHOLE;
	sent->has_earlier_requests |= x->block != EXCHANGE_BEGUN; /* a BEGIN leaves nothing in the session */
}

void
resend_keep_bytes(struct exchange *x, const uint8_t *from, size_t len)
{
	struct sent_copy *sent = &x->srv->loan.sent;

	if (len > 0 && (sent->state != SENT_WHOLE || exchange_keeps_server(x) || !exchange_is_replayable(x, x->srv) ||
			!resend_add(&sent->copy, from, len, RESEND_MAX)))
		sent->state = SENT_CUT;
}

/* --- may it be relayed again? --- */

/* Returns true if the client may have got a part of the answer, or a whole request was answered, or something has
 * failed. Bytes that are still in the outbox were not sent. */
static bool
is_shown(const struct exchange *x, const struct server *srv)
{
	const struct outbox *o = &x->env->to_client;
	size_t there = 0;

	if (srv->loan.sent.state == SENT_ANSWERED || x->env->done_count > 0 || srv->loan.sqlstate[0] != '\0')
		return true;
	if (!srv->loan.clock.has_passed_reply)
		return false;
	for (int i = 0; o->to == &x->stream && i < o->count; i++)
		there += o->pieces[i].iov_len;
	return there == 0 ||
	       there != o->total; /* if all passed bytes are still in the outbox, the client was shown nothing */
}

bool
resend_is_possible(struct exchange *x, const struct server *srv)
{
	const struct sent_copy *sent = &srv->loan.sent;

	/* The client has nothing on this server but the request in the copy, and was shown nothing of the answer. */
	return (x->state == CL_READY || x->state == CL_HELD) && !x->is_session && !x->is_in_relay &&
	       exchange_is_replayable(x, srv) && !is_shown(x, srv) && srv->borrower == x && sent->copy.len > 0 &&
	       sent->state != SENT_CUT && x->body_left == 0 &&
	       (!sent->has_earlier_requests || !state_is_dirty(x, srv)) && resend_is_harmless(x, &sent->copy);
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
	exchange_handle_pending(x, relay_bytes);
	return exchange_has_server(x);
}

/* Forgets the statements that Parses of the copy have made, because the replay of the copy makes them again. */
static void
forget_statements(struct exchange *x, const struct sent_copy *sent)
{
	const struct request_copy *copy = &sent->copy;
	struct parse_fields parse;
	struct frame f;

	for (size_t at = 0; resend_read_frame_at(copy, at, &f); at += FRAME_HEAD_LEN + (size_t)f.body_len)
		if (f.type == 'P' && fields_read_parse(copy->bytes + at + FRAME_HEAD_LEN, f.body_len, &parse) &&
		    parse.name[0] != '\0')
			statements_forget_since(x, parse.name, sent->named_before);
}

/* Removes from the copy's beginning the messages that pgweir itself has answered, because the client has the
 * answers. */
static void
drop_answered(struct sent_copy *sent)
{
	struct request_copy *copy = &sent->copy;
	size_t at = 0;
	struct frame f;

	for (; sent->local_count > 0 && resend_read_frame_at(copy, at, &f); at += FRAME_HEAD_LEN + (size_t)f.body_len)
		if (f.type == 'P' || f.type == 'C')
			sent->local_count--;
	memmove(copy->bytes, copy->bytes + at, copy->len - at);
	copy->len -= (uint32_t)at;
}

bool
resend_unexecuted(struct exchange *x, struct server *srv)
{
	struct exchange_rare *rare = exchange_get_or_create_rare(x);

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
		rare->losses_at_first_replay = srv->env->losses == NULL ? 0 : srv->env->losses->total;
	}
	rare->replay_count++;
	x->pool->counters.replays++;
	log_debug(x->env->log, "client %llu: server %llu has not executed its request, which is relayed again",
		  (unsigned long long)x->waiter.id, (unsigned long long)srv->id);
	if (srv->loan.standby != 0)
		reads_note_loss(x, srv);
	else /* other idle servers may be ending, too */
		policy_distrust(x->pool->policy, *x->env->now_us);
	relay_mark_begin_due_again(x, srv);
	return resend_now(x, &srv->loan.sent.copy);
}
