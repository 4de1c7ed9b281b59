/*
 * src/pool/pool_state.h - what the files of the pool policy share; nobody else includes it.
 *
 *   pool.c         the doors: borrow, return, cancel, and what the owner reports about connections
 *   pool_supply.c  for those in line: which are pinged, how many are opened, and when not (back-off, caps)
 *   pool_upkeep.c  what time brings: too long in line, too long idle, too old; settings, pause, close
 *   pool_refuse.c  how those in line are refused, and in which words
 *   pool_budget.c  a cap over several pools
 *
 * Every connection is on the list of its state; pool_move is the only writer of that state. Only pool_serve and the
 * pool_refuse_* call borrowers back, who may do anything with the pool: callers do nothing after it that relies on what
 * they saw before. All else may be called anywhere, as ops do not call back.
 */
#ifndef PGWEIR_POOL_POOL_STATE_H
#define PGWEIR_POOL_POOL_STATE_H

#include "base/backoff.h"
#include "pool/pool.h"
#include "pool/pool_budget.h"

#define NEVER_US UINT64_MAX
#define SECOND_US 1000000u

TAILQ_HEAD(pool_conns, pool_conn);
TAILQ_HEAD(pool_line, pool_ticket);

struct pool {
	struct pool_settings settings;
	struct pool_ops ops;
	void *owner;
	struct pool_counters *counters;
	struct budget_member member;
	uint64_t random;

	struct pool_conns in[PC_COUNT]; /* IDLE: the warmest first. PINGING: the first pinged first. */
	uint32_t count[PC_COUNT];
	uint32_t total, limit; /* total: in any state; limit: pool_size + max_overflow */
	uint32_t washing; /* of the LENT: those that will be returned in a moment */
	struct pool_line line; /* the longest waiter first */
	uint32_t waiting, last_number;

	bool is_paused;
	bool is_in_use; /* min_idle is kept for a pool somebody uses */
	bool is_stirred; /* the shared cap has room for us */
	enum recycle_reason close_reason; /* of those whose is_recycle_due is set */

	uint64_t epoch; /* a connection verified in an older one is pinged before it is lent */
	uint64_t distrust_epoch; /* ... and if older than this, a new one is opened rather than wait for that */

	uint32_t failed_count; /* rounds of opening that failed in a row */
	uint64_t backed_off_us, backoff_until_us;
	uint32_t lowered_limit; /* PostgreSQL said "too many": not more than this ... */
	uint64_t lowered_until_us; /* ... until then */
	struct fail last_fail; /* of opening; sqlstate empty: never failed */
	uint64_t last_fail_us;
	enum connect_failure last_fail_kind;

	uint64_t swept_us, sweep_us; /* when all idle ones were last looked at, and when next */
	uint64_t due_us; /* when the owner thinks pool_tick is due */
	bool is_granting; /* somebody is in his on_grant */
	struct pool_conn *returned; /* from within that; NULL: none */
	bool is_held; /* in the middle of something that ends in pool_reinforce, or in that itself */
};

static inline uint64_t
later(uint64_t t_us, uint64_t by_us)
{
	return t_us > NEVER_US - by_us ? NEVER_US : t_us + by_us;
}

static inline uint64_t
earliest(uint64_t a_us, uint64_t b_us)
{
	return a_us < b_us ? a_us : b_us;
}

/* Those that are there, or will be: all but the CLOSING. */
static inline uint32_t
pool_live(const struct pool *p)
{
	return p->total - p->count[PC_CLOSING];
}

/* Nobody in line can hope for anything before the next try, and that is not yet. */
static inline bool
pool_is_hopeless(const struct pool *p, uint64_t now_us)
{
	return p->waiting > 0 && !p->is_paused && now_us < p->backoff_until_us && pool_live(p) == 0;
}

/* pool.c */
void pool_move(struct pool *p, struct pool_conn *conn, enum pool_conn_state to);
void pool_close_conn(struct pool *p, struct pool_conn *conn, enum recycle_reason reason);
void pool_leave_line(struct pool *p, struct pool_ticket *t);
bool pool_needs_ping(const struct pool *p, const struct pool_conn *conn, uint64_t now_us);
bool pool_is_aged(const struct pool *p, const struct pool_conn *conn, uint64_t now_us);
void pool_raise_epoch(struct pool *p, uint64_t now_us);
void pool_ping_failed(struct pool *p, struct pool_conn *conn, uint64_t now_us);
void pool_serve(struct pool *p, uint64_t now_us);

/* pool_supply.c */
void pool_reinforce(struct pool *p, uint64_t now_us); /* after any change: enough for all in line, and not late */
uint32_t pool_unserved(const struct pool *p); /* in line, and no connection is coming for them */
void pool_start_ping(struct pool *p, struct pool_conn *conn, uint64_t now_us);
void pool_forget_failures(struct pool *p);
uint32_t pool_min_idle(const struct pool *p); /* how many are to be kept ready */
bool pool_is_short_of_idle(const struct pool *p);
uint64_t pool_supply_due(const struct pool *p, uint64_t now_us);

/* pool_upkeep.c */
void pool_trim(struct pool *p, uint64_t now_us); /* closes those idle for too long */
void pool_set_recycle_time(struct pool *p, struct pool_conn *conn);
void pool_expect_sweep(struct pool *p, const struct pool_conn *conn);
uint64_t pool_next_due(const struct pool *p, uint64_t now_us);

/* pool_refuse.c */
void pool_refuse_line(struct pool *p, const struct fail *why, enum request_failure kind);
void pool_refuse_late(struct pool *p, uint64_t now_us);
void pool_refuse_hopeless(struct pool *p, uint64_t now_us);

#endif
