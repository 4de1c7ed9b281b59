/* src/base/text.h - plain searches of text, blanks, and copies of names. */
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

/* --- blanks, independent of the locale --- */

/* Returns true if c is a blank within a line. */
static inline bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* isspace() of the C locale, which includes line ends. */
static inline bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Removes blanks from both ends of text. */
static inline void
trim_blanks(const char **text, size_t *len)
{
	for (; *len > 0 && is_blank(**text); --*len)
		++*text;
	while (*len > 0 && is_blank((*text)[*len - 1]))
		--*len;
}

/*
 * Copies a string into an array, whole or not at all: a truncated name would be another name. cap is the size of to,
 * terminator included. Returns false if from does not fit; to is then "".
 */
static inline bool __attribute__((warn_unused_result)) copy_string(char *to, size_t cap, const char *from)
{
	size_t len = strlen(from);

	to[0] = '\0';
	if (len >= cap)
		return false;
	memcpy(to, from, len + 1);
	return true;
}
