#include "sql/sql_words.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { LONGEST = sizeof("transaction") - 1 };

/* Setting the bit makes letters lower case, and no other character that a word may have a letter. */
static inline uint32_t
lower_four(const char *p)
{
	uint32_t four;

	memcpy(&four, p, sizeof(four));
	return four | 0x20202020u;
}

/* Four at a time; the last four may have been among those before. For a word in the source little of this is left. */
static inline bool
word_is_same(const char *text, const char *word, size_t len)
{
	if (len < 4)
		return (text[0] | 0x20) == word[0] && (text[1] | 0x20) == word[1] &&
		       (text[len - 1] | 0x20) == word[len - 1];
	return lower_four(text) == lower_four(word) && (len <= 8 || lower_four(text + 4) == lower_four(word + 4)) &&
	       lower_four(text + len - 4) == lower_four(word + len - 4);
}

#define BEGINS_WITH(c)                                                                                                 \
	break;                                                                                                         \
	case c:
#define IS(word, id)                                                                                                   \
	if (len == sizeof(#word) - 1 && word_is_same(text, #word, sizeof(#word) - 1))                                  \
		return WORD_##id;

/* Few words share a first letter, fewer a length as well. */
enum sql_word
sql_word_find(const char *text, size_t len)
{
	if (len < 2 || len > LONGEST)
		return SQL_WORDS_NONE;
	switch (text[0] | 0x20) {
	default:
		SQL_WORDS(BEGINS_WITH, IS)
	}
	return SQL_WORDS_NONE;
}
