/*
 * src/weir_reload.c - a new configuration: everything that can fail is done first, beside the old one; then it is
 * swapped in one go, or the old one stays as it is.
 */
#include "weir_state.h"

#include "base/clock.h"
#include "lookup/auth_query.h"
#include "lookup/verifier_cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
warn_of_users(const char *text, void *arg)
{
	struct weir *w = arg;

	log_warning(w->log, "%s", text);
}

int
weir_load_users(struct weir *w, const struct config *config, struct users **out, struct fail *why)
{
	*out = NULL;
	if (config->single_user[0] != '\0') {
		*out = users_single(config->single_user, config->single_password);
		return *out == NULL ? fail_set(why, "53200", "no memory for users") : 0;
	}
	if (config->users_file[0] == '\0')
		return 0;
	if (config->auth_method != AUTH_SCRAM_SHA_256 && config->auth_method != AUTH_MD5 &&
	    access(config->users_file, F_OK) < 0)
		return 0; /* nobody needs it to log in to us */
	*out = users_load(config->users_file, warn_of_users, w, why);
	return *out == NULL ? -1 : 0;
}

int
weir_load_tls(const struct config *c, struct tls_context **out, struct fail *why)
{
	struct tls_accept_settings s = { .certificate_files = c->tls_certificate_file,
					 .key_files = c->tls_key_file,
					 .ca_file = c->tls_ca_file,
					 .crl_file = c->tls_crl_file,
					 .min_version = c->tls_min_version,
					 .ciphers = c->tls_ciphers,
					 .asks_certificate = c->tls_ca_file[0] != '\0',
					 .needs_certificate = c->tls_mode >= TLS_VERIFY_CA };

	*out = NULL;
	if (c->tls_mode == TLS_OFF || c->tls_certificate_file[0] == '\0')
		return 0;
	*out = tls_accept_context(&s, why);
	return *out == NULL ? -1 : 0;
}

static void
on_accept(int fd, const struct sockaddr *peer, bool is_unix, void *arg)
{
	struct weir *w = arg;

	w->now_us = clock_now_us();
	w->counters.client_connections++;
	client_accept(&w->clients, fd, peer, is_unix);
}

static void
on_exhausted(int error, void *arg)
{
	struct weir *w = arg;

	w->counters.rejected[RJ_DESCRIPTORS]++;
	log_error(w->log,
		  "cannot accept a connection: %s; raise LimitNOFILE (ulimit -n) or lower max_client_connections",
		  strerror(error));
}

static bool
is_same_address(const struct config_listen *a, const struct config_listen *b)
{
	return a->is_unix == b->is_unix && a->port == b->port && strcmp(a->host, b->host) == 0;
}

static struct listener *
open_one(struct weir *w, const struct config_listen *at, int backlog, struct fail *why)
{
	struct listener_settings s = { .host = at->host,
				       .port = at->port,
				       .is_unix = at->is_unix,
				       .backlog = backlog,
				       .on_accept = on_accept,
				       .on_exhausted = on_exhausted,
				       .arg = w };

	return listener_new(w->base, &s, why);
}

/* Addresses that stay keep their listener; new ones are opened before any old one is closed. */
int
weir_listen(struct weir *w, const struct config *config, struct fail *why)
{
	struct listener *kept[WEIR_LISTENERS_MAX] = { NULL };
	bool is_new[WEIR_LISTENERS_MAX] = { false };

	if (config->listen_count > WEIR_LISTENERS_MAX)
		return fail_set(why, "54000", "more than %d addresses to listen on", WEIR_LISTENERS_MAX);
	for (size_t i = 0; i < config->listen_count; i++) {
		for (size_t j = 0; j < WEIR_LISTENERS_MAX; j++)
			if (w->listeners[j] != NULL && is_same_address(&w->listening[j], &config->listens[i]))
				kept[i] = w->listeners[j];
		if (kept[i] != NULL)
			continue;
		kept[i] = open_one(w, &config->listens[i], (int)config->listen_backlog, why);
		is_new[i] = true;
		if (kept[i] != NULL)
			continue;
		for (size_t j = 0; j < i; j++)
			if (is_new[j])
				listener_free(kept[j]);
		return -1;
	}
	for (size_t j = 0; j < WEIR_LISTENERS_MAX; j++) {
		bool is_kept = false;

		for (size_t i = 0; i < config->listen_count; i++)
			is_kept = is_kept || kept[i] == w->listeners[j];
		if (!is_kept)
			listener_free(w->listeners[j]);
	}
	memset(w->listeners, 0, sizeof(w->listeners));
	for (size_t i = 0; i < config->listen_count; i++) {
		w->listeners[i] = kept[i];
		w->listening[i] = config->listens[i];
	}
	return 0;
}

/* The parts that hold a copy or a pointer of the configuration get the present one. */
void
weir_apply(struct weir *w)
{
	const struct config *c = w->config;

	w->clients.x.config = w->config;
	w->clients.users = w->users;
	w->clients.tls = w->tls;
	w->counters.tls_not_after_us = w->tls == NULL ? 0 : (uint64_t)tls_context_not_after(w->tls) * US_PER_S;
	w->clients.hba = w->hba;
	w->clients.ident = w->ident;
	w->clients.is_client_idle_limited = c->defaults.client_idle_timeout_us > 0;
	for (size_t i = 0; i < c->database_count; i++)
		w->clients.is_client_idle_limited |= c->databases[i].settings.client_idle_timeout_us > 0;
	for (size_t i = 0; i < c->tenant_count; i++)
		w->clients.is_client_idle_limited |= c->tenant_scopes[i].settings.client_idle_timeout_us > 0;
	for (size_t i = 0; i < c->user_count; i++)
		w->clients.is_client_idle_limited |= c->users[i].settings.client_idle_timeout_us > 0;
	verifier_cache_clear(w->clients.verifiers);
	pool_set_configure(w->pools, w->config, w->users, w->server_tls, w->now_us);
	auth_queries_configure(w->clients.x.auth_queries, w->config, w->users, w->server_tls, w->now_us);
}

/* What a reload puts in place of the old. */
struct fresh {
	struct config *config;
	struct users *users;
	struct tls_context *tls;
	struct tls_store *server_tls;
	struct hba *hba;
	struct ident *ident;
};

static void
fresh_fini(struct fresh *f)
{
	config_unref(f->config);
	users_unref(f->users);
	tls_context_unref(f->tls);
	tls_store_unref(f->server_tls);
	hba_unref(f->hba);
	ident_unref(f->ident);
}

static int
load(struct weir *w, struct fresh *f, struct fail *why)
{
	struct config_problems problems = { 0 };

	f->config = config_load(w->config->path, &problems);
	if (f->config != NULL)
		weir_load_rules(f->config, &f->hba, &f->ident, &problems);
	for (size_t i = 0; i < problems.count; i++)
		log_write(w->log, problems.list[i].is_error ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "%s",
			  problems.list[i].text);
	config_problems_fini(&w->problems);
	w->problems = problems;
	if (problems.error_count > 0) {
		fail_set(why, "F0000", "the configuration was not reloaded: %zu error%s", problems.error_count,
			 problems.error_count == 1 ? "" : "s");
		for (size_t i = problems.count; i-- > 0;)
			if (problems.list[i].is_error)
				fail_detail(why, "%s", problems.list[i].text); /* the first of them */
		return fail_hint(why, "SHOW CONFIG_ERRORS lists them; the old configuration stays in force.");
	}
	return weir_load_users(w, f->config, &f->users, why);
}

static int
apply_logs(struct weir *w, const struct config *c, struct fail *why)
{
	struct log_settings log = { c->log_destination, c->log_format, c->log_level };
	struct slowlog_settings slow = { c->slow_file, (enum slowlog_format)c->slow_format,
					 (enum slowlog_text)c->slow_text, c->slow_max_lines_per_second };

	if (log_reconfigure(w->log, &log, why) < 0)
		return -1;
	return slowlog_reconfigure(w->slowlog, &slow, why);
}

static int
try_reload(struct weir *w, struct fail *why)
{
	struct fresh f = { 0 };

	if (w->config->path[0] == '\0') { /* --upstream: there is no file, but logs can be opened again */
		weir_reopen_logs(w);
		return 0;
	}
	if (load(w, &f, why) < 0 || weir_load_tls(f.config, &f.tls, why) < 0 ||
	    (f.server_tls = tls_store_new(f.config, why)) == NULL || apply_logs(w, f.config, why) < 0 ||
	    weir_listen(w, f.config, why) < 0) {
		fresh_fini(&f);
		return -1;
	}
	fresh_fini(&(struct fresh){ w->config, w->users, w->tls, w->server_tls, w->hba, w->ident });
	w->config = f.config;
	w->users = f.users;
	w->tls = f.tls;
	w->server_tls = f.server_tls;
	w->hba = f.hba;
	w->ident = f.ident;
	weir_warn_of_secrets(w, w->config);
	weir_apply(w);
	return 0;
}

int
weir_reload(struct weir *w, struct fail *why)
{
	char state[64];

	/* Type=notify-reload wants to know that this one is not an answer to an earlier signal. */
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_now_us());
	weir_notify(state);
	w->last_reload_ok = try_reload(w, why) == 0;
	weir_notify("READY=1");
	if (w->last_reload_ok) {
		w->last_reload_wall_us = clock_wall_us();
		w->counters.reloads_ok++;
		log_info(w->log, "configuration reloaded");
		return 0;
	}
	w->counters.reloads_failed++;
	log_error(w->log, "%s", why->text);
	return -1;
}

void
weir_reopen_logs(struct weir *w)
{
	struct fail why;

	if (log_reopen(w->log, &why) < 0)
		log_error(w->log, "%s", why.text);
	slowlog_reopen(w->slowlog);
}
