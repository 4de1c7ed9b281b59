/* src/config/config_file.h - a small file as a whole: the configuration itself, a secret, a passfile. */
#ifndef PGWEIR_CONFIG_CONFIG_FILE_H
#define PGWEIR_CONFIG_CONFIG_FILE_H

#include "base/fail.h"

#include <stddef.h>

struct file_content {
	char *text; /* len bytes and a terminator */
	size_t len;
	unsigned mode; /* permissions: 0644 */
};

/* Only regular files, so that a pipe nobody writes to can't hold us up. 0, or -1 and why, which names the path. */
int file_read(const char *path, size_t max_len, struct file_content *out, struct fail *why);
void file_free(struct file_content *file); /* wipes */

#endif
