/*
 * src/config/config_expand.h - ${NAME}, ${NAME:-default}, ${file:/path} and $$ in values.
 *
 * A dollar before anything but { and $ stands for itself, so that SQL may say $1. What a variable or file holds is not
 * expanded again.
 */
#ifndef PGWEIR_CONFIG_CONFIG_EXPAND_H
#define PGWEIR_CONFIG_CONFIG_EXPAND_H

#include "base/fail.h"

#include <stddef.h>

#define EXPAND_FILE_MAX ((size_t)64 << 10) /* bytes of a file */
#define EXPAND_MAX ((size_t)256 << 10) /* bytes of a value */

/* The value, for the caller to pass to expand_free; NULL and why, which holds nothing of a variable or file. */
char *expand(const char *raw, struct fail *why);
/* Which references are followed; in place of the others stands their own default, or a text. */
enum expand_stand_ins { EXPAND_ALL, EXPAND_VARIABLES, EXPAND_NONE };
char *expand_with(const char *raw, enum expand_stand_ins which, const char *stand_in, struct fail *why);
void expand_free(char *value); /* wipes: it may have been a password */

#endif
