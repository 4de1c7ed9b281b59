/*
 * src/telemetry/slowlog.c - see slowlog.h. Turns a report into a queued line: scans the SQL (slowlog_line.c), checks
 * the rate limits (slowlog_limit.c), formats the line, and passes it to the writer's thread.
 */
#include "telemetry/slowlog.h"

#include "base/alloc.h"
#include "log/log_writer.h"
#include "telemetry/slowlog_state.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define RING_LEN (1024 * 1024)

struct slowlog {
	struct slowlog_settings settings;
	char *file; /* settings.file */
	struct log_writer *writer;
	uint64_t lines, dropped_rate;
	uint64_t old_dropped, old_errors; /* the counts of earlier writers */
	struct slowlog_limit limit;
	struct slow_recent recent;
	char trace[TRACEPARENT_TRACE_LEN + 1];
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

	set_settings(s, settings);
	if ((s->writer = log_writer_new(settings->file, RING_LEN, why)) == NULL) {
		slowlog_free(s);
		return NULL;
	}
	slowlog_limit_init(&s->limit, settings->max_lines_per_second);
	return s;
}

void
slowlog_free(struct slowlog *s)
{
	if (s == NULL)
		return;
	log_writer_free(s->writer);
	slow_recent_fini(&s->recent);
	free(s->file);
	free(s);
}

/* The writer's thread finishes by itself; lines that it loses from now on are not counted. */
static void
retire_writer(struct slowlog *s)
{
	s->old_dropped += log_writer_dropped(s->writer);
	s->old_errors += log_writer_errors(s->writer);
	log_writer_retire(s->writer);
}

int
slowlog_reconfigure(struct slowlog *s, const struct slowlog_settings *settings, struct fail *why)
{
	bool is_same_file = strcmp(settings->file, s->file) == 0;
	struct log_writer *writer = NULL;

	if (!is_same_file && (writer = log_writer_new(settings->file, RING_LEN, why)) == NULL)
		return -1;
	set_settings(s, settings);
	if (is_same_file) {
		slowlog_reopen(s);
	} else {
		retire_writer(s);
		s->writer = writer;
	}
	slowlog_limit_change(&s->limit, settings->max_lines_per_second);
	return 0;
}

void
slowlog_reopen(struct slowlog *s)
{
	log_writer_reopen(s->writer);
}

/* Requests whose SQL is unknown are distinguished by their event. */
static uint64_t
limit_key(const struct request_report *report, const struct slowlog_query *q)
{
	return q->is_known ? q->fp.hash : XXH3_64bits(report->event, strlen(report->event));
}

void
slowlog_write(struct slowlog *s, const struct request_report *report, uint64_t now_us)
{
	struct slowlog_query q;
	char line[SLOWLOG_LINE_MAX];
	uint64_t key, suppressed;
	size_t len;

	slowlog_read_query(&q, s->settings.text, report);
	slow_recent_add(&s->recent, report, q.fp.hash, q.is_known && s->settings.text != SLOWLOG_NONE ? q.text : NULL);
	memcpy(s->trace, q.fp.traceparent + (q.fp.traceparent[0] != '\0' ? TRACEPARENT_TRACE_AT : 0),
	       TRACEPARENT_TRACE_LEN);
	key = limit_key(report, &q);
	if (!slowlog_limit_take(&s->limit, key, now_us, &suppressed)) {
		s->dropped_rate++;
		return;
	}
	len = slowlog_put_line(&s->settings, report, &q, suppressed, line, sizeof(line));
	if (log_writer_put(s->writer, line, len) == 0)
		s->lines++;
	else
		slowlog_limit_lost(&s->limit, key, now_us, suppressed);
}

void
slowlog_each_recent(const struct slowlog *s, void (*row)(const struct slow_row *row, void *arg), void *arg)
{
	slow_recent_each(&s->recent, row, arg);
}

const char *
slowlog_last_trace(const struct slowlog *s)
{
	return s->trace;
}

void
slowlog_get_stats(const struct slowlog *s, struct slowlog_stats *out)
{
	*out = (struct slowlog_stats){
		.lines = s->lines,
		.dropped_rate = s->dropped_rate,
		.dropped_ring = s->old_dropped + log_writer_dropped(s->writer),
		.dropped_write = s->old_errors + log_writer_errors(s->writer),
	};
}
