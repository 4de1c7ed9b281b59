/*
 * src/base/log.h - our own log: one line per event, text, JSON or logfmt, to stderr, syslog or a file.
 *
 * A file is written by a thread of the log's own behind a bounded ring (log_writer.h), so that a slow disk never
 * stops the loop; lines that find the ring full are counted and reported with the next line that fits.
 *
 * Owns:   its writer. Borrows: nothing. Any thread may write.
 * Always: a line is whole or absent; bytes of a peer are escaped (no control characters, no newline in a line).
 */
#ifndef PGWEIR_BASE_LOG_H
#define PGWEIR_BASE_LOG_H

#include "base/fail.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON, LOG_FORMAT_LOGFMT };

struct log; /* opaque: log.c */

struct log_settings {
	const char *destination; /* "stderr", "syslog" or an absolute path; copied */
	enum log_format format;
	enum log_level level; /* this and all above it are written */
};

/* NULL and why if the file cannot be opened. */
struct log *log_new(const struct log_settings *settings, struct fail *why);
void log_free(struct log *log); /* writes what is queued (at most 1 s), then closes */
/* Other settings from now on; on failure the old ones stay and why says why. Also re-opens a file. */
int log_reconfigure(struct log *log, const struct log_settings *settings, struct fail *why);
int log_reopen(struct log *log, struct fail *why); /* after a rotation */

/* Writes a line if level is enabled; log may be NULL (nothing is written). */
void log_write(struct log *log, enum log_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int log_enabled(const struct log *log, enum log_level level);

/* What must not happen: ends a debug build (--enable-debug, --enable-sanitizers), so that no test overlooks it. */
void log_bug(struct log *log, const char *what);

#define log_error(log, ...) log_write((log), LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(log, ...) log_write((log), LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(log, ...) log_write((log), LOG_LEVEL_INFO, __VA_ARGS__)
/* Arguments are not evaluated unless debug lines are wanted. */
#define log_debug(log, ...)                                                                                            \
	do {                                                                                                           \
		if (log_enabled((log), LOG_LEVEL_DEBUG))                                                               \
			log_write((log), LOG_LEVEL_DEBUG, __VA_ARGS__);                                                \
	} while (0)

#endif
