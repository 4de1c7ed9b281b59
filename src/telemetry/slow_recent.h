/*
 * src/telemetry/slow_recent.h - the last requests of the slow-query log, those that its limit held back included: SHOW
 * SLOW.
 *
 * Owns: copies of all texts. Zeroed is empty.
 */
#ifndef PGWEIR_TELEMETRY_SLOW_RECENT_H
#define PGWEIR_TELEMETRY_SLOW_RECENT_H

#include "base/query_row.h"

#include <stddef.h>
#include <stdint.h>

#define SLOW_RECENT_KEPT 128
#define SLOW_RECENT_TEXT_MAX 1024 /* bytes of SQL */

struct slow_recent {
	struct slow_row rows[SLOW_RECENT_KEPT];
	char *texts[SLOW_RECENT_KEPT]; /* what the strings of a row point to */
	size_t next; /* the oldest, which is overwritten next */
};

/* text: what may be shown of the SQL; NULL: nothing. */
void slow_recent_add(struct slow_recent *r, const struct request_report *report, uint64_t fingerprint,
		     const char *text);
void slow_recent_fini(struct slow_recent *r);
/* The newest first. */
void slow_recent_each(const struct slow_recent *r, void (*row)(const struct slow_row *row, void *arg), void *arg);

#endif
