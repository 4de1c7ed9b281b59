/*
 * src/modules/slowlog/slowlog.c - see slowlog.h. Turns a report into a queued line: checks the rate limits
 * (slowlog_limit.c), formats the line (slowlog_line.c) without the lock, and passes it to the writer's thread.
 */
#include "modules/slowlog/slowlog.h"
#include "base/alloc.h"
#include "config/config.h"
#include "log/log_writer.h"
#include "telemetry/metrics_state.h"

#include <pthread.h>
#include <xxhash.h>

/* --- the last requests, for SHOW SLOW, including those whose lines the limit suppressed --- */

#define RECENT_KEPT 128

/* Puts a copy of *name, cut to max bytes, at *at. Sets *name to the copy, and moves *at past the copy. Ignores NULL. */
static void
keep_text(const char **name, char **at, size_t max)
{
	size_t len = *name == NULL ? 0 : strnlen(*name, max);

	if (*name == NULL)
		return;
	memcpy(*at, *name, len);
	(*at)[len] = '\0';
	*name = *at;
	*at += len + 1;
}

static void
recent_keep(struct slow_row *row, const struct request_report *report, const struct report_sql *sql)
{
	struct request_report *kept = &row->report;
	const char **const names[] = { &kept->event,  &kept->database, &kept->user, &kept->application,
				       &kept->client, &kept->backend,  &kept->tag,  &kept->sqlstate };
	char *at = row->texts;

	*kept = *report;
	row->fingerprint = sql->fp.hash;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		keep_text(names[i], &at, SLOW_NAME_MAX);
	kept->query = sql->shown;
	keep_text(&kept->query, &at, SLOW_TEXT_MAX);
	kept->protocol = NULL;
}

#define RING_LEN (1024 * 1024)

struct slowlog {
	pthread_mutex_t lock; /* guards all fields */
	char *file;
	enum slow_format format;
	struct log_writer *writer;
	uint64_t dropped_by_rate, old_dropped, old_errors; /* old_: the counts of earlier writers */
	struct slowlog_limit limit;
	struct slow_row recent[RECENT_KEPT];
	size_t next; /* the index in `recent` of the oldest request, which is overwritten next */
};

static void
set_settings(struct slowlog *s, const struct config *config)
{
	free(s->file);
	s->file = xstrdup(config->module_values[SLOW_QUERY_FILE].text);
	s->format = config->module_values[SLOW_QUERY_FORMAT].word;
	slowlog_limit_change(&s->limit, config->module_values[SLOW_QUERY_LINES].count);
}

static void
stop(void *slowlog)
{
	struct slowlog *s = slowlog;

	if (s == NULL)
		return;
	log_writer_free(s->writer);
	pthread_mutex_destroy(&s->lock);
	free(s->file);
	free(s);
}

static void *
start(const struct config *config, struct fail *why)
{
	struct slowlog *s = xcalloc(1, sizeof(*s));

	pthread_mutex_init(&s->lock, NULL);
	set_settings(s, config);
	s->writer = log_writer_new(s->file, RING_LEN, why);
	if (s->writer != NULL)
		return s;
	stop(s);
	return NULL;
}

static int
configure(void *slowlog, const struct config *config, struct fail *why)
{
	struct slowlog *s = slowlog;
	const char *file = config->module_values[SLOW_QUERY_FILE].text;
	bool is_same_file = strcmp(file, s->file) == 0; /* only this thread changes s->file */
	struct log_writer *writer = NULL;

	if (!is_same_file && (writer = log_writer_new(file, RING_LEN, why)) == NULL)
		return -1;
	pthread_mutex_lock(&s->lock);
	set_settings(s, config);
	if (is_same_file)
		log_writer_reopen(s->writer, why); /* a failure is counted */
	else {
		/* The old writer's thread ends by itself. Lines that this thread loses from now on are not counted. */
		s->old_dropped += log_writer_dropped(s->writer);
		s->old_errors += log_writer_errors(s->writer);
		log_writer_close_later(s->writer);
		s->writer = writer;
	}
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static void
reopen(void *slowlog)
{
	struct slowlog *s = slowlog;
	struct fail ignored; /* a failure is counted */

	pthread_mutex_lock(&s->lock);
	log_writer_reopen(s->writer, &ignored);
	pthread_mutex_unlock(&s->lock);
}

/* Returns the key of the request's limit: the SQL's fingerprint or, if the SQL is unknown, a hash of the event. */
static uint64_t
limit_key(const struct request_report *report, const struct report_sql *sql)
{
	return report->query != NULL ? sql->fp.hash : XXH3_64bits(report->event, strlen(report->event));
}

static void
write_line(void *slowlog, const struct request_report *report, const struct report_sql *sql, uint64_t now_us)
{
	struct slowlog *s = slowlog;
	enum slow_format format;
	bool is_allowed;
	char line[SLOWLOG_LINE_MAX];
	uint64_t suppressed;
	size_t len;

	pthread_mutex_lock(&s->lock);
	format = s->format;
	recent_keep(&s->recent[s->next], report, sql); /* kept even if the limit suppresses the line */
	s->next = (s->next + 1) % RECENT_KEPT;
	is_allowed = slowlog_limit_take(&s->limit, limit_key(report, sql), now_us, &suppressed);
	s->dropped_by_rate += !is_allowed;
	pthread_mutex_unlock(&s->lock);
	if (!is_allowed)
		return;
	len = slowlog_put_line(format, report, sql, suppressed, line, sizeof(line));
	pthread_mutex_lock(&s->lock);
	if (log_writer_put(s->writer, line, len) < 0)
		slowlog_limit_lost(&s->limit, limit_key(report, sql), now_us, suppressed);
	pthread_mutex_unlock(&s->lock);
}

void
slowlog_each_recent(void *slowlog, void (*row)(const struct slow_row *row, void *arg), void *arg)
{
	struct slowlog *s = slowlog;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 1; i <= RECENT_KEPT; i++) {
		const struct slow_row *kept = &s->recent[(s->next + RECENT_KEPT - i) % RECENT_KEPT];

		if (kept->report.event != NULL)
			row(kept, arg); /* the newest first */
	}
	pthread_mutex_unlock(&s->lock);
}

static void
sample(void *slowlog, uint64_t numbers[MODULE_NUMBERS_MAX])
{
	struct slowlog *s = slowlog;

	pthread_mutex_lock(&s->lock);
	numbers[0] = s->dropped_by_rate;
	numbers[1] = s->old_dropped + log_writer_dropped(s->writer);
	numbers[2] = s->old_errors + log_writer_errors(s->writer);
	pthread_mutex_unlock(&s->lock);
}

static const struct metric_family metrics[] = {
	{ .name = "pgweir_slow_log_lines_dropped_total",
	  .type = METRIC_COUNTER,
	  .scope = OF_MODULE,
	  .label = LABEL("reason", "rate", "ring_full", "write_error"), /* in the order of sample()'s numbers */
	  .help = "Lines that were not written to the slow-query log." },
	{ .name = NULL },
};

const struct module module_slowlog = { start, configure, reopen, stop, write_line, metrics, sample };
