#include "sql/sql_token.h"
#include "sql/scan.h"
#include "sql/sql_class.h"

#include <string.h>

/* Returns the character n bytes after the next one to read; NUL beyond the end. */
static char
peek(const struct sql_lexer *lx, size_t n)
{
	return n < lx->len - lx->pos ? lx->sql[lx->pos + n] : '\0';
}

static size_t
run_end(const struct sql_lexer *lx, size_t from, unsigned class)
{
	while (from < lx->len && (sql_class(lx->sql[from]) & class) != 0)
		from++;
	return from;
}

void
sql_lexer_init(struct sql_lexer *lx, const char *sql, size_t len)
{
	*lx = (struct sql_lexer){ .sql = len > 0 ? sql : "", .len = len };
}

/* Skips a block comment; pos is at its beginning. Block comments nest. Returns false if the comment never ends. */
static bool
skip_block_comment(struct sql_lexer *lx)
{
	size_t begin = lx->pos + 2, i = begin, depth = 1;

	while (i + 1 < lx->len) {
		if (lx->sql[i] == '*' && lx->sql[i + 1] == '/') {
			i += 2;
			if (--depth == 0) {
				lx->comment = lx->sql + begin;
				lx->comment_len = i - 2 - begin;
				lx->pos = i;
				return true;
			}
		} else if (lx->sql[i] == '/' && lx->sql[i + 1] == '*') {
			i += 2;
			depth++;
		} else
			i++;
	}
	return false;
}

/* Returns true if c is white space, or may begin a comment. */
static bool
may_be_skipped(char c)
{
	return sql_is(c, SPACE) || c == '-' || c == '/';
}

/* Skips white space and comments. Returns false if a comment never ends. */
static bool
skip_space(struct sql_lexer *lx)
{
	for (;;) {
		lx->pos = run_end(lx, lx->pos, SPACE);
		if (peek(lx, 0) == '-' && peek(lx, 1) == '-') {
			while (lx->pos < lx->len && lx->sql[lx->pos] != '\n' && lx->sql[lx->pos] != '\r')
				lx->pos++;
		} else if (peek(lx, 0) == '/' && peek(lx, 1) == '*') {
			if (!skip_block_comment(lx))
				return false;
		} else
			return true;
	}
}

/* Returns the position after the closing quote, or 0 if there is none. from is the position after the opening quote.
 * Two quotes in a row stand for one character. */
static size_t
quoted_end(const struct sql_lexer *lx, size_t from, char quote, bool has_escapes)
{
	const char *p = lx->sql + from, *end = lx->sql + lx->len;

	if (!has_escapes) {
		while ((p = sql_find_near(p, end, quote)) != NULL) {
			if (++p == end || *p != quote)
				return (size_t)(p - lx->sql);
			p++;
		}
		return 0;
	}
	for (size_t i = from; i < lx->len; i++) {
		if (lx->sql[i] == '\\' || scan_is_lead(lx->scan_options, lx->sql[i]))
			i++;
		else if (lx->sql[i] == quote) {
			if (i + 1 == lx->len || lx->sql[i + 1] != quote)
				return i + 1;
			i++;
		}
	}
	return 0;
}

static enum sql_kind
token_take_quoted(struct sql_lexer *lx, size_t prefix_len, char quote, bool has_escapes)
{
	size_t end = quoted_end(lx, lx->pos + prefix_len + 1, quote, has_escapes);

	if (end == 0)
		return SQL_UNTERMINATED;
	lx->pos = end;
	lx->is_after_escape_string = has_escapes;
	return quote == '"' ? SQL_QUOTED : SQL_STRING;
}

/* Takes $1, $tag$...$tag$, or a dollar that means nothing. */
static enum sql_kind
take_dollar(struct sql_lexer *lx)
{
	size_t begin = lx->pos, tag_end, tag_len;
	const char *end;

	if ((sql_class(peek(lx, 1)) & DIGIT) != 0) {
		lx->pos = run_end(lx, begin + 1, DIGIT);
		return SQL_PARAM;
	}
	tag_end = run_end(lx, begin + 1, TAG);
	if (tag_end == lx->len || lx->sql[tag_end] != '$') {
		lx->pos++;
		return SQL_PUNCT;
	}
	tag_len = tag_end + 1 - begin;
	end = memmem(lx->sql + tag_end + 1, lx->len - tag_end - 1, lx->sql + begin, tag_len);
	if (end == NULL)
		return SQL_UNTERMINATED;
	lx->pos = (size_t)(end - lx->sql) + tag_len;
	return SQL_STRING;
}

/*
 * Takes all letters, digits and dots that follow as part of the number, because no useful token can begin with these
 * right after a digit. If the number ends like a word (ends_in_word), a dollar after the number belongs to that word
 * and begins no string, as in scan.c.
 */
static enum sql_kind
take_number(struct sql_lexer *lx)
{
	bool ends_in_word = false;
	size_t i = lx->pos;

	while (i < lx->len) {
		char c = lx->sql[i];

		if ((sql_class(c) & TAG) == 0 && c != '.')
			break;
		ends_in_word = c != '.' && (ends_in_word || (sql_class(c) & WORD_START) != 0);
		i++;
		if ((c == 'e' || c == 'E') && i + 1 < lx->len && (lx->sql[i] == '+' || lx->sql[i] == '-') &&
		    (sql_class(lx->sql[i + 1]) & DIGIT) != 0) {
			ends_in_word = false;
			i++;
		}
	}
	lx->pos = ends_in_word ? run_end(lx, i, WORD) : i;
	return SQL_NUMBER;
}

/* Takes a word, or E'', B'', X'', N'', U&'' or U&"", which begin like words. */
static enum sql_kind
take_word(struct sql_lexer *lx)
{
	const char *first = lx->sql + lx->pos, *after = sql_word_end(first + 1, lx->sql + lx->len);
	char letter = sql_fold(*first), second;

	if (after - first == 1 && ((second = peek(lx, 1)) == '\'' || second == '&')) {
		if (second == '\'' && strchr("ebxn", letter) != NULL)
			return token_take_quoted(lx, 1, second,
						 letter == 'e' || (letter == 'n' && lx->has_backslash_escapes));
		if (second == '&' && letter == 'u' && (peek(lx, 2) == '\'' || peek(lx, 2) == '"'))
			return token_take_quoted(lx, 2, peek(lx, 2), false);
	}
	lx->pos = (size_t)(after - lx->sql);
	return SQL_WORD;
}

/* Takes the longest run of operator characters, as PostgreSQL does. The run ends before a comment. Then + and - at its
 * end are dropped, unless the run has one of ~!@#%^&|`? : so in a=-1 the operators are = and -. */
static enum sql_kind
take_operator(struct sql_lexer *lx)
{
	size_t begin = lx->pos, end = run_end(lx, begin, OPERATOR);
	bool is_special = false;

	for (size_t i = begin + 1; i + 1 < end; i++)
		if ((lx->sql[i] == '-' && lx->sql[i + 1] == '-') || (lx->sql[i] == '/' && lx->sql[i + 1] == '*'))
			end = i;
	for (size_t i = begin; i < end; i++)
		is_special = is_special || strchr("~!@#%^&|`?", lx->sql[i]) != NULL;
	while (!is_special && end - begin > 1 && (lx->sql[end - 1] == '+' || lx->sql[end - 1] == '-'))
		end--;
	lx->pos = end;
	return SQL_OPERATOR;
}

static enum sql_kind
take_token(struct sql_lexer *lx, bool is_escape_continued)
{
	char c = lx->sql[lx->pos];
	unsigned class = sql_class(c);

	if ((class & WORD_START) != 0)
		return take_word(lx);
	if ((class & DIGIT) != 0 || (c == '.' && (sql_class(peek(lx, 1)) & DIGIT) != 0))
		return take_number(lx);
	if ((class & OPERATOR) != 0)
		return take_operator(lx);
	if (c == '\'')
		return token_take_quoted(lx, 0, c, is_escape_continued || lx->has_backslash_escapes);
	if (c == '"')
		return token_take_quoted(lx, 0, c, false);
	if (c == '$')
		return take_dollar(lx);
	if (c == ':' && peek(lx, 1) == ':') {
		lx->pos += 2;
		return SQL_CAST;
	}
	lx->pos++;
	return SQL_PUNCT;
}

struct sql_token
sql_next(struct sql_lexer *lx)
{
	size_t before = lx->pos, begin;
	bool is_escape_continued = lx->is_after_escape_string;
	struct sql_token t = { .kind = SQL_UNTERMINATED, .at = lx->sql + before };

	/* Usually a token follows the one before it directly, or after one blank. */
	if (lx->pos < lx->len && lx->sql[lx->pos] == ' ')
		lx->pos++;
	if (lx->pos < lx->len && may_be_skipped(lx->sql[lx->pos]) && !skip_space(lx))
		return t;
	begin = lx->pos;
	t.at = lx->sql + begin;
	t.after_space = begin > before;
	lx->is_after_escape_string = false;
	t.kind = begin == lx->len ? SQL_END : take_token(lx, is_escape_continued);
	t.len = lx->pos - begin;
	return t;
}

bool
sql_folds_to(const char *bytes, const char *folded, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (sql_fold(bytes[i]) != folded[i])
			return false;
	return true;
}
