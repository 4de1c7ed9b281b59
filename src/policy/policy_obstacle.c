/*
 * src/policy/policy_obstacle.c - the obstacles that keep another connection from being opened: how many connections
 * each obstacle allows, when that number may rise, and what waiting clients are told of the obstacle. policy_supply.c
 * opens as many connections as all obstacles allow, and looks again when that number may rise. Errors, NOTICEs and the
 * console explain a wait by the same list of obstacles.
 */
#include "policy/policy_queue.h"
#include "policy/policy_ahead.h"

#include <inttypes.h>

#define OPENS_AT_ONCE 16

struct obstacle {
	/* Returns how many more connections the obstacle allows to be opened. Lowers *until_us to the earliest time at
	 * which that number may rise by itself. */
	uint32_t (*count_allowed)(const struct policy *p, uint64_t now_us, uint64_t *until_us);
	/* Returns true if t waits because of this obstacle, and writes that into why. */
	bool (*explain)(const struct policy *p, const struct policy_waiter *t, uint64_t now_us, struct fail *why);
};

static void
lower_until(uint64_t *until_us, uint64_t at_us, uint64_t now_us)
{
	if (until_us != NULL && now_us < at_us && at_us < *until_us)
		*until_us = at_us;
}

/* Returns how many connections are on their way to waiters. */
static inline uint32_t
coming_count(const struct policy *p)
{
	return policy_count_own_coming(p) + shard_count_coming(&p->shard);
}

uint32_t
policy_count_unserved(const struct policy *p)
{
	uint32_t coming = coming_count(p), waiting = p->waiting - p->sent_ahead;

	return waiting > coming ? waiting - coming : 0;
}

/* --- The pool is paused. --- */

static uint32_t
paused_count_allowed(const struct policy *p, uint64_t now_us, uint64_t *until_us)
{
	return p->is_paused ? 0 : UINT32_MAX;
}

static bool
paused_explain(const struct policy *p, const struct policy_waiter *t, uint64_t now_us, struct fail *why)
{
	if (!p->is_paused)
		return false;
	fail_detail(why, "The pool is paused, and %s waiting.",
		    base_format_count(policy_queue_length(p), "client is", "clients are").text);
	fail_hint(why, "RESUME it in the pgweir console.");
	return true;
}

/* --- An attempt has failed, here or in another pool of the circuit: the pool backs off. --- */

static uint32_t
failed_count_allowed(const struct policy *p, uint64_t now_us, uint64_t *until_us)
{
	uint64_t retry_at_us = circuit_due_us(&p->circuit);

	lower_until(until_us, p->backoff_until_us, now_us);
	lower_until(until_us, retry_at_us, now_us);
	return now_us < p->backoff_until_us || now_us < retry_at_us ? 0 : UINT32_MAX;
}

/* more: a further sentence, or "". */
static void
say_busy(const struct policy *p, const char *more, struct fail *why)
{
	fail_detail(why,
		    "The pool has %" PRIu32 " of %" PRIu32 " connections busy (%" PRIu32 " + %" PRIu32
		    " overflow), and %s waiting.%s%s",
		    policy_count_busy(p), p->limit, p->settings.pool_size, p->settings.max_overflow,
		    base_format_count(policy_queue_length(p), "client is", "clients are").text,
		    more[0] != '\0' ? " " : "", more);
}

/* Returns true if an attempt has failed since t came, and, except after CF_TOO_MANY, none has succeeded since. */
static bool
has_failed_for(const struct policy *p, const struct policy_waiter *t)
{
	if (p->last_fail.sqlstate[0] == '\0' || p->last_fail_us < t->since_us)
		return false;
	return p->last_fail_kind == CF_TOO_MANY || (p->failed_count > 0 && !policy_host_is_back(p));
}

static bool
failed_explain(const struct policy *p, const struct policy_waiter *t, uint64_t now_us, struct fail *why)
{
	if (!has_failed_for(p, t))
		return false;
	say_busy(p, "Another cannot be opened.", why);
	if (p->last_fail_kind == CF_TOO_MANY)
		fail_hint(why, "Raise PostgreSQL's limit, or lower pool_size; it said: %.160s.", p->last_fail.text);
	else
		fail_hint(why, "Opening another failed: %.200s.", p->last_fail.text);
	return true;
}

/* --- As many connections are being opened as may be opened at a time. --- */

/* Returns how many attempts may run at once after a failure: one attempt, plus one for each TRIAL_EVERY_US that the
 * first has gone unanswered, because a later attempt may get an answer. Returns 1 if no client waits, or if some
 * waiters are to be refused when the first attempt fails: these must not wait for further attempts. */
static uint32_t
attempts_allowed(const struct policy *p, uint64_t now_us, uint64_t *until_us)
{
	const struct policy_conn *first = TAILQ_FIRST(&p->in[PC_OPENING]);
	const struct policy_waiter *last = TAILQ_LAST(&p->queue, policy_queue);
	uint64_t count;

	if (first == NULL)
		return 1;
	count = (now_us - first->opened_us) / TRIAL_EVERY_US + 1;
	lower_until(until_us, policy_add_us(first->opened_us, count * TRIAL_EVERY_US), now_us);
	return last != NULL && policy_is_patient(p, last) ? (uint32_t)count : 1;
}

static uint32_t
pace_count_allowed(const struct policy *p, uint64_t now_us, uint64_t *until_us)
{
	uint32_t pace =
	    shard_share_of_pace(&p->shard, p->settings.opens_at_once > 0 ? p->settings.opens_at_once : OPENS_AT_ONCE);
	uint32_t most = UINT32_MAX, opening = p->count[PC_OPENING];

	if (p->failed_count > 0)
		most = attempts_allowed(p, now_us, until_us);
	else if (p->ramp > 0)
		most = p->ramp;
	pace = most < pace ? most : pace;
	return pace > opening ? pace - opening : 0;
}

/* Returns the connection that has been opening longest, if its attempt began before t came, or at least a second ago.
 * Otherwise, or if the pool is paused, returns NULL. */
static const struct policy_conn *
find_awaited_opening(const struct policy *p, const struct policy_waiter *t, uint64_t now_us)
{
	const struct policy_conn *conn = TAILQ_FIRST(&p->in[PC_OPENING]);

	if (conn == NULL || p->is_paused || (conn->opened_us > t->since_us && now_us - conn->opened_us < SECOND_US))
		return NULL;
	return conn;
}

/* Returns true if the host seems to be silent: the oldest attempt has lasted a second, or t may wait no longer; and
 * since that attempt began, no other connection has logged in or received anything. */
static bool
pace_explain(const struct policy *p, const struct policy_waiter *t, uint64_t now_us, struct fail *why)
{
	const struct policy_conn *conn = find_awaited_opening(p, t, now_us), *other;
	const char *address;

	if (conn == NULL || (now_us - conn->opened_us < SECOND_US && now_us < policy_deadline(p, t)))
		return false;
	TAILQ_FOREACH(other, &p->all, all)
		if (!policy_is_being_opened(other->state) &&
		    later_of(other->opened_us, other->heard_us) > conn->opened_us)
			return false;
	address = p->ops.address != NULL ? p->ops.address(p->owner, conn) : "PostgreSQL";
	fail_detail(why, "A connection to %s has been opening for %s without an answer.", address,
		    duration_format(now_us - conn->opened_us).text);
	fail_hint(why, "Check that PostgreSQL at %s is up and reachable from here; connect_timeout limits the attempt.",
		  address);
	return true;
}

/* --- The borrowers that have the places which t waits for. --- */

/* Adds a hint to *why: a borrower that does not use its connection; or, if all borrowers are at work, the setting to
 * raise, or that more connections would not help; or else SHOW HOLDERS. places: how many places are taken. `raise`: the
 * setting that would allow more connections; NULL if *why has a hint already, which only a hint that names a borrower
 * replaces. */
static void
say_holders(const struct policy *p, const struct policy_waiter *t, uint64_t now_us, uint32_t places, const char *raise,
	    struct fail *why)
{
	const struct policy_waiter_ops *waiter_ops = p->orders.worker->waiter_ops;
	struct policy_holders k = { 0 };

	if (waiter_ops->blame != NULL)
		k = waiter_ops->blame(t, now_us, why);
	if (k.named > 0 || raise == NULL)
		return;
	if (k.running >= places && k.no_more_hint != NULL)
		fail_hint(why, "%s", k.no_more_hint);
	else if (k.running >= places)
		fail_hint(
		    why,
		    "Raise %s, unless the running statements wait for locks (SHOW BLOCKERS in the pgweir console); "
		    "SHOW HOLDERS tells who keeps connections for long.",
		    raise);
	else
		fail_hint(why, "See who keeps connections for long: SHOW HOLDERS in the pgweir console.%s%s%s",
			  k.known >= places ? "" : " If all of them are at work, raise ",
			  k.known >= places ? "" : raise, k.known >= places ? "" : ".");
}

/* --- A cap over several pools is used up. --- */

/* Allows any number, because caps_take_places() finds out, under the lock, if the cap has a place. */
static uint32_t
cap_count_allowed(const struct policy *p, uint64_t now_us, uint64_t *until_us)
{
	if (until_us != NULL)
		lower_until(until_us, caps_due_us(&p->caps, now_us), now_us);
	return UINT32_MAX;
}

static bool
cap_explain(const struct policy *p, const struct policy_waiter *t, uint64_t now_us, struct fail *why)
{
	const char *setting;
	uint32_t places;
	struct fail cap;

	if (!caps_is_short(&p->caps))
		return false;
	places = caps_explain_short(&p->caps, &setting, &cap);
	say_busy(p, cap.detail, why);
	fail_hint(why, "%s", cap.hint);
	if (places > 0)
		say_holders(p, t, now_us, places, setting, why);
	return true;
}

bool
policy_is_short_under_caps(const struct policy *p)
{
	return caps_is_short(&p->caps);
}

bool
policy_may_get_place_of(const struct policy *p, const struct policy *of)
{
	return p == of || (p->shard.shared != NULL && p->shard.shared == of->shard.shared) ||
	       caps_may_get_place_of(&p->caps, &of->caps, of->count[PC_LENT] <= 1 && TAILQ_EMPTY(&of->queue));
}

/* --- Another shard of the pool was asked for its idle connections. --- */

static uint32_t
shards_count_allowed(const struct policy *p, uint64_t now_us, uint64_t *until_us)
{
	uint32_t expected = shard_count_expected_now(&p->shard, now_us), unserved = policy_count_unserved(p);

	if (expected == 0 || unserved == 0)
		return UINT32_MAX;
	lower_until(until_us, p->shard.asked_us + SHARD_ASK_US, now_us);
	return unserved > expected ? unserved - expected : 0;
}

static bool
shards_explain(const struct policy *p, const struct policy_waiter *t, uint64_t now_us, struct fail *why)
{
	const struct policy_shared *w = p->shard.shared;
	uint32_t silent = w == NULL ? 0 : policy_read_atomic(&w->in_use_bits) & policy_read_atomic(&w->commons->silent);

	if (silent == 0)
		return false;
	fail_detail(why,
		    "Worker %u does not answer, and keeps its part of the pool's %" PRIu32 " connections; %s waiting.",
		    shard_first_of(silent), p->limit,
		    base_format_count(policy_queue_length(p), "client is", "clients are").text);
	fail_hint(why, "pgweir's log and SHOW WORKERS in its console say since when; if it persists, restart pgweir.");
	return true;
}

/* --- The pool is full. --- */

/* Returns how many connections overflow_delay allows now: pool_size, or the present number if larger, plus one for each
 * client that has waited for overflow_delay and for which no connection is on its way; at most `limit`. */
static uint32_t
overflow_limit_now(const struct policy *p, uint32_t limit, uint64_t now_us, uint64_t *until_us)
{
	uint32_t total = policy_total(p), base = total > p->settings.pool_size ? total : p->settings.pool_size;
	uint32_t overdue = 0, coming = coming_count(p);
	const struct policy_waiter *t;

	if (p->settings.overflow_delay_us == 0 || base >= limit)
		return limit;
	TAILQ_FOREACH(t, &p->queue, link) {
		uint64_t overdue_us = policy_add_us(t->since_us, p->settings.overflow_delay_us);

		lower_until(until_us, overdue_us, now_us);
		if (now_us < overdue_us)
			break;
		overdue++;
	}
	overdue = overdue > coming ? overdue - coming : 0;
	return limit - base < overdue ? limit : base + overdue;
}

static uint32_t
full_count_allowed(const struct policy *p, uint64_t now_us, uint64_t *until_us)
{
	uint64_t left_until_us = shard_place_left_until_us(&p->shard);
	uint32_t limit = overflow_limit_now(p, policy_limit_now(p, now_us), now_us, until_us);
	uint32_t total = policy_total(p) + (now_us < left_until_us);

	lower_until(until_us, policy_lowered_until_us(p), now_us);
	lower_until(until_us, left_until_us, now_us);
	return limit > total ? limit - total : 0;
}

static bool
full_explain(const struct policy *p, const struct policy_waiter *t, uint64_t now_us, struct fail *why)
{
	if (find_awaited_opening(p, t, now_us) != NULL) {
		say_busy(p, "One more is being opened.", why);
		fail_hint(why, "It is lent once it has logged in; min_idle keeps some ready.");
	} else {
		say_holders(p, t, now_us, policy_total(p), "pool_size or max_overflow", why);
	}
	return true;
}

/* --- All obstacles. --- */

/* The obstacle that explains a wait best comes first, and the most common one last. */
static const struct obstacle obstacles[] = {
	{ paused_count_allowed, paused_explain }, { failed_count_allowed, failed_explain },
	{ pace_count_allowed, pace_explain },	  { cap_count_allowed, cap_explain },
	{ shards_count_allowed, shards_explain }, { full_count_allowed, full_explain },
};
#define OBSTACLES (sizeof(obstacles) / sizeof(obstacles[0]))

uint32_t
policy_count_openable(const struct policy *p, uint64_t now_us, uint64_t *until_us)
{
	uint32_t count = UINT32_MAX;

	for (size_t i = 0; i < OBSTACLES; i++) {
		uint32_t left = obstacles[i].count_allowed(p, now_us, until_us);

		count = left < count ? left : count;
	}
	return count;
}

uint64_t
policy_explain_wait(const struct policy *p, const struct policy_waiter *t, uint64_t now_us, struct fail *why)
{
	fail_set(why, "53300", "no server connection is free");
	say_busy(p, "", why);
	for (size_t i = 0; i < OBSTACLES && !obstacles[i].explain(p, t, now_us, why); i++)
		continue;
	return policy_deadline(p, t);
}

uint64_t
policy_waited_to_connect_us(const struct policy *p, const struct policy_waiter *t, uint64_t now_us)
{
	const struct policy_conn *hanging = find_awaited_opening(p, t, now_us);

	if (has_failed_for(p, t) && p->count[PC_LENT] == 0 && !p->is_paused)
		return now_us - t->since_us;
	return hanging == NULL ? 0 : now_us - later_of(hanging->opened_us, t->since_us);
}

/* Returns true if a client waits while all connections here are lent, and no more may be opened. */
static bool
has_waiter_and_no_room(const struct policy *p, uint64_t now_us)
{
	return !p->is_paused && p->failed_count == 0 && p->count[PC_LENT] == p->total && policy_count_unserved(p) > 0 &&
	       policy_total(p) >= policy_limit_now(p, now_us);
}

struct policy_waiter *
policy_next_ahead(const struct policy *p, uint64_t now_us)
{
	const struct policy_waiter *first = TAILQ_FIRST(&p->queue);

	/* A connection that comes back goes to the longest waiter of any shard, unless a request was sent ahead to that
	 * connection. So nothing is sent ahead while a client of another shard comes first (shard_is_ahead). */
	if (!has_waiter_and_no_room(p, now_us) ||
	    (p->shard.shared != NULL && shard_may_choose(&p->shard, first->since_us)))
		return NULL;
	return policy_first_to_serve(p, now_us);
}
