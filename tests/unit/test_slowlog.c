/* tests/unit/test_slowlog.c - lines of the slow-query log, and how many of them there may be. */
#include "base/clock.h"
#include "config/config_origin.h"
#include "modules/slowlog/slowlog.h"
#include "unit.h"

#include <unistd.h>

#define NOW (1000 * US_PER_S)
#define TRACE "/*traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*/"

static struct request_report
usual_report(const char *query)
{
	return (struct request_report){
		.wall_us = 1795156763123456ull,
		.duration_us = 152331,
		.phase_us = { [PHASE_WAIT] = 120004,
			      [PHASE_SERVER] = 31120,
			      [PHASE_STREAM] = 900,
			      [PHASE_CLIENT] = 250,
			      [PHASE_PROXY] = 57 },
		.threshold_us = 100000,
		.event = "slow_query",
		.database = "app",
		.user = "web",
		.application = "api",
		.client = "10.0.0.7:51514",
		.client_id = 4711,
		.backend = "10.0.0.2:5432",
		.backend_pid = 2211,
		.protocol = "extended",
		.tag = "SELECT",
		.rows = 50,
		.bytes_in = 96,
		.bytes_out = 18233,
		.statements = 1,
		.plan = PLAN_KEPT,
		.in_transaction = true,
		.sqlstate = "",
		.query = query,
		.query_len = query != NULL ? strlen(query) : 0,
	};
}

static const char *
line_of(enum slow_format format, enum slow_text text, const struct request_report *r, char *out, size_t cap)
{
	struct report_sql sql;
	size_t len;

	fingerprint_report(&sql, r, text);
	len = slowlog_put_line(format, r, &sql, 0, out, cap);
	cr_expect_eq(len, strlen(out));
	cr_expect_eq(out[len - 1], '\n');
	cr_expect_eq(strchr(out, '\n'), out + len - 1, "one line");
	return out;
}

Test(slowlog, a_json_line)
{
	struct request_report r = usual_report("SELECT abalance FROM pgbench_accounts WHERE aid = 42 " TRACE);
	char out[SLOWLOG_LINE_MAX], *hash;
	struct report_sql sql;

	fingerprint_report(&sql, &r, SLOW_TEXT_NORMALIZED);
	slowlog_put_line(SLOW_FORMAT_JSON, &r, &sql, 3, out, sizeof(out));
	hash = strstr(out, "\"fingerprint\":\"");
	cr_assert_not_null(hash);
	cr_expect_eq(strspn(hash + 15, "0123456789abcdef"), 16);
	memcpy(hash + 15, "0123456789abcdef", 16);
	cr_expect_str_eq(
	    out,
	    "{\"ts\":\"2026-11-20T06:39:23.123456Z\",\"event\":\"slow_query\",\"level\":\"warning\",\"duration_"
	    "ms\":152.331,\"wait_ms\":120.004,\"connect_ms\":0.000,\"server_ms\":31.120,\"stream_ms\":0.900,"
	    "\"client_write_ms\":0.250,\"proxy_ms\":0.057,\"cause\":\"wait\",\"database\":\"app\",\"user\":"
	    "\"web\",\"application\":\"api\",\"client\":\"10.0.0.7:51514\",\"client_id\":4711,\"backend\":\"10.0."
	    "0.2:5432\",\"server_pid\":2211,\"protocol\":\"extended\",\"tag\":\"SELECT\",\"rows\":50,\"bytes_"
	    "out\":18233,\"bytes_in\":96,\"statements\":1,\"plan\":\"kept\",\"in_transaction\":true,\"fingerprint\":"
	    "\"0123456789abcdef\",\"query\":\"SELECT abalance FROM pgbench_accounts WHERE aid = "
	    "?\",\"sqlstate\":null,\"canceled_by\":null,\"trace_id\":\"5bd66ef5095369c7b0d1f8f4bd33716a\",\"span_id\":"
	    "\"c532cb4098ac3dd2\",\"suppressed\":3,\"threshold_ms\":100}\n");
}

Test(slowlog, a_line_as_PostgreSQL_writes_it)
{
	struct request_report r = usual_report("SELECT\n 'x'");
	char out[SLOWLOG_LINE_MAX];

	cr_expect_str_eq(line_of(SLOW_FORMAT_POSTGRES, SLOW_TEXT_NORMALIZED, &r, out, sizeof(out)),
			 "2026-11-20 06:39:23.123 UTC [2211] user=web,db=app,app=api,client=10.0.0.7 LOG:  duration: "
			 "152.331 ms  statement: SELECT ?\n");
	r.client = "[::1]:51514";
	r.application = "";
	cr_expect_str_eq(
	    line_of(SLOW_FORMAT_POSTGRES, SLOW_TEXT_NONE, &r, out, sizeof(out)),
	    "2026-11-20 06:39:23.123 UTC [2211] user=web,db=app,app=[unknown],client=::1 LOG:  duration: 152.331 ms\n");
}

static const struct {
	const char *rule, *query;
	enum slow_text text;
	const char *want;
} queries[] = {
	{ "normalised", "SELECT 'secret' /* who */", SLOW_TEXT_NORMALIZED, "\"query\":\"SELECT ?\",\"sqlstate\"" },
	{ "full, but no comment", "SELECT 'x\"y' /* who */", SLOW_TEXT_FULL,
	  "\"query\":\"SELECT 'x\\\"y'\",\"sqlstate\"" },
	{ "none", "SELECT 1", SLOW_TEXT_NONE, "\",\"query\":null,\"sqlstate\"" },
	{ "not known", NULL, SLOW_TEXT_NORMALIZED, "\"fingerprint\":null,\"query\":null,\"sqlstate\"" },
	{ "unsafe", "SELECT 'secret", SLOW_TEXT_FULL, "\"query\":\"SELECT\",\"sqlstate\"" },
	{ "control characters", "SELECT \"a\x1b\x01\"", SLOW_TEXT_NORMALIZED,
	  "\"query\":\"SELECT \\\"a\\u001b\\u0001\\\"\",\"sqlstate\"" },
};

Test(slowlog, what_is_said_of_the_query)
{
	EACH(row, queries) {
		struct request_report r = usual_report(row->query);
		char out[SLOWLOG_LINE_MAX];

		line_of(SLOW_FORMAT_JSON, row->text, &r, out, sizeof(out));
		cr_expect_not_null(strstr(out, row->want), "%s: %s", row->rule, out);
		cr_expect_null(strstr(out, "secret"), "%s", row->rule);
		cr_expect_null(strstr(out, "who"), "%s", row->rule);
	}
}

static const struct {
	const char *rule;
	uint64_t phase_us[PHASE_COUNT];
	const char *want;
	const char *event; /* NULL: "slow_query" */
} causes[] = {
	{ "waited for the pool", { 60, 5, 10, 10, 10, 5 }, "\"proxy_ms\":0.005,\"cause\":\"wait\"", NULL },
	{ "a connection was opened", { 10, 60, 10, 10, 10, 0 }, "\"connect_ms\":0.060,\"server_ms\":0.010", NULL },
	{ "opening it took long", { 10, 60, 10, 10, 10, 0 }, "\"cause\":\"connect\"", NULL },
	{ "the server worked", { 10, 0, 60, 10, 10, 10 }, "\"cause\":\"server\"", NULL },
	{ "a large result", { 10, 0, 10, 60, 10, 10 }, "\"cause\":\"stream\"", NULL },
	{ "the client read slowly", { 10, 0, 10, 10, 60, 10 }, "\"cause\":\"client_write\"", NULL },
	{ "our own time", { 10, 0, 10, 10, 10, 60 }, "\"proxy_ms\":0.060,\"cause\":\"proxy\"", NULL },
	{ "of equals, the server", { 50, 50, 50, 0, 0, 0 }, "\"cause\":\"server\"", NULL },
	{ "lost while it worked", { 10, 0, 60, 10, 10, 10 }, "\"cause\":\"server\"", "backend_lost" },
	{ "lost between two requests", { 0, 0, 0, 0, 60, 0 }, "\"cause\":\"backend_lost\"", "backend_lost" },
	{ "the client's limit", { 0, 0, 0, 0, 60, 0 }, "\"cause\":\"client_write\"", "idle_transaction_timeout" },
};

Test(slowlog, the_cause_is_the_largest_phase)
{
	EACH(row, causes) {
		struct request_report r = usual_report("SELECT 1");
		char out[SLOWLOG_LINE_MAX];

		memcpy(r.phase_us, row->phase_us, sizeof(r.phase_us));
		if (row->event != NULL)
			r.event = row->event;
		line_of(SLOW_FORMAT_JSON, SLOW_TEXT_NORMALIZED, &r, out, sizeof(out));
		cr_expect_not_null(strstr(out, row->want), "%s: %s", row->rule, out);
	}
}

Test(slowlog, what_is_not_known_is_null)
{
	struct request_report r = usual_report("SELECT 1");
	char out[SLOWLOG_LINE_MAX];

	r.event = "pool_timeout";
	r.backend = r.tag = "";
	r.backend_pid = 0;
	r.sqlstate = "53300";
	r.threshold_us = 1500;
	line_of(SLOW_FORMAT_JSON, SLOW_TEXT_NORMALIZED, &r, out, sizeof(out));
	cr_expect_not_null(strstr(out, "\"event\":\"pool_timeout\",\"level\":\"error\""), "%s", out);
	cr_expect_not_null(strstr(out, "\"backend\":null,\"server_pid\":null"), "%s", out);
	cr_expect_not_null(strstr(out, "\"tag\":null"), "%s", out);
	cr_expect_not_null(
	    strstr(out, "\"sqlstate\":\"53300\",\"canceled_by\":null,\"suppressed\":0,\"threshold_ms\":1.500}"), "%s",
	    out);
}

Test(slowlog, a_long_query_is_cut_and_says_so)
{
	char *query = malloc(5000), out[SLOWLOG_LINE_MAX];
	struct request_report r;

	memset(query, 'a', 5000);
	memcpy(query, "SELECT ", 7);
	query[4999] = '\0';
	r = usual_report(query);
	line_of(SLOW_FORMAT_JSON, SLOW_TEXT_NORMALIZED, &r, out, sizeof(out));
	cr_expect_not_null(strstr(out, "aaa\",\"query_truncated\":true,\"sqlstate\""), "%s", out);
	r = usual_report("SELECT 1");
	r.is_query_cut = true;
	line_of(SLOW_FORMAT_JSON, SLOW_TEXT_NORMALIZED, &r, out, sizeof(out));
	cr_expect_not_null(strstr(out, "\"query\":\"SELECT ?\",\"query_truncated\":true"), "%s", out);
	free(query);
}

/* Names and a text of nothing but bytes that need six each, and any room at all: the line stays well formed. */
Test(slowlog, hostile_names_do_not_break_the_line)
{
	char name[1000], query[4096], out[SLOWLOG_LINE_MAX];
	struct request_report r;

	memset(name, '\x01', sizeof(name));
	name[999] = '\0';
	memset(query, '\x01', sizeof(query));
	query[0] = query[4094] = '"';
	query[4095] = '\0';
	r = usual_report(query);
	r.application = r.user = r.database = r.client = name;
	line_of(SLOW_FORMAT_JSON, SLOW_TEXT_NORMALIZED, &r, out, sizeof(out));
	cr_expect_not_null(strstr(out, "\"threshold_ms\":100}\n"), "nothing had to be left out");
	for (size_t cap = 8; cap < sizeof(out); cap += 97) {
		line_of(SLOW_FORMAT_JSON, SLOW_TEXT_NORMALIZED, &r, out, cap);
		cr_expect(out[0] == '{' && out[strlen(out) - 2] == '}');
		line_of(SLOW_FORMAT_POSTGRES, SLOW_TEXT_NORMALIZED, &r, out, cap);
	}
}

/* --- limits --- */

static int
take(struct slowlog_limit *l, uint64_t key, uint64_t now_us)
{
	uint64_t suppressed = 0;

	return slowlog_limit_take(l, key, now_us, &suppressed) ? (int)suppressed : -1;
}

Test(slowlog_limit, a_fingerprint_may_burst_and_then_speak_once_a_second)
{
	static struct slowlog_limit l;

	slowlog_limit_change(&l, 0);
	for (int i = 0; i < 5; i++)
		cr_expect_eq(take(&l, 7, NOW), 0);
	for (int i = 0; i < 3; i++)
		cr_expect_eq(take(&l, 7, NOW + 10), -1);
	cr_expect_eq(take(&l, 7, NOW + US_PER_S - 1), -1);
	cr_expect_eq(take(&l, 7, NOW + US_PER_S), 4, "and tells what it held back");
	cr_expect_eq(take(&l, 7, NOW + US_PER_S), -1);
	cr_expect_eq(take(&l, 8, NOW + US_PER_S), 0, "others are not held back with it");
	for (int i = 0; i < 5; i++)
		cr_expect_eq(take(&l, 7, NOW + 100 * US_PER_S), i == 0 ? 1 : 0, "the burst comes back");
	cr_expect_eq(take(&l, 7, NOW + 100 * US_PER_S), -1, "and is no larger");
}

Test(slowlog_limit, all_together_have_a_limit_too)
{
	static struct slowlog_limit l;

	slowlog_limit_change(&l, 10);
	for (uint64_t key = 0; key < 10; key++)
		cr_expect_eq(take(&l, key, NOW), 0);
	cr_expect_eq(take(&l, 11, NOW), -1);
	cr_expect_eq(take(&l, 11, NOW + US_PER_S / 10), 1);
	cr_expect_eq(take(&l, 12, NOW + US_PER_S / 10), -1);
	slowlog_limit_change(&l, 0);
	cr_expect_eq(take(&l, 12, NOW + US_PER_S / 10), 1, "no limit any more");
}

Test(slowlog_limit, time_that_does_not_pass_or_runs_back_is_no_harm)
{
	static struct slowlog_limit l;

	slowlog_limit_change(&l, 4000000000u);
	for (uint64_t i = 0; i < 5; i++)
		cr_expect_eq(take(&l, 7, NOW - i), 0);
	cr_expect_eq(take(&l, 7, 1), -1);
	cr_expect_eq(take(&l, 7, UINT64_MAX), 1);
}

Test(slowlog_limit, the_one_not_seen_for_longest_makes_room)
{
	static struct slowlog_limit l;

	slowlog_limit_change(&l, 0);
	for (int i = 0; i < 6; i++) {
		take(&l, 1, NOW);
		take(&l, 1 + SLOWLOG_LIMIT_SETS, NOW);
	}
	for (uint64_t i = 2; i <= SLOWLOG_LIMIT_WAYS; i++) {
		cr_expect_eq(take(&l, 1, NOW + i), -1, "it is seen again and again");
		cr_expect_eq(take(&l, 1 + i * SLOWLOG_LIMIT_SETS, NOW + i), 0);
	}
	cr_expect_eq(take(&l, 1, NOW + 20), -1, "and so it is still known");
	cr_expect_eq(take(&l, 1 + SLOWLOG_LIMIT_SETS, NOW + 20), 0, "this one was forgotten");
}

Test(slowlog_limit, what_was_lost_later_is_told_too)
{
	static struct slowlog_limit l;

	slowlog_limit_change(&l, 0);
	take(&l, 7, NOW);
	slowlog_limit_lost(&l, 7, NOW, 3);
	cr_expect_eq(take(&l, 7, NOW), 4);
}

/* --- the whole --- */

static size_t
count_lines(const char *path, const char *having)
{
	FILE *f = fopen(path, "r");
	char line[SLOWLOG_LINE_MAX];
	size_t n = 0;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, having) != NULL;
	if (f != NULL)
		fclose(f);
	return n;
}

extern const struct module module_slowlog;

static const struct module *const module = &module_slowlog;

static void
set(struct config *config, const char *name, const char *value)
{
	struct fail why;

	cr_expect_eq(config_apply_command_line(config, "slow_query", name, value, &why), 0, "%s", why.text);
}

static void
write_line(void *log, const char *query, uint64_t now_us)
{
	struct request_report r = usual_report(query);
	struct report_sql sql;

	fingerprint_report(&sql, &r, SLOW_TEXT_NORMALIZED);
	module->report(log, &r, &sql, now_us);
}

Test(slowlog, lines_reach_the_file_and_the_rest_is_counted)
{
	char path[] = "/tmp/pgweir-slow-XXXXXX", other[] = "/tmp/pgweir-slow-XXXXXX";
	struct config *config = config_new("");
	uint64_t numbers[MODULE_NUMBERS_MAX];
	struct fail why;
	void *log;

	close(mkstemp(path));
	close(mkstemp(other));
	set(config, "file", path);
	log = module->start(config, &why);
	cr_assert_not_null(log, "%s", why.text);
	for (int i = 0; i < 8; i++)
		write_line(log, "SELECT 1", NOW);
	write_line(log, NULL, NOW);
	write_line(log, "SELECT 1", NOW + US_PER_S);
	module->sample(log, numbers);
	cr_expect_eq(numbers[0], 3, "held back");
	cr_expect_eq(numbers[1], 0);
	cr_expect_eq(numbers[2], 0);

	set(config, "file", other);
	set(config, "format", "postgres");
	cr_expect_eq(module->configure(log, config, &why), 0);
	write_line(log, "SELECT 1", NOW + 10 * US_PER_S);
	set(config, "file", "/nonexistent/slow.log");
	set(config, "format", "json");
	cr_expect_eq(module->configure(log, config, &why), -1);
	write_line(log, "SELECT 1", NOW + 10 * US_PER_S);
	set(config, "file", other);
	set(config, "format", "postgres");
	set(config, "max_lines_per_second", "1");
	cr_expect_eq(module->configure(log, config, &why), 0);
	module->reopen(log);
	write_line(log, "SELECT 2, 2", NOW + 20 * US_PER_S);
	write_line(log, "SELECT 3, 3, 3", NOW + 20 * US_PER_S);
	module->sample(log, numbers);
	cr_expect_eq(numbers[0], 4, "the limit of all together");
	module->stop(log);
	cr_expect_eq(count_lines(other, " LOG:  duration: "), 3, "a bad file keeps the old settings");
	for (int i = 0; i < 1000 && count_lines(path, "slow_query") < 7; i++)
		usleep(1000);
	cr_expect_eq(count_lines(path, "\"suppressed\":0"), 6);
	cr_expect_eq(count_lines(path, "\"suppressed\":3"), 1);
	unlink(path);
	unlink(other);
	config_unref(config);
}

Test(slowlog, a_file_that_cannot_be_opened_says_why)
{
	struct config *config = config_new("");
	struct fail why;

	set(config, "file", "/nonexistent/slow.log");
	cr_expect_null(module->start(config, &why));
	cr_expect_not_null(strstr(why.text, "/nonexistent/slow.log"));
	module->stop(NULL);
	config_unref(config);
}
