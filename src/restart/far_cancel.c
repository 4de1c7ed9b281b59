/*
 * src/restart/far_cancel.c - cancel requests during a restart: one for a client that this process does not have is
 * asked of the other one, which may have it. Either may get one for a client of the other's: a connection stays where
 * it was accepted, and its request may come late.
 */
#include "process/process_state.h"

#include "client/cancel.h"
#include "client/clients.h"
#include "restart/handover.h"

#include "wire/frame.h"

/* Returns false: there is no other process. */
static bool
tell_other(struct weir *w, uint8_t type, const struct buf *b)
{
	return weir_send_successor(w, type, b->bytes, b->len) || weir_send_predecessor(w, type, b->bytes, b->len);
}

bool
weir_strange_cancel(void *up, struct client *asker, uint32_t pid, const uint8_t *key, size_t key_len)
{
	struct buf b = { 0 };
	bool is_told;

	buf_put_u64(&b, asker->x.ticket.id);
	buf_put_u32(&b, pid);
	buf_put(&b, key, key_len);
	is_told = buf_ok(&b) && tell_other(up, HANDOVER_CANCEL, &b);
	buf_fini(&b);
	if (is_told)
		asker->is_staying = true; /* it waits for the answer from there */
	return is_told;
}

void
weir_far_cancel_over(void *up, uint64_t number)
{
	struct buf b = { 0 };

	buf_put_u64(&b, number);
	if (buf_ok(&b))
		tell_other(up, HANDOVER_CANCELLED, &b);
	buf_fini(&b);
}

void
weir_heard_cancel(struct weir *w, uint8_t type, const uint8_t *body, size_t len)
{
	struct client *asker;

	if (type == HANDOVER_CANCEL && len > 12)
		cancel_begin_far(&w->clients, wire_u64(body), wire_u32(body + 8), body + 12, len - 12);
	if (type != HANDOVER_CANCELLED || len != 8)
		return;
	asker = client_find_id(&w->clients, wire_u64(body));
	if (asker != NULL && asker->x.state == CL_CANCEL)
		cancel_over(asker, true);
}

void
weir_end_far_cancels(struct weir *w)
{
	struct client *c, *next;

	for (c = TAILQ_FIRST(&w->clients.clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		if (c->x.state == CL_CANCEL && c->is_staying)
			cancel_over(c, false);
	}
}
