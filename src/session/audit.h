/*
 * src/session/audit.h - counts what each application does to its session, where session_state = warn.
 *
 * Before a fleet moves to transaction pooling, an operator wants to know what will happen. The counts are by database,
 * user and application_name. They depend on how SQL looks (scan.h), so a rare false alarm is among them. The audit
 * works in session mode, too.
 *
 * Owns:   its rows. Bounded: applications beyond AUDIT_ROWS_MAX are counted in one row, "_other". For any thread.
 */
#pragma once

#include "config/config.h"

#include <stdint.h>

#define AUDIT_ROWS_MAX 1000
#define AUDIT_KINDS 9

struct audit; /* opaque: audit.c */

struct audit_row {
	char database[CONFIG_DATABASE_MAX + 1], user[CONFIG_DATABASE_MAX + 1], application[64];
	uint64_t counts[AUDIT_KINDS], last_us[AUDIT_KINDS]; /* SQL of this kind; when it was last run */
};

struct audit *audit_new(uint64_t seed); /* seed: random, as clients choose the names */
void audit_free(struct audit *a); /* NULL is fine */
/* flags: enum scan_flag. */
void audit_note(struct audit *a, const char *database, const char *user, const char *application, uint32_t flags,
		uint64_t now_us);
/* Calls row once for each row, in a copy. Returns 0, or -1 without memory. */
int audit_each(struct audit *a, void (*row)(const struct audit_row *row, void *arg), void *arg);
/* Returns "setting", "temp_table" ...; *effect: what transaction mode does about it: "follows", "pins", "asks". */
const char *audit_kind(unsigned kind, const char **effect);
