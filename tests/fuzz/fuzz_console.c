/*
 * tests/fuzz/fuzz_console.c - any bytes as the text of console statements, and as a pattern of LIKE.
 *
 * Besides memory safety it checks: everything is read to the end; a refusal is SQL's syntax error; a command that was
 * read is within its bounds and in the table.
 */
#include "admin/console_command.h"
#include "admin/console_rows.h"
#include "fuzz.h"

static void
check(const struct command *c)
{
	if (c->row == NULL)
		return;
	must(c->row->id < COMMAND_COUNT && strlen(c->name) <= COMMAND_NAME_MAX && strlen(c->text) <= COMMAND_TEXT_MAX);
	must(c->row->id != COMMAND_SHOW_SETTING || c->setting != NULL);
	if (c->has_text)
		console_like_matches(c->name, c->text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	size_t at = 0, used = 1;

	must(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	while (at < size) {
		struct command c;
		struct fail why = { 0 };

		if (command_parse(text + at, size - at, &used, &c, &why) == 0)
			check(&c);
		else
			must(strcmp(why.sqlstate, "42601") == 0 && why.text[0] != '\0');
		must(used > 0 && used <= size - at);
		at += used;
	}
	if (size > 1)
		console_like_matches(text + size / 2, text);
	free(text);
	return 0;
}
