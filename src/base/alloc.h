/*
 * src/base/alloc.h - allocates memory at start and at reload: for the configuration, and for the objects that are made
 * from the configuration.
 *
 * The functions below end the process when memory runs out, so code that serves clients must not call them. Such code
 * calls malloc() and handles NULL, which costs only one client (docs/architecture.md). A reload begins only after
 * memory_lift_limits() has found room for the reload. tests/check-alloc lists all callers.
 *
 * Always: functions whose names begin with x never return NULL, and free() frees their results.
 */
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Returns p. If p is NULL, the process ends at once with a line on standard error and exit code 1. */
static inline void *
alloc_check(void *p)
{
	if (p == NULL) {
		fputs("pgweir: out of memory\n", stderr);
		_exit(EXIT_FAILURE); /* not exit(): other threads may run */
	}
	return p;
}

/* Returns what malloc() returns, but never NULL. */
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

/* Returns `list`, reallocated if necessary, with room for one more element after the first count elements. The capacity
 * of a list is always a power of two, so a list is full whenever count is 0 or a power of two. */
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
