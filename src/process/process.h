/*
 * src/process/process.h - the process, struct weir, which owns the workers and everything else.
 *
 *   process_new   opens sockets and files that the configuration names; no connection is accepted yet
 *   process_run   serves until a signal (SIGTERM, SIGINT, SIGQUIT) or the console's SHUTDOWN ends the process
 */
#pragma once

#include "base/fail.h"
#include "config/config.h"

#define WORKERS_MAX CONFIG_WORKERS_MAX /* the limit on workers (process/worker.h) */

struct weir; /* opaque: process/process_state.h */

/* How this process was started. */
struct process_start {
	const char *program; /* the file that a restart runs, from os_find_program(); borrowed; may be NULL */
	char *const *argv; /* the arguments, which a restart passes to the next process, too; borrowed */
	int predecessor_fd; /* from restart_predecessor_fd(); process_new() takes it; -1 if there is none */
	unsigned workers; /* 1 to WORKERS_MAX; 0 stands for the number in the configuration */
	unsigned shard_min; /* as in struct pool_split; 0 stands for POOL_SHARD_MIN */
};

/* Makes the process; takes a reference on config. Returns NULL with *why set, for example if an address is in use or
 * users_file can't be read. Also sends the reason to the predecessor, if there is one. */
struct weir *process_new(struct config *config, const struct process_start *start, struct fail *why);
void process_run(struct weir *w);
/* Returns true if every thread has ended. If it returns false, the process must end by _exit(): see jobs_free(). */
bool process_free(struct weir *w);
