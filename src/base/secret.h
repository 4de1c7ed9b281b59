/*
 * src/base/secret.h - checks whether others can read a file of secrets, by PostgreSQL's rule for keys: only its owner
 * may read it, or, if root owns it, also its group. Frees texts that nobody may find in memory later.
 */
#pragma once

#include <openssl/crypto.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Returns true if others can read it, with a warning about path in out. */
bool secret_file_is_open(const struct stat *st, const char *path, char *out, size_t cap);

/* Wipes the text and frees it; NULL is fine. */
static inline void
secret_free(char *text)
{
	if (text != NULL)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
}
