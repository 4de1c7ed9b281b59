/*
 * tests/fuzz/session_text.h - tokens, which show which client a byte came from.
 *
 * "@@A7!" was put into a message by client A, and the fake PostgreSQL repeats it in what it answers to that. No input
 * can hold one (text_unescape takes its @ away), so that one which reaches another client is a leak.
 */
#pragma once

#include "base/buf.h"
#include "fuzz.h"

#define TOKENS_MAX 64 /* bytes of a few tokens, and a NUL */
#define TEXT_CLIENTS 8

/* The letter of the token at the front of bytes; 0: there is none. */
char text_token_at(const void *bytes, size_t len);
/* The tokens within bytes, one behind the other, as many as fit. Appends to tokens. */
void text_tokens(const void *bytes, size_t len, char tokens[static TOKENS_MAX]);
/*
 * Appends a step's text: \xHH, \0 to \7, \n, \r, \t, \\, \s (a blank) are bytes, ~ is the client's next token (letter
 * 0: a
 * ~), @ becomes ?.
 */
void text_unescape(struct buf *out, const char *text, size_t len, char letter, unsigned *sequence);
/* Returns sql, or a copy in *copy without the mark that pgweir's own has: a comment, as to PostgreSQL. */
const char *text_without_mark(const char *sql, struct buf *copy);
/* Splits at blanks, in place, into at most max words, the last of which is all that is left; how many there are. */
size_t text_words(char *text, char **words, size_t max);
/* RowDescription of columns in text format: names and type OIDs (25 text, 23 int4, 20 int8, 1700 numeric). */
void text_row_description(struct buf *b, const char *const *names, const uint32_t *types, size_t count);
/* DataRow of values in text format; NULL entries are SQL NULL. */
void text_data_row(struct buf *b, const char *const *values, size_t count);
