/*
 * src/log/log.c - see log.h. A line is made on the caller's stack, then passed to the writer's thread.
 *
 * For syslog there is no writer: write_event() calls syslog(3), which only sends a datagram to a local socket.
 */

#include "base/alloc.h"
#include "log/log.h"
#include "base/clock.h"
#include "base/escape.h"
#include "log/log_writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <syslog.h>

#define RING_LEN (256 * 1024)
#define MESSAGE_MAX 4096
#define RECENT_KEPT 100 /* lines of each kind */
#define RECENT_KINDS 2 /* warnings and errors; all others */
#define FIELDS_MAX 1024 /* bytes of a log_about: names, addresses and words */
/* room for a line with every byte escaped in JSON's longest way */
#define LINE_MAX_LEN (6 * (MESSAGE_MAX + FIELDS_MAX + 2 * FAIL_TEXT_MAX) + 512)

struct log {
	_Atomic int level, format;
	_Atomic(log_reword_fn *) reword;
	pthread_mutex_t lock; /* guards the fields below */
	char *destination;
	struct log_writer *writer; /* NULL for syslog */
	struct log_recent_line recent[RECENT_KINDS][RECENT_KEPT];
	size_t recent_next[RECENT_KINDS]; /* index of the oldest line, which is overwritten next */
	uint64_t reported_dropped; /* number of lost lines that the log has reported */
	uint64_t failed_reports; /* how often that report itself was lost, which the writer counts as a lost line */
	uint64_t old_dropped, old_failed; /* the numbers of log_count_lost_lines() for previous writers */
};

static const char *const level_names[] = { "ERROR", "WARNING", "INFO", "DEBUG" };
static const char *const pgbouncer_levels[] = { "ERROR", "WARNING", "LOG", "DEBUG" };
static const char *const level_words[] = { "error", "warning", "info", "debug" };
static const struct log_about nothing;
static const int syslog_priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

static int
open_writer(const char *destination, struct log_writer **writer, struct fail *why)
{
	*writer = NULL;
	if (strcmp(destination, "syslog") == 0) {
		openlog("pgweir", LOG_PID | LOG_NDELAY, LOG_DAEMON);
		return 0;
	}
	*writer = log_writer_new(destination, RING_LEN, why);
	return *writer != NULL ? 0 : -1;
}

/* Called with the lock held, or before other threads have the log. In PgBouncer's format, lines are written at once, as
 * programs that read PgBouncer's log expect. */
static void
set_format(struct log *log, enum log_format format)
{
	atomic_store(&log->format, (int)format);
	if (log->writer != NULL)
		log_writer_set_prompt(log->writer, format == LOG_FORMAT_PGBOUNCER);
}

struct log *
log_new(const struct log_settings *settings, struct fail *why)
{
	struct log *log = xcalloc(1, sizeof(*log));

	log->destination = xstrdup(settings->destination);
	pthread_mutex_init(&log->lock, NULL);
	atomic_init(&log->level, (int)settings->level);
	if (open_writer(settings->destination, &log->writer, why) < 0) {
		log_free(log);
		return NULL;
	}
	set_format(log, settings->format);
	atomic_init(&log->reword, settings->reword);
	return log;
}

void
log_free(struct log *log)
{
	if (log == NULL)
		return;
	if (log->writer == NULL && strcmp(log->destination, "syslog") == 0)
		closelog();
	log_writer_free(log->writer);
	for (size_t i = 0; i < RECENT_KINDS * RECENT_KEPT; i++)
		free(log->recent[i / RECENT_KEPT][i % RECENT_KEPT].message);
	pthread_mutex_destroy(&log->lock);
	free(log->destination);
	free(log);
}

/* Called with the lock held. Returns how many lines found the present writer's ring full. */
static uint64_t
dropped_now(const struct log *log)
{
	return log->writer == NULL ? 0 : log_writer_dropped(log->writer) - log->failed_reports;
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
	log->old_dropped += dropped_now(log);
	log->old_failed += log->writer == NULL ? 0 : log_writer_errors(log->writer);
	log_writer_close_later(log->writer);
	log->writer = writer;
	log->reported_dropped = log->failed_reports = 0;
	free(log->destination);
	log->destination = copy;
	return 0;
}

/* Called with the lock held. */
static int
reopen(struct log *log, struct fail *why)
{
	return log->writer == NULL ? 0 : log_writer_reopen(log->writer, why);
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
	if (result == 0) {
		atomic_store(&log->level, (int)settings->level);
		set_format(log, settings->format);
		atomic_store(&log->reword, settings->reword);
	}
	pthread_mutex_unlock(&log->lock);
	return result;
}

void
log_count_lost_lines(struct log *log, uint64_t *dropped, uint64_t *failed)
{
	pthread_mutex_lock(&log->lock);
	*dropped = log->old_dropped + dropped_now(log);
	*failed = log->old_failed + (log->writer == NULL ? 0 : log_writer_errors(log->writer));
	pthread_mutex_unlock(&log->lock);
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
log_is_enabled(const struct log *log, enum log_level level)
{
	return log != NULL && (int)level <= atomic_load_explicit(&log->level, memory_order_relaxed);
}

struct event {
	enum log_level level;
	const char *message;
	const struct log_about *about;
};

static size_t
put_text(const struct event *ev, char *out, size_t cap)
{
	size_t n = escape_text(ESCAPE_TEXT, ev->message, strlen(ev->message), out, cap);
	const struct fail *why = ev->about->why;
	char advice[2 * FAIL_TEXT_MAX + 16];

	if (why == NULL)
		return n;
	/* Adds the detail and the hint to the message, because a text line has no fields for them. */
	snprintf(advice, sizeof(advice), "%s%s%s%s", why->detail[0] != '\0' ? "; " : "", why->detail,
		 why->hint[0] != '\0' ? "; hint: " : "", why->hint);
	return n + escape_text(ESCAPE_TEXT, advice, strlen(advice), out + n, cap - n);
}

int
log_has_pgbouncer_format(const struct log *log)
{
	return log != NULL && atomic_load_explicit(&log->format, memory_order_relaxed) == LOG_FORMAT_PGBOUNCER;
}

static void
put_log_word(struct json_line *l, const char *key, const char *value)
{
	if (value != NULL && value[0] != '\0')
		json_line_str(l, key, value);
}

static void
put_number(struct json_line *l, const char *key, uint64_t value)
{
	if (value != 0)
		json_line_u64(l, key, value);
}

static size_t
put_json(const struct event *ev, char *out, size_t cap)
{
	const struct log_about *about = ev->about;
	struct json_line l;

	json_line_begin(&l, out, cap);
	json_line_time(&l, "ts", clock_wall_us());
	json_line_str(&l, "level", level_words[ev->level]);
	json_line_u64(&l, "pid", (uint64_t)getpid());
	json_line_str(&l, "message", ev->message);
	put_log_word(&l, "event", about->event);
	put_log_word(&l, "database", about->database);
	put_log_word(&l, "user", about->user);
	put_log_word(&l, "application", about->application);
	put_log_word(&l, "client", about->client);
	put_number(&l, "client_id", about->client_id);
	put_log_word(&l, "server", about->server);
	put_number(&l, "server_id", about->server_id);
	if (about->duration_us != 0)
		json_line_ms(&l, "duration_ms", about->duration_us);
	put_log_word(&l, "reason", about->reason);
	for (const struct log_field *f = about->more; f != NULL && f->name != NULL; f++)
		if (f->text != NULL)
			put_log_word(&l, f->name, f->text);
		else
			json_line_u64(&l, f->name, f->number);
	if (about->why != NULL) {
		put_log_word(&l, "sqlstate", about->why->sqlstate);
		put_log_word(&l, "detail", about->why->detail);
		put_log_word(&l, "hint", about->why->hint);
	}
	return json_line_end(&l);
}

/* PgBouncer's format is the text format, except that levels have other names, and no colon follows the level. */
static size_t
make_line(enum log_format format, const struct event *ev, char *out, size_t cap)
{
	bool is_theirs = format == LOG_FORMAT_PGBOUNCER;
	char ts[BASE_TIMESTAMP_LEN];
	size_t n;

	if (format == LOG_FORMAT_JSON)
		return put_json(ev, out, cap);
	base_timestamp_text(clock_wall_us(), ts);
	n = (size_t)snprintf(out, cap, "%s [%ld] %s%s ", ts, (long)getpid(),
			     is_theirs ? pgbouncer_levels[ev->level] : level_names[ev->level], is_theirs ? "" : ":");
	n += put_text(ev, out + n, cap - n - 1);
	out[n++] = '\n';
	out[n] = '\0';
	return n;
}

/* Called with the lock held. Logs how many lines found the ring full, as soon as there is room again. */
static void
report_dropped(struct log *log, enum log_format format)
{
	uint64_t dropped = dropped_now(log);
	char message[96], line[256];
	const struct event ev = { LOG_LEVEL_WARNING, message, &nothing };
	size_t len;

	if (dropped == log->reported_dropped)
		return;
	snprintf(message, sizeof(message), "%llu log lines were lost: the log's file or pipe is too slow",
		 (unsigned long long)(dropped - log->reported_dropped));
	len = make_line(format, &ev, line, sizeof(line));
	if (log_writer_put(log->writer, line, len) == 0)
		log->reported_dropped = dropped;
	else
		log->failed_reports++;
}

static void
write_event(struct log *log, const struct event *given)
{
	enum log_format format = (enum log_format)atomic_load(&log->format);
	log_reword_fn *reword = atomic_load(&log->reword);
	struct log_about about = *given->about;
	const struct event event = { given->level, given->message, &about }, *ev = &event;
	size_t kind = ev->level > LOG_LEVEL_WARNING, *next = &log->recent_next[kind], len;
	struct log_recent_line *e;
	struct fail why;
	char line[LINE_MAX_LEN], *copy;

	if (reword != NULL && about.why != NULL) {
		why = *about.why;
		reword(why.detail, sizeof(why.detail));
		reword(why.hint, sizeof(why.hint));
		about.why = &why;
	}
	len = make_line(format, ev, line, sizeof(line));
	copy = strdup(ev->message);
	pthread_mutex_lock(&log->lock);
	e = &log->recent[kind][*next];
	if (copy != NULL) {
		free(e->message);
		*e = (struct log_recent_line){ clock_wall_us(), (int)ev->level, copy };
		*next = (*next + 1) % RECENT_KEPT;
	}
	if (log->writer == NULL) {
		/* syslog itself adds the time, level and process to a line, so a text line leaves them out. */
		if (format == LOG_FORMAT_TEXT || format == LOG_FORMAT_PGBOUNCER)
			put_text(ev, line, sizeof(line));
		syslog(syslog_priorities[ev->level], "%s", line);
	} else {
		report_dropped(log, format);
		log_writer_put(log->writer, line, len);
	}
	pthread_mutex_unlock(&log->lock);
}

void
log_event(struct log *log, enum log_level level, const struct log_about *about, const char *fmt, ...)
{
	char message[MESSAGE_MAX];
	va_list ap;

	if (!log_is_enabled(log, level))
		return;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	write_event(log, &(struct event){ level, message, about != NULL ? about : &nothing });
}

/* Returns the newest line but n, or NULL if there are not so many lines. */
static const struct log_recent_line *
nth_recent(const struct log *log, size_t kind, size_t n)
{
	const struct log_recent_line *e;

	if (n >= RECENT_KEPT)
		return NULL;
	e = &log->recent[kind][(log->recent_next[kind] + 2 * RECENT_KEPT - 1 - n) % RECENT_KEPT];
	return e->message != NULL ? e : NULL;
}

void
log_each_recent(struct log *log, void (*row)(const struct log_recent_line *event, void *arg), void *arg)
{
	size_t at[RECENT_KINDS] = { 0 };
	const struct log_recent_line *a, *b;

	pthread_mutex_lock(&log->lock);
	while (a = nth_recent(log, 0, at[0]), b = nth_recent(log, 1, at[1]), a != NULL || b != NULL) {
		size_t kind = a == NULL || (b != NULL && b->wall_us > a->wall_us);

		row(kind == 0 ? a : b, arg);
		at[kind]++;
	}
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
