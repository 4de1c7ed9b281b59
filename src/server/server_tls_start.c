/*
 * src/server/server_tls_start.c - TLS with PostgreSQL, before the login (protocol chapter, "SSL Session Encryption";
 * direct TLS: PostgreSQL 17).
 *
 * The answer to SSLRequest is one byte, or an error. No bytes may follow that byte at once, because they would be taken
 * for bytes that came through TLS (CVE-2021-23222).
 */
#include "server/server_parts.h"
#include "wire/startup.h"

static void
on_done(struct stream *s, const struct fail *failed, void *arg)
{
	struct server *srv = arg;
	enum tls_result result = failed != NULL			 ? TLS_RESULT_FAILED
				 : tls_is_resumed(stream_tls(s)) ? TLS_RESULT_RESUMED
								 : TLS_RESULT_OK;
	struct fail why;

	srv->env->counters->tls_handshakes[TLS_SIDE_SERVER][result]++;
	if (failed == NULL && srv->target->tls_use == SERVER_TLS_DIRECT && !tls_has_alpn(stream_tls(s))) {
		fail_set(&why, "08P01", "it did not confirm by ALPN that it speaks PostgreSQL's protocol");
		failed = &why;
	}
	srv->tls_phase = STP_DONE;
	server_tls_done(srv, failed);
}

static int
shake_hands(struct server *srv, struct fail *why)
{
	struct handshake_settings set = { .helpers = srv->env->helpers,
					  .inbox = srv->env->inbox,
					  .scratch = srv->env->tls_scratch,
					  .queue = WORK_BEGUN, /* clients wait for this server */
					  .done = on_done,
					  .arg = srv };

	set.tls = tls_session_new(srv->target->tls, srv->target->upstream->hosts[srv->host_index].host);
	if (set.tls == NULL)
		return fail_memory(why, "a TLS session");
	srv->tls_phase = STP_SHAKING_HANDS;
	return handshake_begin(&srv->stream, &set, NULL, 0, why);
}

void
server_tls_begin(struct server *srv)
{
	struct fail why;
	int r;

	if (srv->target->tls == NULL || srv->tls_phase == STP_GIVEN_UP ||
	    srv->target->upstream->hosts[srv->host_index].host[0] == '/') {
		server_login_begin(srv);
		return;
	}
	if (srv->target->tls_use == SERVER_TLS_DIRECT)
		r = shake_hands(srv, &why);
	else {
		srv->tls_phase = STP_ASKED;
		r = server_write(srv, startup_ssl_request, sizeof(startup_ssl_request));
		if (r < 0)
			fail_memory(&why, "a TLS session");
	}
	if (r < 0)
		server_host_failed(srv, CF_TLS, false, &why);
}

/* Returns 1 if the login follows without TLS, 0 if the handshake or an error follows, or -1 with *why set. */
static int
take_answer(struct server *srv, const uint8_t *bytes, size_t len, struct fail *why)
{
	switch (bytes[0]) {
	case 'S':
		if (len == 1)
			return shake_hands(srv, why);
		return fail_set(why, "08P01", "PostgreSQL at %s sent unencrypted data behind its answer to SSLRequest",
				srv->address);
	case 'N':
		srv->tls_phase = STP_NONE;
		if (len > 1)
			return fail_set(why, "08P01", "PostgreSQL at %s sent bytes before pgweir's startup packet",
					srv->address);
		if (srv->target->tls_use == SERVER_TLS_OPTIONAL)
			return 1;
		fail_set(why, "08006", "PostgreSQL at %s does not speak TLS, but it is required", srv->address);
		return fail_hint(why, "Enable ssl there, or set a lower sslmode (mode in [tls_server]).");
	case 'E':
		if (srv->target->tls_use == SERVER_TLS_OPTIONAL) {
			srv->tls_phase = STP_REFUSED_WITH_ERROR;
			return 0;
		}
		/* Like libpq since CVE-2024-10977, pgweir does not show the text, which could be from an attacker. */
		fail_set(why, "08006", "PostgreSQL at %s answered the request for TLS with an error", srv->address);
		return fail_hint(why, "Its message is not shown, as it had not proved its identity. See its log.");
	default:
		return fail_set(why, "08P01", "PostgreSQL at %s sent an unknown answer to SSLRequest", srv->address);
	}
}

void
server_tls_take_answer(struct server *srv, const uint8_t *bytes, size_t len)
{
	struct fail why;
	int r = take_answer(srv, bytes, len, &why);

	if (r < 0) /* an error is not fatal: PostgreSQL may be out of connections just now */
		server_host_failed(srv, CF_TLS, bytes[0] != 'E', &why);
	else if (r == 1)
		server_login_begin(srv);
}
