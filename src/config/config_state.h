/* src/config/config_state.h - declarations that readers of a configuration share: problems, and the lines of a file. */
#pragma once

#include "build.h"

#include "base/file.h"
#include "config/config.h"
#include "config/config_origin.h"

#include <stddef.h>

/*
 * --- config_problems.c: collects the problems of a configuration.
 *
 * A load does not stop at the first mistake: each mistake is added here, and the whole list is shown in order of line.
 * A file of garbage has a mistake on each line, so the list keeps only the first PROBLEMS_MAX.
 */
#define PROBLEMS_MAX 1000
#define PROBLEM_TEXT_MAX 1024 /* bytes of a problem; longer texts are truncated */

/* Translates names of settings for another program's file. Texts that do not fit are truncated. */
struct problem_words {
	void (*reword)(char *text, size_t size); /* replaces pgweir's names in a hint or problem */
	/* Copies a text of config_diff(), "pool.pool_size: 20 -> 30", with the file's name for the setting. */
	void (*change)(const char *text, char *out, size_t size);
	const char *(*our_name)(const char *theirs); /* returns pgweir's name for the setting, or NULL */
};
/* config.c: returns the names to use in messages about a configuration (problem_sink.words), or NULL if its file is
 * pgweir's. */
const struct problem_words *config_words(const struct config *config);

/* The list to which one load adds its problems, and the names of the file and settings in them. Embedded. */
struct problem_sink {
	struct config_problems *problems;
	/* the file as the user named it, to be shown before the line; NULL if the problem's text names it */
	const char *file;
	struct config_source *source; /* for a pgbouncer.ini; else NULL */
	/* for problems that name pgweir's settings, if the file has other names; else NULL */
	const struct problem_words *words;
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
 * --- config_reader.c: passes the lines of an ini file to inih, one at a time.
 *
 * inih splits a setting at its "=" and cuts comments off. Lines that inih would silently read wrongly are refused, or
 * changed first: inih cuts lines (at 200 bytes, in versions without ini_max_line) and section names (at 49 bytes), has
 * no line numbers, takes a section without "]" for a setting, a ":" for a "=", and an indented line for a continuation
 * of the value above.
 */
#ifdef HAVE_INI_MAX_LINE
#define READER_LINE_MAX ((size_t)1 << 20) /* bytes: as many as a file may have */
#else
#define READER_LINE_MAX ((size_t)198) /* without the line's end: as many as inih's line holds */
#endif
#define READER_HEAD_MAX 198 /* bytes between the brackets of a section */

struct reader_calls {
	void (*on_section)(void *arg, unsigned line, const char *head); /* head is the text between the brackets */
	void (*on_setting)(void *arg, unsigned line, const char *name, const char *value);
	void *arg;
};

/* Reads a file; mistakes go to sink. Returns 0, or -1 if inih ran out of memory (also a problem). */
int config_read(const char *text, size_t len, const struct reader_calls *calls, const struct problem_sink *sink);
/* Returns true if this value, written as a line "key = value", is read back unchanged. (A value that begins with a
 * semicolon must be written without a blank after the "=".) */
bool reader_can_hold(const char *key, const char *value);
/* Returns the quote around a value, which the loader removes; 0 if the value has no pair of quotes around it, or
 * contains the same quote. */
char reader_quote_of(const char *value);

#define CONFIG_FILE_MAX ((size_t)1 << 20) /* bytes of a configuration */
