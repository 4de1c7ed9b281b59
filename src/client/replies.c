/*
 * src/client/replies.c - replies: what server.c reports of a server that a client has borrowed.
 *
 * server.c walks them and hands over what is the client's; at the end of a batch they are sent, and the server is
 * returned if nothing is owed, no transaction is open, no message of the client is half sent, no cancel is under way
 * and nothing pins it (relay_try_release).
 */
#include "client/client.h"
#include "client/listen.h"
#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>

static void
on_pass(struct server *srv, const uint8_t *bytes, size_t len)
{
	struct client *c = srv->link;
	struct outbox *o = &c->env->to_client;

	if (c->is_closing || c->state != CL_READY)
		return;
	if (o->to != &c->stream)
		outbox_begin(o, &c->stream);
	outbox_ref(o, bytes, len);
	srv->bytes_to_client += len;
	c->entry->database->counters.bytes_out[NS_CLIENT] += len;
	c->entry->database->counters.bytes_in[NS_SERVER] += len;
}

static bool
breaks_statement_mode(struct client *c, struct server *srv)
{
	struct fail why;

	if (c->entry->settings.pool_mode != POOL_MODE_STATEMENT || srv->tx == 'I')
		return false;
	fail_set(&why, "0A000", "transaction blocks are not possible in pool_mode = statement");
	fail_hint(&why, "Set pool_mode = transaction for this database or user.");
	srv->is_closing = true;
	client_close(c, &why);
	return true;
}

static bool
on_request_done(struct server *srv, const struct owed *ended)
{
	struct client *c = srv->link;

	if (breaks_statement_mode(c, srv))
		return false;
	if (srv->has_changed_plans && srv->tx == 'I') {
		srv->has_changed_plans = false;
		statement_store_renew_all(c->env->statements);
	}
	statements_request_done(c);
	if (c->sole_use != NULL)
		sole_use_request_done(c, ended);
	if (c->session != NULL)
		session_request_done(c);
	report_done(c, srv, ended);
	return listen_request_done(c);
}

static void
on_settled(struct server *srv, const struct owed *o, enum owed_end how)
{
	if (o->kind == OWED_EXECUTE)
		session_prepare_settled(srv, o, how);
	else
		statements_settled(srv, o, how);
}

static void
on_made(struct server *srv, const struct owed *o)
{
	struct client *c = srv->link;

	if (c != NULL && !c->is_closing)
		relay_answer(c, o->kind == OWED_MADE_PARSE ? "1\0\0\0\4" : "3\0\0\0\4", 5);
}

/* The settings could not be replayed: what was sent behind them must not be believed. */
static void
image_failed(struct client *c, struct server *srv, const struct error_fields *e)
{
	struct fail why;

	fail_set(&why, e->sqlstate != NULL ? e->sqlstate : "XX000", "%s",
		 e->message != NULL ? e->message : "(no message)");
	fail_detail(&why, "pgweir was setting this session's parameters on another server connection.");
	srv->is_closing = true;
	client_close(c, &why);
}

static bool
on_error(struct server *srv, const struct error_fields *e, enum owed_to to, bool is_error_owed, const uint8_t *message,
	 size_t len)
{
	struct client *c = srv->link;
	struct buf b = { 0 };
	bool is_replaced;

	if (fields_error_is_fatal(e))
		srv->is_closing = true;
	if (c == NULL)
		return false;
	/* The server ends after it has answered everything: nothing of the client's is lost, so it need not know. */
	if (ledger_head(&srv->ledger) == NULL && srv->tx == 'I' && srv->is_synced && !is_error_owed && c->pins == 0 &&
	    !c->is_session)
		return true;
	if (c->state == CL_WELCOME) {
		login_server_error(c, e);
		return true;
	}
	if (to == OWED_TO_IMAGE) {
		image_failed(c, srv, e);
		return true;
	}
	if (to == OWED_TO_PROBE) {
		session_probe_failed(c);
		return true;
	}
	if (to == OWED_TO_LOOK)
		return true;
	if (to == OWED_TO_PREPARE) {
		session_keep_error(c, message, len);
		return true;
	}
	if (rerun_wanted(c, e))
		return true;
	srv->has_failed = true;
	if (c->session != NULL)
		session_request_failed(c);
	memcpy(srv->sqlstate, e->sqlstate != NULL ? e->sqlstate : "?????", sizeof(srv->sqlstate));
	report_error(c->entry, EO_SERVER, e->sqlstate);
	if (listen_error(c, e))
		return true;
	if (session_tell_kept_error(c, e->sqlstate))
		return true;
	is_replaced = statements_rewrite_error(c, message, len, &b);
	if (is_replaced)
		relay_answer(c, b.bytes, b.len);
	buf_fini(&b);
	return is_replaced;
}

/* Tags of commands after which statements that were prepared before may mean something else. */
static bool
changes_plans(const char *tag)
{
	static const char *const tags[] = { "ALTER TABLE",   "ALTER TYPE",     "ALTER VIEW",  "ALTER MATERIALIZED VIEW",
					    "ALTER DOMAIN",  "ALTER FUNCTION", "CREATE VIEW", "CREATE FUNCTION",
					    "DROP TABLE",    "DROP TYPE",      "DROP VIEW",   "DROP DOMAIN",
					    "DROP FUNCTION", "DROP SCHEMA" };

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
		if (strcmp(tag, tags[i]) == 0)
			return true;
	return false;
}

static bool
on_complete(struct server *srv, const char *tag)
{
	struct client *c = srv->link;
	size_t len = strnlen(tag, sizeof(srv->tag) - 1);

	memcpy(srv->tag, tag, len);
	srv->tag[len] = '\0';
	if (tag[0] == 'D' && (strcmp(tag, "DISCARD ALL") == 0 || strcmp(tag, "DEALLOCATE ALL") == 0))
		statements_deallocated_all(c);
	else if (tag[0] == 'D' && strcmp(tag, "DEALLOCATE") == 0)
		statements_deallocated(c);
	if ((tag[0] == 'A' || tag[0] == 'C' || tag[0] == 'D') && changes_plans(tag)) {
		srv->has_changed_plans = true; /* once more when it commits: until then others see the old tables */
		statement_store_renew_all(c->env->statements);
	}
	if (tag[0] == 'R' && strcmp(tag, "ROLLBACK") == 0)
		srv->has_rolled_back = true;
	if (tag[0] == 'D' && strcmp(tag, "DISCARD ALL") == 0)
		session_discarded(c);
	/* Startup settings are the client's defaults: they are given to the server again before anybody borrows it. */
	if (tag[0] == 'R' && strcmp(tag, "RESET") == 0 && !c->is_session && !session_is_followed(c) &&
	    image_doubt(&srv->image) < 0)
		srv->is_closing = true;
	return listen_complete(c, tag);
}

/* In session mode the client listens on its own server. */
static bool
on_notification(struct server *srv, const uint8_t *message, size_t len)
{
	struct client *c = srv->link;

	return !c->is_session && listen_notification(c, message, len);
}

static bool
on_parameter(struct server *srv, const char *name, const char *value, bool is_passed)
{
	struct client *c = srv->link;

	if (c != NULL && c->session != NULL && is_passed && session_hides_parameter(c, name))
		return true;
	if (c != NULL && is_passed && c->state == CL_READY && !image_is_read_only(name) &&
	    image_update(&c->image, name, value, IMAGE_REPORTED) < 0)
		relay_out_of_memory(c);
	return false;
}

/* Something was answered: perhaps what it waits for; else it is held again. */
static void
resume_held(struct client *c)
{
	uint8_t *whole = c->pending;
	size_t len = c->pending_len;

	if (!c->is_held || c->is_closing)
		return;
	c->is_held = false;
	c->pending = NULL;
	c->pending_len = c->pending_cap = 0;
	stream_set_reading(&c->stream, true);
	relay_bytes(c, whole, len);
	free(whole);
}

/* PostgreSQL ends a connection that sends such a message within COPY IN, but this one it never saw: it would wait. */
static bool
breaks_copy(struct client *c, struct server *srv)
{
	const struct ledger *l = &srv->ledger;
	struct fail why;

	if (l->copy != COPY_IN || l->count < 2 || l->ring[(l->head + 1) & (l->cap - 1)].kind < OWED_MADE_PARSE)
		return false;
	fail_set(&why, "08P01", "unexpected message type during COPY from stdin");
	srv->is_closing = true;
	client_close(c, &why);
	return true;
}

static void
on_batch_end(struct server *srv)
{
	struct client *c = srv->link;
	struct client_env *env;

	if (c == NULL) { /* the client went while its replies were walked */
		server_close(srv);
		return;
	}
	env = c->env;
	if (c->state == CL_WELCOME) {
		if (srv->ledger.count == 0)
			login_server_done(c);
		return;
	}
	if (env->to_client.to == &c->stream && outbox_flush(&env->to_client) < 0) {
		relay_out_of_memory(c);
		return;
	}
	report_flushed(c, srv, stream_queued(&c->stream) == 0);
	if (breaks_copy(c, srv))
		return;
	if (stream_is_full(&c->stream)) {
		stream_set_reading(&srv->stream, false);
		stream_set_reading(&c->stream, false); /* or it could ask for ever more without reading any of it */
		c->is_stalled = true;
		srv->paused_since_us = *env->now_us;
	}
	relay_unstall(c);
	if (c->is_rerunning && srv->ledger.count == 0)
		rerun_now(c);
	resume_held(c); /* before its server could go: what it waited for may be the replay of its settings there */
	relay_try_release(c);
	listen_flush(c); /* what came while something was owed */
}

static void
on_lost(struct server *srv, const struct fail *why)
{
	struct client *c = srv->link;
	struct fail told = *why;

	if (c == NULL)
		return;
	if (c->state == CL_READY && (srv->was_owing || srv->tx != 'I'))
		report_failure(c, why, RF_BACKEND_LOST, "backend_lost");
	c->srv = NULL;
	srv->link = NULL;
	if (c->env->to_server.to == &srv->stream)
		outbox_begin(&c->env->to_server, NULL);
	if (c->state == CL_WELCOME) {
		login_server_lost(c, why);
		return;
	}
	/* PostgreSQL has said FATAL itself, and the client has it; or it has part of a message, and that must stay one.
	 */
	if (srv->is_closing || (srv->body_left > 0 && !srv->is_body_swallowed)) {
		client_close(c, NULL);
		return;
	}
	if (told.hint[0] == '\0')
		fail_hint(&told, "The transaction that was open, if any, is lost. Connect again.");
	client_close(c, &told);
}

static void
on_drained(struct server *srv)
{
	struct client *c = srv->link;

	if (c != NULL)
		relay_unstall(c);
}

const struct server_ops relay_server_ops = {
	on_pass,	 on_request_done, on_settled,	on_made,	   statements_described,
	on_error,	 on_complete,	  on_parameter, session_probe_row, session_probe_done,
	on_notification, on_batch_end,	  on_lost,	on_drained
};
