/* src/process/worker_pulse.c - finds out whether each worker still ticks or hangs, and how busy it is. A worker stores
 * its pulse at its ticks. Worker 0 reads all pulses at worker 0's ticks, without halting the other workers. See
 * worker.h. */
#include "process/process_state.h"
#include "client/cancel.h"
#include "login/login.h"
#include "os/os.h"
#include "policy/policy_commons.h"
#include "pool/pool_workers.h"

#include <stdatomic.h>

/* ticks of worker 0, about 2 s; while the whole process is stopped, worker 0 does not tick either, so no worker is
 * taken for hung */
#define SILENT_TICKS 20

uint64_t
worker_cpu_us(const struct worker *k)
{
	struct timespec t;

	return clock_gettime(atomic_load_explicit(&k->pulse.cpu_clock, memory_order_relaxed), &t) < 0
		   ? 0
		   : (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000;
}

static void
set_silent(struct worker *k, bool is_silent)
{
	k->watch.is_silent = is_silent;
	pool_workers_set_silent(k->weir->shared.pool_workers, k->number, is_silent);
	policy_worker_set_silent(k->policy_part, k->weir->main_worker->policy_part, is_silent,
				 k->weir->main_worker->now_us);
	log_event(k->weir->log, is_silent ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO,
		  &(struct log_about){ .event = is_silent ? "worker_silent" : "worker_back" },
		  is_silent ? "worker %u does not answer: its clients and servers hang, and console commands that "
			      "concern it are refused"
			    : "worker %u answers again",
		  k->number);
}

static void
check_pulse(struct worker *k)
{
	uint64_t at_us = atomic_load_explicit(&k->pulse.at_us, memory_order_acquire);
	bool has_ticked = at_us != k->watch.at_us, has_changed;

	k->watch.at_us = at_us;
	k->watch.ticks = has_ticked ? 0 : k->watch.ticks + 1;
	has_changed = k->watch.is_silent ? has_ticked : k->watch.ticks == SILENT_TICKS;
	if (has_changed)
		set_silent(k, !k->watch.is_silent);
	if (k->watch.is_silent) {
		cancel_give_up(&k->clients);
		pool_transfer_close_stranded(k->weir->main_worker->pools, k->pools);
	}
	login_take_back(&k->weir->main_worker->clients, &k->clients, has_changed && k->watch.is_silent);
}

/* Computes, once per second, the share of a processor that the thread has used since the last time. */
static void
measure_cpu(struct worker *k, uint64_t now_us)
{
	uint64_t cpu_us, took_us = now_us - k->watch.cpu_at_us;

	if (took_us < US_PER_S)
		return;
	cpu_us = worker_cpu_us(k);
	if (k->watch.cpu_at_us != 0 && cpu_us >= k->watch.cpu_us)
		k->watch.cpu_percent = (uint32_t)((cpu_us - k->watch.cpu_us) * 100 / took_us);
	k->watch.cpu_us = cpu_us;
	k->watch.cpu_at_us = now_us;
}

void
worker_watch_all(struct weir *w)
{
	bool all_tick = true;

	for (struct worker *k = w->main_worker; k != NULL; k = k->next) {
		if (k != w->main_worker)
			check_pulse(k);
		measure_cpu(k, w->main_worker->now_us);
		all_tick = all_tick && !k->watch.is_silent;
	}
	/* The service manager kills a process that gives no sign of life in time. If all workers tick, pgweir gives the
	 * sign twice as often as the service manager wants it. */
	if (!all_tick || w->watchdog_us == 0 || w->main_worker->now_us - w->watchdog_told_us < w->watchdog_us / 2)
		return;
	w->watchdog_told_us = w->main_worker->now_us;
	os_notify("WATCHDOG=1");
}

void
worker_each(struct weir *w, worker_report_fn *row, void *arg)
{
	const uint64_t now_us = w->main_worker->now_us;

	for (struct worker *k = w->main_worker; k != NULL; k = k->next) {
		uint64_t at_us = atomic_load_explicit(&k->pulse.at_us, memory_order_acquire);
		struct worker_report r = {
			.worker = k->number,
			.state = k->watch.is_silent ? "silent" : "up",
			.clients = atomic_load_explicit(&k->pulse.clients, memory_order_relaxed),
			.servers = atomic_load_explicit(&k->pulse.servers, memory_order_relaxed),
			.cpu_percent = k->watch.cpu_percent,
			.turns = atomic_load_explicit(&k->pulse.turns, memory_order_relaxed),
			.tick_age_us = now_us > at_us ? now_us - at_us : 0,
			.oldest_note_us = inbox_waiting_us(k->inbox, now_us),
		};

		row(&r, arg);
	}
}
