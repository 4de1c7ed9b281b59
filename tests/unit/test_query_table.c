/* tests/unit/test_query_table.c - what statements cost, added up by several loops and read meanwhile. */
#include "telemetry/query_table.h"
#include "threads.h"
#include "unit.h"

#define ROWS_MAX 100
#define REQUESTS 20000 /* of each thread */

struct sums {
	uint64_t rows, calls, total_us;
	char first[QUERY_TEXT_MAX]; /* SQL of the first row */
	struct query_table *reset; /* if not NULL, it is emptied while its rows are read */
	unsigned wrong;
};

static void
sum_up(struct query_row *rows, size_t count, void *arg)
{
	struct sums *s = arg;

	*s = (struct sums){ .rows = count, .reset = s->reset, .wrong = s->wrong };
	if (s->reset != NULL)
		query_table_reset(s->reset);
	for (size_t i = 0; i < count; i++) {
		s->calls += rows[i].calls;
		s->total_us += rows[i].total_us;
		s->wrong += strcmp(rows[i].database, "app") != 0 || strncmp(rows[i].query, "select ", 7) != 0 ||
			    histogram_count(&rows[i].duration) != rows[i].calls;
	}
	if (count > 0)
		snprintf(s->first, sizeof(s->first), "%s", rows[0].query);
}

static struct sums
read_all(struct query_table *t)
{
	struct sums s = { 0 };

	query_table_read(t, sum_up, &s);
	cr_expect_eq(s.wrong, 0);
	return s;
}

static void
add(struct query_table *t, const char *sql, uint64_t us, uint32_t weight)
{
	struct request_report report = { .duration_us = us,
					 .database = "app",
					 .user = "web",
					 .application = "",
					 .query = sql,
					 .query_len = strlen(sql) };

	query_table_add(t, &report, weight);
}

Test(query_table, readers_add_to_the_same_rows)
{
	struct query_table *t = query_table_new(ROWS_MAX, 7);
	struct sums s;

	add(t, "select 1", 10, 1);
	add(t, "select 2", 10, 1);
	add(t, "SELECT  3", 20, 5);
	add(t, "select a", 1, 1);
	s = read_all(t);
	cr_expect_eq(s.rows, 2);
	cr_expect_eq(s.calls, 8);
	cr_expect_eq(s.total_us, 121);
	cr_expect_str_eq(s.first, "select a", "used last");
	add(t, "select 4", 0, 1);
	cr_expect_str_eq(read_all(t).first, "select ?");
	query_table_free(t);
}

Test(query_table, a_full_one_forgets_what_was_not_used_for_long)
{
	struct query_table *t = query_table_new(ROWS_MAX, 7);
	struct sums s;
	char sql[32];

	for (int i = 0; i < 3 * ROWS_MAX; i++) {
		snprintf(sql, sizeof(sql), "select c%d", i);
		add(t, sql, 1, 1);
	}
	s = read_all(t);
	cr_expect_eq(s.rows, ROWS_MAX);
	cr_expect_str_eq(s.first, sql);
	query_table_set_max(t, 3);
	cr_expect_eq(read_all(t).rows, 3);
	query_table_set_max(t, 0);
	add(t, "select 1", 1, 1);
	cr_expect_eq(read_all(t).rows, 0);
	query_table_free(t);
}

Test(query_table, what_is_read_stays_when_its_row_goes)
{
	struct query_table *t = query_table_new(ROWS_MAX, 7);
	struct sums s = { .reset = t };

	add(t, "select 1", 1, 1);
	query_table_read(t, sum_up, &s);
	cr_expect_eq(s.wrong, 0);
	cr_expect_str_eq(s.first, "select ?");
	cr_expect_eq(read_all(t).rows, 0);
	query_table_free(t);
}

struct shared {
	struct query_table *table;
	struct sums read;
	uint64_t reads;
	_Atomic unsigned adding; /* threads that are not through */
};

/* The last thread reads, and changes the size; the others add, mostly to rows that are there, and each some of its own.
 */
static void
add_or_read(unsigned number, void *arg)
{
	struct shared *shared = arg;
	char sql[48];

	for (unsigned i = 0; i < REQUESTS && number < THREADS - 1; i++) {
		snprintf(sql, sizeof(sql), "select c%u, %u", i % 8 == 0 ? i * THREADS + number : i % 16, i);
		add(shared->table, sql, 3, 1);
	}
	if (number < THREADS - 1)
		shared->adding--;
	for (unsigned i = 0; number == THREADS - 1 && shared->adding > 0; i++) {
		query_table_set_max(shared->table, ROWS_MAX + i % 2);
		query_table_read(shared->table, sum_up, &shared->read);
		shared->reads += shared->read.rows;
	}
}

Test(query_table, threads_add_while_one_reads)
{
	struct shared shared = { .table = query_table_new(ROWS_MAX, 7), .adding = THREADS - 1 };

	in_threads(add_or_read, &shared);
	cr_expect_gt(shared.reads, 0);
	cr_expect_eq(shared.read.wrong, 0);
	query_table_set_max(shared.table, ROWS_MAX);
	cr_expect_eq(read_all(shared.table).rows, ROWS_MAX);
	query_table_free(shared.table);
}

/* None is lost: all statements have room. */
static void
add_the_same(unsigned number, void *arg)
{
	struct query_table *t = arg;
	char sql[32];

	for (unsigned i = 0; i < REQUESTS; i++) {
		snprintf(sql, sizeof(sql), "select c%u", (i + number) % (ROWS_MAX / 2));
		add(t, sql, 3, 2);
	}
}

Test(query_table, threads_add_to_the_same_rows)
{
	struct query_table *t = query_table_new(ROWS_MAX, 7);
	struct sums s;

	in_threads(add_the_same, t);
	s = read_all(t);
	cr_expect_eq(s.rows, ROWS_MAX / 2);
	cr_expect_eq(s.calls, THREADS * REQUESTS * 2);
	cr_expect_eq(s.total_us, THREADS * REQUESTS * 6);
	query_table_free(t);
}
