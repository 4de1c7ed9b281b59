/*
 * src/process/process_reload.c - loads a new configuration: everything that can fail is done first, beside the old one;
 * then all of it is swapped at once, or the old one stays as it is.
 */
#include "process/process_state.h"

#include "base/alloc.h"
#include "client/clients.h"
#include "telemetry/query_table.h"

#include "base/clock.h"
#include "bouncer/bouncer.h"
#include "config/config_state.h"
#include "lookup/auth_query.h"
#include "lookup/verifier_cache.h"
#include "os/os.h"

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
	struct fail why;

	w->counters.rejected[RJ_DESCRIPTORS]++;
	fail_set(&why, "53300", "cannot accept a connection: %s", strerror(error));
	fail_hint(&why, "raise LimitNOFILE (ulimit -n) or lower max_client_connections");
	log_event(w->log, LOG_LEVEL_ERROR, &(struct log_about){ .why = &why }, "%s", why.text);
}

static bool
is_same_address(const struct config_listen *a, const struct config_listen *b)
{
	return a->is_unix == b->is_unix && a->port == b->port && strcmp(a->host, b->host) == 0;
}

struct tcp_options
weir_tcp_options(const struct config *config)
{
	return (struct tcp_options){
		.is_port_shared = config->tcp_reuse_port,
		.is_kept_alive = config->tcp_keepalive,
		.probe_count = config->tcp_keepalive_count,
		.idle_s = (uint32_t)(config->tcp_keepalive_idle_us / US_PER_S),
		.interval_s = (uint32_t)(config->tcp_keepalive_interval_us / US_PER_S),
		.user_timeout_ms = (uint32_t)(config->tcp_user_timeout_us / US_PER_MS),
		.defer_accept_s = (uint32_t)((config->tcp_defer_accept_us + US_PER_S - 1) / US_PER_S),
	};
}

static gid_t
group_of(const char *name)
{
	const struct group *group = *name != '\0' ? getgrnam(name) : NULL;

	return group != NULL ? group->gr_gid : LISTENER_NO_GROUP;
}

struct listener_settings
weir_listener_settings(struct weir *w, const struct config *config)
{
	return (struct listener_settings){ .backlog = (int)config->listen_backlog,
					   .descriptors_max = weir_descriptors_for_clients(),
					   .tcp = weir_tcp_options(config),
					   .mode = (mode_t)strtoul(config->unix_socket_mode, NULL, 8),
					   .group = group_of(config->unix_socket_group),
					   .on_accept = on_accept,
					   .on_exhausted = on_exhausted,
					   .arg = w };
}

static struct listener *
open_one(struct weir *w, const struct config *config, const struct config_listen *at, struct fail *why)
{
	struct listener_settings s = weir_listener_settings(w, config);

	s.host = at->host;
	s.port = at->port;
	s.is_unix = at->is_unix;
	s.adopted_fd = weir_take_passed(w, 'S', at->host, at->port);
	s.is_inherited = s.adopted_fd != 0;
	s.is_held = weir_is_waiting_for_go(w);
	return listener_new(w->base, &s, why);
}

/* Addresses that stay keep their listener. */
static struct listener *
find_listener(const struct weir *w, const struct config_listen *at)
{
	for (size_t i = 0; i < WEIR_LISTENERS_MAX; i++)
		if (w->listeners[i] != NULL && is_same_address(&w->listening[i], at))
			return w->listeners[i];
	return NULL;
}

/* New addresses are opened beside the old ones; nothing is accepted on them before the loop's next turn. */
static int
open_listeners(struct weir *w, const struct config *config, struct weir_listeners *fresh, struct fail *why)
{
	/* A reload moves no listener of PgBouncer's, and none while they are being closed. */
	bool is_unchanged = w->is_activated || w->is_stopping || w->clients.x.is_moving ||
			    (w->listeners[0] != NULL && config->compat == COMPAT_PGBOUNCER);

	*fresh = (struct weir_listeners){ .is_unchanged = is_unchanged };
	if (is_unchanged)
		return 0;
	if (config->listen_count > WEIR_LISTENERS_MAX)
		return fail_set(why, "54000", "more than %d addresses to listen on", WEIR_LISTENERS_MAX);
	for (size_t i = 0; i < config->listen_count; i++) {
		fresh->list[i] = find_listener(w, &config->listens[i]);
		if (fresh->list[i] != NULL)
			continue;
		fresh->list[i] = open_one(w, config, &config->listens[i], why);
		if (fresh->list[i] == NULL)
			return -1;
		fresh->is_new[i] = true;
	}
	return 0;
}

static void
abandon_listeners(struct weir_listeners *fresh)
{
	for (size_t i = 0; i < WEIR_LISTENERS_MAX; i++)
		if (fresh->is_new[i])
			listener_free(fresh->list[i]);
}

static bool
is_kept(const struct weir_listeners *fresh, const struct listener *l)
{
	for (size_t i = 0; i < WEIR_LISTENERS_MAX; i++)
		if (fresh->list[i] == l)
			return true;
	return false;
}

static void
take_listeners(struct weir *w, const struct config *config, const struct weir_listeners *fresh)
{
	if (fresh->is_unchanged)
		return;
	for (size_t i = 0; i < WEIR_LISTENERS_MAX; i++) {
		if (w->listeners[i] == NULL || is_kept(fresh, w->listeners[i]))
			continue;
		log_info(w->log, "no longer listening on %s; clients that are connected there stay",
			 w->listening[i].text);
		listener_free(w->listeners[i]);
	}
	memcpy(w->listeners, fresh->list, sizeof(w->listeners));
	for (size_t i = 0; i < config->listen_count; i++) {
		w->listening[i] = config->listens[i];
		if (fresh->is_new[i])
			log_info(w->log, "listening on %s", config->listens[i].text);
	}
}

int
weir_listen(struct weir *w, const struct config *config, struct fail *why)
{
	struct weir_listeners fresh;

	if (open_listeners(w, config, &fresh, why) < 0) {
		abandon_listeners(&fresh);
		return -1;
	}
	take_listeners(w, config, &fresh);
	return 0;
}

int
weir_listen_again(struct weir *w, struct fail *why)
{
	return weir_listen(w, w->config, why) < 0 ? -1 : weir_start_http(w, why);
}

/* Passes the present configuration to all parts that keep a copy of it or a pointer to it. */
void
weir_apply(struct weir *w)
{
	const struct config *c = w->config;

	w->clients.x.config = w->config;
	clients_renew_query_budget(&w->clients.x);
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
	dialer_set_resolv_conf(w->dialer, c->resolv_conf);
	statement_store_set_idle_max(w->clients.x.statements, c->prepared_statements_cache);
	pool_set_configure(w->pools, w->config, w->users, w->server_tls, w->now_us);
	clients_configured(&w->clients, w->now_us);
	auth_queries_configure(w->clients.x.auth_queries, w->config, w->users, w->server_tls, w->now_us);
}

/* What a reload makes and then swaps in. */
struct fresh {
	struct config *config;
	struct weir_files files;
	struct weir_listeners listeners;
};

struct log_settings
weir_log_settings(const struct config *c)
{
	return (struct log_settings){ c->log_destination, c->log_format, c->log_level,
				      config_is_pgbouncers(c) ? bouncer_words : NULL };
}

/* Both or none: a log that was moved goes back when the other one can't be opened. */
static int
apply_logs(struct weir *w, const struct config *c, struct fail *why)
{
	const struct log_settings log = weir_log_settings(c), before = weir_log_settings(w->config);
	const struct slowlog_settings slow = { c->slow_file, (enum slowlog_format)c->slow_format,
					       (enum slowlog_text)c->slow_text, c->slow_max_lines_per_second };
	struct fail back;

	if (log_reconfigure(w->log, &log, why) < 0)
		return -1;
	if (slowlog_reconfigure(w->slowlog, &slow, why) == 0) {
		query_table_set_max(w->queries, c->slow_table_size);
		return 0;
	}
	log_reconfigure(w->log, &before, &back);
	return -1;
}

/* What only a try can tell. It is told like what is wrong with the file. */
static int
open_all(struct weir *w, struct fresh *f, struct config_problems *problems, struct fail *why)
{
	const struct problem_sink sink = { .problems = problems,
					   .file = w->config->path,
					   .has_our_words = config_is_pgbouncers(f->config) };

	if (open_listeners(w, f->config, &f->listeners, why) == 0 && apply_logs(w, f->config, why) == 0)
		return 0;
	abandon_listeners(&f->listeners);
	problem_fail(&sink, 0, "reload", why);
	return -1;
}

void
weir_forget_changes(struct weir *w)
{
	for (size_t i = 0; i < w->change_count; i++)
		free(w->changes[i]);
	free(w->changes);
	w->changes = NULL;
	w->change_count = 0;
}

static void
on_change(const char *text, void *arg)
{
	struct weir *w = arg;

	w->changes = xreallocarray(w->changes, w->change_count + 1, sizeof(*w->changes));
	w->changes[w->change_count++] = xstrdup(text);
	log_event(w->log, LOG_LEVEL_INFO, &(struct log_about){ .event = "config_changed" }, "configuration: %s", text);
}

static void
take(struct weir *w, struct fresh *f)
{
	struct config *old = w->config;

	config_diff(old, f->config, on_change, w);
	take_listeners(w, f->config, &f->listeners);
	weir_files_fini(&(struct weir_files){ w->users, w->tls, w->server_tls, w->hba, w->ident });
	w->config = f->config;
	w->users = f->files.users;
	w->tls = f->files.tls;
	w->server_tls = f->files.server_tls;
	w->hba = f->files.hba;
	w->ident = f->files.ident;
	config_unref(old);
	weir_apply(w);
	weir_limit_memory(w);
}

/* As PgBouncer does if its auth_file is gone: a secret that is being replaced must not lock everybody out. */
static void
keep_users(const struct weir *w, struct fresh *f)
{
	if (f->files.users != NULL || w->users == NULL || f->config->users_file[0] == '\0' ||
	    !config_is_pgbouncers(f->config))
		return;
	f->files.users = users_ref(w->users);
	log_write(w->log, LOG_LEVEL_WARNING, "the users that auth_file had before stay");
}

static int
load(struct weir *w, const struct weir_overrides *o, struct fresh *f, struct config_problems *problems,
     struct fail *why)
{
	f->config = config_load_with(w->config->path, o->list, o->count, problems);
	if (f->config != NULL)
		weir_load_files(f->config, &f->files, problems);
	if (problems->error_count > 0)
		return fail_set(why, "F0000", "the configuration has errors");
	config_keep_fixed(f->config, w->config);
	keep_users(w, f);
	return open_all(w, f, problems, why);
}

int
weir_load(struct weir *w, const struct weir_overrides *o, struct config_problems *problems, struct fail *why)
{
	struct fresh f = { 0 };

	weir_forget_changes(w);
	if (load(w, o, &f, problems, why) < 0) {
		config_unref(f.config);
		weir_files_fini(&f.files);
		return -1;
	}
	take(w, &f);
	return 0;
}

static void
report_problems(struct weir *w, struct config_problems *problems, struct fail *why)
{
	for (size_t i = 0; i < problems->count; i++) {
		const struct config_problem *p = &problems->list[i];
		char text[PROBLEM_TEXT_MAX + 512];

		config_problem_plain(p, text, sizeof(text)); /* the line has its level already */
		log_write(w->log, p->is_error ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "%s", text);
	}
	config_problems_fini(&w->problems);
	w->problems = *problems;
	if (problems->error_count == 0)
		return;
	fail_set(why, "F0000", "the configuration was not reloaded: %zu error%s", problems->error_count,
		 problems->error_count == 1 ? "" : "s");
	for (size_t i = problems->count; i-- > 0;)
		if (problems->list[i].is_error)
			fail_detail(why, "%s", problems->list[i].text); /* the first of them */
	fail_hint(why, "SHOW CONFIG_ERRORS lists them; the old configuration stays in force.");
}

/* What SET has set ends with it. */
static int
try_reload(struct weir *w, struct fail *why)
{
	struct config_problems problems = { 0 };
	int result;

	if (w->config->path[0] == '\0') { /* --upstream: there is no file, but logs can be opened again */
		weir_reopen_logs(w);
		return 0;
	}
	result = weir_load(w, &(struct weir_overrides){ 0 }, &problems, why);
	report_problems(w, &problems, why);
	if (result < 0)
		return -1;
	weir_overrides_fini(&w->overrides);
	weir_warn_of_secrets(w, w->config);
	return 0;
}

int
weir_reload(struct weir *w, struct fail *why)
{
	struct fail logged;
	char state[64];

	/* With Type=notify-reload, the time shows that this does not answer an earlier signal. */
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_now_us());
	os_notify(state);
	w->last_reload_ok = try_reload(w, why) == 0;
	os_notify("READY=1");
	if (w->last_reload_ok) {
		w->last_reload_wall_us = clock_wall_us();
		w->counters.reloads_ok++;
		log_event(w->log, LOG_LEVEL_INFO, &(struct log_about){ .event = "reload" },
			  "configuration reloaded: %zu change%s", w->change_count, w->change_count == 1 ? "" : "s");
		return 0;
	}
	w->counters.reloads_failed++;
	logged = *why;
	logged.detail[0] = '\0'; /* it has a line already */
	log_event(w->log, LOG_LEVEL_ERROR, &(struct log_about){ .event = "reload_failed", .why = &logged }, "%s",
		  why->text);
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
