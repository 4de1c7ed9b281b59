/*
 * src/process/process.h - the process: the loops of its workers, and the context that owns everything.
 *
 *   process_new   opens what the configuration names; nothing is accepted yet
 *   process_run   serves until a signal (SIGTERM, SIGINT, SIGQUIT) or the console's SHUTDOWN ends it
 */
#pragma once

#include "base/fail.h"
#include "config/config.h"

#define WORKERS_MAX CONFIG_WORKERS_MAX /* the most workers: loops, each on a thread of its own (process/worker.h) */

struct weir; /* opaque: process/process_state.h */

/* Says how this process was started. */
struct process_start {
	const char *program; /* starts the next process at a restart: os_program(); borrowed; may be NULL */
	char *const *argv; /* the arguments, which the next process gets, too; borrowed */
	int predecessor; /* from restart_find_predecessor(); process_new() takes it; -1 if there is none */
	unsigned workers; /* 1 to WORKERS_MAX; 0 takes the configuration's number */
	unsigned shard_min; /* as in struct pool_split; 0 stands for POOL_SHARD_MIN */
};

/* Builds the process; takes a reference on config. Returns NULL with *why set if an address is in use, users_file is
 * unreadable, and the like. The predecessor, if there is one, is sent the reason, too. */
struct weir *process_new(struct config *config, const struct process_start *start, struct fail *why);
void process_run(struct weir *w);
/* Returns true if every thread has ended. If it returns false, the process must end by _exit(): see jobs_free(). */
bool process_free(struct weir *w);
