/*
 * tests/fuzz/fuzz_deallocate.c - any bytes: are they a DEALLOCATE?
 *
 * Besides memory safety it checks: a name is not empty and fits; white space, a comment and a semicolon around the SQL
 * don't change the result; a name that was found is found again when it is quoted.
 */
#include "sql/known.h"
#include "fuzz.h"

#include <stdio.h>

static enum known_kind
parse(const char *before, const uint8_t *data, size_t size, const char *after, char name[static KNOWN_NAME_MAX])
{
	size_t before_len = strlen(before), after_len = strlen(after), len = before_len + size + after_len;
	char *text = malloc(len > 0 ? len : 1);
	enum known_kind kind;
	struct known_statement k;

	must(text != NULL);
	memcpy(text, before, before_len);
	memcpy(text + before_len, data, size);
	memcpy(text + before_len + size, after, after_len);
	kind = known_single_statement(&k, 0, text, len);
	memcpy(name, k.name, KNOWN_NAME_MAX);
	free(text);
	if (kind == KNOWN_DEALLOCATE) {
		size_t name_len = strnlen(name, KNOWN_NAME_MAX);

		must(name_len > 0 && name_len < KNOWN_NAME_MAX);
	}
	return kind;
}

static void
check_quoted(const char *name)
{
	char text[2 * KNOWN_NAME_MAX + 32] = "DEALLOCATE \"", again[KNOWN_NAME_MAX];
	size_t len = strlen(text);

	for (; *name != '\0'; name++) {
		if (*name == '"')
			text[len++] = '"';
		text[len++] = *name;
	}
	text[len++] = '"';
	must(parse("", (const uint8_t *)text, len, "", again) == KNOWN_DEALLOCATE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[KNOWN_NAME_MAX], again[KNOWN_NAME_MAX];
	const uint8_t *zero = memchr(data, 0, size);
	enum known_kind kind;

	if (zero != NULL)
		size = (size_t)(zero - data); /* a text ends there */
	kind = parse("", data, size, "", name);
	must(parse(" /* /* */ */ ; --x\n\t", data, size, "", again) == kind);
	if (kind == KNOWN_DEALLOCATE)
		must(strcmp(name, again) == 0);
	if (kind != KNOWN_NOT)
		must(parse("", data, size, "\n; /**/ ;", again) == kind);
	if (kind == KNOWN_DEALLOCATE)
		check_quoted(name);
	return 0;
}
