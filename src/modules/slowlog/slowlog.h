/*
 * src/modules/slowlog/slowlog.h - the slow-query log, with a line for each slow request, as JSON or in PostgreSQL's
 * style. A thread writes the lines (log/log_writer.h). Their rate is limited, per fingerprint and in total; as JSON,
 * the next line of a fingerprint has the number of lines that were suppressed. Other code calls this module through its
 * struct module.
 */
#pragma once

#include "config/module.h"
#include "telemetry/fingerprint.h"

enum slow_format { SLOW_FORMAT_JSON, SLOW_FORMAT_POSTGRES }; /* in the order of the setting's words */

#define SLOW_NAME_MAX 128
#define SLOW_TEXT_MAX 1024 /* bytes of SQL */

/* A slow, refused or lost request. report.query is the SQL as the log shows it; NULL if the log does not show SQL. */
struct slow_row {
	struct request_report report; /* zeroed in a free row */
	uint64_t fingerprint;
	char texts[8 * (SLOW_NAME_MAX + 1) + SLOW_TEXT_MAX + 1]; /* the strings of report */
};

/* Calls row() for each of the last requests that were to be logged, the newest first, even if the limit suppressed
 * their lines. row() must not write to this log. */
void slowlog_each_recent(void *slowlog, void (*row)(const struct slow_row *row, void *arg), void *arg);

/*
 * --- slowlog_limit.c: the rate limits of the slow-query log: max_lines_per_second in total, and one line a second for
 * each fingerprint, after a burst of 5 lines. Pure.
 *
 * The table has 1024 fingerprints. A new fingerprint replaces the least recently seen of the 8 in its set; a
 * fingerprint that was replaced starts over when it is seen again.
 */
#define SLOWLOG_LIMIT_SETS 128
#define SLOWLOG_LIMIT_WAYS 8

struct slowlog_slot {
	uint64_t key;
	uint64_t seen_us; /* when the fingerprint was last seen; 0 if the slot is free */
	uint64_t credit_us; /* saved time, at most 5 s, of which a line takes 1 s */
	uint64_t suppressed; /* lines suppressed since the last line that was written */
};

struct slowlog_limit {
	uint32_t max_lines_per_second; /* in total; 0 if there is no limit */
	uint64_t credit, seen_us; /* lines that may be written now, in millionths of a line; when credit last rose */
	struct slowlog_slot slots[SLOWLOG_LIMIT_SETS][SLOWLOG_LIMIT_WAYS];
};

/* Changes the limit, fills the credit, and keeps the fingerprints. A zeroed struct has no limit and no fingerprints. */
void slowlog_limit_change(struct slowlog_limit *l, uint32_t max_lines_per_second);
/* Returns true if a line may be written, and sets *suppressed to the number of lines that were suppressed before this
 * one. Otherwise counts this line as suppressed, and returns false. */
bool slowlog_limit_take(struct slowlog_limit *l, uint64_t key, uint64_t now_us, uint64_t *suppressed);
/* Called when a line that slowlog_limit_take() allowed was lost: the next line's *suppressed counts this line, too. */
void slowlog_limit_lost(struct slowlog_limit *l, uint64_t key, uint64_t now_us, uint64_t suppressed);

/* --- slowlog_line.c: the format of a line of the slow-query log. Pure. --- */
#define SLOWLOG_LINE_MAX (32 * 1024) /* any line fits */

/* Writes a line to out, and returns its length; 0 if out_cap is too small for any line. */
size_t slowlog_put_line(enum slow_format format, const struct request_report *report, const struct report_sql *sql,
			uint64_t suppressed, char *out, size_t out_cap);
