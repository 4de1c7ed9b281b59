/* src/load/load.h - reads a configuration in pgweir's or PgBouncer's format, checks all of it, and returns a struct
 * config, or all problems, each with file:line. */
#pragma once

#include "config/config.h"

/*
 * Reads and checks a file. Returns NULL if there is at least one error. All problems, warnings too, are added to
 * problems. The caller gets the only reference to the config. Files that the configuration names (such as users_file)
 * are not opened; for some it is checked that they exist and are readable.
 *
 * overrides has count values of the console's SET, which replace values of the file. Whatever the format of the file
 * is, an override has either pgweir's name ("pool.pool_size"), or PgBouncer's ("default_pool_size", with a value in
 * PgBouncer's units). Problems with overrides have no line. Variables like PGWEIR_POOL_POOL_SIZE in the environment
 * replace the file's values, too.
 */
struct config *load_config(const char *path, const struct config_override *overrides, size_t count,
			   struct config_problems *problems);
/* load_check_budget.c. Sets *out to the section's settings. Returns the user of the fleet connection
 * (dedicated/fleet.h) for the section's budget, or "" if none is configured; NULL if the section has no budget. */
struct config_section;
const char *load_budget_user(const struct config *config, const struct config_section *s, struct scope_settings *out);

/*
 * --- load_upstream.c ---
 *
 * Makes a configuration without a file: it listens on 127.0.0.1:6432 and has one upstream (a postgres:// URI or libpq's
 * keywords) and metrics on 127.0.0.1:9930. The password comes from the URI, PGPASSWORD or the passfile (PGPASSFILE,
 * ~/.pgpass), in this order, and is also the password of the only user that clients may log in as. Without a password,
 * clients are trusted on loopback.
 */
struct config *load_upstream(const char *uri, struct config_problems *problems);

/* --- load_help.c --- */

/* Prints the table of keys as text: for --help-config and docs/config.md. */
void load_print_keys(FILE *to);
/* Prints all settings of this name ("pool_size", "pool.pool_size" or PgBouncer's). Returns false if there is none. */
bool load_print_key(const char *name, FILE *to);

/* --- load_set.c: finds the setting that a SET means. --- */

#define LOAD_SETTING_NAME_MAX 127

/* The meaning of a SET. */
struct load_setting {
	char name[LOAD_SETTING_NAME_MAX + 1]; /* the name for load_config(): "pool.pool_size" or PgBouncer's name */
	const char *reason; /* why the setting, though known, has no effect; else NULL */
	bool is_secret; /* the value must not be shown */
	bool is_of_tls; /* a setting of TLS, which may have an effect only together with another one */
};

/* Finds the setting that name means: "pool.pool_size", a name that only one setting of pgweir's has, or PgBouncer's
 * name, with value in PgBouncer's units. If the configuration was read from a PgBouncer file, name is PgBouncer's, or
 * pgweir's with its section. value is NULL for SET to the file's value. Returns 0, or -1 with *why set if the setting
 * is not known (42704) or can't be changed while pgweir runs (55P02). */
int load_find_setting(const struct config *config, const char *name, const char *value, struct load_setting *out,
		      struct fail *why);
