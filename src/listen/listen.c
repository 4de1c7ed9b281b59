#include "listen/listen_state.h"
#include "exchange/report.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <string.h>

/* --- waiting for the listener --- */

void
listen_resume(struct exchange *x)
{
	x->listen->awaited = NULL;
	if (x->state == CL_AWAITING_LISTENER)
		exchange_step(x, CE_LISTENER_ANSWERED);
	if (x->reading != EXCHANGE_STALLED)
		stream_set_reading(&x->stream, true);
	if (x->pending_len > 0)
		exchange_handle_pending(x, x->env->ops->handle_bytes);
}

void
listen_answered(struct notify_subscription *at_listener, const struct fail *why)
{
	struct subscription *sub = (struct subscription *)at_listener;
	struct exchange *x = sub->x;
	struct client_listen *l = x->listen;

	if (why != NULL)
		subscription_set_refused(sub, why);
	else if (sub->listener_state == LISTENER_ASKED)
		sub->listener_state = LISTENER_LISTENS;
	if (x->reading == EXCHANGE_IN_TRANSFER) {
		x->env->ops->takeover_progress(x);
		return;
	}
	if (why != NULL && sub->is_active)
		subscription_close_client(x, sub);
	if (!x->is_closing && x->state == CL_AWAITING_LISTENER && l->awaited == sub)
		listen_resume(x);
}

void
listen_cancel(struct exchange *x)
{
	struct client_listen *l = x->listen;
	struct fail why;

	if (x->state != CL_AWAITING_LISTENER || l->awaited == NULL)
		return;
	fail_set(&why, "57014", "canceling statement due to user request");
	notify_leave(&l->awaited->at_listener);
	subscription_set_refused(l->awaited, &why);
	listen_resume(x);
}

/* --- replies --- */

/* Returns how many of the client's requests will be answered before the request of e; 0 if e's request is answered
 * next. Returns a negative number if e's request was answered or skipped. */
static int32_t
count_requests_ahead(const struct exchange *x, const struct listen_effect *e)
{
	return (int32_t)(e->request_number - x->srv->ledger.requests_gone);
}

/* Returns the effect that the next CommandComplete may be for, or NULL. */
static struct listen_effect *
next_effect(const struct exchange *x)
{
	struct listen_effect *e = TAILQ_FIRST(&x->listen->effects);

	return e == NULL || count_requests_ahead(x, e) != 0 || e->is_refused ? NULL : e;
}

static bool
handle_listen_or_unlisten(struct exchange *x)
{
	struct client_listen *l = x->listen;
	struct listen_effect *e = next_effect(x);
	struct buf b = { 0 };
	struct subscription *sub;
	bool is_listen;

	if (e == NULL || (e->kind != KNOWN_LISTEN && e->kind != KNOWN_UNLISTEN && e->kind != KNOWN_UNLISTEN_ALL))
		return false; /* no effect was recorded: the SQL was not examined, or could change nothing */
	is_listen = e->kind == KNOWN_LISTEN;
	sub = e->kind == KNOWN_LISTEN ? e->sub : subscription_find(l, e->name);
	if (e->kind == KNOWN_UNLISTEN_ALL)
		listen_note_unlisten_all(l);
	else if (sub != NULL)
		subscription_note_change(l, sub, (enum known_kind)e->kind);
	listen_end_effect(l, e);
	if (!is_listen)
		return false;
	message_complete(&b, "LISTEN");
	exchange_answer_buf(x, &b);
	return true;
}

/* Ends the next effect, and returns true, if that effect is of this kind. */
static bool
take_effect(struct exchange *x, enum known_kind kind)
{
	struct listen_effect *e = next_effect(x);

	if (e == NULL || e->kind != kind)
		return false;
	listen_end_effect(x->listen, e);
	return true;
}

bool
listen_take_complete(struct exchange *x, struct tag tag)
{
	struct client_listen *l = x->listen;

	if (l == NULL)
		return false;
	switch ((enum tag_id)tag.id) {
	case TAG_UNLISTEN:
		return handle_listen_or_unlisten(x);
	case TAG_COMMIT:
		take_effect(x, KNOWN_END);
		exchange_ignore_result(listen_commit(x));
		break;
	case TAG_ROLLBACK: /* COMMIT of a failed transaction has this tag, too */
		if (take_effect(x, KNOWN_ROLLBACK_TO)) {
			listen_roll_back_to_savepoint(l);
			break;
		}
		/* fall through */
	case TAG_PREPARE_TRANSACTION:
		take_effect(x, KNOWN_END);
		listen_roll_back(l);
		break;
	case TAG_DISCARD_ALL:
		listen_note_unlisten_all(l);
		break;
	default:
		break;
	}
	return false;
}

bool
listen_take_error(struct exchange *x, const struct error_fields *e)
{
	struct client_listen *l = x->listen;
	const struct listen_effect *effect;
	struct buf b = { 0 };

	if (l == NULL)
		return false;
	l->has_error = true;
	effect = TAILQ_FIRST(&l->effects);
	/* The number may be negative, because the ledger also counts the skipped requests after the failed one. */
	if (effect == NULL || count_requests_ahead(x, effect) > 0 || !effect->is_refused || effect->sub->why == NULL ||
	    e->message == NULL || strstr(e->message, "\"" LISTEN_REFUSED "\"") == NULL)
		return false;
	report_count_error(x->pool, EO_PROXY, effect->sub->why->sqlstate);
	message_error(&b, "ERROR", effect->sub->why);
	exchange_answer_buf(x, &b);
	return true;
}

/* Not inlined, so that listen_request_done() stays a mere check, which is inlined. */
__attribute__((noinline)) static bool
end_request(struct exchange *x)
{
	struct client_listen *l = x->listen;
	struct listen_effect *e, *next;

	for (e = TAILQ_FIRST(&l->effects); e != NULL; e = next) {
		next = TAILQ_NEXT(e, link);
		if (count_requests_ahead(x, e) < 0)
			listen_end_effect(l, e); /* the effect's statement failed, or was skipped */
	}
	l->has_caught_up = false;
	if (x->srv->tx != 'I') {
		l->has_error = false;
		return false;
	}
	if (l->has_error)
		listen_roll_back(l);
	else if (!listen_commit(x))
		return false;
	l->has_error = false;
	if (x->srv->ledger.count == 0) {
		listen_drop_portals(l);
		listen_sweep(l);
	}
	return listen_withhold_ready(x);
}

bool
listen_request_done(struct exchange *x)
{
	return x->listen != NULL && end_request(x);
}

/* In transaction mode, the borrowed server sends notifications after an unchanged LISTEN, or listen_before_sql(). */
bool
listen_notification(struct exchange *x, const uint8_t *message, size_t len)
{
	const uint8_t *channel = message + FRAME_HEAD_LEN + 4;
	const struct subscription *sub = NULL;
	struct buf b = { 0 };

	if (len <= FRAME_HEAD_LEN + 4 || memchr(channel, 0, len - FRAME_HEAD_LEN - 4) == NULL)
		return false;
	if (x->listen != NULL)
		sub = subscription_find(x->listen, (const char *)channel);
	if (sub != NULL && sub->is_active && sub->listener_state == LISTENER_LISTENS)
		return true; /* the listener delivers the notification */
	if (wire_u32(message + FRAME_HEAD_LEN) != x->srv->pid)
		return false;
	/* The client's own notification gets the PID that the client knows as its own. */
	buf_put(&b, message, len);
	if (buf_ok(&b))
		wire_set_u32(b.bytes + FRAME_HEAD_LEN, x->client_pid);
	exchange_answer_buf(x, &b);
	return true;
}
