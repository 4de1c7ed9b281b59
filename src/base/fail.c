/* src/base/fail.c - see fail.h. */
#include "base/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
fail_set(struct fail *why, const char *sqlstate, const char *fmt, ...)
{
	va_list ap;

	if (why == NULL)
		return -1;
	snprintf(why->sqlstate, sizeof(why->sqlstate), "%s", sqlstate);
	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	why->detail[0] = why->hint[0] = '\0';
	return -1;
}

int
fail_detail(struct fail *why, const char *fmt, ...)
{
	va_list ap;

	if (why == NULL)
		return -1;
	va_start(ap, fmt);
	vsnprintf(why->detail, sizeof(why->detail), fmt, ap);
	va_end(ap);
	return -1;
}

int
fail_hint(struct fail *why, const char *fmt, ...)
{
	va_list ap;

	if (why == NULL)
		return -1;
	va_start(ap, fmt);
	vsnprintf(why->hint, sizeof(why->hint), fmt, ap);
	va_end(ap);
	return -1;
}
