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
	int predecessor; /* restart_find_predecessor(), taken */
};

/*
 * Takes a reference on config. Returns NULL with *why set: an address is in use, users_file is unreadable, ... What
 * start->predecessor leads to gets the reason, too.
 */
struct weir *weir_new(struct config *config, const struct weir_start *start, struct fail *why);
void weir_run(struct weir *w);
void weir_free(struct weir *w);

#endif
