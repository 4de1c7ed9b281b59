/*
 * src/auth/users.h - the users_file: names and secrets. PgBouncer's userlist.txt is read as it is.
 *
 * Each line is "name" "secret", with "" for a quote inside; ; and # begin comments. A secret is a plain password, "md5"
 * and 32 hex digits (MD5 of password and name), or SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>. The rest
 * of the line is ignored. With an empty secret (SECRET_NONE) no password is accepted. Unlike in PgBouncer, where a
 * forgotten quote quietly eats the next line, name and secret must be on one line.
 *
 * The value is immutable: a reload reads a new one. The hash of the names is seeded, because clients choose
 * the names that are looked up.
 */
#pragma once

#include "base/fail.h"

#include <stdbool.h>
#include <stdint.h>

enum secret_kind { SECRET_NONE, SECRET_PLAIN, SECRET_MD5, SECRET_SCRAM };

struct user_secret {
	enum secret_kind kind;
	const char *text; /* the whole secret as in the file; lives as long as the users value */
};

struct users; /* opaque: users.c */
typedef void users_report(bool is_error, const char *text, void *arg); /* `text` is borrowed, and names path:line */

/*
 * Reads a file of at most 64 MiB. Returns NULL with *why set (F0000, naming path:line) if it can't be read or a line is
 * broken; tell (which may be NULL) is called for each of the first 100 broken lines. `tell` also gets warnings: if
 * other users may read or change the file, and about duplicate names, of which the last one wins. With is_lenient, each
 * broken line is left out with a warning, because PgBouncer logs such lines and starts.
 */
struct users *users_load(const char *path, bool is_lenient, users_report *tell, void *arg, struct fail *why);
/* Does what users_load() does for the contents of a file; `path` is its name in messages. */
struct users *users_parse(const char *text, size_t text_len, const char *path, bool is_lenient, users_report *tell,
			  void *arg, struct fail *why);
struct users *users_single(const char *name, const char *password); /* one user; NULL without memory */
struct users *users_ref(struct users *users); /* both ref and unref: on any thread, and NULL is fine */
void users_unref(struct users *users); /* dropping the last reference wipes all secrets */
bool users_find(const struct users *users, const char *name, struct user_secret *out); /* users may be NULL */
size_t users_count(const struct users *users);
void users_each(const struct users *users, void (*row)(const char *name, void *arg), void *arg); /* users may be NULL */
/* Returns true if an unknown user must be asked for SCRAM although the method is md5. Known users with a SCRAM secret
 * are asked for SCRAM even then. An equal share of unknown users must be asked for SCRAM, or the method would reveal
 * which names are in the file. The result depends only on `name` and `key` (a secret of the process). `users` may be
 * NULL. */
bool users_mock_scram(const struct users *users, const char *name, const uint8_t key[static 32]);
/* Calls `tell` for entries that must be mistakes: an empty name; a secret that looks like a verifier but isn't one
 * (e.g. because a shell has replaced its $); and, if needs_secrets is true, an empty secret. They are errors or, with
 * is_lenient, warnings, because PgBouncer takes such a verifier for a password. `tell` is called 100 times at most.
 * `path` is the file's name for messages. */
void users_check(const struct users *users, const char *path, bool needs_secrets, bool is_lenient, users_report *tell,
		 void *arg);
/* Returns true if `password` fits the secret, which must be plain or MD5's; for a SCRAM secret returns false (see
 * scram.h). */
bool users_secret_fits(const struct user_secret *secret, const char *name, const char *password);
/* Returns the kind of a secret; SECRET_PLAIN unless the text has exactly the form of another kind. */
enum secret_kind secret_kind_of(const char *text);
