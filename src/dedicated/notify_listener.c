#include "dedicated/notify_state.h"
#include "base/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TICK_US US_PER_S
#define LISTENER_LINGER_US (60 * US_PER_S)
#define ANSWER_MAX_US (10 * US_PER_S) /* a connection that owes an answer for longer is treated as lost */

static void on_timer(void *arg);

/* --- The listeners of a pool. --- */

static struct notify_listener *
new_listener(struct pool *pool, const char *encoding)
{
	size_t len = strlen(encoding);
	struct notify_listener *listener = calloc(1, sizeof(*listener) + len + 1);
	struct policy_counts counts;

	if (listener == NULL)
		return NULL;
	policy_get_counts(pool->policy, &counts);
	memcpy(listener->encoding, encoding, len);
	listener->pool = pool;
	listener->conn.ops = &notify_conn_ops;
	dedicated_fill_env(&listener->env, pool->set);
	listener->is_paused = counts.is_paused;
	listener->state_changed_us = notify_now(listener);
	if (getrandom(&listener->name_seed, sizeof(listener->name_seed), GRND_NONBLOCK) < 0)
		listener->name_seed = (uintptr_t)listener ^ notify_now(listener);
	listener->conn.random = pool_set_random(pool->set);
	TAILQ_INIT(&listener->subscribers);
	TAILQ_INIT(&listener->to_flush);
	TAILQ_INIT(&listener->catching);
	TAILQ_INIT(&listener->catching_next);
	TAILQ_INIT(&listener->caught);
	TAILQ_INIT(&listener->turns);
	TAILQ_INIT(&listener->leaving);
	TAILQ_INIT(&listener->answered);
	TAILQ_INIT(&listener->failed);
	TAILQ_INIT(&listener->commands);
	timer_init(&listener->timer, listener->env.base, listener->env.now_us, on_timer, listener);
	listener->next = pool->listeners;
	pool->listeners = listener;
	timer_start(&listener->timer, TICK_US);
	notify_conn_connect(listener);
	return listener;
}

static void
free_listener(struct notify_listener *listener)
{
	struct notify_listener **at;

	assert(TAILQ_EMPTY(&listener->subscribers) && listener->subscription_count == 0);
	listener->is_ending = true;
	dedicated_close(&listener->conn);
	timer_stop(&listener->timer);
	buf_fini(&listener->rewritten);
	while (listener->table != NULL)
		notify_channel_free(listener, listener->table);
	for (at = &listener->pool->listeners; *at != listener; at = &(*at)->next)
		;
	*at = listener->next;
	free(listener);
}

static void
end_listeners_and_asker(struct pool *pool)
{
	while (pool->listeners != NULL)
		free_listener(pool->listeners);
	if (pool->commit_asker != NULL)
		pool->commit_asker->ops->free(pool->commit_asker);
}

static void
listeners_renew(struct pool *pool)
{
	for (struct notify_listener *listener = pool->listeners; listener != NULL; listener = listener->next) {
		dedicated_close(&listener->conn);
		listener->conn.failures = 0;
		listener->conn.retry_us = notify_now(listener);
		timer_start(&listener->timer, 0);
	}
}

static void
listeners_step_aside(struct pool *pool)
{
	for (struct notify_listener *listener = pool->listeners; listener != NULL; listener = listener->next)
		if (listener->subscription_count == 0)
			dedicated_close(&listener->conn); /* the next client that joins makes it connect again */
}

static void
listeners_pause(struct pool *pool)
{
	for (struct notify_listener *listener = pool->listeners; listener != NULL; listener = listener->next) {
		listener->is_paused = true;
		dedicated_close(&listener->conn);
	}
}

static void
listeners_resume(struct pool *pool)
{
	for (struct notify_listener *listener = pool->listeners; listener != NULL; listener = listener->next)
		listener->is_paused = false;
	listeners_renew(pool);
}

const struct pool_dedicated_ops dedicated_pool_ops = { .one_client_ops = &dedicated_one_client_ops,
						       .renew = listeners_renew,
						       .step_aside = listeners_step_aside,
						       .pause = listeners_pause,
						       .resume = listeners_resume,
						       .end = end_listeners_and_asker };

/* --- Subscribers. --- */

static struct notify_listener *
find_listener(const struct pool *pool, const char *encoding)
{
	struct notify_listener *listener = pool->listeners;

	while (listener != NULL && strcmp(listener->encoding, encoding) != 0)
		listener = listener->next;
	return listener;
}

static void
attach(struct notify_listener *listener, struct notify_subscriber *subscriber, const struct notify_subscriber_ops *ops)
{
	assert(subscriber->listener == NULL && subscriber->waiting_in == NULL);
	subscriber->listener = listener;
	subscriber->ops = ops;
	TAILQ_INIT(&subscriber->due);
	TAILQ_INSERT_TAIL(&listener->subscribers, subscriber, all);
}

int
notify_attach(struct pool *pool, const char *encoding, struct notify_subscriber *subscriber,
	      const struct notify_subscriber_ops *ops)
{
	struct notify_listener *listener = find_listener(pool, encoding);

	if (listener == NULL && (listener = new_listener(pool, encoding)) == NULL)
		return -1;
	attach(listener, subscriber, ops);
	return 0;
}

bool
notify_attach_if_listening(struct pool *pool, const char *encoding, struct notify_subscriber *subscriber,
			   const struct notify_subscriber_ops *ops)
{
	struct notify_listener *listener = find_listener(pool, encoding);

	if (listener == NULL || !listener->is_up || listener->subscription_count == 0)
		return false;
	attach(listener, subscriber, ops);
	return true;
}

void
notify_detach(struct notify_subscriber *subscriber)
{
	struct notify_listener *listener = subscriber->listener;

	if (listener == NULL)
		return;
	assert(subscriber->subscriptions == 0 && TAILQ_EMPTY(&subscriber->due));
	notify_set_flush_due(subscriber, false);
	notify_cancel_catch_up(subscriber);
	TAILQ_REMOVE(&listener->subscribers, subscriber, all);
	subscriber->listener = NULL;
	subscriber->has_gap = false;
}

/* --- Timeouts. --- */

/* Ends a connection that is to an old primary, does not answer, or lacked memory. Pings it if it is idle. */
static void
check_connection(struct notify_listener *listener, uint64_t now_us)
{
	const struct notify_command *oldest = TAILQ_FIRST(&listener->commands);
	uint64_t interval = listener->pool->settings.ping_interval_us;
	struct fail why;

	if (listener->conn.srv == NULL || listener->conn.srv->state != SV_LENT)
		return;
	if (notify_conn_is_to_old_primary(listener)) {
		fail_set(&why, "08006", "the listening connection is not to the primary");
		server_fail(listener->conn.srv, &why);
	} else if (!listener->is_up || (oldest != NULL && now_us - oldest->sent_us > ANSWER_MAX_US)) {
		fail_set(&why, "08006", "%s",
			 listener->is_up ? "PostgreSQL does not answer on the listening connection"
					 : "out of memory for the listening connection");
		server_fail(listener->conn.srv, &why);
	} else if (oldest == NULL && interval > 0 && now_us - listener->heard_us >= interval)
		notify_conn_send(listener, NC_PING);
}

/* Makes all subscribers flush. This closes clients whose database is no longer configured, because their listener will
 * not connect again. */
static void
flush_all(struct notify_listener *listener)
{
	struct notify_subscriber *subscriber;

	TAILQ_FOREACH(subscriber, &listener->subscribers, all)
		notify_set_flush_due(subscriber, true);
	notify_listener_deliver(listener);
}

static void
on_timer(void *arg)
{
	struct notify_listener *listener = arg;
	uint64_t now_us = notify_now(listener), in_us = TICK_US;

	if (TAILQ_EMPTY(&listener->subscribers) && listener->subscription_count == 0 &&
	    now_us - listener->unused_since_us >= LISTENER_LINGER_US) {
		free_listener(listener);
		return;
	}
	check_connection(listener, now_us);
	notify_give_up_catching(listener, now_us);
	if (listener->pool->is_orphan)
		flush_all(listener);
	if (listener->is_delivery_due)
		notify_listener_deliver(listener);
	if (listener->conn.srv == NULL && now_us >= listener->conn.retry_us && listener->subscription_count > 0)
		notify_conn_connect(listener);
	if (listener->conn.srv == NULL && listener->conn.retry_us > now_us && listener->conn.retry_us - now_us < in_us)
		in_us = listener->conn.retry_us - now_us;
	if (listener->conn.srv == NULL && listener->subscription_count > 0 && in_us > NOTIFY_RECONNECT_MAX_US)
		in_us = NOTIFY_RECONNECT_MAX_US; /* a DROP DATABASE that holds the pool, or a PAUSE, may end soon */
	timer_start(&listener->timer, in_us);
	notify_drop_idle_channels(listener, now_us);
	notify_give_up_waiting(listener, now_us);
}

/* --- Counts for SHOW and metrics. --- */

void
notify_listeners_count(const struct pool *pool, struct notify_counts *out)
{
	struct notify_subscriber *subscriber;

	memset(out, 0, sizeof(*out));
	for (const struct notify_listener *listener = pool->listeners; listener != NULL; listener = listener->next) {
		out->connections += listener->conn.srv != NULL;
		TAILQ_FOREACH(subscriber, &listener->subscribers, all)
			out->subscribers += subscriber->subscriptions > 0;
		out->channels += HASH_COUNT(listener->table);
	}
}

struct server *
notify_listener_server(const struct notify_listener *listener)
{
	return listener->conn.srv;
}

struct notify_listener *
notify_listener_next(const struct notify_listener *listener)
{
	return listener->next;
}
