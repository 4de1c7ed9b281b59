/*
 * src/dedicated/notify_conn.c - the listener's connection: opens, uses and reopens it. See notify_listener.h.
 *
 * The connection is a dedicated server (dedicated.h). Each command is sent at once, as a request of its own, and
 * commands are answered in order. If the connection is lost, the commands under way are forgotten: the next connection
 * begins with LISTEN for every channel.
 */
#include "dedicated/notify_state.h"
#include "net/loop.h"
#include "pool/standby_pools.h"
#include "session/gucs.h"
#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>

#define BACKOFF_MIN_US ((uint64_t)50000)
#define BACKOFF_MAX_US (5 * US_PER_S)
#define OWN_CHANNEL "pgweir_catch_up"
#define OWN_PAYLOAD "pgweir"

static struct notify_listener *
listener_of(struct dedicated *d)
{
	return (struct notify_listener *)((char *)d - offsetof(struct notify_listener, conn));
}

void
notify_conn_connect(struct notify_listener *listener)
{
	struct pool *pool = listener->pool;

	if (listener->conn.srv != NULL || listener->is_paused || listener->is_ending || pool->is_orphan)
		return;
	if (dedicated_open(&listener->conn, pool->set, &listener->env, pool->target, NULL, pool_primary_host(pool)) < 0)
		listener->conn.retry_us = notify_now(listener) + US_PER_S / 10;
}

/* The old primary may notify of changes that are lost, and does not deliver the new primary's notifications. */
bool
notify_conn_is_to_old_primary(const struct notify_listener *listener)
{
	return listener->pool->cluster != NULL && !pool_note_server_host(listener->pool, listener->conn.srv);
}

/* --- Commands. --- */

static void
put_command(const struct notify_listener *listener, struct buf *b, enum notify_command_kind kind,
	    const struct notify_channels *channels)
{
	const struct notify_channel *ch;
	struct buf sql = { 0 };
	unsigned count = 0;

	switch (kind) {
	case NC_SETTING:
		buf_printf(&sql, "SET client_encoding TO ");
		guc_put_identifier(&sql, listener->encoding, false);
		break;
	case NC_LISTEN:
	case NC_UNLISTEN:
		TAILQ_FOREACH(ch, channels, link) {
			if (count++ == NOTIFY_BATCH_MAX)
				break;
			buf_printf(&sql, "%s%s ", sql.len == 0 ? "" : "; ", kind == NC_LISTEN ? "LISTEN" : "UNLISTEN");
			guc_put_identifier(&sql, ch->name, false);
		}
		break;
	case NC_CATCH_UP:
		if (listener->is_own_notify_due) {
			/* PostgreSQL delivers notifications in the order of commits, and a transaction's own
			 * notifications before its ReadyForQuery. So this notification arrives after all that were
			 * committed earlier, whether or not the backend was signaled yet. */
			buf_printf(&sql, "LISTEN " OWN_CHANNEL "; NOTIFY " OWN_CHANNEL ", '" OWN_PAYLOAD "'");
			break;
		}
		/* fall through */
	case NC_GAP_OVER:
	case NC_PING:
		message_sync(b); /* PostgreSQL delivers the notifications that are due before each ReadyForQuery */
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
try_send(struct notify_listener *listener, enum notify_command_kind kind, struct notify_channels *channels)
{
	struct notify_command *command = calloc(1, sizeof(*command));
	struct owed_request request = { .started_us = notify_now(listener) };
	struct buf b = { 0 };

	put_command(listener, &b, kind, channels);
	if (command == NULL || !buf_ok(&b)) {
		buf_fini(&b);
		free(command);
		return -1;
	}
	ledger_push_request(&listener->conn.srv->ledger, b.bytes[0] == 'Q' ? OWED_QUERY : OWED_SYNC, OWED_TO_CLIENT,
			    &request);
	if (kind == NC_CATCH_UP)
		listener->is_own_notify_due = false;
	command->kind = kind;
	TAILQ_INIT(&command->channels);
	if (kind == NC_LISTEN)
		TAILQ_CONCAT(&command->channels, channels, link);
	command->sent_us = notify_now(listener);
	TAILQ_INSERT_TAIL(&listener->commands, command, link);
	server_write(listener->conn.srv, b.bytes, b.len);
	buf_fini(&b);
	return 0;
}

/* Called when there was no memory to send a command. Forbids later commands on this connection. */
static void
give_up(struct notify_listener *listener)
{
	listener->is_up = false;
	listener->conn.retry_us = notify_now(listener);
	timer_start(&listener->timer, 0); /* closes the connection later, because the caller may still use it */
}

void
notify_conn_send(struct notify_listener *listener, enum notify_command_kind kind)
{
	if (listener->is_up && try_send(listener, kind, NULL) < 0)
		give_up(listener);
}

/* Sends UNLISTEN for a batch of channels and forgets the channels at once: a new LISTEN for one of them is sent after
 * the UNLISTEN. */
static void
send_unlistens(struct notify_listener *listener)
{
	struct notify_channel *ch;

	listener->is_unlisten_sent = true;
	if (try_send(listener, NC_UNLISTEN, &listener->leaving) < 0)
		give_up(listener);
	for (unsigned i = 0; i < NOTIFY_BATCH_MAX && (ch = TAILQ_FIRST(&listener->leaving)) != NULL; i++)
		notify_channel_free(listener, ch);
}

void
notify_conn_send_due(struct notify_listener *listener)
{
	if (listener->is_up && !listener->is_listen_sent) {
		struct notify_channels batch;

		notify_take_batch(listener, &batch);
		if (!TAILQ_EMPTY(&batch)) {
			listener->is_listen_sent = true;
			if (try_send(listener, NC_LISTEN, &batch) < 0)
				give_up(listener);
		}
		if (listener->is_gap_over_due && TAILQ_EMPTY(&listener->turns)) {
			listener->is_gap_over_due = false;
			notify_conn_send(listener, NC_GAP_OVER);
		}
	}
	if (listener->is_up && !listener->is_unlisten_sent && !TAILQ_EMPTY(&listener->leaving))
		send_unlistens(listener);
}

/* --- Events of the connection. --- */

static void
on_done(struct dedicated *d)
{
	struct notify_listener *listener = listener_of(d);
	struct notify_command *command = TAILQ_FIRST(&listener->commands);
	bool is_error = listener->is_error;

	listener->is_error = false;
	d->failures = 0;
	listener->heard_us = notify_now(listener);
	if (command == NULL)
		return;
	TAILQ_REMOVE(&listener->commands, command, link);
	notify_listener_answered(listener, command, is_error ? &listener->why_error : NULL);
	free(command);
}

static bool
on_error(struct dedicated *d, const struct fail *why)
{
	listener_of(d)->why_error = *why;
	listener_of(d)->is_error = true;
	return false;
}

static void
on_notification(struct dedicated *d, const uint8_t *message, size_t len)
{
	/* listeners of other processes send an equal notification, which is not passed on, either */
	static const char own[] = OWN_CHANNEL "\0" OWN_PAYLOAD;
	const char *channel = (const char *)message + 9; /* after type, length and PID */
	bool is_own = len == 9 + sizeof(own) && memcmp(channel, own, sizeof(own)) == 0;

	if (notify_conn_is_to_old_primary(listener_of(d)))
		timer_start(&listener_of(d)->timer, 0); /* closes the connection */
	else if (!is_own && len > 9 && memchr(channel, 0, len - 9) != NULL)
		notify_listener_notified(listener_of(d), channel, message, len);
}

static void
on_batch_end(struct dedicated *d)
{
	listener_of(d)->heard_us = notify_now(listener_of(d));
	notify_listener_deliver(listener_of(d));
}

static void
on_lost(struct dedicated *d, const struct fail *why)
{
	listener_of(d)->why_down = *why;
}

static void
on_up(struct dedicated *d)
{
	struct notify_listener *listener = listener_of(d);
	const char *encoding = gucs_get(d->srv->gucs, "client_encoding");

	if (notify_conn_is_to_old_primary(listener)) {
		if (d->srv->history != 0 || notify_now(listener) - listener->state_changed_us < TRUST_AFTER_US) {
			timer_start(&listener->timer, 0);
			return;
		}
		d->srv->history = HISTORY_TRUSTED;
	}
	listener->is_up = true;
	listener->why_down = (struct fail){ 0 };
	listener->state_changed_us = listener->heard_us = notify_now(listener);
	if (listener->encoding[0] != '\0' && (encoding == NULL || strcmp(encoding, listener->encoding) != 0))
		notify_conn_send(listener, NC_SETTING);
	notify_listener_up(listener);
}

static void
on_failed(struct dedicated *d, enum connect_failure kind, bool is_fatal, const struct fail *why)
{
	bool is_known = strcmp(listener_of(d)->why_down.text, why->text) == 0;

	listener_of(d)->why_down = *why;
	notify_listener_failed(listener_of(d), is_fatal, is_known, why);
}

static void
on_closed(struct dedicated *d)
{
	struct notify_listener *listener = listener_of(d);
	struct notify_command *command;

	if (listener->is_up)
		listener->state_changed_us = notify_now(listener);
	listener->is_up = false;
	while ((command = TAILQ_FIRST(&listener->commands)) != NULL) {
		TAILQ_REMOVE(&listener->commands, command, link);
		free(command);
	}
	listener->is_error = listener->is_listen_sent = listener->is_unlisten_sent = listener->is_gap_over_due = false;
	notify_listener_down(listener);
	if (!listener->is_ending)
		timer_start(&listener->timer, 0);
}

const struct dedicated_ops notify_conn_ops = {
	.backoff_min_us = BACKOFF_MIN_US,
	.backoff_max_us = BACKOFF_MAX_US,
	.up = on_up,
	.failed = on_failed,
	.lost = on_lost,
	.closed = on_closed,
	.error = on_error,
	.done = on_done,
	.notification = on_notification,
	.batch_end = on_batch_end,
};
