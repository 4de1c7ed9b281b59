/*
 * src/sql/sql_token.h - cuts SQL into tokens as PostgreSQL's lexer does (manual, 4.1).
 *
 * The lexer is pure, reads any bytes in one pass and allocates nothing. White space and comments are skipped; a flag of
 * the next token records them.
 * Borrows: the SQL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum sql_kind {
	SQL_END,
	SQL_WORD, /* keyword or unquoted identifier */
	SQL_QUOTED, /* "identifier", U&"identifier" */
	SQL_STRING, /* '...' with any prefix, $tag$...$tag$ */
	SQL_NUMBER,
	SQL_PARAM, /* $1 */
	SQL_OPERATOR, /* one or more of + - * / < > = ~ ! @ # % ^ & | ` ? */
	SQL_CAST, /* :: */
	SQL_PUNCT, /* one other character */
	SQL_UNTERMINATED, /* a quote or comment without an end: no token after it can be trusted */
};

struct sql_token {
	enum sql_kind kind;
	const char *at;
	size_t len;
	bool after_space; /* white space or a comment stood before the token */
};

struct sql_lexer {
	const char *sql;
	size_t len, pos;
	bool has_backslashes; /* standard_conforming_strings is off: backslashes are escapes in plain strings, too */
	unsigned trail_options; /* enum scan_option of the client's encoding: a trail byte is not a backslash */
	/* the last token was an E'' string; a string on a later line that continues it also has escapes, though no E */
	bool is_after_escape_string;
	const char *comment; /* text of the last block comment, without its delimiters; NULL if there was none */
	size_t comment_len;
};

void sql_lexer_init(struct sql_lexer *lx, const char *sql, size_t len);
struct sql_token sql_next(struct sql_lexer *lx);
/* Compares bytes with `folded`, which is in lower case; ASCII letters of bytes may be in any case. Both have len
 * bytes. */
bool sql_folds_to(const char *bytes, const char *folded, size_t len);

/* Returns true if the token is this word (given in lower case). */
static inline bool
sql_is_word(const struct sql_token *t, const char *word, size_t word_len)
{
	return t->kind == SQL_WORD && t->len == word_len && sql_folds_to(t->at, word, word_len);
}
