/* src/server/server_dial.c - a server connection until it is ready: dials the hosts of its upstream in turn, begins TLS
 * (server_tls_start.c) and logs in (server_login.c). If all hosts fail, ends the server. */
#include "server/server_parts.h"
#include "server/hosts.h"
#include "server/server_ahead.h"
#include "wire/frame.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIN_BYTES_MAX ((uint64_t)1 << 20) /* the most bytes that a server may send during its login */

/* Begins the connection anew, with the host at host_index. Returns 0, or -1 if out of memory. */
static int
redial(struct server *srv)
{
	struct gucs *empty = gucs_empty(srv->env->guc_store);

	stream_close(&srv->stream);
	server_login_free(srv->login);
	srv->login = NULL;
	buf_fini(&srv->carry);
	srv->bytes_in = srv->ledger.body_left = 0;
	/* Forgets what the last host has sent. On the next host, that cancel key could hit another backend. */
	if (gucs_move(&srv->gucs, empty) < 0)
		return -1;
	srv->pid = 0;
	srv->has_answered_startup = false;
	OPENSSL_cleanse(srv->key, sizeof(srv->key));
	srv->key_len = 0;
	return server_step(srv, SE_NEXT_HOST) == 0 && server_dial_host(srv) == 0 ? 0 : -1;
}

void
server_host_address(const struct upstream_host *h, char out[static SERVER_ADDRESS_MAX])
{
	snprintf(out, SERVER_ADDRESS_MAX, h->host[0] == '/' ? "%s/.s.PGSQL.%u" : "%s:%u", h->host, h->port);
}

static uint64_t
host_due_us(const struct server *srv, size_t index)
{
	char address[SERVER_ADDRESS_MAX];

	server_host_address(&srv->target->upstream->hosts[index], address);
	return hosts_due_us(srv->env->hosts, address);
}

/*
 * Begins with the first host, or (load_balance_hosts = round-robin) with the host whose turn it is. Skips silent hosts
 * that are not due yet. If there are no others, only the host that is due first is tried. A host that answers with an
 * error is not silent, and so never skipped.
 */
void
server_set_first_host(struct server *srv, uint32_t turn, const struct upstream_host *only)
{
	const struct upstream *upstream = srv->target->upstream;
	const char *balance = upstream->keyword_values[UPSTREAM_LOAD_BALANCE_HOSTS];
	size_t count = upstream->host_count, best = 0;
	uint64_t best_us = UINT64_MAX;

	if (only != NULL) {
		srv->host_index = (size_t)(only - upstream->hosts);
		srv->hosts_passed = count;
		return;
	}
	srv->host_index = balance != NULL && strcmp(balance, "round-robin") == 0 ? turn % count : 0;
	if (count == 1)
		return;
	for (srv->hosts_passed = 0; srv->hosts_passed < count; srv->hosts_passed++) {
		uint64_t at_us = host_due_us(srv, srv->host_index);

		if (at_us <= srv->created_us)
			return;
		if (at_us < best_us) {
			best_us = at_us;
			best = srv->host_index;
		}
		srv->host_index = (srv->host_index + 1) % count;
	}
	srv->host_index = best;
}

/* Sets host_index to the next host that is due. Returns false if no such host is left. */
static bool
find_next_host(struct server *srv)
{
	size_t count = srv->target->upstream->host_count;

	while (srv->hosts_passed + 1 < count) {
		srv->hosts_passed++;
		srv->host_index = (srv->host_index + 1) % count;
		if (host_due_us(srv, srv->host_index) <= *srv->env->now_us)
			return true;
	}
	return false;
}

static struct password_request
password_request_of(const struct server *srv)
{
	const struct upstream_host *h = &srv->target->upstream->hosts[srv->host_index];

	return (struct password_request){ .command = srv->target->password_command,
					  .ttl_us = srv->target->password_lifetime_us,
					  .host = h->host,
					  .port = h->port,
					  .user = srv->target->user,
					  .database = srv->target->database };
}

const char *
server_pgbouncer_failure_text(enum connect_failure kind)
{
	return kind == CF_DNS ? "server DNS lookup failed" : kind == CF_TIMEOUT ? "connect timeout" : "connect failed";
}

void
server_host_failed(struct server *srv, enum connect_failure kind, bool is_fatal, const struct fail *why)
{
	struct fail kept = *why;
	struct password_request request = password_request_of(srv);

	/* the memory or the thread that is missing now may be there later */
	if (strncmp(why->sqlstate, "53", 2) == 0) {
		is_fatal = false;
		kind = kind == CF_AUTH ? CF_OTHER : kind;
	}
	if (kind == CF_AUTH && request.command != NULL)
		passwords_note_refused(srv->env->passwords, &request);
	if (kind == CF_TIMEOUT || kind == CF_DNS)
		hosts_note_silent(srv->env->hosts, srv->address, *srv->env->now_us);
	else if (srv->state != SV_DIALING || kind == CF_REFUSED) /* otherwise nothing has come from the host */
		hosts_note_answer(srv->env->hosts, srv->address);
	/* if no host is left, or if this host has too many connections, the whole attempt has failed */
	if (kind != CF_TOO_MANY && find_next_host(srv)) {
		if (srv->env->owner_ops->host_failed != NULL)
			srv->env->owner_ops->host_failed(srv, kind, &kept);
		srv->tls_phase = STP_NONE;
		if (redial(srv) == 0)
			return;
	}
	server_free_parts(srv);
	srv->env->owner_ops->failed(srv, kind, is_fatal, &kept);
	server_finish_closing(srv);
}

static void
on_dialled(const struct dial_result *result, void *arg)
{
	struct server *srv = arg;
	uint64_t us = srv->target->connect_timeout_us, spent_us;
	struct timeval tv;
	struct fail why;

	*srv->env->now_us = clock_now_us();
	spent_us = *srv->env->now_us - srv->dialled_us;
	tv = timer_interval(us > spent_us ? us - spent_us : 1); /* the time that is left for the login */
	srv->dial = NULL;
	if (result->fd < 0) {
		server_host_failed(srv, result->kind, false, &result->why);
		return;
	}
	srv->peer = result->peer;
	srv->peer_len = result->peer_len;
	if (stream_open(&srv->stream, srv->env->base, result->fd, &server_stream_ops[srv->env->has_other_workers]) <
		0 ||
	    (us > 0 && event_add(srv->login_timer, &tv) < 0)) {
		fail_memory(&why, "a server connection");
		server_host_failed(srv, CF_OTHER, false, &why);
		return;
	}
	server_step(srv, SE_CONNECTED);
	server_tls_begin(srv);
}

void
server_tls_done(struct server *srv, const struct fail *failed)
{
	struct fail why;

	*srv->env->now_us = clock_now_us();
	if (failed == NULL) {
		server_login_begin(srv);
		return;
	}
	if (srv->target->tls_use == SERVER_TLS_OPTIONAL) { /* like libpq: tries again without TLS */
		log_info(srv->env->log, "server %" PRIu64 " (%s): %s; trying without TLS", srv->id, srv->address,
			 failed->text);
		srv->tls_phase = STP_GIVEN_UP;
		if (redial(srv) == 0)
			return;
	}
	fail_set(&why, failed->sqlstate, "TLS with PostgreSQL at %s: %s", srv->address, failed->text);
	fail_hint(&why, "The mode is that of sslmode in upstream, or of section [tls_server] of pgweir.ini.");
	/* If the connection was lost (08001), another attempt may succeed. */
	server_host_failed(srv, CF_TLS, strcmp(why.sqlstate, "08001") != 0, &why);
}

void
server_on_login_timer(evutil_socket_t fd, short what, void *arg)
{
	struct server *srv = arg;
	enum connect_failure kind;
	struct fail why;

	*srv->env->now_us = clock_now_us();
	kind = server_login_timed_out(srv, &why);
	server_host_failed(srv, kind, false, &why);
}

static int
dial_now(struct server *srv)
{
	const struct upstream_host *h = &srv->target->upstream->hosts[srv->host_index];

	srv->dialled_us = *srv->env->now_us;
	/* connect_timeout is for each host, as in libpq. */
	srv->dial = dial_start(srv->env->dialer, h->host, h->port, srv->target->connect_timeout_us, on_dialled, srv);
	return srv->dial == NULL ? -1 : 0;
}

void
server_forget_secret(struct server *srv)
{
	if (srv->secret != NULL)
		OPENSSL_cleanse(srv->secret, sizeof(*srv->secret) + strlen(srv->secret->password));
	free(srv->secret);
	srv->secret = NULL;
}

static int
take_password(struct server *srv, const char *password)
{
	size_t len = strlen(password);

	server_forget_secret(srv);
	srv->secret = calloc(1, sizeof(*srv->secret) + len + 1);
	if (srv->secret == NULL)
		return -1;
	memcpy(srv->secret->password, password, len + 1);
	return 0;
}

static void
on_password(const char *password, const struct fail *failed, void *arg)
{
	struct server *srv = arg;
	struct fail why;

	if (password == NULL) {
		server_host_failed(srv, CF_OTHER, false, failed);
	} else if (take_password(srv, password) < 0 || dial_now(srv) < 0) {
		fail_memory(&why, "a server connection");
		server_host_failed(srv, CF_OTHER, false, &why);
	}
}

int
server_dial_host(struct server *srv)
{
	struct password_request request = password_request_of(srv);
	const char *password;

	assert(srv->state == SV_DIALING && srv->dial == NULL && srv->host_index < srv->target->upstream->host_count);
	event_del(srv->login_timer); /* the timer may still run for the previous host */
	server_host_address(&srv->target->upstream->hosts[srv->host_index], srv->address);
	hosts_note_attempt(srv->env->hosts, srv->address, srv->target->connect_timeout_us, *srv->env->now_us);
	if (request.command == NULL)
		return dial_now(srv);
	srv->ask.done = on_password;
	srv->ask.arg = srv;
	password = passwords_get_or_ask(srv->env->passwords, &request, &srv->ask);
	if (password == NULL) /* on_password() is called later; the time for this host begins then */
		return srv->ask.entry != NULL ? 0 : -1;
	return take_password(srv, password) == 0 ? dial_now(srv) : -1;
}

static void
on_settled(void *arg, const struct owed *o, enum owed_end how)
{
	struct server *srv = arg;

	srv->env->ops->settled(srv, o, how);
}

static void
on_local_due(void *arg, const struct owed *o)
{
	struct server *srv = arg;

	srv->env->ops->answer_local(srv, o);
}

static void
on_overtaken(void *arg)
{
	server_disown_ahead(arg);
}

static const struct ledger_ops ledger_ops = { on_settled, on_local_due, on_overtaken };

static void
finish_login(struct server *srv)
{
	assert(srv->dial == NULL && srv->borrower == NULL && srv->ledger.count == 0);
	event_free(srv->login_timer);
	srv->login_timer = NULL;
	server_forget_secret(srv);
	ledger_init(&srv->ledger, &ledger_ops, srv);
	hosts_note_answer(srv->env->hosts, srv->address);
	server_step(srv, SE_LOGGED_IN);
	srv->env->owner_ops->ready(srv);
	server_login_free(srv->login);
	srv->login = NULL;
}

/* If PostgreSQL can't start a process for the connection, its error has the format of versions before 7.4: a line of
 * text after the E (report_fork_failure_to_client()). As with too many connections, a later attempt may succeed. */
static void
fail_malformed(struct server *srv, const uint8_t *bytes, size_t len)
{
	bool is_line = bytes[0] == 'E' && bytes[1] >= ' ';
	const uint8_t *end = memchr(bytes, '\n', len);
	struct fail why;

	if (is_line)
		fail_set(&why, "53300", "PostgreSQL at %s refused user \"%s\": %.*s", srv->address, srv->target->user,
			 (int)((end != NULL ? end : bytes + len) - bytes - 1), bytes + 1);
	else
		fail_set(&why, "08P01", "PostgreSQL at %s sent a malformed message during login", srv->address);
	server_host_failed(srv, is_line ? CF_TOO_MANY : CF_OTHER, !is_line, &why);
}

/* Handles the whole messages of a login. Returns how many bytes were used, or -1 if srv has ended or dials again. */
ssize_t
server_take_login_bytes(struct server *srv, const uint8_t *p, size_t len)
{
	struct fail why;
	size_t at = 0;

	if (srv->bytes_in > LOGIN_BYTES_MAX) {
		fail_set(&why, "08P01", "PostgreSQL at %s did not finish its login", srv->address);
		server_host_failed(srv, CF_OTHER, true, &why);
		return -1;
	}
	while (at < len) {
		struct frame f;
		enum connect_failure kind = CF_OTHER;
		bool is_fatal = false;
		enum frame_result r = frame_parse(p + at, len - at, &f);
		enum login_step step;

		if (srv->ledger.body_left > 0) { /* the rest of a notice that is too long to keep */
			size_t n = len - at < srv->ledger.body_left ? len - at : (size_t)srv->ledger.body_left;

			at += n;
			srv->ledger.body_left -= n;
			continue;
		}
		if (r == FRAME_PARTIAL)
			break;
		if (r == FRAME_OK && f.type == 'N' && f.body_len > SERVER_CARRY_MAX - FRAME_HEAD_LEN) {
			srv->ledger.body_left = f.body_len;
			at += FRAME_HEAD_LEN;
			continue;
		}
		if (r == FRAME_BAD || f.body_len > SERVER_CARRY_MAX - FRAME_HEAD_LEN) {
			fail_malformed(srv, p + at, len - at);
			return -1;
		}
		if (len - at < FRAME_HEAD_LEN + (size_t)f.body_len)
			break;
		step = server_login_message(srv, f.type, p + at + FRAME_HEAD_LEN, f.body_len, &kind, &is_fatal, &why);
		at += FRAME_HEAD_LEN + (size_t)f.body_len;
		if (step == LOGIN_FAILED) {
			server_host_failed(srv, kind, is_fatal, &why);
			return -1;
		}
		if (step == LOGIN_GOES_ON)
			continue;
		if (at < len) {
			/* A backend that is terminated at once sends an error, perhaps after notices and reports. Other
			 * messages violate the protocol. */
			bool is_backend_end = memchr("ENS", p[at], 3) != NULL;

			fail_set(&why, is_backend_end ? "57P01" : "08P01", "PostgreSQL at %s %s", srv->address,
				 is_backend_end ? "ended a connection right after its login"
						: "sent bytes after its login");
			server_host_failed(srv, CF_OTHER, !is_backend_end, &why);
			return -1;
		}
		finish_login(srv);
		return srv->state == SV_DEAD ? -1 : (ssize_t)at;
	}
	return (ssize_t)at;
}
