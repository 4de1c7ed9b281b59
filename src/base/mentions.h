/* src/base/mentions.h - a plain search for a word, whatever its case and wherever it stands. */
#ifndef PGWEIR_BASE_MENTIONS_H
#define PGWEIR_BASE_MENTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* Returns true if word stands in these len bytes, also as a part of another word. Only the case of ASCII is ignored. */
static inline bool
text_mentions(const char *text, size_t len, const char *word)
{
	size_t word_len = strlen(word);

	for (; len >= word_len; text++, len--)
		if ((*text | 0x20) == (word[0] | 0x20) && strncasecmp(text, word, word_len) == 0)
			return true;
	return false;
}

#endif
