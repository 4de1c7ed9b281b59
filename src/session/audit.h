/*
 * src/session/audit.h - counts SQL that may change session state, for session_state = warn.
 *
 * Before an operator moves applications to transaction pooling, the counts show what will change for them. There is a
 * row of counts for each database, user and application_name. SQL is counted by its flags (scan.h), so a few counts are
 * false alarms. The audit works in session mode, too.
 *
 * Owns:   its rows. Once there are AUDIT_ROWS_MAX rows, SQL that has no row is counted in one more row, "_other".
 * Always: any thread may call the functions.
 */
#pragma once

#include "config/config.h"

#include <stdint.h>

#define AUDIT_ROWS_MAX 1000
#define AUDIT_KINDS 9

struct audit; /* opaque: audit.c */

struct audit_row {
	char database[CONFIG_DATABASE_MAX + 1], user[CONFIG_DATABASE_MAX + 1], application[64];
	/* for each kind of SQL: how often such SQL was run, and when last */
	uint64_t counts[AUDIT_KINDS], last_us[AUDIT_KINDS];
};

struct audit *audit_new(uint64_t seed); /* seed is random, because clients choose the names */
void audit_free(struct audit *a); /* a may be NULL */
/* Counts SQL with these flags (enum scan_flag) that an application is about to run. */
void audit_note(struct audit *a, const char *database, const char *user, const char *application, uint32_t flags,
		uint64_t now_us);
/* Calls row once for each row, with a copy of the row. Returns 0, or -1 if there is no memory. */
int audit_each(struct audit *a, void (*row)(const struct audit_row *row, void *arg), void *arg);
/* Returns the name of a kind of SQL, such as "setting" or "temp_table". kind: an index of audit_row.counts. Sets
 * *effect to what pgweir does about such SQL in transaction mode: "follows", "pins" or "asks". */
const char *audit_kind_name(unsigned kind, const char **effect);
