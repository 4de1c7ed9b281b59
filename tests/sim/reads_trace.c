/* tests/sim/reads_trace.c - see reads_sim.h. The last events are kept, and printed when something does not hold. */
#include "reads_sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define KEPT 400
#define LINE_MAX_LEN 160

static char kept[KEPT][LINE_MAX_LEN];
static uint64_t count, hash;
static const struct reads_sim *of;
static bool is_loud;

void
reads_trace_begin(const struct reads_sim *s, bool loud)
{
	of = s;
	is_loud = loud;
	count = 0;
	hash = 1469598103934665603u;
}

void
reads_trace(const char *fmt, ...)
{
	char *line = kept[count++ % KEPT];
	va_list args;
	int n = snprintf(line, LINE_MAX_LEN, "%6" PRIu64 " ", of->step);

	va_start(args, fmt);
	vsnprintf(line + n, LINE_MAX_LEN - (size_t)n, fmt, args);
	va_end(args);
	for (const char *c = line; *c != '\0'; c++)
		hash = (hash ^ (uint8_t)*c) * 1099511628211u;
	if (is_loud)
		fprintf(stderr, "%s\n", line);
}

uint64_t
reads_trace_hash(void)
{
	return hash;
}

void
reads_trace_dump(void)
{
	for (uint64_t i = count > KEPT ? count - KEPT : 0; i < count && !is_loud; i++)
		fprintf(stderr, "%s\n", kept[i % KEPT]);
	fprintf(stderr, "FAILED at step %" PRIu64 "; again: reads_sim --seed %" PRIu64 " --trace\n", of->step,
		of->seed);
}

void
reads_fail(const char *fmt, ...)
{
	char line[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	fprintf(stderr, "reads: %s\n", line);
	abort(); /* main's handler prints the rest */
}
