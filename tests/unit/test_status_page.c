/* tests/unit/test_status_page.c - the pages that the module has, and what their charts are drawn from. */
#include "http/http_state.h"
#include "unit.h"

#define SECOND UINT64_C(1000000)

extern const struct http_page http_module_status_page[];
static void *state; /* one per test: Criterion runs each in a process of its own */
static uint64_t others; /* pools */
static uint64_t due_us;

static const struct http_page *
page(const char *path)
{
	const struct http_page *p = http_module_status_page;

	while (p->path != NULL && strcmp(p->path, path) != 0)
		p++;
	cr_assert_not_null(p->path, "%s", path);
	return p;
}

/* What fill() of a page makes. */
static const char *
filled(const char *path, struct http_request_info info)
{
	static struct buf b;
	struct http_reply r = { 0 };

	buf_fini(&b);
	info.state = state;
	page(path)->fill(&info, &b, &r);
	cr_expect_eq(r.code, 200);
	cr_expect_str_eq(r.content_type, "application/json; charset=utf-8");
	buf_put_u8(&b, 0);
	return (const char *)b.bytes;
}

/* A snapshot of one database, with requests of 2 ms, and of one pool. */
static void
add(uint64_t now_us, uint64_t requests, uint64_t waiting)
{
	struct snapshot_database db = { .name = "app" };
	struct snapshot_pool pool = { .waiting = waiting, .pool_size = 5, .max_overflow = 2 };
	struct snapshot s = { .taken_us = now_us,
			      .pools_aggregated = others,
			      .databases = &db,
			      .database_count = 1,
			      .pools = &pool,
			      .pool_count = 1,
			      .clients_total_now = now_us / SECOND };

	pool.servers[SERVERS_ACTIVE] = 3;
	pool.servers[SERVERS_IDLE] = 1;
	db.counters.requests = requests;
	for (uint64_t i = 0; i < requests; i++)
		histogram_observe_us(&db.counters.query_duration, &histogram_bounds_query, 2000);
	if (state == NULL)
		state = calloc(1, page("/api/v1/history")->state_len);
	due_us = page("/api/v1/history")->on_snapshot(state, &s);
}

static const char *
text(const char *query)
{
	return filled("/api/v1/history", (struct http_request_info){ .query = query });
}

static unsigned
samples(const char *json)
{
	unsigned n = 0;

	for (; (json = strstr(json, "\"t\":")) != NULL; json++)
		n++;
	return n;
}

Test(status_page, a_sample_is_what_was_counted_since_the_last_one)
{
	add(10 * SECOND, 100, 0);
	cr_expect_str_eq(text(""), "[]", "nothing to compare with");
	add(12 * SECOND, 150, 4);
	cr_expect_not_null(strstr(text(""), ",\"qps\":25.0,"), "50 in two seconds");
	cr_expect_not_null(
	    strstr(text(""), "\"clients\":12,\"waiting\":4,\"servers\":4,\"lent\":3,\"overflow\":0,\"limit\":7"));
	cr_expect_not_null(strstr(text(""), "\"p50\":"));
	cr_expect_null(strstr(text(""), "\"p50\":0.000"), "of the 50, not of all");
}

Test(status_page, scrapes_in_between_make_no_samples)
{
	add(10 * SECOND, 0, 0);
	add(10 * SECOND + SECOND / 2, 10, 0);
	add(11 * SECOND, 20, 0);
	cr_expect_eq(samples(text("")), 1);
	cr_expect_not_null(strstr(text(""), "\"qps\":20.0,"));
}

Test(status_page, counters_that_shrink_count_as_nothing)
{
	add(10 * SECOND, 1000, 0);
	add(11 * SECOND, 10, 0);
	cr_expect_not_null(strstr(text(""), "\"qps\":0.0,"));
}

Test(status_page, five_minutes_are_kept)
{
	const char *all;

	for (unsigned i = 0; i < 400; i++)
		add((10 + i) * SECOND, i, 0);
	cr_expect_eq(samples(text("seconds=1000")), 300);
	cr_expect_eq(samples(text("seconds=10")), 10);
	cr_expect_not_null(strstr(text("seconds=1"), "\"clients\":409,"), "the newest");
	all = text("");
	cr_expect_null(strstr(all, "\"clients\":109,"));
	cr_expect_lt(strstr(all, "\"clients\":110,"), strstr(all, "\"clients\":111,"), "the oldest first");
}

Test(status_page, a_walk_over_thousands_of_pools_is_not_made_each_second)
{
	add(10 * SECOND, 0, 0);
	cr_expect_eq(due_us, 11 * SECOND);
	others = 10000;
	add(11 * SECOND, 0, 0);
	cr_expect_eq(due_us, 17 * SECOND);
	add(11 * SECOND + SECOND / 2, 0, 0);
	cr_expect_eq(due_us, 17 * SECOND, "a snapshot that is no sample changes nothing");
}

Test(status_page, nothing_is_open)
{
	for (const struct http_page *p = http_module_status_page; p->path != NULL; p++)
		cr_expect(!p->is_open && (p->file != NULL) + (p->command != NULL) + (p->fill != NULL) == 1, "%s",
			  p->path);
}

static const struct {
	const char *path, *type, *having;
} files[] = {
	{ "/", "text/html; charset=utf-8", "<h1>pgweir</h1>" },
	{ "/status.js", "text/javascript; charset=utf-8", "/api/v1/" },
	{ "/status.css", "text/css; charset=utf-8", "prefers-color-scheme" },
};

Test(status_page, its_files)
{
	EACH(row, files) {
		const struct http_page *p = page(row->path);

		cr_expect_str_eq(p->file_type, row->type);
		cr_expect_not_null(memmem(p->file, p->file_len, row->having, strlen(row->having)), "%s", p->path);
	}
}

Test(status_page, status_says_how_it_is)
{
	struct snapshot s = { .not_ready = { "no backend is up: \"db1\"" },
			      .not_ready_count = 1,
			      .clients_total_now = 7 };
	struct http_request_info info = { .snapshot = &s, .is_alive = true };

	cr_expect_not_null(strstr(filled("/api/v1/status", info),
				  "{\"version\":\"" PGWEIR_VERSION "\",\"alive\":true,\"state\":\"running\","));
	cr_expect_not_null(
	    strstr(filled("/api/v1/status", info), ",\"not_ready\":[\"no backend is up: \\\"db1\\\"\"],"));
	cr_expect_not_null(strstr(filled("/api/v1/status", info), ",\"clients\":7,"));
	info = (struct http_request_info){ .is_alive = false };
	cr_expect_str_eq(filled("/api/v1/status", info), "{\"version\":\"" PGWEIR_VERSION "\",\"alive\":false}\n",
			 "the loop has never answered");
}

Test(status_page, history_goes_back_as_far_as_is_asked)
{
	state = calloc(1, page("/api/v1/history")->state_len);
	cr_expect_str_eq(text(""), "[]", "no snapshot was taken");
	for (unsigned i = 0; i < 20; i++)
		add((10 + i) * SECOND, i, 0);
	cr_expect_eq(samples(text("")), 19);
	cr_expect_eq(samples(text("seconds=5")), 5);
	cr_expect_eq(samples(text("seconds=0")), 0);
	cr_expect_eq(samples(text("seconds=99999999999999999999")), 19);
}
