/*
 * src/server/server.c - a server connection's life, and the reading side of the relay. See server.h.
 *
 * Reading: one recv into the loop's buffer, then message by message. Runs of messages owed to the borrower are handed
 * on as they lie. A message that must be looked into but is not whole yet is kept (carried) until it is; all others
 * need no more memory than the count of bytes still to come.
 */
#include "server/server.h"

#include "base/clock.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIN_BYTES_MAX ((uint64_t)1 << 20) /* of all that a server says while it logs us in */

static void on_readable(void *arg);
static void on_drained(void *arg);
static int dial_host(struct server *srv);
static const struct stream_ops stream_ops = { on_readable, on_drained };

int
server_step(struct server *srv, enum server_event ev)
{
	enum server_state to = server_state_next(srv->state, ev);

	if (to == SV_NONE) {
		log_error(srv->env->log, "BUG: server %u: %s while %s", srv->id, server_event_name(ev),
			  server_state_name(srv->state));
		return -1;
	}
	log_debug(srv->env->log, "server %u: %s -> %s (%s)", srv->id, server_state_name(srv->state),
		  server_state_name(to), server_event_name(ev));
	srv->state = to;
	return 0;
}

static void
free_later(struct grave *g)
{
	struct server *srv = (struct server *)((char *)g - offsetof(struct server, grave));

	image_unref(srv->image);
	free(srv->carry);
	loan_fini(&srv->loan);
	buf_fini(&srv->reset.names);
	OPENSSL_cleanse(srv->key, sizeof(srv->key));
	free(srv);
}

/* Everything it holds but its memory; ops.settled is called for what was owed. */
static void
let_go(struct server *srv)
{
	uint64_t since_us;

	srv->was_owing = ledger_owes_client(&srv->ledger, &since_us);
	dial_cancel(srv->dial);
	srv->dial = NULL;
	if (srv->login_timer != NULL)
		event_free(srv->login_timer);
	srv->login_timer = NULL;
	stream_close(&srv->stream);
	server_cancel_forget(srv);
	ledger_fini(&srv->ledger);
	server_statements_clear(&srv->statements);
}

static void
finish(struct server *srv)
{
	server_step(srv, SE_LOST);
	srv->link = NULL;
	srv->env->owner_ops->closed(srv);
	server_login_free(srv->login);
	srv->login = NULL;
	graveyard_bury(srv->env->graveyard, &srv->grave, free_later);
}

void
server_close(struct server *srv)
{
	if (srv->state == SV_DEAD)
		return;
	if (srv->state == SV_IDLE)
		server_write(srv, "X\0\0\0\4", 5);
	let_go(srv);
	finish(srv);
}

void
server_fail(struct server *srv, const struct fail *why)
{
	enum server_state was = srv->state;

	if (was == SV_DEAD)
		return;
	log_write(srv->env->log, was == SV_LENT || was == SV_RESET ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
		  "server %u (%s, %s/%s) ends: %s: %s", srv->id, srv->address, srv->target->database, srv->target->user,
		  why->sqlstate, why->text);
	let_go(srv);
	if (was == SV_LENT)
		srv->env->ops->lost(srv, why);
	else
		srv->env->owner_ops->gone(srv, why);
	finish(srv);
}

/* --- dialling and login --- */

/* What one host has told is not another's: with its key, a cancel would be sent for a process of a stranger's. */
static int
forget_host(struct server *srv)
{
	struct image *empty = image_empty(srv->env->images);

	if (empty == NULL)
		return -1;
	image_unref(srv->image);
	srv->image = empty;
	srv->pid = 0;
	OPENSSL_cleanse(srv->key, sizeof(srv->key));
	srv->key_len = 0;
	return 0;
}

/* To the host of host_index, from the start. */
static int
redial(struct server *srv)
{
	stream_close(&srv->stream);
	server_login_free(srv->login);
	srv->login = NULL;
	free(srv->carry);
	srv->carry = NULL;
	srv->carry_len = 0;
	srv->bytes_in = srv->body_left = 0;
	return forget_host(srv) == 0 && server_step(srv, SE_NEXT_HOST) == 0 && dial_host(srv) == 0 ? 0 : -1;
}

static bool
try_next_host(struct server *srv, enum connect_failure kind)
{
	if (kind == CF_TOO_MANY || srv->host_index + 1 >= srv->target->upstream->host_count)
		return false;
	srv->host_index++;
	srv->is_tls_given_up = false;
	return redial(srv) == 0;
}

void
server_login_failed(struct server *srv, enum connect_failure kind, bool is_fatal, const struct fail *why)
{
	struct fail kept = *why;

	log_info(srv->env->log, "server %u (%s, %s/%s): %s", srv->id, srv->address, srv->target->database,
		 srv->target->user, why->text);
	if (try_next_host(srv, kind))
		return;
	let_go(srv);
	srv->env->owner_ops->failed(srv, kind, is_fatal, &kept);
	finish(srv);
}

static void
begin_login(struct server *srv)
{
	struct fail why;

	if (server_login_begin(srv, &why) < 0)
		server_login_failed(srv, CF_OTHER, false, &why);
}

static void
on_dialled(const struct dial_result *result, void *arg)
{
	struct server *srv = arg;
	struct fail why;

	*srv->env->now_us = clock_now_us();
	srv->dial = NULL;
	if (result->fd < 0) {
		server_login_failed(srv, result->kind, false, &result->why);
		return;
	}
	srv->peer = result->peer;
	srv->peer_len = result->peer_len;
	if (stream_open(&srv->stream, srv->env->base, result->fd, &stream_ops, srv) < 0) {
		fail_set(&why, "53200", "no memory for a server connection");
		server_login_failed(srv, CF_OTHER, false, &why);
		return;
	}
	server_step(srv, SE_CONNECTED);
	switch (server_tls_begin(srv, &why)) {
	case 0:
		begin_login(srv);
		break;
	case 1:
		break;
	default:
		server_login_failed(srv, CF_TLS, false, &why);
		break;
	}
}

void
server_tls_done(struct server *srv, const struct fail *failed)
{
	struct fail why;

	*srv->env->now_us = clock_now_us();
	if (failed == NULL) {
		begin_login(srv);
		return;
	}
	if (!srv->target->is_tls_required) { /* as libpq: once more without */
		log_info(srv->env->log, "server %u (%s): %s; trying without TLS", srv->id, srv->address, failed->text);
		srv->is_tls_given_up = true;
		if (redial(srv) == 0)
			return;
	}
	fail_set(&why, failed->sqlstate, "TLS with PostgreSQL at %s: %s", srv->address, failed->text);
	fail_hint(&why, "It is asked for by sslmode in upstream, or by mode in section [tls_server] of pgweir.ini.");
	server_login_failed(srv, CF_TLS, true, &why);
}

static int
process_tls_answer(struct server *srv, const uint8_t *p, size_t len)
{
	struct fail why;
	int r = server_tls_answer(srv, p, len, &why);

	if (r < 0)
		server_login_failed(srv, CF_TLS, p[0] != 'E', &why); /* an error: it may have no room just now */
	else if (r == 1)
		begin_login(srv);
	return r;
}

static void
on_login_timer(evutil_socket_t fd, short what, void *arg)
{
	struct server *srv = arg;
	struct fail why;

	(void)fd;
	(void)what;
	*srv->env->now_us = clock_now_us();
	fail_set(&why, "08001", "PostgreSQL at %s did not finish a login within connect_timeout", srv->address);
	dial_cancel(srv->dial);
	srv->dial = NULL;
	server_login_failed(srv, CF_TIMEOUT, false, &why);
}

static int
dial_host(struct server *srv)
{
	const struct upstream_host *h = &srv->target->upstream->hosts[srv->host_index];
	uint64_t us = srv->target->connect_timeout_us; /* for each host anew, as libpq does */
	struct timeval tv = { (time_t)(us / US_PER_S), (suseconds_t)(us % US_PER_S) };

	snprintf(srv->address, sizeof(srv->address), h->host[0] == '/' ? "%s/.s.PGSQL.%u" : "%s:%u", h->host, h->port);
	if (us > 0 && event_add(srv->login_timer, &tv) < 0)
		return -1;
	srv->dial = dial_start(srv->env->dialer, h->host, h->port, 0, on_dialled, srv);
	return srv->dial == NULL ? -1 : 0;
}

struct server *
server_new(const struct server_env *env, const struct server_target *target, struct pool_conn *conn, void *owner,
	   uint32_t id, uint64_t now_us)
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
	srv->connected_us = now_us;
	ledger_init(&srv->ledger, NULL, srv);
	srv->image = image_empty(env->images);
	srv->login_timer = event_new(env->base, -1, 0, on_login_timer, srv);
	if (srv->image == NULL || srv->login_timer == NULL || dial_host(srv) < 0) {
		if (srv->login_timer != NULL)
			event_free(srv->login_timer);
		image_unref(srv->image);
		free(srv);
		return NULL;
	}
	return srv;
}

static void
settled(void *arg, const struct owed *o, enum owed_end how)
{
	struct server *srv = arg;

	srv->env->ops->settled(srv, o, how);
}

static void
made(void *arg, const struct owed *o)
{
	struct server *srv = arg;

	srv->env->ops->made(srv, o);
}

static const struct ledger_ops ledger_ops = { settled, made };

static void
login_done(struct server *srv)
{
	event_free(srv->login_timer);
	srv->login_timer = NULL;
	ledger_init(&srv->ledger, &ledger_ops, srv);
	server_step(srv, SE_LOGGED_IN);
	srv->env->owner_ops->ready(srv);
	server_login_free(srv->login);
	srv->login = NULL;
}

/* All whole messages of a login; what is left is carried. Bytes used, or -1: it is over (closed or another host). */
static ssize_t
process_login(struct server *srv, const uint8_t *p, size_t len)
{
	struct fail why;
	size_t at = 0;

	if (srv->bytes_in > LOGIN_BYTES_MAX) {
		fail_set(&why, "08P01", "PostgreSQL at %s did not come to an end of its login", srv->address);
		server_login_failed(srv, CF_OTHER, true, &why);
		return -1;
	}
	while (at < len) {
		struct frame f;
		enum connect_failure kind = CF_OTHER;
		bool is_fatal = false;
		enum frame_result r = frame_parse(p + at, len - at, &f);
		enum login_step step;

		if (srv->body_left > 0) { /* of a notice too long to keep, and of no use */
			size_t n = len - at < srv->body_left ? len - at : (size_t)srv->body_left;

			at += n;
			srv->body_left -= n;
			continue;
		}
		if (r == FRAME_PARTIAL)
			break;
		if (r == FRAME_OK && f.type == 'N' && f.body_len > SERVER_CARRY_MAX - FRAME_HEAD_LEN) {
			srv->body_left = f.body_len;
			at += FRAME_HEAD_LEN;
			continue;
		}
		if (r == FRAME_BAD || f.body_len > SERVER_CARRY_MAX - FRAME_HEAD_LEN) {
			fail_set(&why, "08P01", "PostgreSQL at %s sent a malformed message during login", srv->address);
			server_login_failed(srv, CF_OTHER, true, &why);
			return -1;
		}
		if (len - at < FRAME_HEAD_LEN + (size_t)f.body_len)
			break;
		step = server_login_message(srv, f.type, p + at + FRAME_HEAD_LEN, f.body_len, &kind, &is_fatal, &why);
		at += FRAME_HEAD_LEN + (size_t)f.body_len;
		if (step == LOGIN_FAILED) {
			server_login_failed(srv, kind, is_fatal, &why);
			return -1;
		}
		if (step == LOGIN_GOES_ON)
			continue;
		if (at < len) {
			/* A backend that is terminated at once says so; anything else has no place here. */
			bool is_news = memchr("ENS", p[at], 3) != NULL;

			fail_set(&why, is_news ? "57P01" : "08P01", "PostgreSQL at %s %s", srv->address,
				 is_news ? "ended a connection right after its login" : "sent bytes after its login");
			server_login_failed(srv, CF_OTHER, !is_news, &why);
			return -1;
		}
		login_done(srv);
		return srv->state == SV_DEAD ? -1 : (ssize_t)at;
	}
	return (ssize_t)at;
}

/* --- replies --- */

/* Rows of whose answers we read. */
static bool
is_read_by_us(uint8_t to)
{
	return to == OWED_TO_PROBE || to == OWED_TO_RESET || to == OWED_TO_OWNER;
}

static void
got_row(struct server *srv, enum owed_to to, const uint8_t *body, size_t len, bool is_whole)
{
	if (to == OWED_TO_PROBE)
		srv->env->ops->probe_row(srv, body, len, is_whole);
	else if (to == OWED_TO_RESET)
		server_reset_row(srv, body, len, is_whole);
	else
		srv->env->owner_ops->answer_row(srv, body, len, is_whole);
}

static bool
is_looked_into(const struct server *srv, uint8_t type)
{
	return type == 'Z' || type == 'C' || type == 'S' || type == 'E' || type == 'A' || type == 'N' ||
	       (type == 'D' && srv->loan.makes_true) ||
	       (type == 'D' && srv->ledger.count > 0 && is_read_by_us(ledger_head(&srv->ledger)->to));
}

/* What a Describe brought: only if somebody wants to know. */
static bool
is_description(const struct owed *o, uint8_t type)
{
	return (type == 'T' || type == 't' || type == 'n') && o != NULL &&
	       (o->kind == OWED_DESCRIBE_STATEMENT || o->kind == OWED_DESCRIBE_PORTAL) && o->ref != NULL;
}

/* Where the replies of one read stand: [run, at) is to be passed; the last ReadyForQuery ended at request. */
struct walk {
	struct server *srv;
	const uint8_t *p;
	size_t len, at, run, request;
};

static void
pass_run(struct walk *w)
{
	if (w->at > w->run && w->srv->link != NULL)
		w->srv->env->ops->pass(w->srv, w->p + w->run, w->at - w->run);
	w->run = w->at;
}

/* What belongs to requests that were answered before this one. */
static void
pass_earlier(struct walk *w)
{
	size_t at = w->at;

	if (w->request <= w->run)
		return;
	w->at = w->request;
	pass_run(w);
	w->at = at;
}

/* Bytes of a message whose head was seen before. */
static void
walk_body(struct walk *w)
{
	struct server *srv = w->srv;
	size_t n = w->len - w->at;

	if (n > srv->body_left)
		n = (size_t)srv->body_left;
	w->at += n;
	srv->body_left -= n;
	if (srv->is_body_swallowed)
		w->run = w->at;
}

static int
violated(const struct server *srv, uint8_t type, struct fail *why)
{
	const struct owed *o = ledger_head(&srv->ledger);

	fail_set(why, "08P01", "PostgreSQL at %s sent a message of type 0x%02x where %s%s was due", srv->address, type,
		 o == NULL ? "nothing" : "an answer to ", o == NULL ? "" : owed_kind_name(o->kind));
	return fail_detail(why, "The server connection was closed; its other answers can't be trusted.");
}

static int
got_error(struct server *srv, const uint8_t *message, size_t len, enum owed_to to, bool is_owed, bool *is_replaced,
	  struct fail *why)
{
	struct error_fields e;
	bool is_lost_setting;

	fields_error(message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN, &e);
	if (srv->link == NULL && srv->ledger.count == 0 && srv->state != SV_RESET)
		return fail_set(why, e.sqlstate != NULL ? e.sqlstate : "08006",
				"PostgreSQL at %s closed an idle connection: %s", srv->address,
				e.message != NULL ? e.message : "(no message)");
	/* Which settings it has is not known then; a statement that is not there (26000) is none. */
	is_lost_setting =
	    to == OWED_TO_IMAGE && srv->state == SV_RESET && (e.sqlstate == NULL || strcmp(e.sqlstate, "26000") != 0);
	if (to == OWED_TO_PING || to == OWED_TO_RESET || is_lost_setting)
		return fail_set(why, e.sqlstate != NULL ? e.sqlstate : "XX000",
				"PostgreSQL at %s answered our %s with: %s", srv->address,
				to == OWED_TO_PING    ? "ping"
				: to == OWED_TO_RESET ? "clean-up"
						      : "settings",
				e.message != NULL ? e.message : "(no message)");
	if (to == OWED_TO_OWNER && is_owed) {
		srv->reset.is_refused = true;
		srv->is_closing = srv->is_closing || fields_error_is_fatal(&e);
		return 0;
	}
	*is_replaced = srv->env->ops->error(srv, &e, to, is_owed, message, len);
	return 0;
}

static int
got_parameter(struct server *srv, const uint8_t *body, size_t len, bool *is_passed, struct fail *why)
{
	const char *name, *value;

	if (!fields_parameter(body, len, &name, &value))
		return fail_set(why, "08P01", "PostgreSQL at %s sent a malformed ParameterStatus", srv->address);
	if (!image_is_read_only(name) && image_update(&srv->image, name, value, true) < 0)
		return fail_set(why, "53200", "no memory for a setting");
	if (srv->env->ops->parameter(srv, name, value, *is_passed))
		*is_passed = false;
	return 0;
}

/* pg_cancel_backend() or pg_terminate_backend() in vain. The message is in any language, its digits and routine not. */
static bool
got_notice(struct walk *w, const uint8_t *body, size_t len)
{
	struct server *srv = w->srv;
	struct error_fields e;
	const char *digits;

	fields_error(body, len, &e);
	if (e.routine == NULL || e.sqlstate == NULL || e.message == NULL || strcmp(e.sqlstate, "01000") != 0 ||
	    strcmp(e.routine, "pg_signal_backend") != 0)
		return false;
	pass_run(w);
	digits = e.message + strcspn(e.message, "0123456789");
	srv->loan.makes_true = srv->env->ops->no_such_pid(srv, (uint32_t)strtoul(digits, NULL, 10));
	return srv->loan.makes_true;
}

/* The row behind it, if it is one boolean: true is passed in place of false. */
static bool
made_true(struct walk *w, const uint8_t *body, size_t len)
{
	static const uint8_t text[] = "D\0\0\0\13\0\1\0\0\0\1t", binary[] = "D\0\0\0\13\0\1\0\0\0\1\1";
	const struct server_ops *ops = w->srv->env->ops;

	w->srv->loan.makes_true = false;
	if (len != 7 || memcmp(body, text + FRAME_HEAD_LEN, 6) != 0 || (body[6] != 'f' && body[6] != 0))
		return false;
	pass_run(w);
	ops->pass(w->srv, body[6] == 'f' ? text : binary, sizeof(text) - 1);
	return true;
}

static bool
got_complete(struct walk *w, const char *tag)
{
	if (w->srv->loan.watches_tags || (tag[0] == 'U' && tag[1] == 'N')) /* UNLISTEN may be answered in another way */
		pass_run(w);
	return w->srv->env->ops->complete(w->srv, tag);
}

/* EmptyQueryResponse, then ReadyForQuery outside a transaction; nothing else will do, but for news and errors. */
static bool
is_ping_answer(struct server *srv, uint8_t type, const uint8_t *body, size_t body_len)
{
	switch (type) {
	case 'I':
		srv->is_ping_answered = true;
		return true;
	case 'Z':
		return srv->is_ping_answered && body_len == 1 && body[0] == 'I';
	default:
		return type == 'N' || type == 'S' || type == 'A' || type == 'E';
	}
}

/* One message whose head, and whole body if it is looked into, lies at w->at. */
static int
walk_message(struct walk *w, const struct frame *f, struct fail *why)
{
	struct server *srv = w->srv;
	const uint8_t *body = w->p + w->at + FRAME_HEAD_LEN;
	size_t avail = w->len - w->at - FRAME_HEAD_LEN, body_len = f->body_len < avail ? f->body_len : avail;
	const struct owed *head = ledger_head(&srv->ledger);
	enum owed_to to = head != NULL ? (enum owed_to)head->to : OWED_TO_CLIENT;
	enum ledger_verdict verdict;
	struct owed ended;
	bool is_end, is_passed;

	if (to == OWED_TO_PING && !is_ping_answer(srv, f->type, body, body_len))
		return violated(srv, f->type, why);
	if (f->type == 'Z' && (f->body_len != 1 || memchr("ITE", body[0], 3) == NULL))
		return violated(srv, f->type, why);
	if (is_description(head, f->type))
		srv->env->ops->described(srv, head, f->type, body, body_len, body_len == f->body_len);
	verdict = ledger_receive(&srv->ledger, f->type, &ended, &is_end);
	if (verdict == LEDGER_VIOLATION)
		return violated(srv, f->type, why);
	is_passed = verdict == LEDGER_PASS && srv->link != NULL;
	if (!is_passed || f->type == 'E' || f->type == 'A' || (f->type == 'Z' && srv->loan.announces_ready))
		pass_run(w);
	if (f->type == 'E') {
		bool is_replaced = false;

		if (got_error(srv, w->p + w->at, FRAME_HEAD_LEN + body_len, to, head != NULL, &is_replaced, why) < 0)
			return -1;
		is_passed = is_passed && !is_replaced;
	}
	if (f->type == 'N' && is_passed && body_len == f->body_len && fields_notice_is_skip(body, body_len))
		srv->loan.skips++;
	if (f->type == 'S') {
		if (got_parameter(srv, body, body_len, &is_passed, why) < 0)
			return -1;
		if (!is_passed)
			pass_run(w);
	}
	if (f->type == 'N' && is_passed)
		is_passed = !got_notice(w, body, body_len);
	if (f->type == 'D' && is_passed && srv->loan.makes_true)
		is_passed = !made_true(w, body, body_len);
	if (f->type == 'C')
		srv->loan.makes_true = false;
	if (f->type == 'C' && is_passed && body_len > 0 && body[body_len - 1] == 0)
		is_passed = !got_complete(w, (const char *)body);
	if (f->type == 'A' && is_passed && body_len == f->body_len)
		is_passed = !srv->env->ops->notification(srv, w->p + w->at, FRAME_HEAD_LEN + body_len);
	if (f->type == 'D' && is_read_by_us((uint8_t)to))
		got_row(srv, to, body, body_len, body_len == f->body_len);
	if (f->type == 'G' && srv->state == SV_RESET)
		server_reset_next(srv);
	srv->body_left = f->body_len - body_len;
	srv->is_body_swallowed = !is_passed;
	w->at += FRAME_HEAD_LEN + body_len;
	if (!is_passed)
		w->run = w->at;
	if (is_end) {
		srv->tx = body[0];
		srv->is_synced = srv->is_synced || srv->ledger.count == 0;
		if (srv->tx != 'I')
			pass_earlier(w); /* request_done may end the client because of it */
		w->request = w->at;
		if (ended.to == OWED_TO_CLIENT && srv->link != NULL) {
			if (srv->env->ops->request_done(srv, &ended))
				w->run = w->at;
		} else if (ended.to == OWED_TO_PROBE)
			srv->env->ops->probe_done(srv);
		else if (ended.to == OWED_TO_OWNER)
			srv->env->owner_ops->answered(srv, !srv->reset.is_refused);
	}
	if (ledger_is_our_turn(&srv->ledger)) {
		pass_run(w);
		ledger_advance(&srv->ledger);
	}
	return 0;
}

/* 0: w->at is where the carry begins; -1: the server is done for. */
static int
walk_replies(struct walk *w, struct fail *why)
{
	struct server *srv = w->srv;

	while (w->at < w->len && srv->state != SV_DEAD) {
		struct frame f;
		enum frame_result r;
		size_t avail;

		if (srv->body_left > 0) {
			walk_body(w);
			continue;
		}
		r = frame_parse(w->p + w->at, w->len - w->at, &f);
		if (r == FRAME_PARTIAL)
			break;
		if (r == FRAME_BAD)
			return fail_set(why, "08P01", "PostgreSQL at %s sent a message of impossible length",
					srv->address);
		avail = w->len - w->at - FRAME_HEAD_LEN;
		if (f.type == 'D' && srv->link != NULL && ledger_expects_row(&srv->ledger) && !srv->loan.makes_true) {
			size_t n = f.body_len < avail ? f.body_len : avail;

			w->at += FRAME_HEAD_LEN + n;
			srv->body_left = f.body_len - n;
			srv->is_body_swallowed = false;
			continue;
		}
		if (srv->link != NULL && f.body_len <= avail && ledger_take_plain(&srv->ledger, f.type)) {
			w->at += FRAME_HEAD_LEN + f.body_len;
			continue;
		}
		/* Large errors are judged by what has come: the fields that count stand first. */
		if (avail < f.body_len &&
		    (is_looked_into(srv, f.type) || is_description(ledger_head(&srv->ledger), f.type)) &&
		    FRAME_HEAD_LEN + (size_t)f.body_len <= SERVER_CARRY_MAX)
			break;
		if (avail < f.body_len && (f.type == 'S' || f.type == 'Z'))
			return violated(srv, f.type, why);
		if (walk_message(w, &f, why) < 0)
			return -1;
	}
	pass_run(w);
	return 0;
}

static int
keep_carry(struct server *srv, const uint8_t *rest, size_t len, struct fail *why)
{
	uint8_t *kept;

	if (len == 0) {
		if (srv->carry != NULL) {
			free(srv->carry);
			srv->carry = NULL;
		}
		srv->carry_len = 0;
		return 0;
	}
	kept = malloc(len);
	if (kept == NULL)
		return fail_set(why, "53200", "no memory for an unfinished message");
	memcpy(kept, rest, len);
	free(srv->carry);
	srv->carry = kept;
	srv->carry_len = srv->carry_cap = (uint32_t)len;
	return 0;
}

/* What is carried waits for its end: with these bytes it still does. A message in small pieces is not copied each time.
 */
static bool
is_still_unfinished(const struct server *srv, size_t got)
{
	struct frame f;

	return srv->carry_len >= FRAME_HEAD_LEN && frame_parse(srv->carry, srv->carry_len, &f) == FRAME_OK &&
	       srv->carry_len + got < FRAME_HEAD_LEN + (size_t)f.body_len;
}

static void
carry_more(struct server *srv, const uint8_t *bytes, size_t len)
{
	size_t whole = srv->carry_len + len;
	struct fail why;
	uint8_t *grown;

	if (whole > srv->carry_cap) {
		size_t cap = whole > 2 * (size_t)srv->carry_cap ? whole : 2 * (size_t)srv->carry_cap;

		if ((grown = realloc(srv->carry, cap)) == NULL) {
			fail_set(&why, "53200", "no memory for an unfinished message");
			server_fail(srv, &why);
			return;
		}
		srv->carry = grown;
		srv->carry_cap = (uint32_t)cap;
	}
	memcpy(srv->carry + srv->carry_len, bytes, len);
	srv->carry_len = (uint32_t)whole;
}

static void
after_batch(struct server *srv)
{
	if (srv->state == SV_LENT)
		srv->env->ops->batch_end(srv);
	else if (srv->state == SV_PINGING && srv->ledger.count == 0) {
		server_step(srv, SE_ANSWERED_PING);
		srv->env->owner_ops->pinged(srv, true);
	} else if (srv->state == SV_RESET)
		server_reset_next(srv);
}

static void
process(struct server *srv, const uint8_t *p, size_t len)
{
	struct walk w = { .srv = srv, .p = p, .len = len };
	struct fail why;
	ssize_t used;

	if (srv->state == SV_LOGIN && srv->tls_phase == STP_ASKED &&
	    (process_tls_answer(srv, p, len) != 0 || srv->tls_phase != STP_REFUSED_WITH_ERROR))
		return;
	if (srv->state == SV_LOGIN) {
		used = process_login(srv, p, len);
		if (used < 0)
			return;
		w.at = (size_t)used;
	} else if (walk_replies(&w, &why) < 0) {
		pass_run(&w); /* what was right reaches its owner before the bad news */
		server_fail(srv, &why);
		return;
	}
	if (srv->state == SV_DEAD)
		return;
	if (srv->state == SV_IDLE && (w.at < len || srv->body_left > 0)) {
		fail_set(&why, "08P01", "PostgreSQL at %s sent part of a message on an idle connection", srv->address);
		server_fail(srv, &why);
		return;
	}
	if (keep_carry(srv, p + w.at, len - w.at, &why) < 0) {
		server_fail(srv, &why);
		return;
	}
	after_batch(srv);
}

static void
lost(struct server *srv, int error)
{
	struct fail why;

	if (error != 0)
		fail_set(&why, "08006", "the connection to PostgreSQL at %s failed: %s", srv->address, strerror(error));
	else
		fail_set(&why, "08006", "PostgreSQL at %s closed the connection", srv->address);
	if (srv->state == SV_LOGIN)
		server_login_failed(srv, CF_OTHER, false, &why);
	else
		server_fail(srv, &why);
}

static void
on_readable(void *arg)
{
	struct server *srv = arg;
	uint8_t *buf = srv->env->read_buffer;
	size_t have = srv->carry_len, got;

	*srv->env->now_us = clock_now_us();
	switch (stream_read(&srv->stream, buf + have, srv->env->read_cap, &got)) {
	case STREAM_OK:
		srv->bytes_in += got;
		if (srv->loan.first_reply_us == 0)
			srv->loan.first_reply_us = *srv->env->now_us;
		if (is_still_unfinished(srv, got)) {
			carry_more(srv, buf + have, got);
			return;
		}
		if (have > 0)
			memcpy(buf, srv->carry, have);
		process(srv, buf, have + got);
		return;
	case STREAM_AGAIN:
		return;
	case STREAM_EOF:
		lost(srv, 0);
		return;
	case STREAM_ERROR:
		lost(srv, errno);
		return;
	}
}

static void
on_drained(void *arg)
{
	struct server *srv = arg;

	*srv->env->now_us = clock_now_us();
	if (srv->state == SV_LENT)
		srv->env->ops->drained(srv);
}

void
server_write(struct server *srv, const void *bytes, size_t len)
{
	struct iovec piece = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };

	srv->bytes_out += len;
	if (stream_write(&srv->stream, &piece, 1) < 0)
		srv->stream.is_broken = true; /* out of memory: what follows would not be what was meant */
}

int
server_lend(struct server *srv, void *link, uint64_t now_us)
{
	if (server_step(srv, SE_LEND) < 0)
		return -1;
	srv->link = link;
	if (srv->loan.has_ddl) /* the last one left before its transaction was over: it was undone */
		server_statements_outdate(&srv->statements);
	loan_begin(&srv->loan, now_us);
	return 0;
}

/* Any simple Query takes the unnamed statement away. */
static void
ping_with(struct server *srv, const char *sql, enum owed_to to)
{
	struct buf b = { 0 };

	srv->is_ping_answered = false;
	srv->is_asked = to == OWED_TO_OWNER;
	srv->reset.is_refused = false;
	srv->unnamed_of = 0;
	srv->loan.sent_us = *srv->env->now_us;
	message_query(&b, sql);
	if (buf_ok(&b) && ledger_push_request(&srv->ledger, OWED_QUERY, to,
					      &(struct owed_request){ .started_us = *srv->env->now_us }) == 0)
		server_write(srv, b.bytes, b.len);
	buf_fini(&b);
}

void
server_ping(struct server *srv)
{
	if (server_step(srv, SE_ASK_PING) == 0)
		ping_with(srv, "", OWED_TO_PING);
}

void
server_ask(struct server *srv, const char *question)
{
	if (server_step(srv, SE_ASK_PING) == 0)
		ping_with(srv, question, OWED_TO_OWNER);
}
