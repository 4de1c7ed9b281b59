/*
 * src/seal/role_settings.h - detects changes of the settings with which sessions in one database begin: those of ALTER
 * ROLE ... SET and ALTER DATABASE ... SET. For each role, these settings have a version. If the version changes, new
 * sessions of the role may begin with other settings than earlier sessions.
 *
 * A version is a hash of the IDs of the transactions that wrote the settings (database_code_roles.sql). So an earlier
 * version never comes back, and a standby has the same version as its primary when it has the same settings.
 *
 * Owns: its list. The functions do no I/O.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The most roles with settings of their own, as in database_code_roles.sql; all further roles count as having none. */
#define ROLE_SETTINGS_MAX 10000u

/* Zeroed if no role has settings. */
struct role_settings {
	uint64_t of_all; /* the version of the settings for all roles (ALTER DATABASE, ALTER ROLE ALL) */
	uint64_t sum_of_hashes; /* the sum of the hashes of `versions`; a sum, because the rows come in any order */
	struct role_version *versions; /* the versions of single roles' settings; sorted by role_settings_sort() */
	uint32_t count, room; /* how many entries of `versions` are in use; how many are allocated */
};

/* Adds a row of the answer about a database's code (database_code.h). role_hex: a role's name in hexadecimal, or "" for
 * all roles. version: a decimal number. Returns 0, or -1 if there is no memory. */
int role_settings_add(struct role_settings *all, const char *role_hex, const char *version);
void role_settings_sort(struct role_settings *all); /* call this after the last row */
/* Returns the version of the settings with which sessions of this role begin; never 0 or 1. */
uint64_t role_settings_version(const struct role_settings *all, const char *role);
/* Returns a hash of all versions; never 0. */
uint64_t role_settings_hash(const struct role_settings *all);
void role_settings_fini(struct role_settings *all);
