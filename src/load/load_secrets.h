/* src/load/load_secrets.h - the files that have a configuration's passwords. (load_secrets.c) */
#ifndef PGWEIR_LOAD_LOAD_SECRETS_H
#define PGWEIR_LOAD_LOAD_SECRETS_H

#include "config/config.h"

/*
 * An upstream as it was written (raw) and read (up): sets config->has_password if the password, or a part of it, is
 * written out there, and adds to config->secret_files each ${file:...} it may be from.
 */
void config_note_password(struct config *config, const char *raw, const struct upstream *up);
void config_free_secret_files(struct config *config);

#endif
