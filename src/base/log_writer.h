/*
 * src/base/log_writer.h - writes lines to a file or stderr from a thread of its own, behind a bounded ring.
 *
 * Producers never block: they hold a lock for the time of a memcpy. Any thread may put.
 *
 * Owns: the ring, the file (log_file.h), the thread.
 */
#ifndef PGWEIR_BASE_LOG_WRITER_H
#define PGWEIR_BASE_LOG_WRITER_H

#include "base/fail.h"

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

#endif
