/*
 * src/pool/pool_supply.c - sees to it that there is something coming for everyone in line, and no more than that.
 *
 * For each waiter one connection is on its way: an idle one that is being pinged, else a new one that is being opened.
 * It need not be his: whichever comes first goes to the longest waiter. Opening has four brakes: the pool's limit, the
 * pacing, the cap shared with other pools, and the back-off. After a failure one connection is tried alone, and only
 * its success lets the others follow; what has failed together counts as one failure.
 */
#include "pool/pool_state.h"

#include <assert.h>

#define OPENS_AT_ONCE 16
#define BACKOFF_FIRST_US (50 * 1000u)
#define BACKOFF_MOST_US (15 * SECOND_US)
#define LOWERED_FOR_US (30 * SECOND_US)
#define MIN_IDLE_RETRY_US SECOND_US

/* splitmix64: enough to keep many poolers from doing things at the same moment. */
/* --- What keeps us from opening. --- */

static uint32_t
limit_now(const struct pool *p, uint64_t now_us)
{
	return now_us < p->lowered_until_us && p->lowered_limit < p->limit ? p->lowered_limit : p->limit;
}

/* How many more may be opened now, the shared cap aside. */
static uint32_t
room(const struct pool *p, uint64_t now_us)
{
	uint32_t pace = p->settings.opens_at_once > 0 ? p->settings.opens_at_once : OPENS_AT_ONCE;
	uint32_t limit = limit_now(p, now_us), opening = p->count[PC_OPENING];

	if (p->failed_count > 0)
		pace = 1;
	if (p->is_paused || now_us < p->backoff_until_us || p->total >= limit || opening >= pace)
		return 0;
	return limit - p->total < pace - opening ? limit - p->total : pace - opening;
}

void
pool_forget_failures(struct pool *p)
{
	p->failed_count = 0;
	p->backoff_until_us = 0;
}

static void
back_off(struct pool *p, uint64_t now_us)
{
	uint64_t us = backoff_us(p->failed_count, BACKOFF_FIRST_US, BACKOFF_MOST_US, &p->random);

	p->failed_count++;
	p->backed_off_us = now_us;
	p->backoff_until_us = later(now_us, us);
}

/* started_us: when that one was begun. Those begun before the last back-off fail for the same reason: no news. */
static void
note_failure(struct pool *p, enum connect_failure kind, uint64_t started_us, const struct fail *why, uint64_t now_us)
{
	p->last_fail = *why;
	p->last_fail_us = now_us;
	p->last_fail_kind = kind;
	if (kind == CF_TOO_MANY) {
		p->lowered_limit = pool_live(p) > 0 ? pool_live(p) : 1;
		p->lowered_until_us = later(now_us, LOWERED_FOR_US);
		if (pool_live(p) > 0)
			return;
	}
	if (p->failed_count == 0 || started_us > p->backed_off_us)
		back_off(p, now_us);
}

void
pool_conn_failed(struct pool *p, struct pool_conn *conn, enum connect_failure kind, bool is_fatal,
		 const struct fail *why, uint64_t now_us)
{
	if (conn->state != PC_OPENING) { /* asked to close meanwhile: its failure says nothing */
		pool_conn_gone(p, conn, false, now_us);
		return;
	}
	pool_move(p, conn, PC_NONE);
	note_failure(p, kind, conn->opened_us, why, now_us);
	pool_reinforce(p, now_us);
	if ((is_fatal && !p->is_paused) || pool_is_hopeless(p, now_us))
		pool_refuse_line(p, why, RF_BACKEND_UNREACHABLE);
}

/* --- For those in line. --- */

static bool
open_one(struct pool *p, uint64_t now_us)
{
	uint32_t before = p->count[PC_OPENING];
	struct fail why;

	if (p->ops.open(p->owner, now_us, &why) < 0) {
		note_failure(p, CF_OTHER, now_us, &why, now_us);
		return false;
	}
	return p->count[PC_OPENING] > before;
}

/* Conn may be gone when this returns. */
void
pool_start_ping(struct pool *p, struct pool_conn *conn, uint64_t now_us)
{
	conn->pinged_us = now_us;
	pool_move(p, conn, PC_PINGING);
	p->ops.ping(p->owner, conn);
}

/* While somebody is in line, all that are idle need a ping. The warmest are the likeliest to be alive. */
static struct pool_conn *
find_to_ping(struct pool *p, bool is_any)
{
	struct pool_conn *conn;

	TAILQ_FOREACH(conn, &p->in[PC_IDLE], link)
	{
		if (is_any || conn->epoch >= p->distrust_epoch)
			return conn;
	}
	return NULL;
}

uint32_t
pool_unserved(const struct pool *p)
{
	uint32_t coming = p->count[PC_OPENING] + p->count[PC_PINGING] + p->washing + (p->returned != NULL);

	return p->waiting > coming ? p->waiting - coming : 0;
}

static void
help_waiters(struct pool *p, uint64_t now_us)
{
	while (pool_unserved(p) > 0) {
		struct pool_conn *conn = find_to_ping(p, false);

		/* What was verified before a ping failed may hang as long as that did: rather a new one. */
		if (conn == NULL && room(p, now_us) > 0 && budget_allows(&p->member) && open_one(p, now_us))
			continue;
		if (conn == NULL)
			conn = find_to_ping(p, true);
		if (conn == NULL)
			return;
		pool_start_ping(p, conn, now_us);
	}
}

/* --- In stock. --- */

uint32_t
pool_min_idle(const struct pool *p)
{
	const struct pool_settings *s = &p->settings;

	if (!p->is_in_use || p->is_paused)
		return 0;
	return s->min_idle < s->pool_size ? s->min_idle : s->pool_size;
}

bool
pool_is_short_of_idle(const struct pool *p)
{
	uint32_t coming = p->count[PC_IDLE] + p->count[PC_PINGING] + p->count[PC_OPENING];

	return coming < pool_min_idle(p) + p->waiting && pool_live(p) < p->settings.pool_size;
}

static void
keep_min_idle(struct pool *p, uint64_t now_us)
{
	while (pool_min_idle(p) > 0 && pool_is_short_of_idle(p) && p->total < p->settings.pool_size &&
	       room(p, now_us) > 0 && budget_has_spare(&p->member)) {
		if (!open_one(p, now_us))
			return;
	}
}

/* --- */

/* What the shared cap alone keeps from us. */
static uint32_t
short_of(const struct pool *p, uint64_t now_us)
{
	uint32_t need = pool_unserved(p), can = room(p, now_us);

	return need < can ? need : can;
}

void
pool_reinforce(struct pool *p, uint64_t now_us)
{
	if (p->is_held)
		return;
	p->is_held = true;
	p->is_stirred = false;
	help_waiters(p, now_us);
	keep_min_idle(p, now_us);
	budget_report(&p->member, short_of(p, now_us), now_us);
	p->is_held = false;
	pool_arm(p, pool_next_due(p, now_us));
}

/* When something may be tried again that can't be done now, and nothing else would say so. */
uint64_t
pool_supply_due(const struct pool *p, uint64_t now_us)
{
	uint64_t due_us = p->is_stirred || pool_is_hopeless(p, now_us) ? now_us : NEVER_US;

	if (!p->is_paused && pool_unserved(p) > 0) {
		if (now_us < p->backoff_until_us)
			due_us = earliest(due_us, p->backoff_until_us);
		if (now_us < p->lowered_until_us)
			due_us = earliest(due_us, p->lowered_until_us);
	}
	if (pool_min_idle(p) > 0 && pool_is_short_of_idle(p)) {
		uint64_t retry_us = later(now_us, MIN_IDLE_RETRY_US);

		due_us = earliest(due_us, retry_us > p->backoff_until_us ? retry_us : p->backoff_until_us);
	}
	return due_us;
}
