/*
 * src/policy/policy.h - which server connection goes to whom: the policy of one database/user pair, without I/O or
 * clock.
 *
 *   policy_borrow   lends an idle connection. If there is none the borrower waits in the queue, and another one is opened if
 *                 there is room.
 *   policy_return   lends the connection to the longest waiter at once, or makes it idle.
 *   policy_tick     handles what is due: refuses late waiters; closes, pings and replaces idle connections.
 *
 * An example, with pool_size = 1 and max_overflow = 1: at 0 ms client A borrows the only connection. At 1 ms client B
 * finds none idle, so it waits, and another one is asked for. At 3 ms A returns its own: B has waited longest and gets
 * it, whoever the other one was asked for. At 6 ms that one has logged in; nobody waits, so it becomes idle, and it is
 * closed once nobody has used it for overflow_linger, as it is above pool_size.
 *
 * The policy acts on connections through struct policy_ops; the owner (pool_set.c, or the simulator in the tests)
 * carries it out and reports back. Ops never call back into the pool before they return; on_grant and on_refuse may (a
 * pool function calls them last, and does not use the object afterwards).
 *
 * Connections (struct policy_conn, embedded in the owner's object) are in one of:
 *   OPENING (asked for, not there yet)  CHECKING (likewise, and for nobody: policy_health_check)  IDLE  PINGING  LENT
 * CLOSING (asked to close; counts until policy_conn_gone)
 *
 * Always:
 *   - opening + checking + idle + pinging + lent + closing <= pool_size + max_overflow, whatever is reported in
 * whatever order (after a reconfiguration that lowers the limits: the number only falls until it holds again);
 *   - a waiter gets exactly one of on_grant and on_refuse, or nothing after policy_cancel; strictly first come, first
 *     served, but whose request was sent ahead to a connection gets that one when it is returned;
 *   - nobody waits while a connection is idle (unless the pool is paused, or the idle one must be pinged first, or it
 *     does not suit the first in the queue: then it is closed, unless there is room for another one);
 *   - with waiters and room, as many connections are opening (and pinging) as there are waiters, up to the pacing limit
 *     and the back-off; while somebody asks, an attempt to open begins at least every half second;
 *   - a connection is lent to one borrower at a time; none is lent that was asked to close;
 *   - at most pool_size connections stay when the load is gone and overflow_linger has passed; at least
 *     min(min_idle, pool_size) idle ones are kept while the upstream can be reached and the pool was ever used;
 *   - policy_tick never asks to be called later than the next deadline. Deadlines are exact, except those for age and
 *     background pings, which are checked at most once per second.
 */
#pragma once

#include "base/counters.h"
#include "base/fail.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct policy; /* opaque: policy.c */
struct policy_worker; /* policy_commons.h: caps and circuits, which pools share */
struct policy_shared; /* policy_shared.h: one pool on several workers */

struct policy_settings {
	uint32_t pool_size; /* connections that may stay; at least 1 */
	uint32_t max_overflow; /* further ones under load */
	uint32_t min_idle; /* idle ones that are kept ready */
	uint64_t overflow_delay_us; /* further ones are opened only for borrowers that have waited this long */
	uint64_t overflow_linger_us; /* an idle connection above pool_size is closed after this; 0: at once */
	uint64_t timeout_us; /* how long a borrower waits; 0: forever */
	enum outage_mode on_outage;
	uint64_t hold_us; /* with OUTAGE_HOLD: how long they wait; 0: forever */
	uint64_t recycle_us; /* age at which an idle one is closed, with a jitter of +-10 %; 0: never */
	uint64_t idle_timeout_us; /* an idle one (above min_idle) is closed after this; 0: never */
	bool pre_ping; /* ping before lending ... */
	uint64_t pre_ping_idle_us; /* ... when idle (not heard from) for at least this; 0: before each lending */
	uint64_t ping_interval_us; /* background ping of idle connections not heard from for this; 0: none */
	uint64_t ping_timeout_us; /* a ping that takes longer has failed */
	bool lifo; /* else the longest idle goes first. A borrower's last one goes first for 10 ms */
	uint32_t opens_at_once; /* pacing: at most this many OPENING at a time; 0: 16 */
	uint32_t share_weight, share_min; /* under caps over several pools; see policy_budget_new. A weight of 0 is 1 */
	bool is_spare; /* only policy_borrow_idle() lends: that none can be opened is no outage, as nobody waits */
};

enum policy_conn_state { PC_NONE, PC_OPENING, PC_CHECKING, PC_IDLE, PC_PINGING, PC_LENT, PC_CLOSING, PC_COUNT };

static inline bool
policy_is_coming(enum policy_conn_state state)
{
	return state == PC_OPENING || state == PC_CHECKING;
}

#define POLICY_AHEAD_MAX 7u

/* A request that was sent to a connection behind what runs there, for one in the queue: policy_ahead.c. */
struct policy_ahead {
	struct policy_waiter *t; /* NULL: it has got another connection, or does not wait any more */
	uint64_t hash; /* this and the rest are the owner's: of the bytes that were sent, ... */
	uint16_t len, from_len; /* ... how many, and how many of the borrower's these are */
	uint32_t kinds; /* of the replies */
};

/* Embedded, zeroed, in the owner's server object. The pool's own from policy_conn_opening to policy_conn_gone. */
struct policy_conn {
	enum policy_conn_state state;
	const void *gucs; /* its settings, set by the owner before policy_return; compared by pointer */
	uint64_t opened_us; /* when its login finished (before: when it was asked for) */
	uint64_t heard_us; /* last sign of life */
	uint64_t idle_since_us; /* when last returned; a ping does not change it */
	uint64_t pinged_us; /* when the last ping was asked for */
	uint64_t ping_more_us; /* so much longer than ping_timeout_us it may take; set by the owner in ops->ping */
	uint64_t recycle_at_us; /* 0: never */
	uint64_t epoch; /* the upstream's epoch when it was last verified */
	uint64_t borrower_id; /* the id of its last borrower; 0: none */
	bool is_recycle_due; /* close instead of going idle (RECONNECT, new settings) */
	enum checkout_source source; /* of its next loan: the first is of a new one, or one above pool_size */
	bool is_washed; /* LENT, but about to be returned */
	bool is_trial; /* OPENING while the circuit is open */
	TAILQ_ENTRY(policy_conn)
	link; /* of those in its state; unused while it is LENT, as most often it soon is not */
	TAILQ_ENTRY(policy_conn) all;
	/* For policy_shared.h. */
	uint64_t round; /* the shared policy's when it was opened */
	struct policy_shared *shared; /* while it is transferred to another shard of it; else NULL */
	uint32_t to_shard;
	/* While LENT: what was sent there ahead of its turn, in order. */
	struct policy_ahead ahead[POLICY_AHEAD_MAX];
	uint32_t ahead_count;
	uint64_t ahead_since_us,
	    ahead_wait_us; /* since when the first of these is the next one; how long that may take */
	struct policy *ahead_in; /* while there are any */
};

struct policy_waiter;

/* Counts who has places that others wait for, as far as a worker knows: all, those who keep PostgreSQL at work, and
 * those whom a hint names, as they do not. */
struct policy_keepers {
	uint32_t known, running, named;
};

/* The end of a wait, for all borrowers of a policy worker: t does not wait any more. */
struct policy_waiter_ops {
	void (*on_grant)(struct policy_conn *conn, struct policy_waiter *t); /* conn is LENT to the borrower now */
	void (*on_refuse)(const struct fail *why, enum request_failure kind, struct policy_waiter *t);
	/* Looks at those who have the places that t waits for, and adds a hint that names the one of them who has done
	 * nothing with its connection for as long as t waits. May be NULL. */
	struct policy_keepers (*blame)(const struct policy_waiter *t, uint64_t now_us, struct fail *why);
};

enum waiting {
	WAITS_NOT,
	WAITS_IN_LINE,
	WAITS_AHEAD /* its request was sent ahead, and not in vain (policy_ahead.h) */
};

/* Embed one in the borrower, zeroed. While the waiter waits, it belongs to the pool. */
struct policy_waiter {
	const void *gucs; /* prefers an idle connection with this GUC set; may be NULL */
	uint64_t id; /* the borrower's, which never changes: to know its last connection; 0: none */
	union {
		uint64_t since_us; /* while it waits: when it began to */
		uint64_t waited_us; /* then the borrower's own: how long it has waited */
	};
	uint64_t connect_us; /* when it is granted or refused: how much of the wait was PostgreSQL's, for an answer to
			      * what was opened or pinged */
	uint8_t waits; /* enum waiting */
	bool is_wait_logged; /* the borrower's own, false when the wait begins */
	uint32_t number; /* its place in the queue */
	union {
		TAILQ_ENTRY(policy_waiter) link; /* while it waits */
		uint64_t idle_since_us; /* the borrower's own when it does not wait: when its last request ended */
	};
};

/* Opening fails, and no connection is there: from the first failure that leaves the pool so (one of an attempt that
 * began before the host last answered, or before a connection that has gone was last returned, is none), until one has
 * been opened, or PostgreSQL has refused us for good, or has answered another pool of the circuit while nobody waits
 * here. */
struct policy_outage {
	uint64_t since_us; /* 0: there is none */
	uint32_t held; /* requests that have waited in it, and were not refused at once */
	uint32_t refused; /* at once, or after they had waited */
};

struct policy_ops {
	/* Starts a new connection: calls policy_conn_opening for it before it returns 0, then later policy_conn_opened
	 * or policy_conn_failed. Returns -1 with *why set if it can't even begin, which counts as a failed open. */
	int (*open)(void *owner, uint64_t now_us, struct fail *why);
	/* Closes it, whatever it is doing (it may be OPENING or PINGING, never LENT), and reports policy_conn_gone,
	 * from here or later. Reports about its opening or ping in between are ignored. */
	void (*close)(void *owner, struct policy_conn *conn, enum recycle_reason reason);
	/* Pings it (it is PINGING), and reports policy_ping_done later, or policy_conn_gone, from here or later. */
	void (*ping)(void *owner, struct policy_conn *conn);
	/* The next call to policy_tick is due at this time, which is earlier than before. May be NULL. */
	void (*wake)(void *owner, uint64_t at_us);
	/* Where this one, which is OPENING, goes: "db1:5432". May be NULL. */
	const char *(*address)(void *owner, const struct policy_conn *conn);
	/* An outage begins (why is the failure), or is over (why is NULL). May be NULL. */
	void (*outage)(void *owner, const struct policy_outage *outage, const struct fail *why, uint64_t now_us);
	/* Sends conn, which is idle, to the shard of its pool that lives in this policy worker, whose thread is another
	 * one: there policy_arrive() is to be called, or policy_shared_lost(). It is in no state of this policy any
	 * more. Returns false if it can't go there now; the policy keeps it then. May be NULL: never. See
	 * policy_shared.h. */
	bool (*give)(void *owner, struct policy_conn *conn, struct policy_worker *to);
};

/* random_seed is for jitter; counters belong to the owner
 * and are updated here. Returns NULL without memory. */
struct policy *policy_new(const struct policy_settings *settings, const struct policy_ops *ops, void *owner,
			  struct policy_worker *worker, struct pool_counters *counters, uint64_t random_seed,
			  uint64_t now_us);
/* Refuses all who wait. No connection may be left (call policy_close_all first and wait until they are gone). */
void policy_free(struct policy *p);

/* Returns a connection at once, or NULL: then t waits. Never calls back before it returns. */
struct policy_conn *policy_borrow(struct policy *p, struct policy_waiter *t, uint64_t now_us);
/* Returns an idle connection that may be lent as it is, or NULL: then one is pinged or opened for later, if none is
 * coming; t does not wait. Never calls back. */
struct policy_conn *policy_borrow_idle(struct policy *p, struct policy_waiter *t, uint64_t now_us);
/* conn must be clean, in no transaction, and in working order. May call on_grant of the longest waiter, or ops->close
 * if conn is too old, above a lowered limit, or wanted by another pool that shares the budget. */
void policy_return(struct policy *p, struct policy_conn *conn, uint64_t now_us);
/* The same, after a question of the owner's: a wait since asked_us (0: none) was for PostgreSQL's answer. */
void policy_return_asked(struct policy *p, struct policy_conn *conn, uint64_t asked_us, uint64_t now_us);
/* conn, which is LENT, will be returned in a moment, so no other one is opened for those who wait. */
void policy_conn_washing(struct policy *p, struct policy_conn *conn);
/* That takes longer than expected: now another one may be opened. asked_us: as in policy_return_asked. */
void policy_conn_washing_is_slow(struct policy *p, struct policy_conn *conn, uint64_t asked_us, uint64_t now_us);
/* The borrower left: t gets no callback. Fine if t does not wait. */
void policy_cancel(struct policy *p, struct policy_waiter *t, uint64_t now_us);

/* --- The owner's reports: policy.c; policy_conn_failed() is in policy_supply.c. --- */
void policy_conn_opening(struct policy *p, struct policy_conn *conn, uint64_t now_us); /* from ops->open only */
void policy_conn_opened(struct policy *p, struct policy_conn *conn, uint64_t now_us); /* it logged in */
/*
 * An OPENING or CHECKING one failed; conn no longer belongs to the pool. The pool backs off before the next attempt,
 * which is one connection alone (and, if all in the queue wait on, one more for each half second in which nobody
 * answers it): 50 ms doubled up to 15 s, but up to 400 ms while somebody asks; +-20 % jitter. As long as opening fails,
 * nothing is closed for its age.
 *
 * Those in the queue are refused with *why at once if no other connection lives or is being opened, and while the pool
 * backs off newcomers are, too, through on_refuse from policy_tick (ops->wake with now). In an outage the next attempt,
 * or one of another shard or pool, is waited for no longer than half a second, and not at all if the last one got no
 * answer: it may take as long to fail. These wait on:
 *   - everybody, for hold_us, with OUTAGE_HOLD: counted from when they came or the outage began, whichever was
 *     later; when the outage is over, timeout_us begins for them;
 *   - for timeout_us, everybody, with OUTAGE_WAIT;
 *   - for timeout_us, those who were in the queue when the last connection was lost while it was lent: PostgreSQL
 * restarts;
 *   - for timeout_us, everybody, after 57P01: PostgreSQL has accepted the login, and an administrator has ended it; and
 *     after 53200: the next attempt may have the memory;
 *   - for timeout_us, everybody, after CF_TOO_MANY (PostgreSQL's 53300): that lowers the pool's limit to the
 * connections it has (at least 1) for 30 s. is_fatal (a wrong password, an unknown database): everybody is refused at
 * once, even if other connections live. After an outage connections are opened one by one at first, then two at a time,
 * and so on up to the pacing limit.
 */
void policy_conn_failed(struct policy *p, struct policy_conn *conn, enum connect_failure kind, bool is_fatal,
			const struct fail *why, uint64_t now_us);
void policy_ping_done(struct policy *p, struct policy_conn *conn, bool ok, uint64_t now_us); /* !ok: it is closed */
/* conn is closed, whoever closed it and whatever its state; it no longer belongs to the pool. With upstream_may_be_down
 * the loss of an idle, pinging or lent one raises the epoch: connections verified before that are pinged before they
 * are lent. Recycles are counted here only if the pool asked for the close; the owner counts the others. */
void policy_conn_gone(struct policy *p, struct policy_conn *conn, bool upstream_may_be_down, uint64_t now_us);
/* --- policy_supply.c and policy_upkeep.c: connections that nobody waits for. --- */
/* Pings conn, which is idle, now; NULL: the coldest idle connection. Returns false if none is idle. */
bool policy_ping_idle(struct policy *p, struct policy_conn *conn, uint64_t now_us);
/* Pings an idle connection or opens one, up to pool_size, unless one is coming. */
void policy_stock_up(struct policy *p, uint64_t now_us);
/* The upstream may be down: idle connections are pinged before they are lent. */
void policy_distrust(struct policy *p, uint64_t now_us);

/* --- policy_upkeep.c: time, settings, pause. --- */
/* Handles what is due. Returns when to call next, or 0 if nothing will be due. */
uint64_t policy_tick(struct policy *p, uint64_t now_us);
void policy_reconfigure(struct policy *p, const struct policy_settings *settings, uint64_t now_us);
/* Stops lending: connections that are not lent are closed now, lent ones when they are returned. Those in the queue
 * stay there; they are not refused for failures, but do time out. Connections that are OPENING while somebody waits,
 * and no failure is known, count as lent: each goes to the first in the queue when it has logged in. */
void policy_pause(struct policy *p, uint64_t now_us);
void policy_resume(struct policy *p, uint64_t now_us); /* opens at once, back-off or not */
/* As if somebody had borrowed: min_idle is kept from now on. */
void policy_warm(struct policy *p, uint64_t now_us);
/* Closes all now (OPENING and PINGING ones too), and lent ones when they are returned; others are opened for those in
 * line. why: RR_RELOAD, RR_KILL or RR_SHUTDOWN; after the last two none is kept ready (min_idle) until the next borrow.
 */
void policy_close_all(struct policy *p, enum recycle_reason why, uint64_t now_us);
/* The same for RR_RELOAD, but as with policy_pause() what is OPENING may be lent once. */
void policy_reconnect(struct policy *p, uint64_t now_us);
/* policy_refuse.c: refuses everyone in the queue. */
void policy_refuse_all(struct policy *p, const struct fail *why, enum request_failure kind, uint64_t now_us);

struct policy_counts {
	bool is_paused;
	uint32_t opening, idle, pinging, lent, closing, waiting, overflow; /* overflow: how many above pool_size */
	uint32_t washing; /* those of lent that are cleaned, or asked a question of pgweir's own */
	uint32_t coming; /* from other shards of the pool (policy_shared.h); none of the others counts them */
	uint64_t oldest_waiter_us; /* since_us of the first in the queue; 0: nobody waits */
	uint64_t backoff_until_us; /* 0: not backing off */
	struct policy_outage outage;
};
void policy_get_counts(const struct policy *p, struct policy_counts *out);
/* policy_obstacle.c: for one that is in the queue, the cause in why's detail, and what helps in its hint.
 * policy_shard.c: its place (1: the first; an estimate if the pool is split). */
void policy_explain_wait(const struct policy *p, const struct policy_waiter *t, uint64_t now_us, struct fail *why);
uint32_t policy_place(const struct policy *p, const struct policy_waiter *t, uint64_t now_us);
/* Returns true if somebody waits, here, in another shard or for a place in the budget, for whom no connection is being
 * opened, pinged or washed. Borrowers that can return one should then. */
bool policy_is_wanted(const struct policy *p);
/* Returns for how many µs a borrower may keep conn unused while nobody waits; 0: it is to be closed. */
uint64_t policy_keep_us(const struct policy *p, const struct policy_conn *conn, uint64_t now_us);
