/*
 * src/auth/ident.h - PostgreSQL's pg_ident.conf: which names, from certificates or from the system, may log in as which
 * users (chapter "User Name Maps"; a leading slash and "all" in the last column work as in version 16).
 *
 * A line has a map, an external name and a user. A name that begins with a slash is a regular expression (rule_file.h),
 * and \1 in the user stands for what its first parentheses matched. The user "all" is any user, and one that begins
 * with a slash is a regular expression. Case is significant everywhere. +group is refused: pgweir knows no roles.
 *
 * An immutable value: a reload reads a new one.
 */
#pragma once

#include "auth/rule_file.h"

#include <stdbool.h>
#include <stddef.h>

#define IDENT_REGEXES_MAX 1000 /* of one file */

struct ident; /* opaque: ident.c */

/*
 * Reads a file; or text, and no other file, unless that is NULL. Returns NULL if anything is wrong; every error is
 * reported. An empty file is fine.
 */
struct ident *ident_load(const char *text, size_t text_len, const char *path, rule_report *report, void *arg);
struct ident *ident_ref(struct ident *ident); /* NULL is fine, as everywhere below */
void ident_unref(struct ident *ident);
/* Returns true if name may log in as user. Without a map (NULL or "") they must be equal. */
bool ident_allows(const struct ident *ident, const char *map, const char *name, const char *user);
bool ident_has_map(const struct ident *ident, const char *map);
