/*
 * src/telemetry/fingerprint.h - SQL without its literals and comments, and a hash of it. Pure.
 *
 * The SQL may have any bytes; the result is valid UTF-8. It is scanned by the rules of PostgreSQL's manual, 4.1,
 * "Lexical Structure" (sql_token.h). A literal becomes ?; a parameter such as $1 stays as it is. A list of literals and
 * parameters after IN or VALUES, or in ARRAY[], becomes one ?, and VALUES rows that then look alike become one.
 * Whitespace becomes single spaces. The text keeps upper and lower case; the hash ignores case outside of quotes. With
 * standard_conforming_strings = off, or in an encoding in which a character's second byte may be a backslash, the end
 * of a string with a backslash is not certain, so this string and all SQL after it become one ?.
 */
#pragma once

#include "base/request_report.h"
#include "config/config.h"

#define FINGERPRINT_INPUT_MAX 16384 /* bytes of SQL that are read; SQL of this length or longer counts as truncated */

struct fingerprint {
	uint64_t hash; /* equal for SQL that differs only in literals, case, whitespace, comments, a last semicolon */
	size_t text_len; /* bytes written, without the terminator */
	bool is_truncated; /* true if the text did not fit, or not all of the SQL was read */
	bool is_unsafe; /* true if a quote or comment has no end; the text is then only the first keyword */
	char traceparent[56]; /* the traceparent in the last comment (sqlcommenter.c); empty if it has none */
};

/* Writes the text to out, at most out_cap - 1 bytes and a terminator (out_cap > 0), truncated between two characters,
 * and fills *fp. options is the set of enum scan_option with which the session reads strings. With keeps_literals, the
 * text has the literals, but still no comments. */
void fingerprint_sql(const char *sql, size_t sql_len, unsigned options, bool keeps_literals, char *out, size_t out_cap,
		     struct fingerprint *fp);
/* Does what fingerprint_sql() does without keeps_literals, and returns only the hash. */
uint64_t fingerprint_normalize(const char *sql, size_t sql_len, unsigned options, char *out, size_t out_cap);

/* The SQL of a report, for the slow-query log. */
struct report_sql {
	struct fingerprint fp; /* zeroed if the report has no SQL */
	const char *shown; /* the SQL with or without literals; NULL if the report has no SQL, or SLOW_TEXT_NONE */
	char text[2049]; /* memory for shown */
};
/* Fills *sql; `text` is the setting of this name. */
void fingerprint_report(struct report_sql *sql, const struct request_report *report, enum slow_text text);

/* --- sqlcommenter.c: the W3C trace context that an application's ORM wrote into a comment. Pure. --- */
#define TRACEPARENT_LEN 55 /* 00-<32 digits>-<16 digits>-<2 digits> */
#define TRACEPARENT_TRACE_AT 3
#define TRACEPARENT_TRACE_LEN 32
#define TRACEPARENT_SPAN_AT 36
#define TRACEPARENT_SPAN_LEN 16

/* Copies the first well-formed traceparent in a comment's text to out; "" if there is none. */
void sqlcommenter_traceparent(const char *comment, size_t len, char out[TRACEPARENT_LEN + 1]);
