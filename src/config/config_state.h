/*
 * src/config/config_state.h - declarations that the readers of a configuration share: problems, lines, values, files.
 */
#pragma once

#include "build.h"

#include "base/file.h"
#include "config/config.h"
#include "config/config_origin.h"

#include <stddef.h>

/*
 * --- config_problems.c: collects the problems of a configuration.
 *
 * A load does not stop at the first mistake: each is added here, and the whole list is shown in order of line. A file
 * of garbage makes as many mistakes as it has lines, so the list keeps PROBLEMS_MAX of them and counts the rest.
 */
#define PROBLEMS_MAX 1000
#define PROBLEM_TEXT_MAX 1024 /* bytes of a problem; longer texts are truncated */

/* The names of settings in another program's file; texts that do not fit are truncated. */
struct problem_words {
	void (*reword)(char *text, size_t size); /* replaces our names in advice (a hint, a problem) */
	/* Copies a line about a change of a reload, "pool.pool_size: 20 -> 30", with the file's name of the setting. */
	void (*change)(const char *text, char *out, size_t size);
	const char *(*our_name)(const char *theirs); /* returns NULL if there is none */
};
/* config.c: returns the names to use in messages about a configuration (problem_sink.words), or NULL if its file is
 * pgweir's. */
const struct problem_words *config_words(const struct config *config);

/* The origin of the lines of problems. Embedded; one per load. */
struct problem_sink {
	struct config_problems *problems;
	/* the text before the line: the file as the user named it; NULL if the problem's text names it */
	const char *file;
	struct config_source *source; /* meaning of a pgbouncer.ini's lines; else NULL */
	const struct problem_words *words; /* set while problems name pgweir's settings and the file has other names */
};

/* Adds a problem. line is 0 for a problem of the whole file. */
void problem_note(const struct problem_sink *sink, bool is_error, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#define problem_error(sink, ...) problem_note((sink), true, __VA_ARGS__)
#define problem_warning(sink, ...) problem_note((sink), false, __VA_ARGS__)
/* Adds a problem with the text "about: text; hint". */
void problem_fail(const struct problem_sink *sink, unsigned line, const char *about, const struct fail *why);
/* Sorts the list by line, stably; problems without a line come last. */
void problems_sort(struct config_problems *problems);

/*
 * --- config_reader.c: the lines of an ini file, one at a time, to inih.
 *
 * inih splits a setting at its "=" and cuts comments off. Lines that it would get wrong silently are refused here
 * first: it cuts lines (at 200 bytes, unless it can be told otherwise) and section names (at 49), knows no line
 * numbers, takes an unclosed section for a setting, a ":" for a "=" and an indented line for more of the value above.
 */
#ifdef HAVE_INI_MAX_LINE
#define READER_LINE_MAX ((size_t)1 << 20) /* bytes: as many as the file may have */
#else
#define READER_LINE_MAX ((size_t)198) /* without the line's end: all that fits into inih's line */
#endif
#define READER_HEAD_MAX 198 /* bytes between the brackets of a section */

struct reader_calls {
	void (*on_section)(void *arg, unsigned line, const char *head); /* head is the text between the brackets */
	void (*on_setting)(void *arg, unsigned line, const char *name, const char *value);
	void *arg;
};

/* Reads a file; mistakes go to sink. Returns 0, or -1 if inih ran out of memory (also a problem). */
int config_read(const char *text, size_t len, const struct reader_calls *calls, const struct problem_sink *sink);
/*
 * Returns true if a line "key = value" can hold this value, so that reading it gives the same bytes back. A value that
 * begins with a semicolon has to follow the = without a blank.
 */
bool reader_can_hold(const char *key, const char *value);
/* Returns the quote that a value begins and ends with and does not contain, or 0. The loader takes that pair of quotes
 * off. */
char reader_quote_of(const char *value);

#define CONFIG_FILE_MAX ((size_t)1 << 20) /* bytes of a configuration */
