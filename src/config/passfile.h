/* src/config/passfile.h - libpq's password file: hostname:port:database:username:password, first match wins. */
#pragma once

#include "base/fail.h"

#include <stddef.h>

struct passfile_query {
	const char *host, *port, *dbname, *user; /* the connection's */
};

/*
 * The password for it: the caller wipes and frees. NULL with an empty why->text: the file is not there, or no line
 * fits; with a text: the file was ignored, and why (as in libpq: others may read it, or it is not a file).
 */
char *passfile_find(const char *path, const struct passfile_query *query, struct fail *why);
/* The same for a file's content; pure. */
char *passfile_match(const char *text, size_t len, const struct passfile_query *query);
