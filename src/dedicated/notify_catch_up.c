/*
 * src/dedicated/notify_catch_up.c - lets clients wait until the listener has received all earlier notifications. See
 * notify_listener.h.
 *
 * Before each ReadyForQuery, PostgreSQL sends all notifications that are due, so the reply to a Sync proves that they
 * have arrived. At most one Sync is under way; clients that begin to wait in the meantime share the next Sync.
 *
 * PostgreSQL signals a NOTIFY to its listening backends one by one. So a backend that was not signaled yet may answer a
 * Sync without a notification that another backend has sent already. Therefore, if a client has got notifications on
 * another connection before, the listener sends a NOTIFY to itself in place of the Sync (notify_conn.c).
 */
#include "dedicated/notify_state.h"
#include "base/clock.h"

#define CATCH_UP_MAX_US US_PER_S

bool
notify_catch_up(struct notify_subscriber *subscriber)
{
	struct notify_listener *listener = subscriber->listener;
	const struct notify_command *asked;

	if (listener == NULL || !listener->is_up)
		return false;
	notify_cancel_catch_up(subscriber); /* the Sync for which the subscriber waits may have been sent too early */
	TAILQ_FOREACH(asked, &listener->commands, link)
		if (asked->kind == NC_CATCH_UP)
			break;
	if (asked == NULL)
		notify_conn_send(listener, NC_CATCH_UP);
	if (!listener->is_up)
		return false;
	subscriber->waiting_in = asked != NULL ? &listener->catching_next : &listener->catching;
	TAILQ_INSERT_TAIL(subscriber->waiting_in, subscriber, wait);
	return true;
}

bool
notify_catch_up_across_connections(struct notify_subscriber *subscriber)
{
	if (subscriber->listener != NULL)
		subscriber->listener->is_own_notify_due = true;
	return notify_catch_up(subscriber);
}

void
notify_cancel_catch_up(struct notify_subscriber *subscriber)
{
	if (subscriber->waiting_in != NULL)
		TAILQ_REMOVE(subscriber->waiting_in, subscriber, wait);
	subscriber->waiting_in = NULL;
}

static void
move_waits(struct notify_subscribers *from, struct notify_subscribers *to)
{
	struct notify_subscriber *subscriber;

	TAILQ_FOREACH(subscriber, from, wait)
		subscriber->waiting_in = to;
	TAILQ_CONCAT(to, from, wait);
}

/* If the NOTIFY has failed, calls `gap` of the subscribers that wait for its answer. Their wait ends even then, because
 * the ReadyForQuery after the error proves as much as the reply to a Sync. */
void
notify_on_caught_up(struct notify_listener *listener, const struct fail *why)
{
	struct notify_subscriber *subscriber;

	if (why != NULL)
		TAILQ_FOREACH(subscriber, &listener->catching, wait) {
			subscriber->ops->gap(subscriber, why);
			notify_set_flush_due(subscriber, true);
		}
	move_waits(&listener->catching, &listener->caught);
	move_waits(&listener->catching_next, &listener->catching);
	if (!TAILQ_EMPTY(&listener->catching))
		notify_conn_send(listener, NC_CATCH_UP);
}

void
notify_tell_caught_up(struct notify_listener *listener)
{
	struct notify_subscriber *subscriber;

	while ((subscriber = TAILQ_FIRST(&listener->caught)) != NULL) {
		notify_cancel_catch_up(subscriber);
		subscriber->ops->caught_up(subscriber);
	}
}

void
notify_end_catching(struct notify_listener *listener)
{
	move_waits(&listener->catching, &listener->caught);
	move_waits(&listener->catching_next, &listener->caught);
}

/* Ends all waits if the oldest command, of any kind, has had no answer for CATCH_UP_MAX_US. */
void
notify_give_up_catching(struct notify_listener *listener, uint64_t now_us)
{
	const struct notify_command *oldest = TAILQ_FIRST(&listener->commands);

	if (oldest == NULL || now_us - oldest->sent_us < CATCH_UP_MAX_US)
		return;
	notify_end_catching(listener);
	listener->is_delivery_due = true;
}
