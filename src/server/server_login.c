/*
 * src/server/server_login.c - logs in to PostgreSQL (protocol chapter, "Start-up").
 *
 * Messages are accepted in the exact sequence only: ReadyForQuery only after AuthenticationOk; and once SCRAM has
 * begun, AuthenticationOk only after the server's own signature was right, so an impostor can't skip this proof.
 *
 * A thread derives keys from a password (server_keys.c); meanwhile the server may only send errors and notices.
 */
#include "server/server_parts.h"
#include "server/server_tokens.h"
#include "auth/encoding.h"
#include "base/text.h"
#include "wire/frame.h"
#include "wire/messages.h"
#include "session/gucs_effects.h"

#include <inttypes.h>

#define PROTOCOL_3 0x30000u
#define WARNED_AGAIN_US (86400 * US_PER_S)
#define KEY_MIN 4 /* the fewest bytes that a cancel key has; in protocol 3.0, all keys have this length */

enum login_phase {
	LP_START,
	LP_PASSWORD_SENT,
	LP_SASL_FIRST,
	LP_SASL_KEYS, /* a thread derives the keys */
	LP_SASL_FINAL,
	LP_SASL_VERIFIED,
	LP_MAKING_TOKEN, /* a thread makes the first token */
	LP_TOKEN_SENT,
	LP_TOKENS_VERIFIED,
	LP_AUTHENTICATED,
	LP_CONNECT_QUERY /* the upstream's connect_query runs */
};

struct server_login {
	enum login_phase phase;
	uint16_t minor; /* the minor version of protocol 3 in use */
	bool is_negotiated;
	struct scram_client *scram;
	struct server_keys *deriving;
	struct server_tokens *tokens;
	struct gucs *welcome; /* the read-only parameters that were reported */
};

void
server_login_free(struct server_login *login)
{
	if (login == NULL)
		return;
	server_keys_abandon(login->deriving);
	server_tokens_free(login->tokens);
	scram_client_free(login->scram);
	gucs_unref(login->welcome);
	free(login);
}

const struct gucs *
server_login_parameters(const struct server *srv)
{
	return srv->login == NULL ? NULL : srv->login->welcome;
}

static void
put_startup(struct buf *b, const struct server_target *t)
{
	size_t begun = b->len;

	buf_put_u32(b, 0);
	buf_put_u32(b, PROTOCOL_3 | t->upstream->max_minor);
	buf_put_str(b, "user");
	buf_put_str(b, t->user);
	buf_put_str(b, "database");
	buf_put_str(b, t->database);
	if (t->replication != NULL) {
		buf_put_str(b, "replication");
		buf_put_str(b, t->replication);
	}
	for (char **s = t->upstream->settings; s != NULL && s[0] != NULL; s += 2) {
		buf_put_str(b, s[0]);
		buf_put_str(b, s[1]);
	}
	for (size_t i = 0; t->settings != NULL && i < gucs_count(t->settings); i++) {
		buf_put_str(b, gucs_at(t->settings, i)->name);
		buf_put_str(b, gucs_at(t->settings, i)->value);
	}
	buf_put_u8(b, 0);
	if (buf_ok(b))
		wire_set_u32(b->bytes + begun, (uint32_t)(b->len - begun));
}

/* Sends b. If out of memory, fails at once: otherwise the login would wait until connect_timeout. */
static int
send_all(struct server *srv, const struct buf *b, struct fail *why)
{
	if (buf_ok(b) && server_write(srv, b->bytes, b->len) == 0)
		return 0;
	return fail_memory(why, "a server login");
}

static int
send_startup(struct server *srv, struct fail *why)
{
	struct buf b = { 0 };
	int r;

	srv->login = calloc(1, sizeof(*srv->login));
	if (srv->login == NULL || (srv->login->welcome = gucs_empty(srv->env->guc_store)) == NULL)
		return fail_memory(why, "a server login");
	srv->login->minor = srv->target->upstream->max_minor;
	put_startup(&b, srv->target);
	r = send_all(srv, &b, why);
	buf_fini(&b);
	return r;
}

void
server_login_begin(struct server *srv)
{
	struct fail why;

	if (send_startup(srv, &why) < 0)
		server_host_failed(srv, CF_OTHER, false, &why);
}

/* Returns the password for this login, in plain text, or NULL. */
static const char *
password_of(const struct server *srv)
{
	return srv->secret != NULL ? srv->secret->password : srv->target->password;
}

/* Returns the keys to use. They are for this login alone if the password is password_command's, else the pool's. */
static struct scram_keys *
keys_of(const struct server *srv)
{
	return srv->secret != NULL ? &srv->secret->keys : srv->target->keys;
}

static int
send_password(struct server *srv, const void *bytes, size_t len, struct fail *why)
{
	struct buf b = { 0 };
	int r;

	message_put(&b, 'p', bytes, len);
	r = send_all(srv, &b, why);
	if (b.bytes != NULL)
		OPENSSL_cleanse(b.bytes, b.len);
	buf_fini(&b);
	return r;
}

static int
fail_no_secret(const struct server *srv, const char *asked, struct fail *why)
{
	fail_set(why, "28P01", "PostgreSQL at %s asks for the password of \"%s\", which pgweir does not know",
		 srv->address, srv->target->user);
	fail_pgbouncer_text(why, "wrong password type");
	fail_detail(why, "It asked for %s.", asked);
	return fail_hint(why,
			 "Put the user's password into users_file, or password= into the upstream line. A SCRAM "
			 "verifier only works when the client logs in with SCRAM and the server has the same one.");
}

static int
answer_cleartext(struct server *srv, struct fail *why)
{
	if (stream_tls(&srv->stream) == NULL && srv->peer.ss_family != AF_UNIX &&
	    !network_is_loopback((const struct sockaddr *)&srv->peer)) { /* other machines could read the password */
		fail_set(why, "28000",
			 "PostgreSQL at %s asks for a password in clear text over a connection without TLS",
			 srv->address);
		return fail_hint(why, "Set mode = verify-full (or require) in [tls_server], or let its pg_hba.conf ask "
				      "for scram-sha-256.");
	}
	if (password_of(srv) == NULL)
		return fail_no_secret(srv, "a clear-text password", why);
	srv->login->phase = LP_PASSWORD_SENT;
	return send_password(srv, password_of(srv), strlen(password_of(srv)) + 1, why);
}

static int
answer_md5(struct server *srv, const uint8_t *salt, struct fail *why)
{
	char secret[MD5_SECRET_LEN + 1], answer[MD5_SECRET_LEN + 1];
	const char *known = srv->secret == NULL ? srv->target->md5_secret : NULL;
	int r;

	if (known == NULL) {
		if (password_of(srv) == NULL)
			return fail_no_secret(srv, "an MD5 password", why);
		if (md5_secret(password_of(srv), srv->target->user, secret, why) < 0)
			return -1;
		known = secret;
	}
	if (md5_answer(known, salt, answer, why) < 0)
		return -1;
	r = send_password(srv, answer, sizeof(answer), why);
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(answer, sizeof(answer));
	srv->login->phase = LP_PASSWORD_SENT;
	return r;
}

/* Adds the server's address to *why, which is an error of SCRAM or of a module. Returns -1. */
static int
fail_method(const struct server *srv, struct fail *why)
{
	struct fail said = *why;

	fail_set(why, said.sqlstate, "login to PostgreSQL at %s: %s", srv->address, said.text);
	fail_detail(why, "%s", said.detail);
	return fail_hint(why, "%s", said.hint);
}

static int
begin_sasl(struct server *srv, const uint8_t *list, size_t len, struct fail *why)
{
	static const enum scram_binding bindings[] = { [CHANNEL_BINDING_DISABLE] = SCRAM_BINDING_DISABLE,
						       [CHANNEL_BINDING_PREFER] = SCRAM_BINDING_PREFER,
						       [CHANNEL_BINDING_REQUIRE] = SCRAM_BINDING_REQUIRE };
	struct server_login *l = srv->login;
	struct scram_channel channel = { .is_tls = stream_tls(&srv->stream) != NULL };
	char text[SCRAM_TEXT_MAX];
	const char *mechanism;
	struct buf b = { 0 };
	int r;

	if (!keys_of(srv)->is_set && password_of(srv) == NULL)
		return fail_no_secret(srv, "SCRAM-SHA-256", why);
	if (channel.is_tls)
		channel.end_point_len = tls_get_end_point(stream_tls(&srv->stream), channel.end_point);
	l->scram = scram_client_new(&channel, bindings[srv->target->channel_binding], "", NULL);
	if (l->scram == NULL)
		return fail_memory(why, "a SCRAM exchange");
	mechanism = scram_client_select(l->scram, list, len, why);
	if (mechanism == NULL || scram_client_first(l->scram, text, why) < 0)
		return fail_method(srv, why);
	buf_put_str(&b, mechanism);
	buf_put_u32(&b, (uint32_t)strlen(text));
	buf_put(&b, text, strlen(text));
	r = buf_ok(&b) ? send_password(srv, b.bytes, b.len, why) : send_all(srv, &b, why);
	buf_fini(&b);
	l->phase = LP_SASL_FIRST;
	return r;
}

static int
send_proof(struct server *srv, struct fail *why)
{
	char text[SCRAM_TEXT_MAX];

	if (scram_client_final(srv->login->scram, keys_of(srv), text, why) < 0)
		return -1;
	srv->login->phase = LP_SASL_FINAL;
	return send_password(srv, text, strlen(text), why);
}

static void
on_keys(const struct scram_keys *keys, const struct fail *failed, void *arg)
{
	struct server *srv = arg;
	struct fail why;

	*srv->env->now_us = clock_now_us();
	srv->login->deriving = NULL;
	if (keys == NULL) {
		server_host_failed(srv, CF_OTHER, false, failed);
		return;
	}
	*keys_of(srv) = *keys;
	if (send_proof(srv, &why) < 0)
		server_host_failed(srv, CF_AUTH, true, &why);
}

static int
continue_sasl(struct server *srv, const uint8_t *in, size_t len, struct fail *why)
{
	struct server_login *l = srv->login;
	const uint8_t *salt;
	size_t salt_len;
	uint32_t iterations;

	if (scram_client_challenge(l->scram, (const char *)in, len, &salt, &salt_len, &iterations, why) < 0)
		return fail_method(srv, why);
	if (scram_keys_match(keys_of(srv), salt, salt_len, iterations))
		return send_proof(srv, why);
	if (password_of(srv) == NULL)
		return fail_no_secret(srv, "SCRAM-SHA-256 with another salt than the known verifier's", why);
	/* The pool keeps these keys for its next logins. With password_command, keys are derived at each login. */
	l->deriving = server_keys_derive(srv->env, password_of(srv), salt, salt_len, iterations, on_keys, srv, why);
	l->phase = LP_SASL_KEYS;
	return l->deriving == NULL ? -1 : 0;
}

/* Sends the token that was made. proof: PROOF_RIGHT if PostgreSQL's last token has proved PostgreSQL's identity. */
static int
send_token(struct server *srv, enum proof_verdict proof, struct fail *why)
{
	struct server_login *l = srv->login;
	const struct buf *token = server_tokens_last(l->tokens);

	if (proof != PROOF_RIGHT && proof != PROOF_MORE)
		return fail_method(srv, why);
	if (!buf_ok(token))
		return send_all(srv, token, why);
	l->phase = proof == PROOF_RIGHT ? LP_TOKENS_VERIFIED : LP_TOKEN_SENT;
	return token->len > 0 ? send_password(srv, token->bytes, token->len, why) : 0;
}

static void
on_token(struct server *srv, enum proof_verdict proof, struct fail *why)
{
	if (send_token(srv, proof, why) < 0)
		server_host_failed(srv, CF_AUTH, proof == PROOF_WRONG, why);
}

static int
begin_tokens(struct server *srv, uint32_t code, struct fail *why)
{
	srv->login->tokens = server_tokens_begin(srv, code, on_token, why);
	srv->login->phase = LP_MAKING_TOKEN;
	return srv->login->tokens == NULL ? fail_method(srv, why) : 0;
}

enum connect_failure
server_login_timed_out(const struct server *srv, struct fail *why)
{
	const struct server_login *l = srv->login;

	if (l != NULL && l->phase == LP_MAKING_TOKEN) {
		fail_set(why, "57P03", "login to PostgreSQL at %s: %s did not answer within connect_timeout",
			 srv->address, server_tokens_title(l->tokens));
		return CF_AUTH;
	}
	fail_set(why, "08001", "PostgreSQL at %s did not finish a login within connect_timeout", srv->address);
	return CF_TIMEOUT;
}

static int
fail_unexpected(const struct server *srv, const char *what, struct fail *why)
{
	return fail_set(why, "08P01", "PostgreSQL at %s sent %s at the wrong moment of a login", srv->address, what);
}

/* With channel_binding = require, accepts only channel-bound logins, as libpq does. Returns 0, or -1 with *why set. */
static int
check_bound(const struct server *srv, uint32_t code, struct fail *why)
{
	const struct server_login *l = srv->login;

	if (srv->target->channel_binding != CHANNEL_BINDING_REQUIRE || (code >= 10 && code <= 12) ||
	    (code == 0 && l->phase == LP_SASL_VERIFIED && scram_client_is_bound(l->scram)))
		return 0;
	fail_set(why, "28000", "channel binding is required, but PostgreSQL at %s %s", srv->address,
		 code == 0 ? "let pgweir in without it" : "asks for something else");
	return fail_hint(why, "Set channel_binding=prefer, or let its pg_hba.conf ask for scram-sha-256.");
}

/*
 * Handles NegotiateProtocolVersion, by which the server refuses the version that pgweir has asked for, and uses 3.0.
 * (The message may also refuse options, but pgweir asks for none.) Like libpq 18, pgweir accepts this message only
 * once. It must come before any Authentication message.
 */
static int
on_negotiated(struct server *srv, const uint8_t *body, size_t len, struct fail *why)
{
	struct server_login *l = srv->login;

	if (l->phase != LP_START || l->is_negotiated)
		return fail_unexpected(srv, "NegotiateProtocolVersion", why);
	if (len != 8 || wire_u32(body) != PROTOCOL_3 || l->minor == 0 || wire_u32(body + 4) != 0)
		return fail_set(why, "08P01", "PostgreSQL at %s sent a wrong NegotiateProtocolVersion", srv->address);
	l->is_negotiated = true;
	l->minor = 0;
	if (srv->target->upstream->min_minor == 0)
		return 0;
	fail_set(why, "08001", "PostgreSQL at %s speaks protocol 3.0, but min_protocol_version is %s", srv->address,
		 upstream_protocol_name(srv->target->upstream->min_minor));
	return fail_hint(why, "Protocol 3.2 needs PostgreSQL 18; take min_protocol_version out of the upstream line.");
}

static int
on_authentication_ok(struct server *srv, struct fail *why)
{
	struct server_login *l = srv->login;

	if (l->phase != LP_START && l->phase != LP_PASSWORD_SENT && l->phase != LP_SASL_VERIFIED &&
	    l->phase != LP_TOKENS_VERIFIED)
		return fail_unexpected(srv, "AuthenticationOk", why);
	l->phase = LP_AUTHENTICATED;
	return 0;
}

static int
on_authentication(struct server *srv, const uint8_t *body, size_t len, struct fail *why)
{
	struct server_login *l = srv->login;
	uint32_t code;

	if (len < 4)
		return fail_unexpected(srv, "a short Authentication message", why);
	code = wire_u32(body);
	if (check_bound(srv, code, why) < 0)
		return -1;
	switch (code) {
	case 0:
		return on_authentication_ok(srv, why);
	case 3:
		return l->phase == LP_START ? answer_cleartext(srv, why)
					    : fail_unexpected(srv, "a password request", why);
	case 5:
		return l->phase == LP_START && len == 8 ? answer_md5(srv, body + 4, why)
							: fail_unexpected(srv, "a password request", why);
	case 8: /* a reply to a token, of any module */
		return l->phase == LP_TOKEN_SENT
			   ? send_token(srv, server_tokens_next(l->tokens, body + 4, len - 4, why), why)
			   : fail_unexpected(srv, "GSSContinue", why);
	case 10:
		return l->phase == LP_START ? begin_sasl(srv, body + 4, len - 4, why)
					    : fail_unexpected(srv, "SASL", why);
	case 11:
		return l->phase == LP_SASL_FIRST ? continue_sasl(srv, body + 4, len - 4, why)
						 : fail_unexpected(srv, "SASLContinue", why);
	case 12:
		if (l->phase != LP_SASL_FINAL)
			return fail_unexpected(srv, "SASLFinal", why);
		l->phase = LP_SASL_VERIFIED;
		return scram_client_verify(l->scram, (const char *)body + 4, len - 4, why) < 0 ? fail_method(srv, why)
											       : 0;
	default:
		if (l->phase == LP_START && server_tokens_know(srv->env, code))
			return begin_tokens(srv, code, why);
		fail_set(why, "28000",
			 "PostgreSQL at %s asks for an authentication method that pgweir does not support (%u)",
			 srv->address, code);
		return fail_hint(why, "Its pg_hba.conf must allow trust, password, md5 or scram-sha-256 for pgweir.");
	}
}

static int
on_parameter(struct server *srv, const uint8_t *body, size_t len, struct fail *why)
{
	const char *name, *value;
	struct gucs **slot;

	if (srv->login->phase < LP_AUTHENTICATED || !fields_read_parameter(body, len, &name, &value))
		return fail_unexpected(srv, "ParameterStatus", why);
	slot = guc_describes_server(name) ? &srv->login->welcome : &srv->gucs;
	return gucs_update(slot, name, value, true) < 0 ? fail_memory(why, "a reported setting") : 0;
}

static int
on_backend_key(struct server *srv, const uint8_t *body, size_t len, struct fail *why)
{
	size_t key_max = srv->login->minor == 0 ? KEY_MIN : sizeof(srv->key);

	if (srv->login->phase != LP_AUTHENTICATED)
		return fail_unexpected(srv, "BackendKeyData", why);
	if (len < 4 + KEY_MIN || len - 4 > key_max)
		return fail_set(why, "08P01", "PostgreSQL at %s sent a BackendKeyData of %zu bytes in protocol %s",
				srv->address, len, upstream_protocol_name(srv->login->minor));
	srv->pid = wire_u32(body);
	srv->key_len = (uint16_t)(len - 4);
	memcpy(srv->key, body + 4, len - 4);
	return 0;
}

static void
on_error(struct server *srv, const uint8_t *body, size_t len, enum connect_failure *kind, bool *is_fatal,
	 struct fail *why)
{
	struct error_fields e;

	fields_read_error(body, len, &e);
	fail_set(why, e.sqlstate != NULL ? e.sqlstate : "08001", "PostgreSQL at %s refused user \"%s\": %s",
		 srv->address, srv->target->user, e.message != NULL ? e.message : "(no message)");
	fail_pgbouncer_text(why, "%s", e.message != NULL ? e.message : "login failed");
	srv->has_answered_startup = e.sqlstate != NULL && strncmp(e.sqlstate, "57", 2) != 0;
	if (e.sqlstate == NULL)
		return;
	if (strcmp(e.sqlstate, "53300") == 0)
		*kind = CF_TOO_MANY;
	else if (strncmp(e.sqlstate, "28", 2) == 0) {
		*kind = CF_AUTH;
		*is_fatal = true;
		fail_hint(
		    why,
		    "The client's login to pgweir succeeded, but PostgreSQL refused pgweir's: check that users_file "
		    "and upstream have the password that PostgreSQL expects, and check its pg_hba.conf.");
	} else if (strncmp(e.sqlstate, "3D", 2) == 0 || strncmp(e.sqlstate, "22", 2) == 0 ||
		   strncmp(e.sqlstate, "42", 2) == 0)
		*is_fatal = true;
}

/*
 * Logs a WARNING of the login, which no client sees: the password expires soon, or is stored as MD5 (PostgreSQL 19), or
 * a login trigger warns. For each pool, warnings that come together are logged; after them, none for a day.
 */
static void
log_login_warning(struct server *srv, const uint8_t *body, size_t len)
{
	struct log_about about = server_about(srv, "login_warning", NULL);
	uint64_t now_us = *srv->env->now_us, before_us;
	struct error_fields e;

	fields_read_error(body, len, &e);
	if (srv->target->warned_us == NULL || e.severity == NULL || strcmp(e.severity, "WARNING") != 0)
		return;
	before_us = *srv->target->warned_us;
	if (before_us != 0 && before_us != now_us && now_us < before_us + WARNED_AGAIN_US)
		return;
	*srv->target->warned_us = now_us;
	log_event(srv->env->log, LOG_LEVEL_WARNING, &about, "PostgreSQL at %s warns user \"%s\" at login: %s",
		  srv->address, srv->target->user, e.message != NULL ? e.message : "(no message)");
}

/* Returns 1 if connect_query runs now, 0 if this connection has none or the query has run, or -1 with *why set. */
static int
begin_connect_query(struct server *srv, struct fail *why)
{
	const char *query = srv->target->upstream->keyword_values[UPSTREAM_CONNECT_QUERY];
	struct buf b = { 0 };
	int r;

	if (query == NULL || srv->target->replication != NULL || srv->login->phase == LP_CONNECT_QUERY)
		return 0;
	srv->login->phase = LP_CONNECT_QUERY;
	message_query(&b, query);
	r = send_all(srv, &b, why) < 0 ? -1 : 1;
	buf_fini(&b);
	return r;
}

enum login_step
server_login_message(struct server *srv, uint8_t type, const uint8_t *body, size_t len, enum connect_failure *kind,
		     bool *is_fatal, struct fail *why)
{
	int r = 0;

	*kind = CF_OTHER;
	*is_fatal = false;
	switch (type) {
	case 'R':
		srv->has_answered_startup = true;
		r = on_authentication(srv, body, len, why);
		*is_fatal = r < 0;
		*kind = *is_fatal ? CF_AUTH : CF_OTHER;
		break;
	case 'S':
		r = on_parameter(srv, body, len, why);
		break;
	case 'K':
		r = on_backend_key(srv, body, len, why);
		break;
	case 'v':
		r = on_negotiated(srv, body, len, why);
		break;
	case 'N':
		log_login_warning(srv, body, len);
		break;
	case 'E':
		on_error(srv, body, len, kind, is_fatal, why);
		/* login is NULL while the message answers the SSLRequest */
		if (srv->login == NULL || srv->login->phase != LP_CONNECT_QUERY)
			return LOGIN_FAILED;
		srv->connect_query = CONNECT_QUERY_BAD;
		log_warning(srv->env->log, "server %" PRIu64 " (%s): connect_query failed: %s", srv->id, srv->address,
			    why->pgbouncer_text);
		break;
	case 'Z':
		if (srv->login->phase < LP_AUTHENTICATED || len != 1 || body[0] != 'I')
			r = fail_unexpected(srv, "ReadyForQuery", why);
		else if ((r = begin_connect_query(srv, why)) != 0)
			break;
		else if ((r = server_check_role(srv, srv->login->welcome, why)) == 0)
			return LOGIN_READY;
		break;
	default:
		if (srv->login->phase != LP_CONNECT_QUERY || strchr("TDCI", type) == NULL)
			r = fail_unexpected(srv, "an unknown message", why);
		break;
	}
	return r < 0 ? LOGIN_FAILED : LOGIN_GOES_ON;
}
