/*
 * src/sql/scan.c - see scan.h. Cuts SQL into tokens as PostgreSQL's scan.l does, chunk by chunk.
 *
 * s->lex says which token the next byte belongs to. read_on() calls the function for this value, which reads on as far
 * as it can. A word or quoted identifier that lies within one chunk is passed on in place. s->word collects those that
 * may go on in the next chunk, and identifiers that are U&"" or have doubled quotes.
 */
#include "sql/scan_rules.h"
#include "sql/sql_class.h"
#include "base/text.h"

enum lex {
	LEX_BETWEEN, /* between tokens */
	LEX_WORD, /* in a word that began in an earlier chunk */
	LEX_UNICODE, /* after U& */
	LEX_DOLLAR,
	LEX_TAG, /* after $tag */
	LEX_DASH,
	LEX_SLASH,
	LEX_LINE, /* in a comment */
	LEX_BLOCK, /* in a comment */
	LEX_BLOCK_STAR,
	LEX_BLOCK_SLASH,
	LEX_STRING,
	LEX_BACKSLASH, /* in a string: the previous byte was a backslash */
	LEX_QUOTE, /* in a string: the previous byte was a quote, which ends the string or is the first of two */
	LEX_GAP, /* after a string: a quote on a later line continues the string */
	LEX_GAP_DASH,
	LEX_GAP_LINE, /* in a comment after a string */
	LEX_IDENTIFIER, /* in double quotes */
	LEX_IDENTIFIER_QUOTE,
	LEX_BODY, /* in dollar quotes */
	LEX_LOST /* in a dollar quote whose tag is too long to remember, or has a two-byte character */
};

enum string_kind {
	STRING_STANDARD,
	STRING_ESCAPE, /* backslashes are escapes */
	STRING_UNICODE, /* backslashes are escapes, but none can hide a quote */
	STRING_BITS, /* B'' and X'', in which quotes are not doubled */
	IDENTIFIER_STANDARD,
	IDENTIFIER_UNICODE
};

static bool
is_newline(char c)
{
	return c == '\n' || c == '\r';
}

/* Returns true if the byte after c is the second half of a character. */
static bool
is_lead(const struct scan *s, char c)
{
	return scan_is_lead(s->options, c);
}

/* --- words ------------------------------------------------------------------------------------------------------- */

static const char *
word_end(struct scan *s, const char *p, const char *end)
{
	if ((s->options & SCAN_ASCII_TRAIL) == 0)
		return sql_word_end(p, end);
	while (p < end && (s->is_trail || sql_is(*p, WORD))) {
		s->is_trail = !s->is_trail && is_lead(s, *p);
		p++;
	}
	return p;
}

static void
gather(struct scan *s, const char *p, size_t len)
{
	size_t room = (size_t)(SCAN_WORD_MAX - s->word_len);

	if (len > room)
		len = room;
	memcpy(s->word + s->word_len, p, len);
	s->word_len = (uint8_t)(s->word_len + len);
}

static void
begin_string(struct scan *s, enum string_kind kind)
{
	if (kind == STRING_STANDARD && (s->options & SCAN_BACKSLASH_STRINGS) != 0)
		kind = STRING_ESCAPE;
	s->string_kind = (uint8_t)kind;
	s->lex = LEX_STRING;
	scan_literal_begin(s);
	if (kind == STRING_UNICODE)
		scan_literal_escape(s);
}

static void
begin_identifier(struct scan *s, enum string_kind kind)
{
	scan_classify_held_word(s);
	s->string_kind = (uint8_t)kind;
	s->lex = LEX_IDENTIFIER;
	s->word_len = 0;
}

/* Handles the word in text; `next` is the byte after the word. E'', B'', X'', N'', U&'' and U&"" begin like words.
 * Returns how many bytes after the word were consumed. */
static size_t
end_word(struct scan *s, const char *text, size_t len, char next)
{
	char first = (char)(text[0] | 0x20);

	s->lex = LEX_BETWEEN;
	if (len == 1 && next == '\'' && (first == 'e' || first == 'b' || first == 'x' || first == 'n')) {
		begin_string(s, first == 'e' ? STRING_ESCAPE : first == 'n' ? STRING_STANDARD : STRING_BITS);
		return 1;
	}
	if (len == 1 && next == '&' && first == 'u') {
		s->lex = LEX_UNICODE;
		return 1;
	}
	scan_word(s, text, len);
	return 0;
}

static const char *
begin_word(struct scan *s, const char *p, const char *end)
{
	const char *after = word_end(s, p, end);

	if (after < end)
		return after + end_word(s, p, (size_t)(after - p), *after);
	scan_classify_held_word(s);
	s->word_len = 0;
	gather(s, p, (size_t)(after - p));
	s->lex = LEX_WORD;
	return end;
}

static const char *
read_word(struct scan *s, const char *p, const char *end)
{
	const char *after = word_end(s, p, end);

	gather(s, p, (size_t)(after - p));
	return after < end ? after + end_word(s, s->word, s->word_len, *after) : end;
}

/* Handles the byte after U&. */
static const char *
read_after_u_ampersand(struct scan *s, const char *p)
{
	s->lex = LEX_BETWEEN;
	if (*p == '\'')
		begin_string(s, STRING_UNICODE);
	else if (*p == '"')
		begin_identifier(s, IDENTIFIER_UNICODE);
	else {
		scan_classify_held_word(s);
		s->word[0] = 'u';
		scan_word(s, s->word, 1);
		scan_punct(s, '&');
		return p;
	}
	return p + 1;
}

static const char *
read_identifier(struct scan *s, const char *p, const char *end)
{
	const char *quote = memchr(p, '"', (size_t)(end - p));

	gather(s, p, (size_t)((quote != NULL ? quote : end) - p));
	if (quote == NULL)
		return end;
	s->lex = LEX_IDENTIFIER_QUOTE;
	return quote + 1;
}

static const char *
read_after_identifier_quote(struct scan *s, const char *p)
{
	if (*p != '"') {
		s->lex = LEX_BETWEEN;
		if (s->string_kind == IDENTIFIER_UNICODE)
			scan_unicode_quoted(s, s->word, s->word_len);
		else
			scan_quoted(s, s->word, s->word_len);
		return p;
	}
	gather(s, "\"", 1);
	s->lex = LEX_IDENTIFIER;
	return p + 1;
}

/* --- comments ---------------------------------------------------------------------------------------------------- */

static const char *
read_line_comment(struct scan *s, const char *p, const char *end)
{
	while (p < end && !is_newline(*p))
		p++;
	if (p < end)
		s->lex = s->lex == LEX_LINE ? LEX_BETWEEN : LEX_GAP;
	return p;
}

static const char *
read_block_comment(struct scan *s, const char *p, const char *end)
{
	while (p < end && *p != '*' && *p != '/')
		p++;
	if (p == end)
		return end;
	s->lex = *p == '*' ? LEX_BLOCK_STAR : LEX_BLOCK_SLASH;
	return p + 1;
}

static const char *
read_block_comment_mark(struct scan *s, const char *p)
{
	if (s->lex == LEX_BLOCK_STAR && *p == '/') {
		s->lex = --s->comment_depth == 0 ? LEX_BETWEEN : LEX_BLOCK;
		return p + 1;
	}
	if (s->lex == LEX_BLOCK_SLASH && *p == '*') {
		s->comment_depth++;
		s->lex = LEX_BLOCK;
		return p + 1;
	}
	s->lex = LEX_BLOCK;
	return p;
}

/* --- strings ----------------------------------------------------------------------------------------------------- */

/* Returns the position of the next quote of a string with backslash escapes, or end. */
static const char *
escape_string_quote(struct scan *s, const char *p, const char *end)
{
	bool has_trails = (s->options & SCAN_ASCII_TRAIL) != 0;

	for (; p < end; p++) {
		if (s->is_trail)
			s->is_trail = false;
		else if (*p == '\'')
			break;
		else if (*p == '\\') {
			scan_literal_escape(s);
			if (p + 1 == end) {
				s->lex = LEX_BACKSLASH;
				return end;
			}
			s->is_trail = is_lead(s, *++p);
		} else if (has_trails)
			s->is_trail = is_lead(s, *p);
	}
	return p;
}

static const char *
read_string(struct scan *s, const char *p, const char *end)
{
	const char *stop;

	if (s->string_kind == STRING_ESCAPE)
		stop = escape_string_quote(s, p, end);
	else if ((stop = memchr(p, '\'', (size_t)(end - p))) == NULL)
		stop = end;
	scan_literal_bytes(s, p, (size_t)(stop - p));
	if (stop == end)
		return end;
	s->has_newline = false;
	s->lex = s->string_kind == STRING_BITS ? LEX_GAP : LEX_QUOTE;
	return stop + 1;
}

static const char *
read_escaped_byte(struct scan *s, const char *p)
{
	scan_literal_bytes(s, p, 1);
	s->is_trail = is_lead(s, *p);
	s->lex = LEX_STRING;
	return p + 1;
}

static const char *
read_after_quote(struct scan *s, const char *p)
{
	s->lex = LEX_GAP;
	if (*p != '\'')
		return p;
	scan_literal_bytes(s, p, 1);
	s->lex = LEX_STRING;
	return p + 1;
}

/* Handles bytes after a string. White space with a newline, and comments of one line, may stand between a string and
 * its continuation. */
static const char *
read_gap(struct scan *s, const char *p, const char *end)
{
	for (; p < end && sql_is(*p, SPACE); p++)
		s->has_newline = s->has_newline || is_newline(*p);
	if (p == end)
		return end;
	if (*p == '-')
		s->lex = LEX_GAP_DASH;
	else if (*p == '\'' && s->has_newline)
		s->lex = LEX_STRING;
	else {
		s->lex = LEX_BETWEEN;
		scan_literal_end(s);
		return p;
	}
	return p + 1;
}

static const char *
read_after_gap_dash(struct scan *s, const char *p)
{
	if (*p == '-') {
		s->lex = LEX_GAP_LINE;
		return p + 1;
	}
	s->lex = LEX_BETWEEN;
	scan_literal_end(s);
	scan_punct(s, '-');
	return p;
}

/* --- dollar quotes ----------------------------------------------------------------------------------------------- */

static const char *
begin_body(struct scan *s, const char *p)
{
	s->tag[s->tag_len++] = '$';
	s->tag_match = 0;
	s->string_kind = STRING_STANDARD;
	s->lex = LEX_BODY;
	scan_literal_begin(s);
	return p + 1;
}

/* Handles the byte after a dollar, which may begin $1 or $tag$...$tag$. Any other dollar is an error in PostgreSQL. */
static const char *
read_after_dollar(struct scan *s, const char *p)
{
	s->tag[0] = '$';
	s->tag_len = 1;
	if (*p == '$')
		return begin_body(s, p);
	if (sql_is(*p, WORD_START))
		s->lex = LEX_TAG;
	else {
		s->lex = LEX_BETWEEN;
		scan_punct(s, '$');
	}
	return p;
}

static const char *
read_tag(struct scan *s, const char *p, const char *end)
{
	for (; p < end && sql_is(*p, TAG); p++) {
		/* The scan gives up on two-byte characters in a tag. */
		if (s->tag_len == SCAN_WORD_MAX - 1 || is_lead(s, *p)) {
			s->lex = LEX_LOST;
			return end;
		}
		s->tag[s->tag_len++] = *p;
	}
	if (p == end)
		return end;
	if (*p == '$')
		return begin_body(s, p);
	s->lex = LEX_BETWEEN;
	scan_punct(s, '$');
	return p;
}

/* Compares further bytes with the tag. At a mismatch, only the current byte, if it is a dollar, can begin the tag anew,
 * because a tag has dollars only at its ends. */
static const char *
match_tag(struct scan *s, const char *p, const char *end)
{
	for (; p < end && s->tag_match > 0 && s->tag_match < s->tag_len; p++) {
		if (*p == s->tag[s->tag_match])
			s->tag_match++;
		else {
			/* The bytes that were compared are not the tag, so they belong to the literal. */
			scan_literal_bytes(s, s->tag, s->tag_match);
			s->tag_match = *p == '$';
			if (s->tag_match == 0)
				return p;
		}
	}
	return p;
}

static const char *
read_body(struct scan *s, const char *p, const char *end)
{
	const char *dollar;

	p = match_tag(s, p, end);
	if (s->tag_match == s->tag_len) {
		s->lex = LEX_BETWEEN;
		scan_literal_end(s);
		return p;
	}
	if (s->tag_match > 0 || p == end)
		return end;
	dollar = memchr(p, '$', (size_t)(end - p));
	scan_literal_bytes(s, p, (size_t)((dollar != NULL ? dollar : end) - p));
	if (dollar == NULL)
		return end;
	s->tag_match = 1;
	return dollar + 1;
}

/* --- everything -------------------------------------------------------------------------------------------------- */

static void
add_literal(struct scan *s, const char *begin, const char *end)
{
	struct scan_literals *all = s->literals;

	if (all == NULL)
		return;
	if (all->count < SCAN_LITERALS_MAX) {
		all->at[all->count].begin = (uint32_t)(begin - all->sql);
		all->at[all->count].end = (uint32_t)(end - all->sql);
	}
	all->count++;
}

/* Skips a string that lies within one chunk and needs no further look; most strings are like that. Returns NULL for any
 * other string. */
static const char *
skip_plain_string(struct scan *s, const char *p, const char *end)
{
	const char *quote, *next;

	if (s->expect != 0 || s->statement == WORD_DO || s->last == WORD_LANGUAGE || s->last == WORD_UESCAPE ||
	    (s->options & SCAN_BACKSLASH_STRINGS) != 0)
		return NULL;
	quote = memchr(p, '\'', (size_t)(end - p));
	if (quote == NULL)
		return NULL;
	for (next = quote + 1; next < end && *next == ' '; next++)
		;
	if (next == end ? !s->is_whole : *next == '\'' || *next == '-' || sql_is(*next, SPACE))
		return NULL;
	if (scan_path_has_pg_temp(p, (size_t)(quote - p)))
		s->flags |= SCAN_TEMP;
	else
		add_literal(s, p, quote);
	s->last = CLASS_LITERAL;
	return next;
}

static const char *
skip_plain_identifier(struct scan *s, const char *p, const char *end)
{
	const char *quote = memchr(p, '"', (size_t)(end - p));

	if (quote == NULL || quote + 1 == end || quote[1] == '"')
		return NULL;
	scan_quoted(s, p, (size_t)(quote - p));
	return quote + 1;
}

/* Handles quotes, dollars and bytes that may begin a comment. */
static const char *
begin_other(struct scan *s, const char *p, const char *end)
{
	const char *after;

	switch (*p) {
	case '\'':
		if ((after = skip_plain_string(s, p + 1, end)) != NULL)
			return after;
		begin_string(s, STRING_STANDARD);
		break;
	case '"':
		if ((after = skip_plain_identifier(s, p + 1, end)) != NULL)
			return after;
		begin_identifier(s, IDENTIFIER_STANDARD);
		break;
	case '$':
		s->lex = LEX_DOLLAR;
		break;
	case '-':
		s->lex = LEX_DASH;
		break;
	case '/':
		s->lex = LEX_SLASH;
		break;
	default:
		break;
	}
	return p + 1;
}

/* Skips digits, commas and blanks, sixteen bytes at once: long SQL often has a long list of numbers. Call this only
 * after a number, if s->expect is 0 and literals are not listed, because then the skipped bytes change only s->last. */
static const char *
skip_numbers(struct scan *s, const char *p, const char *end)
{
#ifdef __SSE2__
	unsigned count = 16;

	while (count == 16 && end - p >= 16) {
		__m128i bytes = sql_load_sixteen(p);
		unsigned digits = sql_digits(bytes), commas = sql_equal(bytes, ',');
		unsigned others = ~(digits | commas | sql_equal(bytes, ' '));

		count = (unsigned)__builtin_ctz(others); /* at most 16, because higher bits are set */
		digits &= (1u << count) - 1;
		commas &= (1u << count) - 1;
		if ((digits | commas) != 0)
			s->last = digits > commas ? CLASS_OTHER : CLASS_COMMA; /* the last byte has the highest bit */
		p += count;
	}
#else
	(void)s;
	(void)end;
#endif
	return p;
}

/* Skips digits. In 1e2, 0x1F and 1_000 the rest is scanned as a word, which does no harm. */
static const char *
skip_number(struct scan *s, const char *p, const char *end)
{
	const char *begin = p;

	while (p < end && sql_is(*p, DIGIT))
		p++;
	if (s->literals != NULL) {
		char before = begin > s->literals->sql ? begin[-1] : ' ';

		/* Notes the number as a literal. Two kinds are left out: the 1 of $1 is no literal, and a number right
		 * after a quote would later be taken for a string. If a word or a lone dot follows at once, versions of
		 * PostgreSQL disagree on where the number ends; a count that is too high makes the list void. */
		if (p < end && (sql_is(*p, WORD_START) || (*p == '.' && (p + 1 == end || !sql_is(p[1], DIGIT)))))
			s->literals->count = SCAN_LITERALS_MAX + 1;
		else if (before != '\'' && before != '$')
			add_literal(s, begin, p);
	}
	scan_punct(s, '0');
	if (s->expect != 0 || (s->literals != NULL && s->literals->count <= SCAN_LITERALS_MAX))
		return p;
	return skip_numbers(s, p, end);
}

/* Reads tokens, with fast paths for the tokens that most SQL consists of, if they lie within the chunk. */
static const char *
read_tokens(struct scan *s, const char *p, const char *end)
{
	bool has_trails = (s->options & SCAN_ASCII_TRAIL) != 0;

	while (p < end) {
		unsigned class = sql_class(*p);

		if (class == SPACE)
			p++;
		else if (class == WORD_START) {
			const char *after = has_trails ? end : sql_word_end(p, end);

			if (after < end && after - p > 1) {
				scan_word(s, p, (size_t)(after - p));
				p = after;
				continue;
			}
			p = begin_word(s, p, end);
			if (s->lex != LEX_BETWEEN)
				break;
		} else if (class == DIGIT)
			p = skip_number(s, p, end);
		else if ((class & ~(unsigned)OPERATOR) == 0)
			scan_punct(s, *p++);
		else {
			p = begin_other(s, p, end);
			if (s->lex != LEX_BETWEEN)
				break;
		}
	}
	return p;
}

/* Handles the byte after a '-' or '/'. The two bytes together may begin a comment. */
static const char *
read_after_dash_or_slash(struct scan *s, const char *p)
{
	char mark = s->lex == LEX_DASH ? '-' : '/';

	if (mark == '-' && *p == '-') {
		s->lex = LEX_LINE;
		return p + 1;
	}
	if (mark == '/' && *p == '*') {
		s->lex = LEX_BLOCK;
		s->comment_depth = 1;
		return p + 1;
	}
	s->lex = LEX_BETWEEN;
	scan_punct(s, mark);
	return p;
}

static const char *
read_on(struct scan *s, const char *p, const char *end)
{
	switch ((enum lex)s->lex) {
	case LEX_BETWEEN:
		return read_tokens(s, p, end);
	case LEX_WORD:
		return read_word(s, p, end);
	case LEX_UNICODE:
		return read_after_u_ampersand(s, p);
	case LEX_DOLLAR:
		return read_after_dollar(s, p);
	case LEX_TAG:
		return read_tag(s, p, end);
	case LEX_DASH:
	case LEX_SLASH:
		return read_after_dash_or_slash(s, p);
	case LEX_LINE:
	case LEX_GAP_LINE:
		return read_line_comment(s, p, end);
	case LEX_BLOCK:
		return read_block_comment(s, p, end);
	case LEX_BLOCK_STAR:
	case LEX_BLOCK_SLASH:
		return read_block_comment_mark(s, p);
	case LEX_STRING:
		return read_string(s, p, end);
	case LEX_BACKSLASH:
		return read_escaped_byte(s, p);
	case LEX_QUOTE:
		return read_after_quote(s, p);
	case LEX_GAP:
		return read_gap(s, p, end);
	case LEX_GAP_DASH:
		return read_after_gap_dash(s, p);
	case LEX_IDENTIFIER:
		return read_identifier(s, p, end);
	case LEX_IDENTIFIER_QUOTE:
		return read_after_identifier_quote(s, p);
	case LEX_BODY:
		return read_body(s, p, end);
	case LEX_LOST:
		break;
	}
	return end;
}

static void
read_bytes(struct scan *s, const char *sql, size_t len)
{
	const char *end = sql + len;

	while (sql < end)
		sql = read_on(s, sql, end);
}

void
scan_init(struct scan *s, unsigned options)
{
	s->flags = s->hints = s->first = s->name_count = 0;
	memset(&s->options, 0, offsetof(struct scan, name) - offsetof(struct scan, options));
	s->options = (uint8_t)options;
}

void
scan_feed(struct scan *s, const char *sql, size_t len)
{
	if (len == 0)
		return;
	s->last_text = s->word;
	read_bytes(s, sql, len);
	scan_end_chunk(s, s->lex == LEX_WORD || s->lex == LEX_IDENTIFIER || s->lex == LEX_IDENTIFIER_QUOTE);
}

static uint32_t
scan_finish(struct scan *s)
{
	if (s->lex != LEX_BETWEEN)
		read_bytes(s, "\n", 1); /* a newline ends every token that can end here */
	if (s->lex == LEX_GAP)
		scan_literal_end(s);
	else if (s->lex != LEX_BETWEEN)
		s->flags = SCAN_ALL;
	if ((s->expect != 0 || s->config_parens != 0) && s->flags != SCAN_ALL)
		scan_punct(s, ';');
	s->last_text = s->before_text = NULL;
	return s->flags;
}

uint32_t
scan_end(struct scan *s)
{
	s->last_text = s->word;
	return scan_finish(s);
}

uint32_t
scan_text_literals(struct scan *s, unsigned options, const char *sql, size_t len, struct scan_literals *literals)
{
	scan_init(s, options);
	s->is_whole = true;
	if (literals != NULL) {
		literals->sql = sql;
		literals->count = 0;
		s->literals = options == 0 && memchr(sql, '\\', len) == NULL ? literals : NULL;
	}
	read_bytes(s, sql, len);
	s->literals = NULL;
	return scan_finish(s);
}

uint32_t
scan_text(struct scan *s, unsigned options, const char *sql, size_t len)
{
	return scan_text_literals(s, options, sql, len, NULL);
}

uint32_t
scan_text_all_options(struct scan *s, const char *sql, size_t len)
{
	static const unsigned trail_options[] = { 0, SCAN_ASCII_TRAIL, SCAN_ASCII_TRAIL | SCAN_SJIS_TRAIL };
	uint32_t flags = 0, hints = 0, all = SCAN_ALL;

	if (memchr(sql, '\\', len) == NULL && text_is_ascii(sql, len)) /* these bytes mean the same under all options */
		return scan_text(s, 0, sql, len);
	for (size_t i = 0; i < 2 * sizeof(trail_options) / sizeof(trail_options[0]); i++) {
		scan_text(s, trail_options[i / 2] | (i % 2 == 0 ? 0 : SCAN_BACKSLASH_STRINGS), sql, len);
		all &= s->flags;
		hints |= s->hints;
		flags |= s->flags == SCAN_ALL ? 0 : s->flags;
	}
	s->hints = hints;
	s->flags = flags | (all == SCAN_ALL ? SCAN_ALL : 0);
	return s->flags;
}

unsigned
scan_encoding_option(const char *client_encoding)
{
	if (text_is_one_of(client_encoding, "SJIS SHIFT_JIS_2004"))
		return SCAN_ASCII_TRAIL | SCAN_SJIS_TRAIL;
	return text_is_one_of(client_encoding, "BIG5 GBK UHC GB18030") ? SCAN_ASCII_TRAIL : 0;
}
