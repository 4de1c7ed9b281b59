/* tests/sim/sim_trace.c - see sim.h. The last events are kept, and printed when something does not hold. */
#include "sim.h"

#include "session_quiet.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KEPT 256
#define TEXT_MAX 100

struct event_line {
	uint64_t step, a, b;
	const char *what;
	unsigned who;
	char kind;
	char text[TEXT_MAX];
};

static struct event_line kept[KEPT];
static uint64_t count, hash;
static const struct sim *of;
static bool is_loud;

void
sim_trace_of(const struct sim *s)
{
	of = s;
}

void
sim_trace_begin(bool loud)
{
	is_loud = loud;
	count = 0;
	hash = 1469598103934665603u;
}

static void
fold(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ at[i]) * 1099511628211u;
}

static void
fold_number(uint64_t n)
{
	hash = (hash ^ n) * 1099511628211u;
	hash ^= hash >> 29;
}

static void
print(const struct event_line *e)
{
	fprintf(stderr, "%6" PRIu64 " %c%u %s %" PRIu64 " %" PRIu64 " %s\n", e->step, e->kind, e->who, e->what, e->a,
		e->b, e->text);
}

static struct event_line *
add(char kind, unsigned who, const char *what, uint64_t a, uint64_t b)
{
	struct event_line *e = &kept[count++ % KEPT];

	e->step = of->step;
	e->kind = kind;
	e->who = who;
	e->what = what;
	e->a = a;
	e->b = b;
	e->text[0] = '\0';
	fold_number((uint64_t)kind << 56 ^ (uint64_t)who << 48 ^ of->step);
	fold_number(a);
	fold_number(b);
	return e;
}

void
sim_trace(char kind, unsigned who, const char *what, uint64_t a, uint64_t b)
{
	const struct event_line *e = add(kind, who, what, a, b);

	if (is_loud)
		print(e);
}

void
sim_trace_text(char kind, unsigned who, const char *what, const void *text, size_t len)
{
	struct event_line *e = add(kind, who, what, len, 0);

	if (len >= TEXT_MAX)
		len = TEXT_MAX - 1;
	fold(text, len);
	memcpy(e->text, text, len);
	for (size_t i = 0; i < len; i++)
		if (e->text[i] < ' ' || e->text[i] > '~')
			e->text[i] = '.';
	e->text[len] = '\0';
	if (is_loud)
		print(e);
}

uint64_t
sim_trace_hash(void)
{
	fold_number(sim_now());
	return hash;
}

void
sim_trace_dump(void)
{
	uint64_t first = count > KEPT ? count - KEPT : 0;

	for (uint64_t i = first; i < count && !is_loud; i++)
		print(&kept[i % KEPT]);
	fprintf(stderr, "options: %s\n", of->profile.options);
}
