#include "runner.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define KEPT 400
#define LINE_MAX_LEN 160

static const struct simulation *running;
static uint64_t running_seed;

static struct {
	char kept[KEPT][LINE_MAX_LEN];
	uint64_t count, hash;
	bool is_loud;
} trace;

/* It is called once for each signal; then that ends the process. */
static void
on_abort(int signal)
{
	(void)signal;
	running->dump();
	fprintf(stderr, "FAILED at step %" PRIu64 "; again: %s --seed %" PRIu64 " --trace\n", *running->step,
		running->name, running_seed);
}

/* A sanitizer reports a crash by itself. */
static void
expect_the_worst(void)
{
	const struct sigaction dump = { .sa_handler = on_abort, .sa_flags = (int)SA_RESETHAND };
	struct sigaction now;

	sigaction(SIGABRT, &dump, NULL);
	if (sigaction(SIGSEGV, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
		sigaction(SIGSEGV, &dump, NULL);
}

static uint64_t
number(const char *text)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || end == text) {
		fprintf(stderr, "%s: %s is not a number\n", running->name, text);
		exit(2);
	}
	return n;
}

uint64_t
simulate(const struct simulation *s, int argc, char **argv, uint64_t *seeds)
{
	static const struct option options[] = { { "seed", required_argument, NULL, 's' },
						 { "seeds", required_argument, NULL, 'n' },
						 { "steps", required_argument, NULL, 'k' },
						 { "trace", no_argument, NULL, 't' },
						 { NULL, 0, NULL, 0 } };
	uint64_t first = 1, steps = s->steps, hash = 0;
	bool is_loud = false;
	int option;

	running = s;
	*seeds = 1;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 's')
			first = number(optarg);
		else if (option == 'n')
			*seeds = number(optarg);
		else if (option == 'k')
			steps = number(optarg);
		else if (option == 't')
			is_loud = true;
		else
			exit(2);
	}
	expect_the_worst();
	for (uint64_t i = 0; i < *seeds; i++) {
		running_seed = first + i;
		s->begin(is_loud);
		s->run(running_seed, steps);
		hash = hash * 31 + s->hash();
	}
	return hash;
}

void
sim_fail(const char *fmt, ...)
{
	char line[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	fprintf(stderr, "%s: %s\n", running->name, line);
	abort(); /* on_abort() prints the rest */
}

/* --- events as lines of text --- */

void
trace_begin(bool is_loud)
{
	trace.is_loud = is_loud;
	trace.count = 0;
	trace.hash = 1469598103934665603u;
}

void
trace_line(const char *fmt, ...)
{
	char *line = trace.kept[trace.count++ % KEPT];
	va_list args;
	int n = snprintf(line, LINE_MAX_LEN, "%8.3f ", running->now());

	va_start(args, fmt);
	vsnprintf(line + n, LINE_MAX_LEN - (size_t)n, fmt, args);
	va_end(args);
	for (const char *c = line; *c != '\0'; c++)
		trace.hash = (trace.hash ^ (uint8_t)*c) * 1099511628211u;
	if (trace.is_loud)
		fprintf(stderr, "%s\n", line);
}

uint64_t
trace_hash(void)
{
	return trace.hash;
}

void
trace_dump(void)
{
	for (uint64_t i = trace.count > KEPT ? trace.count - KEPT : 0; i < trace.count && !trace.is_loud; i++)
		fprintf(stderr, "%s\n", trace.kept[i % KEPT]);
}

/* --- chance --- */

uint32_t
draw_number(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return (uint32_t)(*random >> 29);
}

uint32_t
draw_below(uint64_t *random, uint32_t limit)
{
	return limit == 0 ? 0 : draw_number(random) % limit;
}

bool
draw_chance(uint64_t *random, unsigned parts, unsigned of)
{
	return parts > 0 && (draw_number(random) & (of - 1)) < parts;
}
