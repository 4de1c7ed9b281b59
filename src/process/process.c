/* src/process/process.c - builds the process from its parts, runs worker 0's loop, and takes everything down again. */
#include "process/process_state.h"
#include "base/alloc.h"
#include "base/resources.h"
#include "config/compat.h"
#include "build.h"
#include "config/config_state.h"
#include "config/module.h"
#include "os/os.h"

#include <event2/event.h>
#include <sys/resource.h>

#define OWN_DESCRIPTORS 64

/* Raises the limit on descriptors: two for each client (its own and a server's), OWN_DESCRIPTORS, and for logins one
 * more for each client, but at least 1000 (admission/admission_queue.c). */
static void
raise_descriptor_limit(struct weir *w)
{
	rlim_t need = (rlim_t)w->config->max_client_connections * 2 + OWN_DESCRIPTORS;
	rlim_t want = need + (w->config->max_client_connections > 1000 ? w->config->max_client_connections : 1000);
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	admission_set_descriptors(w->shared.admission, r.rlim_cur);
	if (r.rlim_cur >= want)
		return;
	r.rlim_cur = r.rlim_max == RLIM_INFINITY || r.rlim_max >= want ? want : r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	admission_set_descriptors(w->shared.admission, r.rlim_cur);
	if (r.rlim_cur < need)
		log_warning(w->log,
			    "only %llu descriptors are allowed: max_client_connections = %u may not be reached; raise "
			    "LimitNOFILE (ulimit -n) to %llu",
			    (unsigned long long)r.rlim_cur, w->config->max_client_connections,
			    (unsigned long long)need);
}

/* Reads the files that the configuration names. They were read before, and every error in them was reported. If there
 * are new errors now, only the first one is reported. */
static int
load_files(struct weir *w, struct fail *why)
{
	struct config_problems problems = { 0 };
	int r = setup_load_files(w->config, &w->files, &problems);

	for (size_t i = problems.count; i-- > 0;)
		if (problems.list[i].is_error)
			/* the first error is set last, and stays */
			fail_set(why, "F0000", "%s", problems.list[i].text);
	for (size_t i = 0; r == 0 && i < problems.count; i++) {
		char text[PROBLEM_TEXT_MAX + 512];

		config_problem_plain(&problems.list[i], text, sizeof(text));
		log_warning(w->log, "%s", text);
	}
	config_problems_fini(&problems);
	return r;
}

static int
write_pid_file(struct weir *w, struct fail *why)
{
	int r = os_write_pid_file(w->config, why);

	w->has_pid_file = r == 0;
	return r;
}

static void
begin_service(struct weir *w)
{
	char workers[32] = "";
	struct fail why;

	listeners_begin(w->listeners);
	if (w->metrics.http != NULL)
		http_set_path_removal(w->metrics.http, true);
	if (!w->has_pid_file && write_pid_file(w, &why) < 0)
		log_warning(w->log, "%s", why.text);
	if (w->worker_count > 1)
		snprintf(workers, sizeof(workers), ", with %u workers", w->worker_count);
	log_info(w->log, "pgweir " PGWEIR_VERSION " is ready (pid %ld)%s", (long)getpid(), workers);
	os_notify("READY=1");
	w->watchdog_us = os_take_watchdog_us();
}

static void
hand_over_duties(struct weir *w)
{
	if (w->metrics.http != NULL)
		http_set_path_removal(w->metrics.http, false);
	process_stop_http(w);
	w->watchdog_us = 0;
	w->has_pid_file = false;
}

static void
make_restart(struct weir *w, const struct process_start *start)
{
	const struct restart_host host = { .w = w,
					   .program = start->program,
					   .argv = start->argv,
					   .main_env = &w->main_worker->clients,
					   .listeners = w->listeners,
					   .last_id = &w->shared.last_id,
					   .halt = worker_threads_halt,
					   .end_the_halt = worker_threads_end_halt,
					   .begin_service = begin_service,
					   .listen_again = process_listen_again,
					   .hand_over_duties = hand_over_duties,
					   .stop = process_stop,
					   .end = process_end };

	w->restart = restart_new(&host);
}

static int
become_user(struct weir *w, struct fail *why)
{
	int r = os_become_user(w->config, w->log, why);

	/* A configuration that was written for another image names a user of that image. pgweir is not root here, so it
	 * has no rights to give up. */
	if (r < 0 && geteuid() != 0 && compat_does(w->config, COMPAT_STARTS_WITH_MISTAKES)) {
		log_warning(w->log, "%s", why->text);
		return 0;
	}
	if (r > 0)
		setup_warn_as_user(w->config, w->log);
	return r < 0 ? -1 : 0;
}

struct weir *
process_new(struct config *config, const struct process_start *start, struct fail *why)
{
	struct weir *w = xcalloc(1, sizeof(*w));

	w->config = config_ref(config);
	w->worker_count = start->workers > 0			 ? start->workers
			  : config->workers != CONFIG_COUNT_AUTO ? config->workers
								 : os_count_processors();
	if (w->worker_count > WORKERS_MAX)
		w->worker_count = WORKERS_MAX;
	w->split = (struct pool_split){ .workers = w->worker_count,
					.shard_min = start->shard_min > 0 ? start->shard_min : POOL_SHARD_MIN };
	w->start_wall_us = w->last_reload.wall_us = clock_wall_us();
	w->last_reload.is_ok = true;
	if (w->worker_count > 1)
		memory_set_threads(w->worker_count);
	if (setup_open_logs(w->config, &w->log, w->modules, why) == 0 && process_make_parts(w, why) == 0 &&
	    load_files(w, why) == 0) {
		make_restart(w, start);
		setup_warn_of_secrets(config, w->log);
		raise_descriptor_limit(w);
		process_apply(w);
		/* No connection is accepted before begin_service(), for which a successor waits until GO has come. */
		if (process_watch_events(w, why) == 0 &&
		    (start->predecessor_fd < 0 ||
		     restart_meet_predecessor(w->restart, start->predecessor_fd, why) == 0) &&
		    process_start_http(w, why) == 0 && listeners_adopt(w->listeners, w->config, why) == 0 &&
		    listeners_listen(w->listeners, w->config, why) == 0 &&
		    (start->predecessor_fd >= 0 || write_pid_file(w, why) == 0) && become_user(w, why) == 0 &&
		    (w->threads = worker_threads_new(w, why)) != NULL)
			return w;
	}
	restart_tell_failure(w->restart, start->predecessor_fd, why);
	process_free(w);
	return NULL;
}

static void
close_clients(struct weir *w)
{
	struct fail why;

	fail_set(&why, "57P01",
		 restart_has_successor(w->restart) ? "pgweir has been restarted; please connect again"
						   : "pgweir is shutting down");
	for (struct worker *k = w->main_worker; k != NULL; k = k->next)
		while (!TAILQ_EMPTY(&k->clients.clients))
			client_close(TAILQ_FIRST(&k->clients.clients), &why);
}

bool
process_is_quiet(const struct weir *w)
{
	for (const struct worker *k = w->main_worker; k != NULL; k = k->next)
		if (!pool_set_is_quiet(k->pools, NULL))
			return false;
	return true;
}

/* Ends the threads of the other workers; after that, this thread may touch all workers' objects. If a thread hangs, the
 * process ends here. */
static void
end_threads(struct weir *w)
{
	struct fail why;

	if (worker_threads_free(w->threads, &why) < 0) {
		log_event(w->log, LOG_LEVEL_ERROR, &(struct log_about){ .event = "stopped", .why = &why },
			  "stopped without a message to the clients: %s", why.text);
		if (w->has_pid_file)
			os_remove_pid_file(w->config, w->log);
		log_free(w->log);
		_exit(EXIT_FAILURE);
	}
	w->threads = NULL;
}

void
process_run(struct weir *w)
{
	struct worker *main_worker = w->main_worker;

	if (restart_is_waiting_for_go(w->restart))
		restart_tell_ready(w->restart);
	else
		begin_service(w);
	priority_set_urgent(false);
	do
		worker_run_turn(main_worker);
	while (w->stopping.stage != STOP_ENDING);
	end_threads(w);
	restart_forget_predecessor(w->restart); /* frees clients that do not belong to this process yet */
	close_clients(w);
	restart_forget_successor(w->restart); /* tells the successor, which may then begin a restart itself */
	/* The clients' requests are being canceled: PostgreSQL gets a moment to receive the cancels. */
	for (uint64_t end_us = clock_now_us() + US_PER_S; !process_is_quiet(w) && main_worker->now_us < end_us;) {
		/* The other workers have no threads any more, so this thread runs their loops. */
		for (struct worker *k = w->main_worker->next; k != NULL; k = k->next)
			event_base_loop(k->base, EVLOOP_NONBLOCK);
		event_base_loop(w->main_worker->base, EVLOOP_ONCE);
	}
	log_info(w->log, "stopped");
}

bool
process_free(struct weir *w)
{
	bool none_hangs;

	if (w == NULL)
		return true;
	w->stopping.stage = STOP_ENDING;
	end_threads(w);
	restart_forget_predecessor(w->restart);
	for (struct worker *k = w->main_worker; k != NULL; k = k->next)
		k->clients.x.is_closed = k->clients.x.is_draining = true;
	close_clients(w);
	restart_forget_successor(w->restart);
	/* Events are freed before the objects that their handlers use. */
	process_stop_http(w);
	process_ignore_events(w);
	listeners_free(w->listeners);
	none_hangs = process_free_parts(w);
	restart_free(w->restart);
	if (w->has_pid_file)
		os_remove_pid_file(w->config, w->log);
	query_table_free(w->queries);
	for (size_t i = 0; modules[i] != NULL; i++)
		modules[i]->stop(w->modules[i]);
	log_free(w->log);
	process_forget_reload(w);
	process_free_gathered(w);
	setup_files_fini(&w->files);
	config_unref(w->config);
	for (struct worker *k = w->main_worker, *next; k != NULL; k = next) {
		next = k->next;
		worker_free(k);
	}
	free(w);
	return none_hangs;
}
