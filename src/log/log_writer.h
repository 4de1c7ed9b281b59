/*
 * src/log/log_writer.h - a thread that writes lines from a ring buffer to a file or to stderr.
 *
 * Any thread may add lines, and never waits for the file, because a lock is held only while a line is copied.
 *
 * Owns: the ring, the file, the thread.
 */
#pragma once

#include "base/fail.h"

#include <stdbool.h>
#include <stdint.h>

struct log_writer; /* opaque: log_writer.c */

/* Makes a writer. destination is "stderr" or a path; the file is created with mode 0640, or appended to. ring_len is in
 * bytes. Returns NULL with *why set on failure. */
struct log_writer *log_writer_new(const char *destination, size_t ring_len, struct fail *why);
void log_writer_free(struct log_writer *w); /* lets the thread write queued lines for 1.2 s at most; frees w */
/* Returns at once; the thread writes queued lines for at most 1 s, and then frees w. */
void log_writer_close_later(struct log_writer *w);
/* Queues a line, which includes its newline. Returns 0, or -1 if the line was dropped because the ring has no room. */
int log_writer_put(struct log_writer *w, const char *line, size_t line_len);
/* If is_prompt, a new line wakes the thread at once, by a system call. Otherwise a line may wait for 5 ms. */
void log_writer_set_prompt(struct log_writer *w, bool is_prompt);
/* Opens the path anew; the thread uses the new file once it has written its present batch of lines. Returns 0, or -1
 * with *why set. After -1, the old file stays in use, and log_writer_errors() counts the failure. */
int log_writer_reopen(struct log_writer *w, struct fail *why);
/* returns the number of lines that were dropped because the ring was full */
uint64_t log_writer_dropped(const struct log_writer *w);
/* returns how many lines could not be written (for example to a full disk), plus failures to reopen the file */
uint64_t log_writer_errors(const struct log_writer *w);

/*
 * --- log_file.c: the file, pipe or terminal that a log is written to. Only one thread writes, and it may block.
 *
 * Owns:   the descriptor, unless it is stderr.
 * Always: if a full disk truncates a line, a newline is written before the next line.
 */
struct log_file {
	_Atomic uint64_t errors; /* lines that could not be written, and failures to reopen */
	/* the time (clock_now_us()) from which writes no longer wait; 0 if never. Any thread may set this */
	_Atomic uint64_t give_up_at_us;

	char *path; /* NULL for stderr; never changes */
	/* The rest is only for log_file.c. */
	int fd;
	bool is_regular; /* true for a regular file, which is always ready for a write */
	enum {
		LINE_ENDED,
		LINE_GOES_ON, /* the rest of the line is still to be written */
		LINE_TORN /* the rest of the line is lost */
	} last; /* state of the line that was written last */
	bool is_skipping; /* true if the next bytes are the rest of a lost line, and are lost, too */
};

/* Opens the file as log_file_open() does. Returns 0, or -1 with *why set. */
int log_file_init(struct log_file *f, const char *destination, struct fail *why);
void log_file_fini(struct log_file *f); /* f may come from a failed log_file_init() */
/* Opens "stderr", or a path; creates the file with mode 0640, or appends. Returns a descriptor, or -1 with *why set. */
int log_file_open(const char *destination, struct fail *why);
/* Takes over fd, and uses it in place of the old descriptor, which is closed. Not called for stderr. */
void log_file_replace(struct log_file *f, int fd);
/* Writes bytes, which may begin and end within a line. */
void log_file_write(struct log_file *f, const char *bytes, size_t len);
