/*
 * src/process/process_stop.c - stops in this order: /readyz returns 503; after shutdown_delay the TCP listeners close
 * (Unix sockets stay for the console) and new clients are refused; clients between transactions get 57P01; transactions
 * may finish within shutdown_timeout; then all clients are closed, and after them the metrics port. SHUTDOWN
 * WAIT_FOR_CLIENTS disconnects no client and waits as long as there are clients.
 */
#include "process/process_state.h"
#include "config/compat.h"
#include "client/clients.h"
#include "os/os.h"

/* the shutdown_timeout that bouncer_combine.c sets if a pgbouncer.ini has none */
#define A_DAY (UINT64_C(86400) * US_PER_S)

/* Returns true if c waits for a server, or will need one because its BEGIN was answered, but not sent to a server yet
 * (relay/begin.h). */
static bool
needs_server(const struct client *c)
{
	return c->x.waiter.waits != WAITS_NOT || (c->x.srv == NULL && c->x.block == EXCHANGE_BEGIN_DUE);
}

/* Returns true if no server is in use, and no client waits for a server or needs one to end its transaction. Returns
 * false if a worker does not answer. */
static bool
is_idle(struct weir *w)
{
	const struct client *c;
	struct fail why;
	bool is;

	if (worker_threads_halt(w, &why) < 0)
		return false;
	for (c = clients_walk(w->client_envs, NULL); c != NULL && !needs_server(c);)
		c = clients_walk(w->client_envs, c);
	is = c == NULL && process_is_quiet(w);
	worker_threads_end_halt(w);
	return is;
}

void
process_end(struct weir *w)
{
	if (w->stopping.stage == STOP_ENDING)
		return;
	w->stopping.stage = STOP_ENDING;
	restart_on_end(w->restart);
	event_base_loopbreak(w->main_worker->base);
}

void
process_stop_if_empty(struct weir *w)
{
	if (w->stopping.stage != STOP_DRAINING)
		return;
	if (!clients_are_left(&w->main_worker->clients) || (w->main_worker->clients.x.keeps_idle_clients && is_idle(w)))
		process_end(w);
}

bool
process_is_patient(const struct weir *w)
{
	return compat_does(w->config, COMPAT_STOPS_PATIENTLY) && w->config->shutdown_timeout_us >= A_DAY;
}

static void
begin_stop(struct weir *w, enum shutdown_how how)
{
	bool is_patient = how == SHUTDOWN_WAIT_FOR_CLIENTS || process_is_patient(w);
	struct fail why;

	if (how == SHUTDOWN_WAIT_FOR_CLIENTS)
		log_info(w->log, "stopping: no new clients; those that are connected may stay until they leave");
	else if (is_patient)
		log_info(w->log, "stopping: no new clients; open transactions may finish");
	else
		log_info(w->log, "stopping: no new clients; open transactions may finish within %llu s",
			 (unsigned long long)(w->config->shutdown_timeout_us / US_PER_S));
	if (w->stopping.stage == STOP_NONE) {
		if (!restart_has_successor(w->restart)) /* else the successor is the service now */
			os_notify("STOPPING=1");
		w->stopping.close_listeners_at_us = w->main_worker->now_us + w->config->shutdown_delay_us;
	} else if (w->stopping.stage != STOP_DELAYED)
		w->stopping.close_listeners_at_us = w->main_worker->now_us;
	restart_on_stop(w->restart, how);
	if (w->stopping.stage != STOP_ENDING)
		w->stopping.stage = STOP_DELAYED;
	w->stopping.how = how;
	w->stopping.end_at_us =
	    is_patient ? UINT64_MAX : w->stopping.close_listeners_at_us + w->config->shutdown_timeout_us;
	if (process_suspend(w, false, &why) < 0)
		log_warning(w->log, "what is suspended stays suspended for now: %s", why.text);
	process_stop_tick(w);
}

void
process_stop(struct weir *w, enum shutdown_how how)
{
	if (how != SHUTDOWN_NOW) {
		if (w->stopping.stage == STOP_NONE || how != w->stopping.how)
			begin_stop(w, how);
		return;
	}
	if (w->stopping.stage == STOP_NONE) /* else the stop was asked for twice */
		log_info(w->log, "stopping at once");
	restart_on_stop(w->restart, SHUTDOWN_NOW);
	process_end(w);
}

/* Admits no more clients, and begins the drain of all workers: for SHUTDOWN_WAIT_FOR_SERVERS, clients are closed
 * between their transactions, unless process_is_patient(). If a worker does not answer, the next tick tries again. */
static void
begin_drain(struct weir *w)
{
	struct fail why;

	w->main_worker->clients.x.is_closed = true;
	if (worker_threads_halt(w, &why) < 0)
		return;
	w->stopping.stage = STOP_DRAINING;
	process_suspend(w, false, &why);
	for (struct worker *k = w->main_worker; k != NULL; k = k->next) {
		k->clients.x.is_closed = true;
		/* An earlier stop with SHUTDOWN_WAIT_FOR_SERVERS may have set both. */
		k->clients.x.is_draining = k->clients.x.keeps_idle_clients = false;
		if (w->stopping.how == SHUTDOWN_WAIT_FOR_SERVERS)
			clients_drain(&k->clients, process_is_patient(w));
	}
	worker_threads_end_halt(w);
}

void
process_stop_tick(struct weir *w)
{
	if (w->stopping.stage == STOP_NONE)
		return;
	if (w->stopping.stage == STOP_DELAYED && w->main_worker->now_us >= w->stopping.close_listeners_at_us) {
		listeners_close_tcp(w->listeners);
		w->stopping.stage = STOP_CLOSING;
	}
	if (w->stopping.stage == STOP_CLOSING)
		begin_drain(w);
	if (w->main_worker->now_us >= w->stopping.end_at_us) {
		size_t left = clients_count(&w->main_worker->clients);

		if (left > 0) /* else the end only waits for cancels that are in progress */
			log_warning(w->log, "shutdown_timeout is over: %s closed in the middle of a transaction",
				    base_format_count(left, "client is", "clients are").text);
		process_end(w);
		return;
	}
	process_stop_if_empty(w);
}

int
process_suspend(struct weir *w, bool on, struct fail *why)
{
	if (w->main_worker->clients.x.is_suspended == on)
		return 0;
	if (worker_threads_halt(w, why) < 0)
		return -1;
	for (struct worker *k = w->main_worker; k != NULL; k = k->next) {
		clients_suspend(&k->clients, on);
		pool_set_suspend(k->pools, on, clock_now_us());
	}
	worker_threads_end_halt(w);
	return 0;
}
