/*
 * src/pool/notify_link.c - the connection of a notify_hub: opened, used, lost, opened again. See notify_hub.h.
 *
 * It is a server like those of the pool, but lent to the hub for as long as it lives. Commands go out as they come,
 * each a request of its own, and are answered in order; those that were under way when it was lost are forgotten, for
 * the next one begins with all channels there are.
 */
#include "pool/notify_state.h"

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "sql/listen_text.h"
#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>

#define BACKOFF_FIRST_US ((uint64_t)50000)
#define BACKOFF_MAX_US (5 * US_PER_S)

static struct notify_hub *
hub_of(struct dedicated *d)
{
	return (struct notify_hub *)((char *)d - offsetof(struct notify_hub, link));
}

static uint64_t
now_of(const struct notify_hub *hub)
{
	return *hub->env.now_us;
}

void
notify_link_timer(struct notify_hub *hub, uint64_t in_us)
{
	struct timeval tv = { (time_t)(in_us / US_PER_S), (suseconds_t)(in_us % US_PER_S) };

	event_add(&hub->timer, &tv);
}

void
notify_link_connect(struct notify_hub *hub)
{
	struct pool_entry *entry = hub->entry;

	if (hub->link.srv != NULL || hub->is_paused || hub->is_ending || entry->is_orphan || entry->held_until_us != 0)
		return;
	if (dedicated_open(&hub->link, entry->set, &hub->env, entry->target, NULL) < 0)
		hub->retry_us = now_of(hub) + US_PER_S;
}

void
notify_link_close(struct notify_hub *hub)
{
	dedicated_close(&hub->link);
}

/* --- commands --- */

static void
put_command(struct buf *b, enum notify_command_kind kind, const char *name)
{
	struct buf sql = { 0 };

	switch (kind) {
	case NC_SETTING:
		buf_printf(&sql, "SET client_encoding TO ");
		listen_text_quote(&sql, name);
		break;
	case NC_LISTEN:
	case NC_UNLISTEN:
		buf_printf(&sql, "%s ", kind == NC_LISTEN ? "LISTEN" : "UNLISTEN");
		listen_text_quote(&sql, name);
		break;
	case NC_GAP_OVER:
	case NC_CATCH_UP:
	case NC_PING:
		message_sync(b); /* PostgreSQL delivers what is due before each ReadyForQuery */
		return;
	}
	buf_put_u8(&sql, 0);
	if (buf_ok(&sql))
		message_put(b, 'Q', sql.bytes, sql.len);
	else
		b->is_broken = true;
	buf_fini(&sql);
}

static int
try_send(struct notify_hub *hub, enum notify_command_kind kind, struct notify_channel *channel, const char *name)
{
	struct notify_command *command;
	enum owed_kind owed = kind == NC_SETTING || kind == NC_LISTEN || kind == NC_UNLISTEN ? OWED_QUERY : OWED_SYNC;
	struct owed_request request = { .started_us = now_of(hub) };
	struct buf b = { 0 };

	put_command(&b, kind, name);
	if (!buf_ok(&b) || ledger_push_request(&hub->link.srv->ledger, owed, OWED_TO_CLIENT, &request) < 0) {
		buf_fini(&b);
		return -1;
	}
	command = xcalloc(1, sizeof(*command));
	command->kind = kind;
	command->channel = channel;
	command->sent_us = now_of(hub);
	TAILQ_INSERT_TAIL(&hub->commands, command, link);
	server_write(hub->link.srv, b.bytes, b.len);
	buf_fini(&b);
	return 0;
}

void
notify_link_send(struct notify_hub *hub, enum notify_command_kind kind, struct notify_channel *channel,
		 const char *name)
{
	if (!hub->is_up || try_send(hub, kind, channel, name) == 0)
		return;
	hub->is_up = false; /* nothing more must follow what could not be sent */
	hub->retry_us = now_of(hub);
	notify_link_timer(hub, 0); /* closes it: not within a call of somebody's */
}

static void
forget_commands(struct notify_hub *hub)
{
	struct notify_command *command;

	while ((command = TAILQ_FIRST(&hub->commands)) != NULL) {
		TAILQ_REMOVE(&hub->commands, command, link);
		free(command);
	}
	hub->is_error = false;
}

/* --- what it reports --- */

static void
on_done(struct dedicated *d)
{
	struct notify_hub *hub = hub_of(d);
	struct notify_command *command = TAILQ_FIRST(&hub->commands);
	bool is_error = hub->is_error;

	hub->is_error = false;
	hub->failures = 0;
	hub->heard_us = now_of(hub);
	if (command == NULL)
		return;
	TAILQ_REMOVE(&hub->commands, command, link);
	notify_hub_answered(hub, command, is_error ? &hub->why_error : NULL);
	free(command);
}

static void
on_error(struct dedicated *d, const struct fail *why)
{
	hub_of(d)->why_error = *why;
	hub_of(d)->is_error = true;
}

static void
on_notification(struct dedicated *d, const uint8_t *message, size_t len)
{
	const char *channel = (const char *)message + 9; /* type, length, pid */

	if (len > 9 && memchr(channel, 0, len - 9) != NULL)
		notify_hub_notified(hub_of(d), channel, message, len);
}

static void
on_batch_end(struct dedicated *d)
{
	hub_of(d)->heard_us = now_of(hub_of(d));
	notify_hub_settle(hub_of(d));
}

static void
on_lost(struct dedicated *d, const struct fail *why)
{
	hub_of(d)->why_down = *why;
}

static void
on_up(struct dedicated *d)
{
	struct notify_hub *hub = hub_of(d);
	const char *encoding = image_get(d->srv->image, "client_encoding");

	hub->is_up = true;
	hub->heard_us = now_of(hub);
	if (hub->encoding[0] != '\0' && (encoding == NULL || strcmp(encoding, hub->encoding) != 0))
		notify_link_send(hub, NC_SETTING, NULL, hub->encoding);
	notify_hub_up(hub);
}

static void
on_failed(struct dedicated *d, bool is_fatal, const struct fail *why)
{
	hub_of(d)->why_down = *why;
	notify_hub_failed(hub_of(d), is_fatal, why);
}

static void
on_closed(struct dedicated *d)
{
	struct notify_hub *hub = hub_of(d);

	hub->is_up = false;
	forget_commands(hub);
	hub->retry_us = now_of(hub) + backoff_us(hub->failures++, BACKOFF_FIRST_US, BACKOFF_MAX_US, &hub->random);
	notify_hub_down(hub);
	if (!hub->is_ending)
		notify_link_timer(hub, 0);
}

const struct dedicated_ops notify_link_ops = {
	.up = on_up,
	.failed = on_failed,
	.lost = on_lost,
	.closed = on_closed,
	.error = on_error,
	.done = on_done,
	.notification = on_notification,
	.batch_end = on_batch_end,
};
