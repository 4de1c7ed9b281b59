/*
 * tests/bench/bench_metrics.c - what a scrape costs: microseconds of CPU to render, and to compress, the metrics of
 * many pools.
 *
 *   make tests/bench/bench_metrics && tests/bench/bench_metrics
 *
 * The aim (telemetry.md): rendering 100 pools takes below 1 ms. The fastest of some rounds counts, as the first ones
 * still fill the caches, and as others may use the machine.
 */
#include "http/http_state.h"
#include "telemetry/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 50 };

static double
cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void
fill(uint64_t *words, size_t size, uint64_t *random)
{
	for (size_t i = 0; i < size / sizeof(*words); i++) {
		*random = *random * 6364136223846793005u + 1442695040888963407u;
		words[i] = *random >> (34 + *random % 24);
	}
}

static struct snapshot *
make_snapshot(size_t pools, size_t databases)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	uint64_t random = 1;

	s->pools = calloc(pools, sizeof(*s->pools));
	s->databases = calloc(databases, sizeof(*s->databases));
	s->pool_count = pools;
	s->database_count = databases;
	for (size_t i = 0; i < pools; i++) {
		struct snapshot_pool *p = &s->pools[i];

		snprintf(p->database, sizeof(p->database), "customer_%zu", i % databases);
		snprintf(p->user, sizeof(p->user), "application_%zu", i);
		fill(p->servers, sizeof(p->servers), &random);
		fill((uint64_t *)&p->counters, sizeof(p->counters), &random);
	}
	for (size_t i = 0; i < databases; i++) {
		struct snapshot_database *d = &s->databases[i];

		snprintf(d->name, sizeof(d->name), "customer_%zu", i);
		fill((uint64_t *)&d->counters, sizeof(d->counters), &random);
		memset(d->counters.errors, 0, sizeof(d->counters.errors));
		d->counters.errors[EO_SERVER][counters_error_class("23505")] = 17;
	}
	return s;
}

static size_t
count_lines(const struct buf *text)
{
	size_t n = 0;

	for (size_t i = 0; i < text->len; i++)
		n += text->bytes[i] == '\n';
	return n;
}

static void
measure(size_t pools, size_t databases)
{
	struct snapshot *s = make_snapshot(pools, databases);
	struct buf text = { 0 }, gzip = { 0 };
	double best = 1e9, best_gzip = 1e9;

	for (int i = 0; i < ROUNDS; i++) {
		double before = cpu_us(), rendered;

		text.len = gzip.len = 0;
		metrics_render(s, EXPOSITION_TEXT, &text);
		rendered = cpu_us();
		http_gzip(&gzip, text.bytes, text.len);
		best = rendered - before < best ? rendered - before : best;
		best_gzip = cpu_us() - rendered < best_gzip ? cpu_us() - rendered : best_gzip;
	}
	printf("%5zu pools in %5zu databases: %7zu lines, %5zu KiB, %8.0f us (%.2f ms per 100 pools); "
	       "gzip %4zu KiB, %8.0f us\n",
	       pools, databases, count_lines(&text), text.len / 1024, best, best / (double)pools / 10, gzip.len / 1024,
	       best_gzip);
	buf_fini(&text);
	buf_fini(&gzip);
	snapshot_free(s);
}

int
main(void)
{
	static const size_t pools[] = { 100, 300, 1000 };

	for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]); i++) {
		measure(pools[i], 10);
		measure(pools[i], pools[i]);
	}
	return 0;
}
