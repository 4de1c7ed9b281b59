/*
 * src/log/log.h - pgweir's log: one line per event (text or JSON) to stderr, syslog or a file.
 *
 * A thread of its own writes the file from a bounded ring (log_writer.h), so a slow disk never stops the loop. Lines
 * that do not fit into the ring are counted, and their number is reported as soon as there is room.
 *
 * Owns:   its writer. Borrows: nothing. Any thread may write.
 * Always: a line is whole or absent; bytes of a peer are escaped (no control characters, no newline in a line).
 */
#pragma once

#include "base/fail.h"

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON, LOG_FORMAT_PGBOUNCER };

struct log; /* opaque: log.c */

/* The subject of a line. Members of struct log_about become fields in JSON, and are left out if NULL or 0. A text line
 * has only the message, with the failure's detail and hint added. All is borrowed for the call. */
struct log_field {
	const char *name, *text; /* number is the value if text is NULL */
	uint64_t number;
};
struct log_about {
	const char *event; /* a word that stays the same when messages are improved: "client_disconnect" */
	uint64_t client_id;
	const char *client; /* the client's address */
	const char *user, *database, *application;
	uint64_t server_id;
	const char *server; /* the server's address */
	uint64_t duration_us;
	const char *reason; /* a word, most often the name of a setting */
	const struct fail *why; /* SQLSTATE, detail and hint */
	const struct log_field *more; /* fields of this event alone, up to one without a name; NULL if there are none */
};

/* Changes the words of a detail or hint; called in any thread. */
typedef void log_advice(char *text, size_t size);

struct log_settings {
	const char *destination; /* "stderr", "syslog" or an absolute path; copied */
	enum log_format format;
	enum log_level level; /* lines of this level and above are written */
	log_advice *advice; /* changes the words of details and hints; NULL if they stay as they are */
};

/* Returns NULL with *why set if the file cannot be opened. */
struct log *log_new(const struct log_settings *settings, struct fail *why);
void log_free(struct log *log); /* writes what is queued (at most 1 s), then closes */
/* Applies new settings and reopens the file. Returns 0, or -1 with *why set; the old settings then stay. */
int log_reconfigure(struct log *log, const struct log_settings *settings, struct fail *why);
int log_reopen(struct log *log, struct fail *why); /* called after a rotation */

/* Sets *dropped and *failed to the numbers of lines that were lost since the log was made: dropped, because the ring
 * was full; failed, because the file could not be written (a full disk). */
void log_lost_lines(struct log *log, uint64_t *dropped, uint64_t *failed);

/* Writes a line if level is enabled, with fields if about is not NULL. Does nothing if log is NULL. */
void log_event(struct log *log, enum log_level level, const struct log_about *about, const char *fmt, ...)
    __attribute__((cold, format(printf, 4, 5)));
int log_is_enabled(const struct log *log, enum log_level level);
/* Returns true if the log is in PgBouncer's format. Events that PgBouncer logs, too, are then logged in PgBouncer's
 * words, for programs that parse its log. */
int log_has_pgbouncer_format(const struct log *log);

/* The last lines of the log, for SHOW EVENTS. Warnings and errors are kept apart from the rest, so that lines of
 * connections that come and go do not push them out. Calls row for each, the newest first. row must not log. */
struct log_event {
	uint64_t wall_us;
	int level; /* enum log_level */
	char *message;
};
void log_each_recent(struct log *log, void (*row)(const struct log_event *event, void *arg), void *arg);

/* Logs that pgweir has a bug. Debug builds (--enable-debug, --enable-sanitizers) end here, so tests notice the bug. */
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
