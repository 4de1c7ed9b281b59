/* src/base/file.h - reads a small file as a whole: a configuration, users, rules, a secret, a passfile. */
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

#define FILE_TOO_LARGE "54000" /* the SQLSTATE of file_read() for a file of more than max_len bytes */

/* Reads a file, which must be a regular file, because reading a pipe may block. Returns 0, or -1 with *why set;
 * why->text names the path. */
int file_read(const char *path, size_t max_len, struct file_content *out, struct fail *why);
void file_free(struct file_content *file); /* wipes and frees the text */
/* Returns true if too many users may read or change this file of secrets, and writes a warning about `path` to `out`.
 * As with PostgreSQL's private keys, only the owner may do so, but a group may read a file that root owns. */
bool file_is_open_to_others(const struct stat *st, const char *path, char *out, size_t cap);
