/*
 * src/auth/users.h - the users_file: names and secrets. PgBouncer's userlist.txt is read as it is.
 *
 * Each line: "name" "secret", with "" for a quote inside; ; and # begin comments. A secret is plain text, "md5" and 32
 * hex digits (MD5 of password and name), or SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>.
 * An immutable value: a reload reads a new one. Looked up by a seeded hash (names come from peers).
 */
#ifndef PGWEIR_AUTH_USERS_H
#define PGWEIR_AUTH_USERS_H

#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>

enum secret_kind { SECRET_NONE, SECRET_PLAIN, SECRET_MD5, SECRET_SCRAM };

struct user_secret {
	enum secret_kind kind;
	const char *text; /* the whole secret as in the file; lives as long as the users value */
};

struct users; /* opaque: users.c */

/* Reads a file (at most 64 MiB). Errors name path:line. Warns through warn (may be NULL) if others may read the file. */
struct users *users_load(const char *path, void (*warn)(const char *text, void *arg), void *arg, struct fail *why);
struct users *users_parse(const char *text, size_t text_len, const char *path, struct fail *why); /* the pure part */
struct users *users_single(const char *name, const char *password); /* one user; NULL without memory */
struct users *users_ref(struct users *users);
void users_unref(struct users *users); /* the last one wipes all secrets; NULL is fine */
bool users_find(const struct users *users, const char *name, struct user_secret *out); /* users may be NULL */
size_t users_count(const struct users *users);
/* What a secret's text is; SECRET_PLAIN if it is neither of the others in full. */
enum secret_kind secret_kind_of(const char *text);

#endif
