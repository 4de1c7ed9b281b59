/*
 * tests/bench/bench_scan.c - what the suspicion scanner costs: nanoseconds of CPU per text and per byte.
 *
 *   make tests/bench/bench_scan && tests/bench/bench_scan
 *
 * The aim (design.md, 5.1): below 1 ns per byte of a long text, below 100 ns for a short one.
 */
#include "sql/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LONG_LEN = 1 << 20 };

/* A short text as it is; a long one repeats repeated between begin and end. */
static const struct {
	const char *name, *begin, *repeated, *end;
} texts[] = {
	{ "SELECT 1", "SELECT 1", "", "" },
	{ "pgbench", "SELECT abalance FROM pgbench_accounts WHERE aid = $1", "", "" },
	{ "SQLAlchemy",
	  "SELECT users.id AS users_id, users.name AS users_name, count(orders.id) AS n FROM users LEFT OUTER JOIN "
	  "orders ON "
	  "orders.user_id = users.id WHERE users.name = $1 AND lower(users.email) IN ($2, $3) ORDER BY users.id LIMIT "
	  "10",
	  "", "" },
	{ "Django",
	  "SELECT \"app_user\".\"id\", \"app_user\".\"name\", \"app_user\".\"email\" FROM \"app_user\" INNER JOIN "
	  "\"app_group\" ON (\"app_user\".\"group_id\" = \"app_group\".\"id\") WHERE \"app_group\".\"name\" = 'x' "
	  "LIMIT 21",
	  "", "" },
	{ "many rows", "INSERT INTO t VALUES ", "(12345678, 'some text', 12345, NULL, now()),", "(1)" },
	{ "long rows", "INSERT INTO t VALUES ",
	  "(1234, 'Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore "
	  "et'),",
	  "(1)" },
	{ "a long list", "SELECT * FROM t WHERE id IN (", "12345678, ", "1)" },
	{ "a long string", "SELECT '", "Lorem ipsum dolor sit amet ", "'" },
	{ "one of names", "SELECT '", "snake_case_names and more_of_them ", "'" },
	{ "one with escapes", "SELECT E'", "a line of text that ends\\n", "'" },
	{ "a long comment", "/*", " words of a comment", "*/ SELECT 1" },
	{ "many joins", "SELECT 1 FROM t ",
	  "LEFT OUTER JOIN orders AS orders_1 ON orders_1.user_id = t.id AND orders_1.state IN ($1, $2) ", "" },
};

static double
cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* The best of several runs: the others were disturbed. */
static double
measure(const char *sql, size_t len)
{
	unsigned rounds = (unsigned)(20000000 / (len + 100));
	double best = 1e18;
	volatile unsigned found; /* keeps the compiler from leaving the calls out */
	struct scan s;

	for (int run = 0; run < 7; run++) {
		double begin = cpu_ns(), took;

		for (unsigned i = 0; i < rounds; i++)
			found = scan_text(&s, 0, sql, len);
		took = (cpu_ns() - begin) / rounds;
		best = took < best ? took : best;
	}
	(void)found;
	return best;
}

int
main(void)
{
	char *sql = malloc(LONG_LEN + 1024);

	if (sql == NULL)
		return 1;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		size_t repeated_len = strlen(texts[i].repeated), len = strlen(texts[i].begin);
		double ns;

		memcpy(sql, texts[i].begin, len);
		for (; repeated_len > 0 && len < LONG_LEN; len += repeated_len)
			memcpy(sql + len, texts[i].repeated, repeated_len);
		memcpy(sql + len, texts[i].end, strlen(texts[i].end));
		len += strlen(texts[i].end);
		ns = measure(sql, len);
		printf("%-20s %8zu bytes %12.1f ns %6.2f ns/byte\n", texts[i].name, len, ns, ns / (double)len);
	}
	free(sql);
	return 0;
}
