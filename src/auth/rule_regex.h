/*
 * src/auth/rule_regex.h - regular expressions of rules (words that begin with a slash).
 *
 * PostgreSQL's are "advanced" ones of its own library, ours POSIX extended ones of the C library, matched by bytes. An
 * expression must never mean something else here than there: what the two read differently (\d, \w, lazy repetition,
 * look-ahead, back-references, a backslash within brackets, ...) is refused. What is left is matched in linear time.
 */
#ifndef PGWEIR_AUTH_RULE_REGEX_H
#define PGWEIR_AUTH_RULE_REGEX_H

#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>

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
