/*
 * src/base/own_settings.h - the settings of a session that pgweir itself defines. For PostgreSQL they are custom
 * settings like any other, so SET, RESET, set_config() and options in the startup packet work as usual.
 *
 * A new setting is a macro here; tests/check-docs wants each of them in docs/. Code that acts on a setting compares
 * names with the macro, never with a string of its own.
 */
#pragma once

#include <stdbool.h>
#include <strings.h>

#define OWN_PREFIX "pgweir."

/* SHOW returns the write position of the primary; SET has no effect (relay/reads_position.c). */
#define OWN_LSN OWN_PREFIX "lsn"
/* The position that a standby must have replayed for the session's reads (relay/reads_position.c, reads_marked.c). */
#define OWN_MIN_LSN OWN_PREFIX "min_lsn"
/* With a value that PostgreSQL reads as true, the client keeps its server (session/gucs.c). */
#define OWN_PIN OWN_PREFIX "pin"

/* Returns true if name begins with OWN_PREFIX, in any case of letters. */
static inline bool
own_setting_is(const char *name)
{
	return strncasecmp(name, OWN_PREFIX, sizeof(OWN_PREFIX) - 1) == 0;
}
