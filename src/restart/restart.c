#include "restart/restart_state.h"
#include "base/alloc.h"
#include "client/cancel.h"
#include "client/clients.h"
#include "restart/handover.h"
#include "wire/frame.h"

/* Takes the next step with clients on their way. Runs on worker 0 when a worker has posted the wake. */
static void
advance_clients(void *arg)
{
	struct restart *r = arg;

	restart_advance_arrivals(r);
	if (r->moving != NULL)
		moving_advance(r->moving);
}

struct restart *
restart_new(const struct restart_host *host)
{
	struct restart *r = xcalloc(1, sizeof(*r));

	r->host = *host;
	wake_init(&r->looking, host->main_env->inbox, advance_clients, r);
	r->parked = parked_new(&r->looking);
	return r;
}

void
restart_free(struct restart *r)
{
	restart_forget_predecessor(r);
	restart_forget_successor(r);
	if (r != NULL)
		parked_free(r->parked);
	free(r);
}

void
restart_tick(struct restart *r)
{
	restart_successor_tick(r);
	restart_predecessor_tick(r);
}

void
restart_on_stop(struct restart *r, enum shutdown_how how)
{
	const uint8_t byte = (uint8_t)how;

	restart_abandon_successor(r);
	r->end = RESTART_STOPS;
	restart_send_predecessor(r, HANDOVER_STOP, &byte, 1);
}

void
restart_on_end(struct restart *r)
{
	r->end = RESTART_ENDS;
}

bool
restart_stop_successor(struct restart *r, enum shutdown_how how)
{
	const uint8_t byte = (uint8_t)how;

	return restart_send_successor(r, HANDOVER_STOP, &byte, 1);
}

void
restart_client_gone(struct restart *r, const struct client *c)
{
	parked_forget(r->parked, c);
	restart_arrival_gone(r, c);
	if (r->moving == NULL)
		return;
	moving_client_gone(r->moving, c);
	restart_end_if_moved(r);
}

void
restart_client_released(struct restart *r, struct exchange *x)
{
	struct client *c = client_of(x);

	if (!c->is_staying && x->stream.tls == NULL)
		parked_add(r->parked, c);
}

/* Called when a pool's listener has answered for a client on its way, or has caught up for that client. */
void
restart_transfer_progress(struct restart *r)
{
	wake_post(&r->looking);
}

/*
 * --- Cancel requests. A request for a client that this process does not have is sent to the other process, which may
 * have the client. Either process may get a request for the other's client: a connection that the old process accepted
 * stays there, and its request may come after the client has moved. ---
 */

/* Sends a message to the other process. Returns false if there is no other process. */
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

	buf_put_u64(&b, asker->x.waiter.id);
	buf_put_u32(&b, pid);
	buf_put(&b, key, key_len);
	was_notified = buf_ok(&b) && tell_other(r, HANDOVER_CANCEL, &b);
	buf_fini(&b);
	if (was_notified)
		asker->is_staying = true; /* asker waits for the answer of the other process */
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
restart_on_cancel(struct restart *r, uint8_t type, const uint8_t *body, size_t len)
{
	struct client *asker;

	if (type == HANDOVER_CANCEL && len > 12)
		cancel_begin_far(r->host.main_env, wire_u64(body), wire_u32(body + 8), body + 12, len - 12);
	if (type != HANDOVER_CANCELLED || len != 8)
		return;
	asker = client_find_by_id(r->host.main_env, wire_u64(body));
	if (asker != NULL && asker->x.state == CL_CANCEL)
		cancel_end_forwarded(asker, true);
}

void
restart_end_forwarded_cancels(struct restart *r)
{
	struct client *c, *next;

	for (c = TAILQ_FIRST(&r->host.main_env->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		if (c->x.state == CL_CANCEL && c->is_staying)
			cancel_end_forwarded(c, false);
	}
}
