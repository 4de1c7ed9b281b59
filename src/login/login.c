/*
 * src/login/login.c - a client's login, from its first byte to its first ReadyForQuery (protocol chapter, "Start-up").
 *
 * The client's bytes go to login_startup.c, then to login_steps.c, or login_external.c if they are tokens. While a
 * thread or a lookup works for the login, the bytes are kept (login_wait.c).
 *
 * Bounded: one startup packet, one password message at a time, AHEAD_MAX bytes that are sent too early, login_timeout.
 */
#include "login/login_asked.h"
#include "login/login_external.h"
#include "relay/query_timeout.h"
#include "relay/relay.h"
#include "base/clock.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define AHEAD_MAX (128u << 10) /* for bytes that are sent before the end of a login; the last read may exceed this */

static bool
login_begin_client(struct client *c)
{
	c->login = calloc(1, sizeof(*c->login));
	if (c->login == NULL) {
		client_close(c, NULL);
		return false;
	}
	c->login->is_proxy_due = login_is_proxy_expected(c);
	return admission_enter(c->env->admission, &c->admission,
			       c->is_unix || c->login->is_proxy_due ? NULL : &c->peer.any);
}

static void
leave(struct client *c)
{
	if (client_state_is_login((enum client_state)c->x.state))
		login_free(c->login);
}

static void
check_time(struct client *c, uint64_t now_us)
{
	uint64_t begun_us;
	struct fail why;

	if (login_end_late_name_lookups(c, now_us))
		return;
	/* While the login waits for a server, pool_timeout applies instead of login_timeout. */
	if (c->x.state >= CL_WELCOME && c->x.srv == NULL) {
		if (c->x.state == CL_WELCOME_IN_LINE && query_timeout_ends_wait(&c->x, &why))
			login_refuse(c, &why, LR_ERROR);
		else
			replication_tick(c, now_us);
		return;
	}
	login_external_tick(c, now_us);
	if (c->env->x.config->login_timeout_us == 0 || c->x.is_closing)
		return;
	begun_us = c->connected_us + c->x.waiter.waited_us;
	if (now_us < begun_us || now_us - begun_us < c->env->x.config->login_timeout_us)
		return;
	if (c->x.state == CL_DELAYED) {
		admission_answer_now(c->login->hold);
		return;
	}
	c->env->x.counters->rejected[RJ_LOGIN_TIMEOUT]++;
	c->env->x.counters->logins[LR_TIMEOUT][LM_NONE]++;
	fail_set(&why, "08P01", "the login took too long (login_timeout)");
	fail_pgbouncer_text(&why, "client_login_timeout");
	fail_detail(&why, "The limit is %s.", duration_format(c->env->x.config->login_timeout_us).text);
	login_log_refusal(c, &why, NULL);
	client_close(c, &why);
}

static void
take_bytes(struct client *c, const uint8_t *bytes, size_t len)
{
	size_t at = 0, used = 1;

	if (c->x.state == CL_DELAYED)
		return;
	while (at < len && used > 0 && !c->x.is_closing && c->x.state < CL_WELCOME &&
	       (!login_is_waiting(c) || login_is_token_due(c)) && !c->x.stream.is_in_handshake) {
		used = c->x.state == CL_STARTUP ? login_take_startup(c, bytes + at, len - at)
		       : login_is_token_due(c)	? login_take_token(c, bytes + at, len - at)
						: login_take_proof(c, bytes + at, len - at);
		at += used;
	}
	if (c->x.is_closing || at >= len || c->x.state == CL_DELAYED)
		return;
	/* Requests that the client sends before the end of the login are kept. If more than AHEAD_MAX bytes are kept
	 * already, the client is closed. */
	if (exchange_is_relayed(&c->x) || c->x.state == CL_CONSOLE)
		relay_bytes(&c->x, bytes + at, len - at);
	else if (c->x.state != CL_CANCEL &&
		 (c->x.pending_len > AHEAD_MAX || exchange_keep(&c->x, bytes + at, len - at) < 0))
		client_close(c, NULL);
}

static void
handle_bytes(struct client *c, const uint8_t *bytes, size_t len)
{
	take_bytes(c, bytes, len);
	/* `bytes` may contain a password, which would stay in the loop's buffer until it is overwritten. */
	if (bytes != c->x.pending)
		OPENSSL_cleanse((void *)(uintptr_t)bytes, len);
}

static void
get_names(const struct client *c, const char **database, const char **user)
{
	*database = c->login->database;
	*user = c->login->user;
}

const struct client_login_ops login_ops = { login_begin_client, handle_bytes, check_time, get_names, leave };
