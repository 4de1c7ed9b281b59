/*
 * src/weir.h - the whole: one process, one loop, and the context that owns everything else.
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
 * What config_load leaves alone: the contents of hba_file and ident_file, of certificates and keys. -1: errors were
 * added to problems; in any case, warnings may have been.
 */
int weir_check_files(const struct config *config, struct config_problems *problems);
/* Warns of files of secrets that others may read; a pgweir that starts does so in its log. */
void weir_check_secrets(const struct config *config, struct config_problems *problems);
/*
 * Before any secret is read: no core files, no reading of our memory by others of the same system user (prctl(2),
 * PR_SET_DUMPABLE). PGWEIR_CORE=1 in the environment leaves both as they are, for debugging.
 */
void weir_hide_memory(void);

/* Takes a reference on config. NULL and why: an address is taken, the users_file is unreadable, no memory. */
struct weir *weir_new(struct config *config, struct fail *why);
void weir_run(struct weir *w);
void weir_free(struct weir *w);

#endif
