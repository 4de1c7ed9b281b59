/* tests/fuzz/fuzz.h - what targets share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* the target: libFuzzer or replay.c calls it */

/* An abort is a finding. */
static inline void
must(bool holds)
{
	if (!holds)
		abort();
}

/*
 * Returns an allocated string of the bytes before the first zero byte, at most len; NULL: no memory. Not strndup():
 * under strict_string_checks AddressSanitizer takes its argument for a string, and reads on to the end of that.
 */
static inline char *
string_of(const char *bytes, size_t len)
{
	const char *end = len == 0 ? NULL : memchr(bytes, 0, len);
	size_t n = end == NULL ? len : (size_t)(end - bytes);
	char *s = malloc(n + 1);

	if (s == NULL)
		return NULL;
	if (n > 0)
		memcpy(s, bytes, n);
	s[n] = '\0';
	return s;
}
