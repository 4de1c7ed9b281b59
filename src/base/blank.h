/* src/base/blank.h - blanks, independent of the locale. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

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
