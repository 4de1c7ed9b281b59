/*
 * src/login/login.c - from a client's first byte to its first ReadyForQuery (protocol chapter, "Start-up").
 *
 *   STARTUP         SSLRequest and GSSENCRequest (each once), or TLS at once; then a CancelRequest or a StartupMessage
 *   AUTHENTICATION  login/login_steps.c
 *   WELCOME         login/login_welcome.c
 *
 * Bounded: one packet of at most STARTUP_MAX bytes, one password message at a time, and login_timeout.
 */
#include "admission/admission.h"
#include "login/login_state.h"
#include "relay/reject.h"
#include "relay/relay.h"
#include "relay/report.h"
#include "state/state.h"

#include "pool/dedicated.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define AHEAD_MAX (128u << 10) /* bytes sent before the end of a login */

void
login_free(struct client_login *l)
{
	if (l == NULL)
		return;
	if (l->abandon != NULL)
		l->abandon(l->abandon_arg);
	door_leave_line(l);
	if (l->opening != NULL)
		pool_own_abandon(l->opening);
	buf_fini(&l->out);
	buf_fini(&l->settings);
	image_unref(l->raw);
	image_unref(l->valid);
	free(l->user);
	free(l->database);
	free(l->sent_user);
	if (l->secret_text != NULL)
		OPENSSL_cleanse(l->secret_text, strlen(l->secret_text));
	free(l->secret_text);
	scram_server_free(l->scram);
	users_unref(l->users);
	hba_unref(l->hba);
	ident_unref(l->ident);
	OPENSSL_cleanse(l, sizeof(*l));
	free(l);
}

static bool
begin(struct client *c)
{
	c->x.state = CL_STARTUP;
	c->login = calloc(1, sizeof(*c->login));
	if (c->login == NULL) {
		client_close(c, NULL);
		return false;
	}
	return door_enter(c);
}

static void
leave(struct client *c)
{
	if (c->x.state < CL_READY)
		login_free(c->login);
	door_leave(c);
}

static void
check_time(struct client *c, uint64_t now_us)
{
	uint64_t begun_us = c->connected_us + c->x.wait_us;
	struct fail why;

	/* While it waits for a server it is under pool_timeout instead. */
	if ((c->x.state == CL_WELCOME && c->x.srv == NULL) || c->env->x.config->login_timeout_us == 0 ||
	    now_us < begun_us || now_us - begun_us < c->env->x.config->login_timeout_us)
		return;
	if (door_is_answer_held(c->login)) {
		door_answer_now(c);
		return;
	}
	c->env->x.counters->rejected[RJ_LOGIN_TIMEOUT]++;
	c->env->x.counters->logins[LR_TIMEOUT][LM_NONE]++;
	fail_set(&why, "08P01", "the login took longer than it may (login_timeout)");
	client_close(c, &why);
}

void
login_flush(struct client *c)
{
	exchange_send(&c->x, &c->login->out);
	if (!c->x.is_closing)
		c->login->out.len = 0;
}

static void
note_refusal(struct client *c, const struct fail *why, enum login_result result)
{
	struct client_login *l = c->login;
	char peer[80];

	c->env->x.counters->logins[result][l->method]++;
	if (!door_may_log(c))
		return;
	client_peer_text(c, peer, sizeof(peer));
	log_info(c->env->x.log, "client %llu (%s): login as \"%.*s\" to \"%.*s\" refused: %s",
		 (unsigned long long)c->x.id, peer, CONFIG_DATABASE_MAX, l->user != NULL ? l->user : "",
		 CONFIG_DATABASE_MAX, l->database != NULL ? l->database : "", why->text);
}

void
login_refuse(struct client *c, const struct fail *why, enum login_result result)
{
	note_refusal(c, why, result);
	if (c->login->out.len > 0)
		login_flush(c);
	client_close(c, why);
}

static void
refuse_in_silence(struct client *c, const struct fail *why)
{
	note_refusal(c, why, LR_ERROR);
	client_close(c, NULL);
}

/* Counted and logged now: it need not stay for its answer. */
void
login_refuse_late(struct client *c, const struct fail *why, enum login_result result)
{
	note_refusal(c, why, result);
	door_failed(c, why);
}

/* Settings that only exist at the start of a PostgreSQL process: they cannot follow a client, and change no result. */
static bool
is_start_only(const char *name)
{
	static const char *const names[] = { "ignore_system_indexes", "jit_debugging_support", "jit_profiling_support",
					     "log_connections",	      "log_disconnections",    "post_auth_delay" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

static int
take_settings(struct client *c, const struct startup *s, struct fail *why)
{
	struct client_login *l = c->login;

	for (size_t i = 0; i < s->setting_count; i++) {
		if (is_start_only(s->settings[i].name) || login_is_tenant_setting(c, s->settings[i].name))
			continue;
		if (strlen(s->settings[i].name) >= 128)
			return fail_set(why, "42704", "unrecognized configuration parameter \"%.63s...\"",
					s->settings[i].name);
		buf_put_str(&l->settings, s->settings[i].name);
		buf_put_str(&l->settings, s->settings[i].value);
		l->setting_count++;
	}
	if (!buf_ok(&l->settings))
		return fail_set(why, "53200", "out of memory");
	l->replication = s->replication;
	l->minor = (uint8_t)startup_minor(s);
	return 0;
}

static int
read_settings(struct client *c, struct image *empty)
{
	struct client_login *l = c->login;
	struct image_setting entries[STARTUP_SETTINGS_MAX];
	const char *at = (const char *)l->settings.bytes;

	for (size_t i = 0; i < l->setting_count; i++) {
		entries[i].name = at;
		entries[i].value = at + strlen(at) + 1;
		at = entries[i].value + strlen(entries[i].value) + 1;
	}
	l->raw = image_replace(empty, IMAGE_OTHER, entries, l->setting_count);
	return l->raw == NULL ? -1 : 0;
}

int
login_read_settings(struct client *c)
{
	struct image *empty = image_empty(c->env->x.images);
	int r = empty == NULL ? -1 : read_settings(c, empty);

	image_unref(empty);
	buf_fini(&c->login->settings);
	return r;
}

static void
startup_message(struct client *c, const struct startup *s)
{
	struct fail why;

	if (login_take_names(c, s, &why) < 0 || take_settings(c, s, &why) < 0) {
		login_refuse(c, &why, LR_ERROR);
		return;
	}
	if (!login_tls_suffices(c, &why)) {
		login_refuse(c, &why, LR_TLS_REQUIRED);
		return;
	}
	if (startup_needs_negotiate(s))
		startup_put_negotiate(&c->login->out, s);
	login_authenticate(c);
}

/* Each may be asked once, and none within TLS. False: refused. */
static bool
may_ask(struct client *c, bool *has_asked)
{
	struct fail why;

	if (*has_asked || c->x.stream.tls != NULL) {
		fail_set(&why, "08P01", "a second encryption request");
		login_refuse(c, &why, LR_ERROR);
		return false;
	}
	*has_asked = true;
	return true;
}

static void
answer(struct client *c, char letter)
{
	buf_put_u8(&c->login->out, (uint8_t)letter);
	login_flush(c);
}

/* GSSAPI encryption: there is none. */
static void
gssenc_request(struct client *c)
{
	if (may_ask(c, &c->login->has_gss_asked))
		answer(c, 'N');
}

/*
 * ahead: bytes that came with it. In the clear, they could be anybody's, and must not be taken for what comes through
 * TLS (CVE-2021-3935, CVE-2021-23214).
 */
static void
ssl_request(struct client *c, size_t ahead)
{
	struct fail why;

	if (!may_ask(c, &c->login->has_ssl_asked))
		return;
	if (!login_has_tls(c)) {
		answer(c, 'N');
		return;
	}
	if (ahead > 0) {
		fail_set(&why, "08P01", "received unencrypted data after SSL request");
		fail_detail(&why, "This could be either a client-software bug or evidence of an attempted "
				  "man-in-the-middle attack.");
		login_refuse(c, &why, LR_ERROR);
		return;
	}
	answer(c, 'S');
	if (!c->x.is_closing)
		login_tls_begin(c, NULL, 0);
}

/* One startup packet. Bytes used; 0: more are needed. */
static size_t
startup_packet(struct client *c, const uint8_t *bytes, size_t len)
{
	struct startup s;
	struct fail why;
	size_t used;

	if (bytes[0] == STARTUP_DIRECT_TLS && login_has_tls(c) && c->x.stream.tls == NULL && !c->login->has_ssl_asked &&
	    !c->login->has_gss_asked) {
		login_tls_begin(c, bytes, len);
		return len;
	}
	if (startup_parse(bytes, len, &s, &why) < 0) {
		c->login->method = LM_NONE;
		if (s.is_garbage)
			refuse_in_silence(c, &why);
		else
			login_refuse(c, &why, LR_ERROR);
		return len;
	}
	used = s.total_len;
	switch (s.kind) {
	case STARTUP_PARTIAL:
		used = 0;
		break;
	case STARTUP_SSL:
		ssl_request(c, len - used);
		break;
	case STARTUP_GSSENC:
		gssenc_request(c);
		break;
	case STARTUP_CANCEL:
		door_leave(c); /* it comes for another connection, of which there may be as many as may be */
		login_free(c->login);
		c->login = NULL;
		cancel_begin(c, s.cancel_pid, s.cancel_key, s.cancel_key_len);
		break;
	case STARTUP_LOGIN:
		startup_message(c, &s);
		break;
	}
	startup_fini(&s);
	return used;
}

void
login_wait(struct client *c, void (*abandon)(void *arg), void *arg)
{
	c->login->abandon = abandon;
	c->login->abandon_arg = arg;
	stream_set_reading(&c->x.stream, false);
}

bool
login_is_waiting(const struct client *c)
{
	return c->x.state < CL_READY && c->login != NULL && c->login->abandon != NULL;
}

static void handle_bytes(struct client *c, const uint8_t *bytes, size_t len);

void
login_conclude(struct client *c, void (*verdict)(struct client *c, void *arg), void *arg)
{
	uint8_t *whole = c->x.pending;
	size_t len = c->x.pending_len;

	if (door_is_answer_held(c->login))
		return; /* what went on elsewhere found the proof wrong: that one waits on */
	if (c->login->verifier.waits_for != NULL)
		return; /* what it waited for was found, and now it waits for keys made of it */
	c->login->abandon = NULL;
	stream_set_reading(&c->x.stream, true);
	c->x.pending = NULL;
	c->x.pending_len = c->x.pending_cap = 0;
	if (verdict != NULL)
		verdict(c, arg); /* may end the login, and c */
	if (len > 0 && !c->x.is_closing)
		handle_bytes(c, whole, len);
	if (whole != NULL)
		OPENSSL_cleanse(whole, len); /* there may be a password among it */
	free(whole);
}

void
login_go_on(struct client *c)
{
	login_conclude(c, NULL, NULL);
}

static void
take_bytes(struct client *c, const uint8_t *bytes, size_t len)
{
	size_t at = 0, used = 1;

	if (c->x.state < CL_READY && door_is_answer_held(c->login))
		return;
	while (at < len && used > 0 && !c->x.is_closing && c->x.state < CL_WELCOME && !login_is_waiting(c) &&
	       c->x.stream.handshake == NULL) {
		used = c->x.state == CL_STARTUP ? startup_packet(c, bytes + at, len - at)
						: login_password(c, bytes + at, len - at);
		at += used;
	}
	if (c->x.is_closing || at >= len || (c->x.state < CL_READY && door_is_answer_held(c->login)))
		return;
	/* While we wait for a server, what it sends ahead is kept, within the bounds of anybody who waits. */
	if (c->x.state == CL_READY || c->x.state == CL_CONSOLE)
		relay_bytes(&c->x, bytes + at, len - at);
	else if (c->x.state != CL_CANCEL &&
		 (c->x.pending_len > AHEAD_MAX || exchange_keep(&c->x, bytes + at, len - at) < 0))
		client_close(c, NULL);
}

static void
handle_bytes(struct client *c, const uint8_t *bytes, size_t len)
{
	take_bytes(c, bytes, len);
	/* A password may be in there, or a part of one. The loop's buffer stays as it is until much else has come. */
	if (bytes != c->x.pending)
		OPENSSL_cleanse((void *)(uintptr_t)bytes, len);
}

const struct client_front login_front = { begin, handle_bytes, check_time, door_tick, leave };
