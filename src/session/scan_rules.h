/*
 * src/session/scan_rules.h - the inside of scan.h: scan.c cuts tokens, scan_rules.c judges them, scan_literal.c looks
 * into literals.
 */
#ifndef PGWEIR_SESSION_SCAN_RULES_H
#define PGWEIR_SESSION_SCAN_RULES_H

#include "session/scan.h"

/* A word without quotes, as written; len may be cut to SCAN_WORD_MAX, which no name reaches. text must live until the
 * next token, or until scan_settle. */
void scan_word(struct scan *s, const char *text, size_t len);
/* The same of "an identifier", without its quotes. */
void scan_quoted(struct scan *s, const char *text, size_t len);
/* U&"...": could be any name. */
void scan_unicode_quoted(struct scan *s);
/* Another character that is no part of a comment. Digits count once or more often. */
void scan_punct(struct scan *s, char c);
/* A literal begins and ends; its content is between. */
void scan_literal_begin(struct scan *s);
void scan_literal_end(struct scan *s);
/* The chunk is over, nothing points into it any more; another one begins. */
void scan_settle(struct scan *s);
void scan_resume(struct scan *s);
/* s->word will be overwritten: what is known by it is judged now. */
void scan_spare_word(struct scan *s);

enum scan_capture {
	CAPTURE_NONE,
	CAPTURE_NAME, /* the first argument of set_config() */
	CAPTURE_BODY /* the text of DO */
};

void scan_literal_bytes(struct scan *s, const char *bytes, size_t len);
/* An escape stands in the literal: its content is not what is written. */
void scan_literal_escape(struct scan *s);
/* The text of DO is over. */
void scan_body_end(struct scan *s);

void scan_name_clear(struct scan *s);
void scan_name_append(struct scan *s, const char *bytes, size_t len);
/* s->name may be a custom setting: it is kept if it has a dot. */
void scan_name_keep(struct scan *s);

#endif
