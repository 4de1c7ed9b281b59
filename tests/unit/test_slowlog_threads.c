/* tests/unit/test_slowlog_threads.c - several loops write to the slow-query log while it is changed and read. */
#include "modules/slowlog/slowlog.h"
#include "threads.h"

#include "base/clock.h"
#include "config/config_origin.h"
#include "unit.h"

#include <unistd.h>

#define REQUESTS 400 /* of each thread */
#define CHANGES 100

extern const struct module module_slowlog;

struct changed_log {
	void *log;
	struct config *config; /* the changing thread's */
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
	uint64_t numbers[MODULE_NUMBERS_MAX];
	struct fail why;

	c->wrong += config_apply_command_line(c->config, "slow_query", "file", c->paths[i / 3 % 2], &why) < 0;
	c->wrong +=
	    config_apply_command_line(c->config, "slow_query", "format", i % 2 == 0 ? "json" : "postgres", &why) < 0;
	c->wrong += module_slowlog.configure(c->log, c->config, &why) < 0;
	module_slowlog.reopen(c->log);
	slowlog_each_recent(c->log, look, c);
	module_slowlog.sample(c->log, numbers);
	c->wrong += numbers[2] > 0; /* lines that could not be written */
}

/* Each request has SQL of its own, so that no line is held back. */
static void
write_slow(struct changed_log *c, unsigned number, unsigned i)
{
	char text[160];
	struct request_report r = { .event = "slow_query",
				    .database = "app",
				    .user = "web",
				    .application = "",
				    .client = "10.0.0.7:1",
				    .backend = "",
				    .protocol = "simple",
				    .tag = "SELECT",
				    .sqlstate = "",
				    .query = text };
	struct report_sql sql;

	snprintf(text, sizeof(text), "select t%u_%u", number, i);
	r.query_len = strlen(text);
	fingerprint_report(&sql, &r, SLOW_TEXT_NORMALIZED);
	module_slowlog.report(c->log, &r, &sql, US_PER_S + i);
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
	uint64_t numbers[MODULE_NUMBERS_MAX];
	struct fail why;
	size_t lines = 0, written;

	close(mkstemp(c.paths[0]));
	close(mkstemp(c.paths[1]));
	c.config = config_new("");
	cr_assert_eq(config_apply_command_line(c.config, "slow_query", "file", c.paths[0], &why), 0);
	cr_assert_eq(config_apply_command_line(c.config, "slow_query", "max_lines_per_second", "0", &why), 0);
	c.log = module_slowlog.start(c.config, &why);
	cr_assert_not_null(c.log, "%s", why.text);
	in_threads(write_or_change, &c);
	slowlog_each_recent(c.log, look, &c); /* the last change may have come before the first line */
	cr_expect_eq(c.wrong, 0);
	cr_expect_gt(c.rows, 0);
	module_slowlog.sample(c.log, numbers);
	cr_expect_eq(numbers[0], 0);
	written = (THREADS - 1) * REQUESTS - numbers[1]; /* the others found the ring full */
	module_slowlog.stop(c.log);
	config_unref(c.config);
	/* Writers of the earlier files end by themselves. */
	for (int i = 0; i < 2000 && lines < written; i++) {
		lines = count_lines(c.paths[0]) + count_lines(c.paths[1]);
		usleep(1000);
	}
	cr_expect_eq(lines, written);
	unlink(c.paths[0]);
	unlink(c.paths[1]);
}
