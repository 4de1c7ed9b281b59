/*
 * tests/fuzz/fuzz_deallocate.c - any bytes: are they a DEALLOCATE?
 *
 * Besides memory safety it checks: a name is not empty and fits; white space, a comment and a semicolon around the SQL
 * don't change the result; a name that was found is found again when it is quoted.
 */
#include "sql/recognise.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

static enum deallocate_kind
parse(const char *before, const uint8_t *data, size_t size, const char *after, char name[static DEALLOCATE_NAME_MAX])
{
	size_t before_len = strlen(before), after_len = strlen(after), len = before_len + size + after_len;
	char *text = malloc(len > 0 ? len : 1);
	enum deallocate_kind kind;

	must(text != NULL);
	memcpy(text, before, before_len);
	memcpy(text + before_len, data, size);
	memcpy(text + before_len + size, after, after_len);
	memset(name, 'x', DEALLOCATE_NAME_MAX);
	kind = deallocate_parse(text, len, name);
	free(text);
	if (kind == DEALLOCATE_NAME) {
		size_t name_len = strnlen(name, DEALLOCATE_NAME_MAX);

		must(name_len > 0 && name_len < DEALLOCATE_NAME_MAX);
	}
	return kind;
}

static void
check_quoted(const char *name)
{
	char text[2 * DEALLOCATE_NAME_MAX + 32] = "DEALLOCATE \"", again[DEALLOCATE_NAME_MAX];
	size_t len = strlen(text);

	for (; *name != '\0'; name++) {
		if (*name == '"')
			text[len++] = '"';
		text[len++] = *name;
	}
	text[len++] = '"';
	must(parse("", (const uint8_t *)text, len, "", again) == DEALLOCATE_NAME);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[DEALLOCATE_NAME_MAX], again[DEALLOCATE_NAME_MAX];
	const uint8_t *zero = memchr(data, 0, size);
	enum deallocate_kind kind;

	if (zero != NULL)
		size = (size_t)(zero - data); /* a text ends there */
	kind = parse("", data, size, "", name);
	must(parse(" /* /* */ */ ; --x\n\t", data, size, "", again) == kind);
	if (kind == DEALLOCATE_NAME)
		must(strcmp(name, again) == 0);
	if (kind != DEALLOCATE_NONE)
		must(parse("", data, size, "\n; /**/ ;", again) == kind);
	if (kind == DEALLOCATE_NAME)
		check_quoted(name);
	return 0;
}
