/*
 * src/server/server_reset.c - cleans a server connection after its borrower, in steps, each of which waits until
 * nothing is owed and no cancel is under way:
 *
 *   what runs is cancelled, a COPY that waits for data is failed, a missing Sync is sent; ROLLBACK if a transaction is
 *   open; DISCARD ALL if asked. Any error on the way ends the connection.
 */
#include "server/server.h"

#include "base/clock.h"
#include "wire/messages.h"

#include <string.h>

#define RESET_TIMEOUT_US (5 * US_PER_S)
#define CANCEL_TIMEOUT_US (5 * US_PER_S)

static int
send_query(struct server *srv, const char *sql)
{
	struct buf b = { 0 };

	if (ledger_push_request(&srv->ledger, OWED_QUERY, OWED_TO_RESET,
				&(struct owed_request){ .started_us = *srv->env->now_us }) < 0)
		return -1;
	message_query(&b, sql);
	if (buf_ok(&b))
		server_write(srv, b.bytes, b.len);
	srv->is_synced = true;
	buf_fini(&b);
	return 0;
}

static int
send_sync(struct server *srv)
{
	if (server_owe_sync(srv, OWED_TO_RESET) < 0)
		return -1;
	server_write(srv, "S\0\0\0\4", 5);
	srv->is_synced = true;
	return 0;
}

/* PostgreSQL waits for COPY data that will never come. */
static int
fail_copy(struct server *srv)
{
	static const char text[] = "the client has gone";
	bool is_execute = ledger_head(&srv->ledger)->kind == OWED_EXECUTE;
	struct buf b = { 0 };
	int r;

	message_put(&b, 'f', text, sizeof(text));
	r = ledger_push(&srv->ledger, OWED_COPY_END, OWED_TO_RESET, NULL);
	if (r == 0 && buf_ok(&b))
		server_write(srv, b.bytes, b.len);
	buf_fini(&b);
	return r == 0 && is_execute ? send_sync(srv) : r;
}

int
server_forget_session(struct server *srv)
{
	if (image_move(&srv->image, image_replace(srv->image, IMAGE_OTHER, NULL, 0)) < 0)
		return -1;
	return image_move(&srv->image, image_replace(srv->image, IMAGE_PREPARED, NULL, 0));
}

static int
next_step(struct server *srv)
{
	if (srv->ledger.count > 0 && srv->ledger.copy == COPY_IN && srv->ledger.is_copy_open)
		return fail_copy(srv);
	if (!srv->is_synced || srv->ledger.is_skipping)
		return send_sync(srv);
	if (srv->ledger.count > 0 || srv->cancels != NULL)
		return 0;
	if (srv->tx != 'I')
		return send_query(srv, "ROLLBACK");
	if (srv->is_reset_discarding && !srv->is_reset_discarded) {
		srv->is_reset_discarded = true;
		server_statements_clear(&srv->statements);
		srv->unnamed_of = 0;
		return server_forget_session(srv) < 0 ? -1 : send_query(srv, "DISCARD ALL");
	}
	server_step(srv, SE_CLEAN);
	srv->env->owner_ops->clean(srv);
	return 0;
}

void
server_reset_next(struct server *srv)
{
	struct fail why;

	if (srv->ledger.copy == COPY_BOTH || srv->ledger.is_doubtful || srv->is_closing) {
		fail_set(&why, "08006", "a connection that can't be cleaned is closed");
		server_fail(srv, &why);
		return;
	}
	if (next_step(srv) < 0) {
		fail_set(&why, "53200", "no memory to clean a server connection");
		server_fail(srv, &why);
	}
}

void
server_reset(struct server *srv, bool discard_all, uint64_t now_us)
{
	if (server_step(srv, SE_BORROWER_GONE) < 0)
		return;
	srv->link = NULL;
	srv->suspicion = 0;
	srv->has_failed = srv->has_rolled_back = srv->watches_tags = false;
	srv->is_reset_discarding = discard_all;
	srv->is_reset_discarded = false;
	srv->reset_deadline_us = now_us + RESET_TIMEOUT_US;
	if (srv->ledger.count > 0 && srv->cancels == NULL)
		server_cancel(srv, CANCEL_TIMEOUT_US, NULL, NULL);
	stream_set_reading(&srv->stream, true);
	server_reset_next(srv);
}
