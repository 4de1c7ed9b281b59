/*
 * tests/fuzz/fuzz_pgbouncer_ini.c - any pgbouncer.ini: it is refused, or what --import-pgbouncer makes of it means the
 * same.
 *
 * The one exception is a value that fits on no line of pgweir's own file.
 */
#include "modules/pgbouncer_ini/pgbouncer_ini.h"
#include "config/config.h"
#include "config/config_origin.h"
#include "load/load_state.h"
#include "fuzz.h"

#include <stdio.h>

/* All settings but for where they are from. Passwords are *** in it. */
static char *
values(const struct config *config)
{
	char *text = NULL, *from, *to;
	size_t len;
	FILE *file = open_memstream(&text, &len);

	if (file == NULL)
		abort();
	config_dump(config, file);
	fclose(file);
	for (from = to = text; *from != '\0';) {
		size_t line = strcspn(from, "\n"), kept = line;

		for (size_t i = 1; i < kept; i++)
			if (from[i] == ';' && from[i - 1] == ' ')
				kept = i - 1;
		memmove(to, from, kept);
		to += kept;
		*to++ = '\n';
		from += line + (from[line] == '\n');
	}
	*to = '\0';
	return text;
}

/* Longer lines are no lines of pgweir's. */
static bool
has_long_line(const char *text)
{
	for (; *text != '\0'; text += strcspn(text, "\n"), text += *text == '\n')
		if (*text != ';' && strcspn(text, "\n") > READER_LINE_MAX)
			return true;
	return false;
}

static char *
import(const char *data, size_t size)
{
	struct config_problems problems = { 0 };
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (to == NULL || !bouncer_import_text(data, size, "/nonexistent/pgbouncer.ini", &problems, to))
		abort(); /* it has just been loaded */
	fclose(to);
	config_problems_fini(&problems);
	return text;
}

static void
check_import(const struct config *config, const char *data, size_t size)
{
	struct config_problems problems = { 0 };
	char *text = import(data, size), *theirs, *ours;
	struct config *again;

	if (!has_long_line(text)) {
		again = load_text(text, strlen(text), "/nonexistent/pgweir.ini", NULL, 0, &problems);
		if (again == NULL) {
			fprintf(stderr, "%s\n%s\n", problems.list[0].text, text);
			abort();
		}
		theirs = values(config);
		ours = values(again);
		if (strcmp(theirs, ours) != 0) {
			fprintf(stderr, "%s\n--- became\n%s\n", theirs, ours);
			abort();
		}
		free(theirs);
		free(ours);
		config_unref(again);
	}
	config_problems_fini(&problems);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct config_problems problems = { 0 };
	struct config *config;

	if (!bouncer_is_ini(text, size))
		return 0;
	config = load_text(text, size, "/nonexistent/pgbouncer.ini", NULL, 0, &problems);
	if ((config == NULL) != (problems.error_count > 0))
		abort();
	if (config != NULL)
		check_import(config, text, size);
	config_unref(config);
	config_problems_fini(&problems);
	return 0;
}
