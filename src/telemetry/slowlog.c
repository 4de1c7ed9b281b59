/*
 * src/telemetry/slowlog.c - see slowlog.h. Turns a report into a queued line: scans the SQL (slowlog_line.c), checks
 * the rate limits (slowlog_limit.c), formats the line, and passes it to the writer's thread. SQL is read and lines are
 * formatted without the lock.
 */
#include "telemetry/slowlog.h"

#include "base/alloc.h"
#include "log/log_writer.h"
#include "telemetry/slowlog_state.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* --- the last requests, those that the limit held back included: SHOW SLOW --- */

#define NAME_MAX_LEN 128
#define SLOW_RECENT_KEPT 128
#define SLOW_RECENT_TEXT_MAX 1024 /* bytes of SQL */

/* Owns copies of all texts. Zeroed is empty. */
struct slow_recent {
	struct slow_row rows[SLOW_RECENT_KEPT];
	char *texts[SLOW_RECENT_KEPT]; /* what the strings of a row point to */
	size_t next; /* the oldest, which is overwritten next */
};

/* Puts a copy at *at, and lets *name point to it. */
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

/* text: what may be shown of the SQL; NULL: nothing. */
static void
recent_add(struct slow_recent *r, const struct request_report *report, uint64_t fingerprint, const char *text)
{
	struct slow_row *row = &r->rows[r->next];
	struct request_report *kept = &row->report;
	const char **const names[] = { &kept->event,  &kept->database, &kept->user, &kept->application,
				       &kept->client, &kept->backend,  &kept->tag,  &kept->sqlstate };
	char *at = malloc(sizeof(names) / sizeof(names[0]) * (NAME_MAX_LEN + 1) + SLOW_RECENT_TEXT_MAX + 1),
	     *begin = at;

	if (at == NULL)
		return;
	free(r->texts[r->next]);
	*row = (struct slow_row){ *report, fingerprint };
	kept->query = text;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		keep_text(names[i], &at, NAME_MAX_LEN);
	keep_text(&kept->query, &at, SLOW_RECENT_TEXT_MAX);
	kept->protocol = NULL;
	r->texts[r->next] = begin;
	r->next = (r->next + 1) % SLOW_RECENT_KEPT;
}

static void
recent_fini(struct slow_recent *r)
{
	for (size_t i = 0; i < SLOW_RECENT_KEPT; i++)
		free(r->texts[i]);
}

#define RING_LEN (1024 * 1024)

struct slowlog {
	pthread_mutex_t lock; /* guards all of it */
	struct slowlog_settings settings;
	char *file; /* settings.file */
	struct log_writer *writer;
	uint64_t lines, dropped_rate;
	uint64_t old_dropped, old_errors; /* the counts of earlier writers */
	struct slowlog_limit limit;
	struct slow_recent recent;
};

static void
set_settings(struct slowlog *s, const struct slowlog_settings *settings)
{
	char *file = xstrdup(settings->file); /* it may be s->file itself */

	free(s->file);
	s->settings = *settings;
	s->settings.file = s->file = file;
}

struct slowlog *
slowlog_new(const struct slowlog_settings *settings, struct fail *why)
{
	struct slowlog *s = xcalloc(1, sizeof(*s));

	pthread_mutex_init(&s->lock, NULL);
	set_settings(s, settings);
	if ((s->writer = log_writer_new(settings->file, RING_LEN, why)) == NULL) {
		slowlog_free(s);
		return NULL;
	}
	slowlog_limit_change(&s->limit, settings->max_lines_per_second);
	return s;
}

void
slowlog_free(struct slowlog *s)
{
	if (s == NULL)
		return;
	log_writer_free(s->writer);
	recent_fini(&s->recent);
	pthread_mutex_destroy(&s->lock);
	free(s->file);
	free(s);
}

int
slowlog_reconfigure(struct slowlog *s, const struct slowlog_settings *settings, struct fail *why)
{
	bool is_same_file = strcmp(settings->file, s->file) == 0; /* nobody else changes it */
	struct log_writer *writer = NULL;

	if (!is_same_file && (writer = log_writer_new(settings->file, RING_LEN, why)) == NULL)
		return -1;
	pthread_mutex_lock(&s->lock);
	set_settings(s, settings);
	if (is_same_file)
		log_writer_reopen(s->writer);
	else {
		/* The old writer's thread finishes by itself; lines that it loses from now
		 * on are not counted. */
		s->old_dropped += log_writer_dropped(s->writer);
		s->old_errors += log_writer_errors(s->writer);
		log_writer_retire(s->writer);
		s->writer = writer;
	}
	slowlog_limit_change(&s->limit, settings->max_lines_per_second);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

void
slowlog_reopen(struct slowlog *s)
{
	pthread_mutex_lock(&s->lock);
	log_writer_reopen(s->writer);
	pthread_mutex_unlock(&s->lock);
}

/* Requests whose SQL is unknown are distinguished by their event. */
static uint64_t
limit_key(const struct request_report *report, const struct slowlog_query *q)
{
	return q->is_known ? q->fp.hash : XXH3_64bits(report->event, strlen(report->event));
}

void
slowlog_write(struct slowlog *s, const struct request_report *report, uint64_t now_us, struct exemplar *exemplar)
{
	struct slowlog_settings settings;
	struct slowlog_query q;
	bool is_allowed;
	char line[SLOWLOG_LINE_MAX];
	uint64_t suppressed;
	size_t len;

	pthread_mutex_lock(&s->lock);
	settings = s->settings;
	pthread_mutex_unlock(&s->lock);
	settings.file = NULL; /* may be another one soon */
	slowlog_read_query(&q, settings.text, report);
	*exemplar = (struct exemplar){ .value_us = report->duration_us, .wall_us = report->wall_us };
	if (q.fp.traceparent[0] != '\0')
		memcpy(exemplar->trace_id, q.fp.traceparent + TRACEPARENT_TRACE_AT, TRACEPARENT_TRACE_LEN);
	pthread_mutex_lock(&s->lock);
	recent_add(&s->recent, report, q.fp.hash,
		   q.is_known && settings.text != SLOW_TEXT_NONE ? q.text : NULL); /* held back or not */
	is_allowed = slowlog_limit_take(&s->limit, limit_key(report, &q), now_us, &suppressed);
	s->dropped_rate += !is_allowed;
	pthread_mutex_unlock(&s->lock);
	if (!is_allowed)
		return;
	len = slowlog_put_line(&settings, report, &q, suppressed, line, sizeof(line));
	pthread_mutex_lock(&s->lock);
	if (log_writer_put(s->writer, line, len) == 0)
		s->lines++;
	else
		slowlog_limit_lost(&s->limit, limit_key(report, &q), now_us, suppressed);
	pthread_mutex_unlock(&s->lock);
}

void
slowlog_each_recent(struct slowlog *s, void (*row)(const struct slow_row *row, void *arg), void *arg)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 1; i <= SLOW_RECENT_KEPT; i++) {
		size_t at = (s->recent.next + SLOW_RECENT_KEPT - i) % SLOW_RECENT_KEPT;

		if (s->recent.texts[at] != NULL)
			row(&s->recent.rows[at], arg); /* the newest first */
	}
	pthread_mutex_unlock(&s->lock);
}

void
slowlog_get_stats(struct slowlog *s, struct slowlog_stats *out)
{
	pthread_mutex_lock(&s->lock);
	*out = (struct slowlog_stats){
		.lines = s->lines,
		.dropped_rate = s->dropped_rate,
		.dropped_ring = s->old_dropped + log_writer_dropped(s->writer),
		.dropped_write = s->old_errors + log_writer_errors(s->writer),
	};
	pthread_mutex_unlock(&s->lock);
}
