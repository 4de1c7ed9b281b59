/*
 * src/pool/pool_refuse.c - how those in line are refused, and in which words.
 *
 * A full pool (53300) and a PostgreSQL that can't be reached (08xxx, as the attempt said) are told apart, and each text
 * says what there is to do about it. Those refused may come back from within: they are newcomers, not refused again
 * here.
 */
#include "pool/pool_state.h"

#include <inttypes.h>
#include <stdio.h>

static void
refuse_first(struct pool *p, const struct fail *why, enum request_failure kind)
{
	struct pool_ticket *t = TAILQ_FIRST(&p->line);

	pool_leave_line(p, t);
	t->on_refuse(why, kind, t->arg);
}

void
pool_refuse_line(struct pool *p, const struct fail *why, enum request_failure kind)
{
	struct fail copy = *why; /* it may be ours, and be overwritten by what borrowers do */
	uint32_t last = p->last_number;
	struct pool_ticket *t;

	/* Numbers may wrap around; a line is never that long. */
	while ((t = TAILQ_FIRST(&p->line)) != NULL && (int32_t)(t->number - last) <= 0)
		refuse_first(p, &copy, kind);
}

void
pool_refuse_all(struct pool *p, const struct fail *why, enum request_failure kind, uint64_t now_us)
{
	pool_refuse_line(p, why, kind);
	pool_reinforce(p, now_us);
}

/* --- Words. --- */

struct duration {
	char text[24];
};

static struct duration
in_words(uint64_t us)
{
	struct duration d;

	if (us >= SECOND_US && us % SECOND_US == 0)
		snprintf(d.text, sizeof(d.text), "%" PRIu64 " s", us / SECOND_US);
	else if (us >= SECOND_US)
		snprintf(d.text, sizeof(d.text), "%.1f s", (double)us / SECOND_US);
	else
		snprintf(d.text, sizeof(d.text), "%" PRIu64 " ms", us / 1000);
	return d;
}

/* Most common last; what explains the wait best wins. */
static void
say_why_late(const struct pool *p, const struct pool_ticket *t, struct fail *why)
{
	const struct pool_settings *s = &p->settings;
	bool has_failed = p->last_fail.sqlstate[0] != '\0' && p->last_fail_us >= t->since_us;
	struct duration waited = in_words(s->timeout_us);

	fail_set(why, "53300", "no server connection became free within %s", waited.text);
	fail_detail(why,
		    "pool has %" PRIu32 " of %" PRIu32 " connections busy (%" PRIu32 " + %" PRIu32
		    " overflow), %" PRIu32 " clients waiting",
		    p->count[PC_LENT], p->limit, s->pool_size, s->max_overflow, p->waiting);
	if (p->is_paused) {
		fail_detail(why, "the pool is paused, %" PRIu32 " clients waiting", p->waiting);
		fail_hint(why, "RESUME it in the pgweir console");
	} else if (has_failed && p->last_fail_kind == CF_TOO_MANY) {
		fail_hint(why, "PostgreSQL said: %.160s; raise its max_connections or lower pool_size",
			  p->last_fail.text);
	} else if (has_failed) {
		fail_hint(why, "opening another failed: %.200s", p->last_fail.text);
	} else if (p->member.short_count > 0) {
		fail_hint(
		    why,
		    "max_server_connections is used up, by this and other pools: raise it, or lower their pool_size");
	} else {
		fail_hint(
		    why,
		    "raise pool_size or max_overflow, or look for long transactions with SHOW CLIENTS in the pgweir "
		    "console");
	}
}

/* All wait equally long at most, so the late are at the front. */
void
pool_refuse_late(struct pool *p, uint64_t now_us)
{
	struct pool_ticket *t;

	while ((t = TAILQ_FIRST(&p->line)) != NULL && p->settings.timeout_us > 0 &&
	       now_us >= later(t->since_us, p->settings.timeout_us)) {
		struct fail why;

		say_why_late(p, t, &why);
		p->counters->pool_timeouts++;
		refuse_first(p, &why, RF_POOL_TIMEOUT);
	}
}

void
pool_refuse_hopeless(struct pool *p, uint64_t now_us)
{
	struct fail why = p->last_fail;

	if (why.detail[0] == '\0' && now_us >= p->last_fail_us) {
		struct duration ago = in_words(now_us - p->last_fail_us);
		struct duration next = in_words(p->backoff_until_us - now_us);

		fail_detail(&why, "tried %s ago, next try in %s", ago.text, next.text);
	}
	pool_refuse_line(p, &why, RF_BACKEND_UNREACHABLE);
}
