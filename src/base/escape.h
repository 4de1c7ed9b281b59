/*
 * src/base/escape.h - escapes bytes that a peer has sent, for a line of a log or of JSON. The result is valid UTF-8:
 * bytes that are not UTF-8 become U+FFFD. The style says what else is escaped. Pure.
 */
#pragma once

#include "base/buf.h"

enum escape_style {
	ESCAPE_TEXT, /* for people: escapes only control characters, as \x1b */
	ESCAPE_JSON, /* for a JSON string: escapes control characters, double quotes and backslashes */
	ESCAPE_LABEL, /* for a Prometheus label value: escapes backslashes, double quotes and newlines */
};
#define ESCAPE_MAX 8 /* bytes; no escaped character is longer */
#define UTF8_REPLACEMENT "\xef\xbf\xbd"

/* Returns the length (1 to 4) of the UTF-8 sequence at the front of bytes, or 0 if it is not well-formed. len > 0. */
size_t escape_utf8_len(const char *bytes, size_t len);
bool escape_is_utf8(const char *bytes, size_t len); /* returns true if all bytes are well-formed; len may be 0 */
/* Escapes the first character of bytes (len > 0) into out, without a terminator. Returns the number of bytes written,
 * and sets *used to the number of bytes read. */
size_t escape_char(enum escape_style style, const char *bytes, size_t len, char out[ESCAPE_MAX], size_t *used);
/* Escapes bytes into out, which has cap bytes (cap > 0): as many whole characters as fit, and a terminator. Returns the
 * length without the terminator. */
size_t escape_text(enum escape_style style, const char *bytes, size_t len, char *out, size_t cap);

/* --- json.c --- */

/* Appends s as a JSON string, escaped, with its quotes; appends null if s is NULL. */
void json_put_string(struct buf *to, const char *s);

/* A JSON object on a line of its own, which is written field by field into the caller's memory. A field that does not
 * fit is left out as a whole, so the object is always well-formed. */
struct json_line {
	char *out;
	size_t cap, len;
	bool is_too_long; /* true if the field that is being written does not fit, and will be removed */
};

#define JSON_LINE_CAP_MIN 8
#define BASE_TIMESTAMP_LEN 32 /* bytes, with the terminator */

/* Writes a time such as "2026-11-20T06:39:23.123456Z". */
void base_timestamp_iso(uint64_t wall_us, char out[BASE_TIMESTAMP_LEN]);
/* Writes a time such as "2026-11-20 06:39:23.123 UTC", which is the form of %m in PostgreSQL's log_line_prefix. */
void base_timestamp_text(uint64_t wall_us, char out[BASE_TIMESTAMP_LEN]);

void json_line_begin(struct json_line *l, char *out, size_t cap); /* cap >= JSON_LINE_CAP_MIN */
/* writes a string of len bytes, escaped; null if value is NULL */
void json_line_bytes(struct json_line *l, const char *key, const char *value, size_t len);
void json_line_str(struct json_line *l, const char *key, const char *value); /* writes null if value is NULL */
void json_line_time(struct json_line *l, const char *key, uint64_t wall_us); /* in the form of base_timestamp_iso() */
void json_line_u64(struct json_line *l, const char *key, uint64_t value);
void json_line_bool(struct json_line *l, const char *key, bool value);
void json_line_ms(struct json_line *l, const char *key, uint64_t us); /* in milliseconds, with three decimals */
void json_line_ms_short(struct json_line *l, const char *key, uint64_t us); /* without decimals if all are zero */
size_t json_line_end(struct json_line *l); /* ends the object, adds a newline, and returns the length of the line */
