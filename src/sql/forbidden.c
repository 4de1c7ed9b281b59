#include "sql/forbidden.h"
#include "sql/scan.h"
#include "sql/sql_token.h"

#include <string.h>

#define NESTED_MAX 8 /* levels of nested statements; PostgreSQL lets WITH write only at the outermost level */

/* The words that a statement has: SET and WHERE only outside of parentheses and before RETURNING, INTO anywhere. */
enum seen {
	SEEN_SET = 1u << 0,
	SEEN_WHERE = 1u << 1,
	SEEN_INTO = 1u << 2, /* an INTO without TEMP; a SELECT with such an INTO makes a permanent table */
};

struct reader {
	struct sql_lexer lexer;
	struct sql_token last, token;
	unsigned found; /* the FORBIDDEN_BIT()s of all statements that were found */
	unsigned nested;
};

static void read_statement(struct reader *r);

static void
next_token(struct reader *r)
{
	r->last = r->token;
	r->token = sql_next(&r->lexer);
	/* After a dot any word is a name. */
	if (r->token.kind == SQL_WORD && r->last.kind == SQL_PUNCT && r->last.at[0] == '.')
		r->token.kind = SQL_QUOTED;
}

/* Returns true if the token is one of these words. words has a space before and after each word. */
static bool
is_any(const struct sql_token *t, const char *words)
{
	while (*words != '\0') {
		const char *word = words + 1, *end = strchr(word, ' ');

		if (end == NULL)
			return false;
		if (sql_is_word(t, word, (size_t)(end - word)))
			return true;
		words = end;
	}
	return false;
}

static bool
is_at(const struct reader *r, const char *words)
{
	return is_any(&r->token, words);
}

static bool
is_punct(const struct reader *r, char c)
{
	return r->token.kind == SQL_PUNCT && r->token.at[0] == c;
}

/* If the token is one of these words, moves to the next token and returns true. */
static bool
skip_any(struct reader *r, const char *words)
{
	bool is_there = is_at(r, words);

	if (is_there)
		next_token(r);
	return is_there;
}

static bool
is_over(const struct reader *r)
{
	return r->token.kind == SQL_END || r->token.kind == SQL_UNTERMINATED;
}

/* Reads the parenthesis at the current token, and the statement in it, up to the closing parenthesis. */
static void
read_nested(struct reader *r)
{
	next_token(r);
	r->nested++;
	read_statement(r);
	r->nested--;
}

/* Returns true if the token may be the SET of an UPDATE. After a comma or BY, set is the name of a column. */
static bool
is_set(const struct reader *r)
{
	return is_at(r, " set ") && !(r->last.kind == SQL_PUNCT && r->last.at[0] == ',') && !is_any(&r->last, " by ");
}

/* Reads the rest of a statement, up to the semicolon or parenthesis after the statement. A parenthesis after AS or
 * MATERIALIZED is read as a statement of its own, as in a WITH list. Returns a set of enum seen. */
static unsigned
read_rest(struct reader *r)
{
	unsigned seen = 0, depth = 0;
	bool is_returning = false;

	for (; !is_over(r); next_token(r)) {
		if (is_punct(r, '(')) {
			if (r->nested == NESTED_MAX || !is_any(&r->last, " as materialized "))
				depth++;
			else {
				read_nested(r);
				if (!is_punct(r, ')'))
					break;
			}
		} else if (is_punct(r, ')')) {
			if (depth == 0 && r->nested > 0)
				break;
			depth -= depth > 0;
		} else if (is_punct(r, ';') && depth == 0)
			break;
		else if (is_at(r, " into ") && !is_any(&r->last, " as ")) {
			next_token(r);
			skip_any(r, " local global ");
			seen |= is_at(r, " temp temporary ") ? 0 : SEEN_INTO;
		} else if (depth == 0 && !is_returning) {
			is_returning = is_at(r, " returning ");
			seen |= is_at(r, " where ") ? SEEN_WHERE : is_set(r) ? SEEN_SET : 0;
		}
	}
	return seen;
}

static void
skip_parentheses(struct reader *r)
{
	unsigned depth = 0;

	do {
		depth += is_punct(r, '(');
		depth -= is_punct(r, ')');
		next_token(r);
	} while (depth > 0 && !is_over(r));
}

/* Reads WITH and its list, up to the statement that they belong to. */
static void
read_with(struct reader *r)
{
	bool is_named_recursive;
	struct sql_lexer ahead;
	struct sql_token t;

	next_token(r);
	ahead = r->lexer;
	t = sql_next(&ahead);
	is_named_recursive = sql_is_word(&t, "as", 2) || (t.kind == SQL_PUNCT && t.at[0] == '(');
	if (is_at(r, " recursive ") && !is_named_recursive)
		next_token(r);
	for (;;) {
		next_token(r); /* skips the name */
		if (is_punct(r, '('))
			skip_parentheses(r);
		if (!skip_any(r, " as "))
			return;
		skip_any(r, " not ");
		skip_any(r, " materialized ");
		if (!is_punct(r, '(') || r->nested == NESTED_MAX)
			return;
		read_nested(r);
		if (!is_punct(r, ')'))
			return;
		next_token(r);
		if (!is_punct(r, ','))
			return;
		next_token(r);
	}
}

/* Returns true if the value of an option is false. The value may be a word, quoted or not, a number or a string. */
static bool
is_off(struct sql_token value)
{
	if (value.len > 2 && (value.at[0] == '\'' || value.at[0] == '"')) {
		value.at++;
		value.len -= 2;
	}
	value.kind = SQL_WORD;
	return is_any(&value, " off false 0 ");
}

/* Skips EXPLAIN and its options. Returns true if the options make PostgreSQL run the explained statement. */
static bool
read_explain(struct reader *r)
{
	bool is_run = false;

	next_token(r);
	if (is_punct(r, '(')) {
		while (!is_punct(r, ')') && !is_over(r)) {
			bool is_analyze = r->last.kind == SQL_PUNCT &&
					  (is_at(r, " analyze analyse ") ||
					   (r->token.len == 9 && memcmp(r->token.at, "\"analyze\"", 9) == 0));

			next_token(r);
			if (is_analyze)
				is_run = !is_off(r->token);
		}
		next_token(r);
		return is_run;
	}
	while (is_at(r, " analyze analyse verbose ")) {
		is_run = is_run || !is_at(r, " verbose ");
		next_token(r);
	}
	return is_run;
}

/* Skips the rest of CREATE FUNCTION or PROCEDURE, with its body if that is BEGIN ATOMIC ...; END. The END of such a
 * body comes right after a semicolon or ATOMIC; the END of a CASE never does. */
static void
skip_routine(struct reader *r)
{
	unsigned depth = 0;
	bool is_in_body = false;

	for (; !is_over(r); next_token(r)) {
		depth += is_punct(r, '(');
		depth -= depth > 0 && is_punct(r, ')');
		if (is_in_body)
			is_in_body = !is_at(r, " end ") || !((r->last.kind == SQL_PUNCT && r->last.at[0] == ';') ||
							     is_any(&r->last, " atomic "));
		else if (depth == 0 && is_at(r, " atomic ") && is_any(&r->last, " begin "))
			is_in_body = true;
		else if (depth == 0 && is_punct(r, ';'))
			return;
	}
}

static void
note_if(struct reader *r, enum forbidden what, bool is_there)
{
	r->found |= is_there ? FORBIDDEN_BIT(what) : 0;
}

/* Skips a statement that is not run, or is run later. Nothing in such a statement counts as found. */
static void
skip_rest(struct reader *r)
{
	unsigned found = r->found;

	read_rest(r);
	r->found = found;
}

/* Reads the rest of a CREATE. */
static void
read_create(struct reader *r)
{
	if (skip_any(r, " or "))
		next_token(r);
	skip_any(r, " local global ");
	note_if(r, FORBIDDEN_DDL, !is_at(r, " temp temporary "));
	if (is_at(r, " function procedure "))
		skip_routine(r);
	else if (is_at(r, " rule "))
		skip_rest(r);
	else
		read_rest(r);
}

/* Reads an UPDATE, DELETE or SELECT to its end. Returns false, at the same token, if the statement is another one. */
static bool
read_plain(struct reader *r)
{
	if (skip_any(r, " update "))
		note_if(r, FORBIDDEN_UPDATE, (read_rest(r) & (SEEN_SET | SEEN_WHERE)) == SEEN_SET);
	else if (skip_any(r, " delete ")) {
		bool is_from = is_at(r, " from ");

		note_if(r, FORBIDDEN_DELETE, (read_rest(r) & SEEN_WHERE) == 0 && is_from);
	} else if (is_at(r, " select ") || is_punct(r, '('))
		note_if(r, FORBIDDEN_DDL, (read_rest(r) & SEEN_INTO) != 0);
	else
		return false;
	return true;
}

/* Reads a statement to its end. Within a parenthesis, words such as COMMENT and COPY are names of columns. */
static void
read_statement(struct reader *r)
{
	if (r->nested == 0) {
		if (is_at(r, " explain ") && !read_explain(r)) {
			skip_rest(r);
			return;
		}
		if (skip_any(r, " prepare "))
			while (!skip_any(r, " as ") && !is_over(r) && !is_punct(r, ';'))
				next_token(r);
		else if (skip_any(r, " copy ")) {
			if (is_punct(r, '('))
				read_nested(r);
			read_rest(r);
			return;
		} else if (skip_any(r, " create ")) {
			read_create(r);
			return;
		}
		note_if(r, FORBIDDEN_DDL,
			is_at(r, " alter cluster comment drop grant import reassign refresh reindex revoke "
				 "security truncate "));
	}
	if (is_at(r, " with "))
		read_with(r);
	if (!read_plain(r))
		read_rest(r);
}

enum forbidden
forbidden_find(unsigned refuse, unsigned options, const char *sql, size_t len)
{
	struct reader r = { .found = 0 };
	unsigned statements = 0;

	sql_lexer_init(&r.lexer, sql, len);
	r.lexer.has_backslash_escapes = (options & SCAN_BACKSLASH_STRINGS) != 0;
	r.lexer.scan_options = options;
	for (next_token(&r); !is_over(&r); next_token(&r))
		if (!is_punct(&r, ';')) {
			statements++;
			read_statement(&r);
		}
	note_if(&r, FORBIDDEN_MULTI, statements > 1);
	refuse &= r.token.kind == SQL_UNTERMINATED ? 0 : r.found;
	return refuse == 0 ? FORBIDDEN_NOTHING : (enum forbidden)(__builtin_ctz(refuse) + 1);
}
