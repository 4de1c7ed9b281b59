/*
 * src/telemetry/fingerprint.h - SQL without its literals and comments, by pgweir's own scanner (sql_token.h).
 *
 * Pure, bounded, tolerant: any bytes in, valid UTF-8 out. Understands PostgreSQL's lexical structure (manual 4.1):
 * nested comments, standard, E'', U&'', B'', X'' and N'' strings, dollar quotes, quoted identifiers, numbers ($1 stays
 * $1), operators. Lists of literals and parameters after IN and VALUES and in ARRAY[] become one ?, and VALUES rows
 * that look alike become one. Whitespace becomes single spaces; unquoted keywords and identifiers keep their case in
 * the text, but not in the hash. With standard_conforming_strings = off, or in an encoding in which a character's
 * second byte may be a backslash, it is not certain where a string with a backslash ends; so such a string and all SQL
 * after it become one literal.
 */
#pragma once

#include "base/request_report.h"
#include "config/config.h"

#define FINGERPRINT_INPUT_MAX 16384 /* bytes of SQL that are read; SQL of this length or longer counts as truncated */

struct fingerprint {
	uint64_t hash; /* equal for texts that differ only in literals, case, whitespace, comments, a last semicolon */
	size_t text_len; /* bytes written, without terminator */
	bool is_truncated; /* the text did not fit, or the input was truncated */
	bool is_unsafe; /* there is an unterminated quote or comment, so text is only the first keyword */
	char traceparent[56]; /* sqlcommenter's, if the last comment had a well-formed one; else empty */
};

/* Writes at most out_cap - 1 bytes and a terminator (out_cap > 0); truncates between UTF-8 characters. options says how
 * the session reads strings (enum scan_option). With keeps_literals, only comments are dropped, and whitespace becomes
 * single spaces. */
void fingerprint_sql(const char *sql, size_t sql_len, unsigned options, bool keeps_literals, char *out, size_t out_cap,
		     struct fingerprint *fp);
/* Does what fingerprint_sql() does for callers that need only the hash, which it returns. */
uint64_t fingerprint_normalize(const char *sql, size_t sql_len, unsigned options, char *out, size_t out_cap);

/* The SQL of a report, in the forms that its receivers need. */
struct report_sql {
	struct fingerprint fp; /* zeroed if not known */
	const char *shown; /* SQL in the form that the setting `text` demands; NULL if not known, or not to be shown */
	char text[2049]; /* storage of shown */
};
void fingerprint_report(struct report_sql *sql, const struct request_report *report, enum slow_text text);

/* --- sqlcommenter.c: the W3C trace context that an application's ORM wrote into a comment. Pure --- */
#define TRACEPARENT_LEN 55 /* 00-<32 digits>-<16 digits>-<2 digits> */
#define TRACEPARENT_TRACE_AT 3
#define TRACEPARENT_TRACE_LEN 32
#define TRACEPARENT_SPAN_AT 36
#define TRACEPARENT_SPAN_LEN 16

/* Finds a traceparent in comment, the text between the comment's marks. out is empty if there is no well-formed one. */
void sqlcommenter_traceparent(const char *comment, size_t len, char out[TRACEPARENT_LEN + 1]);
