/* src/process/process_events.c - handles signals, and does the work that is due about every 100 ms. */
#include "process/process_state.h"
#include "config/compat.h"
#include "dedicated/fleet.h"
#include "dedicated/watch.h"
#include "lookup/auth_query.h"
#include "os/os.h"

#include <event2/event.h>
#include <signal.h>

static const int signal_numbers[PROCESS_SIGNALS] = { SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 };

/* Handles SIGUSR2: resumes, as PgBouncer does. If nothing is paused or suspended, begins a restart instead; but with
 * COMPAT_SIGNAL_ONLY_RESUMES, only the console's commands begin a restart. */
static void
on_sigusr2(struct weir *w)
{
	bool only_resumes = compat_does(w->config, COMPAT_SIGNAL_ONLY_RESUMES);
	bool is_held = pool_set_is_paused(w->main_worker->pools) || w->main_worker->clients.x.is_suspended;
	struct fail why;

	if (only_resumes && !is_held && w->stopping.stage != STOP_NONE)
		log_info(w->log, "got SIGUSR2 while shutting down, ignoring");
	else if (only_resumes || is_held) {
		if (process_resume(w, NULL, &why) == 0)
			log_info(w->log, "resumed");
		else
			log_warning(w->log, "not resumed: %s", why.text);
	} else if (process_restart(w, &why) < 0)
		log_warning(w->log, "no restart: %s", why.text);
}

/* Begins a stop. A second signal stops the process at once, with one exception: with compat = none, a signal for a
 * stricter stop than the present one begins that stricter stop. */
static void
stop_by_signal(struct weir *w, enum shutdown_how how)
{
	bool may_wait = w->stopping.stage == STOP_NONE ||
			(how > w->stopping.how && !compat_does(w->config, COMPAT_STOPS_PATIENTLY));

	process_stop(w, may_wait ? how : SHUTDOWN_NOW);
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct weir *w = arg;
	struct fail why;

	w->main_worker->now_us = clock_now_us();
	/* Once the main loop ends, a reload, for instance, would find that the listeners were given away. */
	if (w->stopping.stage == STOP_ENDING)
		return;
	switch (number) {
	case SIGHUP:
		if (process_reload(w, &why) < 0)
			process_reopen_logs(w); /* logrotate may have moved the logs, even if the reload has failed */
		break;
	case SIGTERM:
		stop_by_signal(w, process_is_patient(w) ? SHUTDOWN_WAIT_FOR_CLIENTS : SHUTDOWN_WAIT_FOR_SERVERS);
		break;
	case SIGINT:
		stop_by_signal(w, compat_does(w->config, COMPAT_STOPS_PATIENTLY) ? SHUTDOWN_WAIT_FOR_SERVERS
										 : SHUTDOWN_NOW);
		break;
	case SIGQUIT:
		process_stop(w, SHUTDOWN_NOW);
		break;
	case SIGUSR1:
		if (restart_check_owns_all_clients(w->restart, &why) == 0 && process_pause(w, NULL, &why) == 0)
			log_info(w->log, "paused");
		else
			log_warning(w->log, "not paused: %s", why.text);
		break;
	case SIGUSR2:
		on_sigusr2(w);
		break;
	default:
		break;
	}
}

void
process_tick(struct weir *w)
{
	if (!w->main_worker->clients.x.is_suspended)
		admission_tick(w->shared.admission, w->main_worker->now_us);
	auth_queries_tick(w->shared.auth_queries, w->main_worker->now_us);
	fleet_tick(w->shared.fleet);
	watch_tick(w->shared.watch);
	console_tick(w->console, w->main_worker->now_us);
	worker_watch_all(w);
	process_watch_memory(w);
	process_stop_tick(w);
	restart_tick(w->restart);
}

int
process_watch_events(struct weir *w, struct fail *why)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* our parent may have set SIG_IGN, with which waitpid() would find no child */
	for (size_t i = 0; i < PROCESS_SIGNALS; i++) {
		w->signals[i] = evsignal_new(w->main_worker->base, signal_numbers[i], on_signal, w);
		if (w->signals[i] == NULL || event_add(w->signals[i], NULL) < 0)
			return fail_memory(why, "signal handlers");
	}
	os_unblock_signals();
	for (struct worker *k = w->main_worker; k != NULL; k = k->next)
		if (worker_begin(k) < 0)
			return fail_memory(why, "timers");
	return 0;
}

void
process_ignore_events(struct weir *w)
{
	sigset_t ours;

	/* A second SIGTERM, or a SIGHUP, must not interrupt the shutdown. */
	sigemptyset(&ours);
	for (size_t i = 0; i < PROCESS_SIGNALS; i++)
		sigaddset(&ours, signal_numbers[i]);
	sigprocmask(SIG_BLOCK, &ours, NULL);
	for (size_t i = 0; i < PROCESS_SIGNALS; i++)
		if (w->signals[i] != NULL)
			event_free(w->signals[i]);
}
