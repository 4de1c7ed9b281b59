/*
 * src/base/escape.h - makes a peer's bytes fit for a line of a log or of JSON: valid UTF-8, no control characters, no
 * quotes that end the text early. Bytes that are not UTF-8 become U+FFFD. Pure.
 */
#pragma once

#include "base/buf.h"

enum escape_style {
	ESCAPE_TEXT, /* for people: escapes only control characters, as \x1b */
	ESCAPE_JSON, /* for a JSON string */
	ESCAPE_LABEL, /* for a Prometheus label value: escapes backslashes, double quotes and newlines */
};
#define ESCAPE_MAX 8 /* bytes; one character never becomes more */
#define UTF8_REPLACEMENT "\xef\xbf\xbd"

/* Returns the length of the well-formed UTF-8 sequence at bytes (1 to 4), or 0 if there is none. len > 0. */
size_t escape_utf8_len(const char *bytes, size_t len);
bool escape_is_utf8(const char *bytes, size_t len); /* returns true if all bytes are well-formed; len may be 0 */
/* Escapes the first character of bytes (len > 0) into out. Returns the number of bytes written; *used is the number
 * read. */
size_t escape_char(enum escape_style style, const char *bytes, size_t len, char out[ESCAPE_MAX], size_t *used);
/* Escapes as many whole characters as fit, and adds a terminator (cap > 0). Returns the length without the
 * terminator. */
size_t escape_text(enum escape_style style, const char *bytes, size_t len, char *out, size_t cap);

/* --- json.c --- */

/* Appends s between quotes, escaped, whatever bytes it has; appends null if s is NULL. */
void json_put_string(struct buf *to, const char *s);

/* Writes a JSON object on a line of its own, field by field, into memory of the caller. The object is always complete
 * and well-formed: a field that does not fit is left out. */
struct line {
	char *out;
	size_t cap, len;
	bool is_too_long; /* the field that is being written does not fit, and will be removed */
};

#define LINE_CAP_MIN 8
#define LINE_TIMESTAMP_LEN 32 /* with its terminator */

/* Write "2026-11-20T06:39:23.123456Z" and, like PostgreSQL's %m, "2026-11-20 06:39:23.123 UTC". */
void line_timestamp_iso(uint64_t wall_us, char out[LINE_TIMESTAMP_LEN]);
void line_timestamp_text(uint64_t wall_us, char out[LINE_TIMESTAMP_LEN]);

void line_begin(struct line *l, char *out, size_t cap); /* cap >= LINE_CAP_MIN */
/* writes null if value is NULL, as do the functions below */
void line_bytes(struct line *l, const char *key, const char *value, size_t len);
void line_str(struct line *l, const char *key, const char *value);
void line_time(struct line *l, const char *key, uint64_t wall_us);
void line_u64(struct line *l, const char *key, uint64_t value);
void line_bool(struct line *l, const char *key, bool value);
void line_ms(struct line *l, const char *key, uint64_t us); /* milliseconds with three decimals */
void line_ms_short(struct line *l, const char *key, uint64_t us); /* without decimals if they are zero */
size_t line_end(struct line *l); /* ends the line, newline included; returns its length */
