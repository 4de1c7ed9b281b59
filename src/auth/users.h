/*
 * src/auth/users.h - the users_file: names and secrets, in the format of PgBouncer's userlist.txt.
 *
 * Each line is "name" "secret"; the rest of the line is ignored. "" inside quotes stands for one quote; ; and # begin
 * comments. A secret is a plain password, "md5" and 32 hex digits (md5_secret()), or a SCRAM verifier,
 * SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>. A user with an empty secret (SECRET_NONE) can't log in by
 * a password. Name and secret must be on one line; in PgBouncer, a forgotten quote silently eats the next line.
 *
 * A struct users is immutable; a reload makes a new one. The hash of names is seeded, because clients choose names.
 */
#pragma once

#include "base/fail.h"

#include <stdbool.h>
#include <stdint.h>

enum secret_kind { SECRET_NONE, SECRET_PLAIN, SECRET_MD5, SECRET_SCRAM };

struct user_secret {
	enum secret_kind kind;
	const char *text; /* the whole secret, as in the file; lives as long as the struct users */
};

struct users; /* opaque: users.c */
/* Called for each error and, with is_error false, for each warning. The borrowed `text` begins with the path. */
typedef void users_report(bool is_error, const char *text, void *arg);

/*
 * Reads a file of at most 64 MiB. Returns NULL with *why set if the file can't be read or a line is invalid; calls
 * tell() for each of the first 100 invalid lines. Also calls tell() with warnings: one if other system users may read
 * or change the file, and at most 10 about duplicate names, of which the last one counts. `tell` may be NULL. If
 * is_lenient, ignores each invalid line with a warning, as PgBouncer does.
 */
struct users *users_load(const char *path, bool is_lenient, users_report *tell, void *arg, struct fail *why);
/* Does what users_load() does, for the contents of a file; `path` is the file's name in messages. */
struct users *users_load_text(const char *text, size_t text_len, const char *path, bool is_lenient, users_report *tell,
			      void *arg, struct fail *why);
struct users *users_new_single(const char *name, const char *password); /* returns NULL if there is no memory */
struct users *users_ref(struct users *users); /* may be called on any thread; users may be NULL */
/* Drops a reference; the last one wipes all secrets. May be called on any thread; users may be NULL. */
void users_unref(struct users *users);
/* Returns true with *out set if the file has this user. users may be NULL. */
bool users_find(const struct users *users, const char *name, struct user_secret *out);
size_t users_count(const struct users *users); /* users may be NULL */
/* Calls row() for each user. users may be NULL. */
void users_each(const struct users *users, void (*row)(const char *name, void *arg), void *arg);
/*
 * Returns true if an unknown user must be asked for SCRAM although the method is md5.
 *
 * With the method md5, users with a SCRAM secret are asked for SCRAM, and the others for MD5. If all unknown users were
 * asked for the same method, clients could find out which names are in the file. So the same proportion of unknown
 * users as of known users is asked for SCRAM. While `users` stays the same, the result depends only on `name` and on
 * `key`, a secret of the process. If `users` is NULL or has no secrets, returns true.
 */
bool users_asks_unknown_for_scram(const struct users *users, const char *name, const uint8_t key[static 32]);
/* Calls tell() for at most 100 entries that must be mistakes: an empty name; a secret that looks like a SCRAM verifier
 * or MD5 secret but is malformed, for example because a shell has replaced its $; if needs_secrets, an empty secret.
 * They are reported as errors or, if is_lenient, as warnings, because PgBouncer takes a malformed secret for a plain
 * password. `path` is the file's name in messages. */
void users_check(const struct users *users, const char *path, bool needs_secrets, bool is_lenient, users_report *tell,
		 void *arg);
/* Returns true if the secret is plain or MD5, and `password` is right for it. */
bool users_is_right_password(const struct user_secret *secret, const char *name, const char *password);
/* Returns the kind of a secret: SECRET_PLAIN unless the text has exactly the form of another kind. */
enum secret_kind secret_kind_of(const char *text);
