/*
 * src/base/log.c - see log.h. A line is made on the caller's stack, then handed to the writer's thread.
 *
 * syslog(3) is called by the caller itself: it is a datagram to a socket of this machine, and libc keeps its state.
 */
#include "build.h"

#include "base/alloc.h"
#include "base/log.h"

#include "base/clock.h"
#include "base/escape.h"
#include "base/line.h"
#include "base/log_writer.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define RING_LEN (256 * 1024)
#define MESSAGE_MAX 2048
#define LINE_MAX_LEN (6 * MESSAGE_MAX + 256) /* every byte escaped in JSON's longest way */

struct log {
	_Atomic int level, format;
	pthread_mutex_t lock; /* what follows */
	char *destination;
	struct log_writer *writer; /* NULL: syslog */
	uint64_t told_dropped; /* lost lines that the log has owned up to */
};

static const char *const level_names[] = { "ERROR", "WARNING", "INFO", "DEBUG" };
static const char *const level_words[] = { "error", "warning", "info", "debug" };
static const int syslog_priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

static int
is_syslog(const char *destination)
{
	return strcmp(destination, "syslog") == 0;
}

static int
open_writer(const char *destination, struct log_writer **writer, struct fail *why)
{
	*writer = NULL;
	if (is_syslog(destination)) {
		openlog("pgweir", LOG_PID | LOG_NDELAY, LOG_DAEMON);
		return 0;
	}
	*writer = log_writer_new(destination, RING_LEN, why);
	return *writer != NULL ? 0 : -1;
}

struct log *
log_new(const struct log_settings *settings, struct fail *why)
{
	struct log *log = xcalloc(1, sizeof(*log));

	log->destination = xstrdup(settings->destination);
	pthread_mutex_init(&log->lock, NULL);
	atomic_init(&log->level, (int)settings->level);
	atomic_init(&log->format, (int)settings->format);
	if (open_writer(settings->destination, &log->writer, why) < 0) {
		log_free(log);
		return NULL;
	}
	return log;
}

void
log_free(struct log *log)
{
	if (log == NULL)
		return;
	if (log->writer == NULL && is_syslog(log->destination))
		closelog();
	log_writer_free(log->writer);
	pthread_mutex_destroy(&log->lock);
	free(log->destination);
	free(log);
}

/* Called with the lock held. */
static int
change_destination(struct log *log, const char *destination, struct fail *why)
{
	struct log_writer *writer;
	char *copy;

	if (open_writer(destination, &writer, why) < 0)
		return -1;
	copy = xstrdup(destination);
	log_writer_retire(log->writer);
	log->writer = writer;
	log->told_dropped = 0;
	free(log->destination);
	log->destination = copy;
	return 0;
}

/* Called with the lock held. The check tells the caller what the writer's thread could only count. */
static int
reopen(struct log *log, struct fail *why)
{
	if (log->writer == NULL)
		return 0;
	if (log_file_check(log->destination, why) < 0)
		return -1;
	log_writer_reopen(log->writer);
	return 0;
}

int
log_reconfigure(struct log *log, const struct log_settings *settings, struct fail *why)
{
	int result;

	pthread_mutex_lock(&log->lock);
	if (strcmp(log->destination, settings->destination) == 0)
		result = reopen(log, why);
	else
		result = change_destination(log, settings->destination, why);
	pthread_mutex_unlock(&log->lock);
	if (result < 0)
		return -1;
	atomic_store(&log->level, (int)settings->level);
	atomic_store(&log->format, (int)settings->format);
	return 0;
}

int
log_reopen(struct log *log, struct fail *why)
{
	int result;

	pthread_mutex_lock(&log->lock);
	result = reopen(log, why);
	pthread_mutex_unlock(&log->lock);
	return result;
}

int
log_enabled(const struct log *log, enum log_level level)
{
	return log != NULL && (int)level <= atomic_load_explicit(&log->level, memory_order_relaxed);
}

static size_t
text_line(enum log_level level, const char *message, char *out, size_t cap)
{
	char ts[TIMESTAMP_LEN];
	size_t n;

	timestamp_text(clock_wall_us(), ts);
	n = (size_t)snprintf(out, cap, "%s [%ld] %s: ", ts, (long)getpid(), level_names[level]);
	n += escape_text(ESCAPE_TEXT, message, strlen(message), out + n, cap - n - 1);
	out[n++] = '\n';
	out[n] = '\0';
	return n;
}

static size_t
fields_line(enum line_style style, enum log_level level, const char *message, char *out, size_t cap)
{
	struct line l;

	line_begin(&l, style, out, cap);
	line_time(&l, "ts", clock_wall_us());
	line_str(&l, "level", level_words[level]);
	line_u64(&l, "pid", (uint64_t)getpid());
	line_str(&l, "message", message);
	return line_end(&l);
}

static size_t
make_line(enum log_format format, enum log_level level, const char *message, char *out, size_t cap)
{
	switch (format) {
	case LOG_FORMAT_JSON:
		return fields_line(LINE_JSON, level, message, out, cap);
	case LOG_FORMAT_LOGFMT:
		return fields_line(LINE_LOGFMT, level, message, out, cap);
	default:
		return text_line(level, message, out, cap);
	}
}

/* Called with the lock held. syslog adds the time, level and process to a text line itself. */
static void
put_syslog(enum log_format format, enum log_level level, const char *message)
{
	char line[LINE_MAX_LEN];

	if (format == LOG_FORMAT_TEXT)
		escape_text(ESCAPE_TEXT, message, strlen(message), line, sizeof(line));
	else
		make_line(format, level, message, line, sizeof(line));
	syslog(syslog_priorities[level], "%s", line);
}

/* Called with the lock held: says how many lines the ring had no room for, as soon as there is room again. */
static void
tell_dropped(struct log *log, enum log_format format)
{
	uint64_t dropped = log_writer_dropped(log->writer);
	char message[96], line[256];
	size_t len;

	if (dropped == log->told_dropped)
		return;
	snprintf(message, sizeof(message), "%llu log lines were lost: the log's file or pipe is too slow",
		 (unsigned long long)(dropped - log->told_dropped));
	len = make_line(format, LOG_LEVEL_WARNING, message, line, sizeof(line));
	if (log_writer_put(log->writer, line, len) == 0)
		log->told_dropped = dropped;
	else
		log->told_dropped++; /* that line was no event of its own: it is not to be counted */
}

static void
put_writer(struct log *log, enum log_format format, const char *line, size_t len)
{
	tell_dropped(log, format);
	log_writer_put(log->writer, line, len);
}

void
log_write(struct log *log, enum log_level level, const char *fmt, ...)
{
	char message[MESSAGE_MAX], line[LINE_MAX_LEN];
	enum log_format format;
	size_t len;
	va_list ap;

	if (!log_enabled(log, level))
		return;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	format = (enum log_format)atomic_load(&log->format);
	len = make_line(format, level, message, line, sizeof(line));

	pthread_mutex_lock(&log->lock);
	if (log->writer == NULL)
		put_syslog(format, level, message);
	else
		put_writer(log, format, line, len);
	pthread_mutex_unlock(&log->lock);
}

void
log_bug(struct log *log, const char *what)
{
	log_error(log, "BUG: %s", what);
#ifdef PGWEIR_DEBUG
	fprintf(stderr, "BUG: %s\n", what);
	abort();
#endif
}
