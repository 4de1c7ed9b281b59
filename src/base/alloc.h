/*
 * src/base/alloc.h - memory for what pgweir keeps of its own accord: a struct, a name, an entry of a table.
 *
 * Without a few hundred bytes nothing can be served, nor is there a way back that would ever be tried: these end the
 * process, as uthash does. What a peer sizes (a message, a text, rows) is a buf (base/buf.h), or malloc; it may fail,
 * and its request or its connection alone is refused.
 */
#ifndef PGWEIR_BASE_ALLOC_H
#define PGWEIR_BASE_ALLOC_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* p; if it is NULL the process ends, with a line on standard error. */
static inline void *
alloc_check(void *p)
{
	if (p == NULL) {
		fputs("pgweir: out of memory\n", stderr);
		abort();
	}
	return p;
}

/* As the functions without x, but never NULL. */
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

/* For an array that grows by bookkeeping: count things of this size. */
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
	return alloc_check(strndup(s, len));
}

/* The text that format makes; the caller frees it. */
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
