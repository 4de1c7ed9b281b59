/*
 * src/telemetry/fingerprint.h - SQL without its literals and comments, and a hash of it. Pure.
 *
 * The SQL may have any bytes, and is scanned by the rules of PostgreSQL's manual, 4.1, "Lexical Structure"
 * (sql_token.h). The result is valid UTF-8. A literal becomes ?; a parameter such as $1 stays as it is. A list of
 * literals and parameters after IN or VALUES, or in ARRAY[], becomes one ?, and rows of VALUES that are then equal
 * become one row. Whitespace becomes single spaces. The text keeps upper and lower case; the hash ignores case outside
 * of quotes. With standard_conforming_strings = off, or if a character's second byte may be a backslash in the
 * encoding, the end of a string with a backslash is not certain, so this string and all SQL after it become one ?.
 */
#pragma once

#include "base/request_report.h"
#include "config/config.h"

#define FINGERPRINT_INPUT_MAX 16384 /* SQL of this many bytes or more is truncated */

struct fingerprint {
	uint64_t hash; /* ignores literals, case, whitespace, comments and a last semicolon */
	size_t text_len; /* bytes written, without the terminator */
	bool is_truncated; /* true if the text did not fit, or not all of the SQL was read */
	bool is_unsafe; /* true if a quote or comment has no end; the text is then only the first keyword */
	char traceparent[56]; /* from the last comment (sqlcommenter.c); empty if that comment has none */
};

/* Writes the text and a terminator to out, which has out_cap bytes (at least 1). A text that does not fit is truncated
 * between two characters. Fills *fp. options: a set of enum scan_option, which say how the session reads strings. With
 * keeps_literals, the text has the literals, but no comments. */
void fingerprint_sql(const char *sql, size_t sql_len, unsigned options, bool keeps_literals, char *out, size_t out_cap,
		     struct fingerprint *fp);
/* Writes the text as fingerprint_sql() does without keeps_literals, and returns only the hash. */
uint64_t fingerprint_normalize(const char *sql, size_t sql_len, unsigned options, char *out, size_t out_cap);

/* The SQL of a report, for the slow-query log. */
struct report_sql {
	struct fingerprint fp; /* zeroed if the report has no SQL */
	const char *shown; /* the SQL with or without literals; NULL with SLOW_TEXT_NONE, or if the report has no SQL */
	char text[2049]; /* memory for shown */
};
/* Fills *sql; `text` is the setting slow_query.text. */
void fingerprint_report(struct report_sql *sql, const struct request_report *report, enum slow_text text);

/* --- sqlcommenter.c: the W3C trace context that an application or ORM writes into a comment of its SQL. Pure. --- */
#define TRACEPARENT_LEN 55 /* 00-<32 digits>-<16 digits>-<2 digits> */
#define TRACEPARENT_TRACE_AT 3
#define TRACEPARENT_TRACE_LEN 32
#define TRACEPARENT_SPAN_AT 36
#define TRACEPARENT_SPAN_LEN 16

/* Copies the first well-formed traceparent in a comment's text to out, or "" if there is none. */
void sqlcommenter_traceparent(const char *comment, size_t len, char out[TRACEPARENT_LEN + 1]);
