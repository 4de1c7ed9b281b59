/*
 * src/load/load.h - reads a configuration, of pgweir's or PgBouncer's kind, checks all of it, and returns a value or
 * every problem it has found, each with file:line.
 */
#pragma once

#include "config/config.h"

/*
 * Reads and checks a file. With at least one error: NULL. Problems (warnings too) are added to problems.
 * The value has one reference, the caller's. Files named by it (users_file and the like) are not opened, only
 * checked for being there and readable where that is an error at once.
 *
 * overrides are count other values for some settings, as the console's SET gives them: they win over the file. name: as
 * in a file of pgweir's ("pool.pool_size"), or PgBouncer's ("default_pool_size", with a value in PgBouncer's units),
 * whichever the file is. Problems of theirs have no line. PGWEIR_POOL_POOL_SIZE and the like in the environment win
 * over the file, too.
 */
struct config *load_config(const char *path, const struct config_override *overrides, size_t count,
			   struct config_problems *problems);
/* load_check_budget.c: returns whom the fleet connection of this section's budget logs in as ("": nobody is named),
 * NULL if it has none; fills out with its settings. */
struct config_section;
const char *load_budget_user(const struct config *config, const struct config_section *s, struct scope_settings *out);

/*
 * --- load_upstream.c ---
 *
 * Makes a configuration without a file: it listens on 127.0.0.1:6432, one upstream (a postgres:// URI or libpq's
 * words), metrics on 127.0.0.1:9930. The password comes from the URI, PGPASSWORD or the passfile (PGPASSFILE,
 * ~/.pgpass), in this order, and becomes the one client user's password too; without any, clients are trusted on
 * loopback.
 */
struct config *load_upstream(const char *uri, struct config_problems *problems);

/* --- load_help.c --- */

/* The table of keys as text: for --help-config and docs/config.md. */
void load_print_keys(FILE *to);
/* Prints the settings of this name ("pool_size", "pool.pool_size" or PgBouncer's). Returns false if there is none. */
bool load_print_key(const char *name, FILE *to);

/* --- load_set.c: which setting a SET means --- */

#define LOAD_SETTING_NAME_MAX 127

/* The meaning of a SET. */
struct load_setting {
	char name[LOAD_SETTING_NAME_MAX + 1]; /* for load_config(): "pool.pool_size" or PgBouncer's */
	const char *reason; /* why it is known, but has no effect; NULL: it has */
	bool is_secret; /* its value is not to be shown */
	bool is_of_tls; /* it may need another one to be set as well before both are of use */
};

/*
 * name: "pool.pool_size", a name that only one of our settings has, or PgBouncer's, whose units value is in then; in a
 * PgBouncer file, PgBouncer's or one of ours with its section. value NULL: the file's. -1 and why: it is not known
 * (42704), or can't be changed while pgweir runs (55P02).
 */
int load_find_setting(const struct config *config, const char *name, const char *value, struct load_setting *out,
		      struct fail *why);
