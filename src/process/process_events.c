/* src/process/process_events.c - signals, and what is done about every 100 ms. */
#include "process/process_state.h"

#include "base/clock.h"
#include "client/clients.h"
#include "lookup/auth_query.h"
#include "os/os.h"

#include <event2/event.h>
#include <signal.h>

/* Resumes, as in PgBouncer. If nothing is paused, restarts (not with PgBouncer's configuration). */
static void
on_sigusr2(struct weir *w)
{
	bool is_theirs = w->config->compat == COMPAT_PGBOUNCER;
	struct fail why;

	if (is_theirs && w->stopping.is_stopping)
		log_info(w->log, "got SIGUSR2 while shutting down, ignoring");
	else if (is_theirs || pool_set_is_paused(w->pools) || w->clients.x.is_suspended) {
		log_info(w->log, "resumed");
		process_resume(w, NULL);
	} else if (process_restart(w, &why) < 0)
		log_warning(w->log, "no restart: %s", why.text);
}

static void
on_sigusr1(struct weir *w)
{
	struct fail why;

	if (restart_may_hold(w->restart, &why) < 0) {
		log_warning(w->log, "not paused: %s", why.text);
		return;
	}
	log_info(w->log, "paused");
	pool_set_pause(w->pools, NULL, w->now_us);
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct weir *w = arg;
	bool is_theirs = w->config->compat == COMPAT_PGBOUNCER;
	struct fail why;

	(void)what;
	w->now_us = clock_now_us();
	switch (number) {
	case SIGHUP:
		if (process_reload(w, &why) < 0)
			process_reopen_logs(w); /* logrotate has moved them, whatever is wrong with the file */
		break;
	case SIGTERM:
		process_stop(w, is_theirs ? SHUTDOWN_CLIENTS : SHUTDOWN_SERVERS);
		break;
	case SIGINT:
		process_stop(w, is_theirs ? SHUTDOWN_SERVERS : SHUTDOWN_NOW);
		break;
	case SIGQUIT:
		process_stop(w, SHUTDOWN_NOW);
		break;
	case SIGUSR1:
		on_sigusr1(w);
		break;
	case SIGUSR2:
		on_sigusr2(w);
		break;
	default:
		break;
	}
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct weir *w = arg;
	uint64_t now = clock_now_us(), lag = now - w->events.last_tick_us;

	(void)fd;
	(void)what;
	w->now_us = now;
	if (w->events.last_tick_us != 0)
		histogram_observe_us(&w->counters.loop_lag, &histogram_bounds_proxy, lag > TICK_US ? lag - TICK_US : 0);
	w->events.last_tick_us = now;
	if (!w->clients.x.is_suspended)
		clients_tick(&w->clients, now);
	pool_set_tick(w->pools, now);
	server_losses_tell(&w->servers, now);
	if (!w->stopping.is_stopping)
		pool_set_scout(w->pools, now);
	auth_queries_tick(w->clients.x.auth_queries, now);
	passwords_tick(w->servers.passwords);
	console_tick(w->console, now);
	process_watch_memory(w);
	process_stop_tick(w);
	restart_tick(w->restart);
}

int
process_watch_events(struct weir *w, struct fail *why)
{
	static const int numbers[PROCESS_SIGNALS] = { SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 };
	struct timeval tv = { 0, TICK_US };

	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* whoever started us may have ignored it, and waitpid() would find nobody */
	for (size_t i = 0; i < PROCESS_SIGNALS; i++) {
		w->events.signals[i] = evsignal_new(w->base, numbers[i], on_signal, w);
		if (w->events.signals[i] == NULL || event_add(w->events.signals[i], NULL) < 0)
			return fail_set(why, "53200", "no memory to start");
	}
	os_admit_signals();
	w->events.tick = event_new(w->base, -1, EV_PERSIST, on_tick, w);
	if (w->events.tick == NULL || event_add(w->events.tick, &tv) < 0)
		return fail_set(why, "53200", "no memory to start");
	return 0;
}

void
process_ignore_events(struct weir *w)
{
	for (size_t i = 0; i < PROCESS_SIGNALS; i++)
		if (w->events.signals[i] != NULL)
			event_free(w->events.signals[i]);
	if (w->events.tick != NULL)
		event_free(w->events.tick);
}
