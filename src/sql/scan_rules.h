/*
 * src/sql/scan_rules.h - declarations that the files of scan.h share: scan.c cuts SQL into tokens, scan_rules.c judges
 * the tokens, scan_literal.c looks into literals.
 *
 * Borrows: the chunk of SQL that is being read; after scan_end_chunk() no pointer into the chunk is left.
 */
#pragma once

#include "sql/scan.h"
#include "sql/sql_words.h"

/* The kind of a token: one of these values, or of enum sql_word. */
enum scan_class {
	CLASS_START, /* no token yet: a statement begins */
	CLASS_WORD = SQL_WORDS_END, /* a word that was not looked up in sql_words.h, because no rule can apply to it */
	CLASS_KEYWORD,
	CLASS_IDENTIFIER, /* quoted or not */
	CLASS_QUOTED,
	CLASS_DOT, /* the dot after a name */
	CLASS_EXPRESSION_DOT, /* the dot after anything else */
	CLASS_CLOSE, /* ) or ] */
	CLASS_COMMA,
	CLASS_COLON,
	CLASS_CAST, /* :: */
	CLASS_LITERAL,
	CLASS_OTHER
};

/* The word before the last dot. */
enum scan_qualifier { QUALIFIER_NONE, QUALIFIER_CATALOG, QUALIFIER_OTHER };

/*
 * Handles a word without quotes, in upper or lower case. If a word is longer than any name, len may be SCAN_WORD_MAX.
 * text must stay valid until the next token, or until scan_end_chunk().
 */
static inline void scan_word(struct scan *s, const char *text, size_t len);
void scan_word_slowly(struct scan *s, const char *text, size_t len); /* for words that may have a rule */
/* Does what scan_word() does, for a "quoted identifier", which is given without its quotes. */
static inline void scan_quoted(struct scan *s, const char *text, size_t len);
void scan_quoted_slowly(struct scan *s, const char *text, size_t len);
/* Does what scan_word() does, for U&"...", which may stand for any name if it has backslashes or UESCAPE follows. */
void scan_unicode_quoted(struct scan *s, const char *text, size_t len);
/* Handles any other character outside of comments. For a number, call this with '0', once or more often. */
static inline void scan_punct(struct scan *s, char c);
void scan_punct_slowly(struct scan *s, char c); /* for characters that may have a rule */
/* Call these where a literal begins and where it ends; in between, call scan_literal_bytes() for its content. */
void scan_literal_begin(struct scan *s);
void scan_literal_end(struct scan *s);
/*
 * Call this at the end of a chunk. Copies the last word if it is still needed, so no pointer into the chunk is left.
 * is_word_in_use: true if s->word has the beginning of a word that goes on in the next chunk.
 */
void scan_end_chunk(struct scan *s, bool is_word_in_use);
/* Judges the word in s->word, because s->word will be overwritten next. */
void scan_classify_held_word(struct scan *s);

/* The values of scan.capture: what the present literal is, if its content matters. */
enum scan_capture {
	CAPTURE_NONE,
	CAPTURE_NAME, /* the first argument of set_config() */
	CAPTURE_LANGUAGE, /* LANGUAGE 'c' */
	CAPTURE_UESCAPE, /* UESCAPE '!' */
	CAPTURE_BODY /* the text of DO */
};

void scan_literal_bytes(struct scan *s, const char *bytes, size_t len);
/* Call this at an escape in a literal, which makes the literal's value differ from its bytes. */
void scan_literal_escape(struct scan *s);
/* Call this at the end of the text of DO. */
void scan_body_end(struct scan *s);

void scan_name_append(struct scan *s, const char *bytes, size_t len); /* appends to s->name */
/* Adds s->name to s->names if s->name has a dot, so it may be a custom setting. */
void scan_name_keep(struct scan *s);

/* Returns true if a token of this kind may be a name. */
static inline bool
scan_is_name(uint32_t last)
{
	return last != CLASS_START && last <= CLASS_QUOTED;
}

/* Returns true if a word within a statement may have a rule or begin with pg_, judged by first letter and length. */
#define SCAN_LENGTH(n) (1u << (n))
static inline bool
scan_may_matter(const char *text, size_t len)
{
	static const uint16_t lengths[32] = {
		['c' & 31] = SCAN_LENGTH(1) | SCAN_LENGTH(6) | SCAN_LENGTH(7) |
			     SCAN_LENGTH(8), /* c, the language; create; currval, crosstab */
		['d' & 31] = SCAN_LENGTH(6) | SCAN_LENGTH(8) | SCAN_LENGTH(14), /* dblink, database, dblink_connect */
		['e' & 31] = SCAN_LENGTH(7), /* execute */
		['h' & 31] = SCAN_LENGTH(4), /* hold */
		['i' & 31] = SCAN_LENGTH(4) | SCAN_LENGTH(5) | SCAN_LENGTH(6) |
			     SCAN_LENGTH(8), /* into; index; insert; isn_weak */
		['j' & 31] = SCAN_LENGTH(4), /* join */
		['l' & 31] = SCAN_LENGTH(8), /* language */
		['m' & 31] = SCAN_LENGTH(5), /* merge */
		['p' & 31] = (uint16_t)-SCAN_LENGTH(7),
		['r' & 31] = SCAN_LENGTH(6) | SCAN_LENGTH(9) | SCAN_LENGTH(13), /* random, returning, random_normal */
		['s' & 31] = SCAN_LENGTH(7) | SCAN_LENGTH(9), /* setseed, set_limit */
		['t' & 31] = SCAN_LENGTH(2) | SCAN_LENGTH(4) | SCAN_LENGTH(7) |
			     SCAN_LENGTH(9), /* to, temp, ts_stat, temporary */
		['u' & 31] = SCAN_LENGTH(7), /* uescape */
	};

	return (lengths[text[0] & 31] >> (len < 15 ? len : 15) & 1) != 0;
}

/* Returns true if no rule applies to the name, neither for the name itself nor because of the tokens before it. */
static inline bool
scan_is_simple(const struct scan *s, const char *text, size_t len)
{
	return s->expect == 0 && s->last != CLASS_START && s->last != CLASS_EXPRESSION_DOT &&
	       !scan_may_matter(text, len);
}

/* Notes another name, or the next part of a name. */
static inline void
scan_note_name(struct scan *s, uint32_t kind, const char *text, size_t len)
{
	if (s->last == CLASS_DOT)
		s->last = kind == CLASS_WORD ? CLASS_IDENTIFIER : kind;
	else {
		s->before = s->last;
		s->before_text = s->last_text;
		s->before_len = s->last_len;
		s->qualifier = QUALIFIER_NONE;
		s->last = kind;
	}
	s->last_text = text;
	s->last_len = len;
}

static inline void
scan_word(struct scan *s, const char *text, size_t len)
{
	if (scan_is_simple(s, text, len) && !s->is_with_head)
		scan_note_name(s, CLASS_WORD, text, len);
	else
		scan_word_slowly(s, text, len);
}

static inline void
scan_quoted(struct scan *s, const char *text, size_t len)
{
	if (scan_is_simple(s, text, len))
		scan_note_name(s, CLASS_QUOTED, text, len);
	else
		scan_quoted_slowly(s, text, len);
}

static inline void
scan_punct(struct scan *s, char c)
{
	if (s->expect != 0 || c == ':' || c == ';' || (c == '(' && scan_is_name(s->last)) ||
	    (c == ')' && s->config_parens != 0))
		scan_punct_slowly(s, c);
	else if (c == '(') {
		s->parens++;
		s->last = CLASS_OTHER;
	} else if (c == '.' && scan_is_name(s->last) && s->last_len != sizeof("pg_catalog") - 1) {
		s->qualifier = QUALIFIER_OTHER;
		s->last = CLASS_DOT;
	} else if (c == '.')
		scan_punct_slowly(s, c);
	else if (c == ')' || c == ']') {
		s->parens -= c == ')' && s->parens > 0;
		s->last = CLASS_CLOSE;
	} else
		s->last = c == ',' ? CLASS_COMMA : CLASS_OTHER;
}
