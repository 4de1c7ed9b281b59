/* src/process/process_console.c - carries out the console's commands that concern the process. */
#include "process/process_state.h"
#include "build.h"
#include "config/compat.h"
#include "restart/client_record.h"

void
process_console_message(struct exchange *x, uint8_t type, const uint8_t *body, size_t len)
{
	struct worker *k = x->env->owner;

	console_message(k->weir->console, client_of(x), type, body, len);
}

void
process_console_closed(void *owner, struct client *c)
{
	struct worker *k = owner;

	console_client_closed(k->weir->console, c);
}

static int
host_check_no_takeover(struct weir *w, struct fail *why)
{
	return restart_check_owns_all_clients(w->restart, why);
}

static const char *
host_reason_to_stay(const struct client *c)
{
	enum client_record_obstacle o = client_record_find_obstacle(c);

	return o == CLIENT_RECORD_NONE ? NULL : client_record_obstacle_name(o);
}

static bool
host_describe_predecessor(struct weir *w, char *out, size_t size)
{
	return restart_describe_staying(w->restart, out, size);
}

int
process_pause(struct weir *w, const char *database, struct fail *why)
{
	int r = 0;

	if (worker_threads_halt(w, why) < 0)
		return -1;
	for (struct worker *k = w->main_worker; k != NULL && r == 0; k = k->next)
		r = pool_set_pause(k->pools, database, w->main_worker->now_us);
	worker_threads_end_halt(w);
	return r == 0 ? 0 : fail_set(why, "53200", "out of memory");
}

int
process_resume(struct weir *w, const char *database, struct fail *why)
{
	if (database == NULL && compat_does(w->config, COMPAT_REFUSES_REPEATS) && w->stopping.stage != STOP_NONE &&
	    w->stopping.how != SHUTDOWN_WAIT_FOR_CLIENTS)
		return fail_set(why, "08P01", "pooler is shutting down");
	if (worker_threads_halt(w, why) < 0)
		return -1;
	for (struct worker *k = w->main_worker; k != NULL; k = k->next)
		pool_set_resume(k->pools, database, w->main_worker->now_us);
	if (database == NULL)
		process_suspend(w, false, why); /* last, because it ticks the pools, which ends overdue waits */
	worker_threads_end_halt(w);
	return 0;
}

static int
host_suspend(struct weir *w, struct fail *why)
{
	return process_suspend(w, true, why);
}

static void
host_shutdown(struct weir *w, enum shutdown_how how)
{
	/* SHUTDOWN is meant for both processes of a restart: the successor is told to stop, and stops this process. */
	if (!restart_stop_successor(w->restart, how))
		process_stop(w, how);
}

int
process_restart(struct weir *w, struct fail *why)
{
	return restart_begin(w->restart, w->metrics.http == NULL ? -1 : http_listening_fd(w->metrics.http), why);
}

static const char *
host_config_error(struct weir *w, size_t i)
{
	return i < w->last_reload.problems.count ? w->last_reload.problems.list[i].text : NULL;
}

static const char *
host_config_change(struct weir *w, size_t i)
{
	return i < w->last_reload.change_count ? w->last_reload.changes[i] : NULL;
}

static bool
host_is_shutting_down(struct weir *w)
{
	return w->stopping.stage != STOP_NONE;
}

struct console *
process_console_new(struct weir *w)
{
	struct console_host host = { .w = w,
				     .queries = w->queries,
				     .modules = w->modules,
				     .fleet = w->shared.fleet,
				     .watch = w->shared.watch,
				     .main_env = &w->main_worker->clients,
				     .client_envs = w->client_envs,
				     .halt = worker_threads_halt,
				     .leave_halt = worker_threads_end_halt,
				     .version = PGWEIR_VERSION,
				     .start_wall_us = w->start_wall_us,
				     .reload = process_reload,
				     .check_no_takeover = host_check_no_takeover,
				     .pause = process_pause,
				     .resume = process_resume,
				     .set = process_set,
				     .suspend = host_suspend,
				     .shutdown = host_shutdown,
				     .restart = process_restart,
				     .reason_to_stay = host_reason_to_stay,
				     .describe_predecessor = host_describe_predecessor,
				     .reopen = process_reopen_logs,
				     .config_error = host_config_error,
				     .config_change = host_config_change,
				     .is_shutting_down = host_is_shutting_down,
				     .workers_each = worker_each,
				     .snapshot = process_snapshot };

	return console_new(&host);
}
