/* src/server/server.c - a server connection's life: opening, lending, pinging, closing. See server.h. */
#include "server/server_parts.h"
#include "server/server.h"
#include "wire/messages.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define LOSSES_LOGGED 3u /* how many lost connections of a second may have a log line of their own */

int
server_step_logged(struct server *srv, enum server_event ev, enum server_state to)
{
	if (to == SV_NONE) {
		log_error(srv->env->log, "BUG: server %" PRIu64 ": %s while %s", srv->id, server_event_name(ev),
			  server_state_name(srv->state));
		return -1;
	}
	log_debug(srv->env->log, "server %" PRIu64 ": %s -> %s (%s)", srv->id, server_state_name(srv->state),
		  server_state_name(to), server_event_name(ev));
	srv->state = to;
	return 0;
}

static void
free_server(struct deferred_entry *g)
{
	struct server *srv = (struct server *)((char *)g - offsetof(struct server, deferred));

	assert(srv->state == SV_DEAD && srv->borrower == NULL && !srv->is_lingering);
	assert(srv->ledger.count == 0 && srv->dial == NULL && srv->login == NULL && srv->cancel == NULL);
	gucs_unref(srv->gucs);
	gucs_unref(srv->plan_gucs);
	buf_fini(&srv->carry);
	free(srv->last_words);
	loan_fini(&srv->loan);
	buf_fini(&srv->reset.names);
	buf_fini(&srv->reset.remote);
	OPENSSL_cleanse(srv->key, sizeof(srv->key));
	free(srv);
}

void
server_note_owed(struct server *srv)
{
	if (!srv->is_owed_final)
		srv->owed_count = ledger_list_client(&srv->ledger, srv->owed, SERVER_OWED_MAX);
}

/* Frees what srv needs only while it is connected, and calls ops.settled for the replies that were owed. */
void
server_free_parts(struct server *srv)
{
	uint64_t since_us;

	/* With INTAKE_SYNC and an empty ledger, an error has ended the request, and its Sync was not sent yet. If
	 * PostgreSQL has skipped a simple Query since, the client waits for a reply that is not in the ledger. */
	srv->was_owing = ledger_owes_client(&srv->ledger, &since_us) ||
			 (srv->ledger.intake == INTAKE_SYNC && srv->ledger.count == 0);
	server_note_owed(srv);
	dial_cancel(srv->dial);
	srv->dial = NULL;
	password_ask_cancel(&srv->ask);
	server_forget_secret(srv);
	if (srv->login_timer != NULL)
		event_free(srv->login_timer);
	srv->login_timer = NULL;
	stream_close(&srv->stream);
	server_cancel_forget(srv);
	ledger_fini(&srv->ledger);
	server_statements_clear(&srv->statements);
}

void
server_free_later(struct server *srv)
{
	server_login_free(srv->login);
	srv->login = NULL;
	deferred_frees_add(srv->env->deferred_frees, &srv->deferred, free_server);
}

void
server_finish_closing(struct server *srv)
{
	assert(srv->stream.fd < 0 && srv->ledger.count == 0 && srv->cancel == NULL);
	server_step(srv, SE_LOST);
	srv->borrower = NULL;
	srv->env->owner_ops->closed(srv);
	server_free_later(srv);
}

void
server_close(struct server *srv)
{
	if (srv->state == SV_DEAD)
		return;
	if (srv->state == SV_IDLE)
		server_write(srv, MESSAGE_BARE("X"));
	server_free_parts(srv);
	server_finish_closing(srv);
}

/* A backend closes its socket when it exits; only then are the backend's locks and its connection slot free. */
void
server_terminate(struct server *srv, uint64_t now_us)
{
	if (srv->state != SV_IDLE || server_write(srv, MESSAGE_BARE("X")) < 0) {
		server_close(srv);
		return;
	}
	server_step(srv, SE_TERMINATE);
	srv->reset.deadline_us = now_us + SERVER_TERMINATE_US;
}

bool
server_is_late(const struct server *srv, uint64_t now_us)
{
	return (srv->state == SV_RESET || srv->state == SV_ENDING) && srv->reset.deadline_us <= now_us;
}

struct log_about
server_about(const struct server *srv, const char *event, const struct fail *why)
{
	return (struct log_about){ .event = event,
				   .server_id = srv->id,
				   .server = srv->address,
				   .database = srv->target->database,
				   .user = srv->target->user,
				   .why = why };
}

void
server_keep_last_words(struct server *srv, const struct error_fields *e)
{
	loan_set_end(&srv->loan, LOAN_END_FATAL_SENT);
	memcpy(srv->last_sqlstate, e->sqlstate != NULL ? e->sqlstate : "?????", sizeof(srv->last_sqlstate));
	if (srv->last_words == NULL && e->message != NULL)
		srv->last_words = strdup(e->message);
}

bool
server_get_last_words(const struct server *srv, struct fail *why)
{
	if (srv == NULL || srv->loan.end != LOAN_END_FATAL_SENT)
		return false;
	fail_set(why, srv->last_sqlstate, "PostgreSQL at %s ended the session: %s", srv->address,
		 srv->last_words != NULL ? srv->last_words : "(no message)");
	fail_pgbouncer_text(why, "server conn crashed?");
	return true;
}

/* Counts the loss of srv. Returns true if this loss may have a log line of its own. */
static bool
note_loss(struct server *srv, const struct fail *why)
{
	struct server_losses *l = srv->env->losses;
	uint64_t now_us = *srv->env->now_us;

	if (l == NULL)
		return true;
	server_losses_log(srv->env, now_us);
	if (l->since_us == 0)
		l->since_us = now_us;
	l->why = *why;
	memcpy(l->address, srv->address, sizeof(l->address));
	l->total++;
	return ++l->count <= LOSSES_LOGGED;
}

void
server_losses_log(const struct server_env *env, uint64_t now_us)
{
	struct server_losses *l = env->losses;
	const struct log_about about = { .event = "servers_lost", .server = l->address, .why = &l->why };

	if (l->since_us == 0 || now_us - l->since_us < US_PER_S)
		return;
	if (l->count > LOSSES_LOGGED)
		log_event(
		    env->log, LOG_LEVEL_WARNING, &about,
		    "%s: %s; %" PRIu32 " server connections were lost within a second, and %s failed with them",
		    l->why.sqlstate, l->why.text, l->count,
		    base_format_count(l->harmful_count, "request or transaction", "requests or transactions").text);
	*l = (struct server_losses){ .total = l->total };
}

void
server_fail(struct server *srv, const struct fail *why)
{
	struct fail logged = *why; /* the failure as the log shows it */
	const struct log_about about = server_about(srv, "server_lost", &logged);
	enum server_state was = srv->state;
	enum log_level level = was == SV_LENT || was == SV_RESET ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO;

	if (was == SV_ENDING)
		server_close(srv);
	if (srv->state == SV_DEAD)
		return;
	if (was == SV_IN_TRANSFER) { /* the other worker closes srv */
		server_condemn(srv, SERVER_IN_DOUBT);
		return;
	}
	server_get_last_words(srv, &logged);
	if (!note_loss(srv, &logged) && srv->end_log_line == END_LOG_LINE_OF_ITS_OWN)
		srv->end_log_line = END_LOG_LINE_OF_MANY;
	server_free_parts(srv);
	if (was == SV_LENT)
		srv->env->ops->lost(srv, why);
	else
		srv->env->owner_ops->gone(srv, why);
	if (srv->end_log_line == END_LOG_LINE_OF_MANY)
		level = LOG_LEVEL_DEBUG;
	if (srv->end_log_line != END_LOG_LINE_OF_BORROWER && log_is_enabled(srv->env->log, level))
		log_event(srv->env->log, level, &about, "server %" PRIu64 " (%s, %s/%s) ends: %s: %s", srv->id,
			  srv->address, srv->target->database, srv->target->user, logged.sqlstate, logged.text);
	server_finish_closing(srv);
}

struct server *
server_new(const struct server_env *env, const struct server_target *target, struct policy_conn *conn, void *owner,
	   uint64_t id, uint32_t turn, const struct upstream_host *only, uint64_t now_us)
{
	struct server *srv = calloc(1, sizeof(*srv));

	if (srv == NULL)
		return NULL;
	srv->stream.fd = -1;
	srv->env = env;
	srv->target = target;
	srv->conn = conn;
	srv->owner = owner;
	srv->id = id;
	srv->state = SV_DIALING;
	srv->tx = 'I';
	srv->is_synced = true;
	srv->created_us = now_us;
	server_set_first_host(srv, turn, only);
	ledger_init(&srv->ledger, NULL, srv);
	srv->gucs = gucs_empty(env->guc_store);
	srv->login_timer = event_new(env->base, -1, 0, server_on_login_timer, srv);
	if (srv->gucs == NULL || srv->login_timer == NULL || server_dial_host(srv) < 0) {
		if (srv->login_timer != NULL)
			event_free(srv->login_timer);
		server_forget_secret(srv);
		gucs_unref(srv->gucs);
		free(srv);
		return NULL;
	}
	return srv;
}

int
server_write(struct server *srv, const void *bytes, size_t len)
{
	struct iovec piece = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };

	srv->bytes_out += len;
	if (stream_write(&srv->stream, &piece, 1) == 0)
		return 0;
	srv->stream.is_broken = true; /* bytes are missing, so nothing may follow them */
	return -1;
}

inline int
server_lend(struct server *srv, void *borrower, uint64_t now_us)
{
	if (server_step(srv, SE_LEND) < 0)
		return -1;
	/* No reply to the last borrower's messages, and no cancel of its requests, may reach this borrower. */
	assert(srv->borrower == NULL && srv->ledger.count == 0 && srv->cancel == NULL);
	srv->borrower = borrower;
	/* If the last borrower left before the end of its transaction, its DDL may have been rolled back. */
	if (srv->loan.ddl != DDL_NONE)
		server_statements_outdate(&srv->statements);
	loan_begin(&srv->loan, now_us);
	return 0;
}

static int
send_question(struct server *srv, enum server_question_state question, enum owed_to to, const char *sql)
{
	struct buf b = { 0 };

	assert(srv->ledger.count == 0 && srv->borrower == NULL);
	srv->question_state = (uint8_t)question;
	message_query(&b, sql);
	server_owe_query(srv, to);
	return server_send(srv, &b);
}

void
server_ping(struct server *srv, enum server_question_state question, const char *sql)
{
	if (server_step(srv, SE_ASK_PING) < 0)
		return;
	srv->loan.ping_sent_us = *srv->env->now_us;
	(void)send_question(srv, question, question == QUESTION_OF_OWNER ? OWED_TO_OWNER : OWED_TO_PING, sql);
}

int
server_ask(struct server *srv, const char *question)
{
	return send_question(srv, QUESTION_OF_OWNER, OWED_TO_OWNER, question);
}
