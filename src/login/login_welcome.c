/*
 * src/login/login_welcome.c - a client's startup settings, and its first ReadyForQuery.
 *
 * The client must be sent PostgreSQL's own spelling of the values that it asked for. Mostly the spelling is known from
 * earlier clients, or obvious; otherwise the settings are applied to a borrowed server, which reports the spelling.
 * With pool_mode = session, the client borrows its server here in any case, keeps the server, and is sent the server's
 * PID.
 */
#include "login/login_state.h"
#include "relay/relay.h"
#include "config/compat.h"
#include "exchange/report.h"
#include "state/linger.h"
#include "net/tls.h"
#include "wire/messages.h"
#include "server/server.h"
#include "session/gucs_effects.h"
#include "sql/known.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Puts ParameterStatus for each reported setting in `gucs`, with own's value if `own` (may be NULL) has one. */
static void
put_reports(struct buf *b, const struct gucs *gucs, const struct gucs *own)
{
	for (size_t i = 0; i < gucs_count(gucs); i++) {
		const struct guc *s = gucs_at(gucs, i);
		const char *value = own == NULL ? NULL : gucs_get(own, s->name);

		if (s->kind == GUC_REPORTED)
			message_parameter(b, s->name, value != NULL ? value : s->value);
	}
}

void
login_log(struct client *c)
{
	struct client_about about;

	if (!c->env->x.config->log_connections || log_has_pgbouncer_format(c->env->x.log))
		return;
	client_describe(c, &about);
	about.log.event = "login";
	log_event(c->env->x.log, LOG_LEVEL_INFO, &about.log, "%s logged in%s", about.words,
		  c->x.state == CL_CONSOLE ? " to the console" : "");
}

static void
put_greeting(struct client *c, const struct gucs *gucs, const struct gucs *login_parameters)
{
	struct buf *out = &c->login->out;
	uint8_t key[CANCEL_SECRET_MAX];
	size_t key_len = cancel_copy_secret(c, key);
	char number[16];

	put_reports(out, login_parameters, gucs);
	put_reports(out, gucs, NULL);
	if (compat_does(c->env->x.config, COMPAT_REPORTS_ITSELF)) {
		snprintf(number, sizeof(number), "%" PRIu32, c->x.settings->prepared_statements);
		message_parameter(out, "pgbouncer.version", COMPAT_VERSION);
		message_parameter(out, "pgbouncer.max_prepared_statements", number);
		message_parameter(out, "pgbouncer.pool_mode", pool_mode_name(c->x.settings->pool_mode));
	}
	message_key(out, c->x.client_pid, key, key_len);
	OPENSSL_cleanse(key, sizeof(key));
	if (c->env->x.config->login_notify_message[0] != '\0')
		message_notice_text(out, c->env->x.config->login_notify_message);
	message_ready(out, 'I');
}

void
login_finish(struct client *c, struct gucs *gucs, const struct gucs *login_parameters)
{
	struct client_env *env = c->env;
	struct client_login *l = c->login;
	struct process_counters *counters = c->env->x.counters;

	c->x.gucs = gucs;
	gucs_move(&c->x.startup, gucs_ref(gucs));
	if (cancel_register(c, c->x.srv != NULL ? c->x.srv->pid : 0, l->minor >= 2) < 0 ||
	    (strcmp(l->user, c->x.pool->user) != 0 && exchange_set_user(&c->x, l->user) < 0)) {
		login_refuse_out_of_memory(c);
		return;
	}
	put_greeting(c, gucs, login_parameters);
	counters->logins[LR_OK][c->login->method]++;
	histogram_observe_us(&counters->login_duration, &histogram_bounds_wait, *c->env->x.now_us - c->connected_us);
	c->x.pool->counters.client_logins++;
	c->x.pool->database->counters.client_logins++;
	login_flush(c);
	if (c->x.is_closing)
		return;
	c->login = NULL;
	c->x.waiter.waited_us = c->x.waiter.connect_us = 0; /* this wait belongs to the login, not to a request */
	exchange_step(&c->x, CE_GREETED);
	if (stream_tls(&c->x.stream) != NULL)
		tls_stop_wiping(stream_tls(&c->x.stream));
	c->x.waiter.idle_since_us = *env->x.now_us;
	assert(env->login_count > 0);
	env->login_count--;
	login_log(c);
	login_free(l);
	if (c->x.pending_len > 0) /* the client has sent requests already */
		exchange_handle_pending(&c->x, relay_bytes);
}

static void
put_unknown_setting_notice(struct client *c, struct fail *why)
{
	fail_detail(why, "It was in the startup packet or its \"options\", and was left out.");
	message_notice(&c->login->out, "WARNING", why);
}

/* Called if an earlier client has sent the same settings. `known` has the settings that PostgreSQL knows. Puts a notice
 * about each other setting, except for settings of the transaction. */
static void
put_unknown_setting_notices(struct client *c, const struct gucs *known)
{
	const struct gucs *raw = c->login->raw;

	for (size_t i = 0; i < gucs_count(raw); i++) {
		const char *name = gucs_at(raw, i)->name;
		struct fail why;

		if (gucs_get(known, name) != NULL || gucs_get(c->x.pool->baseline, name) != NULL ||
		    known_is_transaction_setting(name))
			continue;
		fail_set(&why, "42704", "unrecognized configuration parameter \"%s\"", name);
		put_unknown_setting_notice(c, &why);
	}
}

static bool
finish_if_known(struct client *c)
{
	struct gucs *gucs = pool_find_startup(c->x.pool, c->login->raw);

	if (gucs == NULL)
		return false;
	put_unknown_setting_notices(c, gucs);
	login_finish(c, gucs_ref(gucs), c->x.pool->login_parameters);
	return true;
}

/* PostgreSQL compares only the letters and digits of encodings: "utf-8" is UTF8. */
static bool
is_same_encoding(const char *a, const char *b)
{
	for (;; a++, b++) {
		while (*a != '\0' && !isalnum((unsigned char)*a))
			a++;
		while (*b != '\0' && !isalnum((unsigned char)*b))
			b++;
		if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
			return false;
		if (*a == '\0')
			return true;
	}
}

static bool
is_printable(const char *s)
{
	while (*s >= ' ' && *s <= '~')
		s++;
	return *s == '\0';
}

/* Returns PostgreSQL's own spelling of a reported setting's value: the value is that of a fresh server, or it is a
 * short and printable application_name. Returns NULL if a server must be asked. */
static const char *
known_spelling(const struct client *c, const struct guc *s)
{
	const char *fresh = gucs_get(c->x.pool->baseline, s->name);

	if (strcmp(fresh, s->value) == 0 ||
	    (strcasecmp(s->name, "client_encoding") == 0 && is_same_encoding(fresh, s->value)))
		return fresh;
	if (strcasecmp(s->name, "application_name") == 0 && strlen(s->value) < 64 && is_printable(s->value))
		return s->value;
	return NULL;
}

/* How certain guess_gucs() is of its result. */
enum certainty {
	GUESS_UNSURE, /* a server may refuse it */
	GUESS_CUSTOM, /* certain but for custom settings, which take any value unless a library defines them */
	GUESS_CERTAIN /* no server can refuse it */
};

/* Guesses the client's GUC set. Returns NULL if a value's spelling is not known, or if out of memory. */
static struct gucs *
guess_gucs(const struct client *c, enum certainty *certainty)
{
	struct gucs *gucs = c->x.pool->baseline == NULL ? NULL : gucs_ref(c->x.pool->baseline);
	const struct gucs *raw = c->login->raw;

	*certainty = GUESS_CERTAIN;
	for (size_t i = 0; gucs != NULL && i < gucs_count(raw); i++) {
		const struct guc *s = gucs_at(raw, i);
		bool is_reported = gucs_get(c->x.pool->baseline, s->name) != NULL;
		const char *value = is_reported ? known_spelling(c, s) : s->value;

		if (!is_reported && strchr(s->name, '.') == NULL)
			*certainty = GUESS_UNSURE;
		else if (!is_reported && *certainty == GUESS_CERTAIN)
			*certainty = GUESS_CUSTOM;
		if (value == NULL || gucs_update(&gucs, s->name, value, is_reported) < 0) {
			gucs_unref(gucs);
			return NULL;
		}
	}
	return gucs;
}

static void
finish_guessed(struct client *c, struct gucs *gucs, bool is_certain)
{
	if (is_certain)
		pool_startups_learn(&c->x.pool->startups, c->login->raw, gucs);
	login_finish(c, gucs, c->x.pool->login_parameters);
}

/* Ends the login at once if the result of the client's settings is certain. Otherwise tries the settings on a server,
 * so that PostgreSQL itself refuses bad settings. The client waits for that server, however busy the pool is. But if
 * only custom settings are uncertain and no server is free, the login ends now, and the settings are applied before the
 * client's first query. */
static void
finish_or_ask_server(struct client *c)
{
	enum certainty certainty = GUESS_UNSURE;
	struct gucs *guess = c->x.is_session ? NULL : guess_gucs(c, &certainty);
	struct server *srv;

	if (guess != NULL && certainty == GUESS_UNSURE) {
		gucs_unref(guess);
		guess = NULL;
	}
	if (guess != NULL && certainty == GUESS_CERTAIN) {
		finish_guessed(c, guess, true);
		return;
	}
	c->x.waiter.gucs = pool_find_startup(c->x.pool, c->login->raw);
	srv = pool_borrow(c->x.pool, &c->x.waiter, c, *c->env->x.now_us);
	if (srv != NULL) {
		gucs_unref(guess);
		login_granted(&c->x, srv);
	} else if (guess != NULL) {
		policy_cancel(c->x.pool->policy, &c->x.waiter, *c->env->x.now_us);
		finish_guessed(c, guess, false);
	} else {
		exchange_step(&c->x, CE_NEED_SERVER);
		linger_return_servers_soon(c->x.env);
	}
}

static void
give_server_back(struct client *c)
{
	struct server *srv = c->x.srv;

	c->x.srv = NULL;
	if (srv->fitness != SERVER_FIT) {
		srv->borrower = NULL;
		server_close(srv);
	} else
		pool_return(srv, 0, *c->env->x.now_us);
}

static const struct gucs *
settings_to_apply(const struct client *c)
{
	return c->login->valid != NULL ? c->login->valid : c->login->raw;
}

/* Returns the settings of a fresh server, overridden by the client's. Reported settings stay marked as reported. */
static struct gucs *
wanted_gucs(const struct client *c)
{
	struct gucs *gucs = gucs_ref(c->x.pool->baseline);
	const struct gucs *raw = settings_to_apply(c);

	for (size_t i = 0; i < gucs_count(raw); i++) {
		const struct guc *s = gucs_at(raw, i);
		bool is_reported = gucs_get(c->x.pool->baseline, s->name) != NULL;

		if (gucs_update(&gucs, s->name, s->value, is_reported) < 0) {
			gucs_unref(gucs);
			return NULL;
		}
	}
	return gucs;
}

/* Sends the settings. If the client keeps the server, also seeds random() anew, because later nothing is sent ahead of
 * the client's requests. */
static int
apply_settings(const struct client *c, struct server *srv, const struct gucs *wanted, const struct gucs *always)
{
	struct buf b = { 0 };

	server_put_gucs(srv, wanted, always, false, &b);
	if (c->x.is_session && srv->random_known_to != 0)
		server_put_seed(srv, pool_set_random(c->x.pool->set), &b);
	return server_send(srv, &b);
}

/* Applies the client's settings to the server. If another client has sent the same settings, their result is known;
 * then only settings that the server does not have are sent, as whenever a server is lent. */
static void
try_settings(struct client *c, struct server *srv)
{
	struct gucs *known = pool_find_startup(c->x.pool, c->login->raw);
	struct gucs *wanted = known != NULL ? gucs_ref(known) : wanted_gucs(c);
	int r = wanted == NULL ? -1 : apply_settings(c, srv, wanted, known != NULL ? NULL : settings_to_apply(c));

	gucs_unref(wanted);
	if (r < 0) {
		server_condemn(srv, SERVER_IN_DOUBT);
		login_refuse_out_of_memory(c);
	} else if (srv->ledger.count == 0)
		login_server_done(&c->x);
}

void
login_granted(struct exchange *x, struct server *srv)
{
	struct client *c = client_of(x);

	c->x.srv = srv;
	if (!c->x.is_session && pool_find_startup(c->x.pool, c->login->raw) != NULL) {
		give_server_back(c); /* meanwhile the result has become known from another client */
		finish_if_known(c);
	} else
		try_settings(c, srv);
}

/*
 * Returns true if PostgreSQL ignores settings of the transaction (transaction_isolation ...) in a startup packet, and
 * doesn't refuse them. Only watch_host.c also depends on a version: it uses PostgreSQL 19's WAIT FOR LSN. All other SQL
 * that pgweir sends or follows is the same from 15 to 19 (tests/integration/state/test_versions.py).
 */
static bool
ignores_transaction_settings_at_start(const struct gucs *login_parameters)
{
	return gucs_major_version(login_parameters) >= 18;
}

/* Returns the name of the setting to leave out because of the error, or NULL. is_unknown: the error is 42704, and its
 * text has the name in quotes. */
static const char *
name_to_leave_out(const struct client *c, bool is_unknown)
{
	const struct gucs *settings = settings_to_apply(c);

	if (!is_unknown && !ignores_transaction_settings_at_start(c->x.pool->login_parameters))
		return NULL;
	for (size_t i = 0; i < gucs_count(settings); i++) {
		const char *name = gucs_at(settings, i)->name;
		char quoted[160];

		snprintf(quoted, sizeof(quoted), "\"%s\"", name);
		if (is_unknown ? strstr(c->login->error.text, quoted) != NULL : known_is_transaction_setting(name))
			return name;
	}
	return NULL;
}

/* Returns true if a setting was left out, so the others can be tried. A client is not refused for a setting that
 * PostgreSQL does not know, but gets a notice. A setting that PostgreSQL ignores in a startup packet is left out
 * without a notice. */
static bool
leave_out(struct client *c)
{
	struct client_login *l = c->login;
	bool is_unknown = strcmp(l->error.sqlstate, "42704") == 0;
	const char *name =
	    is_unknown || strcmp(l->error.sqlstate, "25001") == 0 ? name_to_leave_out(c, is_unknown) : NULL;
	struct gucs *rest;

	if (name == NULL || (rest = gucs_with(settings_to_apply(c), name, NULL, false)) == NULL)
		return false;
	if (is_unknown)
		put_unknown_setting_notice(c, &l->error);
	gucs_move(&l->valid, rest);
	l->has_error = false;
	return true;
}

void
login_server_error(struct exchange *x, const struct error_fields *e)
{
	struct client_login *l = client_of(x)->login;

	if (l->has_error)
		return;
	l->has_error = true;
	fail_set(&l->error, e->sqlstate != NULL ? e->sqlstate : "22023", "%s",
		 e->message != NULL ? e->message : "a startup parameter was refused");
	fail_detail(&l->error, "PostgreSQL refused a parameter of the startup packet or of its \"options\".");
}

/* Returns the settings that the server has now: reported settings with the values that PostgreSQL has reported, other
 * settings with the values that pgweir has set. Returns NULL if out of memory. */
static struct gucs *
resolved_gucs(const struct client *c, const struct server *srv)
{
	struct gucs *gucs = gucs_ref(srv->gucs);
	const struct gucs *raw = settings_to_apply(c);

	for (size_t i = 0; gucs != NULL && i < gucs_count(raw); i++) {
		const struct guc *s = gucs_at(raw, i);

		if (gucs_get(c->x.pool->baseline, s->name) == NULL &&
		    gucs_update(&gucs, s->name, s->value, false) < 0) {
			gucs_unref(gucs);
			return NULL;
		}
	}
	/* Settings that only an earlier borrower had were RESET. */
	for (size_t i = gucs == NULL ? 0 : gucs_count(gucs); i-- > 0;) {
		const struct guc *s = gucs_at(gucs, i);

		if (s->kind != GUC_REPORTED && gucs_get(raw, s->name) == NULL &&
		    gucs_update(&gucs, s->name, NULL, GUC_OTHER) < 0)
			break;
	}
	return gucs;
}

void
login_server_done(struct exchange *x)
{
	struct client *c = client_of(x);
	struct client_login *l = c->login;
	struct server *srv = c->x.srv;
	struct gucs *gucs, *known = pool_find_startup(c->x.pool, l->raw);

	if (l->has_error && leave_out(c)) {
		try_settings(c, srv);
		return;
	}
	if (l->has_error) {
		give_server_back(c);
		login_refuse(c, &l->error, LR_ERROR);
		return;
	}
	gucs = known != NULL ? gucs_ref(known) : resolved_gucs(c, srv);
	if (gucs == NULL || (known == NULL && pool_startups_learn(&c->x.pool->startups, l->raw, gucs) < 0)) {
		gucs_unref(gucs);
		server_condemn(srv, SERVER_IN_DOUBT);
		login_refuse_out_of_memory(c);
		return;
	}
	if (known != NULL && l->valid == NULL)
		put_unknown_setting_notices(c, known);
	gucs_move(&srv->gucs, gucs_ref(gucs));
	if (c->x.is_session)
		report_lent(&c->x, c->x.waiter.waited_us);
	else
		give_server_back(c);
	login_finish(c, gucs, c->x.pool->login_parameters);
}

void
login_server_lost(struct exchange *x, const struct fail *why)
{
	struct client *c = client_of(x);

	if (c->login->has_error)
		login_refuse(c, &c->login->error, LR_ERROR);
	else if ((x->pool->settings.on_outage == OUTAGE_HOLD || strncmp(why->sqlstate, "57", 2) == 0 ||
		  /* this server has refused settings that another one may take */
		  strcmp(why->sqlstate, "22023") == 0) &&
		 /* a retry is safe, because the lost server had got nothing but settings */
		 !c->login->is_asked_again) {
		c->login->is_asked_again = true;
		policy_distrust(x->pool->policy, *x->env->now_us);
		finish_or_ask_server(c);
	} else
		login_refuse(c, why, LR_ERROR);
}

void
login_not_granted(struct exchange *x, const struct fail *why, enum request_failure kind)
{
	struct client *c = client_of(x);
	struct fail told, logged;

	reject_reword(&c->x, why, &told);
	report_failure(&c->x, &told, kind, NULL);
	logged = told;
	if (kind == RF_BACKEND_UNREACHABLE)
		logged.hint[0] = '\0'; /* pool_log.c has logged the hint */
	login_refuse_as(c, &told, &logged, LR_ERROR);
}

void
login_welcome(struct client *c)
{
	if (c->login->replication != REPLICATION_NONE) {
		replication_welcome(c);
		return;
	}
	c->x.is_session = c->x.settings->pool_mode == POOL_MODE_SESSION;
	if (c->x.is_session || !finish_if_known(c))
		finish_or_ask_server(c);
}
