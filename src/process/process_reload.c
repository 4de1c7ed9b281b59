/* src/process/process_reload.c - loads a new configuration. Everything that can fail is done first, beside the old
 * configuration; then all of it is swapped at once, or the old configuration stays in force. */
#include "process/process_state.h"
#include "base/alloc.h"
#include "config/compat.h"
#include "config/config_state.h"
#include "dedicated/fleet.h"
#include "dedicated/watch.h"
#include "lookup/auth_query.h"
#include "lookup/verifier_cache.h"
#include "http/http.h"
#include "os/os.h"
#include "load/load.h"

int
process_listen_again(struct weir *w, struct fail *why)
{
	return listeners_listen(w->listeners, w->config, why) < 0 ? -1 : process_start_http(w, why);
}

void
process_apply(struct weir *w)
{
	w->main_worker->counters.tls_not_after_us =
	    w->files.tls == NULL ? 0 : (uint64_t)tls_context_not_after(w->files.tls) * US_PER_S;
	if (w->metrics.http != NULL)
		http_use_tls(w->metrics.http, w->files.http_tls);
	verifier_cache_clear(w->shared.verifiers);
	fleet_configure(w->shared.fleet, w->config, w->files.users, w->files.server_tls);
	watch_configure(w->shared.watch, w->config, w->files.users, w->files.server_tls);
	for (struct worker *k = w->main_worker; k != NULL; k = k->next)
		worker_apply(k);
	auth_queries_configure(w->shared.auth_queries, w->config, w->files.users, w->files.server_tls,
			       w->main_worker->now_us);
}

/* The objects that a reload makes before they are swapped in. */
struct next_parts {
	struct config *config;
	struct setup_files files;
	struct listeners_next listeners;
};

/* Opens listeners and logs. Errors here can only be found by trying, and are reported like mistakes in the file. */
static int
open_all(struct weir *w, struct next_parts *f, struct config_problems *problems, struct fail *why)
{
	const struct problem_sink sink = { .problems = problems,
					   .file = w->config->path,
					   .words = config_words(f->config) };

	/* No listener is opened or closed during a stop, or while clients move to the successor. */
	bool is_fixed = w->stopping.stage != STOP_NONE || w->main_worker->clients.x.is_moving;

	if ((is_fixed || listeners_open(w->listeners, f->config, &f->listeners, why) == 0) &&
	    setup_change_logs(w->log, w->modules, w->config, f->config, why) == 0) {
		query_table_set_max(w->queries, f->config->slow_table_size);
		return 0;
	}
	listeners_abandon(&f->listeners);
	problem_add_fail(&sink, 0, "reload", why);
	return -1;
}

static void
forget_changes(struct weir *w)
{
	for (size_t i = 0; i < w->last_reload.change_count; i++)
		free(w->last_reload.changes[i]);
	free(w->last_reload.changes);
	w->last_reload.changes = NULL;
	w->last_reload.change_count = 0;
}

static void
on_change(const char *change, void *arg)
{
	struct weir *w = arg;
	const struct problem_words *words = config_words(w->config);
	char text[1024];

	if (words != NULL) {
		words->change(change, text, sizeof(text));
		change = text;
	}
	w->last_reload.changes =
	    xreallocarray(w->last_reload.changes, w->last_reload.change_count + 1, sizeof(*w->last_reload.changes));
	w->last_reload.changes[w->last_reload.change_count++] = xstrdup(change);
	log_event(w->log, LOG_LEVEL_INFO, &(struct log_about){ .event = "config_changed" }, "configuration: %s",
		  change);
}

static int
load(struct weir *w, const struct process_overrides *o, struct next_parts *f, struct config_problems *problems,
     struct fail *why)
{
	f->config = load_config(w->config->path, o->list, o->count, problems);
	if (f->config != NULL)
		setup_load_files(f->config, &f->files, problems);
	if (problems->error_count > 0)
		return fail_set(why, "F0000", "the configuration has errors");
	config_keep_fixed(f->config, w->config);
	/* PgBouncer, too, keeps its users if auth_file is gone: a secret that is being replaced must not lock all
	 * clients out. */
	if (f->files.users == NULL && w->files.users != NULL && f->config->users_file[0] != '\0' &&
	    compat_does(f->config, COMPAT_STARTS_WITH_MISTAKES)) {
		f->files.users = users_ref(w->files.users);
		log_write(w->log, LOG_LEVEL_WARNING, "keeping the users that auth_file had before");
	}
	return 0;
}

/* Swaps the new configuration in for all workers at once, in a halt. */
static int
swap(struct weir *w, struct next_parts *f, struct config_problems *problems, struct fail *why)
{
	int r;

	if (worker_threads_halt(w, why) < 0)
		return -1;
	r = open_all(w, f, problems, why);
	if (r == 0) {
		struct config *old = w->config;

		config_diff(old, f->config, on_change, w);
		listeners_use(w->listeners, f->config, &f->listeners);
		setup_files_fini(&w->files);
		w->config = f->config;
		w->files = f->files;
		config_unref(old);
		process_apply(w);
	}
	worker_threads_end_halt(w);
	return r;
}

int
process_load(struct weir *w, const struct process_overrides *o, struct config_problems *problems, struct fail *why)
{
	struct next_parts f = { 0 };

	forget_changes(w);
	if (load(w, o, &f, problems, why) == 0 && swap(w, &f, problems, why) == 0)
		return 0;
	config_unref(f.config);
	setup_files_fini(&f.files);
	return -1;
}

static void
report_problems(struct weir *w, struct config_problems *problems, struct fail *why)
{
	for (size_t i = 0; i < problems->count; i++) {
		const struct config_problem *p = &problems->list[i];
		char text[PROBLEM_TEXT_MAX + 512];

		config_problem_plain(p, text, sizeof(text)); /* the log line has a level of its own */
		log_write(w->log, p->is_error ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "%s", text);
	}
	config_problems_fini(&w->last_reload.problems);
	w->last_reload.problems = *problems;
	if (problems->error_count == 0)
		return;
	fail_set(why, "F0000", "the configuration was not reloaded: %zu error%s", problems->error_count,
		 problems->error_count == 1 ? "" : "s");
	for (size_t i = problems->count; i-- > 0;)
		if (problems->list[i].is_error)
			fail_detail(why, "%s", problems->list[i].text); /* the first error is set last, and stays */
	fail_hint(why, "SHOW CONFIG_ERRORS lists them; the old configuration stays in force.");
}

/* Reads the file again. If that succeeds, the values that SET has given no longer apply. */
static int
try_reload(struct weir *w, struct fail *why)
{
	struct config_problems problems = { 0 };
	int result;

	if (w->config->path[0] == '\0') { /* with --upstream there is no file, but logs can be reopened */
		process_reopen_logs(w);
		return 0;
	}
	if (process_lift_memory_limit(w, why) < 0)
		return -1;
	result = process_load(w, &(struct process_overrides){ 0 }, &problems, why);
	report_problems(w, &problems, why);
	if (result < 0)
		return -1;
	process_overrides_fini(&w->last_reload.overrides);
	setup_warn_of_secrets(w->config, w->log);
	return 0;
}

int
process_reload(struct weir *w, struct fail *why)
{
	struct fail logged;
	char state[64];

	/* For Type=notify-reload, the time shows that this message does not answer an earlier signal. */
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_now_us());
	os_notify(state);
	w->last_reload.is_ok = try_reload(w, why) == 0;
	os_notify("READY=1");
	if (w->last_reload.is_ok) {
		w->last_reload.wall_us = clock_wall_us();
		w->main_worker->counters.reloads_ok++;
		log_event(w->log, LOG_LEVEL_INFO, &(struct log_about){ .event = "reload" },
			  "configuration reloaded: %zu change%s", w->last_reload.change_count,
			  w->last_reload.change_count == 1 ? "" : "s");
		return 0;
	}
	w->main_worker->counters.reloads_failed++;
	logged = *why;
	logged.detail[0] = '\0'; /* report_problems() has logged that error already */
	log_event(w->log, LOG_LEVEL_ERROR, &(struct log_about){ .event = "reload_failed", .why = &logged }, "%s",
		  why->text);
	return -1;
}

void
process_reopen_logs(struct weir *w)
{
	setup_reopen_logs(w->log, w->modules);
}

void
process_overrides_fini(struct process_overrides *o)
{
	for (size_t i = 0; i < o->count; i++) {
		free((char *)(uintptr_t)o->list[i].name);
		free((char *)(uintptr_t)o->list[i].value);
	}
	free(o->list);
	*o = (struct process_overrides){ 0 };
}

void
process_forget_reload(struct weir *w)
{
	config_problems_fini(&w->last_reload.problems);
	forget_changes(w);
	process_overrides_fini(&w->last_reload.overrides);
}
