/*
 * src/process/process.h - the process: the loops of its workers, and the context that owns everything.
 *
 *   process_new   opens what the configuration names; nothing is accepted yet
 *   process_run   serves until it is told to stop (SIGTERM, SIGINT, SIGQUIT, the console's SHUTDOWN)
 */
#pragma once

#include "base/fail.h"
#include "config/config.h"

#define WORKERS_MAX CONFIG_WORKERS_MAX /* loops, each on a thread: process/worker.h */

struct weir; /* opaque: process/process_state.h */

/* How this process was started. */
struct process_start {
	const char *program; /* os_program(), by which a restart starts the next one; borrowed. NULL: there is none */
	char *const *argv; /* the next one's, too; borrowed */
	int predecessor; /* restart_find_predecessor(), taken */
	unsigned workers; /* 1 to WORKERS_MAX; 0: as the configuration says */
	unsigned shard_min; /* as in struct pool_split; 0: POOL_SHARD_MIN */
};

/* Takes a reference on config. Returns NULL with *why set: an address is in use, users_file is unreadable, ... The
 * process behind start->predecessor gets the reason, too. */
struct weir *process_new(struct config *config, const struct process_start *start, struct fail *why);
void process_run(struct weir *w);
/* Returns true if no thread is left: false, the process must end by _exit(), see jobs_free(). */
bool process_free(struct weir *w);
