#include "sql/sql_words.h"
#include "sql/sql_class.h"

#include <endian.h>
#include <string.h>

enum { LONGEST = sizeof("transaction") - 1 };

/* Sets bit 0x20 of each byte. This makes letters lower case, and turns no other character of a word into a letter. */
static inline uint32_t
lower_four(const char *p)
{
	uint32_t four;

	memcpy(&four, p, sizeof(four));
	return four | 0x20202020u;
}

/* Compares four bytes at a time; the last four may overlap the four before them. For a word that is known at compile
 * time, the compiler leaves little of this code. */
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

/* Few words share a first letter, and fewer share the length as well. */
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

enum { NAME_LONGEST = 63 };

/* The entries for names of one length, sorted for binary search. Each entry is a letter (see kinds[]), the name and a
 * separator. Blanks follow the last entry, because number_of_head() reads eight bytes even of a shorter name. */
#define NAMES(len, text) [len] = { text "       ", sizeof(text) / ((len) + 2) },

static const struct {
	const char *entries;
	size_t count;
} names_of_length[NAME_LONGEST + 1] = {
#include "sql_names_table.h"
};

/* A capital letter has the bits of the small letter, and SQL_HARMLESS_FUNCTION. */
static const uint8_t kinds[128] = {
	['f'] = SQL_HARMLESS_FUNCTION,
	['k'] = SQL_KEYWORD,
	['K'] = SQL_KEYWORD | SQL_HARMLESS_FUNCTION,
	['r'] = SQL_KEYWORD | SQL_RESERVED,
	['R'] = SQL_KEYWORD | SQL_RESERVED | SQL_HARMLESS_FUNCTION,
	['t'] = SQL_KEYWORD | SQL_TYPE_FUNC,
	['T'] = SQL_KEYWORD | SQL_TYPE_FUNC | SQL_HARMLESS_FUNCTION,
	['s'] = SQL_SETTING_FUNCTION,
	['l'] = SQL_LOCK_FUNCTION,
	['u'] = SQL_UNLOCK_FUNCTION,
	['q'] = SQL_SEQUENCE_FUNCTION,
	['Q'] = SQL_SEQUENCE_FUNCTION | SQL_HARMLESS_FUNCTION,
};

/* Returns up to eight bytes of the name as a number that sorts like them. Eight bytes at `name` must be readable. */
static uint64_t
number_of_head(const char *name, size_t len)
{
	uint64_t n;

	memcpy(&n, name, sizeof(n));
	return be64toh(n) >> (len < 8 ? 64 - 8 * len : 0);
}

unsigned
sql_name_find(const char *name, size_t len)
{
	char folded[NAME_LONGEST + 1];
	size_t low = 0, high = len <= NAME_LONGEST ? names_of_length[len].count : 0;
	uint64_t sought;

	if (high == 0)
		return 0;
	memset(folded, 0, sizeof(uint64_t));
	for (size_t i = 0; i < len; i++)
		folded[i] = sql_fold(name[i]);
	sought = number_of_head(folded, len);
	while (low < high) {
		size_t middle = (low + high) / 2;
		const char *entry = names_of_length[len].entries + middle * (len + 2);
		uint64_t there = number_of_head(entry + 1, len);
		int order = sought != there ? (sought < there ? -1 : 1) : len > 8 ? memcmp(folded, entry + 1, len) : 0;

		if (order == 0)
			return kinds[(uint8_t)entry[0]];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return 0;
}
