/*
 * src/base/own_settings.h - the session settings that pgweir itself defines. For PostgreSQL, these are custom settings,
 * so SET, RESET, set_config() and options in the startup packet work as usual.
 *
 * Each setting has a macro here, and tests/check-docs requires that docs/ names each setting. Code that acts on a
 * setting compares names with the macro, never with a string of its own.
 */
#pragma once

#include <stdbool.h>
#include <strings.h>

#define OWN_PREFIX "pgweir."

/* SHOW returns the write position of the primary; SET has no effect (relay/reads_position.c). */
#define OWN_LSN OWN_PREFIX "lsn"
/* The position in the write-ahead log that a standby must have replayed before it serves the session's reads
 * (relay/reads_position.c, reads_marked.c). */
#define OWN_MIN_LSN OWN_PREFIX "min_lsn"
/* A boolean: if true, the client keeps its server between transactions (session/gucs.c). */
#define OWN_PIN OWN_PREFIX "pin"

/* Returns true if name begins with OWN_PREFIX, ignoring case. */
static inline bool
is_own_setting(const char *name)
{
	return strncasecmp(name, OWN_PREFIX, sizeof(OWN_PREFIX) - 1) == 0;
}
