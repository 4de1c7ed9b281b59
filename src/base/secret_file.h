/*
 * src/base/secret_file.h - checks whether others can read a file of secrets, by PostgreSQL's rule for keys: only its
 * owner may read it, or, if root owns it, also its group.
 */
#ifndef PGWEIR_BASE_SECRET_FILE_H
#define PGWEIR_BASE_SECRET_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* Returns true if others can read it, with a warning about path in out. */
bool secret_file_is_open(const struct stat *st, const char *path, char *out, size_t cap);

#endif
