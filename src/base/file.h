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

/* Reads a regular file only: a pipe that nobody writes to would block. 0, or -1 with *why set (has the path). */
int file_read(const char *path, size_t max_len, struct file_content *out, struct fail *why);
void file_free(struct file_content *file); /* wipes */
/* Returns true if others can read a file of secrets, with a warning about path in out. PostgreSQL's rule for keys: only
 * its owner may read it, or, if root owns it, also its group. */
bool file_is_open_to_others(const struct stat *st, const char *path, char *out, size_t cap);
