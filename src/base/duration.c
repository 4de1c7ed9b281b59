/* src/base/duration.c - see clock.h. */
#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>

#define MINUTE_S UINT64_C(60)
#define HOUR_S (60 * MINUTE_S)
#define DAY_S (24 * HOUR_S)

static void
put_two(struct duration *d, uint64_t large, const char *large_unit, uint64_t small, const char *small_unit)
{
	if (small > 0)
		snprintf(d->text, sizeof(d->text), "%" PRIu64 " %s %" PRIu64 " %s", large, large_unit, small,
			 small_unit);
	else
		snprintf(d->text, sizeof(d->text), "%" PRIu64 " %s", large, large_unit);
}

struct duration
duration_format(uint64_t us)
{
	uint64_t s = us / US_PER_S, tenths = us % US_PER_S / (US_PER_S / 10);
	struct duration d;

	if (s >= DAY_S)
		put_two(&d, s / DAY_S, "d", s % DAY_S / HOUR_S, "h");
	else if (s >= HOUR_S)
		put_two(&d, s / HOUR_S, "h", s % HOUR_S / MINUTE_S, "min");
	else if (s >= 2 * MINUTE_S)
		put_two(&d, s / MINUTE_S, "min", s % MINUTE_S, "s");
	else if (s > 0 && tenths == 0)
		snprintf(d.text, sizeof(d.text), "%" PRIu64 " s", s);
	else if (s > 0)
		snprintf(d.text, sizeof(d.text), "%" PRIu64 ".%" PRIu64 " s", s, tenths);
	else
		snprintf(d.text, sizeof(d.text), "%" PRIu64 " ms", (uint64_t)(us / US_PER_MS));
	return d;
}

struct counted
base_format_count(uint64_t count, const char *if_one, const char *else_)
{
	struct counted out;

	snprintf(out.text, sizeof(out.text), "%" PRIu64 " %s", count, count == 1 ? if_one : else_);
	return out;
}
