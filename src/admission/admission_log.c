/*
 * src/admission/admission_log.c - bounds the log lines about refused logins, because a storm of refusals must not fill
 * the log. Refusals without a line are counted, and reported together a second later. That report counts as one of the
 * next second's lines.
 */
#include "admission/admission_state.h"
#include "base/clock.h"

#define PERIOD_US US_PER_S
#define LINES_PER_SECOND 20u

static bool
take_line(struct admission *a, struct admission_place *t, unsigned kind, uint32_t most)
{
	struct admission_log_limit *limit = &a->log_limits[kind];
	uint64_t now_us = *a->settings.now_us;

	if (limit->unlogged == 0 && now_us - limit->since_us >= PERIOD_US) {
		limit->since_us = now_us;
		limit->written = 0;
	}
	if (!t->is_unlogged && limit->written < most) {
		limit->written++;
		return true;
	}
	limit->unlogged += !t->is_unlogged;
	t->is_unlogged = true;
	return false;
}

bool
admission_take_reject_line(struct admission *a, struct admission_place *t, enum reject_reason reason)
{
	return take_line(a, t, reason, 1);
}

bool
admission_take_log_line(struct admission *a, struct admission_place *t)
{
	return take_line(a, t, ADMISSION_LOG_OTHERS, LINES_PER_SECOND);
}

void
admission_log_tick(struct admission *a, uint64_t now_us)
{
	for (unsigned kind = 0; kind < ADMISSION_LOG_LIMITS; kind++) {
		struct admission_log_limit *limit = &a->log_limits[kind];
		const char *reason = kind < RJ_COUNT ? reject_reason_names[kind] : NULL;

		if (limit->unlogged == 0 || now_us - limit->since_us < PERIOD_US)
			continue;
		log_warning(a->settings.log, "%s refused%s%s%s",
			    base_format_count(limit->unlogged, "more login", "more logins").text,
			    reason != NULL ? " (" : "", reason != NULL ? reason : "", reason != NULL ? ")" : "");
		*limit = (struct admission_log_limit){ .since_us = now_us, .written = 1 };
	}
}
