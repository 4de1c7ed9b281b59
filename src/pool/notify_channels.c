/* src/pool/notify_channels.c - channels and members of a notify_hub: asked for, told, handed out. See notify_hub.h. */
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

#define CHANNEL_LINGER_US (2 * US_PER_S) /* a channel nobody listens to is kept so long: many come back at once */
#define HASTE_US ((uint64_t)200000)

static uint64_t
now_of(const struct notify_hub *hub)
{
	return *hub->env.now_us;
}

void
notify_channel_free(struct notify_hub *hub, struct notify_channel *ch)
{
	HASH_DELETE(hh, hub->table, ch);
	if (ch->is_answered)
		TAILQ_REMOVE(&hub->answered, ch, answered);
	free(ch);
}

void
notify_set_dirty(struct notify_ear *ear, bool is_dirty)
{
	if (ear->is_dirty == is_dirty)
		return;
	ear->is_dirty = is_dirty;
	if (is_dirty)
		TAILQ_INSERT_TAIL(&ear->hub->dirty, ear, dirty);
	else
		TAILQ_REMOVE(&ear->hub->dirty, ear, dirty);
}

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
	if (hub->link.srv == NULL)
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

/* The message, under its sender's PID if that is known (listen/sender_pid.c). */
static const uint8_t *
with_sender(struct notify_hub *hub, const uint8_t *message, size_t len)
{
	uint32_t pid = wire_u32(message + FRAME_HEAD_LEN);
	const struct server *srv;

	TAILQ_FOREACH(srv, &hub->entry->servers, all)
	{
		if (srv->loan.notify_hub != hub || srv->pid != pid)
			continue;
		hub->rewritten.len = 0;
		buf_put(&hub->rewritten, message, len);
		if (!buf_ok(&hub->rewritten))
			break;
		wire_set_u32(hub->rewritten.bytes + FRAME_HEAD_LEN, srv->loan.notify_as);
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
		notify_set_dirty(m->ear, true);
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
		 hub->entry->user, hub->link.srv->id, HASH_COUNT(hub->table));
}

void
notify_hub_down(struct notify_hub *hub)
{
	struct notify_channel *ch, *next;
	struct notify_member *m;

	HASH_ITER(hh, hub->table, ch, next)
	{
		if (is_idle(ch)) {
			notify_channel_free(hub, ch);
			continue;
		}
		ch->is_asked = ch->is_listening = false;
		while ((m = TAILQ_FIRST(&ch->late)) != NULL)
			move(hub, m, NW_WAITING); /* the next LISTEN is for all */
		TAILQ_FOREACH(m, &ch->told, link)
		m->ear->has_gap = true;
	}
	notify_end_catching(hub);
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
		notify_set_dirty(ear, true);
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
		notify_caught_up(hub);
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
		notify_set_dirty(ear, false);
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
	notify_tell_caught_up(hub);
}

/* --- time --- */

void
notify_give_up_waiting(struct notify_hub *hub, uint64_t now_us)
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

void
notify_drop_idle_channels(struct notify_hub *hub, uint64_t now_us)
{
	struct notify_channel *ch, *next;

	HASH_ITER(hh, hub->table, ch, next)
	{
		if (!is_idle(ch) || ch->is_asked || now_us - ch->idle_since_us < CHANNEL_LINGER_US)
			continue;
		if (ch->is_listening)
			notify_link_send(hub, NC_UNLISTEN, NULL, ch->name);
		notify_channel_free(hub, ch);
	}
}
