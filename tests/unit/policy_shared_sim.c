/* tests/unit/policy_shared_sim.c - plays owners, workers and borrowers to a pool of several shards. See its header. */
#include "policy_shared_sim.h"

#include "policy/policy_circuit.h"
#include "policy/policy_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000u
#define SECOND 1000000u
#define NEVER UINT64_MAX
#define SILENT_US (2 * SECOND)

static uint64_t
rnd(struct wsim *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random * 0x2545f4914f6cdd1du >> 16;
}

static unsigned
below(struct wsim *s, unsigned n)
{
	return (unsigned)(rnd(s) % n);
}

static bool
chance(struct wsim *s, unsigned per_cent)
{
	return below(s, 100) < per_cent;
}

static void __attribute__((format(printf, 2, 3))) broken(struct wsim *s, const char *fmt, ...)
{
	va_list ap;
	size_t used;

	if (s->report[0] != '\0')
		return; /* the first counts */
	used = (size_t)snprintf(s->report, sizeof(s->report),
				"PGWEIR_SIM_SEED=%llu step %llu: ", (unsigned long long)s->seed,
				(unsigned long long)s->step);
	va_start(ap, fmt);
	vsnprintf(s->report + used, sizeof(s->report) - used, fmt, ap);
	va_end(ap);
}

#define HOLDS(s, condition, ...)                                                                                       \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			broken(s, __VA_ARGS__);                                                                        \
	} while (0)

static void __attribute__((format(printf, 2, 3))) tell(const struct wsim *s, const char *fmt, ...)
{
	va_list ap;

	if (!s->is_verbose)
		return;
	fprintf(stderr, "%4llu %10llu %*s", (unsigned long long)s->step, (unsigned long long)s->now_us,
		(int)(2 * s->depth), "");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* --- The books. --- */

static bool
is_rival(const struct wsim_shard *shard)
{
	return shard->number == shard->s->shard_count;
}

/* shard NULL: of all shards. Those that are transferred to a shard are counted there. */
static uint32_t
count(const struct wsim *s, const struct wsim_shard *shard, enum wsim_state state)
{
	const struct wsim_conn *c;
	uint32_t n = 0;

	TAILQ_FOREACH(c, &s->conns, link)
		n += (shard == NULL ? !is_rival(c->at) : c->at == shard) && c->state == state;
	return n;
}

static uint32_t
total_of(const struct wsim *s, bool is_of_rival)
{
	const struct wsim_conn *c;
	uint32_t n = 0;

	TAILQ_FOREACH(c, &s->conns, link)
		n += is_rival(c->at) == is_of_rival;
	return n;
}

static uint32_t
total(const struct wsim *s)
{
	return total_of(s, false);
}

static bool
is_cap_full(const struct wsim *s)
{
	return s->cap > 0 && total(s) + total_of(s, true) >= s->cap;
}

static bool
is_any_closing(const struct wsim *s)
{
	return count(s, NULL, WS_CLOSING) + count(s, &s->shards[s->shard_count], WS_CLOSING) > 0;
}

/* Returns true if a place may be left to a worker that hangs, as nobody knows that it does. */
static bool
may_be_left(const struct wsim *s)
{
	bool hangs = false;

	for (unsigned i = 0; i < s->shard_count; i++)
		hangs |= s->shards[i].hangs && !s->shards[i].is_silent;
	return hangs && s->cap > 0;
}

static uint32_t
live(const struct wsim *s)
{
	return total(s) - count(s, NULL, WS_CLOSING);
}

static uint32_t
limit(const struct wsim *s)
{
	uint32_t most = s->settings.pool_size + s->settings.max_overflow;

	return s->now_us < s->lowered_until_us && s->lowered_limit < most ? s->lowered_limit : most;
}

static bool
is_backing_off(const struct wsim_shard *shard)
{
	struct policy_counts counts;

	policy_get_counts(shard->p, &counts);
	return shard->s->now_us < counts.backoff_until_us;
}

static bool
can_be_transferred(const struct wsim_conn *c)
{
	return !c->cannot_be_transferred && !c->conn.is_recycle_due && c->conn.round == c->at->s->shared->round;
}

/* Returns false until both workers' loops have gone round since one was given to it: it may not have been of use yet.
 */
static bool
may_have_another(const struct wsim_shard *from, const struct wsim_shard *to)
{
	return !from->given[to->number].is_any ||
	       (from->turns != from->given[to->number].own_turns && to->turns != from->given[to->number].its_turns);
}

/* Nobody is overtaken by one who came more than a millisecond later; but for those for whom one is on its way. */
static void
check_order(const struct wsim_conn *c, const struct wsim_client *client)
{
	struct wsim *s = client->at->s;

	if (c->was_transferred || c->cannot_be_transferred || !can_be_transferred(c) || c->state == WS_IDLE)
		return;
	for (unsigned i = 0; i < s->shard_count; i++) {
		const struct wsim_shard *other = &s->shards[i];

		if (other == client->at || other->line_len == 0 || other->p == NULL || s->is_paused ||
		    other->is_silent || count(s, other, WS_IN_TRANSFER) > 0 || other->on_stack > 0 ||
		    !may_have_another(client->at, other))
			continue;
		HOLDS(s, other->line[0]->since_us + SHARD_LATE_US >= client->since_us,
		      "part %u: one who came at %llu was overtaken by one of part %u who came at %llu", i,
		      (unsigned long long)other->line[0]->since_us, client->at->number,
		      (unsigned long long)client->since_us);
	}
}

static void settle_loose(struct wsim *s);

static void
check_places(struct wsim *s)
{
	uint32_t n = total(s), l = live(s), opening = count(s, NULL, WS_OPENING), waiting = 0;
	uint32_t most = s->settings.pool_size + s->settings.max_overflow;
	const struct policy_shared *w = s->shared;

	settle_loose(s);
	HOLDS(s, n <= most || n <= s->previous_total, "%u connections, limit %u", n, most);
	s->previous_total = n;
	HOLDS(s, s->cap == 0 || n + total_of(s, true) <= s->cap || n + total_of(s, true) <= s->previous_all,
	      "%u connections and %u of the rival, the cap is %u", n, total_of(s, true), s->cap);
	s->previous_all = n + total_of(s, true);
	HOLDS(s, policy_budget_used(s->shards[0].policy_worker->commons->total) == s->previous_all,
	      "the cap counts %u, there are %u", policy_budget_used(s->shards[0].policy_worker->commons->total),
	      s->previous_all);
	HOLDS(s, w->used == n && w->live == l && w->verified == l - opening,
	      "the whole counts %u, %u, %u; there are %u, %u, %u", w->used, w->live, w->verified, n, l, l - opening);
	for (unsigned i = 0; i < s->shard_count; i++) {
		const struct wsim_shard *shard = &s->shards[i];

		HOLDS(s, w->coming[i] == count(s, shard, WS_IN_TRANSFER), "%u are coming to part %u, there are %u",
		      w->coming[i], i, count(s, shard, WS_IN_TRANSFER));
		waiting += shard->is_silent && s->cap == 0 ? 0 : shard->line_len;
		if (shard->p == NULL)
			continue;
		struct policy_counts counts;

		policy_get_counts(shard->p, &counts);
		HOLDS(s,
		      counts.opening == count(s, shard, WS_OPENING) && counts.idle == count(s, shard, WS_IDLE) &&
			  counts.pinging == count(s, shard, WS_PINGING) && counts.lent == count(s, shard, WS_LENT) &&
			  counts.closing == count(s, shard, WS_CLOSING) && counts.waiting == shard->line_len,
		      "part %u counts otherwise", i);
	}
	waiting += s->shards[s->shard_count].line_len;
	for (unsigned i = 0; i < s->shard_count && waiting == 0; i++)
		HOLDS(s, s->shards[i].p == NULL || s->shards[i].is_silent || !policy_is_wanted(s->shards[i].p),
		      "part %u believes that somebody waits", i);
}

/* Returns true if a place may be left to other shards for a moment, which was made for them. */
static bool
leaves_a_place(const struct wsim_shard *shard)
{
	uint64_t made_us = shard->p->shard.made_us;

	return made_us != 0 && shard->s->now_us <= made_us + SHARD_MADE_US;
}

/* Returns true if there is a reason not to open one now: it is paced, or the next attempt has its time. */
static bool
is_paced(const struct wsim_shard *shard)
{
	const struct wsim *s = shard->s;

	return is_backing_off(shard) || count(s, shard, WS_OPENING) > 0 || s->is_failing ||
	       (s->settings.overflow_delay_us > 0 && total(s) + leaves_a_place(shard) >= s->settings.pool_size);
}

/* Somebody has just begun to wait there: nobody waits for more idle ones than there are. */
static void
check_supply(const struct wsim_shard *shard)
{
	struct wsim *s = shard->s;
	uint32_t idle = count(s, NULL, WS_IDLE);

	if (!s->is_paused && !is_paced(shard))
		HOLDS(s,
		      shard->line_len <= idle + count(s, shard, WS_PINGING) + count(s, shard, WS_IN_TRANSFER) ||
			  total(s) + leaves_a_place(shard) >= limit(s) || s->cap > 0,
		      "part %u: %u wait, %u are idle, and none is opening", shard->number, shard->line_len, idle);
}

/* --- Under the cap: shares by weight of those in use, which have demand or rest for a while. --- */

static bool
has_demand(const struct wsim *s, bool is_of_rival)
{
	unsigned from = is_of_rival ? s->shard_count : 0, to = is_of_rival ? from + 1 : s->shard_count;

	for (unsigned i = from; i < to; i++)
		if (s->shards[i].line_len > 0 || count(s, &s->shards[i], WS_LENT) > 0)
			return true;
	return false;
}

static bool
is_in_use(const struct wsim *s, bool is_of_rival)
{
	return has_demand(s, is_of_rival) || s->now_us < (is_of_rival ? s->rival_rests_us : s->whole_rests_us);
}

static uint32_t
share(const struct wsim *s, bool is_of_rival)
{
	uint32_t own = is_of_rival ? s->rival_settings.share_weight : s->settings.share_weight, sum = own;

	if (is_in_use(s, !is_of_rival))
		sum = s->rival_settings.share_weight + s->settings.share_weight;
	return s->cap * own / sum > 0 ? s->cap * own / sum : 1;
}

/* shard waits, and only the cap is in its way: the other pool has no idle ones above its share, if this is below its.
 */
static void
check_share(struct wsim *s, const struct wsim_shard *shard)
{
	bool is_his = is_rival(shard);
	uint32_t own = total_of(s, is_his), others = total_of(s, !is_his), idle = 0;
	uint32_t kept = is_in_use(s, !is_his) ? share(s, !is_his) : 0;

	for (unsigned i = 0; i < s->shard_count; i++)
		if (s->shards[i].hangs)
			return;
	if (own >= share(s, is_his) || is_any_closing(s))
		return;
	idle = is_his ? count(s, NULL, WS_IDLE) : count(s, &s->shards[s->shard_count], WS_IDLE);
	HOLDS(s, idle == 0 || others <= kept || own + others > s->cap,
	      "part %u waits below its share of %u, and %u of %u others are idle, whose share is %u", shard->number,
	      share(s, is_his), idle, others, kept);
}

static void
check_rival(struct wsim *s)
{
	const struct wsim_shard *shard = &s->shards[s->shard_count];
	uint32_t opening = count(s, shard, WS_OPENING), most = s->rival_settings.pool_size;

	if (s->is_paused || shard->worker->hangs || shard->line_len <= count(s, shard, WS_PINGING) ||
	    is_backing_off(shard) || opening > 0 || total_of(s, true) >= most)
		return;
	HOLDS(s, is_cap_full(s) || may_be_left(s), "the rival: %u wait, and the cap has a free place", shard->line_len);
	check_share(s, shard);
}

/* Every tick that was due has been given, all orders were heard, and nothing is transferred. */
static void
check_settled(struct wsim *s)
{
	const struct wsim_conn *c;

	if (s->is_paused)
		return;
	for (unsigned i = 0; i < s->shard_count; i++) {
		const struct wsim_shard *shard = &s->shards[i];
		uint32_t coming = count(s, shard, WS_OPENING) + count(s, shard, WS_PINGING);

		if (shard->p == NULL || shard->line_len == 0 || shard->hangs)
			continue;
		TAILQ_FOREACH(c, &s->conns, link) {
			bool is_expecting =
			    shard_expected(&shard->p->shard, s->now_us) > 0; /* of one that it has asked */
			bool is_his = c->at == shard || c->at->line_len > 0 || c->at->hangs || is_rival(c->at);

			HOLDS(s, c->state != WS_IDLE || is_his || !can_be_transferred(c),
			      "somebody waits in part %u while one is idle in part %u", i, c->at->number);
			HOLDS(s,
			      c->state != WS_IDLE || is_his || coming > 0 || is_paced(shard) ||
				  (live(s) < limit(s) && (!is_cap_full(s) || is_any_closing(s) || is_expecting ||
							  may_be_left(s) || leaves_a_place(shard))),
			      "somebody waits in part %u while one that can't cross keeps its place in part %u", i,
			      c->at->number);
		}
		if (coming >= shard->line_len || is_paced(shard))
			continue;
		if (shard->due_us <= s->now_us + SHARD_ASK_US)
			continue; /* it has asked for one that can't be transferred */
		if (leaves_a_place(shard) && shard->due_us <= s->now_us + SHARD_MADE_US)
			continue;
		HOLDS(s, total(s) >= limit(s) || is_cap_full(s) || may_be_left(s),
		      "part %u: %u wait, %u of %u places are taken, and none is opening", i, shard->line_len, total(s),
		      limit(s));
		if (total(s) < limit(s))
			check_share(s, shard);
	}
	check_rival(s);
}

/* --- Borrowers. --- */

static void surprise(struct wsim *s);

static void
leave_line(struct wsim_client *c)
{
	struct wsim_shard *shard = c->at;
	unsigned i = 0;

	while (i < shard->line_len && shard->line[i] != c)
		i++;
	HOLDS(shard->s, i < shard->line_len, "somebody leaves a line he is not in");
	if (i == shard->line_len)
		return;
	memmove(&shard->line[i], &shard->line[i + 1], (shard->line_len - i - 1) * sizeof(shard->line[0]));
	shard->line_len--;
	c->is_waiting = false;
}

static void
hand_over(struct wsim_conn *conn, struct wsim_client *c)
{
	HOLDS(c->at->s, conn->at == c->at && conn->conn.state == PC_LENT, "part %u lends what it has not",
	      c->at->number);
	HOLDS(c->at->s, !conn->was_transferred || conn->conn.round == c->at->s->shared->round,
	      "part %u lends one that came from before a reload", c->at->number);
	conn->state = WS_LENT;
	conn->was_transferred = false;
	conn->borrower = c;
	c->holds = conn;
}

static void
on_grant(struct policy_conn *pc, struct policy_waiter *t)
{
	struct wsim_client *c = (struct wsim_client *)t;
	struct wsim_conn *conn = (struct wsim_conn *)pc;
	struct wsim_shard *shard = c->at;

	tell(shard->s, "part %u: client %d is granted %p", shard->number, (int)(c - shard->s->clients), (void *)conn);
	HOLDS(shard->s, c->is_waiting && shard->line[0] == c, "part %u: one was overtaken", shard->number);
	HOLDS(shard->s, !shard->s->is_paused || (conn->conn.opened_us == shard->s->now_us && !conn->was_transferred),
	      "part %u grants while paused", shard->number);
	HOLDS(shard->s, conn->state == WS_LOOSE || conn->state == WS_IDLE, "part %u grants one in state %d",
	      shard->number, conn->state);
	check_order(conn, c);
	leave_line(c);
	hand_over(conn, c);
	surprise(shard->s);
}

static void
on_refuse(const struct fail *why, enum request_failure kind, struct policy_waiter *t)
{
	struct wsim_client *c = (struct wsim_client *)t;

	tell(c->at->s, "part %u: client %d is refused, %d: %s", c->at->number, (int)(c - c->at->s->clients), kind,
	     why->text);
	leave_line(c);
	surprise(c->at->s);
}

static const struct policy_waiter_ops waiter_ops = { on_grant, on_refuse, NULL };

/* --- Owners. --- */

static int
op_open(void *owner, uint64_t now_us, struct fail *why)
{
	struct wsim_shard *shard = owner;
	struct wsim *s = shard->s;
	struct wsim_conn *c;

	tell(s, "part %u: open", shard->number);
	HOLDS(s, is_rival(shard) || total(s) < limit(s), "part %u opens one, and there are %u of %u", shard->number,
	      total(s), limit(s));
	HOLDS(s, !is_cap_full(s), "part %u opens one above the cap of %u", shard->number, s->cap);
	HOLDS(s, !s->is_paused || is_rival(shard), "part %u opens while paused", shard->number);
	if (!s->is_calm && chance(s, 2)) {
		s->is_failing = s->is_failing || !is_rival(shard);
		return fail_set(why, "08001", "cannot even begin");
	}
	c = calloc(1, sizeof(*c));
	c->at = shard;
	c->round = s->round;
	c->cannot_be_transferred = is_rival(shard) || chance(s, s->stuck);
	TAILQ_INSERT_TAIL(&s->conns, c, link);
	if (s->previous_total < total(s))
		s->previous_total = total(s);
	if (s->previous_all < total(s) + total_of(s, true))
		s->previous_all = total(s) + total_of(s, true);
	policy_conn_opening(shard->p, &c->conn, now_us);
	return 0;
}

static void
forget(struct wsim_conn *c)
{
	struct wsim *s = c->at->s;

	HOLDS(s, c->conn.state == PC_NONE && c->conn.shared == NULL, "one that is gone is kept");
	if (c->borrower != NULL)
		c->borrower->holds = NULL;
	free(c);
}

static void
gone(struct wsim_conn *c, bool may_be_down)
{
	struct wsim *s = c->at->s;

	tell(s, "part %u: %p is gone from state %d", c->at->number, (void *)c, c->state);
	TAILQ_REMOVE(&s->conns, c, link);
	c->at->on_stack++;
	policy_conn_gone(c->at->p, &c->conn, may_be_down, s->now_us);
	c->at->on_stack--;
	forget(c);
}

static void
op_close(void *owner, struct policy_conn *conn, enum recycle_reason reason)
{
	struct wsim_conn *c = (struct wsim_conn *)conn;
	struct wsim *s = c->at->s;

	tell(s, "part %u: close %p, %d", c->at->number, (void *)c, reason);
	HOLDS(s, c->at == owner && c->state != WS_LENT && c->state != WS_IN_TRANSFER, "part %u closes one in state %d",
	      c->at->number, c->state);
	c->state = WS_CLOSING;
	if (!chance(s, s->closes_late))
		gone(c, false);
}

static void
op_ping(void *owner, struct policy_conn *conn)
{
	struct wsim_conn *c = (struct wsim_conn *)conn;

	HOLDS(c->at->s, c->at == owner && (c->state == WS_IDLE || c->state == WS_LOOSE), "a ping in state %d",
	      c->state);
	tell(c->at->s, "part %u: ping %p", c->at->number, (void *)c);
	c->state = WS_PINGING;
	c->was_transferred = false;
}

static void
op_wake(void *owner, uint64_t at_us)
{
	struct wsim_shard *shard = owner;

	if (at_us < shard->due_us)
		shard->due_us = at_us;
}

static void
op_outage(void *owner, const struct policy_outage *outage, const struct fail *why, uint64_t now_us)
{
	struct wsim *s = ((struct wsim_shard *)owner)->s;

	HOLDS(s, s->outages == (why == NULL), "an outage %s, and %u are known", why != NULL ? "begins" : "ends",
	      s->outages);
	s->outages = why != NULL;
}

static bool
op_give(void *owner, struct policy_conn *conn, struct policy_worker *to)
{
	struct wsim_shard *from = owner, *shard = to->owner;
	struct wsim_conn *c = (struct wsim_conn *)conn;
	struct wsim *s = from->s;

	HOLDS(s, c->at == from && (c->state == WS_IDLE || c->state == WS_LOOSE), "part %u gives one in state %d",
	      from->number, c->state);
	HOLDS(s, conn->state == PC_NONE && shard != from && shard->p != NULL, "part %u gives one to nobody",
	      from->number);
	HOLDS(s, can_be_transferred(c) || c->cannot_be_transferred, "part %u gives one that must not cross",
	      from->number);
	HOLDS(s, !shard->is_silent, "part %u gives one to part %u, which does not answer", from->number, shard->number);
	if (c->cannot_be_transferred)
		return false;
	tell(s, "%p crosses from part %u to part %u", (void *)c, from->number, shard->number);
	c->at = shard;
	c->state = WS_IN_TRANSFER;
	c->was_transferred = true;
	from->given[shard->number].own_turns = from->turns;
	from->given[shard->number].its_turns = shard->turns;
	from->given[shard->number].is_any = true;
	s->transfers++;
	HOLDS(s, count(s, shard, WS_IN_TRANSFER) <= shard->line_len, "%u are on their way to part %u, where %u wait",
	      count(s, shard, WS_IN_TRANSFER), shard->number, shard->line_len);
	return true;
}

static const struct policy_ops ops = { op_open, op_close, op_ping, op_wake, NULL, op_outage, op_give },
			       rival_ops = { op_open, op_close, op_ping, op_wake, NULL, NULL, NULL };

static void
hear(struct wsim_shard *shard)
{
	tell(shard->s, "worker %u hears", shard->number);
	shard->is_told = false;
	shard->s->asked++;
	policy_worker_run_orders(shard->policy_worker, shard->s->now_us);
}

static void
on_tell(void *owner)
{
	struct wsim_shard *shard = owner;

	HOLDS(shard->s, !shard->is_told, "worker %u is told twice", shard->number);
	shard->is_told = true;
}

/* Between two steps, now and then. */
static void
count_turns(struct wsim *s)
{
	for (unsigned i = 0; i < s->shard_count; i++) {
		if (s->shards[i].hangs || s->shards[i].on_stack > 0 || !chance(s, 50))
			continue;
		s->shards[i].turns++;
		policy_worker_count_turn(s->shards[i].policy_worker);
	}
}

/* --- Picking. --- */

static struct wsim_shard *
pick_shard(struct wsim *s, bool is_told)
{
	unsigned n = s->shard_count + !is_told, from = below(s, n);

	for (unsigned i = 0; i < n; i++) {
		struct wsim_shard *shard = &s->shards[(from + i) % n];

		if (!shard->worker->hangs && (is_told ? shard->is_told && shard->on_stack == 0 : shard->p != NULL))
			return shard;
	}
	return NULL;
}

static struct wsim_conn *
pick_conn(struct wsim *s, enum wsim_state state)
{
	unsigned skip = below(s, 4);
	struct wsim_conn *c, *found = NULL;

	TAILQ_FOREACH(c, &s->conns, link) {
		if (c->state != state || c->at->worker->hangs)
			continue;
		found = c;
		if (skip-- == 0)
			break;
	}
	return found;
}

enum client_kind { IS_OUT, IS_WAITING, IS_HOLDING };

static struct wsim_client *
pick_client(struct wsim *s, enum client_kind kind)
{
	unsigned from = below(s, WSIM_CLIENTS);

	for (unsigned i = 0; i < WSIM_CLIENTS; i++) {
		struct wsim_client *c = &s->clients[(from + i) % WSIM_CLIENTS];

		if (kind != IS_OUT && c->at != NULL && c->at->worker->hangs)
			continue;
		if ((c->is_waiting ? IS_WAITING : c->holds != NULL ? IS_HOLDING : IS_OUT) == kind)
			return c;
	}
	return NULL;
}

/* --- What happens. --- */

static void
do_borrow(struct wsim *s)
{
	static const char guc_store[2];
	struct wsim_client *c = pick_client(s, IS_OUT);
	struct wsim_shard *shard = pick_shard(s, false);
	struct policy_conn *conn;

	if (c == NULL || shard == NULL || s->is_calm)
		return;
	*c = (struct wsim_client){ .waiter = { .id = 1 + (uint64_t)(c - s->clients) },
				   .at = shard,
				   .is_waiting = true,
				   .since_us = s->now_us };
	c->waiter.gucs = &guc_store[below(s, 2)];
	tell(s, "part %u: client %d borrows", shard->number, (int)(c - s->clients));
	shard->line[shard->line_len++] = c;
	shard->on_stack++;
	conn = policy_borrow(shard->p, &c->waiter, s->now_us);
	shard->on_stack--;
	if (conn != NULL) {
		leave_line(c);
		hand_over((struct wsim_conn *)conn, c);
	}
	if (s->depth == 0 && !is_rival(shard))
		check_supply(shard);
}

static void
do_return(struct wsim *s)
{
	struct wsim_client *c = pick_client(s, IS_HOLDING);
	struct wsim_conn *conn;
	struct wsim_shard *shard;

	if (c == NULL)
		return;
	conn = c->holds;
	shard = c->at;
	tell(s, "part %u: client %d returns %p", shard->number, (int)(c - s->clients), (void *)conn);
	*(is_rival(shard) ? &s->rival_rests_us : &s->whole_rests_us) = s->now_us + BUDGET_TURN_US;
	c->holds = NULL;
	conn->borrower = NULL;
	conn->state = WS_LOOSE;
	conn->conn.gucs = c->waiter.gucs;
	shard->on_stack++;
	s->depth++;
	policy_return(shard->p, &conn->conn, s->now_us);
	s->depth--;
	shard->on_stack--;
	settle_loose(s);
}

/* Where it has come to rest, if nobody has got it. */
static void
settle_loose(struct wsim *s)
{
	struct wsim_conn *c;

	if (s->depth > 0)
		return;
	TAILQ_FOREACH(c, &s->conns, link) {
		if (c->state != WS_LOOSE)
			continue;
		HOLDS(s, c->conn.state == PC_IDLE, "part %u leaves one in state %d", c->at->number, c->conn.state);
		c->state = WS_IDLE;
		c->was_transferred = false;
	}
}

static void
do_cancel(struct wsim *s)
{
	struct wsim_client *c = pick_client(s, IS_WAITING);

	if (c == NULL)
		return;
	tell(s, "part %u: client %d leaves", c->at->number, (int)(c - s->clients));
	leave_line(c);
	c->at->on_stack++;
	policy_cancel(c->at->p, &c->waiter, s->now_us);
	c->at->on_stack--;
}

static void
fail_open(struct wsim_conn *c, enum connect_failure kind)
{
	struct wsim_shard *shard = c->at;
	struct wsim *s = shard->s;
	struct fail why;

	tell(s, "part %u: %p failed, %d", shard->number, (void *)c, kind);
	s->is_failing = s->is_failing || !is_rival(shard);
	fail_set(&why, kind == CF_TOO_MANY ? "53300" : "08001", "failure %d", kind);
	TAILQ_REMOVE(&s->conns, c, link);
	if (kind == CF_TOO_MANY) {
		s->lowered_limit = live(s) > 0 ? live(s) : 1;
		s->lowered_until_us = s->now_us + 30 * SECOND;
	}
	shard->on_stack++;
	s->depth++;
	policy_conn_failed(shard->p, &c->conn, kind, kind == CF_AUTH, &why, s->now_us);
	s->depth--;
	shard->on_stack--;
	forget(c);
}

static void
do_open_result(struct wsim *s)
{
	static const enum connect_failure kinds[] = { CF_REFUSED, CF_TIMEOUT, CF_TOO_MANY, CF_AUTH };
	struct wsim_conn *c = pick_conn(s, WS_OPENING);
	struct wsim_shard *shard;

	if (c == NULL)
		return;
	if (chance(s, s->open_fails)) {
		fail_open(c, is_rival(c->at) ? CF_REFUSED : kinds[below(s, 4)]);
		return;
	}
	shard = c->at;
	tell(s, "part %u: %p opened", shard->number, (void *)c);
	s->is_failing = s->is_failing && is_rival(shard);
	c->state = WS_LOOSE;
	shard->on_stack++;
	s->depth++;
	policy_conn_opened(shard->p, &c->conn, s->now_us);
	s->depth--;
	shard->on_stack--;
	settle_loose(s);
}

static void
do_ping_result(struct wsim *s)
{
	struct wsim_conn *c = pick_conn(s, WS_PINGING);
	bool ok = !chance(s, s->ping_fails);
	struct wsim_shard *shard;

	if (c == NULL)
		return;
	shard = c->at;
	tell(s, "part %u: ping of %p %s", shard->number, (void *)c, ok ? "ok" : "failed");
	if (ok)
		c->state = WS_LOOSE;
	shard->on_stack++;
	s->depth++;
	policy_ping_done(shard->p, &c->conn, ok, s->now_us);
	s->depth--;
	shard->on_stack--;
	settle_loose(s);
}

static void
do_gone(struct wsim *s)
{
	struct wsim_conn *c = pick_conn(s, WS_CLOSING);

	if (c != NULL)
		gone(c, chance(s, 20));
}

static void
do_loss(struct wsim *s)
{
	static const enum wsim_state states[] = { WS_IDLE, WS_LENT, WS_PINGING, WS_OPENING };
	struct wsim_conn *c = pick_conn(s, states[below(s, 4)]);

	if (c != NULL && !s->is_calm)
		gone(c, chance(s, 50));
}

/* On the thread of that shard. */
static void
lose(struct wsim_conn *c, struct wsim_shard *shard)
{
	struct wsim *s = shard->s;

	tell(s, "part %u: %p is lost", shard->number, (void *)c);
	TAILQ_REMOVE(&s->conns, c, link);
	policy_shared_lost(&c->conn, shard->policy_worker, s->now_us);
	forget(c);
}

/* A note is read: the connection is there, or was lost, or its shard is gone. */
static void
do_arrive(struct wsim *s)
{
	struct wsim_conn *c = pick_conn(s, WS_IN_TRANSFER);
	struct wsim_shard *shard = c != NULL ? c->at : NULL;
	bool is_there;

	if (c == NULL || shard->on_stack > 0)
		return;
	tell(s, "part %u: %p arrives", shard->number, (void *)c);
	c->state = WS_LOOSE;
	shard->on_stack++;
	s->depth++;
	is_there = shard->p != NULL && (s->is_calm || !chance(s, 3)) && policy_arrive(shard->p, &c->conn, s->now_us);
	s->depth--;
	shard->on_stack--;
	if (!is_there)
		lose(c, shard);
	settle_loose(s);
}

static void
do_hear(struct wsim *s)
{
	struct wsim_shard *shard = pick_shard(s, true);

	if (shard != NULL)
		hear(shard);
}

/* --- What the operator does: to all shards, in a halt. --- */

static struct policy_settings
random_settings(struct wsim *s)
{
	static const uint64_t waits[] = { 0, 50 * MS, SECOND, 30 * SECOND };

	return (struct policy_settings){
		.pool_size = 1 + below(s, 12),
		.max_overflow = below(s, 5),
		.min_idle = chance(s, 50) ? 0 : below(s, 5),
		.overflow_delay_us = chance(s, 80) ? 0 : 20 * MS,
		.overflow_linger_us = chance(s, 50) ? 0 : SECOND,
		.timeout_us = waits[below(s, 4)],
		.on_outage = chance(s, 30) ? OUTAGE_HOLD : OUTAGE_FAIL,
		.hold_us = waits[below(s, 4)],
		.idle_timeout_us = chance(s, 70) ? 0 : SECOND,
		.pre_ping = chance(s, 20),
		.pre_ping_idle_us = chance(s, 30) ? 0 : 100 * MS,
		.ping_interval_us = chance(s, 70) ? 0 : SECOND,
		.ping_timeout_us = SECOND,
		.lifo = chance(s, 70),
		.opens_at_once = below(s, 6),
		.share_weight = 1 + below(s, 3),
	};
}

static struct policy_settings
random_rival(struct wsim *s)
{
	return (struct policy_settings){ .pool_size = 1 + below(s, 12),
					 .min_idle = below(s, 3),
					 .timeout_us = 30 * SECOND,
					 .on_outage = OUTAGE_WAIT,
					 .share_weight = 1 + below(s, 3) };
}

/* Returns true if some worker hangs: it can't be halted, and what is asked is refused. */
static bool
does_any_hang(const struct wsim *s)
{
	for (unsigned i = 0; i < s->shard_count; i++)
		if (s->shards[i].hangs)
			return true;
	return false;
}

static void
for_all_shards(struct wsim *s, void (*act)(struct wsim_shard *shard))
{
	for (unsigned i = 0; i <= s->shard_count; i++) {
		if (s->shards[i].p == NULL)
			continue;
		s->shards[i].on_stack++;
		s->depth++;
		act(&s->shards[i]);
		s->depth--;
		s->shards[i].on_stack--;
	}
	settle_loose(s);
}

static void
reload_one(struct wsim_shard *shard)
{
	policy_reconfigure(shard->p, is_rival(shard) ? &shard->s->rival_settings : &shard->s->settings,
			   shard->s->now_us);
}

static void
set_cap(struct wsim *s)
{
	s->cap = chance(s, 40) ? 0 : 1 + below(s, 14);
	tell(s, "the cap is %u", s->cap);
	policy_budget_set_limit(s->shards[0].policy_worker->commons->total, s->shards[0].policy_worker, s->cap,
				s->now_us);
}

static void
do_reload(struct wsim *s)
{
	if (s->depth > 0 || s->is_calm || does_any_hang(s))
		return;
	s->settings = random_settings(s);
	s->lowered_until_us = 0;
	tell(s, "reload: %u + %u", s->settings.pool_size, s->settings.max_overflow);
	s->rival_settings = random_rival(s);
	if (chance(s, 50))
		set_cap(s);
	for_all_shards(s, reload_one);
}

static void
pause_one(struct wsim_shard *shard)
{
	policy_pause(shard->p, shard->s->now_us);
}

static void
resume_one(struct wsim_shard *shard)
{
	policy_resume(shard->p, shard->s->now_us);
}

static void
do_pause(struct wsim *s)
{
	if (s->depth > 0 || (s->is_calm && !s->is_paused) || does_any_hang(s))
		return;
	tell(s, s->is_paused ? "resume" : "pause");
	s->is_paused = !s->is_paused;
	for_all_shards(s, s->is_paused ? pause_one : resume_one);
}

static void
close_one(struct wsim_shard *shard)
{
	uint64_t before = shard->s->shared->round;

	if (chance(shard->s, 50))
		policy_reconnect(shard->p, shard->s->now_us);
	else
		policy_close_all(shard->p, RR_RELOAD, shard->s->now_us);
	HOLDS(shard->s, is_rival(shard) || shard->s->shared->round > before,
	      "all were closed, and what crosses is not");
}

/* RECONNECT; or one shard alone, whose database's code is no longer trusted. Each shard begins a round. */
static void
do_close_all(struct wsim *s)
{
	struct wsim_shard *shard = pick_shard(s, false);

	if (s->depth > 0 || s->is_calm || shard == NULL)
		return;
	tell(s, "close all");
	if (chance(s, 50) && !does_any_hang(s))
		for_all_shards(s, close_one);
	else
		close_one(shard);
}

static void
do_mood(struct wsim *s)
{
	s->open_fails = chance(s, 60) ? 0 : chance(s, 50) ? 20 : 100;
	s->closes_late = chance(s, 50) ? 0 : 70;
	s->ping_fails = chance(s, 70) ? 2 : 70;
	s->stuck = chance(s, 60) ? 0 : 30;
}

/* --- Shards come and go. --- */

static void
make_shard(struct wsim_shard *shard)
{
	struct wsim *s = shard->s;

	tell(s, "part %u comes", shard->number);
	shard->due_us = NEVER;
	shard->counters = (struct pool_counters){ 0 };
	shard->p = is_rival(shard) ? policy_new(&s->rival_settings, &rival_ops, shard, shard->policy_worker,
						&shard->counters, rnd(s), s->now_us)
				   : policy_new(&s->settings, &ops, shard, shard->policy_worker, &shard->counters,
						rnd(s), s->now_us);
	if (is_rival(shard))
		return;
	policy_set_circuit(shard->p, s->circuit, s->now_us);
	if (s->shared->shard_count == 0)
		s->lowered_until_us = 0;
	policy_set_shared(shard->p, s->shared, s->now_us);
	if (s->is_paused)
		policy_pause(shard->p, s->now_us);
}

static void
drop_shard(struct wsim_shard *shard)
{
	struct wsim *s = shard->s;
	struct wsim_conn *c;
	unsigned left = 0;

	shard->on_stack++;
	policy_close_all(shard->p, RR_SHUTDOWN, s->now_us);
	shard->on_stack--;
	TAILQ_FOREACH(c, &s->conns, link)
		left += c->at == shard && c->state != WS_IN_TRANSFER;
	if (left > 0)
		return;
	tell(s, "part %u goes", shard->number);
	policy_free(shard->p);
	shard->p = NULL;
	shard->due_us = NEVER;
}

static void
do_shard(struct wsim *s)
{
	struct wsim_shard *shard = &s->shards[below(s, s->shard_count)];

	if (s->depth > 0 || shard->hangs)
		return;
	if (shard->p == NULL)
		make_shard(shard);
	else if (shard->line_len == 0 && count(s, shard, WS_LENT) == 0 && !s->is_calm)
		drop_shard(shard);
}

/* --- A worker hangs; the first, which looks at the others, does not. --- */

static void pass_time(struct wsim *s, uint64_t us);

static void
do_hang(struct wsim *s)
{
	struct wsim_shard *shard = &s->shards[1 + below(s, s->shard_count - 1)];

	if (s->depth > 0 || s->is_calm || shard->hangs)
		return;
	tell(s, "worker %u hangs", shard->number);
	shard->hangs = true;
	shard->hangs_since_us = s->now_us;
	if (chance(s, 50))
		pass_time(s, SILENT_US + below(s, SECOND));
}

/* Takes back what has not arrived there. */
static void
take_back(struct wsim_shard *shard)
{
	struct wsim *s = shard->s;
	struct wsim_conn *c = TAILQ_FIRST(&s->conns);

	while (c != NULL) {
		if (c->at == shard && c->state == WS_IN_TRANSFER) {
			lose(c, &s->shards[0]);
			c = TAILQ_FIRST(&s->conns);
		} else
			c = TAILQ_NEXT(c, link);
	}
}

static void
watch(struct wsim *s)
{
	for (unsigned i = 0; i < s->shard_count; i++) {
		struct wsim_shard *shard = &s->shards[i];

		if (!shard->hangs || s->now_us < shard->hangs_since_us + SILENT_US)
			continue;
		if (!shard->is_silent) {
			tell(s, "worker %u is silent", shard->number);
			shard->is_silent = true;
			policy_worker_set_silent(shard->policy_worker, s->shards[0].policy_worker, true, s->now_us);
		}
		take_back(shard);
	}
}

static void
come_back(struct wsim_shard *shard)
{
	struct wsim *s = shard->s;
	bool was_silent = shard->is_silent;

	tell(s, "worker %u is back", shard->number);
	shard->hangs = shard->is_silent = false;
	if (was_silent)
		policy_worker_set_silent(shard->policy_worker, s->shards[0].policy_worker, false, s->now_us);
}

static void
do_come_back(struct wsim *s)
{
	for (unsigned i = 1; i < s->shard_count && s->depth == 0; i++)
		if (s->shards[i].hangs)
			come_back(&s->shards[i]);
}

/* --- Time. --- */

static void
tick(struct wsim_shard *shard)
{
	uint64_t due_us;

	tell(shard->s, "part %u: tick", shard->number);
	shard->due_us = 0;
	shard->on_stack++;
	shard->s->depth++;
	due_us = policy_tick(shard->p, shard->s->now_us);
	shard->s->depth--;
	shard->on_stack--;
	HOLDS(shard->s, due_us == 0 || due_us >= shard->s->now_us, "part %u: the next tick is due in the past",
	      shard->number);
	shard->due_us = due_us == 0 ? NEVER : due_us;
	settle_loose(shard->s);
}

static bool
is_anybody_told(const struct wsim *s)
{
	for (unsigned i = 0; i < s->shard_count; i++)
		if (s->shards[i].is_told && !s->shards[i].hangs)
			return true;
	return false;
}

/* Returns true if one is transferred whose arrival is to be expected. */
static bool
does_any_cross(const struct wsim *s)
{
	for (unsigned i = 0; i < s->shard_count; i++)
		if (!s->shards[i].hangs && count(s, &s->shards[i], WS_IN_TRANSFER) > 0)
			return true;
	return false;
}

static void
run_due(struct wsim *s)
{
	unsigned ticked = 1;

	watch(s);
	for (unsigned turns = 0; ticked > 0 && s->report[0] == '\0'; turns++) {
		unsigned n = s->shard_count + 1, from = below(s, n);

		ticked = 0;
		for (unsigned i = 0; i < n; i++) {
			struct wsim_shard *shard = &s->shards[(from + i) % n];

			if (shard->worker->hangs)
				continue;
			if (shard->p != NULL && shard->due_us <= s->now_us) {
				tick(shard);
				ticked++;
			}
			if (shard->is_told && (s->is_calm || chance(s, 30))) {
				hear(shard);
				ticked++;
			}
		}
		HOLDS(s, turns < 200, "ticks without end");
	}
	if (s->report[0] != '\0')
		return;
	check_places(s);
	if (!is_anybody_told(s) && !does_any_cross(s))
		check_settled(s);
}

static uint64_t
next_due(const struct wsim *s)
{
	uint64_t at_us = NEVER;

	for (unsigned i = 0; i <= s->shard_count; i++) {
		const struct wsim_shard *shard = &s->shards[i];
		uint64_t due_us = shard->worker->hangs ? shard->worker->hangs_since_us + SILENT_US : shard->due_us;

		if (!shard->worker->is_silent && due_us < at_us)
			at_us = due_us;
	}
	return at_us;
}

static void
pass_time(struct wsim *s, uint64_t us)
{
	uint64_t until_us = s->now_us + us;

	while (next_due(s) <= until_us && s->report[0] == '\0') {
		if (next_due(s) > s->now_us)
			s->now_us = next_due(s);
		run_due(s);
	}
	s->now_us = until_us;
	run_due(s);
}

static void
do_time(struct wsim *s)
{
	unsigned what = below(s, 100);

	if (s->depth == 0)
		pass_time(s, what < 50	 ? below(s, 2 * MS)
			     : what < 80 ? below(s, 8 * MS)
			     : what < 97 ? below(s, 500 * MS)
					 : below(s, 40 * SECOND));
}

/* --- Schedules. --- */

static const struct {
	void (*act)(struct wsim *s);
	unsigned weight;
} acts[] = { { do_borrow, 250 },     { do_return, 200 }, { do_cancel, 30 }, { do_open_result, 150 },
	     { do_ping_result, 60 }, { do_gone, 60 },	 { do_loss, 20 },   { do_arrive, 200 },
	     { do_hear, 150 },	     { do_reload, 6 },	 { do_pause, 6 },   { do_close_all, 5 },
	     { do_mood, 8 },	     { do_shard, 20 },	 { do_time, 150 },  { do_hang, 3 },
	     { do_come_back, 6 } };
#define ACTS (sizeof(acts) / sizeof(acts[0]))

static void
play_one(struct wsim *s)
{
	unsigned sum = 0, pick;
	size_t i = 0;

	for (size_t k = 0; k < ACTS; k++)
		sum += acts[k].weight;
	for (pick = below(s, sum); pick >= acts[i].weight; i++)
		pick -= acts[i].weight;
	acts[i].act(s);
}

/* A borrower who is called back does as he likes, on his own worker: he borrows or returns. */
static void
surprise(struct wsim *s)
{
	if (s->is_calm || s->depth > 3 || !chance(s, 20))
		return;
	s->depth++;
	chance(s, 50) ? do_borrow(s) : do_return(s);
	s->depth--;
}

static void
start_rival(struct wsim *s)
{
	struct wsim_shard *shard = &s->shards[s->shard_count];

	*shard =
	    (struct wsim_shard){ .s = s, .number = s->shard_count, .worker = &s->shards[below(s, s->shard_count)] };
	shard->policy_worker = shard->worker->policy_worker;
	s->rival_settings = random_rival(s);
	set_cap(s);
	make_shard(shard);
}

static void
start(struct wsim *s, uint64_t seed)
{
	*s = (struct wsim){ .seed = seed, .random = (seed + 1) * 0x9e3779b97f4a7c15u, .is_verbose = s->is_verbose };
	s->now_us = 1000000 + rnd(s) % 1000000000;
	TAILQ_INIT(&s->conns);
	s->shard_count = 2 + below(s, WSIM_PARTS - 1);
	s->settings = random_settings(s);
	do_mood(s);
	s->commons = policy_commons_new(seed);
	s->shared = policy_shared_get(s->commons, "p", 1, true);
	s->circuit = policy_circuit_get(s->commons, "db1:5432,any");
	for (unsigned i = 0; i < s->shard_count; i++) {
		struct wsim_shard *shard = &s->shards[i];

		shard->s = s;
		shard->number = i;
		shard->due_us = NEVER;
		shard->worker = shard;
		shard->policy_worker = policy_worker_new(s->commons, i, on_tell, shard, &waiter_ops);
		if (i < 2 || chance(s, 70))
			make_shard(shard);
	}
	start_rival(s);
	tell(s, "%u parts, %u + %u", s->shard_count, s->settings.pool_size, s->settings.max_overflow);
}

static bool
is_moving(struct wsim *s)
{
	return pick_conn(s, WS_OPENING) != NULL || pick_conn(s, WS_PINGING) != NULL ||
	       pick_conn(s, WS_CLOSING) != NULL || pick_conn(s, WS_IN_TRANSFER) != NULL ||
	       pick_client(s, IS_HOLDING) != NULL || is_anybody_told(s);
}

/* The upstream works, everybody returns what he has, time passes: nobody is left waiting. */
static void
calm_down(struct wsim *s)
{
	s->is_calm = true;
	s->open_fails = s->closes_late = s->ping_fails = 0;
	do_come_back(s);
	if (s->is_paused)
		do_pause(s);
	for (unsigned turn = 0; s->report[0] == '\0' && (is_moving(s) || pick_client(s, IS_WAITING) != NULL); turn++) {
		bool was_moving = is_moving(s);

		HOLDS(s, turn < 10000, "no end in sight");
		HOLDS(s, was_moving || next_due(s) != NEVER, "somebody waits and nothing will ever happen");
		do_open_result(s);
		do_ping_result(s);
		do_gone(s);
		do_return(s);
		do_arrive(s);
		run_due(s);
		if (!was_moving && next_due(s) > s->now_us && next_due(s) != NEVER)
			pass_time(s, next_due(s) - s->now_us);
	}
}

static void
check_rest(struct wsim *s)
{
	for (int i = 0; i < 100 && s->report[0] == '\0'; i++) {
		pass_time(s, 500 * MS);
		calm_down(s);
	}
	HOLDS(s, live(s) <= s->settings.pool_size, "%u stay of %u", live(s), s->settings.pool_size);
	HOLDS(s, s->outages == 0 || s->shared->verified == 0, "an outage does not end");
}

static void
finish(struct wsim *s)
{
	for (unsigned i = 0; i <= s->shard_count && s->report[0] == '\0'; i++)
		if (s->shards[i].p != NULL)
			drop_shard(&s->shards[i]);
	HOLDS(s, total(s) + total_of(s, true) == 0, "%u are left after all were closed", total(s));
	HOLDS(s, s->report[0] != '\0' || s->shared->used == 0, "%u places are left", s->shared->used);
	if (s->report[0] != '\0')
		return; /* left as it is: it may not be in a state to be freed */
	policy_shared_put(s->commons, s->shared);
	policy_circuit_put(s->commons, s->circuit);
	for (unsigned i = 0; i < s->shard_count; i++)
		policy_worker_free(s->shards[i].policy_worker);
	policy_commons_free(s->commons);
}

bool
wsim_play(struct wsim *s, uint64_t seed, bool is_verbose)
{
	unsigned steps;

	s->is_verbose = is_verbose;
	start(s, seed);
	steps = 100 + below(s, 400);
	for (s->step = 0; s->step < steps && s->report[0] == '\0'; s->step++) {
		play_one(s);
		count_turns(s);
		if (s->report[0] == '\0')
			check_places(s);
		if (s->report[0] == '\0' && chance(s, 60))
			run_due(s);
	}
	if (s->report[0] == '\0')
		calm_down(s);
	if (s->report[0] == '\0')
		check_rest(s);
	finish(s);
	return s->report[0] == '\0';
}
