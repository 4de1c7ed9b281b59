/*
 * src/sql/sql_token.h - cuts SQL into tokens as PostgreSQL's lexer does (manual, 4.1).
 *
 * The lexer reads any bytes, in one pass. It skips white space and comments, and sets after_space of the next token.
 * The functions allocate nothing.
 *
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
	SQL_UNTERMINATED, /* a quote or comment that does not end; all tokens after it are meaningless */
};

struct sql_token {
	enum sql_kind kind;
	const char *at; /* the token's first byte, in the SQL */
	size_t len;
	bool after_space; /* white space or a comment stood before the token */
};

struct sql_lexer {
	const char *sql;
	size_t len, pos; /* bytes of the SQL; offset of the next byte to read */
	bool has_backslash_escapes; /* plain strings have escapes, too (standard_conforming_strings is off) */
	unsigned scan_options; /* enum scan_option; tells if the second byte of a character may look like a backslash */
	/* the last token was an E'' string; if a string on a later line continues it, that string has escapes, too */
	bool is_after_escape_string;
	const char *comment; /* text of the last block comment, without its delimiters; NULL if there was none */
	size_t comment_len;
};

/* Begins to read sql, which lx borrows. The caller may then change has_backslash_escapes and scan_options from 0. */
void sql_lexer_init(struct sql_lexer *lx, const char *sql, size_t len);
struct sql_token sql_next(struct sql_lexer *lx); /* returns the next token; SQL_END at the end */
/* Returns true if `bytes`, with its ASCII letters in lower case, is equal to `folded`. Both have len bytes. */
bool sql_folds_to(const char *bytes, const char *folded, size_t len);

/* Returns true if the token is this word, which is given in lower case. */
static inline bool
sql_is_word(const struct sql_token *t, const char *word, size_t word_len)
{
	return t->kind == SQL_WORD && t->len == word_len && sql_folds_to(t->at, word, word_len);
}
