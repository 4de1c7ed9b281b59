/*
 * src/base/copy.h - copies a string into an array, whole or not at all: a truncated name would be another name.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* cap is the size of to, terminator included. Returns false if from does not fit; to is then "". */
static inline bool __attribute__((warn_unused_result)) copy_string(char *to, size_t cap, const char *from)
{
	size_t len = strlen(from);

	to[0] = '\0';
	if (len >= cap)
		return false;
	memcpy(to, from, len + 1);
	return true;
}
