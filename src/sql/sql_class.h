/*
 * src/sql/sql_class.h - classes of bytes, which tell what tokens of SQL a byte can be part of, as in PostgreSQL's
 * scan.l. Both lexers use them: scan.c, which reads all SQL, and sql_token.c.
 *
 * Always: a byte that is not ASCII can be part of a word, as in scan.l, whatever the encoding.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum sql_class {
	SPACE = 1,
	WORD_START = 2,
	DIGIT = 4,
	DOLLAR = 8,
	MARK = 16, /* a quote, or a character that may begin a comment */
	OPERATOR = 32,
	TAG = WORD_START | DIGIT, /* the bytes that the tag of a dollar quote may have after its first byte */
	WORD = TAG | DOLLAR /* the bytes that a word may have after its first byte */
};

/* A vertical tab counts as white space, although it is an error before PostgreSQL 16. */
/* clang-format off */
static const uint8_t sql_classes[256] = {
	[' '] = SPACE, ['\t'] = SPACE, ['\n'] = SPACE, ['\v'] = SPACE, ['\f'] = SPACE, ['\r'] = SPACE,
	['a' ... 'z'] = WORD_START, ['A' ... 'Z'] = WORD_START, ['_'] = WORD_START, [0x80 ... 0xff] = WORD_START,
	['0' ... '9'] = DIGIT, ['$'] = DOLLAR, ['\''] = MARK, ['"'] = MARK, ['-'] = MARK | OPERATOR, ['/'] = MARK | OPERATOR,
	['+'] = OPERATOR, ['*'] = OPERATOR, ['<'] = OPERATOR, ['>'] = OPERATOR, ['='] = OPERATOR, ['~'] = OPERATOR,
	['!'] = OPERATOR, ['@'] = OPERATOR, ['#'] = OPERATOR, ['%'] = OPERATOR, ['^'] = OPERATOR, ['&'] = OPERATOR,
	['|'] = OPERATOR, ['`'] = OPERATOR, ['?'] = OPERATOR,
};
/* clang-format on */

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

/* Folds ASCII letters only. In single-byte encodings PostgreSQL folds other letters, too. */
static inline char
sql_fold(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

#ifdef __SSE2__
/* The next functions handle sixteen bytes at once. If they return a bit for each byte, the lowest bit is for the first
 * byte. This one loads the bytes at p. */
static inline __m128i
sql_load_sixteen(const char *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* Returns 0xff for each byte that is, as a signed number, between `from` and `to`, these included; 0 for all others. */
static inline __m128i
sql_between(__m128i bytes, char from, char to)
{
	return _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8((char)(from - 1))),
			     _mm_cmplt_epi8(bytes, _mm_set1_epi8((char)(to + 1))));
}

/* Returns a bit for each digit: adding 128 - '0' modulo 256 maps digits to the ten smallest signed bytes. */
static inline unsigned
sql_digits(__m128i bytes)
{
	return (unsigned)_mm_movemask_epi8(
	    _mm_cmplt_epi8(_mm_add_epi8(bytes, _mm_set1_epi8((char)(128 - '0'))), _mm_set1_epi8(-128 + 10)));
}

/* Returns a bit for each byte that is c. */
static inline unsigned
sql_equal(__m128i bytes, char c)
{
	return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)));
}

/* Returns a bit for each byte that can't be in a word. */
static inline unsigned
sql_non_word_bytes(__m128i bytes)
{
	__m128i letter = sql_between(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), 'a', 'z');
	__m128i digit = sql_between(bytes, '0', '9');
	__m128i underscore_or_dollar =
	    _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('_')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('$')));

	/* Bytes that are not ASCII have the sign bit set, too. */
	return (unsigned)_mm_movemask_epi8(
		   _mm_or_si128(_mm_or_si128(letter, digit), _mm_or_si128(underscore_or_dollar, bytes))) ^
	       0xffff;
}

/* Folds the ASCII letters of sixteen bytes to lower case. */
static inline __m128i
sql_fold_sixteen(__m128i bytes)
{
	return _mm_or_si128(bytes, _mm_and_si128(sql_between(bytes, 'A', 'Z'), _mm_set1_epi8(0x20)));
}
#endif

/* Returns a pointer to the first byte c in [p, end), or NULL. Faster than memchr() if c is nearly always near p. */
static inline const char *
sql_find_near(const char *p, const char *end, char c)
{
#ifdef __SSE2__
	if (end - p >= 16) {
		unsigned found = sql_equal(sql_load_sixteen(p), c);

		if (found != 0)
			return p + __builtin_ctz(found);
		p += 16;
	}
#endif
	return memchr(p, c, (size_t)(end - p));
}

/* Returns a pointer to the first non-word byte in [p, end), or end. Not for encodings with SCAN_ASCII_TRAIL. */
static inline const char *
sql_word_end(const char *p, const char *end)
{
#ifdef __SSE2__
	for (; end - p >= 16; p += 16) {
		unsigned others = sql_non_word_bytes(sql_load_sixteen(p));

		if (others != 0)
			return p + __builtin_ctz(others);
	}
#endif
	while (p < end && sql_is(*p, WORD))
		p++;
	return p;
}
