/*
 * src/login/login_startup.c - the first packets of a client: SSLRequest and GSSENCRequest (each at most once), or TLS
 * without asking; then a CancelRequest or a StartupMessage.
 *
 * Bounded: keeps one packet of at most STARTUP_MAX bytes. Settings are not checked before the client is authenticated.
 * But take_settings() drops some, refuses long names, and may add the client's address to application_name.
 */
#include "login/login_steps.h"
#include "base/text.h"

static void
put_setting(struct client_login *l, const char *name, const char *value)
{
	buf_put_str(&l->settings, name);
	buf_put_str(&l->settings, value);
	l->setting_count++;
}

static int
take_settings(struct client *c, const struct startup *s, struct fail *why)
{
	struct client_login *l = c->login;
	bool adds_host = c->env->x.config->application_name_add_host;
	/* Settings that are dropped. PostgreSQL accepts them only when a connection begins, so they can't follow the
	 * client to another server, and no query's result depends on them. */
	static const char start_only[] = "ignore_system_indexes jit_debugging_support jit_profiling_support "
					 "log_connections log_disconnections post_auth_delay";
	char with_host[APPLICATION_NAME_MAX + 1];
	const char *application_name = NULL;
	/* As with PgBouncer, a replication client's "options" are never ignored. */
	size_t option_count = s->replication == REPLICATION_NONE ? s->option_count : 0;

	for (size_t i = 0; i < s->setting_count; i++) {
		if (text_is_one_of(s->settings[i].name, start_only) ||
		    config_is_ignored_parameter(c->env->x.config, s->settings[i].name, i < option_count) ||
		    login_is_tenant_setting(c, s->settings[i].name))
			continue;
		if (strlen(s->settings[i].name) >= 128)
			return fail_set(why, "42704", "unrecognized configuration parameter \"%.63s...\"",
					s->settings[i].name);
		if (adds_host && strcasecmp(s->settings[i].name, "application_name") == 0)
			application_name = s->settings[i].value; /* the last one counts */
		else
			put_setting(l, s->settings[i].name, s->settings[i].value);
	}
	if (adds_host) {
		login_write_application_name(c, application_name, with_host);
		put_setting(l, "application_name", with_host);
	}
	if (!buf_ok(&l->settings))
		return fail_set(why, "53200", "out of memory");
	l->replication = s->replication;
	l->minor = (uint8_t)startup_minor(s);
	return 0;
}

static void
handle_startup_message(struct client *c, const struct startup *s)
{
	struct fail why;

	if (login_take_names(c, s, &why) < 0 || take_settings(c, s, &why) < 0) {
		login_refuse(c, &why, LR_ERROR);
		return;
	}
	if (stream_tls(&c->x.stream) == NULL && !c->is_unix && c->env->x.config->tls_mode >= TLS_REQUIRE) {
		fail_set(&why, "28000", "connections without TLS are not allowed");
		fail_hint(&why, "Set sslmode=require or better in the client; it is mode in section [tls_client] of "
				"pgweir.ini.");
		login_refuse(c, &why, LR_TLS_REQUIRED);
		return;
	}
	if (startup_needs_negotiate(s))
		startup_put_negotiate(&c->login->out, s);
	login_authenticate(c);
}

/* If this request has come before, or comes within TLS, refuses the login and returns false. Sets *has_asked. */
static bool
accept_request(struct client *c, bool *has_asked)
{
	struct fail why;

	if (*has_asked || stream_tls(&c->x.stream) != NULL) {
		fail_set(&why, "08P01", "received a second encryption request");
		login_refuse(c, &why, LR_ERROR);
		return false;
	}
	*has_asked = true;
	return true;
}

static void
answer_request(struct client *c, char letter)
{
	buf_put_u8(&c->login->out, (uint8_t)letter);
	login_flush(c);
}

/* extra_len bytes came right after the request. They are not encrypted and could come from an attacker, so they must
 * not be taken for bytes that came through TLS (CVE-2021-3935, CVE-2021-23214). */
static void
handle_ssl_request(struct client *c, size_t extra_len)
{
	struct fail why;

	if (!accept_request(c, &c->login->has_ssl_asked))
		return;
	if (!login_may_use_tls(c)) {
		answer_request(c, 'N');
		return;
	}
	if (extra_len > 0) {
		fail_set(&why, "08P01", "received unencrypted data after SSL request");
		fail_detail(&why, "This could be either a client-software bug or evidence of an attempted "
				  "man-in-the-middle attack.");
		login_refuse(c, &why, LR_ERROR);
		return;
	}
	answer_request(c, 'S');
	if (!c->x.is_closing)
		login_tls_begin(c, NULL, 0);
}

static size_t
take_packet(struct client *c, const struct startup *s, size_t len)
{
	switch (s->kind) {
	case STARTUP_PARTIAL:
		return 0;
	case STARTUP_SSL:
		handle_ssl_request(c, len - s->total_len);
		break;
	case STARTUP_GSSENC:
		if (accept_request(c, &c->login->has_gss_asked))
			answer_request(c, 'N');
		break;
	case STARTUP_CANCEL:
		/* A CancelRequest no longer counts towards the limits, so clients can cancel at a limit. */
		admission_leave(c->env->admission, &c->admission);
		login_free(c->login);
		c->login = NULL;
		cancel_begin(c, s->cancel_pid, s->cancel_key, s->cancel_key_len);
		break;
	case STARTUP_LOGIN:
		handle_startup_message(c, s);
		break;
	}
	return s->total_len;
}

/* Returns true if these four bytes begin a request of HTTP. */
static bool
is_http(const uint8_t bytes[4])
{
	return memcmp(bytes, "GET ", 4) == 0 || memcmp(bytes, "HEAD", 4) == 0 || memcmp(bytes, "POST", 4) == 0 ||
	       memcmp(bytes, "PUT ", 4) == 0;
}

size_t
login_take_startup(struct client *c, const uint8_t *bytes, size_t len)
{
	struct startup s;
	struct fail why;
	size_t used;

	if (c->login->is_proxy_due)
		return login_take_proxy_header(c, bytes, len);
	if (login_refuse_if_proxy(c, bytes, len))
		return len;
	if (bytes[0] == STARTUP_DIRECT_TLS && login_may_use_tls(c) && stream_tls(&c->x.stream) == NULL &&
	    !c->login->has_ssl_asked && !c->login->has_gss_asked) {
		login_tls_begin(c, bytes, len);
		return len;
	}
	if (startup_parse(bytes, len, &s, &why) < 0) {
		c->login->method = LM_NONE;
		if (s.is_garbage && len >= 4 && is_http(bytes)) {
			fail_set(&why, "08P01", "received an HTTP request");
			buf_printf(&c->login->out, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n%s",
				   "This port is for PostgreSQL's clients; HTTP is at listen in section [http].\n");
		}
		if (s.is_garbage)
			login_refuse_as(c, NULL, &why, LR_ERROR);
		else
			login_refuse(c, &why, LR_ERROR);
		return len;
	}
	used = take_packet(c, &s, len);
	startup_fini(&s);
	return used;
}
