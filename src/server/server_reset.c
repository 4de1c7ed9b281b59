/*
 * src/server/server_reset.c - cleans a server connection after its borrower. First, pgweir cancels requests that run,
 * makes a COPY that waits for data fail, and sends a missing Sync. Each further step is sent when no reply is owed and
 * no cancel is under way: ROLLBACK if a transaction is open; DISCARD ALL if ordered; a Query that washes what the
 * borrower may have left in the session (seal/seal.h); DEALLOCATE of statements; SQL that closes sessions on other
 * servers; the upstream's connect_query if settings were reset. Then the owner may hold the server, and send a query.
 * The owner's query may fail, and SQL that closes a session may fail with 08003. Errors of other steps end srv.
 */
#include "server/server_parts.h"
#include "server/server_ahead.h"
#include "seal/probe.h"
#include "session/gucs_effects.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RESET_TIMEOUT_US (5 * US_PER_S)
#define CANCEL_TIMEOUT_US (5 * US_PER_S)
#define STALE_REQUEST_US (100 * US_PER_MS) /* a request that belongs to no client is cancelled after this time */

/* Sends b, a simple Query, and frees b. Returns 0, or -1 if out of memory. */
static int
send_built(struct server *srv, struct buf *b)
{
	srv->is_synced = true;
	server_owe_query(srv, OWED_TO_RESET);
	return server_send(srv, b);
}

static int
send_query(struct server *srv, const char *sql)
{
	struct buf b = { 0 };

	message_query(&b, sql);
	return send_built(srv, &b);
}

/* Sends a request's missing Sync; if statements ran, a ROLLBACK comes first, so that the Sync can't commit them. */
static int
end_request(struct server *srv)
{
	struct buf b = { 0 };

	if (srv->loan.statements_run > 0 && srv->ledger.intake == INTAKE_ALL) {
		message_query(&b, "ROLLBACK " MESSAGE_OURS);
		server_owe_query(srv, OWED_TO_RESET);
	}
	message_sync(&b);
	server_owe_sync(srv, OWED_TO_RESET);
	srv->is_synced = true;
	return server_send(srv, &b);
}

/* Sends CopyFail, because PostgreSQL waits for COPY data that will never come. */
static int
fail_copy(struct server *srv)
{
	static const char text[] = "the client has left";
	bool is_execute = ledger_head(&srv->ledger)->kind == OWED_EXECUTE;
	struct buf b = { 0 };
	int r;

	message_put(&b, 'f', text, sizeof(text));
	ledger_push(&srv->ledger, OWED_COPY_END, OWED_TO_RESET, NULL);
	r = server_send(srv, &b);
	return r == 0 && is_execute ? end_request(srv) : r;
}

int
server_forget_unreported(struct server *srv)
{
	return gucs_move(&srv->gucs, gucs_replace(srv->gucs, GUC_OTHER, NULL, 0));
}

/* Call when settings that connect_query may have set were reset. Then connect_query runs again, unless it failed at the
 * login, because it would fail again. */
static void
owe_connect_query(struct server *srv)
{
	if (srv->connect_query != CONNECT_QUERY_BAD)
		srv->connect_query = CONNECT_QUERY_DUE;
}

static int
discard_all(struct server *srv)
{
	srv->reset.todo.has_discard_all = false;
	owe_connect_query(srv);
	srv->sequences_of = 0;
	server_statements_clear(&srv->statements);
	return server_forget_unreported(srv) < 0 ? -1 : send_query(srv, "DISCARD " MESSAGE_OURS "ALL");
}

static int
undo_timers(struct server *srv, struct buf *out)
{
	struct gucs *without = gucs_without_timers(srv->gucs);

	if (without == NULL)
		return -1;
	server_put_gucs(srv, without, NULL, false, out);
	owe_connect_query(srv);
	return gucs_move(&srv->gucs, without);
}

static int
send_wash(struct server *srv)
{
	unsigned parts = srv->reset.todo.parts & ~(unsigned)STATE_BACKEND;
	struct buf b = { 0 };

	srv->reset.todo.parts &= STATE_BACKEND;
	if ((parts & STATE_SETTINGS) && server_forget_unreported(srv) < 0)
		return -1;
	if (parts & STATE_SETTINGS)
		owe_connect_query(srv);
	if (parts & STATE_SEQUENCES)
		srv->sequences_of = 0;
	if (parts & STATE_SEED)
		srv->random_known_to = 0;
	if (parts & WASH_PLANS) {
		gucs_unref(srv->plan_gucs);
		srv->plan_gucs = NULL;
		/* PostgreSQL will plan the statements anew, and would read their literals under new settings. */
		server_statements_outdate(&srv->statements);
	}
	if ((parts & STATE_PREPARED) && srv->statements.count == 0)
		parts = (parts & ~(unsigned)STATE_PREPARED) | WASH_STATEMENTS;
	if ((parts & WASH_TIMERS) && undo_timers(srv, &b) < 0) {
		buf_fini(&b);
		return -1;
	}
	srv->reset.step = (parts & STATE_PREPARED) != 0 ? RESET_STEP_COUNT : RESET_STEP_OTHER;
	srv->reset.statements_found = 0;
	seal_put(&b, parts, srv->reset.todo.seed, srv->reset.todo.fdw_schema);
	return send_built(srv, &b);
}

static int
deallocate(struct server *srv)
{
	struct buf b = { 0 };

	seal_put_deallocate(&b, &srv->reset.names);
	buf_fini(&srv->reset.names);
	return send_built(srv, &b);
}

/* Sends the next statement that seal_put_for_row() has listed. Most of these close a session on another server. */
static int
send_next_listed(struct server *srv)
{
	struct buf *todo = &srv->reset.remote;
	const char *sql = (const char *)todo->bytes;
	int r;

	srv->reset.step = sql[0] == '?' ? RESET_STEP_MAY_FAIL_08003 : RESET_STEP_OTHER;
	r = send_query(srv, sql + 1);
	buf_drop_front(todo, strlen(sql) + 1);
	return r;
}

static int
take_next_step(struct server *srv)
{
	const char *connect_query = srv->target->upstream->keyword_values[UPSTREAM_CONNECT_QUERY];
	const struct reset_order *todo = &srv->reset.todo;
	const char *question = NULL;
	bool is_lost;

	if (srv->ledger.count > 0 && srv->ledger.intake == INTAKE_COPY)
		return fail_copy(srv);
	if (!srv->is_synced || srv->ledger.intake == INTAKE_SYNC)
		return end_request(srv);
	if (srv->ledger.count > 0 || srv->cancel != NULL)
		return 0;
	if (srv->tx != 'I')
		return send_query(srv, "ROLLBACK " MESSAGE_OURS);
	if (todo->has_discard_all)
		return discard_all(srv);
	if ((todo->parts & ~(unsigned)STATE_BACKEND) != 0)
		return send_wash(srv);
	/* If functions of the database have deallocated statements that pgweir believes to be prepared, a Bind of the
	 * next borrower would fail. */
	is_lost = srv->reset.step == RESET_STEP_COUNT && srv->reset.statements_found != srv->statements.count;
	srv->reset.step = RESET_STEP_OTHER;
	if (is_lost) {
		buf_fini(&srv->reset.names);
		server_statements_clear(&srv->statements);
		return send_query(srv, "DEALLOCATE " MESSAGE_OURS "ALL");
	}
	if (srv->reset.names.len > 0)
		return deallocate(srv);
	if (srv->reset.remote.len > 0)
		return send_next_listed(srv);
	if (srv->connect_query == CONNECT_QUERY_DUE && connect_query != NULL && srv->target->replication == NULL) {
		srv->connect_query = CONNECT_QUERY_IN_FORCE;
		return send_query(srv, connect_query);
	}
	if (srv->env->owner_ops->hold_if_due(srv, &question)) {
		srv->reset.step = RESET_STEP_HELD;
		return question == NULL ? 0 : server_ask(srv, question);
	}
	assert(srv->borrower == NULL && srv->ledger.trust == LEDGER_SYNCHRONISED);
	server_step(srv, SE_CLEAN);
	srv->env->owner_ops->clean(srv);
	return 0;
}

void
server_reset_take_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole)
{
	char *copy = malloc(len + 3);
	struct seal_statement row;
	struct probe_row remote;

	if (copy != NULL && is_whole && len >= 2 && wire_u16(body) == 3) {
		srv->reset.has_remote = true;
		if (!probe_read_row(body, len, copy, &remote) || !seal_put_for_row(&srv->reset.remote, &remote))
			server_condemn(srv, SERVER_IN_DOUBT);
	} else if (copy == NULL || !is_whole)
		server_condemn(srv, SERVER_IN_DOUBT); /* unknown statements can't be deallocated */
	else if (seal_read_statement(body, len, copy, &row)) {
		if (row.name == NULL)
			srv->reset.statements_found = row.count;
		else
			buf_put_str(&srv->reset.names, row.name);
	}
	free(copy);
}

void
server_reset_next(struct server *srv)
{
	uint64_t since_us;
	bool is_ours = ledger_owes_own_request(&srv->ledger, &since_us);
	struct fail why;

	assert(srv->state == SV_RESET && srv->borrower == NULL);
	if (srv->ledger.count == 0)
		srv->reset.cancel = RESET_CANCEL_NOT_DUE;
	/* Cancels the borrower's request, once. If a request of pgweir's own runs before that request, cancels pgweir's
	 * request first. Sends no cancel while another one is under way. */
	if (srv->reset.cancel != RESET_CANCEL_NOT_DUE && srv->cancel == NULL &&
	    (!is_ours || srv->reset.cancel != RESET_CANCEL_OURS)) {
		server_cancel(srv, CANCEL_TIMEOUT_US, NULL, NULL);
		srv->reset.cancel = is_ours ? RESET_CANCEL_OURS : RESET_CANCEL_NOT_DUE;
	}
	if (srv->ledger.copy == COPY_BOTH || srv->ledger.trust != LEDGER_SYNCHRONISED || srv->fitness != SERVER_FIT ||
	    !buf_ok(&srv->reset.names) || !buf_ok(&srv->reset.remote)) {
		fail_set(&why, "08006", "a connection that cannot be cleaned is closed");
		server_fail(srv, &why);
		return;
	}
	if (take_next_step(srv) < 0) {
		fail_memory(&why, "the clean-up of a server connection");
		server_fail(srv, &why);
	}
}

bool
server_has_stale_request(const struct server *srv, uint64_t now_us)
{
	return srv->state == SV_RESET && srv->reset.was_returned_at_rest && srv->cancel == NULL &&
	       srv->reset.cancel == RESET_CANCEL_NOT_DUE && now_us - srv->reset.since_us >= STALE_REQUEST_US &&
	       ledger_owes_nobody(&srv->ledger);
}

void
server_cancel_stale_request(struct server *srv)
{
	srv->reset.cancel = RESET_CANCEL_DUE;
	server_reset_next(srv);
}

void
server_reset(struct server *srv, const struct reset_order *order, uint64_t now_us)
{
	if (server_step(srv, SE_BORROWER_GONE) < 0)
		return;
	assert(!srv->is_lingering); /* a borrower that gives its server back has stopped lingering */
	srv->borrower = NULL;
	srv->reset.todo = srv->role == SERVER_CONSOLE ? (struct reset_order){ 0 } : *order;
	srv->reset.was_returned_at_rest = (srv->ledger.count == 0 || ledger_owes_nobody(&srv->ledger)) &&
					  srv->tx == 'I' && srv->is_synced && !order->has_discard_all;
	server_disown_ahead(srv);
	srv->reset.since_us = now_us;
	srv->reset.held_since_us = 0;
	srv->reset.has_remote = false;
	srv->reset.deadline_us = now_us + RESET_TIMEOUT_US;
	srv->reset.cancel = srv->reset.was_returned_at_rest ? RESET_CANCEL_NOT_DUE : RESET_CANCEL_DUE;
	srv->reset.step = RESET_STEP_OTHER;
	stream_set_reading(&srv->stream, true);
	server_reset_next(srv);
}
