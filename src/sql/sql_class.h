/*
 * src/sql/sql_class.h - what a byte of SQL can be part of (PostgreSQL's scan.l). For the two lexers: scan.c, which
 * reads all SQL, and sql_token.c.
 */
#ifndef PGWEIR_SQL_SQL_CLASS_H
#define PGWEIR_SQL_SQL_CLASS_H

#include <stdbool.h>
#include <stdint.h>

enum sql_class {
	SPACE = 1,
	WORD_START = 2,
	DIGIT = 4,
	DOLLAR = 8,
	MARK = 16, /* a quote, or what a comment may begin with */
	OPERATOR = 32,
	TAG = WORD_START | DIGIT, /* of a dollar quote, but for its first letter */
	WORD = TAG | DOLLAR
};

static const uint8_t sql_classes[256] = {
	[' '] = SPACE,
	['\t'] = SPACE,
	['\n'] = SPACE,
	['\v'] = SPACE, /* an error before PostgreSQL 16 */
	['\f'] = SPACE,
	['\r'] = SPACE,
	['a' ... 'z'] = WORD_START,
	['A' ... 'Z'] = WORD_START,
	['_'] = WORD_START,
	[0x80 ... 0xff] = WORD_START,
	['0' ... '9'] = DIGIT,
	['$'] = DOLLAR,
	['\''] = MARK,
	['"'] = MARK,
	['-'] = MARK | OPERATOR,
	['/'] = MARK | OPERATOR,
	['+'] = OPERATOR,
	['*'] = OPERATOR,
	['<'] = OPERATOR,
	['>'] = OPERATOR,
	['='] = OPERATOR,
	['~'] = OPERATOR,
	['!'] = OPERATOR,
	['@'] = OPERATOR,
	['#'] = OPERATOR,
	['%'] = OPERATOR,
	['^'] = OPERATOR,
	['&'] = OPERATOR,
	['|'] = OPERATOR,
	['`'] = OPERATOR,
	['?'] = OPERATOR,
};

static inline unsigned
sql_class(char c)
{
	return sql_classes[(uint8_t)c];
}

static inline bool
sql_is(char c, unsigned class)
{
	return (sql_class(c) & class) != 0;
}

#endif
