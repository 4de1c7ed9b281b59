/*
 * src/log/log.h - pgweir's log: one line per event (text, JSON, or PgBouncer's format) to stderr, syslog or a file.
 *
 * A separate thread writes stderr or the file from a ring buffer (log_writer.h), so a slow disk never stops an event
 * loop. Lines that do not fit into the ring are dropped; a later line reports how many.
 *
 * Owns:   its writer. Any thread may write.
 * Always: a line is written as a whole or not at all. Bytes of a peer are escaped, so a line has no control characters.
 */
#pragma once

#include "base/fail.h"

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON, LOG_FORMAT_PGBOUNCER };

struct log; /* opaque: log.c */

/* A field of a line in JSON, for struct log_about. */
struct log_field {
	const char *name, *text; /* text is the value, or NULL if number is the value */
	uint64_t number;
};
/* The subject of a line. In JSON, each member becomes a field, except members that are NULL or 0. A text line has only
 * the message, followed by the detail and the hint of `why`. All pointers are borrowed for the call. */
struct log_about {
	/* a fixed name for this kind of event, such as "client_disconnect" */
	const char *event;
	uint64_t client_id;
	const char *client; /* the client's address */
	const char *user, *database, *application;
	uint64_t server_id;
	const char *server; /* the server's address */
	uint64_t duration_us;
	const char *reason; /* a word, most often the name of a setting */
	const struct fail *why; /* SQLSTATE, detail and hint */
	const struct log_field *more; /* further fields; the last element's name is NULL. NULL if there are none */
};

/* Changes the words of a detail or hint in place, in an array of `size` bytes. Called on any thread. */
typedef void log_reword_fn(char *text, size_t size);

struct log_settings {
	const char *destination; /* "stderr", "syslog" or an absolute path; copied */
	enum log_format format;
	enum log_level level; /* the least severe level that is written */
	log_reword_fn *reword; /* called for each detail and hint; may be NULL */
};

/* Returns NULL with *why set if the file cannot be opened, or the thread not started. */
struct log *log_new(const struct log_settings *settings, struct fail *why);
void log_free(struct log *log); /* writes queued lines, in little more than 1 s, and frees log, which may be NULL */
/* Applies new settings and reopens the file. Returns 0, or -1 with *why set; the old settings then stay. */
int log_reconfigure(struct log *log, const struct log_settings *settings, struct fail *why);
/* Opens the file anew, as after a rotation. Returns 0, or -1 with *why set. */
int log_reopen(struct log *log, struct fail *why);

/* Sets *dropped to the number of lines that were lost because the ring was full, and *failed to the number of errors
 * that log_writer_errors() counts (lines that could not be written, ...), both since the log was made. */
void log_count_lost_lines(struct log *log, uint64_t *dropped, uint64_t *failed);

/* Writes a line if its level is enabled. about and log may be NULL; without a log, nothing is written. */
void log_event(struct log *log, enum log_level level, const struct log_about *about, const char *fmt, ...)
    __attribute__((cold, format(printf, 4, 5)));
int log_is_enabled(const struct log *log, enum log_level level);
/* Returns true if the log is in PgBouncer's format. Callers then use PgBouncer's words for events that PgBouncer logs,
 * too, so that programs that parse PgBouncer's log still work. */
int log_has_pgbouncer_format(const struct log *log);

/* A recent line of the log, for SHOW EVENTS. */
struct log_recent_line {
	uint64_t wall_us;
	int level; /* enum log_level */
	char *message;
};
/* Calls row() for each of the last lines, the newest first. Warnings and errors are kept apart, so that other lines do
 * not push them out. row() must not log. */
void log_each_recent(struct log *log, void (*row)(const struct log_recent_line *event, void *arg), void *arg);

/* Logs a bug of pgweir. In builds with --enable-debug or --enable-sanitizers, the process ends, so that tests fail. */
void log_bug(struct log *log, const char *what) __attribute__((cold));

#define log_write(log, level, ...) log_event((log), (level), NULL, __VA_ARGS__)
#define log_error(log, ...) log_write((log), LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(log, ...) log_write((log), LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(log, ...) log_write((log), LOG_LEVEL_INFO, __VA_ARGS__)
/* Arguments are evaluated only if debug lines are enabled. */
#define log_debug(log, ...)                                                                                            \
	do {                                                                                                           \
		if (log_is_enabled((log), LOG_LEVEL_DEBUG))                                                            \
			log_write((log), LOG_LEVEL_DEBUG, __VA_ARGS__);                                                \
	} while (0)
