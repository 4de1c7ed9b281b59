#include "sql/traits.h"
#include "base/text.h"
#include "sql/sql_token.h"

#include <ctype.h>

#define SEARCHED_MAX ((size_t)64 << 10) /* the first bytes of SQL, which are searched with all strings in them */

void
traits_set_from_scan(struct sql_traits *v, const struct scan *s, const char *sql, size_t len)
{
	uint32_t hints = s->hints;

	/* SQL with DO or a function call may run SQL in a string, so strings are searched, too, in the first
	 * SEARCHED_MAX bytes. A plain search is enough: a false match only costs round trips, and if the search misses
	 * something, the client could not expect pgweir to see it. */
	if ((s->flags & (SCAN_CODE | SCAN_FUNCTION)) != 0) {
		len = len < SEARCHED_MAX ? len : SEARCHED_MAX;
		hints |= text_contains(sql, len, "pg_listening_channels") ? SCAN_HINT_CHANNELS : 0u;
		hints |= text_contains(sql, len, "notify") ? SCAN_HINT_NOTIFY : 0u;
	}
	if (s->flags == SCAN_ALL)
		hints |= SCAN_HINT_LOCAL | SCAN_HINT_ENDS;
	v->flags = s->flags;
	v->hints = (uint16_t)hints;
	v->first = (uint8_t)s->first;
	v->is_plain = traits_are_plain(s->flags, hints);
}

void
traits_set_for_all_options(struct sql_traits *v, const char *sql, size_t len)
{
	struct scan s;

	scan_text_all_options(&s, sql, len);
	traits_set_from_scan(v, &s, sql, len);
}

/* --- what a Parse depends on -------------------------------------------------------------------------------------- */

/* Returns true for quoted and dollar-quoted literals, but not for $1, a parameter. Also returns true for any byte that
 * is not ASCII, even in names and comments, because client_encoding decides which characters such bytes are. */
static bool
may_have_literal(const char *sql, size_t len)
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
	return text_contains(sql, len, "now") || text_contains(sql, len, "today") ||
	       text_contains(sql, len, "tomorrow") || text_contains(sql, len, "yesterday");
}

/* Returns true if the value of the string may have words that the SQL does not show: U&'...', E'...' with escapes other
 * than those of control characters, quotes and backslashes, or a string that continues one on an earlier line. */
static bool
hides_words(const struct sql_token *t, const struct sql_token *before)
{
	bool has_escapes = *t->at == 'e' || *t->at == 'E';

	if (before->kind == SQL_STRING || *t->at == 'u' || *t->at == 'U')
		return true;
	for (size_t i = 0; has_escapes && i + 1 < t->len; i++)
		if (t->at[i] == '\\' && memchr("bfnrt\\'", t->at[++i], 7) == NULL)
			return true;
	return false;
}

/*
 * Looks for TRAITS_MOMENT and TRAITS_NULL. A TRAITS_MOMENT is a string that is, or may be, a literal of a date or time
 * type that stands for the time at which it is read: 'now', '12:00 today', '{now}'. A TRAITS_NULL is x = NULL, with or
 * without parentheses, which transform_null_equals turns into IS NULL.
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

		if (t.kind == SQL_STRING && (mentions_moment(t.at, t.len) || hides_words(&t, &before)))
			found |= TRAITS_MOMENT;
		if (other != NULL && other->kind == SQL_OPERATOR && other->len == 1 && *other->at == '=')
			found |= TRAITS_NULL;
		if (t.kind != SQL_PUNCT || (*t.at != '(' && *t.at != ')'))
			before = t;
	}
	return found;
}

/* Words and functions that may stand before a parenthesis in SQL that can't fail. If a word is missing here, it is
 * taken for a function that may fail, which does no harm. */
#define SAFE_WORDS                                                                                                     \
	"select values all and any as between by case cast coalesce conflict count distinct else end except exists "   \
	"filter from gen_random_uuid greatest having in intersect into is join json_agg jsonb_agg lateral least "      \
	"limit lower max min not now nullif offset on or over returning row row_number row_to_json set some then "     \
	"to_json to_jsonb union unnest upper using varying when where with"
/* Words before a subquery that may return any number of rows. */
#define SUBQUERY_WORDS "all any as except exists from in intersect join lateral materialized some union"

static bool
is_word_of(const struct sql_token *t, const char *words)
{
	char word[SCAN_WORD_MAX];

	if (t->kind != SQL_WORD || t->len >= sizeof(word))
		return false;
	memcpy(word, t->at, t->len);
	word[t->len] = '\0';
	return text_is_one_of(word, words);
}

static bool
is_punct(const struct sql_token *t, char c)
{
	return t->kind == SQL_PUNCT && *t->at == c;
}

/* Returns true for comparisons, -> and ->>, and the star of "all columns"; none of these fails. */
static bool
is_safe_operator(const struct sql_token *t, const struct sql_token *before)
{
	char operator[4] = { 0 };

	memcpy(operator, t->at, t->len < sizeof(operator) ? t->len : 0);
	if (operator[0] == '*' && operator[1] == '\0')
		return is_punct(before, '(') || is_punct(before, '.') || is_punct(before, ',') ||
		       is_word_of(before, "select distinct returning");
	return text_is_one_of(operator, "= < > <= >= <> != -> ->>");
}

/* Returns true if t, after before[1] and before[0], may belong to an expression that fails. A cast of a parameter or of
 * a string does not fail when the plan runs, because PostgreSQL gives these the type of the cast; and a cast to text
 * never fails. */
static bool
may_fail(const struct sql_token *t, const struct sql_token before[2], bool is_after_into)
{
	bool is_open = is_punct(before, '('), is_value = t->kind == SQL_PARAM || t->kind == SQL_STRING;

	if (is_open && is_word_of(&before[1], "cast") && !is_value)
		return true;
	if (is_open && is_word_of(t, "select values with") && before[1].kind != SQL_END)
		return !is_word_of(&before[1], SUBQUERY_WORDS);
	/* The parenthesis is a call's, unless the word before it is a type, or a table before the list of its
	 * columns. */
	if (is_punct(t, '('))
		return (before->kind == SQL_WORD || before->kind == SQL_QUOTED) && before[1].kind != SQL_CAST &&
		       !is_word_of(&before[1], "as") && !is_after_into && !is_word_of(before, SAFE_WORDS);
	if (t->kind == SQL_OPERATOR)
		return !is_safe_operator(t, before);
	if (before->kind == SQL_CAST && before[1].kind != SQL_PARAM && before[1].kind != SQL_STRING)
		return !is_word_of(t, "text varchar character");
	return is_word_of(t, "ilike like similar") || (is_word_of(t, "zone") && is_word_of(&before[1], "at"));
}

/* Looks for TRAITS_MAY_FAIL. SQL with a backslash counts as SQL that may fail, because the session's settings decide
 * which of its bytes are a string. */
static bool
may_fail_with_parameters(const char *sql, size_t len)
{
	bool is_after_into = false, has_parameter = false, fails = memchr(sql, '\\', len) != NULL;
	struct sql_token t, before[2] = { 0 };
	struct sql_lexer lexer;

	sql_lexer_init(&lexer, sql, len);
	do {
		t = sql_next(&lexer);
		has_parameter |= t.kind == SQL_PARAM;
		fails |= t.kind == SQL_UNTERMINATED || may_fail(&t, before, is_after_into);
		is_after_into =
		    is_word_of(&t, "into") || (is_after_into && !is_punct(&t, '(') && !is_word_of(&t, SAFE_WORDS));
		before[1] = before[0];
		before[0] = t;
	} while (t.kind != SQL_END && t.kind != SQL_UNTERMINATED);
	return fails && has_parameter;
}

void
traits_add_parse_hints(struct sql_traits *v, const char *sql, size_t len)
{
	uint32_t hints = TRAITS_PARSE_HINTS_ADDED;
	bool may_name_moment;

	if ((v->hints & TRAITS_PARSE_HINTS_ADDED) != 0)
		return;
	if (may_have_literal(sql, len))
		hints |= TRAITS_LITERALS;
	may_name_moment = (hints & TRAITS_LITERALS) != 0 && mentions_moment(sql, len);
	if (may_name_moment && memchr(sql, '\\', len) != NULL) /* the session decides which bytes are a literal */
		hints |= TRAITS_MOMENT;
	if ((hints & TRAITS_LITERALS) != 0 || (memchr(sql, '=', len) != NULL && text_contains(sql, len, "null")))
		hints |= find_moments_and_nulls(sql, len);
	hints |= may_fail_with_parameters(sql, len) ? TRAITS_MAY_FAIL : 0u;
	v->hints = (uint16_t)(v->hints | hints);
}
