/*
 * src/log/log_writer.h - writes lines to a file or stderr on a thread of its own, from a bounded ring.
 *
 * Any thread may add lines. Producers never block longer than a memcpy, for which the lock is held.
 *
 * Owns: the ring, the file, the thread.
 */
#pragma once

#include "base/fail.h"

#include <stdbool.h>
#include <stdint.h>

struct log_writer; /* opaque: log_writer.c */

/* Makes a writer. destination is "stderr" or a path (created 0640, appended to). ring_len is in bytes. Returns NULL
 * with *why set on failure. */
struct log_writer *log_writer_new(const char *destination, size_t ring_len, struct fail *why);
void log_writer_free(struct log_writer *w); /* writes queued lines, waits at most 1 s */
/* Frees a writer without waiting: the thread writes queued lines, for at most 1 s, and then frees everything. */
void log_writer_retire(struct log_writer *w);
/* Queues one line (with its newline). Returns 0, or -1 if the ring is full: the line is dropped and counted. */
int log_writer_put(struct log_writer *w, const char *line, size_t line_len);
/* Makes the writer prompt, or not. A prompt writer wakes its thread for each line, which costs a system call; otherwise
 * lines are written some milliseconds later. */
void log_writer_set_prompt(struct log_writer *w, bool is_prompt);
/* Reopens the path before the next line. Returns 0, or -1 with *why set; the old file then stays in use, and
 * log_writer_errors() counts the failure. */
int log_writer_reopen(struct log_writer *w, struct fail *why);
uint64_t log_writer_dropped(const struct log_writer *w); /* lines that found the ring full */
uint64_t log_writer_errors(const struct log_writer *w); /* lines that could not be written (disk full and the like) */

/*
 * --- log_file.c: the file, pipe or terminal that a log writes to. Used by one thread, which may wait for it.
 *
 * Owns:   the descriptor, unless it is stderr.
 * Always: a line is whole or absent. If a full disk truncates a line, a newline ends it before the next line.
 */
struct log_file {
	_Atomic uint64_t errors; /* lines that could not be written, and failures to reopen */
	/* how long to wait for the file at most; 0 means forever. Any thread may set this field */
	_Atomic uint64_t give_up_us;

	/* The rest belongs to log_file.c. */
	char *path; /* NULL for stderr */
	int fd;
	bool is_regular;
	enum {
		LINE_ENDED,
		LINE_GOES_ON,
		LINE_TORN /* the rest of the line is lost */
	} last; /* state of the last line */
	bool is_skipping; /* true if the next piece begins with more of the lost line */
};

/* Opens the file. destination is "stderr" or a path (created 0640, appended to). Returns 0, or -1 with *why set. */
int log_file_init(struct log_file *f, const char *destination, struct fail *why);
void log_file_fini(struct log_file *f); /* called also after a failed init */
int log_file_open(const char *destination, struct fail *why); /* returns a descriptor, or -1 with *why set */
void log_file_replace(struct log_file *f, int fd); /* writes to fd from now on, and owns it; not called for stderr */
/* Writes lines. A piece may end within a line, which the next piece then continues. */
void log_file_write(struct log_file *f, const char *bytes, size_t len);
