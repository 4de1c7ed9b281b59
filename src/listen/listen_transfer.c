/* src/listen/listen_transfer.c - takes a client's subscriptions to another process of pgweir; see listen.h. */
#include "listen/listen_state.h"
#include "wire/frame.h"

#include <string.h>

static bool
settle_and_check(struct client_listen *l)
{
	listen_sweep(l);
	listen_settle_uncommitted(l);
	if (!TAILQ_EMPTY(&l->unsettled) || !TAILQ_EMPTY(&l->effects) || l->has_pending_change ||
	    l->sending != SENDING_NOT || l->subscriber.waiting_in != NULL || l->subscriber.is_flush_due ||
	    l->queue.len > l->queue_at || l->uncommitted.len > 0 || l->is_overrun)
		return false;
	for (const struct subscription *sub = l->table; sub != NULL; sub = sub->hh.next)
		if (!sub->is_active || sub->listener_state != LISTENER_LISTENS)
			return false;
	return true;
}

bool
listen_ties(const struct exchange *x, enum feature_tie to)
{
	return x->listen != NULL && (to == TIE_REQUEST || (to == TIE_PROCESS && !settle_and_check(x->listen)));
}

void
listen_each(const struct exchange *x, void (*row)(const char *channel, void *arg), void *arg)
{
	if (x->listen == NULL)
		return;
	for (const struct subscription *sub = x->listen->table; sub != NULL; sub = sub->hh.next)
		row(sub->name, arg);
}

int
listen_subscribe(struct exchange *x, const char *channel)
{
	struct subscription *sub = subscription_get_or_create(x, channel);

	if (sub == NULL)
		return -1;
	subscription_set_active(x->listen, sub, true);
	return 0;
}

bool
listen_is_confirmed(const struct exchange *x, bool *is_refused)
{
	bool is_confirmed = true;

	*is_refused = false;
	for (const struct subscription *sub = x->listen == NULL ? NULL : x->listen->table; sub != NULL;
	     sub = sub->hh.next) {
		*is_refused |= sub->listener_state == LISTENER_REFUSED;
		is_confirmed &= sub->listener_state == LISTENER_LISTENS;
	}
	return is_confirmed;
}

void
listen_transfer_catch_up(struct exchange *x)
{
	if (x->listen != NULL && x->listen->table != NULL)
		notify_catch_up_across_connections(&x->listen->subscriber);
}

bool
listen_transfer_waits(const struct exchange *x)
{
	return x->listen != NULL && x->listen->subscriber.waiting_in != NULL;
}

void
listen_drop_queue(struct exchange *x)
{
	if (x->listen == NULL)
		return;
	buf_fini(&x->listen->queue);
	x->listen->queue_at = 0;
}

const uint8_t *
listen_queued(const struct exchange *x, size_t *len)
{
	const struct client_listen *l = x->listen;

	*len = l == NULL ? 0 : l->queue.len - l->queue_at;
	return *len == 0 ? NULL : l->queue.bytes + l->queue_at;
}

/* Returns the position after the message at `at`, or SIZE_MAX if no whole message is there. */
static size_t
next_message(const uint8_t *bytes, size_t len, size_t at)
{
	size_t total = len - at < FRAME_HEAD_LEN ? SIZE_MAX : 1 + (size_t)wire_u32(bytes + at + 1);

	return total < FRAME_HEAD_LEN || total > len - at ? SIZE_MAX : at + total;
}

#define SENDER_AT FRAME_HEAD_LEN /* the position of the sender's PID in a notification */

/* Compares messages, but not senders' PIDs, which differ between pgweir's processes (sender_pid.c). */
static bool
are_same(const uint8_t *a, const uint8_t *b, size_t len)
{
	for (size_t at = 0, next; at < len; at = next) {
		size_t skipped = a[at] == 'A' ? SENDER_AT + 4 : 1;

		next = next_message(a, len, at);
		if (next - at < skipped || next_message(b, len, at) != next || a[at] != b[at] ||
		    memcmp(a + at + skipped, b + at + skipped, next - at - skipped) != 0)
			return false;
	}
	return true;
}

/*
 * Returns the length of the longest end of `earlier` that is the beginning of `later`. PostgreSQL sends notifications
 * to all listeners in one order, so those that both processes have got are the end of `earlier` and the beginning of
 * `later`. If that length is too long by chance, the client loses only repetitions of equal notifications.
 */
static size_t
find_overlap(const uint8_t *earlier, size_t earlier_len, const uint8_t *later, size_t later_len)
{
	for (size_t at = 0; at < earlier_len; at = next_message(earlier, earlier_len, at)) {
		size_t rest = earlier_len - at;

		if (rest <= later_len && are_same(earlier + at, later, rest))
			return rest;
	}
	return 0;
}

int
listen_join_queues(struct exchange *x, const uint8_t *bytes, size_t len)
{
	struct client_listen *l = x->listen;
	struct buf joined = { 0 };
	size_t later_len, at = 0, common;
	const uint8_t *later;

	if (l == NULL || len == 0)
		return 0;
	while (at < len && at != SIZE_MAX)
		at = next_message(bytes, len, at);
	if (at == SIZE_MAX)
		return -1;
	later = listen_queued(x, &later_len);
	common = later_len == 0 ? 0 : find_overlap(bytes, len, later, later_len);
	buf_put(&joined, bytes, len);
	if (later_len > 0)
		buf_put(&joined, later + common, later_len - common);
	if (!buf_ok(&joined)) {
		buf_fini(&joined);
		return -1;
	}
	buf_fini(&l->queue);
	l->queue = joined;
	l->queue_at = 0;
	return 0;
}
