/* tests/unit/test_slowlog_threads.c - several loops write to the slow-query log while it is changed and read. */
#include "telemetry/slowlog.h"
#include "threads.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REQUESTS 400 /* of each thread */
#define CHANGES 100
#define TRACE "5bd66ef5095369c7b0d1f8f4bd3371"

struct changed_log {
	struct slowlog *log;
	char paths[2][64];
	_Atomic unsigned wrong;
	unsigned rows;
};

static void
look(const struct slow_row *row, void *arg)
{
	struct changed_log *c = arg;

	c->rows++;
	c->wrong += strcmp(row->report.database, "app") != 0 || strncmp(row->report.query, "select ", 7) != 0;
}

static void
change(struct changed_log *c, unsigned i)
{
	struct slowlog_settings settings = { .file = c->paths[i / 3 % 2],
					     .format = i % 2 == 0 ? SLOW_FORMAT_JSON : SLOW_FORMAT_POSTGRES };
	struct slowlog_stats stats;
	struct fail why;

	c->wrong += slowlog_reconfigure(c->log, &settings, &why) < 0;
	slowlog_reopen(c->log);
	slowlog_each_recent(c->log, look, c);
	slowlog_get_stats(c->log, &stats);
	c->wrong += stats.dropped_write > 0;
}

/* Each request has SQL of its own, so that no line is held back, and a trace with its thread's number. */
static void
write_slow(struct changed_log *c, unsigned number, unsigned i)
{
	char sql[160], trace[40];
	struct request_report r = { .event = "slow_query",
				    .database = "app",
				    .user = "web",
				    .application = "",
				    .client = "10.0.0.7:1",
				    .backend = "",
				    .protocol = "simple",
				    .tag = "SELECT",
				    .sqlstate = "",
				    .query = sql };
	struct exemplar exemplar;

	snprintf(trace, sizeof(trace), TRACE "%02x", number);
	snprintf(sql, sizeof(sql), "select t%u_%u /*traceparent='00-%s-c532cb4098ac3dd2-01'*/", number, i, trace);
	r.query_len = strlen(sql);
	slowlog_write(c->log, &r, US_PER_S + i, &exemplar);
	c->wrong += strcmp(exemplar.trace_id, trace) != 0;
}

static void
write_or_change(unsigned number, void *arg)
{
	struct changed_log *c = arg;

	for (unsigned i = 0; i < REQUESTS && number < THREADS - 1; i++)
		write_slow(c, number, i);
	for (unsigned i = 0; i < CHANGES && number == THREADS - 1; i++)
		change(c, i);
}

static size_t
count_lines(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[4096];
	size_t n = 0;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, "10.0.0.7") != NULL;
	if (f != NULL)
		fclose(f);
	return n;
}

Test(slowlog, threads_write_while_file_and_format_change)
{
	struct changed_log c = { .paths = { "/tmp/pgweir-slow-XXXXXX", "/tmp/pgweir-slow-XXXXXX" } };
	struct slowlog_stats stats;
	struct fail why;
	size_t lines = 0;

	close(mkstemp(c.paths[0]));
	close(mkstemp(c.paths[1]));
	c.log = slowlog_new(&(struct slowlog_settings){ .file = c.paths[0] }, &why);
	cr_assert_not_null(c.log, "%s", why.text);
	in_threads(write_or_change, &c);
	slowlog_each_recent(c.log, look, &c); /* the last change may have come before the first line */
	cr_expect_eq(c.wrong, 0);
	cr_expect_gt(c.rows, 0);
	slowlog_get_stats(c.log, &stats);
	cr_expect_eq(stats.lines + stats.dropped_ring, (THREADS - 1) * REQUESTS);
	slowlog_free(c.log);
	/* Writers of the earlier files end by themselves. */
	for (int i = 0; i < 2000 && lines < stats.lines; i++) {
		lines = count_lines(c.paths[0]) + count_lines(c.paths[1]);
		usleep(1000);
	}
	cr_expect_eq(lines, stats.lines);
	unlink(c.paths[0]);
	unlink(c.paths[1]);
}
