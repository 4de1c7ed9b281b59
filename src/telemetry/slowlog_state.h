/* src/telemetry/slowlog_state.h - what slowlog*.c share; see slowlog.h. */
#pragma once

#include "telemetry/fingerprint.h"
#include "telemetry/slowlog.h"

/*
 * --- slowlog_limit.c: the rate limits of the slow-query log: per fingerprint a burst of 5 and then one line a second,
 * and a number of lines a second in all. Pure; memory is fixed.
 *
 * It has a table of 1024 fingerprints. The one not seen for longest makes room, and starts over when it is seen again.
 */
#define SLOWLOG_LIMIT_SETS 128
#define SLOWLOG_LIMIT_WAYS 8

struct slowlog_slot {
	uint64_t key;
	uint64_t seen_us; /* 0: free */
	uint64_t credit_us; /* a line costs a second */
	uint64_t suppressed; /* lines suppressed since the last one written */
};

struct slowlog_limit {
	uint32_t max_lines_per_second; /* in all; 0: no limit */
	uint64_t credit, seen_us; /* for all lines; one costs a million */
	struct slowlog_slot slots[SLOWLOG_LIMIT_SETS][SLOWLOG_LIMIT_WAYS];
};

/* Changes the limit and keeps the fingerprints. A zeroed one has none. */
void slowlog_limit_change(struct slowlog_limit *l, uint32_t max_lines_per_second);
/* Returns true if a line may be written; *suppressed: how many were suppressed before it. Otherwise counts it. */
bool slowlog_limit_take(struct slowlog_limit *l, uint64_t key, uint64_t now_us, uint64_t *suppressed);
/* The line was lost after all: its count of suppressed lines is kept for the next. */
void slowlog_limit_lost(struct slowlog_limit *l, uint64_t key, uint64_t now_us, uint64_t suppressed);

/* --- slowlog_line.c: the format of a line of the slow-query log. Pure --- */
#define SLOWLOG_QUERY_MAX 2048 /* bytes of text in a line, before they are escaped */
#define SLOWLOG_LINE_MAX (32 * 1024) /* any line fits */

/* The text of a statement, as a line shows it. */
struct slowlog_query {
	bool is_known;
	struct fingerprint fp;
	char text[SLOWLOG_QUERY_MAX + 1];
};

void slowlog_read_query(struct slowlog_query *q, enum slow_text text, const struct request_report *report);
size_t slowlog_put_line(const struct slowlog_settings *settings, const struct request_report *report,
			const struct slowlog_query *q, uint64_t suppressed, char *out, size_t out_cap);
