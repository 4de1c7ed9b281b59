/* src/sql/signal_text.c - see recognise.h. */
#include "sql/recognise.h"

#include "base/mentions.h"
#include "sql/sql_token.h"

#include <string.h>

static bool
is_word(const struct sql_token *t, const char *word)
{
	return sql_is_word(t, word, strlen(word));
}

static bool
is_punct(const struct sql_token *t, char c)
{
	return t->kind == SQL_PUNCT && t->len == 1 && t->at[0] == c;
}

/* Steps over the token if it is this one. */
static bool
take(struct sql_lexer *lx, struct sql_token *t, enum sql_kind kind, const char *text)
{
	bool is_it = kind == SQL_WORD ? is_word(t, text)
				      : t->kind == kind && t->len == strlen(text) && memcmp(t->at, text, t->len) == 0;

	if (is_it)
		*t = sql_next(lx);
	return is_it;
}

/* Reads up to the closing parenthesis. A name that no parenthesis follows is a type's or an argument's. */
static bool
has_plain_arguments(struct sql_lexer *lx)
{
	for (;;) {
		struct sql_token t = sql_next(lx);

		switch (t.kind) {
		case SQL_NUMBER:
		case SQL_STRING:
		case SQL_PARAM:
		case SQL_CAST:
		case SQL_WORD:
			break;
		case SQL_OPERATOR:
			if (t.len != 2 || memcmp(t.at, "=>", 2) != 0)
				return false;
			break;
		case SQL_PUNCT:
			if (is_punct(&t, ')'))
				return true;
			if (!is_punct(&t, ',') && !is_punct(&t, '.'))
				return false;
			break;
		default:
			return false;
		}
	}
}

enum signal_text
signal_text_read(const char *sql, size_t len)
{
	enum signal_text kind;
	struct sql_lexer lx;
	struct sql_token t;

	if (memchr(sql, '\\', len) != NULL || !text_is_ascii(sql, len))
		return SIGNAL_TEXT_NOT;
	sql_lexer_init(&lx, sql, len);
	t = sql_next(&lx);
	if (!take(&lx, &t, SQL_WORD, "select") ||
	    (take(&lx, &t, SQL_OPERATOR, "*") && !take(&lx, &t, SQL_WORD, "from")) ||
	    (take(&lx, &t, SQL_WORD, "pg_catalog") && !take(&lx, &t, SQL_PUNCT, ".")))
		return SIGNAL_TEXT_NOT;
	kind = is_word(&t, "pg_cancel_backend")	     ? SIGNAL_TEXT_CANCEL
	       : is_word(&t, "pg_terminate_backend") ? SIGNAL_TEXT_TERMINATE
						     : SIGNAL_TEXT_NOT;
	t = sql_next(&lx);
	if (kind == SIGNAL_TEXT_NOT || !is_punct(&t, '(') || !has_plain_arguments(&lx))
		return SIGNAL_TEXT_NOT;
	t = sql_next(&lx);
	(void)take(&lx, &t, SQL_WORD, "as");
	if (t.kind == SQL_WORD || t.kind == SQL_QUOTED)
		t = sql_next(&lx);
	while (take(&lx, &t, SQL_PUNCT, ";"))
		;
	return t.kind == SQL_END ? kind : SIGNAL_TEXT_NOT;
}
