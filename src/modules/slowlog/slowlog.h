/*
 * src/modules/slowlog/slowlog.h - the slow-query log: one line per slow request, JSON or PostgreSQL's own style,
 * written by a thread (log/log_writer.h), rate-limited per fingerprint (burst 5, then 1/s) and in total. Suppressed
 * lines are counted in "suppressed" of the fingerprint's next line. The process calls it through its struct module.
 */
#pragma once

#include "config/module.h"
#include "telemetry/fingerprint.h"

enum slow_format { SLOW_FORMAT_JSON, SLOW_FORMAT_POSTGRES }; /* in the order of the setting's words */

#define SLOW_NAME_MAX 128
#define SLOW_TEXT_MAX 1024 /* bytes of SQL */

/* A slow, refused or lost request. report.query is the SQL as in the log; NULL if the log does not have it. */
struct slow_row {
	struct request_report report; /* all zero if the row is free */
	uint64_t fingerprint;
	char texts[8 * (SLOW_NAME_MAX + 1) + SLOW_TEXT_MAX + 1]; /* what report's strings point to */
};

/* Calls row for each of the last requests that were to be logged, including those that the limit held back, the newest
 * first. row must not write to this log. */
void slowlog_each_recent(void *slowlog, void (*row)(const struct slow_row *row, void *arg), void *arg);

/*
 * --- slowlog_limit.c: the rate limits of the slow-query log: per fingerprint a burst of 5 and then one line a second,
 * and a number of lines a second in total. Pure; memory is fixed.
 *
 * The table has 1024 fingerprints. A new fingerprint replaces the least recently seen of the 8 in its set; a
 * fingerprint that was replaced starts over when it is seen again.
 */
#define SLOWLOG_LIMIT_SETS 128
#define SLOWLOG_LIMIT_WAYS 8

struct slowlog_slot {
	uint64_t key;
	uint64_t seen_us; /* 0 if free */
	uint64_t credit_us; /* a line costs one second */
	uint64_t suppressed; /* lines suppressed since the last one written */
};

struct slowlog_limit {
	uint32_t max_lines_per_second; /* in total; 0 if there is no limit */
	uint64_t credit, seen_us; /* for all lines; a line costs a million */
	struct slowlog_slot slots[SLOWLOG_LIMIT_SETS][SLOWLOG_LIMIT_WAYS];
};

/* Changes the limit and keeps the fingerprints. A zeroed struct has no limit and no fingerprints. */
void slowlog_limit_change(struct slowlog_limit *l, uint32_t max_lines_per_second);
/* Returns true if a line may be written, and sets *suppressed to how many lines were suppressed before it. Otherwise
 * counts the line as suppressed. */
bool slowlog_limit_take(struct slowlog_limit *l, uint64_t key, uint64_t now_us, uint64_t *suppressed);
/* Called when the line was lost after all: the line and its count of suppressed lines are counted in the next line. */
void slowlog_limit_lost(struct slowlog_limit *l, uint64_t key, uint64_t now_us, uint64_t suppressed);

/* --- slowlog_line.c: the format of a line of the slow-query log. Pure --- */
#define SLOWLOG_LINE_MAX (32 * 1024) /* any line fits */

size_t slowlog_put_line(enum slow_format format, const struct request_report *report, const struct report_sql *sql,
			uint64_t suppressed, char *out, size_t out_cap);
