/* src/sql/known.c - see known.h. Statements end at semicolons outside of parentheses. */
#include "sql/known_rules.h"
#include "base/text.h"
#include "sql/scan.h"
#include "sql/sql_class.h"

void
known_next(struct known_reader *r)
{
	r->token = sql_next(&r->lexer);
}

bool
known_is_word(const struct known_reader *r, const char *word)
{
	return sql_is_word(&r->token, word, strlen(word));
}

bool
known_is_char(const struct known_reader *r, char c)
{
	return (r->token.kind == SQL_PUNCT || r->token.kind == SQL_OPERATOR) && r->token.len == 1 && *r->token.at == c;
}

bool
known_skip_word(struct known_reader *r, const char *word)
{
	if (!known_is_word(r, word))
		return false;
	known_next(r);
	return true;
}

bool
known_skip_char(struct known_reader *r, char c)
{
	if (!known_is_char(r, c))
		return false;
	known_next(r);
	return true;
}

bool
known_is_over(const struct known_reader *r)
{
	return r->token.kind == SQL_END || known_is_char(r, ';');
}

/* See known_rules.h. Also stops at SQL_UNTERMINATED: if the SQL does not end properly, its statements are unknown. */
void
known_skip_to(struct known_reader *r, const char *word)
{
	unsigned parens = 0;

	while (r->token.kind != SQL_END && r->token.kind != SQL_UNTERMINATED &&
	       (parens > 0 || (!known_is_char(r, ';') && !known_is_word(r, word)))) {
		if (known_is_char(r, '('))
			parens++;
		else if (known_is_char(r, ')'))
			parens -= parens > 0;
		known_next(r);
	}
}

/* Returns the value of a hexadecimal digit, or 16 if c is none. */
static unsigned
hex_digit(char c)
{
	char lower = (char)(c | 0x20);

	return c >= '0' && c <= '9'	      ? (unsigned)(c - '0')
	       : lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a') + 10
					      : 16;
}

/* Reads a code point, XXXX or +XXXXXX, into *c. Returns the bytes read; 0 if there is no code point, or if the
 * character is not ASCII and so has other bytes in each encoding. */
static size_t
take_code_point(const char *at, size_t len, char *c)
{
	size_t from = len > 0 && *at == '+' ? 1 : 0, to = from == 0 ? 4 : 7;
	unsigned code = 0;

	for (size_t i = from; i < to; i++) {
		unsigned digit = i < len ? hex_digit(at[i]) : 16;

		if (digit == 16)
			return 0;
		code = code << 4 | digit;
	}
	*c = (char)code;
	return code < 128 ? to : 0;
}

/* Reads the character at i of a quoted text: a doubled quote, an escape or the character itself. escape: the escape
 * character of U&"", else 0. Returns false if an escape can't be read. */
static bool
take_character(const struct sql_token *t, size_t *i, size_t to, char escape, char *c)
{
	size_t len;

	*c = t->at[(*i)++];
	if (*c == '"' || (escape != 0 && *c == escape && *i < to && t->at[*i] == escape)) {
		++*i;
		return true;
	}
	if (escape == 0 || *c != escape)
		return true;
	len = take_code_point(t->at + *i, to - *i, c);
	*i += len;
	return len > 0;
}

/* Reads [UESCAPE 'c'] after U&"". Returns the escape character; 0 if PostgreSQL refuses it. */
static char
take_escape(struct known_reader *r)
{
	char escape;

	if (!known_skip_word(r, "uescape"))
		return '\\';
	escape = r->token.kind == SQL_STRING && r->token.len == 3 && *r->token.at == '\'' ? r->token.at[1] : '\0';
	known_next(r);
	return hex_digit(escape) < 16 || memchr("+'\" \t\n\r\f\v", escape, 9) != NULL ? '\0' : escape;
}

/* PostgreSQL truncates a long name after a whole character of the database's encoding. A long name that is all ASCII is
 * truncated here; any other long name is refused. */
bool
known_take_identifier(struct known_reader *r, char name[static KNOWN_NAME_MAX])
{
	struct known_reader next = *r;
	const struct sql_token *t = &r->token;
	bool is_quoted = t->kind == SQL_QUOTED, is_escaped = is_quoted && *t->at != '"';
	size_t i = is_escaped ? 3 : is_quoted ? 1 : 0, to = t->len - is_quoted, len = 0;
	char escape = '\0', c;

	if (t->kind != SQL_WORD && !is_quoted)
		return false;
	known_next(&next);
	if (is_escaped && (escape = take_escape(&next)) == '\0')
		return false;
	for (; i < to && len < KNOWN_NAME_MAX - 1; name[len++] = c) {
		if (!is_quoted)
			c = sql_fold(t->at[i++]);
		else if (!take_character(t, &i, to, escape, &c))
			return false;
	}
	name[len] = '\0';
	if (len == 0 || memchr(name, '\0', len) != NULL || (i < to && !text_is_ascii(t->at, t->len)))
		return false;
	*r = next;
	return true;
}

static bool
take_dollar_quoted(const struct sql_token *t, char value[static KNOWN_VALUE_MAX])
{
	const char *tag_end = memchr(t->at + 1, '$', t->len - 1);
	size_t tag_len = (size_t)(tag_end + 1 - t->at);
	size_t len = t->len - 2 * tag_len;

	if (len >= KNOWN_VALUE_MAX || memchr(tag_end + 1, '\0', len) != NULL)
		return false;
	memcpy(value, tag_end + 1, len);
	value[len] = '\0';
	return true;
}

/* Reads a plain literal, such as 'it''s'. */
static bool
known_take_quoted(const struct sql_token *t, char value[static KNOWN_VALUE_MAX])
{
	size_t len = 0;

	for (size_t i = 1; i < t->len - 1; i++) {
		if (len == KNOWN_VALUE_MAX - 1 || t->at[i] == '\0')
			return false;
		value[len++] = t->at[i];
		i += t->at[i] == '\'';
	}
	value[len] = '\0';
	return true;
}

bool
known_take_string(struct known_reader *r, char value[static KNOWN_VALUE_MAX])
{
	const struct sql_token *t = &r->token;
	bool is_taken;

	if (t->kind != SQL_STRING || (*t->at != '\'' && *t->at != '$'))
		return false;
	is_taken = *t->at == '$' ? take_dollar_quoted(t, value) : known_take_quoted(t, value);
	known_next(r);
	return is_taken && r->token.kind != SQL_STRING; /* a literal that continues on the next line is refused */
}

/* Returns true if the statement has BEGIN ATOMIC: the body of such a function contains semicolons. */
static bool
holds_atomic(struct known_reader r)
{
	for (bool is_begin = false; !known_is_over(&r) && r.token.kind != SQL_UNTERMINATED; known_next(&r)) {
		if (is_begin && known_is_word(&r, "atomic"))
			return true;
		is_begin = known_is_word(&r, "begin");
	}
	return false;
}

void
known_begin(struct known_reader *r, unsigned options, const char *sql, size_t len)
{
	*r = (struct known_reader){ .token.kind = SQL_UNTERMINATED };
	sql_lexer_init(&r->lexer, sql, len);
	/* If sql_token.h might read some bytes differently from this client's session, no statement is recognized. */
	if (((options & SCAN_BACKSLASH_STRINGS) == 0 || memchr(sql, '\\', len) == NULL) &&
	    ((options & SCAN_ASCII_TRAIL) == 0 || text_is_ascii(sql, len)))
		known_next(r);
}

bool
known_next_statement(struct known_reader *r, struct known_statement *k)
{
	*k = (struct known_statement){ .kind = KNOWN_NOT };
	if (r->is_at_unknown) {
		if (known_is_word(r, "create") && holds_atomic(*r))
			return false; /* pgweir can't tell where the statement ends */
		known_skip_to(r, "");
		r->is_at_unknown = false;
	}
	while (known_skip_char(r, ';'))
		;
	if (r->token.kind == SQL_END || r->token.kind == SQL_UNTERMINATED)
		return false;
	r->is_at_unknown = !known_recognise(r, k);
	return true;
}

static bool
parse(struct known_text *text, struct known_reader *r)
{
	struct known_statement k, *to = text->statements;

	for (; known_next_statement(r, &k); *to++ = k) {
		text->is_certain = text->is_certain && k.kind != KNOWN_NOT && k.kind < KNOWN_FIRST_UNCERTAIN;
		if (to == text->statements + KNOWN_STATEMENTS_MAX || (to == text->statements && k.kind == KNOWN_NOT))
			return false;
	}
	text->count = (unsigned)(to - text->statements);
	return text->count > 0 && known_is_whole(r);
}

bool
known_parse(struct known_text *text, unsigned options, const char *sql, size_t len)
{
	struct known_reader r;

	text->is_certain = true;
	known_begin(&r, options, sql, len);
	if (parse(text, &r))
		return true;
	text->count = 0;
	text->is_certain = false;
	return false;
}

enum known_kind
known_single_statement(struct known_statement *k, unsigned options, const char *sql, size_t len)
{
	struct known_reader r;
	struct known_statement more;

	known_begin(&r, options, sql, len);
	return known_next_statement(&r, k) && k->kind != KNOWN_NOT && !known_next_statement(&r, &more) &&
		       known_is_whole(&r)
		   ? (enum known_kind)k->kind
		   : KNOWN_NOT;
}

bool
known_copy_custom_name(char name[static KNOWN_NAME_MAX], const char *bytes, size_t len)
{
	if (len >= KNOWN_NAME_MAX || memchr(bytes, '.', len) == NULL || !sql_is(*bytes, WORD_START))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!sql_is(bytes[i], WORD) && bytes[i] != '.')
			return false;
		name[i] = sql_fold(bytes[i]);
	}
	name[len] = '\0';
	return true;
}

bool
known_next_custom_name(struct known_reader *r, char name[static KNOWN_NAME_MAX])
{
	while (r->token.kind != SQL_END && r->token.kind != SQL_UNTERMINATED) {
		struct sql_token t = r->token;
		const char *quote = t.kind == SQL_STRING ? memchr(t.at, '\'', t.len) : NULL;

		known_next(r);
		if (quote != NULL && known_copy_custom_name(name, quote + 1, (size_t)(t.at + t.len - 1 - (quote + 1))))
			return true;
	}
	return false;
}
