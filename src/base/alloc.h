/*
 * src/base/alloc.h - allocates memory at start and reload, for a configuration and objects that are made once from a
 * configuration.
 *
 * These functions end the process when memory runs out. So code that serves clients never calls them. That code uses
 * malloc() and the like, whose errors cost only one client (docs/architecture.md). A reload begins only if there is
 * memory for it (memory_use_reserve). tests/check-alloc knows each caller.
 *
 * Always: the functions with an x never return NULL, and free() frees their results.
 */
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Returns p. If it is NULL, the process ends at once with a line on standard error and code 1. */
static inline void *
alloc_check(void *p)
{
	if (p == NULL) {
		fputs("pgweir: out of memory\n", stderr);
		_exit(EXIT_FAILURE); /* not exit(): other threads may run */
	}
	return p;
}

/* Do what the functions without x do, but never return NULL. */
static inline void *
xmalloc(size_t size)
{
	return alloc_check(malloc(size));
}

static inline void *
xcalloc(size_t count, size_t size)
{
	return alloc_check(calloc(count, size));
}

/* Resizes an array to count elements of this size. */
static inline void *
xreallocarray(void *p, size_t count, size_t size)
{
	return alloc_check(reallocarray(p, count, size));
}

/* Returns a list with room for one more element. A list grows to powers of two, so it is full if count is a power of
 * two. */
static inline void *
xwith_room(void *list, size_t count, size_t size)
{
	return (count & (count - 1)) != 0 ? list : xreallocarray(list, count == 0 ? 1 : count * 2, size);
}

static inline char *
xstrdup(const char *s)
{
	return alloc_check(strdup(s));
}

static inline char *
xstrndup(const char *s, size_t len)
{
	const char *end = memchr(s, '\0', len); /* strndup() may read the byte after end */
	size_t n = end != NULL ? (size_t)(end - s) : len;
	char *copy = xmalloc(n + 1);

	memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

/* Returns the formatted string; the caller frees it. */
__attribute__((format(printf, 1, 2))) static inline char *
xasprintf(const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	return alloc_check(len < 0 ? NULL : text);
}
