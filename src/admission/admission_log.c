/*
 * src/admission/admission_log.c - bounds the log lines about refused logins: a storm of them must not fill the log.
 * Refusals without a line are counted, and reported together a second later.
 */
#include "admission/admission_state.h"
#include "base/clock.h"

#define QUIET_US US_PER_S
#define LINES_PER_SECOND 20u

bool
admission_may_log_reject(struct admission *a, struct admission_place *t, enum reject_reason reason)
{
	struct admission_quiet *quiet = &a->quiet[reason];
	uint64_t now_us = *a->settings.now_us;

	if (quiet->written_us != 0 && now_us - quiet->written_us < QUIET_US) {
		quiet->kept_back++;
		t->is_unlogged = true;
		return false;
	}
	quiet->written_us = now_us;
	return true;
}

bool
admission_may_log(struct admission *a, struct admission_place *t)
{
	uint64_t now_us = *a->settings.now_us;

	if (t->is_unlogged)
		return false;
	if (a->log_kept_back == 0 && now_us - a->log_since_us >= QUIET_US) {
		a->log_since_us = now_us;
		a->log_count = 0;
	}
	if (a->log_count < LINES_PER_SECOND) {
		a->log_count++;
		return true;
	}
	a->log_kept_back++;
	t->is_unlogged = true;
	return false;
}

void
admission_log_tick(struct admission *a, uint64_t now_us)
{
	if (a->log_kept_back != 0 && now_us - a->log_since_us >= QUIET_US) {
		log_warning(a->settings.log, "%s refused", counted(a->log_kept_back, "more login", "more logins").text);
		a->log_since_us = now_us;
		a->log_kept_back = 0;
		a->log_count = 0;
	}
	for (unsigned i = 0; i < RJ_COUNT; i++) {
		struct admission_quiet *quiet = &a->quiet[i];

		if (quiet->kept_back == 0 || now_us - quiet->written_us < QUIET_US)
			continue;
		log_warning(a->settings.log, "%s refused (%s)",
			    counted(quiet->kept_back, "more login", "more logins").text, reject_reason_names[i]);
		quiet->kept_back = 0;
		quiet->written_us = now_us;
	}
}
