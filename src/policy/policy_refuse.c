/*
 * src/policy/policy_refuse.c - refuses those in line, and words the reason.
 *
 * A full pool (53300) and a PostgreSQL that can't be reached (08xxx, from the attempt) have different errors, each with
 * a hint. A borrower that is refused may come back from within: it counts as a newcomer and is not refused again here.
 */
#include "policy/policy_line.h"

#include <inttypes.h>
#include <strings.h>

static void
refuse(struct policy *p, struct policy_ticket *t, const struct fail *why, enum request_failure kind)
{
	policy_leave_line(p, t);
	p->outage.refused += kind == RF_BACKEND_UNREACHABLE && p->outage.since_us > 0;
	t->ops->on_refuse(why, kind, t);
}

void
policy_refuse_line(struct policy *p, const struct fail *why, enum request_failure kind)
{
	struct fail copy = *why; /* borrowers may overwrite *why if it is p->last_fail */
	uint32_t last = p->last_number;
	struct policy_ticket *t;

	/* Numbers may wrap around, but a line is never that long. */
	while ((t = TAILQ_FIRST(&p->line)) != NULL && (int32_t)(t->number - last) <= 0)
		refuse(p, t, &copy, kind);
}

void
policy_refuse_impatient(struct policy *p, const struct fail *why)
{
	struct fail copy = *why;
	uint32_t last = p->last_number;
	struct policy_ticket *t = TAILQ_FIRST(&p->line);

	while (t != NULL && p->failed_count > 0 && (int32_t)(t->number - last) <= 0) {
		if (policy_is_patient(p, t)) {
			t = TAILQ_NEXT(t, link);
			continue;
		}
		refuse(p, t, &copy, RF_BACKEND_UNREACHABLE);
		t = TAILQ_FIRST(&p->line); /* anything may have happened meanwhile */
	}
}

void
policy_refuse_all(struct policy *p, const struct fail *why, enum request_failure kind, uint64_t now_us)
{
	policy_refuse_line(p, why, kind);
	policy_reinforce(p, now_us);
}

/* --- Words. --- */

/* Nobody answers: what is being opened for the first in line, for a second or since it waits. NULL: there is none. */
static const struct policy_conn *
find_hanging(const struct policy *p, const struct policy_ticket *t, uint64_t now_us)
{
	const struct policy_conn *conn = TAILQ_FIRST(&p->in[PC_OPENING]);

	if (conn == NULL || p->is_paused || (conn->opened_us > t->since_us && now_us - conn->opened_us < SECOND_US))
		return NULL;
	return conn;
}

/* Returns true if there is no sign of life from where conn is being opened: not for a second, or as long as t may wait,
 * and no other connection was opened or heard of since. */
static bool
is_unanswered(const struct policy *p, const struct policy_conn *conn, const struct policy_ticket *t, uint64_t now_us)
{
	const struct policy_conn *other;

	TAILQ_FOREACH(other, &p->all, all)
		if (!policy_is_coming(other->state) && later_of(other->opened_us, other->heard_us) > conn->opened_us)
			return false;
	return now_us - conn->opened_us >= SECOND_US || now_us >= policy_deadline(p, t);
}

static void
say_hanging(const struct policy *p, const struct policy_conn *conn, uint64_t now_us, struct fail *why)
{
	const char *address = p->ops.address != NULL ? p->ops.address(p->owner, conn) : "PostgreSQL";

	fail_detail(why, "opening one to %s for %s, no answer yet", address,
		    duration_of(now_us - conn->opened_us).text);
	fail_hint(why, "check that PostgreSQL at %s is up and reachable from here; connect_timeout limits the attempt",
		  address);
}

/* more: what else is to be known, or "". */
static void
say_busy(const struct policy *p, const char *more, struct fail *why)
{
	uint32_t waiting = policy_line_length(p);

	fail_detail(why,
		    "pool has %" PRIu32 " of %" PRIu32 " connections busy (%" PRIu32 " + %" PRIu32
		    " overflow), %" PRIu32 " client%s waiting%s%s",
		    policy_busy(p), p->limit, p->settings.pool_size, p->settings.max_overflow, waiting,
		    waiting == 1 ? "" : "s", more[0] != '\0' ? "; " : "", more);
}

uint32_t
policy_busy(const struct policy *p)
{
	uint32_t verified, idle;

	if (p->part.whole == NULL)
		return p->count[PC_LENT];
	verified = policy_of_whole(&p->part.whole->verified);
	idle = part_sum(&p->part).idle;
	return verified > idle ? verified - idle : 0;
}

/* Returns the number of a worker that has a part of the pool and does not answer; -1: there is none. */
static int
find_silent(const struct policy *p)
{
	const struct policy_whole *w = p->part.whole;

	return w == NULL ? -1 : ffs((int)(policy_of_whole(&w->in_use) & policy_of_whole(&w->commons->silent))) - 1;
}

/* The reason that explains the wait best comes first, and the most common one last. */
static void
say_cause(const struct policy *p, const struct policy_ticket *t, uint64_t now_us, struct fail *why)
{
	const struct policy_conn *hanging = find_hanging(p, t, now_us);
	struct counted waiting = counted(policy_line_length(p), "client", "clients");
	int silent = find_silent(p);
	bool has_failed = p->last_fail.sqlstate[0] != '\0' && p->last_fail_us >= t->since_us;
	struct fail cap;

	say_busy(p, "", why);
	if (p->is_paused) {
		fail_detail(why, "the pool is paused, %s waiting", waiting.text);
		fail_hint(why, "RESUME it in the pgweir console");
	} else if (has_failed && p->last_fail_kind == CF_TOO_MANY) {
		fail_hint(why, "PostgreSQL said: %.160s; raise its max_connections or lower pool_size",
			  p->last_fail.text);
	} else if (has_failed) {
		fail_hint(why, "opening another failed: %.200s", p->last_fail.text);
	} else if (hanging != NULL && is_unanswered(p, hanging, t, now_us)) {
		say_hanging(p, hanging, now_us, why);
	} else if (caps_is_short(&p->caps)) {
		caps_say_short(&p->caps, &cap);
		say_busy(p, cap.detail, why);
		fail_hint(why, "%s", cap.hint);
	} else if (silent >= 0) {
		fail_detail(why,
			    "worker %d does not answer, and keeps its part of the pool's %" PRIu32
			    " connections, %s waiting",
			    silent, p->limit, waiting.text);
		fail_hint(why, "pgweir's log and SHOW WORKERS in its console say since when; if it stays so, restart "
			       "pgweir");
	} else if (hanging != NULL) {
		say_busy(p, "one more is being opened", why);
		fail_hint(why, "it is lent once it has logged in; min_idle keeps some ready");
	} else if (t->ops->blame == NULL || !t->ops->blame(t, now_us, why)) {
		fail_hint(why, "raise pool_size or max_overflow, or see who keeps connections for long: SHOW HOLDERS "
			       "in the pgweir console");
	}
}

void
policy_explain_wait(const struct policy *p, const struct policy_ticket *t, uint64_t now_us, struct fail *why)
{
	fail_set(why, "53300", "no server connection is free");
	say_cause(p, t, now_us, why);
}

uint32_t
policy_place(const struct policy *p, const struct policy_ticket *t, uint64_t now_us)
{
	const struct policy_ticket *ahead;
	uint32_t place = 1;

	TAILQ_FOREACH(ahead, &p->line, link) {
		if (ahead == t)
			break;
		place++;
	}
	return place + part_ahead(&p->part, t->since_us, now_us);
}

uint64_t
policy_waited_to_connect_us(const struct policy *p, const struct policy_ticket *t, uint64_t now_us)
{
	const struct policy_conn *hanging = find_hanging(p, t, now_us);
	bool has_failed = p->last_fail.sqlstate[0] != '\0' && p->last_fail_us >= t->since_us;

	if (has_failed && p->count[PC_LENT] == 0 && !p->is_paused)
		return now_us - t->since_us;
	return hanging == NULL ? 0 : now_us - (hanging->opened_us > t->since_us ? hanging->opened_us : t->since_us);
}

/* Explains to a request that has waited in vain through an outage: the reason is the outage's. */
static void
say_held(const struct policy *p, const struct policy_ticket *t, uint64_t now_us, struct fail *why)
{
	*why = p->last_fail;
	fail_detail(why, "the request waited for %s; nothing could be opened for %s (%s)",
		    duration_of(now_us - t->since_us).text, duration_of(now_us - p->outage.since_us).text,
		    p->settings.is_holding ? "outage_hold" : "pool_timeout");
}

/* Deadlines are in the order of the line, so the late ones are at the front. */
void
policy_refuse_late(struct policy *p, uint64_t now_us)
{
	struct policy_ticket *t;

	while ((t = TAILQ_FIRST(&p->line)) != NULL && now_us >= policy_deadline(p, t)) {
		struct fail why;

		t->connect_us = policy_waited_to_connect_us(p, t, now_us);
		if (p->outage.since_us > 0 && !p->settings.waits_while_down) {
			say_held(p, t, now_us, &why);
			refuse(p, t, &why, RF_BACKEND_UNREACHABLE);
			continue;
		}
		fail_set(&why, "53300", "no server connection became free within %s",
			 duration_of(p->settings.timeout_us).text);
		fail_pgbouncer_text(&why, "query_wait_timeout");
		say_cause(p, t, now_us, &why);
		p->counters->pool_timeouts++;
		refuse(p, t, &why, RF_POOL_TIMEOUT);
	}
}

void
policy_refuse_hopeless(struct policy *p, uint64_t now_us)
{
	struct fail why = p->last_fail;

	if (why.detail[0] == '\0' && now_us >= p->last_fail_us) {
		struct duration ago = duration_of(now_us - p->last_fail_us);

		if (now_us < p->backoff_until_us)
			fail_detail(&why, "tried %s ago, next try in %s", ago.text,
				    duration_of(p->backoff_until_us - now_us).text);
		else
			fail_detail(&why, "tried %s ago, no answer to the next try yet", ago.text);
	}
	if (now_us > p->last_fail_us) {
		const char *cached = why.pgbouncer_text[0] != '\0' ? p->last_fail.pgbouncer_text : p->last_fail.text;

		fail_pgbouncer_text(&why, "server login has been failing, cached error: %.160s (server_login_retry)",
				    cached);
	}
	policy_refuse_impatient(p, &why);
}
