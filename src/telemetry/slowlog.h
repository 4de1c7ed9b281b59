/*
 * src/telemetry/slowlog.h - the slow-query log: one line per slow request, JSON, logfmt or PostgreSQL's own style,
 * written by a thread (base/log_writer.h), rate-limited per fingerprint (burst 5, then 1/s) and in all. What was held
 * back is counted, and told in "suppressed" of the next line of that fingerprint.
 */
#ifndef PGWEIR_TELEMETRY_SLOWLOG_H
#define PGWEIR_TELEMETRY_SLOWLOG_H

#include "base/fail.h"
#include "base/request_report.h"

#include <stdint.h>

struct slowlog; /* opaque: slowlog.c */

enum slowlog_format { SLOWLOG_JSON, SLOWLOG_LOGFMT, SLOWLOG_POSTGRES };
enum slowlog_text { SLOWLOG_NORMALIZED, SLOWLOG_FULL, SLOWLOG_NONE };
struct slowlog_settings {
	const char *file; /* "stderr" or a path */
	enum slowlog_format format;
	enum slowlog_text text;
	uint32_t max_lines_per_second; /* 0: no limit in all */
};
struct slowlog_stats {
	uint64_t lines, dropped_rate, dropped_ring, dropped_write;
};

struct slowlog *slowlog_new(const struct slowlog_settings *settings, struct fail *why);
void slowlog_free(struct slowlog *s);
/* Keeps the old settings on -1. Also re-opens the file. */
int slowlog_reconfigure(struct slowlog *s, const struct slowlog_settings *settings, struct fail *why);
void slowlog_reopen(struct slowlog *s);
void slowlog_write(struct slowlog *s, const struct request_report *report, uint64_t now_us);
void slowlog_get_stats(const struct slowlog *s, struct slowlog_stats *out);
/* The line itself (with newline), for tests: bytes written (at most out_cap - 1), cut never in mid-field. */
size_t slowlog_format_line(const struct slowlog_settings *settings, const struct request_report *report,
			   uint64_t suppressed, char *out, size_t out_cap);

#endif
