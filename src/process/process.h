/*
 * src/process/process.h - the process: one loop, and the context that owns everything else.
 *
 *   weir_new   opens what the configuration names; nothing is accepted yet
 *   weir_run   serves until it is told to stop (SIGTERM, SIGINT, SIGQUIT, the console's SHUTDOWN)
 */
#ifndef PGWEIR_WEIR_H
#define PGWEIR_WEIR_H

#include "base/fail.h"
#include "config/config.h"

struct weir; /* opaque: process/process_state.h */

/* How this process was started. */
struct weir_start {
	char *const *argv; /* by which a restart starts the next one; borrowed. NULL: there is none */
	int predecessor; /* weir_find_predecessor(), taken */
};

/*
 * Returns the descriptor by which the process before this one passes on its sockets and clients (a restart, see
 * docs/operations.md), or -1. Call it once, first.
 */
int weir_find_predecessor(void);
void weir_tell_predecessor(int fd, const char *text); /* why this process can't start; fine with -1 */

/*
 * Takes a reference on config. Returns NULL with *why set: an address is in use, users_file is unreadable, ... What
 * start->predecessor leads to gets the reason, too.
 */
struct weir *weir_new(struct config *config, const struct weir_start *start, struct fail *why);
void weir_run(struct weir *w);
void weir_free(struct weir *w);

#endif
