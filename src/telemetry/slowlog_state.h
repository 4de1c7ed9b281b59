/* src/telemetry/slowlog_state.h - what slowlog*.c share; see slowlog.h. */
#ifndef PGWEIR_TELEMETRY_SLOWLOG_STATE_H
#define PGWEIR_TELEMETRY_SLOWLOG_STATE_H

#include "telemetry/fingerprint.h"
#include "telemetry/slowlog.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * --- slowlog_limit.c: how often the slow-query log may speak: per fingerprint a burst of 5 and then one line a
 * second, and in all so many lines a second. Pure; memory is fixed.
 *
 * A table of 1024 fingerprints. Who has not been seen for longest makes room, and starts anew when seen again.
 */
#define SLOWLOG_LIMIT_SETS 128
#define SLOWLOG_LIMIT_WAYS 8

struct slowlog_slot {
	uint64_t key;
	uint64_t seen_us; /* 0: free */
	uint64_t credit_us; /* a line costs a second of it */
	uint64_t suppressed; /* lines held back since the last that was written */
};

struct slowlog_limit {
	uint32_t max_lines_per_second; /* 0: no limit in all */
	uint64_t credit, seen_us; /* of all; a line costs a million */
	struct slowlog_slot slots[SLOWLOG_LIMIT_SETS][SLOWLOG_LIMIT_WAYS];
};

void slowlog_limit_init(struct slowlog_limit *l, uint32_t max_lines_per_second);
/* Keeps what it knows of fingerprints. */
void slowlog_limit_change(struct slowlog_limit *l, uint32_t max_lines_per_second);
/* true: a line may be written; *suppressed were held back before it. false: this one is held back, and counted. */
bool slowlog_limit_take(struct slowlog_limit *l, uint64_t key, uint64_t now_us, uint64_t *suppressed);
/* The line was lost after all, with what it had to tell. */
void slowlog_limit_lost(struct slowlog_limit *l, uint64_t key, uint64_t now_us, uint64_t suppressed);

/* --- slowlog_line.c: how a line of the slow-query log looks. Pure --- */
#define SLOWLOG_QUERY_MAX 2048 /* bytes of text in a line, before they are escaped */
#define SLOWLOG_LINE_MAX (24 * 1024) /* any line fits */

/* What is said of the text. */
struct slowlog_query {
	bool is_known;
	struct fingerprint fp;
	char text[SLOWLOG_QUERY_MAX + 1];
};

void slowlog_read_query(struct slowlog_query *q, enum slowlog_text text, const struct request_report *report);
size_t slowlog_put_line(const struct slowlog_settings *settings, const struct request_report *report,
			const struct slowlog_query *q, uint64_t suppressed, char *out, size_t out_cap);

#endif
