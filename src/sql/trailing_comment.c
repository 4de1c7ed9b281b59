/*
 * src/sql/trailing_comment.c - finds a comment of pairs key='value' (sqlcommenter) at the end of SQL; see traits.h.
 *
 * The SQL is read backwards. Values are URL-encoded, so they contain neither quotes nor asterisks. Text that looks like
 * a comment of pairs means nothing in a -- comment. A string or block comment with such text at its end is not closed,
 * so PostgreSQL refuses the SQL with or without the text.
 */
#include "sql/traits.h"
#include "base/text.h"

static bool
is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
	       c == '.' || c == '%' || c == '~';
}

static bool
is_value_char(char c)
{
	return c != '\'' && c != '\\' && c != '*' && (unsigned char)c >= ' ' && (unsigned char)c < 0x7f;
}

static size_t
skip_spaces(const char *p, size_t at, size_t len)
{
	while (at < len && is_space(p[at]))
		at++;
	return at;
}

/* Returns true for one or more pairs, such as key='value', key='value'. */
static bool
is_pairs(const char *p, size_t len)
{
	size_t at = skip_spaces(p, 0, len), from;

	for (;;) {
		for (from = at; at < len && is_key_char(p[at]);)
			at++;
		if (at == from || len - at < 3 || p[at] != '=' || p[at + 1] != '\'')
			return false;
		for (at += 2; at < len && is_value_char(p[at]);)
			at++;
		if (at == len || p[at] != '\'')
			return false;
		at = skip_spaces(p, at + 1, len);
		if (at == len)
			return true;
		if (p[at] != ',')
			return false;
		at = skip_spaces(p, at + 1, len);
	}
}

static size_t
drop_spaces(const char *sql, size_t len)
{
	while (len > 0 && is_space(sql[len - 1]))
		len--;
	return len;
}

size_t
trailing_comment_at(const char *sql, size_t len)
{
	size_t end = drop_spaces(sql, len), at;

	if (end > 0 && sql[end - 1] == ';')
		end = drop_spaces(sql, end - 1);
	if (end < 4 || sql[end - 1] != '/' || sql[end - 2] != '*')
		return len;
	for (at = end - 3; at > 0 && sql[at] != '*'; at--)
		;
	if (at == 0 || sql[at - 1] != '/' || !is_pairs(sql + at + 1, end - 2 - (at + 1)))
		return len;
	return drop_spaces(sql, at - 1);
}
