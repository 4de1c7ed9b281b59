/*
 * src/base/secret_file.h - whether a file of secrets can be read by others. PostgreSQL's rule for keys: nobody but its
 * owner, but for root's files the group may read, too.
 */
#ifndef PGWEIR_BASE_SECRET_FILE_H
#define PGWEIR_BASE_SECRET_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* True: it can, and what to warn of is in out. path: for that alone. */
bool secret_file_is_open(const struct stat *st, const char *path, char *out, size_t cap);

#endif
