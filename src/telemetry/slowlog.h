/*
 * src/telemetry/slowlog.h - the slow-query log: one line per slow request, JSON or PostgreSQL's own style,
 * written by a thread (log/log_writer.h), rate-limited per fingerprint (burst 5, then 1/s) and in all. Suppressed
 * lines are counted in "suppressed" of the fingerprint's next line. Any thread may write; one at a time changes it.
 */
#pragma once

#include "base/fail.h"
#include "base/query_row.h"
#include "base/request_report.h"

#include <stdint.h>

struct slowlog; /* opaque: slowlog.c */

enum slowlog_format { SLOWLOG_JSON, SLOWLOG_POSTGRES };
enum slowlog_text { SLOWLOG_NORMALIZED, SLOWLOG_FULL, SLOWLOG_NONE };
struct slowlog_settings {
	const char *file; /* "stderr" or a path */
	enum slowlog_format format;
	enum slowlog_text text;
	uint32_t max_lines_per_second; /* in all; 0: no limit */
};
struct slowlog_stats {
	uint64_t lines, dropped_rate, dropped_ring, dropped_write;
};

struct slowlog *slowlog_new(const struct slowlog_settings *settings, struct fail *why);
void slowlog_free(struct slowlog *s);
/* Applies new settings and reopens the file. Returns 0, or -1 with *why set; the old settings then stay. */
int slowlog_reconfigure(struct slowlog *s, const struct slowlog_settings *settings, struct fail *why);
void slowlog_reopen(struct slowlog *s);
/* *exemplar: the request's; without trace_id if its SQL has none. */
void slowlog_write(struct slowlog *s, const struct request_report *report, uint64_t now_us, struct exemplar *exemplar);
/* Calls row for each of the last requests that were to be logged, held back by the limit or not, the newest first. row
 * must not write to this log. */
void slowlog_each_recent(struct slowlog *s, void (*row)(const struct slow_row *row, void *arg), void *arg);
void slowlog_get_stats(struct slowlog *s, struct slowlog_stats *out);
/* slowlog_line.c, for tests: writes the line with its newline. Returns its length, at most out_cap - 1; no field is
 * truncated. */
size_t slowlog_format_line(const struct slowlog_settings *settings, const struct request_report *report,
			   uint64_t suppressed, char *out, size_t out_cap);
