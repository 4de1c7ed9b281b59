/*
 * src/base/line.h - writes one line of a structured log, JSON or logfmt, field by field into the caller's storage.
 *
 * Always: the line is complete and well-formed; a field that does not fit is left out whole. Values may have any bytes.
 * An unknown value is null in JSON and empty in logfmt.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum line_style { LINE_JSON, LINE_LOGFMT };

struct line {
	char *out;
	size_t cap, len;
	enum line_style style;
	bool is_over; /* the field being written does not fit */
};

#define LINE_CAP_MIN 8
#define LINE_TIMESTAMP_LEN 32 /* with its terminator */

/* "2026-11-20T06:39:23.123456Z" and, like PostgreSQL's %m, "2026-11-20 06:39:23.123 UTC". */
void line_timestamp_iso(uint64_t wall_us, char out[LINE_TIMESTAMP_LEN]);
void line_timestamp_text(uint64_t wall_us, char out[LINE_TIMESTAMP_LEN]);

void line_begin(struct line *l, enum line_style style, char *out, size_t cap); /* cap >= LINE_CAP_MIN */
void line_bytes(struct line *l, const char *key, const char *value, size_t len); /* value NULL: unknown */
void line_str(struct line *l, const char *key, const char *value);
void line_time(struct line *l, const char *key, uint64_t wall_us);
void line_u64(struct line *l, const char *key, uint64_t value);
void line_bool(struct line *l, const char *key, bool value);
void line_ms(struct line *l, const char *key, uint64_t us); /* milliseconds with three decimals */
void line_ms_short(struct line *l, const char *key, uint64_t us); /* without decimals if they are zero */
void line_null(struct line *l, const char *key);
size_t line_end(struct line *l); /* ends the line, newline included; returns its length */
