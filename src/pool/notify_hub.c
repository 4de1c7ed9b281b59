/* src/pool/notify_hub.c - ears, channels and members of a notify_hub. See notify_hub.h. */
#include "base/clock.h"

#define XXH_INLINE_ALL
#include <xxhash.h>
/* Names come from clients: the seed keeps them from choosing collisions. */
#define HASH_FUNCTION(key, len, hashv) ((hashv) = (unsigned)XXH3_64bits_withSeed((key), (len), hub->seed_of_names))
#define uthash_fatal(msg) abort()
#include "pool/notify_state.h"

#include "wire/frame.h"
#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TICK_US US_PER_S
#define CHANNEL_LINGER_US (2 * US_PER_S) /* a channel nobody listens to is kept so long: many come back at once */
#define HASTE_US ((uint64_t)200000)
#define HUB_LINGER_US (60 * US_PER_S)
#define CATCH_UP_MAX_US US_PER_S
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
	struct notify_hub *hub = calloc(1, sizeof(*hub) + len + 1);

	if (hub == NULL)
		return NULL;
	memcpy(hub->encoding, encoding, len);
	hub->entry = entry;
	hub->env = *pool_set_server_env(entry->set);
	hub->env.ops = &notify_server_ops;
	hub->env.owner_ops = &notify_owner_ops;
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
channel_free(struct notify_hub *hub, struct notify_channel *ch)
{
	HASH_DELETE(hh, hub->table, ch);
	if (ch->is_answered)
		TAILQ_REMOVE(&hub->answered, ch, answered);
	free(ch);
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
		channel_free(hub, hub->table);
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

static void
set_dirty(struct notify_ear *ear, bool is_dirty)
{
	if (ear->is_dirty == is_dirty)
		return;
	ear->is_dirty = is_dirty;
	if (is_dirty)
		TAILQ_INSERT_TAIL(&ear->hub->dirty, ear, dirty);
	else
		TAILQ_REMOVE(&ear->hub->dirty, ear, dirty);
}

void
notify_detach(struct notify_ear *ear)
{
	struct notify_hub *hub = ear->hub;

	if (hub == NULL)
		return;
	set_dirty(ear, false);
	notify_catch_up_no_more(ear);
	TAILQ_REMOVE(&hub->ears, ear, all);
	ear->hub = NULL;
	ear->has_gap = false;
}

/* --- catching up --- */

enum { EW_NONE, EW_NOW, EW_NEXT, EW_CAUGHT };

static struct notify_ears *
waits_in(struct notify_ear *ear)
{
	struct notify_hub *hub = ear->hub;

	return ear->waits == EW_NOW ? &hub->catching : ear->waits == EW_NEXT ? &hub->catching_next : &hub->caught;
}

bool
notify_catch_up(struct notify_ear *ear)
{
	struct notify_hub *hub = ear->hub;

	if (hub == NULL || !hub->is_up || ear->waits != EW_NONE)
		return false;
	/* One Sync at a time: those who come while it is under way share the next. */
	if (TAILQ_EMPTY(&hub->catching)) {
		notify_link_send(hub, NC_CATCH_UP, NULL, NULL);
		if (!hub->is_up)
			return false;
		ear->waits = EW_NOW;
		TAILQ_INSERT_TAIL(&hub->catching, ear, wait);
	} else {
		ear->waits = EW_NEXT;
		TAILQ_INSERT_TAIL(&hub->catching_next, ear, wait);
	}
	return true;
}

void
notify_catch_up_no_more(struct notify_ear *ear)
{
	if (ear->waits == EW_NONE)
		return;
	TAILQ_REMOVE(waits_in(ear), ear, wait);
	ear->waits = EW_NONE;
}

static void
move_waits(struct notify_ears *from, struct notify_ears *to, uint8_t waits)
{
	struct notify_ear *ear;

	TAILQ_FOREACH(ear, from, wait)
	ear->waits = waits;
	TAILQ_CONCAT(to, from, wait);
}

/* The Sync was answered. */
static void
caught_up(struct notify_hub *hub)
{
	move_waits(&hub->catching, &hub->caught, EW_CAUGHT);
	move_waits(&hub->catching_next, &hub->catching, EW_NOW);
	if (!TAILQ_EMPTY(&hub->catching))
		notify_link_send(hub, NC_CATCH_UP, NULL, NULL);
}

static void
tell_caught_up(struct notify_hub *hub)
{
	struct notify_ear *ear;

	while ((ear = TAILQ_FIRST(&hub->caught)) != NULL) {
		notify_catch_up_no_more(ear);
		ear->ops->caught_up(ear);
	}
}

/* --- channels and members --- */

static struct notify_channel *
find(struct notify_hub *hub, const char *name)
{
	struct notify_channel *ch;

	HASH_FIND(hh, hub->table, name, (unsigned)strlen(name), ch);
	return ch;
}

/*
 * Also when it is listened to already: then the answer says that what was notified before the question has arrived, so
 * that a newcomer hears nothing older than its LISTEN.
 */
static void
ask(struct notify_hub *hub, struct notify_channel *ch)
{
	if (ch->is_asked || !hub->is_up || TAILQ_EMPTY(&ch->waiting))
		return;
	ch->is_asked = true;
	notify_link_send(hub, NC_LISTEN, ch, ch->name);
}

static struct notify_channel *
channel_new(struct notify_hub *hub, const char *name)
{
	size_t len = strlen(name);
	struct notify_channel *ch = calloc(1, sizeof(*ch) + len + 1);

	if (ch == NULL)
		return NULL;
	memcpy(ch->name, name, len + 1);
	TAILQ_INIT(&ch->late);
	TAILQ_INIT(&ch->waiting);
	TAILQ_INIT(&ch->told);
	HASH_ADD_KEYPTR(hh, hub->table, ch->name, (unsigned)len, ch);
	return ch;
}

static bool
is_idle(const struct notify_channel *ch)
{
	return TAILQ_EMPTY(&ch->late) && TAILQ_EMPTY(&ch->waiting) && TAILQ_EMPTY(&ch->told);
}

static struct notify_members *
list_of(struct notify_hub *hub, struct notify_member *m)
{
	switch (m->where) {
	case NW_LATE:
		return &m->channel->late;
	case NW_WAITING:
		return &m->channel->waiting;
	case NW_TOLD:
		return &m->channel->told;
	default:
		return &hub->failed;
	}
}

static void
move(struct notify_hub *hub, struct notify_member *m, enum notify_where to)
{
	if (m->where != NW_NONE)
		TAILQ_REMOVE(list_of(hub, m), m, link);
	m->where = (uint8_t)to;
	if (to == NW_FAILED)
		m->channel = NULL; /* it may be gone before the member hears of it */
	if (to != NW_NONE)
		TAILQ_INSERT_TAIL(list_of(hub, m), m, link);
}

/* Somebody waits for it now: trying again is worth more than it was. */
static void
hasten(struct notify_hub *hub)
{
	uint64_t at_us = now_of(hub) + HASTE_US;

	if (hub->retry_us <= at_us)
		return;
	hub->retry_us = at_us;
	notify_link_timer(hub, HASTE_US);
}

int
notify_join(struct notify_ear *ear, struct notify_member *m, const char *name)
{
	struct notify_hub *hub = ear->hub;
	struct notify_channel *ch = find(hub, name);

	if (ch == NULL && (ch = channel_new(hub, name)) == NULL)
		return -1;
	m->ear = ear;
	m->channel = ch;
	m->since_us = now_of(hub);
	ear->members++;
	hub->member_count++;
	move(hub, m, ch->is_asked ? NW_LATE : NW_WAITING);
	ask(hub, ch);
	if (hub->srv == NULL)
		hasten(hub);
	return 0;
}

void
notify_leave(struct notify_member *m)
{
	struct notify_channel *ch = m->channel;

	if (m->where == NW_NONE)
		return;
	move(m->ear->hub, m, NW_NONE);
	m->ear->members--;
	if (--m->ear->hub->member_count == 0)
		m->ear->hub->unused_since_us = now_of(m->ear->hub);
	m->channel = NULL;
	if (ch != NULL && is_idle(ch))
		ch->idle_since_us = now_of(m->ear->hub);
}

/* --- what the connection reports --- */

/* The message, under its sender's PID if that is known (client/listen_pid.c). */
static const uint8_t *
with_sender(struct notify_hub *hub, const uint8_t *message, size_t len)
{
	uint32_t pid = wire_u32(message + FRAME_HEAD_LEN);
	const struct server *srv;

	TAILQ_FOREACH(srv, &hub->entry->servers, all)
	{
		if (srv->notify_hub != hub || srv->pid != pid)
			continue;
		hub->rewritten.len = 0;
		buf_put(&hub->rewritten, message, len);
		if (!buf_ok(&hub->rewritten))
			break;
		wire_set_u32(hub->rewritten.bytes + FRAME_HEAD_LEN, srv->notify_as);
		return hub->rewritten.bytes;
	}
	return message;
}

void
notify_hub_notified(struct notify_hub *hub, const char *name, const uint8_t *message, size_t len)
{
	struct notify_channel *ch = find(hub, name);
	struct notify_member *m;

	if (ch == NULL)
		return;
	message = with_sender(hub, message, len);
	TAILQ_FOREACH(m, &ch->told, link)
	{
		m->ear->ops->notified(m, message, len);
		set_dirty(m->ear, true);
		hub->entry->counters.notifications++;
	}
}

void
notify_hub_up(struct notify_hub *hub)
{
	bool has_gap = false;
	struct notify_ear *ear;

	for (struct notify_channel *ch = hub->table; ch != NULL; ch = ch->hh.next) {
		ch->is_asked = true;
		notify_link_send(hub, NC_LISTEN, ch, ch->name);
	}
	TAILQ_FOREACH(ear, &hub->ears, all)
	has_gap = has_gap || ear->has_gap;
	if (has_gap)
		notify_link_send(hub, NC_GAP_OVER, NULL, NULL);
	log_info(hub->env.log, "pool %s/%s: server %u listens for %u channels", hub->entry->database->name,
		 hub->entry->user, hub->srv->id, HASH_COUNT(hub->table));
}

void
notify_hub_down(struct notify_hub *hub)
{
	struct notify_channel *ch, *next;
	struct notify_member *m;

	HASH_ITER(hh, hub->table, ch, next)
	{
		if (is_idle(ch)) {
			channel_free(hub, ch);
			continue;
		}
		ch->is_asked = ch->is_listening = false;
		while ((m = TAILQ_FIRST(&ch->late)) != NULL)
			move(hub, m, NW_WAITING); /* the next LISTEN is for all */
		TAILQ_FOREACH(m, &ch->told, link)
		m->ear->has_gap = true;
	}
	move_waits(&hub->catching, &hub->caught, EW_CAUGHT);
	move_waits(&hub->catching_next, &hub->caught, EW_CAUGHT);
	hub->is_settle_due = true; /* the next tick, which comes at once: nobody must be called back from here */
}

/* Its members are told later, one by one: what they do then may change any list. */
static void
fail_members(struct notify_hub *hub, struct notify_channel *ch, const struct fail *why)
{
	struct notify_member *m;

	hub->why_failed = *why;
	while ((m = TAILQ_FIRST(&ch->waiting)) != NULL || (m = TAILQ_FIRST(&ch->late)) != NULL ||
	       (m = TAILQ_FIRST(&ch->told)) != NULL)
		move(hub, m, NW_FAILED);
}

static void
tell_failed(struct notify_hub *hub)
{
	struct notify_member *m;

	while ((m = TAILQ_FIRST(&hub->failed)) != NULL) {
		struct fail why = hub->why_failed;

		notify_leave(m);
		m->ear->ops->listening(m, &why);
	}
}

/* PostgreSQL will not have us, whoever asks, until something changes there. */
void
notify_hub_failed(struct notify_hub *hub, bool is_fatal, const struct fail *why)
{
	log_warning(hub->env.log, "pool %s/%s: no connection to listen with: %s", hub->entry->database->name,
		    hub->entry->user, why->text);
	if (!is_fatal)
		return;
	for (struct notify_channel *ch = hub->table; ch != NULL; ch = ch->hh.next)
		if (TAILQ_EMPTY(&ch->told)) /* else it was good once: tried for as long as anybody waits */
			fail_members(hub, ch, why);
}

static void
answered_listen(struct notify_hub *hub, struct notify_channel *ch, const struct fail *why)
{
	ch->is_asked = false;
	ch->is_listening = why == NULL;
	if (why != NULL) {
		fail_members(hub, ch, why);
		ch->idle_since_us = now_of(hub);
	} else if (!ch->is_answered) {
		ch->is_answered = true;
		TAILQ_INSERT_TAIL(&hub->answered, ch, answered);
	}
}

static void
gap_over(struct notify_hub *hub)
{
	struct notify_ear *ear;

	TAILQ_FOREACH(ear, &hub->ears, all)
	{
		if (!ear->has_gap)
			continue;
		ear->has_gap = false;
		ear->ops->gap(ear);
		set_dirty(ear, true);
	}
}

void
notify_hub_answered(struct notify_hub *hub, const struct notify_command *command, const struct fail *why)
{
	switch (command->kind) {
	case NC_LISTEN:
		answered_listen(hub, command->channel, why);
		return;
	case NC_GAP_OVER:
		gap_over(hub);
		return;
	case NC_CATCH_UP:
		caught_up(hub);
		return;
	case NC_SETTING: /* clients have this encoding already: this cannot fail but for a broken server */
	case NC_UNLISTEN:
		if (why != NULL)
			log_warning(hub->env.log, "pool %s/%s: the connection that listens: %s",
				    hub->entry->database->name, hub->entry->user, why->text);
		return;
	case NC_PING:
		return;
	}
}

static void
tell_answered(struct notify_hub *hub)
{
	struct notify_channel *ch;
	struct notify_member *m;

	while ((ch = TAILQ_FIRST(&hub->answered)) != NULL) {
		if (ch->is_listening && (m = TAILQ_FIRST(&ch->waiting)) != NULL) {
			move(hub, m, NW_TOLD);
			m->ear->ops->listening(m, NULL);
			continue;
		}
		TAILQ_REMOVE(&hub->answered, ch, answered);
		ch->is_answered = false;
		while ((m = TAILQ_FIRST(&ch->late)) != NULL)
			move(hub, m, NW_WAITING);
		ask(hub, ch);
	}
}

static void
flush_dirty(struct notify_hub *hub)
{
	struct notify_ear *ear;

	while ((ear = TAILQ_FIRST(&hub->dirty)) != NULL) {
		set_dirty(ear, false);
		ear->ops->flush(ear);
	}
}

void
notify_hub_settle(struct notify_hub *hub)
{
	hub->is_settle_due = false;
	flush_dirty(hub);
	tell_answered(hub);
	tell_failed(hub);
	tell_caught_up(hub);
}

/* --- time --- */

static void
give_up_waiting(struct notify_hub *hub, uint64_t now_us)
{
	uint64_t limit = hub->entry->settings.pool_timeout_us;

	if (limit == 0 || hub->is_paused)
		return;
	for (struct notify_channel *ch = hub->table; ch != NULL; ch = ch->hh.next) {
		struct notify_member *m;

		while (((m = TAILQ_FIRST(&ch->waiting)) != NULL || (m = TAILQ_FIRST(&ch->late)) != NULL) &&
		       now_us - m->since_us >= limit) {
			fail_set(&hub->why_failed, hub->why_down.sqlstate[0] != '\0' ? hub->why_down.sqlstate : "08001",
				 "no connection to listen with within pool_timeout%s%s",
				 hub->why_down.text[0] != '\0' ? ": " : "", hub->why_down.text);
			move(hub, m, NW_FAILED);
		}
	}
	tell_failed(hub);
}

static void
drop_idle_channels(struct notify_hub *hub, uint64_t now_us)
{
	struct notify_channel *ch, *next;

	HASH_ITER(hh, hub->table, ch, next)
	{
		if (!is_idle(ch) || ch->is_asked || now_us - ch->idle_since_us < CHANNEL_LINGER_US)
			continue;
		if (ch->is_listening)
			notify_link_send(hub, NC_UNLISTEN, NULL, ch->name);
		channel_free(hub, ch);
	}
}

/* A connection that is gone without a word is found by asking. */
static void
look_after(struct notify_hub *hub, uint64_t now_us)
{
	const struct notify_command *oldest = TAILQ_FIRST(&hub->commands);
	uint64_t interval = hub->entry->settings.ping_interval_us;
	struct fail why;

	if (hub->srv == NULL || hub->srv->state != SV_LENT)
		return;
	if (!hub->is_up || (oldest != NULL && now_us - oldest->sent_us > ANSWER_MAX_US)) {
		fail_set(&why, "08006", "%s",
			 hub->is_up ? "PostgreSQL does not answer the connection that listens"
				    : "out of memory for the connection that listens");
		server_fail(hub->srv, &why);
	} else if (oldest == NULL && interval > 0 && now_us - hub->heard_us >= interval)
		notify_link_send(hub, NC_PING, NULL, NULL);
}

/* Clients wait for this: not for long. */
static void
give_up_catching(struct notify_hub *hub, uint64_t now_us)
{
	const struct notify_command *oldest = TAILQ_FIRST(&hub->commands);

	if (oldest == NULL || now_us - oldest->sent_us < CATCH_UP_MAX_US || TAILQ_EMPTY(&hub->catching))
		return;
	move_waits(&hub->catching, &hub->caught, EW_CAUGHT);
	move_waits(&hub->catching_next, &hub->caught, EW_CAUGHT);
	hub->is_settle_due = true;
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
	give_up_catching(hub, now_us);
	if (hub->is_settle_due)
		notify_hub_settle(hub);
	if (hub->srv == NULL && now_us >= hub->retry_us && hub->member_count > 0)
		notify_link_connect(hub);
	if (hub->srv == NULL && hub->retry_us > now_us && hub->retry_us - now_us < in_us)
		in_us = hub->retry_us - now_us;
	notify_link_timer(hub, in_us);
	drop_idle_channels(hub, now_us);
	give_up_waiting(hub, now_us);
}

/* --- what can be seen --- */

void
notify_hubs_count(const struct pool_entry *entry, struct notify_counts *out)
{
	struct notify_ear *ear;

	memset(out, 0, sizeof(*out));
	for (const struct notify_hub *hub = entry->hubs; hub != NULL; hub = hub->next) {
		out->connections += hub->srv != NULL;
		TAILQ_FOREACH(ear, &hub->ears, all)
		out->ears += ear->members > 0;
		out->channels += HASH_COUNT(hub->table);
	}
}

struct server *
notify_hub_server(const struct notify_hub *hub)
{
	return hub->srv;
}

struct notify_hub *
notify_hub_next(const struct notify_hub *hub)
{
	return hub->next;
}
