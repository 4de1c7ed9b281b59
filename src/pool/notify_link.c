/*
 * src/pool/notify_link.c - the connection of a notify_hub: opened, used, lost, opened again. See notify_hub.h.
 *
 * It is a server like those of the pool, but lent to the hub for as long as it lives. Commands go out as they come,
 * each a request of its own, and are answered in order; those that were under way when it was lost are forgotten, for
 * the next one begins with all channels there are.
 */
#include "pool/notify_state.h"

#include "base/clock.h"
#include "server/server_none.h"
#include "sql/listen_text.h"
#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>

#define BACKOFF_FIRST_US ((uint64_t)50000)
#define BACKOFF_MAX_US (5 * US_PER_S)

static struct notify_hub *
hub_of(struct server *srv)
{
	return srv->owner;
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

	if (hub->srv != NULL || hub->is_paused || hub->is_ending || entry->is_orphan || entry->held_until_us != 0)
		return;
	hub->target = pool_target_ref(entry->target);
	hub->srv =
	    server_new(&hub->env, &hub->target->server, NULL, hub, pool_set_next_server_id(entry->set), now_of(hub));
	if (hub->srv != NULL)
		return;
	pool_target_unref(hub->target);
	hub->target = NULL;
	hub->retry_us = now_of(hub) + US_PER_S;
}

void
notify_link_close(struct notify_hub *hub)
{
	struct server *srv = hub->srv;

	if (srv == NULL)
		return;
	if (srv->state == SV_LENT)
		server_write(srv, "X\0\0\0\4", 5);
	server_close(srv);
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
	struct notify_command *command = calloc(1, sizeof(*command));
	enum owed_kind owed = kind == NC_SETTING || kind == NC_LISTEN || kind == NC_UNLISTEN ? OWED_QUERY : OWED_SYNC;
	struct owed_request request = { .started_us = now_of(hub) };
	struct buf b = { 0 };

	if (command == NULL)
		return -1;
	put_command(&b, kind, name);
	if (!buf_ok(&b) || ledger_push_request(&hub->srv->ledger, owed, OWED_TO_CLIENT, &request) < 0) {
		buf_fini(&b);
		free(command);
		return -1;
	}
	command->kind = kind;
	command->channel = channel;
	command->sent_us = now_of(hub);
	TAILQ_INSERT_TAIL(&hub->commands, command, link);
	server_write(hub->srv, b.bytes, b.len);
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

/* --- what it reports as a server that is lent --- */

static bool
on_request_done(struct server *srv, const struct owed *ended)
{
	struct notify_hub *hub = hub_of(srv);
	struct notify_command *command = TAILQ_FIRST(&hub->commands);
	bool is_error = hub->is_error;

	(void)ended;
	hub->is_error = false;
	hub->failures = 0;
	hub->heard_us = now_of(hub);
	if (command == NULL)
		return false;
	TAILQ_REMOVE(&hub->commands, command, link);
	notify_hub_answered(hub, command, is_error ? &hub->why_error : NULL);
	free(command);
	return false;
}

static bool
on_error(struct server *srv, const struct error_fields *e, enum owed_to to, bool is_owed, const uint8_t *message,
	 size_t len)
{
	struct notify_hub *hub = hub_of(srv);

	(void)to;
	(void)is_owed;
	(void)message;
	(void)len;
	fail_set(&hub->why_error, e->sqlstate != NULL ? e->sqlstate : "XX000", "%s",
		 e->message != NULL ? e->message : "(no message)");
	hub->is_error = true;
	return true;
}

static bool
on_notification(struct server *srv, const uint8_t *message, size_t len)
{
	struct notify_hub *hub = hub_of(srv);
	const char *channel = (const char *)message + 9; /* type, length, pid */

	if (len > 9 && memchr(channel, 0, len - 9) != NULL)
		notify_hub_notified(hub, channel, message, len);
	return true;
}

static void
on_batch_end(struct server *srv)
{
	hub_of(srv)->heard_us = now_of(hub_of(srv));
	notify_hub_settle(hub_of(srv));
}

static void
on_lost(struct server *srv, const struct fail *why)
{
	hub_of(srv)->why_down = *why;
}

const struct server_ops notify_server_ops = {
	server_none_pass,      on_request_done, server_none_settled,  server_none_made,
	server_none_described, on_error,	server_none_complete, server_none_parameter,
	server_none_probe_row, server_none,	server_none_pid,      on_notification,
	on_batch_end,	       on_lost,		server_none
};

/* --- and to its owner --- */

static void
on_ready(struct server *srv)
{
	struct notify_hub *hub = hub_of(srv);
	const char *encoding = image_get(srv->image, "client_encoding");

	if (server_lend(srv, hub, *srv->env->now_us) < 0)
		return;
	hub->is_up = true;
	hub->heard_us = now_of(hub);
	if (hub->encoding[0] != '\0' && (encoding == NULL || strcmp(encoding, hub->encoding) != 0))
		notify_link_send(hub, NC_SETTING, NULL, hub->encoding);
	notify_hub_up(hub);
}

static void
on_failed(struct server *srv, enum connect_failure kind, bool is_fatal, const struct fail *why)
{
	(void)kind;
	hub_of(srv)->why_down = *why;
	notify_hub_failed(hub_of(srv), is_fatal, why);
}

static void
on_gone(struct server *srv, const struct fail *why)
{
	hub_of(srv)->why_down = *why;
}

static uint64_t
backoff(struct notify_hub *hub)
{
	uint64_t us = BACKOFF_FIRST_US << (hub->failures < 10 ? hub->failures : 10);

	hub->failures++;
	hub->random = hub->random * 6364136223846793005u + 1442695040888963407u;
	us = us < BACKOFF_MAX_US ? us : BACKOFF_MAX_US;
	return us / 2 + (hub->random >> 33) % (us / 2 + 1);
}

static void
on_closed(struct server *srv)
{
	struct notify_hub *hub = hub_of(srv);
	uint64_t in_us = backoff(hub);

	hub->srv = NULL;
	srv->target = NULL;
	pool_target_unref(hub->target);
	hub->target = NULL;
	hub->is_up = false;
	forget_commands(hub);
	hub->retry_us = now_of(hub) + in_us;
	notify_hub_down(hub);
	if (!hub->is_ending)
		notify_link_timer(hub, 0);
}

const struct server_owner_ops notify_owner_ops = { on_ready,	       on_failed, server_none_pinged,
						   server_none,	       on_gone,	  server_none_probe_row,
						   server_none_pinged, on_closed };
