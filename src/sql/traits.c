#include "sql/traits.h"
#include "base/text.h"
#include "sql/sql_token.h"

#include <ctype.h>

#define SEARCHED_MAX ((size_t)64 << 10) /* bytes of SQL whose strings are searched */

void
traits_of_scan(struct sql_traits *v, const struct scan *s, const char *sql, size_t len)
{
	uint32_t hints = s->hints;

	/* Searches all of the text, because such SQL may run SQL that stands in a string. A plain search is enough: a
	 * false match only costs round trips, and if the search misses something, the client could not expect pgweir to
	 * see it. */
	if ((s->flags & (SCAN_CODE | SCAN_FUNCTION)) != 0) {
		len = len < SEARCHED_MAX ? len : SEARCHED_MAX;
		hints |= text_mentions(sql, len, "pg_listening_channels") ? SCAN_HINT_CHANNELS : 0u;
		hints |= text_mentions(sql, len, "notify") ? SCAN_HINT_NOTIFY : 0u;
	}
	if (s->flags == SCAN_ALL)
		hints |= SCAN_HINT_LOCAL | SCAN_HINT_ENDS;
	v->flags = s->flags;
	v->hints = (uint16_t)hints;
	v->first = (uint8_t)s->first;
	v->is_plain = traits_are_plain(s->flags, hints);
}

void
traits_of_all_options(struct sql_traits *v, const char *sql, size_t len)
{
	struct scan s;

	scan_text_all_options(&s, sql, len);
	traits_of_scan(v, &s, sql, len);
}

/* --- what a Parse depends on -------------------------------------------------------------------------------------- */

/*
 * Returns true for quoted and dollar-quoted literals, but not for $1, which is a parameter. Also returns true for any
 * byte that is not ASCII, in names and comments, too: client_encoding decides which characters such bytes are.
 */
static bool
has_literal(const char *sql, size_t len)
{
	const char *end = sql + len;

	if (memchr(sql, '\'', len) != NULL || !text_is_ascii(sql, len))
		return true;
	while ((sql = memchr(sql, '$', (size_t)(end - sql))) != NULL)
		if (++sql < end && !isdigit((unsigned char)*sql))
			return true;
	return false;
}

static bool
mentions_moment(const char *sql, size_t len)
{
	return text_mentions(sql, len, "now") || text_mentions(sql, len, "today") ||
	       text_mentions(sql, len, "tomorrow") || text_mentions(sql, len, "yesterday");
}

/*
 * Looks for TRAITS_MOMENT and TRAITS_NULL. TRAITS_MOMENT: literals of date and time types that stand for the time at
 * which they are read: 'now', '12:00 today', '{now}'. TRAITS_NULL: x = NULL, with or without parentheses, which
 * transform_null_equals turns into IS NULL.
 */
static uint32_t
find_moments_and_nulls(const char *sql, size_t len)
{
	struct sql_lexer lexer;
	struct sql_token t, before = { 0 };
	uint32_t found = 0;

	sql_lexer_init(&lexer, sql, len);
	for (t = sql_next(&lexer); t.kind != SQL_END && t.kind != SQL_UNTERMINATED; t = sql_next(&lexer)) {
		const struct sql_token *other = sql_is_word(&t, "null", 4)	  ? &before
						: sql_is_word(&before, "null", 4) ? &t
										  : NULL;

		if (t.kind == SQL_STRING && mentions_moment(t.at, t.len))
			found |= TRAITS_MOMENT;
		if (other != NULL && other->kind == SQL_OPERATOR && other->len == 1 && *other->at == '=')
			found |= TRAITS_NULL;
		if (t.kind != SQL_PUNCT || (*t.at != '(' && *t.at != ')'))
			before = t;
	}
	return found;
}

void
traits_of_parse(struct sql_traits *v, const char *sql, size_t len)
{
	uint32_t hints = TRAITS_OF_PARSE;
	bool may_name_moment;

	if ((v->hints & TRAITS_OF_PARSE) != 0)
		return;
	if (has_literal(sql, len))
		hints |= TRAITS_LITERALS;
	may_name_moment = (hints & TRAITS_LITERALS) != 0 && mentions_moment(sql, len);
	if (may_name_moment && memchr(sql, '\\', len) != NULL) /* the session decides which bytes are a literal */
		hints |= TRAITS_MOMENT;
	if (may_name_moment || (memchr(sql, '=', len) != NULL && text_mentions(sql, len, "null")))
		hints |= find_moments_and_nulls(sql, len);
	v->hints = (uint16_t)(v->hints | hints);
}
