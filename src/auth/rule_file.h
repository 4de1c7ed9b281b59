/*
 * src/auth/rule_file.h - what pg_hba.conf and pg_ident.conf have in common: how their lines are written.
 *
 * The source of the rules is PostgreSQL's chapter "The pg_hba.conf File" (its reader is hba.c), with version 16's
 * include directives: a backslash at the end of a line continues it; # begins a comment; fields are separated by
 * blanks, words of one field by commas; double quotes take a word's special meaning and make blanks part of it, two of
 * them are one; @NAME is the words of another file; include, include_if_exists and include_dir bring the lines of
 * others. Names of files are relative to the file they stand in. Unlike in PostgreSQL, a quote that is not closed is
 * an error, and does not silently swallow the rest of its line.
 *
 * Bounded: RULE_DEPTH_MAX files within each other, RULE_BYTES_MAX bytes in all.
 */
#ifndef PGWEIR_AUTH_RULE_FILE_H
#define PGWEIR_AUTH_RULE_FILE_H

#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>

#define RULE_DEPTH_MAX 10 /* PostgreSQL's CONF_FILE_MAX_DEPTH */
#define RULE_BYTES_MAX ((size_t)4 << 20)
#define RULE_TEXT_MAX 512

/* What is wrong, or (is_error false) looks wrong. line 0: with the file as a whole. All is borrowed. */
typedef void rule_report(bool is_error, const char *path, unsigned line, const char *text, void *arg);

struct rule_word {
	char *text;
	bool is_quoted; /* it begins with a quote: no keyword */
};
struct rule_field {
	struct rule_word *words; /* of a list in a file that was named there, there may be none */
	size_t count;
};
/* A line with something on it. Borrowed. */
struct rule_line {
	const char *path;
	unsigned number; /* of its first line in the file */
	struct rule_field *fields;
	size_t count; /* at least 1 */
};

struct rule_calls {
	void (*on_line)(const struct rule_line *line, void *arg);
	rule_report *on_problem;
	void *arg; /* of both */
};

/* Reads all there is; each problem is reported. */
void rule_file_read(const char *path, const struct rule_calls *calls);
/* The same from memory; files it names are not opened, which is a problem. */
void rule_text_read(const char *text, size_t text_len, const char *path, const struct rule_calls *calls);

/* A word without quotes that is keyword. */
bool rule_word_is(const struct rule_word *word, const char *keyword);

/*
 * --- rule_regex.c: regular expressions of rules (words that begin with a slash).
 *
 * PostgreSQL's are "advanced" ones of its own library, ours POSIX extended ones of the C library, matched by bytes. An
 * expression must never mean something else here than there: what the two read differently (\d, \w, lazy repetition,
 * look-ahead, back-references, a backslash within brackets, ...) is refused. What is left is matched in linear time.
 *.
 */
#define RULE_REGEX_MAX ((size_t)512) /* bytes of an expression */

struct rule_regex; /* opaque: rule_regex.c; immutable */

/* NULL and why (2201B: what is wrong with it). */
struct rule_regex *rule_regex_new(const char *pattern, struct fail *why);
void rule_regex_free(struct rule_regex *re); /* NULL is fine */
/*
 * Is it found in text? *begin and *end (NULL: not wanted) are where its first parentheses matched; equal to SIZE_MAX
 * both, if they took no part.
 */
bool rule_regex_match(const struct rule_regex *re, const char *text, size_t *begin, size_t *end);
bool rule_regex_has_parentheses(const struct rule_regex *re);

#endif
