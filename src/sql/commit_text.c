/* src/sql/commit_text.c - see recognise.h. The grammar: TransactionStmt in PostgreSQL's gram.y. */
#include "sql/recognise.h"

#include "sql/sql_token.h"

#include <string.h>

static bool
is_word(const struct sql_token *t, const char *word)
{
	return sql_is_word(t, word, strlen(word));
}

enum commit_text
commit_text_read(const char *sql, size_t len)
{
	enum commit_text kind = COMMIT_TEXT_PLAIN;
	struct sql_lexer lx;
	struct sql_token t;

	sql_lexer_init(&lx, sql, len);
	t = sql_next(&lx);
	if (!is_word(&t, "commit") && !is_word(&t, "end"))
		return COMMIT_TEXT_NOT;
	t = sql_next(&lx);
	if (is_word(&t, "work") || is_word(&t, "transaction"))
		t = sql_next(&lx);
	if (is_word(&t, "and")) {
		kind = COMMIT_TEXT_CHAIN;
		t = sql_next(&lx);
		if (is_word(&t, "no")) {
			kind = COMMIT_TEXT_PLAIN;
			t = sql_next(&lx);
		}
		if (!is_word(&t, "chain"))
			return COMMIT_TEXT_NOT;
		t = sql_next(&lx);
	}
	while (t.kind == SQL_PUNCT && t.len == 1 && t.at[0] == ';')
		t = sql_next(&lx);
	return t.kind == SQL_END ? kind : COMMIT_TEXT_NOT;
}
