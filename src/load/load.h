/* src/load/load.h - reads and checks a configuration in pgweir's or PgBouncer's format. Makes a struct config, or
 * reports all problems, each with its file and line. */
#pragma once

#include "config/config.h"

/*
 * Reads and checks a file. Returns the only reference to the config, or NULL if there are errors. Adds all errors and
 * warnings to problems. Does not open the files that the configuration names, such as users_file, but checks that some
 * of these files exist and can be read.
 *
 * `overrides` has `count` values of the console's SET, which replace values of the file. An override has pgweir's name
 * ("pool.pool_size") or PgBouncer's ("default_pool_size", with a value in PgBouncer's units), whatever the format of
 * the file is. Problems with overrides have no line. Environment variables such as PGWEIR_POOL_POOL_SIZE replace values
 * of the file, too.
 */
struct config *load_config(const char *path, const struct config_override *overrides, size_t count,
			   struct config_problems *problems);
/* In load_check_budget.c. Sets *out to the section's settings. Returns the user as which the connection for the
 * section's budget (dedicated/fleet.h) logs in, or "" if no user is configured; NULL if the section has no budget. */
struct config_section;
const char *load_budget_user(const struct config *config, const struct config_section *s, struct scope_settings *out);

/*
 * --- load_upstream.c ---
 *
 * Makes a configuration without a file, for --upstream: pgweir listens on 127.0.0.1:6432, has one upstream (`uri` is a
 * postgres:// URI or libpq's keywords), and shows metrics on 127.0.0.1:9930. The password comes from `uri`, else from
 * PGPASSWORD, else from the passfile (PGPASSFILE, ~/.pgpass). Clients may log in only as the upstream's user, with the
 * same password; if there is no password, as any user (trust). Returns NULL if errors were added to problems.
 */
struct config *load_upstream(const char *uri, struct config_problems *problems);

/* --- load_help.c --- */

/* Prints the table of keys as text, for --help-config and docs/config.md. */
void load_print_keys(FILE *to);
/* Prints all settings of this name ("pool_size", "pool.pool_size" or PgBouncer's). Returns false if there is none. */
bool load_print_key(const char *name, FILE *to);

/* --- load_set.c: finds the setting that the console's SET changes. --- */

#define LOAD_SETTING_NAME_MAX 127 /* bytes */

/* A setting that SET has named. */
struct load_setting {
	char name[LOAD_SETTING_NAME_MAX + 1]; /* the name for load_config(): "pool.pool_size" or PgBouncer's name */
	const char *reason; /* if the setting is known but has no effect, the reason; else NULL */
	bool is_secret; /* the value must not be shown */
	bool is_of_tls; /* a setting of TLS, which may be valid only together with another setting */
};

/*
 * Finds the setting that `name` stands for: "pool.pool_size", a name that only one of pgweir's settings has, or
 * PgBouncer's name (in which case `value` is in PgBouncer's units). If the configuration came from a pgbouncer.ini,
 * `name` must be PgBouncer's name, or pgweir's with its section. `value` is NULL if SET restores the file's value.
 * Returns 0, or -1 with *why set if the setting is not known (42704) or can't be changed while pgweir runs (55P02).
 */
int load_find_setting(const struct config *config, const char *name, const char *value, struct load_setting *out,
		      struct fail *why);
