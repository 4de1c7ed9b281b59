#include "sql/sql_words.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

enum { LONGEST = 63 };

/*
 * Entries of one length: a letter of kinds, the name, a separator; in order, so that they can be searched by halves.
 * The blanks are for head(), which reads beyond a short name.
 */
#define NAMES(len, text) [len] = { text "       ", sizeof(text) / ((len) + 2) },

static const struct {
	const char *entries;
	size_t count;
} names_of_length[LONGEST + 1] = {
#include "sql/sql_names_table.h"
};

/* A capital letter: a function besides. */
static const uint8_t kinds[128] = {
	['f'] = SQL_FUNCTION,
	['k'] = SQL_KEYWORD,
	['K'] = SQL_KEYWORD | SQL_FUNCTION,
	['r'] = SQL_KEYWORD | SQL_RESERVED,
	['R'] = SQL_KEYWORD | SQL_RESERVED | SQL_FUNCTION,
	['t'] = SQL_KEYWORD | SQL_TYPE_FUNC,
	['T'] = SQL_KEYWORD | SQL_TYPE_FUNC | SQL_FUNCTION,
	['s'] = SQL_SETTING_FUNCTION,
	['l'] = SQL_LOCK_FUNCTION,
	['u'] = SQL_UNLOCK_FUNCTION,
	['q'] = SQL_SEQUENCE_FUNCTION,
	['Q'] = SQL_SEQUENCE_FUNCTION | SQL_FUNCTION,
};

/* The first bytes as a number, in their order. There are 8 to read. */
static uint64_t
head(const char *name, size_t len)
{
	uint64_t n;

	memcpy(&n, name, sizeof(n));
	return be64toh(n) >> (len < 8 ? 64 - 8 * len : 0);
}

unsigned
sql_name_find(const char *name, size_t len)
{
	char folded[LONGEST + 1];
	size_t low = 0, high = len <= LONGEST ? names_of_length[len].count : 0;
	uint64_t sought;

	if (high == 0)
		return 0;
	memset(folded, 0, sizeof(uint64_t));
	for (size_t i = 0; i < len; i++)
		folded[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
	sought = head(folded, len);
	while (low < high) {
		size_t middle = (low + high) / 2;
		const char *entry = names_of_length[len].entries + middle * (len + 2);
		uint64_t there = head(entry + 1, len);
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
