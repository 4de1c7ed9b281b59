/*
 * tests/fuzz/fuzz_config.c - any file: it is refused, or its dump loads without an error and is dumped alike.
 *
 * The one exception is a value that fits on no line of a file, which the dump says in a comment.
 */
#include "config/config.h"
#include "config/config_origin.h"
#include "load/load_state.h"
#include "fuzz.h"

#include <stdio.h>

static char *
dump(const struct config *config, size_t *len)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, len);

	if (to == NULL)
		abort();
	config_dump(config, to);
	fclose(to);
	return text;
}

/* What is in front of each line's comment: where values come from differs. */
static void
cut_origins(char *text)
{
	char *to = text;

	while (*text != '\0') {
		size_t len = strcspn(text, "\n"), kept = len;

		for (size_t i = 1; i < kept; i++)
			if (text[i] == ';' && text[i - 1] == ' ')
				kept = i - 1;
		memmove(to, text, kept);
		to += kept;
		*to++ = '\n';
		text += len + (text[len] == '\n');
	}
	*to = '\0';
}

static void
check_dump(const struct config *config)
{
	struct config_problems problems = { 0 };
	size_t len, len_again;
	char *text = dump(config, &len), *text_again;
	struct config *again;

	if (strstr(text, ": its value does not fit on one line of a file") == NULL) {
		again = load_text(text, len, "/nonexistent/dump.ini", NULL, 0, &problems);
		if (again == NULL) {
			fprintf(stderr, "%s\n%s\n", problems.list[0].text, text);
			abort();
		}
		text_again = dump(again, &len_again);
		cut_origins(text);
		cut_origins(text_again);
		if (strcmp(text, text_again) != 0) {
			fprintf(stderr, "%s\n--- became\n%s\n", text, text_again);
			abort();
		}
		free(text_again);
		config_unref(again);
	}
	config_problems_fini(&problems);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_problems problems = { 0 };
	struct config *config = load_text((const char *)data, size, "/nonexistent/fuzz.ini", NULL, 0, &problems);

	if ((config == NULL) != (problems.error_count > 0))
		abort();
	if (config != NULL)
		check_dump(config);
	config_unref(config);
	config_problems_fini(&problems);
	return 0;
}
