/* src/config/config_state.h - declarations for code that reads configuration files: problems, and lines of a file. */
#pragma once

#include "build.h"

#include "base/file.h"
#include "config/config.h"
#include "config/config_origin.h"

#include <stddef.h>

/*
 * --- config_problems.c: collects the problems of a configuration.
 *
 * A load does not stop at the first mistake: it adds each mistake to a list, which is shown in order of line. A file of
 * garbage may have a mistake on each line, so the list keeps only the first PROBLEMS_MAX.
 */
#define PROBLEMS_MAX 1000
#define PROBLEM_TEXT_MAX 1024 /* bytes of a problem; longer texts are truncated */

/* Functions that translate between pgweir's names of settings and another program's. They truncate texts to `size`
 * bytes. */
struct problem_words {
	void (*reword)(char *text, size_t size); /* replaces pgweir's names in a problem or a hint */
	/* Copies a text of config_diff(), such as "pool.pool_size: 20 -> 30", with the other program's name. */
	void (*change)(const char *text, char *out, size_t size);
	const char *(*our_name)(const char *theirs); /* returns pgweir's name for the setting, or NULL */
};
/* In config.c. Returns the functions that translate names in messages about this configuration, or NULL if its file is
 * in pgweir's own format. */
const struct problem_words *config_words(const struct config *config);

/* The list to which a load adds its problems, and the names that problems show for the file and its settings. */
struct problem_sink {
	struct config_problems *problems;
	/* the file as the user named it, shown before the line; NULL if problems are shown without the file */
	const char *file;
	struct config_source *source; /* NULL unless the file is a pgbouncer.ini */
	/* translates pgweir's names in problems; NULL if the file uses pgweir's names */
	const struct problem_words *words;
};

/* Adds a problem. `line` is 0 if the problem is not about a line. */
void problem_add(const struct problem_sink *sink, bool is_error, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#define problem_error(sink, ...) problem_add((sink), true, __VA_ARGS__)
#define problem_warning(sink, ...) problem_add((sink), false, __VA_ARGS__)
/* Adds an error with the text "ABOUT: TEXT. HINT", where TEXT and HINT are from *why. */
void problem_add_fail(const struct problem_sink *sink, unsigned line, const char *about, const struct fail *why);
/* Sorts the list by line, stably; problems without a line come last. */
void problems_sort(struct config_problems *problems);

/*
 * --- config_reader.c: passes the lines of an ini file to inih, one at a time.
 *
 * inih splits a setting at its "=" and cuts comments off. inih would silently misread some lines; config_reader.c
 * refuses such lines, or changes them before inih gets them. inih truncates lines (at 200 bytes, in versions without
 * ini_max_line) and section names (at 49 bytes). inih passes on no line numbers, and reads a section without "]" as a
 * setting, a ":" as a "=", and an indented line as a continuation of the value above.
 */
#ifdef HAVE_INI_MAX_LINE
#define READER_LINE_MAX ((size_t)1 << 20) /* bytes: as many as a file may have */
#else
#define READER_LINE_MAX ((size_t)198) /* bytes that inih's buffer holds, without the newline */
#endif
#define READER_HEAD_MAX 198 /* bytes between the brackets of a section */

/* Callbacks for each section and each setting, in the order of the file. `arg` is passed to both. */
struct reader_calls {
	void (*on_section)(void *arg, unsigned line, const char *head); /* head is the text between the brackets */
	void (*on_setting)(void *arg, unsigned line, const char *name, const char *value);
	void *arg;
};

/* Reads the text of a file, and adds its mistakes to sink. Returns 0, or -1 if inih ran out of memory; this error is
 * added to sink, too. */
int config_read(const char *text, size_t len, const struct reader_calls *calls, const struct problem_sink *sink);
/* Returns true if config_read() reads this value back unchanged from a line "key = value". (A value that begins with a
 * semicolon must be written right after the "=", without a blank.) */
bool reader_can_hold(const char *key, const char *value);
/* Returns the quote, ' or ", if the value begins and ends with that quote and has it nowhere else; else returns 0. The
 * loader removes the two quotes. */
char reader_quote_of(const char *value);

#define CONFIG_FILE_MAX ((size_t)1 << 20) /* bytes of a configuration */
