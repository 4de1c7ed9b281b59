/*
 * src/auth/ident.h - which names of a certificate or of the system may log in as which users: PostgreSQL's
 * pg_ident.conf (chapter "User Name Maps"; words that begin with a slash and "all" in the last column as in version
 * 16).
 *
 * A line: map, name from outside, user. A name that begins with a slash is a regular expression (rule_file.h), and
 * \1 in the user stands for what its first parentheses matched; a user of "all" is any user, one that begins with a
 * slash a regular expression. Capitals count everywhere. +group is refused: pgweir knows no roles.
 *
 * An immutable value: a reload reads a new one.
 */
#ifndef PGWEIR_AUTH_IDENT_H
#define PGWEIR_AUTH_IDENT_H

#include "auth/rule_file.h"

#include <stdbool.h>
#include <stddef.h>

#define IDENT_REGEXES_MAX 1000 /* of one file */

struct ident; /* opaque: ident.c */

/* NULL if anything is wrong (or memory is short): all of it is reported. A file without a line is fine. */
struct ident *ident_load(const char *path, rule_report *report, void *arg);
/* The same from memory; no other files. */
struct ident *ident_parse(const char *text, size_t text_len, const char *path, rule_report *report, void *arg);
struct ident *ident_ref(struct ident *ident); /* NULL is fine, as everywhere below */
void ident_unref(struct ident *ident);
/* May name log in as user? Without a map (NULL or "") they must be the same. */
bool ident_allows(const struct ident *ident, const char *map, const char *name, const char *user);
bool ident_has_map(const struct ident *ident, const char *map);

#endif
