/*
 * src/restart/far_cancel.c - cancel requests during a restart: one for a client that this process does not have is
 * asked of the other one, which may have it. Either may get one for a client of the other's: a connection stays where
 * it was accepted, and its request may come late.
 */
#include "restart/restart_state.h"

#include "client/cancel.h"
#include "client/clients.h"
#include "restart/handover.h"
#include "wire/frame.h"

/* Returns false if there is no other process. */
static bool
tell_other(struct restart *r, uint8_t type, const struct buf *b)
{
	return restart_send_successor(r, type, b->bytes, b->len) || restart_send_predecessor(r, type, b->bytes, b->len);
}

bool
restart_forward_cancel(struct restart *r, struct client *asker, uint32_t pid, const uint8_t *key, size_t key_len)
{
	struct buf b = { 0 };
	bool was_notified;

	buf_put_u64(&b, asker->x.ticket.id);
	buf_put_u32(&b, pid);
	buf_put(&b, key, key_len);
	was_notified = buf_ok(&b) && tell_other(r, HANDOVER_CANCEL, &b);
	buf_fini(&b);
	if (was_notified)
		asker->is_staying = true; /* it waits for the answer from there */
	return was_notified;
}

void
restart_cancel_over(struct restart *r, uint64_t number)
{
	struct buf b = { 0 };

	buf_put_u64(&b, number);
	if (buf_ok(&b))
		tell_other(r, HANDOVER_CANCELLED, &b);
	buf_fini(&b);
}

void
restart_heard_cancel(struct restart *r, uint8_t type, const uint8_t *body, size_t len)
{
	struct client *asker;

	if (type == HANDOVER_CANCEL && len > 12)
		cancel_begin_far(r->host.clients, wire_u64(body), wire_u32(body + 8), body + 12, len - 12);
	if (type != HANDOVER_CANCELLED || len != 8)
		return;
	asker = client_find_id(r->host.clients, wire_u64(body));
	if (asker != NULL && asker->x.state == CL_CANCEL)
		cancel_over(asker, true);
}

void
restart_end_far_cancels(struct restart *r)
{
	struct client *c, *next;

	for (c = TAILQ_FIRST(&r->host.clients->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		if (c->x.state == CL_CANCEL && c->is_staying)
			cancel_over(c, false);
	}
}
