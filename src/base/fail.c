#include "base/fail.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

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
	why->detail[0] = why->hint[0] = why->pgbouncer_text[0] = '\0';
	return -1;
}

int
fail_set_field(struct fail *why, size_t at, const char *fmt, ...)
{
	va_list ap;

	if (why == NULL)
		return -1;
	va_start(ap, fmt);
	vsnprintf((char *)why + at, FAIL_TEXT_MAX, fmt, ap);
	va_end(ap);
	return -1;
}

void
fail_in_pgbouncer_words(const struct fail *why, struct fail *told)
{
	static const char mapped_sqlstates[] = "53300 57014 57P01 57P05 25P03 25P04 0A000 "
					       "3D000 22023 42501 42601 42704 55000 55P02";

	*told = *why;
	if (why->pgbouncer_text[0] == '\0')
		return;
	memcpy(told->text, why->pgbouncer_text, sizeof(told->text));
	if (text_is_one_of(why->sqlstate, mapped_sqlstates) && strstr(why->text, "refused user") == NULL)
		memcpy(told->sqlstate, "08P01", sizeof("08P01"));
}
