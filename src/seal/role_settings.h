/*
 * src/seal/role_settings.h - versions of the settings that ALTER ROLE ... SET and ALTER DATABASE ... SET give to
 * sessions of one database, by role. If a role's version changes, new sessions may begin with other settings than old
 * ones.
 *
 * A version is a hash of the IDs of the transactions that wrote these settings (database_code_roles.sql). So an earlier
 * version never comes back, and hosts with the same settings by replication have the same version.
 *
 * Pure. Owns: its list.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ROLE_SETTINGS_MAX 10000u /* as in database_code_roles.sql; the version of further roles is of_all alone */

struct role_settings { /* zeroed if no role has settings */
	uint64_t of_all; /* the version of the settings of all roles together (ALTER DATABASE, ALTER ROLE ALL) */
	uint64_t of_each; /* a sum over the versions of single roles */
	struct role_version *of; /* sorted by hash after role_settings_sort() */
	uint32_t count, room;
};

/* Adds a row of the answer: a role's name in hexadecimal ("": all roles), and a number. Returns 0, or -1 without
 * memory. */
int role_settings_add(struct role_settings *all, const char *role_hex, const char *version);
void role_settings_sort(struct role_settings *all); /* call it after the last row */
/* Returns the version of the settings with which sessions of this role begin; never 0 or 1. */
uint64_t role_settings_version(const struct role_settings *all, const char *role);
uint64_t role_settings_hash(const struct role_settings *all); /* equal for equal settings; never 0 */
void role_settings_fini(struct role_settings *all);
