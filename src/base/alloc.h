/*
 * src/base/alloc.h - memory for what pgweir itself keeps: a struct, a name, an entry of a table.
 *
 * Without a few hundred bytes nothing can be served, and error paths for that would never be tested: these functions
 * end the process instead, as uthash does. Memory that a peer sizes (a message, SQL, rows) is a buf (base/buf.h)
 * or from malloc; that may fail, and then only that request or connection is refused.
 *
 * So that the process need not end, memory for these functions is kept back: the soft limits on memory (base/memory.h)
 * are for malloc, and are lifted for one call when there is no more below them.
 *
 * Always: the functions with an x never return NULL, and free() frees what they return.
 */
#ifndef PGWEIR_BASE_ALLOC_H
#define PGWEIR_BASE_ALLOC_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#undef uthash_malloc /* its header may have come before */
#define uthash_malloc(size) xmalloc(size) /* for its own tables */

/* realloc() without the soft limits on memory. Returns NULL if there is none at all. */
__attribute__((cold, noinline, unused)) static void *
alloc_reserve(void *p, size_t size)
{
	static const int kinds[] = { RLIMIT_AS, RLIMIT_DATA };
	struct rlimit before[2], lifted;
	void *grown;

	for (int i = 0; i < 2; i++)
		if (getrlimit((__rlimit_resource_t)kinds[i], &before[i]) == 0) {
			lifted = (struct rlimit){ before[i].rlim_max, before[i].rlim_max };
			setrlimit((__rlimit_resource_t)kinds[i], &lifted);
		}
	grown = realloc(p, size);
	for (int i = 0; i < 2; i++)
		setrlimit((__rlimit_resource_t)kinds[i], &before[i]);
	return grown;
}

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
	void *p = malloc(size);

	return p != NULL ? p : alloc_check(alloc_reserve(NULL, size));
}

static inline void *
xcalloc(size_t count, size_t size)
{
	void *p = calloc(count, size);

	if (p != NULL)
		return p;
	p = alloc_check(count > 0 && size > SIZE_MAX / count ? NULL : alloc_reserve(NULL, count * size));
	memset(p, 0, count * size);
	return p;
}

/* Resizes an array to count elements of this size. */
static inline void *
xreallocarray(void *p, size_t count, size_t size)
{
	void *grown = reallocarray(p, count, size);

	if (grown != NULL)
		return grown;
	return alloc_check(count > 0 && size > SIZE_MAX / count ? NULL : alloc_reserve(p, count * size));
}

static inline char *
xstrdup(const char *s)
{
	size_t size = strlen(s) + 1;

	return memcpy(xmalloc(size), s, size);
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
	va_list args;
	char *text;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	text = xmalloc((size_t)(n < 0 ? 0 : n) + 1);
	text[0] = '\0';
	va_start(args, format);
	vsnprintf(text, (size_t)(n < 0 ? 0 : n) + 1, format, args);
	va_end(args);
	return text;
}

#endif
