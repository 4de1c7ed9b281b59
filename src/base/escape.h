/*
 * src/base/escape.h - makes a peer's bytes fit for a line: valid UTF-8, no control characters, no quotes that end it
 * early. Bytes that are not UTF-8 become U+FFFD. Pure.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

enum escape_style {
	ESCAPE_TEXT, /* for people: control characters as \x1b, nothing else */
	ESCAPE_JSON, /* inside a JSON string; logfmt's quoted values are the same */
	ESCAPE_LABEL, /* inside a Prometheus label value: backslash, quote, newline */
};
#define ESCAPE_MAX 8 /* bytes that one character may become, and then some */
#define UTF8_REPLACEMENT "\xef\xbf\xbd"

/* Returns the length of the well-formed UTF-8 sequence at bytes (1 to 4), or 0 if there is none. len > 0. */
size_t escape_utf8_len(const char *bytes, size_t len);
bool escape_is_utf8(const char *bytes, size_t len); /* all of it is well-formed; len may be 0 */
/* Escapes the first character of bytes (len > 0) into out. Returns the bytes written; *used is the bytes read. */
size_t escape_char(enum escape_style style, const char *bytes, size_t len, char out[ESCAPE_MAX], size_t *used);
/* Escapes as many whole characters as fit, then a terminator (cap > 0). Returns the length without it. */
size_t escape_text(enum escape_style style, const char *bytes, size_t len, char *out, size_t cap);

/* --- json.c: appends s between quotes, escaped, whatever bytes it has; null if s is NULL. */
void json_put_string(struct buf *to, const char *s);
