/*
 * src/weir.h - the process: one loop, and the context that owns everything else.
 *
 *   weir_new   opens what the configuration names; nothing is accepted yet
 *   weir_run   serves until it is told to stop (SIGTERM, SIGINT, SIGQUIT, the console's SHUTDOWN)
 */
#ifndef PGWEIR_WEIR_H
#define PGWEIR_WEIR_H

#include "base/fail.h"
#include "config/config.h"

struct weir; /* opaque: weir_state.h */

/*
 * Checks the files that config_load doesn't open: hba_file, ident_file, certificates and keys. Returns 0, or -1 if
 * errors were added to problems; warnings may be added in either case.
 */
int weir_check_files(const struct config *config, struct config_problems *problems);
/* Adds warnings about files of secrets that others may read; at start they are logged. */
void weir_check_secrets(const struct config *config, struct config_problems *problems);
/*
 * Call it before any secret is read: prevents core files, and keeps other processes of the same system user from
 * reading our memory (prctl(2), PR_SET_DUMPABLE). PGWEIR_CORE=1 in the environment switches this off, for debugging.
 */
void weir_hide_memory(void);

/* Takes a reference on config. Returns NULL with *why set: an address is in use, users_file is unreadable, ... */
struct weir *weir_new(struct config *config, struct fail *why);
void weir_run(struct weir *w);
void weir_free(struct weir *w);

#endif
