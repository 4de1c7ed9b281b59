/* src/base/file.h - a small file as a whole: a configuration, users, rules, a secret, a passfile. */
#pragma once

#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct file_content {
	char *text; /* len bytes and a terminator */
	size_t len;
	struct stat st;
};

#define FILE_TOO_LARGE "54000"

/* Reads a regular file only: a pipe without a writer would block. Returns 0, or -1 with *why set, which names the
 * path. */
int file_read(const char *path, size_t max_len, struct file_content *out, struct fail *why);
void file_free(struct file_content *file); /* wipes and frees the text */
/* Returns true, with a warning about path in out, if other users may read or change a file of secrets. The rule is that
 * of PostgreSQL for keys: only the owner may, but the group may read a file that root owns. */
bool file_is_open_to_others(const struct stat *st, const char *path, char *out, size_t cap);
