/* src/sql/listen_text.c - see traits.h. */
#include "sql/traits.h"
#include "sql/sql_token.h"

#include <string.h>
#include <strings.h>

#define SUBSTITUTE "UNLISTEN/*LISTEN*/"

/* Returns where the first word begins, after white space, comments and empty statements; len if there is none. */
static size_t
first_word_at(const char *sql, size_t len)
{
	struct sql_lexer lexer;
	struct sql_token t;

	sql_lexer_init(&lexer, sql, len);
	do
		t = sql_next(&lexer);
	while (t.kind == SQL_PUNCT && *t.at == ';');
	return t.kind == SQL_WORD ? (size_t)(t.at - sql) : len;
}

bool
listen_text_substitute(const char *sql, size_t len, struct buf *out)
{
	static const size_t word_len = sizeof("LISTEN") - 1;
	size_t at = first_word_at(sql, len);

	if (len - at < word_len || strncasecmp(sql + at, "LISTEN", word_len) != 0)
		return false;
	buf_put(out, sql, at);
	buf_put(out, SUBSTITUTE, sizeof(SUBSTITUTE) - 1);
	buf_put(out, sql + at + word_len, len - at - word_len);
	return true;
}

bool
listen_text_is_substitute(const char *sql, size_t len)
{
	size_t at = first_word_at(sql, len);

	return len - at >= sizeof(SUBSTITUTE) - 1 && memcmp(sql + at, SUBSTITUTE, sizeof(SUBSTITUTE) - 1) == 0;
}
