/*
 * src/telemetry/fingerprint.h - SQL without its literals and comments, by pgweir's own scanner (sql_token.h).
 *
 * Pure, bounded, tolerant: any bytes in, valid UTF-8 out. Understands PostgreSQL's lexical structure (manual 4.1):
 * nested comments, standard, E'', U&'', B'', X'' and N'' strings, dollar quotes, quoted identifiers, numbers ($1 stays
 * $1), operators. Lists of literals and parameters behind IN and VALUES and in ARRAY[] become one ?, and VALUES rows
 * that look alike become one. Whitespace becomes single spaces; unquoted keywords and identifiers keep their case in
 * the text, but not in the hash.
 * Where strings may end elsewhere (standard_conforming_strings = off, or an encoding whose characters may have a
 * backslash as their second byte), a string with a backslash and everything after it is one literal.
 */
#pragma once

#include "sql/sql_token.h"

#include <stdint.h>

#define FINGERPRINT_INPUT_MAX 16384 /* bytes looked at; a text this long or longer counts as cut */

struct fingerprint {
	uint64_t
	    hash; /* the same for texts that differ only in literals, case, whitespace, comments, a last semicolon */
	size_t text_len; /* bytes written, without terminator */
	bool is_truncated; /* the text did not fit, or the input was cut */
	bool is_unsafe; /* an unterminated quote or comment: text is the first keyword only */
	char traceparent[56]; /* sqlcommenter's, if the last comment had one that is well formed; else empty */
};

/*
 * Writes at most out_cap - 1 bytes and a terminator (out_cap > 0); truncates between UTF-8 characters. options: how the
 * session reads strings (enum scan_option). keeps_literals: only comments are dropped, and whitespace becomes single.
 */
void fingerprint_sql(const char *sql, size_t sql_len, unsigned options, bool keeps_literals, char *out, size_t out_cap,
		     struct fingerprint *fp);
/* The same for whoever wants the hash alone: returns it. */
uint64_t fingerprint_normalize(const char *sql, size_t sql_len, unsigned options, char *out, size_t out_cap);

/* --- sqlcommenter.c: the W3C trace context that an application's ORM wrote into a comment. Pure --- */
#define TRACEPARENT_LEN 55 /* 00-<32 digits>-<16 digits>-<2 digits> */
#define TRACEPARENT_TRACE_AT 3
#define TRACEPARENT_TRACE_LEN 32
#define TRACEPARENT_SPAN_AT 36
#define TRACEPARENT_SPAN_LEN 16

/* comment: the text between its marks. out is empty unless it has a well-formed traceparent. */
void sqlcommenter_traceparent(const char *comment, size_t len, char out[TRACEPARENT_LEN + 1]);

/*
 * --- normal_text.c: makes two things of a statement's tokens: a text for people, and a key whose hash tells
 * statements apart (lower case, one separator between tokens).
 *
 * Both grow only at the end, so going back to a mark removes a part that turns out to be superfluous.
 * Borrows: the text's storage. Always: the text is valid UTF-8 and has room for a terminator.
 */

/* A token of n bytes takes n + 1, and tokens are not empty; a cut list and a text's size may add a little. */
#define NORMAL_KEY_MAX (2 * FINGERPRINT_INPUT_MAX + 64)

struct normal_mark {
	size_t text_len, key_len;
	bool is_text_full;
};

struct normal_text {
	bool keeps_literals; /* the text keeps them; the key never does */
	char *text;
	size_t text_cap, text_len;
	bool is_text_full;
	size_t key_len;
	char key[NORMAL_KEY_MAX]; /* last: not cleared */
};

void normal_init(struct normal_text *n, char *text, size_t text_cap, bool keeps_literals);
struct normal_mark normal_here(const struct normal_text *n);
/* A text that keeps its literals keeps everything: then only the key goes back. */
void normal_go_back(struct normal_text *n, struct normal_mark to);
void normal_put(struct normal_text *n, const struct sql_token *t);
void normal_put_literal(struct normal_text *n, const struct sql_token *t);
/* Puts the replacement of a list's elements. */
void normal_put_list(struct normal_text *n);
/* Puts the rest of a literal, whose beginning was put, into the text only. */
void normal_put_rest(struct normal_text *n, const struct sql_token *t);
void normal_put_key(struct normal_text *n, const char *bytes, size_t len, bool fold_case);
