/*
 * src/base/log_file.h - the file, pipe or terminal that a log writes to. Used by one thread, which may wait for it.
 *
 * Owns:   the descriptor, unless it is stderr.
 * Always: a line is whole or absent. What a full disk cut off is ended with a newline before the next line.
 */
#ifndef PGWEIR_BASE_LOG_FILE_H
#define PGWEIR_BASE_LOG_FILE_H

#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_file {
	_Atomic uint64_t errors; /* lines that were refused, and failures to reopen */
	_Atomic uint64_t give_up_us; /* 0: never; else no longer waited for than then. Any thread may set it */

	/* log_file.c's own */
	char *path; /* NULL: stderr */
	int fd;
	bool is_regular;
	bool is_mid_line; /* the last byte written was not the end of a line */
	bool is_torn; /* the file ends in a piece of a line whose rest is lost */
	bool is_skipping; /* that rest goes on in the next piece */
};

/* destination: "stderr" or a path (created 0640, appended to). 0, or -1 and why. */
int log_file_init(struct log_file *f, const char *destination, struct fail *why);
void log_file_fini(struct log_file *f); /* also after a failed init */
/* Opens the path anew; if that fails, the old file stays in use. */
void log_file_reopen(struct log_file *f);
/* Writes lines; a piece may end within one, and the next piece goes on there. */
void log_file_write(struct log_file *f, const char *bytes, size_t len);
/* Could destination be opened now? */
int log_file_check(const char *destination, struct fail *why);

#endif
