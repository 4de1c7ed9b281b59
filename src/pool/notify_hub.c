/* src/pool/notify_hub.c - the hubs of a pool, their ears, and time. See notify_hub.h. */
#include "base/alloc.h"
#include "pool/notify_state.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TICK_US US_PER_S
#define HUB_LINGER_US (60 * US_PER_S)
#define ANSWER_MAX_US (10 * US_PER_S) /* a connection that owes an answer for longer is as good as lost */

static uint64_t
now_of(const struct notify_hub *hub)
{
	return *hub->env.now_us;
}

/* --- the hubs of a pool --- */

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct notify_hub *hub = arg;

	(void)fd;
	(void)what;
	*hub->env.now_us = clock_now_us();
	notify_hub_tick(hub, now_of(hub));
}

static struct notify_hub *
hub_new(struct pool_entry *entry, const char *encoding)
{
	size_t len = strlen(encoding);
	struct notify_hub *hub = xcalloc(1, sizeof(*hub) + len + 1);

	memcpy(hub->encoding, encoding, len);
	hub->entry = entry;
	hub->link.ops = &notify_link_ops;
	dedicated_env(&hub->env, entry->set);
	hub->is_paused = pool_is_paused(entry->policy);
	if (getrandom(&hub->seed_of_names, sizeof(hub->seed_of_names), GRND_NONBLOCK) < 0)
		hub->seed_of_names = (uintptr_t)hub ^ now_of(hub);
	hub->random = hub->seed_of_names;
	TAILQ_INIT(&hub->ears);
	TAILQ_INIT(&hub->dirty);
	TAILQ_INIT(&hub->catching);
	TAILQ_INIT(&hub->catching_next);
	TAILQ_INIT(&hub->caught);
	TAILQ_INIT(&hub->answered);
	TAILQ_INIT(&hub->failed);
	TAILQ_INIT(&hub->commands);
	event_assign(&hub->timer, hub->env.base, -1, 0, on_timer, hub);
	hub->next = entry->hubs;
	entry->hubs = hub;
	notify_link_timer(hub, TICK_US);
	notify_link_connect(hub);
	return hub;
}

static void
hub_free(struct notify_hub *hub)
{
	struct notify_hub **at;

	hub->is_ending = true;
	notify_link_close(hub);
	event_del(&hub->timer);
	buf_fini(&hub->rewritten);
	while (hub->table != NULL)
		notify_channel_free(hub, hub->table);
	for (at = &hub->entry->hubs; *at != hub; at = &(*at)->next)
		;
	*at = hub->next;
	free(hub);
}

void
notify_hubs_free(struct pool_entry *entry)
{
	while (entry->hubs != NULL)
		hub_free(entry->hubs);
}

void
notify_hubs_renew(struct pool_entry *entry)
{
	for (struct notify_hub *hub = entry->hubs; hub != NULL; hub = hub->next) {
		notify_link_close(hub);
		hub->failures = 0;
		hub->retry_us = now_of(hub);
		notify_link_timer(hub, 0);
	}
}

void
notify_hubs_step_aside(struct pool_entry *entry)
{
	for (struct notify_hub *hub = entry->hubs; hub != NULL; hub = hub->next)
		if (hub->member_count == 0)
			notify_link_close(hub); /* and it stays so until somebody joins */
}

void
notify_hubs_pause(struct pool_entry *entry)
{
	for (struct notify_hub *hub = entry->hubs; hub != NULL; hub = hub->next) {
		hub->is_paused = true;
		notify_link_close(hub);
	}
}

void
notify_hubs_resume(struct pool_entry *entry)
{
	for (struct notify_hub *hub = entry->hubs; hub != NULL; hub = hub->next)
		hub->is_paused = false;
	notify_hubs_renew(entry);
}

/* --- ears --- */

static struct notify_hub *
find_hub(const struct pool_entry *entry, const char *encoding)
{
	struct notify_hub *hub = entry->hubs;

	while (hub != NULL && strcmp(hub->encoding, encoding) != 0)
		hub = hub->next;
	return hub;
}

static void
attach(struct notify_hub *hub, struct notify_ear *ear, const struct notify_ear_ops *ops)
{
	ear->hub = hub;
	ear->ops = ops;
	TAILQ_INSERT_TAIL(&hub->ears, ear, all);
}

int
notify_attach(struct pool_entry *entry, const char *encoding, struct notify_ear *ear, const struct notify_ear_ops *ops)
{
	struct notify_hub *hub = find_hub(entry, encoding);

	if (hub == NULL && (hub = hub_new(entry, encoding)) == NULL)
		return -1;
	attach(hub, ear, ops);
	return 0;
}

bool
notify_visit(struct pool_entry *entry, const char *encoding, struct notify_ear *ear, const struct notify_ear_ops *ops)
{
	struct notify_hub *hub = find_hub(entry, encoding);

	if (hub == NULL || !hub->is_up || hub->member_count == 0)
		return false;
	attach(hub, ear, ops);
	return true;
}

void
notify_detach(struct notify_ear *ear)
{
	struct notify_hub *hub = ear->hub;

	if (hub == NULL)
		return;
	notify_set_dirty(ear, false);
	notify_catch_up_no_more(ear);
	TAILQ_REMOVE(&hub->ears, ear, all);
	ear->hub = NULL;
	ear->has_gap = false;
}

/* --- time --- */

/* A connection that is gone without a word is found by asking. */
static void
look_after(struct notify_hub *hub, uint64_t now_us)
{
	const struct notify_command *oldest = TAILQ_FIRST(&hub->commands);
	uint64_t interval = hub->entry->settings.ping_interval_us;
	struct fail why;

	if (hub->link.srv == NULL || hub->link.srv->state != SV_LENT)
		return;
	if (!hub->is_up || (oldest != NULL && now_us - oldest->sent_us > ANSWER_MAX_US)) {
		fail_set(&why, "08006", "%s",
			 hub->is_up ? "PostgreSQL does not answer the connection that listens"
				    : "out of memory for the connection that listens");
		server_fail(hub->link.srv, &why);
	} else if (oldest == NULL && interval > 0 && now_us - hub->heard_us >= interval)
		notify_link_send(hub, NC_PING, NULL, NULL);
}

void
notify_hub_tick(struct notify_hub *hub, uint64_t now_us)
{
	uint64_t in_us = TICK_US;

	if (TAILQ_EMPTY(&hub->ears) && hub->member_count == 0 && now_us - hub->unused_since_us >= HUB_LINGER_US) {
		hub_free(hub);
		return;
	}
	look_after(hub, now_us);
	notify_give_up_catching(hub, now_us);
	if (hub->is_settle_due)
		notify_hub_settle(hub);
	if (hub->link.srv == NULL && now_us >= hub->retry_us && hub->member_count > 0)
		notify_link_connect(hub);
	if (hub->link.srv == NULL && hub->retry_us > now_us && hub->retry_us - now_us < in_us)
		in_us = hub->retry_us - now_us;
	notify_link_timer(hub, in_us);
	notify_drop_idle_channels(hub, now_us);
	notify_give_up_waiting(hub, now_us);
}

/* --- what can be seen --- */

void
notify_hubs_count(const struct pool_entry *entry, struct notify_counts *out)
{
	struct notify_ear *ear;

	memset(out, 0, sizeof(*out));
	for (const struct notify_hub *hub = entry->hubs; hub != NULL; hub = hub->next) {
		out->connections += hub->link.srv != NULL;
		TAILQ_FOREACH(ear, &hub->ears, all)
		out->ears += ear->members > 0;
		out->channels += HASH_COUNT(hub->table);
	}
}

struct server *
notify_hub_server(const struct notify_hub *hub)
{
	return hub->link.srv;
}

struct notify_hub *
notify_hub_next(const struct notify_hub *hub)
{
	return hub->next;
}
