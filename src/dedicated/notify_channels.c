/* src/dedicated/notify_channels.c - channels: LISTEN and its confirmation, notifications. See notify_listener.h. */
#include "dedicated/notify_state.h"
#include "base/clock.h"
#include "wire/frame.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A channel without subscriptions is kept for this time, because many clients soon come back. */
#define CHANNEL_LINGER_US (2 * US_PER_S)

static void
set_due(struct notify_listener *listener, struct notify_subscription *m, bool is_due)
{
	struct notify_subscriber *subscriber = m->subscriber;

	if (m->is_due == is_due)
		return;
	m->is_due = is_due;
	if (is_due && TAILQ_EMPTY(&subscriber->due))
		TAILQ_INSERT_TAIL(&listener->turns, subscriber, turn);
	if (is_due)
		TAILQ_INSERT_TAIL(&subscriber->due, m, due);
	else
		TAILQ_REMOVE(&subscriber->due, m, due);
	if (TAILQ_EMPTY(&subscriber->due))
		TAILQ_REMOVE(&listener->turns, subscriber, turn);
}

/* For all subscriptions that need the channel's next LISTEN, sets whether that LISTEN is due. */
static void
set_channel_due(struct notify_listener *listener, struct notify_channel *ch, bool is_due)
{
	struct notify_subscription *m;

	TAILQ_FOREACH(m, &ch->waiting, link)
		set_due(listener, m, is_due);
	if (!ch->is_listening)
		TAILQ_FOREACH(m, &ch->confirmed, link)
			set_due(listener, m, is_due);
}

void
notify_take_batch(struct notify_listener *listener, struct notify_channels *batch)
{
	struct notify_subscriber *subscriber;

	TAILQ_INIT(batch);
	for (unsigned i = 0; i < NOTIFY_BATCH_MAX && (subscriber = TAILQ_FIRST(&listener->turns)) != NULL; i++) {
		struct notify_channel *ch = TAILQ_FIRST(&subscriber->due)->channel;

		if (ch->is_alone && i > 0)
			return;
		TAILQ_REMOVE(&listener->turns, subscriber, turn);
		TAILQ_INSERT_TAIL(&listener->turns, subscriber, turn);
		assert(ch->step == NS_SETTLED);
		set_channel_due(listener, ch, false);
		ch->step = NS_SENT;
		TAILQ_INSERT_TAIL(batch, ch, link);
		if (ch->is_alone)
			return;
	}
}

/* Cancels the UNLISTEN of the channel if one is due. */
static void
stop_leaving(struct notify_listener *listener, struct notify_channel *ch)
{
	if (ch->step != NS_LEAVING)
		return;
	TAILQ_REMOVE(&listener->leaving, ch, link);
	ch->step = NS_SETTLED;
}

void
notify_channel_free(struct notify_listener *listener, struct notify_channel *ch)
{
	assert(ch->subscriptions == 0);
	HASH_DELETE(hh, listener->table, ch);
	stop_leaving(listener, ch);
	free(ch);
}

void
notify_set_flush_due(struct notify_subscriber *subscriber, bool is_flush_due)
{
	if (subscriber->is_flush_due == is_flush_due)
		return;
	subscriber->is_flush_due = is_flush_due;
	if (is_flush_due)
		TAILQ_INSERT_TAIL(&subscriber->listener->to_flush, subscriber, to_flush);
	else
		TAILQ_REMOVE(&subscriber->listener->to_flush, subscriber, to_flush);
}

static struct notify_channel *
channel_find(struct notify_listener *listener, const char *name)
{
	struct notify_channel *ch;

	TABLE_FIND(listener->name_seed, listener->table, name, strlen(name), ch);
	return ch;
}

static struct notify_channel *
channel_new(struct notify_listener *listener, const char *name)
{
	struct notify_channel *ch = TABLE_ADD_NEW(listener->name_seed, listener->table, name, name, strlen(name));

	if (ch == NULL)
		return NULL;
	TAILQ_INIT(&ch->late);
	TAILQ_INIT(&ch->waiting);
	TAILQ_INIT(&ch->confirmed);
	return ch;
}

/* Moves m to the list `to`, or out of all lists if `to` is NULL. */
static void
move_subscription(struct notify_listener *listener, struct notify_subscription *m, struct notify_subscriptions *to)
{
	set_due(listener, m, false);
	if (m->list != NULL)
		TAILQ_REMOVE(m->list, m, link);
	m->list = to;
	if ((to == &listener->failed || to == NULL) && m->channel != NULL) {
		assert(m->channel->subscriptions > 0);
		if (--m->channel->subscriptions == 0)
			m->channel->idle_since_us = notify_now(listener);
		m->channel = NULL; /* the channel may be freed before the callback */
	}
	if (to != NULL)
		TAILQ_INSERT_TAIL(to, m, link);
}

/* Makes LISTEN due even for a channel to which the listener listens already: the reply proves that all earlier
 * notifications have arrived, so the new subscription receives nothing older than its LISTEN. */
static void
wait_for_listen(struct notify_listener *listener, struct notify_subscription *m)
{
	bool is_late = m->channel->step == NS_SENT;

	move_subscription(listener, m, is_late ? &m->channel->late : &m->channel->waiting);
	set_due(listener, m, listener->is_up && !is_late);
}

int
notify_join(struct notify_subscriber *subscriber, struct notify_subscription *m, const char *name)
{
	struct notify_listener *listener = subscriber->listener;
	struct notify_channel *ch = channel_find(listener, name);

	if (ch == NULL && (ch = channel_new(listener, name)) == NULL)
		return -1;
	m->subscriber = subscriber;
	m->channel = ch;
	m->since_us = notify_now(listener);
	ch->subscriptions++;
	subscriber->subscriptions++;
	listener->subscription_count++;
	stop_leaving(listener, ch);
	wait_for_listen(listener, m);
	notify_conn_send_due(listener);
	if (listener->conn.srv == NULL) {
		uint64_t now_us = notify_now(listener);

		/* A client waits now, so the next attempt to connect comes soon; if the attempt was due already, it
		 * comes at once. */
		if (listener->conn.retry_us > now_us + NOTIFY_RECONNECT_MAX_US)
			listener->conn.retry_us = now_us + NOTIFY_RECONNECT_MAX_US;
		timer_start(&listener->timer, listener->conn.retry_us > now_us ? listener->conn.retry_us - now_us : 0);
	}
	return 0;
}

void
notify_leave(struct notify_subscription *m)
{
	if (m->list == NULL)
		return;
	move_subscription(m->subscriber->listener, m, NULL);
	assert(m->subscriber->subscriptions > 0 && m->subscriber->listener->subscription_count > 0);
	m->subscriber->subscriptions--;
	if (--m->subscriber->listener->subscription_count == 0)
		m->subscriber->listener->unused_since_us = notify_now(m->subscriber->listener);
}

/* --- Events of the connection. --- */

/* Returns the message; if it is from a server with notify_as (listen/sender_pid.c), a copy with that PID. */
static const uint8_t *
replace_sender_pid(struct notify_listener *listener, const uint8_t *message, size_t len)
{
	const struct server *srv;

	TAILQ_FOREACH(srv, &listener->pool->servers, all) {
		if (srv->loan.notify_listener != listener || srv->pid != wire_u32(message + FRAME_HEAD_LEN))
			continue;
		listener->rewritten.len = 0;
		buf_put(&listener->rewritten, message, len);
		if (!buf_ok(&listener->rewritten))
			break;
		wire_set_u32(listener->rewritten.bytes + FRAME_HEAD_LEN, srv->loan.notify_as);
		return listener->rewritten.bytes;
	}
	return message;
}

void
notify_listener_notified(struct notify_listener *listener, const char *name, const uint8_t *message, size_t len)
{
	struct notify_channel *ch = channel_find(listener, name);
	struct notify_subscription *m;

	if (ch == NULL)
		return;
	message = replace_sender_pid(listener, message, len);
	TAILQ_FOREACH(m, &ch->confirmed, link) {
		m->subscriber->ops->notified(m, message, len);
		notify_set_flush_due(m->subscriber, true);
		listener->pool->counters.notifications++;
	}
}

void
notify_listener_up(struct notify_listener *listener)
{
	bool has_gap = false;
	struct notify_subscriber *subscriber;

	for (struct notify_channel *ch = listener->table; ch != NULL; ch = ch->hh.next)
		set_channel_due(listener, ch, true);
	TAILQ_FOREACH(subscriber, &listener->subscribers, all)
		has_gap = has_gap || subscriber->has_gap;
	listener->is_gap_over_due = has_gap;
	notify_conn_send_due(listener);
	log_info(listener->env.log, "pool %s/%s: server %" PRIu64 " listens for %s", listener->pool->database->name,
		 listener->pool->user, listener->conn.srv->id,
		 base_format_count(HASH_COUNT(listener->table), "channel", "channels").text);
}

void
notify_listener_down(struct notify_listener *listener)
{
	struct notify_channel *ch, *next;
	struct notify_subscription *m;

	while ((m = TAILQ_FIRST(&listener->answered)) != NULL)
		move_subscription(listener, m, &m->channel->waiting);
	HASH_ITER(hh, listener->table, ch, next) {
		if (ch->subscriptions == 0) {
			notify_channel_free(listener, ch);
			continue;
		}
		ch->step = NS_SETTLED;
		ch->is_listening = false;
		while ((m = TAILQ_FIRST(&ch->late)) != NULL)
			move_subscription(listener, m, &ch->waiting); /* the next LISTEN counts for all of them */
		set_channel_due(listener, ch, false);
		TAILQ_FOREACH(m, &ch->confirmed, link)
			m->subscriber->has_gap = true;
	}
	notify_end_catching(listener);
	/* Delivers at the next tick, which comes at once, because no client may be called back from here. */
	listener->is_delivery_due = true;
}

/* Marks the channel's subscriptions as failed. tell_failed() calls them later, one by one, because each callback may
 * change any list. */
static void
fail_subscriptions(struct notify_listener *listener, struct notify_channel *ch, const struct fail *why)
{
	struct notify_subscription *m;

	listener->why_failed = *why;
	while ((m = TAILQ_FIRST(&ch->waiting)) != NULL || (m = TAILQ_FIRST(&ch->late)) != NULL ||
	       (m = TAILQ_FIRST(&ch->confirmed)) != NULL)
		move_subscription(listener, m, &listener->failed);
}

static void
tell_failed(struct notify_listener *listener)
{
	struct notify_subscription *m;

	while ((m = TAILQ_FIRST(&listener->failed)) != NULL) {
		struct fail why = listener->why_failed;

		notify_leave(m);
		m->subscriber->ops->listening(m, &why);
	}
}

/* is_fatal: PostgreSQL refuses the login, and will refuse it until its configuration is changed. is_known: the failure
 * is in the log already. */
void
notify_listener_failed(struct notify_listener *listener, bool is_fatal, bool is_known, const struct fail *why)
{
	log_event(listener->env.log, is_known ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING,
		  &(struct log_about){ .event = "server_login_failed",
				       .database = listener->pool->database->name,
				       .user = listener->pool->user,
				       .why = why },
		  "pool %s/%s: could not get a connection to listen: %s", listener->pool->database->name,
		  listener->pool->user, why->text);
	if (!is_fatal)
		return;
	for (struct notify_channel *ch = listener->table; ch != NULL; ch = ch->hh.next)
		/* a channel with confirmed subscriptions is left out: its LISTEN is retried on the next connection */
		if (TAILQ_EMPTY(&ch->confirmed))
			fail_subscriptions(listener, ch, why);
}

/* If a batch of several LISTENs has failed, retries each alone, because one of them may have caused the failure. */
static void
handle_batch_answer(struct notify_listener *listener, struct notify_command *command, const struct fail *why)
{
	bool is_one = TAILQ_FIRST(&command->channels) == TAILQ_LAST(&command->channels, notify_channels);
	struct notify_subscription *m;
	struct notify_channel *ch;

	listener->is_listen_sent = false;
	while ((ch = TAILQ_FIRST(&command->channels)) != NULL) {
		assert(ch->step == NS_SENT);
		TAILQ_REMOVE(&command->channels, ch, link);
		ch->step = NS_SETTLED;
		ch->is_alone = why != NULL;
		if (why != NULL && is_one) {
			ch->is_listening = false;
			fail_subscriptions(listener, ch, why);
		} else if (why != NULL)
			set_channel_due(listener, ch, true);
		else {
			ch->is_listening = true;
			while ((m = TAILQ_FIRST(&ch->waiting)) != NULL)
				move_subscription(listener, m, &listener->answered);
		}
		while ((m = TAILQ_FIRST(&ch->late)) != NULL)
			wait_for_listen(listener, m);
	}
	notify_conn_send_due(listener);
}

void
notify_listener_answered(struct notify_listener *listener, struct notify_command *command, const struct fail *why)
{
	struct notify_subscriber *subscriber;

	switch (command->kind) {
	case NC_LISTEN:
		handle_batch_answer(listener, command, why);
		return;
	case NC_GAP_OVER:
		TAILQ_FOREACH(subscriber, &listener->subscribers, all) {
			if (!subscriber->has_gap)
				continue;
			subscriber->has_gap = false;
			subscriber->ops->gap(subscriber, NULL);
			notify_set_flush_due(subscriber, true);
		}
		return;
	case NC_CATCH_UP:
		notify_on_caught_up(listener, why);
		return;
	case NC_UNLISTEN:
		listener->is_unlisten_sent = false;
		notify_conn_send_due(listener);
		/* fallthrough */
	case NC_SETTING: /* clients use this encoding already, so only a broken server refuses it */
		if (why != NULL)
			log_warning(listener->env.log, "pool %s/%s: the listening connection: %s",
				    listener->pool->database->name, listener->pool->user, why->text);
		return;
	case NC_PING:
		return;
	}
}

void
notify_listener_deliver(struct notify_listener *listener)
{
	struct notify_subscriber *subscriber;
	struct notify_subscription *m;

	listener->is_delivery_due = false;
	while ((subscriber = TAILQ_FIRST(&listener->to_flush)) != NULL) {
		notify_set_flush_due(subscriber, false);
		subscriber->ops->flush(subscriber);
	}
	while ((m = TAILQ_FIRST(&listener->answered)) != NULL) {
		move_subscription(listener, m, &m->channel->confirmed);
		m->subscriber->ops->listening(m, NULL);
	}
	tell_failed(listener);
	notify_tell_caught_up(listener);
}

/* --- Timeouts. --- */

/* Returns true if subscriptions may wait as long as outage_hold, as other requests do during an outage. ("Too many
 * connections" is no outage.) */
static bool
is_held(const struct notify_listener *listener)
{
	return listener->pool->settings.on_outage == OUTAGE_HOLD && !listener->is_up && !listener->is_paused &&
	       strcmp(listener->why_down.sqlstate, "53300") != 0;
}

/* The time limit begins with the LISTEN, or when the outage begins or ends. */
static bool
has_waited_too_long(const struct notify_listener *listener, const struct notify_subscription *m, uint64_t now_us)
{
	const struct scope_settings *s = &listener->pool->settings;
	uint64_t limit_us = is_held(listener) ? s->outage_hold_us : s->pool_timeout_us;
	uint64_t from_us = m->since_us;

	if (s->on_outage == OUTAGE_HOLD && listener->state_changed_us > from_us)
		from_us = listener->state_changed_us;
	return limit_us > 0 && now_us - from_us >= limit_us;
}

/* Gives up waiting even during a PAUSE: a client that waits within a transaction keeps its server, and PAUSE waits for
 * that server. */
void
notify_give_up_waiting(struct notify_listener *listener, uint64_t now_us)
{
	for (struct notify_channel *ch = listener->table; ch != NULL; ch = ch->hh.next) {
		struct notify_subscription *m;

		while (((m = TAILQ_FIRST(&ch->waiting)) != NULL || (m = TAILQ_FIRST(&ch->late)) != NULL) &&
		       has_waited_too_long(listener, m, now_us)) {
			const struct fail *down = &listener->why_down;

			if (listener->is_paused) {
				fail_set(
				    &listener->why_failed, "53300",
				    "could not get a connection to listen within pool_timeout: the pool is paused");
				fail_hint(&listener->why_failed, "RESUME it in the pgweir console.");
			} else
				fail_set(&listener->why_failed, down->sqlstate[0] != '\0' ? down->sqlstate : "08001",
					 "could not get a connection to listen within %s%s%s",
					 is_held(listener) ? "outage_hold" : "pool_timeout",
					 down->text[0] != '\0' ? ": " : "", down->text);
			move_subscription(listener, m, &listener->failed);
		}
	}
	tell_failed(listener);
}

void
notify_drop_idle_channels(struct notify_listener *listener, uint64_t now_us)
{
	struct notify_channel *ch, *next;

	HASH_ITER(hh, listener->table, ch, next) {
		if (ch->subscriptions > 0 || ch->step != NS_SETTLED || now_us - ch->idle_since_us < CHANNEL_LINGER_US)
			continue;
		if (ch->is_listening) {
			ch->step = NS_LEAVING;
			TAILQ_INSERT_TAIL(&listener->leaving, ch, link);
		} else
			notify_channel_free(listener, ch);
	}
	notify_conn_send_due(listener);
}
