/*
 * src/pool/pool.h - which server connection goes to whom: the policy of one database/user pair, without I/O or clock.
 *
 *   pool_borrow   one idle? it is yours now. Otherwise wait in line, and if there is room, one more is opened.
 *   pool_return   somebody in line? the longest waiter gets it at once. Otherwise it goes idle.
 *   pool_tick     time passes: waiters grow too old, idle connections are closed, pinged, replaced.
 *
 * What the policy wants done to a connection it asks for through struct pool_ops; the owner (pool_set.c, or the
 * simulator in the tests) does it later and reports back. Ops never call back into the pool before they return;
 * on_grant and on_refuse may (they are the last thing a pool function does with the object concerned).
 *
 * Connections (struct pool_conn, embedded in the owner's object) are in one of:
 *   OPENING (asked for, not there yet) IDLE  PINGING  LENT  CLOSING (asked to close; counts until pool_conn_gone)
 *
 * Always:
 *   - opening + idle + pinging + lent + closing <= pool_size + max_overflow, whatever is reported in whatever order
 *     (after a reconfiguration that lowers the limits: the number only falls until it holds again);
 *   - a waiter gets exactly one of on_grant, on_refuse, or nothing after pool_cancel; strictly first come, first
 * served;
 *   - nobody waits while a connection is idle (unless the pool is paused, or the idle one must be pinged first);
 *   - with waiters and room, as many connections are opening (and pinging) as there are waiters, up to the pacing limit
 *     and the back-off;
 *   - a connection is lent to one borrower at a time; none is lent that was asked to close;
 *   - at most pool_size connections stay when the load is gone and overflow_linger has passed; at least
 *     min(min_idle, pool_size) idle ones are kept while the upstream can be reached and the pool was ever used;
 *   - pool_tick never asks to be called later than the next deadline. Deadlines are exact but for age and background
 *     pings, which are looked for at most once per second.
 */
#ifndef PGWEIR_POOL_POOL_H
#define PGWEIR_POOL_POOL_H

#include "base/counters.h"
#include "base/fail.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct pool; /* opaque: pool.c */
struct pool_budget; /* opaque: pool_budget.c; a cap shared by several pools */

struct pool_settings {
	uint32_t pool_size; /* kept, at least 1 */
	uint32_t max_overflow; /* more under load */
	uint32_t min_idle; /* kept ready, idle */
	uint64_t overflow_linger_us; /* an idle connection above pool_size is closed after this; 0: at once */
	uint64_t timeout_us; /* how long a borrower waits; 0: for ever */
	uint64_t recycle_us; /* by age, +-10 % by the connection's own jitter, only when idle; 0: never */
	uint64_t idle_timeout_us; /* an idle one (above min_idle) is closed after this; 0: never */
	bool pre_ping; /* ping before lending ... */
	uint64_t pre_ping_idle_us; /* ... when idle (not heard from) for at least this; 0: before each lending */
	uint64_t ping_interval_us; /* background ping of idle connections not heard from for this; 0: none */
	uint64_t ping_timeout_us; /* a ping that takes longer has failed */
	bool lifo; /* else the longest idle goes first */
	uint32_t opens_at_once; /* pacing: at most this many OPENING at a time; 0: 16 */
};

enum pool_conn_state { PC_NONE, PC_OPENING, PC_IDLE, PC_PINGING, PC_LENT, PC_CLOSING, PC_COUNT };

/* Embedded, zeroed, in the owner's server object. The pool's own from pool_conn_opening to pool_conn_gone. */
struct pool_conn {
	enum pool_conn_state state;
	const void *image; /* set by the owner before pool_return: what settings it carries; compared by pointer */
	uint64_t opened_us; /* login finished (while OPENING: when it was asked for) */
	uint64_t heard_us; /* last sign of life */
	uint64_t idle_since_us; /* when last returned; a ping does not change it */
	uint64_t pinged_us; /* when the last ping was asked for */
	uint64_t recycle_at_us; /* 0: never */
	uint64_t epoch; /* the upstream's epoch when last verified */
	bool is_recycle_due; /* close instead of going idle (RECONNECT, new settings) */
	bool is_used; /* lent at least once: else its checkout counts as new */
	bool is_overflow; /* opened as one above pool_size */
	bool is_washed; /* LENT, but about to be returned */
	TAILQ_ENTRY(pool_conn) link;
};

/* Embed one in the borrower, zeroed. While it waits it is the pool's. */
struct pool_ticket {
	void (*on_grant)(struct pool_conn *conn, void *arg); /* conn is LENT to you */
	void (*on_refuse)(const struct fail *why, enum request_failure kind, void *arg);
	void *arg;
	const void *image; /* prefers an idle connection with this image; may be NULL */
	uint64_t since_us; /* when it began to wait */
	bool is_waiting;
	uint32_t number; /* its place in line */
	TAILQ_ENTRY(pool_ticket) link;
};

struct pool_ops {
	/* Start a new connection: call pool_conn_opening for it before returning 0, then later pool_conn_opened or
	 * pool_conn_failed. -1: cannot even begin (why); treated as a failed open. */
	int (*open)(void *owner, uint64_t now_us, struct fail *why);
	/* Close it, whatever it is doing (it may be OPENING or PINGING, never LENT); report pool_conn_gone, from here
	 * or later. What it reports about opening or ping in between is not listened to. */
	void (*close)(void *owner, struct pool_conn *conn, enum recycle_reason reason);
	/* Ping it (state is PINGING); report pool_ping_done later, or pool_conn_gone, from here or later. */
	void (*ping)(void *owner, struct pool_conn *conn);
	/* The next call to pool_tick is due at this time, earlier than said before. May be NULL. */
	void (*wake)(void *owner, uint64_t at_us);
};

/* random_seed: for jitter. budget may be NULL. counters is the owner's, counted into here. NULL: no memory. */
struct pool *pool_new(const struct pool_settings *settings, const struct pool_ops *ops, void *owner,
		      struct pool_budget *budget, struct pool_counters *counters, uint64_t random_seed);
/* No connection may be left (ask pool_close_all first, wait for them to be gone); refuses all who wait. */
void pool_free(struct pool *p);

/* A connection at once, or NULL: t waits. Never calls back before it returns. */
struct pool_conn *pool_borrow(struct pool *p, struct pool_ticket *t, uint64_t now_us);
/* conn is clean, in no transaction, and works. May end in on_grant of the longest waiter; or in ops->close, if it is
 * too old, above a lowered limit, or wanted by another pool that shares the budget. */
void pool_return(struct pool *p, struct pool_conn *conn, uint64_t now_us);
/* conn, which is LENT, will be returned in a moment: nothing is opened in its place for who waits. */
void pool_conn_washing(struct pool *p, struct pool_conn *conn);
/* That takes longer than a moment: now something is. */
void pool_conn_washing_is_slow(struct pool *p, struct pool_conn *conn, uint64_t now_us);
/* The borrower left: t gets no callback. Fine if t does not wait. */
void pool_cancel(struct pool *p, struct pool_ticket *t, uint64_t now_us);

/* --- The owner reports. --- */
void pool_conn_opening(struct pool *p, struct pool_conn *conn, uint64_t now_us); /* from ops->open only */
void pool_conn_opened(struct pool *p, struct pool_conn *conn, uint64_t now_us); /* it logged in */
/*
 * An opening one failed; conn is no longer the pool's. kind says how: waiters are refused with why at once when
 * the upstream cannot be reached or refuses us and no other connection lives or is being opened (is_fatal: refuse even
 * if others live, e.g. a wrong password), and the pool backs off (50 ms doubled to 15 s, +-20 % jitter) before the next
 * try, which is one connection alone; while backing off with no connection at all, new borrowers are refused at once
 * through on_refuse from pool_tick (ops->wake with now). As long as opening fails nothing is closed for its age.
 * CF_TOO_MANY (PostgreSQL's 53300) lowers the number this pool may open to what it has (at least 1) for 30 s instead,
 * and refuses nobody as long as the pool has a connection.
 */
void pool_conn_failed(struct pool *p, struct pool_conn *conn, enum connect_failure kind, bool is_fatal,
		      const struct fail *why, uint64_t now_us);
void pool_ping_done(struct pool *p, struct pool_conn *conn, bool ok, uint64_t now_us); /* !ok: it will be closed */
/* It closed itself or was closed, whatever its state: no longer the pool's. With upstream_may_be_down the loss of an
 * idle, pinging or lent one raises the epoch: connections verified before that are pinged before they are lent.
 * Recycles are counted only where the pool asked for the close; for what closed itself, the owner counts. */
void pool_conn_gone(struct pool *p, struct pool_conn *conn, bool upstream_may_be_down, uint64_t now_us);
/* Pings the coldest idle connection now. False: none is idle. */
bool pool_ping_idle(struct pool *p, uint64_t now_us);
void pool_conn_heard(struct pool *p, struct pool_conn *conn, uint64_t now_us); /* any sign of life while idle */

/* Time passes. Returns when to call next, 0: nothing is due ever. */
uint64_t pool_tick(struct pool *p, uint64_t now_us);
void pool_reconfigure(struct pool *p, const struct pool_settings *settings, uint64_t now_us);
/* Nobody is lent anything: connections nobody has borrowed are closed now, lent ones when returned. Those in line stay
 * there, are not refused for failures, but do time out. */
void pool_pause(struct pool *p, uint64_t now_us);
void pool_resume(struct pool *p, uint64_t now_us); /* tries at once, back-off or not */
bool pool_is_paused(const struct pool *p);
/* All close now (OPENING and PINGING ones too), lent ones when returned; others are opened for those in line. After
 * RR_KILL or RR_SHUTDOWN none is kept ready (min_idle) until the next borrow. why: RR_RELOAD, RR_KILL, RR_SHUTDOWN. */
void pool_close_all(struct pool *p, enum recycle_reason why, uint64_t now_us);
/* Refuses everyone in line. */
void pool_refuse_all(struct pool *p, const struct fail *why, enum request_failure kind, uint64_t now_us);
/* A wait of a pool that shares a budget asks for one of this pool's idle connections: closes the coldest. */
bool pool_give_up_idle(struct pool *p, uint64_t now_us);

struct pool_counts {
	uint32_t opening, idle, pinging, lent, closing, waiting, overflow; /* overflow: how many above pool_size */
	uint64_t oldest_waiter_us; /* since_us of the first in line; 0: nobody waits */
	uint64_t backoff_until_us; /* 0: not backing off */
};
void pool_get_counts(const struct pool *p, struct pool_counts *out);
/* Somebody is in line for whom none is being washed, or for want of a place elsewhere: who can return one should. */
bool pool_is_wanted(const struct pool *p);
const struct pool_settings *pool_get_settings(const struct pool *p);

/* --- A cap over several pools (max_server_connections). --- */
/*
 * Max-min fair. A pool's fair share is limit / pools in use, at least 1; in use are those that have some lent, or
 * waiters in line, or had so 100 ms ago; the share of others is 0. A free place goes to the pool with the fewest
 * connections, then to the longest waiter, by ops->wake. When the cap is reached and a pool below its share waits, the
 * pool with the most idle connections above its own share gives up its coldest one; when there is none, a pool above
 * its share closes what is returned to it (RR_EVICTED), its own waiters notwithstanding. With more pools in use than
 * places, a place is passed on to a pool without any where somebody waits for longer, once its connection is 100 ms
 * old. min_idle takes only places nobody waits for.
 */
struct pool_budget *pool_budget_new(uint32_t limit); /* 0: no limit */
void pool_budget_free(struct pool_budget *b); /* after all its pools */
void pool_budget_set_limit(struct pool_budget *b, uint32_t limit, uint64_t now_us);
uint32_t pool_budget_used(const struct pool_budget *b);

#endif
