/*
 * src/base/log_writer.h - writes lines to a file or stderr from a thread of its own, behind a bounded ring.
 *
 * Producers never block: they hold a lock for the time of a memcpy. Any thread may put.
 *
 * Owns: the ring, the file, the thread.
 */
#ifndef PGWEIR_BASE_LOG_WRITER_H
#define PGWEIR_BASE_LOG_WRITER_H

#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_writer; /* opaque: log_writer.c */

/* destination: "stderr" or a path (created 0640, appended to). ring_len in bytes. NULL and why on failure. */
struct log_writer *log_writer_new(const char *destination, size_t ring_len, struct fail *why);
void log_writer_free(struct log_writer *w); /* writes what is queued, waits at most 1 s */
/* The same, without waiting: the thread writes what is queued, for at most 1 s, and then frees everything. */
void log_writer_retire(struct log_writer *w);
/* Queues one line (with its newline). 0, or -1: the ring is full, the line is dropped and counted. */
int log_writer_put(struct log_writer *w, const char *line, size_t line_len);
/* Opens the path anew before the next line. Errors show up in log_writer_errors; the old file stays in use then. */
void log_writer_reopen(struct log_writer *w);
uint64_t log_writer_dropped(const struct log_writer *w); /* lines that found the ring full */
uint64_t log_writer_errors(const struct log_writer *w); /* lines the file refused (disk full and the like) */

/*
 * --- log_file.c: the file, pipe or terminal that a log writes to. Used by one thread, which may wait for it.
 *
 * Owns:   the descriptor, unless it is stderr.
 * Always: a line is whole or absent. What a full disk cut off is ended with a newline before the next line.
 */
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
