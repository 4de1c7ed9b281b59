/* src/base/mentions.h - plain searches of text: for a word, among words, and for anything that is not ASCII. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* Returns true if text has word anywhere, even as a part of another word. Only ASCII letters ignore case. */
static inline bool
text_mentions(const char *text, size_t len, const char *word)
{
	size_t word_len = strlen(word);

	for (; len >= word_len; text++, len--)
		if ((*text | 0x20) == (word[0] | 0x20) && strncasecmp(text, word, word_len) == 0)
			return true;
	return false;
}

/* Returns true if word is one of words, which blanks separate. Only ASCII letters ignore case. */
static inline bool
text_is_one_of(const char *word, const char *words)
{
	size_t len = strlen(word);

	while (*words != '\0') {
		const char *listed = words;

		while (*words != ' ' && *words != '\0')
			words++;
		if ((size_t)(words - listed) == len && strncasecmp(listed, word, len) == 0)
			return true;
		while (*words == ' ')
			words++;
	}
	return false;
}

/* Returns true if no byte has its high bit set. */
static inline bool
text_is_ascii(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((text[i] & 0x80) != 0)
			return false;
	return true;
}
