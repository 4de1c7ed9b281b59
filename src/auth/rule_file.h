/*
 * src/auth/rule_file.h - the syntax that pg_hba.conf and pg_ident.conf share.
 *
 * The syntax is that of PostgreSQL's chapter "The pg_hba.conf File", with version 16's include directives:
 *
 * - A line that ends with a backslash goes on in the next line. # begins a comment.
 * - Fields are separated by blanks, and the words of one field by commas.
 * - A word in double quotes is not a keyword, and may contain blanks. Inside the quotes, "" stands for one quote.
 * - @NAME stands for the words of another file; include, include_if_exists and include_dir read lines of other files.
 *   A relative file name is relative to the folder of the file in which the name stands.
 *
 * A quote that is not closed is an error; in PostgreSQL, it silently swallows the rest of the line. Files are nested at
 * most RULE_DEPTH_MAX deep, and have at most RULE_BYTES_MAX bytes in all.
 */
#pragma once

#include "base/fail.h"

#include <stdbool.h>

#define RULE_DEPTH_MAX 10 /* PostgreSQL's CONF_FILE_MAX_DEPTH */
#define RULE_BYTES_MAX ((size_t)4 << 20)
#define RULE_TEXT_MAX 512 /* bytes of a report's text, with its terminator */
#define RULE_ROLE_MAX 63 /* bytes of a role's name */

/* Called for each error and, with is_error false, for each warning. `line` is 0 if the problem is not about a line.
 * Borrows the strings. */
typedef void rule_report(bool is_error, const char *path, unsigned line, const char *text, void *arg);

struct rule_regex; /* opaque: rule_regex.c; immutable */

struct rule_word {
	char *text;
	bool is_quoted; /* the word began with a quote, so it is not a keyword */
};
struct rule_field {
	struct rule_word *words;
	size_t count; /* 0 if the field was @NAME, and that file has no words */
};
/* A line that is not empty. Valid while on_line() runs. */
struct rule_line {
	const char *path; /* the file that has the line */
	unsigned number; /* the line's number; the first line's if backslashes have joined several lines */
	struct rule_field *fields;
	size_t count; /* at least 1 */
};

#define RULE_REGEXES_MAX 1000 /* regular expressions in a file and in all files that the file includes */
/* The state of one call of rule_read(). on_line() calls the functions below with this state. */
struct rule_reading {
	rule_report *report;
	void *arg; /* passed to report() */
	size_t errors, regexes; /* errors: how many were reported so far; regexes: how many were found so far */
};
/* Reads the file at `path` and the files that it includes; if `text` is not NULL, reads `text` instead, and no file.
 * Calls on_line(line, arg) for each line except include directives. Reports errors, and counts them in *reading. */
void rule_read(const char *text, size_t text_len, const char *path,
	       void (*on_line)(const struct rule_line *line, void *arg), struct rule_reading *reading, void *arg);
/* Reports an error. Always returns false. */
bool rule_report_error(struct rule_reading *r, const struct rule_line *line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Compiles a word that begins with a slash. Returns true with *regex set, or reports an error and returns false. */
bool rule_take_regex(struct rule_reading *r, const struct rule_line *line, const struct rule_word *word,
		     struct rule_regex **regex);

/* Checks the length of `role`, the text after a plus. If the length is wrong, reports an error and returns false. */
bool rule_check_role(struct rule_reading *r, const struct rule_line *line, const char *role);
/* Returns true if the word is `keyword` without quotes. */
bool rule_word_is(const struct rule_word *word, const char *keyword);

/*
 * --- rule_regex.c: regular expressions in rules: words that begin with a slash.
 *
 * PostgreSQL has "advanced" regular expressions and a library of its own. pgweir uses the C library's POSIX extended
 * expressions, which match bytes. An expression must mean the same in both, so rule_regex_new() refuses syntax that the
 * two read differently: \d, \w, lazy repetition, look-ahead, back-references, a backslash within brackets and so on.
 * All other expressions are matched in linear time.
 */
#define RULE_REGEX_BYTES_MAX ((size_t)512) /* bytes of an expression */

/* Returns the compiled expression, or NULL with *why set (2201B). */
struct rule_regex *rule_regex_new(const char *pattern, struct fail *why);
void rule_regex_free(struct rule_regex *re); /* re may be NULL */
/* Returns true if a part of text matches. Sets *begin and *end to the range in text that the first parentheses have
 * matched, or both to SIZE_MAX if the parentheses took no part in the match. begin and end may both be NULL. */
bool rule_regex_match(const struct rule_regex *re, const char *text, size_t *begin, size_t *end);
bool rule_regex_has_parentheses(const struct rule_regex *re);
