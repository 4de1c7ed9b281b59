/*
 * src/listen/queue.c - notifications on their way from the listener to the client.
 *
 * Notifications wait as whole messages until the client is between transactions and its socket takes them. Like
 * PostgreSQL, pgweir sends notifications that were committed before the end of a transaction ahead of the ReadyForQuery
 * that ends it. So pgweir withholds this ReadyForQuery until the listener has caught up, and returns the server.
 *
 * If more bytes than LISTEN_QUEUE_MAX wait for a client, they are discarded, and the client is sent an error and
 * closed. If possible (send_error_and_close_later()), its socket stays open for a moment after the error.
 */
#include "listen/listen_state.h"
#include "exchange/report.h"
#include "base/clock.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <assert.h>
#include <string.h>

#define CHUNK ((size_t)64 << 10) /* about how many bytes are sent at once */
#define READ_ERROR_US (10 * US_PER_S) /* the time that a client has to read the error before it is closed */

static struct client_listen *
listen_of(struct notify_subscriber *subscriber)
{
	return (struct client_listen *)((char *)subscriber - offsetof(struct client_listen, subscriber));
}

/* --- keeping --- */

static bool
check_room(struct client_listen *l, size_t len)
{
	assert(l->queue_at <= l->queue.len);
	if (l->queue.len - l->queue_at + l->uncommitted.len + len > LISTEN_QUEUE_MAX)
		l->is_overrun = true;
	return !l->is_overrun && l->x->state != CL_CLOSE_AFTER_FLUSH;
}

static void
queue_append(struct client_listen *l, const void *bytes, size_t len)
{
	if (l->queue_at > l->queue.len / 2) {
		buf_drop_front(&l->queue, l->queue_at);
		l->queue_at = 0;
	}
	buf_put(&l->queue, bytes, len);
	if (!buf_ok(&l->queue))
		l->is_overrun = true;
}

/* Returns true if the client listens to this channel, or may soon. */
static bool
is_wanted(const struct subscription *sub)
{
	return sub->is_active || sub->refs > 0 || sub->pending_change == KNOWN_LISTEN;
}

static void
on_notified(struct notify_subscription *at_listener, const uint8_t *message, size_t len)
{
	struct subscription *sub = (struct subscription *)at_listener;
	struct client_listen *l = sub->x->listen;

	if (!is_wanted(sub) || !check_room(l, len))
		return;
	if (sub->is_active && l->uncommitted.len == 0) {
		queue_append(l, message, len);
		return;
	}
	buf_put(&l->uncommitted, message, len);
	if (!buf_ok(&l->uncommitted))
		l->is_overrun = true;
}

typedef bool message_visitor(struct client_listen *l, const uint8_t *message, size_t len, void *arg);

/* Calls visit() for each message of b at or after `at`, and removes the messages for which visit() returns true. */
static void
filter(struct client_listen *l, struct buf *b, size_t at, message_visitor *visit, void *arg)
{
	size_t to = at;

	while (at < b->len) {
		size_t len = 1 + (size_t)wire_u32(b->bytes + at + 1);

		if (!visit(l, b->bytes + at, len, arg)) {
			memmove(b->bytes + to, b->bytes + at, len);
			to += len;
		}
		at += len;
	}
	b->len = to;
}

/* Returns the channel of a notification; NULL if the message is not a notification. */
static const char *
channel_of(const uint8_t *message)
{
	return message[0] == 'A' ? (const char *)message + FRAME_HEAD_LEN + 4 : NULL;
}

static bool
is_of_channel(struct client_listen *l, const uint8_t *message, size_t len, void *channel)
{
	const char *name = channel_of(message);

	return name != NULL && strcmp(name, channel) == 0;
}

void
listen_drop_notifications(struct client_listen *l, const char *channel)
{
	filter(l, &l->queue, l->queue_at, is_of_channel, (void *)(uintptr_t)channel);
	filter(l, &l->uncommitted, 0, is_of_channel, (void *)(uintptr_t)channel);
}

static bool
lacks_active_subscription(struct client_listen *l, const uint8_t *message, size_t len, void *arg)
{
	const struct subscription *sub = subscription_find(l, channel_of(message));

	return sub == NULL || !sub->is_active;
}

/* Returns true if the message was moved to the queue, or no subscription wants it any more. Returns false if it must
 * stay in `uncommitted`: *has_waiting then becomes true, and all later messages stay, so that none overtakes it. */
static bool
settle_uncommitted_message(struct client_listen *l, const uint8_t *message, size_t len, void *has_waiting)
{
	const struct subscription *sub = subscription_find(l, channel_of(message));

	if (sub == NULL || !is_wanted(sub))
		return true;
	if (!sub->is_active || *(bool *)has_waiting) {
		*(bool *)has_waiting = true;
		return false;
	}
	queue_append(l, message, len);
	return true;
}

void
listen_settle_uncommitted(struct client_listen *l)
{
	bool has_waiting = false;

	if (!l->is_recheck_due)
		return;
	l->is_recheck_due = false;
	filter(l, &l->uncommitted, 0, settle_uncommitted_message, &has_waiting);
	if (l->uncommitted.len == 0)
		buf_fini(&l->uncommitted);
}

static void
on_gap(struct notify_subscriber *subscriber, const struct fail *why)
{
	struct client_listen *l = listen_of(subscriber);
	struct buf b = { 0 };
	struct fail what;

	if (l->active_count == 0 || (why != NULL && l->x->reading != EXCHANGE_IN_TRANSFER))
		return;
	fail_set(&what, "01000", "notifications may have been lost");
	if (why != NULL)
		fail_detail(&what, "In a restart of pgweir, PostgreSQL refused a NOTIFY of its own: %s.", why->text);
	else
		fail_detail(&what, "The connection on which pgweir listens for its clients was lost, and is back.");
	fail_hint(&what, "Check whatever the notifications report on, as after a new LISTEN.");
	message_notice(&b, "WARNING", &what);
	if (buf_ok(&b) && check_room(l, b.len))
		queue_append(l, b.bytes, b.len);
	buf_fini(&b);
}

/* --- sending --- */

static bool
may_send(const struct exchange *x)
{
	const struct server *srv = x->srv;

	if (x->is_closing || x->reading == EXCHANGE_IN_TRANSFER || !exchange_is_relayed(x) ||
	    x->state == CL_READY_WITHHELD || x->state == CL_CLOSE_AFTER_FLUSH)
		return false;
	return srv == NULL ? x->block != EXCHANGE_BEGIN_DUE
			   : srv->ledger.count == 0 && srv->tx == 'I' && srv->is_synced && srv->ledger.body_left == 0;
}

static void
push_out(struct exchange *x)
{
	struct client_listen *l = x->listen;

	listen_settle_uncommitted(l);
	while (l->queue_at < l->queue.len && !stream_is_full(&x->stream) && !x->stream.is_broken) {
		struct buf chunk = { .bytes = l->queue.bytes + l->queue_at };
		size_t n;

		/* Takes whole messages until they have CHUNK bytes or more. */
		for (; l->queue_at < l->queue.len && chunk.len < CHUNK; l->queue_at += n, chunk.len += n)
			n = 1 + (size_t)wire_u32(l->queue.bytes + l->queue_at + 1);
		x->has_seen_primary = true;
		exchange_send(x, &chunk);
	}
	if (l->queue_at == l->queue.len) {
		buf_fini(&l->queue);
		l->queue_at = 0;
	}
}

static void
on_flush_timer(evutil_socket_t fd, short what, void *arg)
{
	struct exchange *x = arg;

	*x->env->now_us = clock_now_us();
	exchange_close(x, NULL);
}

/* Sends the error, and closes the client only after READ_ERROR_US, so that the client has time to read it. Returns
 * false if the caller must close the client at once, because a request is under way or waits, no bytes are queued for
 * the client's socket, or there is no memory. */
static bool
send_error_and_close_later(struct exchange *x, const struct fail *why)
{
	struct timeval tv = { READ_ERROR_US / US_PER_S, 0 };
	struct client_listen *l = x->listen;
	struct buf b = { 0 };

	if (x->srv != NULL || x->state == CL_IN_LINE || x->state == CL_CATCHING_UP ||
	    x->state == CL_AWAITING_LISTENER || stream_queued_len(&x->stream) == 0)
		return false;
	l->flush_timer = event_new(x->env->base, -1, 0, on_flush_timer, x);
	if (l->flush_timer == NULL || event_add(l->flush_timer, &tv) < 0)
		return false;
	exchange_step(x, CE_CLOSE_AFTER_FLUSH);
	stream_set_reading(&x->stream, false);
	message_error(&b, "FATAL", why);
	exchange_send(x, &b);
	buf_fini(&b);
	return true;
}

static void
close_overrun(struct exchange *x)
{
	struct client_listen *l = x->listen;
	struct fail why;

	if (x->state == CL_CLOSE_AFTER_FLUSH)
		return;
	buf_fini(&l->queue);
	l->queue_at = 0;
	fail_set(&why, "53400", "the client does not read its notifications: more than %zu bytes of them wait for it",
		 LISTEN_QUEUE_MAX);
	fail_hint(&why,
		  "Read the connection while it is idle, and end transactions soon: nothing is delivered within them.");
	report_count_error(x->pool, EO_PROXY, why.sqlstate);
	report_failure(x, &why, RF_LIMIT, "notify_queue");
	if (send_error_and_close_later(x, &why)) {
		log_warning(x->env->log, "client %llu is disconnected: %s", (unsigned long long)x->waiter.id, why.text);
		return;
	}
	if (x->srv != NULL && x->srv->ledger.count > 0)
		server_condemn(x->srv, SERVER_IN_DOUBT);
	exchange_close(x, &why);
}

bool
listen_flush(struct exchange *x)
{
	struct client_listen *l = x->listen;

	if (l == NULL || x->is_closing || x->reading == EXCHANGE_IN_TRANSFER)
		return !x->is_closing;
	/* frees subscriptions that only the rejected request wanted; a later request makes them anew if needed */
	if (x->state == CL_REJECTING)
		listen_sweep(l);
	if (l->is_overrun)
		close_overrun(x);
	else if (may_send(x))
		push_out(x);
	return !x->is_closing;
}

/* --- before ReadyForQuery --- */

bool
listen_withhold_ready(struct exchange *x)
{
	struct client_listen *l = x->listen;

	if (l->active_count == 0 && l->sending != SENDING_KNOWN_BY_PID)
		return false;
	/* If the client has already sent more requests, ReadyForQuery is not withheld, because the replies to those
	 * requests must not overtake it. */
	if (x->srv->ledger.count == 0 && x->pending_len == 0 && x->body_left == 0 && !x->is_in_relay &&
	    notify_catch_up(&l->subscriber)) {
		exchange_step(x, CE_WITHHOLD_READY);
		return true;
	}
	push_out(x);
	return false;
}

/* Sends the ReadyForQuery that was withheld, after the notifications that it waited for. */
static void
send_ready(struct exchange *x)
{
	struct buf b = { 0 };

	exchange_step(x, CE_LISTENER_ANSWERED);
	push_out(x);
	message_ready(&b, 'I');
	exchange_send(x, &b);
	buf_fini(&b);
}

void
listen_send_withheld_ready(struct exchange *x)
{
	if (x->state == CL_READY_WITHHELD)
		send_ready(x);
}

static void
on_caught_up(struct notify_subscriber *subscriber)
{
	struct client_listen *l = listen_of(subscriber);
	struct exchange *x = l->x;

	if (x->reading == EXCHANGE_IN_TRANSFER) {
		x->env->ops->takeover_progress(x);
		return;
	}
	if (listen_pid_on_caught_up(x))
		return;
	if (x->state == CL_AWAITING_LISTENER) {
		/* The client's message waits because it may commit a LISTEN; see begin_catch_up_if_due(). */
		filter(l, &l->uncommitted, 0, lacks_active_subscription, NULL);
		l->is_recheck_due = true;
		l->has_caught_up = true;
		listen_resume(x);
		return;
	}
	if (x->state == CL_READY_WITHHELD) {
		send_ready(x);
		if (l->is_overrun)
			close_overrun(x);
		if (x->state == CL_READY && !x->is_closing)
			listen_resume(x);
		if (x->is_closing)
			return;
	}
	x->env->ops->try_release(x);
}

static void
on_flush(struct notify_subscriber *subscriber)
{
	struct exchange *x = listen_of(subscriber)->x;

	if (listen_flush(x) && x->pool->is_orphan)
		x->env->ops->try_release(x);
}

const struct notify_subscriber_ops listen_subscriber_ops = { listen_answered, on_notified, on_gap, on_flush,
							     on_caught_up };

void
listen_queue_fini(struct client_listen *l)
{
	buf_fini(&l->queue);
	buf_fini(&l->uncommitted);
	l->queue_at = 0;
	if (l->flush_timer != NULL)
		event_free(l->flush_timer);
	l->flush_timer = NULL;
}
