/*
 * src/process/process_memory.c - keeps memory below a limit. The limit is max_memory, or the limit under which pgweir
 * was started.
 *
 *   short: less than a tenth or 4 MiB is left. Clients with large unfinished messages are not read (client_memory.c).
 *   full:  so little is left that an allocation whose size a peer chooses may fail. New clients are refused with 53200,
 *          caches are emptied, and clients are closed one by one, the largest first, until there is room again or no
 *          client is left. Clients are also closed if memory stays short for long, because the clients that are not
 *          read may be the ones that hold the memory.
 */
#include "process/process_state.h"
#include "client/clients.h"
#include "base/resources.h"

#include <malloc.h>

#define FULL_BELOW ((size_t)1 << 20)
#define FULL_MIN_US US_PER_S
#define SHORT_MAX_US (5 * US_PER_S)
#define CLOSED_AT_ONCE 64
#define RELOAD_ROOM ((size_t)4 << 20) /* room for two copies of a configuration, and its text */

int
process_lift_memory_limit(struct weir *w, struct fail *why)
{
	w->memory.is_limited = false;
	if (memory_lift_limits(RELOAD_ROOM))
		return 0;
	fail_set(why, "53200", "out of memory: the configuration stays as it is");
	return fail_hint(why, "It takes %zu MiB for a moment.", RELOAD_ROOM >> 20);
}

static void
set_full(struct weir *w, bool is_full)
{
	if ((w->memory.state == MEMORY_FULL) == is_full)
		return;
	w->memory.full_changed_us = w->main_worker->now_us;
	admission_set_memory(w->shared.admission, is_full);
	for (struct worker *k = w->main_worker; k != NULL; k = k->next)
		statement_store_set_idle_max(k->clients.x.statements, is_full ? 0 : worker_statement_cache_max(k));
	log_event(w->log, is_full ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO,
		  &(struct log_about){ .event = "memory", .reason = "max_memory" },
		  is_full ? "out of memory: no new clients, and the largest are disconnected (limit: %zu MiB)"
			  : "memory is available again; new clients are accepted (limit: %zu MiB)",
		  w->memory.limit >> 20);
}

static void
set_short(struct weir *w, bool is_short)
{
	if ((w->memory.state != MEMORY_AMPLE) == is_short)
		return;
	w->memory.short_changed_us = w->main_worker->now_us;
	if (is_short)
		log_event(w->log, LOG_LEVEL_WARNING, &(struct log_about){ .event = "memory", .reason = "max_memory" },
			  "memory is short: clients with large unfinished messages wait (limit: %zu MiB)",
			  w->memory.limit >> 20);
	for (struct worker *k = w->main_worker; k != NULL; k = k->next) {
		k->clients.is_memory_short = is_short;
		if (!is_short)
			clients_read_again(&k->clients);
	}
}

/* Applies the state to the clients of all workers. If a worker does not answer, the next tick tries again. */
static void
apply_state(struct weir *w, enum memory_state state)
{
	bool must_free = state == MEMORY_FULL || (state == MEMORY_SHORT && w->memory.state != MEMORY_AMPLE &&
						  w->main_worker->now_us - w->memory.short_changed_us > SHORT_MAX_US);
	struct fail why;

	if ((state == w->memory.state && !must_free) || worker_threads_halt(w, &why) < 0)
		return;
	set_short(w, state != MEMORY_AMPLE);
	set_full(w, state == MEMORY_FULL);
	w->memory.state = state;
	if (must_free) {
		size_t freed = 0, more = 1;

		/* Closes the largest clients until enough memory is sure to be free at the loop's next turn. */
		for (int i = 0; i < CLOSED_AT_ONCE && freed < 4 * FULL_BELOW && more > 0; i++)
			freed += more = clients_close_largest(w->client_envs);
		malloc_trim(0);
	}
	worker_threads_end_halt(w);
}

void
process_watch_memory(struct weir *w)
{
	bool is_full, is_short;

	if (!w->memory.is_limited)
		w->memory.limit = memory_set_limit(w->config->max_memory);
	w->memory.is_limited = true;
	/* New clients are refused to protect the present ones. If there are none, pgweir itself uses the memory, and
	 * refusing would not help. */
	is_full =
	    w->memory.limit > 0 &&
	    ((w->memory.state == MEMORY_FULL && w->main_worker->now_us - w->memory.full_changed_us < FULL_MIN_US) ||
	     (clients_count(&w->main_worker->clients) > 0 && !memory_has_room(FULL_BELOW)));
	is_short = w->memory.limit > 0 &&
		   (is_full || !memory_has_room(4 * FULL_BELOW) || !memory_has_room(w->memory.limit / 10));
	apply_state(w, is_full ? MEMORY_FULL : is_short ? MEMORY_SHORT : MEMORY_AMPLE);
}
