/*
 * tests/fuzz/fuzz_ident.c - any bytes as a file of maps, and as names that are looked up in it.
 *
 * The first line is the question (map, name and user, separated by zero bytes), the rest is the file. Besides memory
 * safety it checks: a refusal is reported; a map that does not exist allows nobody.
 */
#include "auth/hba.h"
#include "fuzz.h"

static void
on_problem(bool is_error, const char *path, unsigned line, const char *text, void *arg)
{
	must(strcmp(path, "f") == 0 && text[0] != '\0' && strlen(text) < RULE_TEXT_MAX);
	must(line > 0 || is_error);
	*(size_t *)arg += is_error;
}

/* The next of the words in front of end; "" if there is none. */
static const char *
word(const char **at, const char *end)
{
	const char *word = *at;

	if (word >= end)
		return "";
	*at = word + strlen(word) + 1;
	return word;
}

static enum hba_fit
is_member(const char *role, void *unused)
{
	(void)unused;
	must(role[0] != '\0' && strlen(role) <= RULE_ROLE_MAX);
	return (enum hba_fit)(strlen(role) % 3);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
	size_t head_len = newline != NULL ? (size_t)(newline - data) : 0, errors = 0;
	size_t text_len = newline != NULL ? size - head_len - 1 : size;
	char *head = calloc(1, head_len + 1), *text = malloc(text_len + 1);
	const char *at = head, *map, *name, *user;
	struct ident *ident;

	must(head != NULL && text != NULL);
	memcpy(head, data, newline != NULL ? head_len : 0);
	memcpy(text + 1, newline != NULL ? newline + 1 : data, text_len);
	ident = ident_load(text + 1, text_len, "f", on_problem, &errors);
	must((ident == NULL) == (errors > 0));
	map = word(&at, head + head_len);
	name = word(&at, head + head_len);
	user = word(&at, head + head_len);
	if (map[0] == '\0')
		must(ident_allows(ident, map, name, user, is_member, NULL) ==
		     (strcmp(name, user) == 0 ? HBA_YES : HBA_NO));
	else
		must(ident_allows(ident, map, name, user, is_member, NULL) == HBA_NO || ident_has_map(ident, map));
	ident_unref(ident);
	free(head);
	free(text);
	return 0;
}
