/* src/config/config_problems.c - see config_state.h. */
#include "config/config_state.h"
#include "base/alloc.h"

/* Returns the text of a problem without "upstream: " or pgweir's name for the setting, because the message already
 * shows `name`, the other program's name: "logfile: destination = /x: ..." becomes "logfile: /x: ...". */
static const char *
without_our_name(const struct problem_words *words, const char *body, const char *name)
{
	const char *ours = words != NULL ? words->our_name(name) : NULL;
	size_t len = ours != NULL ? strlen(ours) : 0;

	if (strncmp(body, "upstream: ", 10) == 0)
		return body + 10;
	return len > 0 && strncmp(body, ours, len) == 0 && strncmp(body + len, " = ", 3) == 0 ? body + len + 3 : body;
}

void
problem_add(const struct problem_sink *sink, bool is_error, unsigned line, const char *fmt, ...)
{
	struct config_problems *problems = sink->problems;
	struct config_problem *slot;
	char body[PROBLEM_TEXT_MAX], text[PROBLEM_TEXT_MAX + 1024], place[512];
	const char *name;
	va_list ap;

	problems->error_count += is_error;
	if (problems->count > PROBLEMS_MAX)
		return;
	problems->list = xwith_room(problems->list, problems->count, sizeof(*problems->list));
	slot = &problems->list[problems->count++];
	va_start(ap, fmt);
	vsnprintf(body, sizeof(body), fmt, ap);
	va_end(ap);
	if (sink->words != NULL)
		sink->words->reword(body, sizeof(body));
	if (problems->count > PROBLEMS_MAX) {
		line = 0;
		snprintf(body, sizeof(body), "too many problems; the others are not shown");
	}
	if (line >= LINE_SET)
		line = 0;
	if (line > 0) {
		source_put_location(sink->source, sink->file, line, place, sizeof(place) - 2);
		memcpy(place + strlen(place), ": ", 3);
	} else
		snprintf(place, sizeof(place), "%.400s%s", sink->file != NULL ? sink->file : "",
			 sink->file != NULL ? ": " : "");
	name = source_name_of(sink->source, line);
	if (name != NULL && strncmp(body, name, strlen(name)) == 0)
		name = NULL; /* the text begins with the name already */
	snprintf(text, sizeof(text), "%s%s: %.256s%s%s", place, is_error ? "error" : "warning",
		 name != NULL ? name : "", name != NULL ? ": " : "",
		 name != NULL ? without_our_name(sink->words, body, name) : body);
	/* Control characters could manipulate the terminal on which the list is shown. */
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	*slot = (struct config_problem){ is_error, line, xstrdup(text) };
}

void
problem_add_fail(const struct problem_sink *sink, unsigned line, const char *about, const struct fail *why)
{
	problem_error(sink, line, "%s: %s%s%s", about, why->text, why->hint[0] != '\0' ? ". " : "", why->hint);
}

void
config_problem_plain(const struct config_problem *problem, char *out, size_t size)
{
	const char *word = problem->is_error ? "error: " : "warning: ", *at = strstr(problem->text, word);

	if (at != NULL && (at == problem->text || at[-1] == ' '))
		snprintf(out, size, "%.*s%s", (int)(at - problem->text), problem->text, at + strlen(word));
	else
		snprintf(out, size, "%s", problem->text);
}

void
problems_sort(struct config_problems *problems)
{
	for (size_t i = 1; i < problems->count; i++) {
		struct config_problem moving = problems->list[i], *to = &problems->list[i];

		/* Problems without a line come last. */
		for (; to > problems->list && moving.line != 0 && (to[-1].line == 0 || moving.line < to[-1].line); to--)
			*to = to[-1];
		*to = moving;
	}
}

void
config_problems_truncate(struct config_problems *problems, size_t count)
{
	for (; problems->count > count; problems->count--) {
		struct config_problem *last = &problems->list[problems->count - 1];

		problems->error_count -= last->is_error;
		free(last->text);
	}
}

void
config_problems_fini(struct config_problems *problems)
{
	config_problems_truncate(problems, 0);
	free(problems->list);
	*problems = (struct config_problems){ 0 };
}
