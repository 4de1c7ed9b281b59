/*
 * src/seal/role_settings.h - the versions of what ALTER ROLE ... SET and ALTER DATABASE ... SET give to the sessions of
 * one database, by role: another version means that a new session may begin with other settings than an old one.
 *
 * A version is made of the transactions that wrote these settings (database_code_roles.sql), so an old one never comes
 * back, and is equal wherever PostgreSQL has replicated them to.
 *
 * Pure. Owns: its list.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ROLE_SETTINGS_MAX 10000u /* as in database_code_roles.sql; further roles have those of all roles */

struct role_settings { /* zeroed: no role has any */
	uint64_t of_all; /* the version of those of all roles */
	uint64_t of_each; /* a hash of those of every role */
	struct role_version *of; /* by hash, once they are sorted */
	uint32_t count, room;
};

/* A row of the answer: a role's name in hexadecimal ("": all roles), and a number. Returns 0, or -1: no memory. */
int role_settings_add(struct role_settings *all, const char *role_hex, const char *version);
void role_settings_sort(struct role_settings *all); /* after the last of them */
/* Returns the version of what sessions begin with that log in as this role; never 0 or 1. */
uint64_t role_settings_version(const struct role_settings *all, const char *role);
uint64_t role_settings_hash(const struct role_settings *all); /* equal where all of them are; never 0 */
void role_settings_fini(struct role_settings *all);
