/*
 * src/auth/rule_file.h - the syntax that pg_hba.conf and pg_ident.conf share.
 *
 * The rules are those of PostgreSQL's chapter "The pg_hba.conf File" (read by its hba.c), with version 16's include
 * directives: a backslash at the end of a line continues it; # begins a comment; fields are separated by blanks, the
 * words of one field by commas; double quotes take a word's special meaning away and make blanks part of the word, and
 * two double quotes stand for one; @NAME stands for the words of another file; include, include_if_exists and
 * include_dir read the lines of other files. File names are relative to the file that has them. Unlike in PostgreSQL, a
 * quote that is not closed is an error, and does not silently swallow the rest of its line.
 *
 * Bounded: files nest at most RULE_DEPTH_MAX deep, and have at most RULE_BYTES_MAX bytes in all.
 */
#pragma once

#include "base/fail.h"

#include <stdbool.h>

#define RULE_DEPTH_MAX 10 /* PostgreSQL's CONF_FILE_MAX_DEPTH */
#define RULE_BYTES_MAX ((size_t)4 << 20)
#define RULE_TEXT_MAX 512
#define RULE_ROLE_MAX 63 /* bytes of a role's name */

/* Receives an error or, if is_error is false, a warning. line is 0 for the file as a whole. Arguments are borrowed. */
typedef void rule_report(bool is_error, const char *path, unsigned line, const char *text, void *arg);

struct rule_regex; /* opaque: rule_regex.c; immutable */

struct rule_word {
	char *text;
	bool is_quoted; /* the word begins with a quote, so it is not a keyword */
};
struct rule_field {
	struct rule_word *words; /* empty if the field names an empty file (@NAME) */
	size_t count;
};
/* A line that is not empty. Borrowed. */
struct rule_line {
	const char *path;
	unsigned number; /* the number of its first line in the file */
	struct rule_field *fields;
	size_t count; /* at least 1 */
};

#define RULE_REGEXES_MAX 1000 /* regular expressions in one file */
/* The state of rule_read(), which on_line() passes to the functions below. */
struct rule_reading {
	rule_report *report;
	void *arg;
	size_t errors, regexes;
};
/* Reads the file at `path` and the files that it names; or, if `text` is not NULL, reads `text` and no file. Problems
 * are counted in *reading, and reported. */
void rule_read(const char *text, size_t text_len, const char *path,
	       void (*on_line)(const struct rule_line *line, void *arg), struct rule_reading *reading, void *arg);
/* Reports an error. Always returns false. */
bool rule_bad(struct rule_reading *r, const struct rule_line *line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Compiles a word that begins with a slash. Returns false if that fails, which is reported. */
bool rule_take_regex(struct rule_reading *r, const struct rule_line *line, const struct rule_word *word,
		     struct rule_regex **regex);

/* Returns true if `role`, the text after a plus, can be a role's name; otherwise reports an error and returns false. */
bool rule_check_role(struct rule_reading *r, const struct rule_line *line, const char *role);
/* Returns true if `word` is `keyword`, and not quoted. */
bool rule_word_is(const struct rule_word *word, const char *keyword);

/*
 * --- rule_regex.c: regular expressions in rules (words that begin with a slash).
 *
 * PostgreSQL has "advanced" expressions and a library of its own; pgweir uses the POSIX extended expressions of the C
 * library, matched by bytes. An expression must have the same meaning in both, so syntax that the two read differently
 * (\d, \w, lazy repetition, look-ahead, back-references, a backslash within brackets, ...) is refused. All other
 * expressions are matched in linear time.
 */
#define RULE_REGEX_MAX ((size_t)512) /* bytes of an expression */

/* Returns the compiled expression, or NULL with *why set (2201B). */
struct rule_regex *rule_regex_new(const char *pattern, struct fail *why);
void rule_regex_free(struct rule_regex *re); /* NULL is fine */
/* Returns true if text contains a match. *begin and *end (either may be NULL) are set to the positions where the first
 * parentheses matched, or both to SIZE_MAX if the parentheses matched nothing. */
bool rule_regex_match(const struct rule_regex *re, const char *text, size_t *begin, size_t *end);
bool rule_regex_has_parentheses(const struct rule_regex *re);
