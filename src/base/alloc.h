/*
 * src/base/alloc.h - memory for what pgweir itself keeps: a struct, a name, an entry of a table.
 *
 * Without a few hundred bytes nothing can be served, and error paths for that would never be tested: these functions
 * end the process instead, as uthash does. What a peer sizes (a message, SQL, rows) is a buf (base/buf.h) or from
 * malloc; it may fail, and then only that request or connection is refused.
 */
#ifndef PGWEIR_BASE_ALLOC_H
#define PGWEIR_BASE_ALLOC_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Returns p. If it is NULL, the process ends with a line on standard error. */
static inline void *
alloc_check(void *p)
{
	if (p == NULL) {
		fputs("pgweir: out of memory\n", stderr);
		abort();
	}
	return p;
}

/* Like the functions without x, but these never return NULL. */
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

static inline char *
xstrdup(const char *s)
{
	return alloc_check(strdup(s));
}

static inline char *
xstrndup(const char *s, size_t len)
{
	const char *end = memchr(s, '\0', len); /* strndup() may look at the byte behind them */
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
	char *text;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	return alloc_check(n < 0 ? NULL : text);
}

#endif
