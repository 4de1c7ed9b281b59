/*
 * src/policy/policy.h - decides which client gets which server connection: the policy of one database/user pair,
 * without I/O or clock.
 *
 *   policy_borrow   lends an idle connection. If none is idle, the borrower waits in the queue, and another connection
 *                   is opened if there is room.
 *   policy_return   lends the connection at once to the client that has waited longest, or makes the connection idle.
 *   policy_tick     handles what is due: refuses waiters that have waited too long; closes, pings and replaces idle
 *                   connections.
 *
 * An example, with pool_size = 1 and max_overflow = 1: at 0 ms client A borrows the only connection. At 1 ms client B
 * finds none idle, so B waits, and a second connection is opened. At 3 ms A returns the first connection: B has waited
 * longest and gets it, although the second one was opened for B. At 6 ms the second one has logged in; no client waits,
 * so it becomes idle. As the pool is above pool_size, an idle connection is closed after overflow_linger.
 *
 * The policy acts on connections through struct policy_ops. The owner (pool_conns.c, or the simulator in the tests)
 * implements these operations, and reports the results. While an operation runs, it may call the policy only to make
 * the reports that struct policy_ops names. on_grant and on_refuse may call any function of the policy, because the
 * policy uses neither the connection nor the waiter after it has called them.
 *
 * A connection (struct policy_conn, embedded in the owner's object) is in one of these states:
 *   OPENING   the owner was asked to open the connection, which has not logged in yet
 *   CHECKING  as OPENING, but policy_health_check() has opened the connection, and no client waits for it
 *   IDLE, PINGING, LENT
 *   CLOSING   the owner was asked to close the connection, which is counted until policy_conn_gone
 *
 * Always:
 *   - opening + checking + idle + pinging + lent + closing <= pool_size + max_overflow, whatever the owner reports, in
 *     any order (after a reconfiguration that lowers the limits, the sum only falls until this holds again);
 *   - a waiter gets either one on_grant or one on_refuse; after policy_cancel it gets neither;
 *   - waiters are served in the order of their arrival; but if a waiter's request was sent ahead to a connection, that
 *     waiter is the next to get the connection;
 *   - while a connection is idle, clients wait only if the pool is paused, the connection must be pinged first, or the
 *     clients' requests were sent ahead and will be answered soon;
 *   - while clients wait and there is room, as many connections are being opened (or pinged) as there are waiters,
 *     limited by opens_at_once and the back-off; while clients ask for connections, an attempt to open begins at least
 *     every half second;
 *   - a connection is lent to one borrower at a time; a connection that is CLOSING is not lent;
 *   - at most pool_size connections stay when the load is gone and overflow_linger has passed; at least min(min_idle,
 *     pool_size) idle connections are kept from the pool's first use on, while the upstream can be reached;
 *   - policy_tick never asks to be called later than the next deadline. Deadlines are exact, except for age and
 *     background pings, which are checked at most once per second.
 */
#pragma once

#include "base/counters.h"
#include "base/fail.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct policy; /* opaque: policy.c */
struct policy_worker; /* policy_commons.h: what the policy knows of a worker */
struct policy_shared; /* policy_shared.h: one pool on several workers */

struct policy_settings {
	uint32_t pool_size; /* the most connections that stay without load; at least 1 */
	uint32_t max_overflow; /* the most connections above pool_size, under load */
	uint32_t min_idle; /* idle connections that are kept ready */
	uint64_t overflow_delay_us; /* how long a borrower waits before a connection above pool_size is opened for it */
	uint64_t overflow_linger_us; /* how long an idle connection above pool_size is kept; 0 closes it at once */
	uint64_t timeout_us; /* the longest wait of a borrower; 0 if unlimited */
	enum outage_mode on_outage; /* how long clients wait in an outage: see policy_conn_failed() */
	uint64_t hold_us; /* with OUTAGE_HOLD, the longest wait in an outage; 0 if unlimited */
	uint64_t recycle_us; /* a connection that is not lent is closed at this age, +-10 %; 0 for never */
	uint64_t idle_timeout_us; /* how long an idle connection above min_idle is kept; 0 if unlimited */
	bool pre_ping; /* true to ping a connection before lending it */
	/* with pre_ping: a connection is pinged if nothing was heard from it for this long; 0 pings each time */
	uint64_t pre_ping_idle_us;
	/* an idle connection from which nothing was heard for this long is pinged; 0 for never */
	uint64_t ping_interval_us;
	uint64_t ping_timeout_us; /* a ping that takes longer has failed */
	/* true to lend the connection that was returned last, except that a borrower that comes back within 10 ms gets
	 * the connection that it had; false to lend the connection that has been idle longest */
	bool lifo;
	uint32_t opens_at_once; /* at most this many connections are OPENING at a time; 0 means 16 */
	uint32_t share_weight, share_min; /* the pool's claim to places (policy_budget.h); weight 0 means 1 */
	bool lends_idle_only; /* true if only policy_borrow_idle() lends: no client waits, and there are no outages */
};

enum policy_conn_state { PC_NONE, PC_OPENING, PC_CHECKING, PC_IDLE, PC_PINGING, PC_LENT, PC_CLOSING, PC_COUNT };

/* Returns true if the connection has not logged in yet. */
static inline bool
policy_is_being_opened(enum policy_conn_state state)
{
	return state == PC_OPENING || state == PC_CHECKING;
}

#define POLICY_AHEAD_MAX 7u

/* A request that was sent ahead of its turn, while its client is in the queue, to a lent connection where another
 * request runs: policy_ahead.c. */
struct policy_ahead {
	struct policy_waiter *t; /* NULL if the waiter has got another connection, or waits no longer */
	/* The owner's fields, which the policy does not read: */
	uint64_t hash; /* a hash of the bytes that were sent */
	uint16_t len; /* the number of bytes that were sent */
	uint16_t from_len; /* the sent bytes were made from this many bytes of the client's input */
	uint32_t kinds; /* the kinds of the expected replies: see struct plain_request (pipeline/plain_request.h) */
};

/* Embedded, zeroed, in the owner's server object. The pool uses it from policy_conn_opening to policy_conn_gone. */
struct policy_conn {
	enum policy_conn_state state;
	const void *gucs; /* the GUC set of the session, set by the owner before policy_return; compared by pointer */
	uint64_t opened_us; /* when the login finished; before that, when the connection was asked for */
	uint64_t heard_us; /* when PostgreSQL was last heard from on this connection */
	uint64_t idle_since_us; /* when the connection was last returned; a ping does not change this */
	uint64_t pinged_us; /* when the last ping was asked for */
	uint64_t ping_more_us; /* set by ops->ping: how much longer than ping_timeout_us this ping may take */
	uint64_t recycle_at_us; /* when the connection is closed for its age; 0 if never */
	uint64_t epoch; /* the policy's epoch (policy_conn_gone()) when the connection was last verified */
	uint64_t borrower_id; /* the id of the last borrower; 0 if none */
	bool is_recycle_due; /* the connection must be closed once it is not lent, as after policy_close_all() */
	/* how the next loan is counted: the first as CS_NEW, or CS_OVERFLOW above pool_size; later ones as CS_IDLE */
	enum checkout_source source;
	/* true while the connection is LENT only because it is being reset, or runs a query of pgweir's own */
	bool is_being_washed;
	bool is_trial; /* the connection is a trial of the circuit (policy_circuit.h) that has not ended */
	TAILQ_ENTRY(policy_conn) link; /* in the list of its state; not used while LENT, because most loans are short */
	TAILQ_ENTRY(policy_conn) all;
	/* The next three fields are for policy_shared.h. */
	uint64_t round; /* the shared policy's round when the connection was opened */
	struct policy_shared *shared; /* set while the connection is transferred to another shard; else NULL */
	uint32_t to_shard; /* the number of the shard that the connection is transferred to */
	/* While LENT: the requests that were sent to this connection ahead of their turn, in order. */
	struct policy_ahead ahead[POLICY_AHEAD_MAX];
	uint32_t ahead_count;
	uint64_t ahead_since_us; /* since when ahead[0] is the next request to run */
	uint64_t ahead_wait_us; /* how long after ahead_since_us ahead[0] may wait for its turn */
	struct policy *ahead_policy; /* the policy of the waiters in `ahead`; valid while ahead_count > 0 */
};

struct policy_waiter;

/* Counts of the holders: the borrowers that have the connections for which other borrowers wait. */
struct policy_holders {
	uint32_t known; /* all holders whose clients this worker knows */
	uint32_t running; /* holders for which PostgreSQL works */
	uint32_t named; /* holders for which PostgreSQL does not work, and which a hint names */
	const char *no_more_hint; /* the hint if all holders are running and more connections would not help; or NULL */
};

/* Calls to the borrowers of a policy worker. When on_grant or on_refuse is called, t has left the queue. */
struct policy_waiter_ops {
	void (*on_grant)(struct policy_conn *conn, struct policy_waiter *t); /* conn is LENT to the borrower now */
	void (*on_refuse)(const struct fail *why, enum request_failure kind, struct policy_waiter *t);
	/* Called while t still waits. Counts the holders of the connections that t waits for. If a holder has left its
	 * connection unused for as long as t has waited, adds a hint that names the holder to *why. May be NULL. */
	struct policy_holders (*blame)(const struct policy_waiter *t, uint64_t now_us, struct fail *why);
};

enum waiting {
	WAITS_NOT,
	WAITS_IN_QUEUE,
	/* the waiter's request was sent ahead, and may still be answered on that connection (policy_ahead.h) */
	WAITS_AHEAD
};

/* Embed this in the borrower, zeroed. While the waiter waits, it belongs to the policy. */
struct policy_waiter {
	const void *gucs; /* an idle connection with this GUC set is preferred; may be NULL */
	uint64_t id; /* the borrower's id, which never changes (policy_conn.borrower_id); 0 if it has none */
	union {
		uint64_t since_us; /* while it waits: when the wait began */
		uint64_t waited_us; /* after the wait, for the borrower's use: how long it waited */
	};
	uint64_t connect_us; /* how much of a wait that has ended was for a login, a ping or a query of pgweir's */
	uint8_t waits; /* enum waiting */
	bool is_notice_sent; /* for the borrower's use; the policy sets false when the wait begins */
	uint32_t number; /* the order of arrival: each waiter gets the next number, which may wrap around */
	union {
		TAILQ_ENTRY(policy_waiter) link; /* while it waits */
		/* while it does not wait, for the borrower's use: when its last request ended */
		uint64_t idle_since_us;
	};
};

/* An outage: opening fails, and the pool has no connection. An outage begins with the first failure after which the
 * pool has no connection, unless PostgreSQL has refused the login, or had too many connections or no memory. A failure
 * does not count if its attempt began before the host last answered, or before a connection that is gone now was last
 * heard from. The outage ends when a connection has been opened, when PostgreSQL has refused the login for good, or,
 * while no client waits here, when PostgreSQL has answered another pool or shard. */
struct policy_outage {
	uint64_t since_us; /* 0 if there is no outage */
	uint32_t held; /* requests that have waited in the outage, instead of being refused at once */
	uint32_t refused; /* requests that were refused, at once or after a wait */
};

struct policy_ops {
	/* Begins to open a connection, and calls policy_conn_opening with it. Returns 0, and reports policy_conn_opened
	 * or policy_conn_failed later; or -1 with *why set if the attempt can't begin, which counts as a failure. */
	int (*open)(void *owner, uint64_t now_us, struct fail *why);
	/* Closes conn, which no borrower has, and which is CLOSING now. Reports policy_conn_gone, at once or later.
	 * Other reports about conn are ignored meanwhile, but policy_conn_failed counts as policy_conn_gone. */
	void (*close)(void *owner, struct policy_conn *conn, enum recycle_reason reason);
	/* Pings conn, which is PINGING. Reports policy_ping_done later; or, at once or later, policy_conn_gone. */
	void (*ping)(void *owner, struct policy_conn *conn);
	/* Called when the next policy_tick becomes due earlier than it was; at_us is the new time. May be NULL. */
	void (*wake)(void *owner, uint64_t at_us);
	/* Returns the address to which conn, which is OPENING, connects: "db1:5432". May be NULL. */
	const char *(*address)(void *owner, const struct policy_conn *conn);
	/* Called when an outage begins (*why is the failure), or is over (why is NULL). May be NULL. */
	void (*outage)(void *owner, const struct policy_outage *outage, const struct fail *why, uint64_t now_us);
	/* Sends conn, which no borrower has and which has left this policy, to the pool's shard on policy worker `to`,
	 * whose thread calls policy_arrive() or policy_shared_lost() later. Returns false if conn can't go there now;
	 * this policy then keeps conn. May be NULL if connections are never transferred. See policy_shared.h. */
	bool (*give)(void *owner, struct policy_conn *conn, struct policy_worker *to);
};

/* worker: the policy worker of the thread that uses p. counters: owned by the caller; the policy adds to them.
 * random_seed: for jitter. Returns NULL if out of memory. */
struct policy *policy_new(const struct policy_settings *settings, const struct policy_ops *ops, void *owner,
			  struct policy_worker *worker, struct pool_counters *counters, uint64_t random_seed,
			  uint64_t now_us);
/* Refuses all waiters. No connection may be left, so first call policy_close_all(), and wait until all are gone. */
void policy_free(struct policy *p);

/* Returns a connection at once, or NULL if t has to wait. Does not call on_grant or on_refuse. */
struct policy_conn *policy_borrow(struct policy *p, struct policy_waiter *t, uint64_t now_us);
/* Returns an idle connection that needs no ping, or NULL; t never waits. If NULL is returned, a connection is pinged or
 * opened for a later call, unless a connection is being pinged or opened already. */
struct policy_conn *policy_borrow_idle(struct policy *p, struct policy_waiter *t, uint64_t now_us);
/* conn must be in working order, in no transaction, and without session state. May call on_grant for a waiter, or
 * ops->close if conn is too old, above a lowered limit, or needed by another pool under the same cap. */
void policy_return(struct policy *p, struct policy_conn *conn, uint64_t now_us);
/* Does policy_return() for a connection on which the owner has run a query of its own. asked_us: when the query was
 * sent; 0 if there was none. For waiters, the time since asked_us counts as waiting for PostgreSQL. */
void policy_return_after_query(struct policy *p, struct policy_conn *conn, uint64_t asked_us, uint64_t now_us);
/* Call when conn, which is LENT, will be returned soon: no other connection is opened for the waiter that gets it. */
void policy_note_washing(struct policy *p, struct policy_conn *conn);
/* Call when conn is not returned as soon as expected: another connection may then be opened. asked_us: as in
 * policy_return_after_query. */
void policy_note_washing_delayed(struct policy *p, struct policy_conn *conn, uint64_t asked_us, uint64_t now_us);
/* Takes t out of the queue: t gets no callback. Does nothing if t does not wait. */
void policy_cancel(struct policy *p, struct policy_waiter *t, uint64_t now_us);

/* --- The owner's reports: policy.c; policy_conn_failed() is in policy_supply.c. --- */
void policy_conn_opening(struct policy *p, struct policy_conn *conn, uint64_t now_us); /* call only from ops->open */
void policy_conn_opened(struct policy *p, struct policy_conn *conn, uint64_t now_us); /* call when conn has logged in */
/*
 * Call when conn, which was OPENING or CHECKING, has failed, and so no longer belongs to the pool. The pool backs off
 * before the next attempt, which opens a single connection. (If all clients in the queue keep waiting, another attempt
 * begins after each half second without an answer.) The back-off is 50 ms at first and doubles up to 15 s (up to 400 ms
 * while clients ask), with a jitter of +-20 %. As long as opening fails, no connection is closed for its age.
 *
 * Waiters in the queue are refused with *why at once if the pool has no other connection, and none is being opened.
 * While the pool backs off, newcomers are refused, too: policy_borrow calls ops->wake with the present time, and then
 * policy_tick calls on_refuse. In an outage a client waits for the next attempt (of this pool, or of another shard or
 * pool of these hosts) until half a second after the back-off, and at most a second. The client does not wait at all if
 * the last attempt got no answer, because the next may hang as long. These waiters keep waiting:
 *   - with OUTAGE_HOLD, all waiters, for hold_us from their arrival or the beginning of the outage, whichever is later;
 *     when the outage is over, timeout_us begins for them;
 *   - with OUTAGE_WAIT, all waiters, for timeout_us;
 *   - waiters that were in the queue when the pool lost its last connection, which was lent: for timeout_us, because
 *     PostgreSQL is probably restarting;
 *   - after 57P01 (PostgreSQL has accepted the login, and an administrator has ended the session) and after 53200 (the
 *     next attempt may find the memory), all waiters, for timeout_us;
 *   - after CF_TOO_MANY (PostgreSQL's 53300), all waiters, for timeout_us; for 30 s, the pool's limit is then the
 *     number of connections that the pool has (at least 1).
 *
 * If is_fatal (a wrong password, an unknown database), all waiters are refused at once, unless the pool is paused.
 * After an outage, connections are opened one by one at first, then two at a time, and so on up to opens_at_once.
 */
void policy_conn_failed(struct policy *p, struct policy_conn *conn, enum connect_failure kind, bool is_fatal,
			const struct fail *why, uint64_t now_us);
void policy_ping_done(struct policy *p, struct policy_conn *conn, bool ok, uint64_t now_us); /* closes conn if !ok */
/* Call when conn, in any state, was closed by pgweir or by PostgreSQL, and no longer belongs to the pool. With
 * upstream_may_be_down, the loss of an idle, pinging or lent connection raises the epoch: connections that were
 * verified earlier are pinged before they are lent. Counts no close: the policy has counted a close that it asked for,
 * and the owner counts all others. */
void policy_conn_gone(struct policy *p, struct policy_conn *conn, bool upstream_may_be_down, uint64_t now_us);
/* --- policy_supply.c and policy_upkeep.c: connections that no client waits for. --- */
/* Pings conn, which is idle; if conn is NULL, pings the longest idle connection. Returns false if none is idle. */
bool policy_ping_idle(struct policy *p, struct policy_conn *conn, uint64_t now_us);
/* Pings an idle connection or, below pool_size, opens a new one. Does nothing while one is being pinged or opened. */
void policy_stock_up(struct policy *p, uint64_t now_us);
/* Call when the upstream may be down: idle connections are then pinged before they are lent. */
void policy_distrust(struct policy *p, uint64_t now_us);

/* --- policy_upkeep.c: time, settings, pause. --- */
/* Handles what is due. Returns the time of the next call, or 0 if nothing will be due. */
uint64_t policy_tick(struct policy *p, uint64_t now_us);
void policy_reconfigure(struct policy *p, const struct policy_settings *settings, uint64_t now_us);
/* Stops lending: connections that are not lent are closed now, lent ones when they are returned. Waiters stay in the
 * queue; they are not refused for failures, but do time out. If clients wait and opening has not failed, OPENING
 * connections are kept, and each is lent once, to the first in the queue, after its login. */
void policy_pause(struct policy *p, uint64_t now_us);
/* Ends a pause, or a time in which policy_tick() was not called. Limits on waiting begin anew. Opens connections at
 * once, even during a back-off. */
void policy_resume(struct policy *p, uint64_t now_us);
void policy_warm(struct policy *p, uint64_t now_us); /* keeps min_idle from now on, as after a first borrow */
/* Closes all connections: lent ones when they are returned, all others now (OPENING and PINGING ones too). Connections
 * for the waiters are opened anew. why: RR_RELOAD, or a reason after which min_idle is not kept until the next
 * borrow. */
void policy_close_all(struct policy *p, enum recycle_reason why, uint64_t now_us);
/* Does policy_close_all() with RR_RELOAD, but keeps OPENING connections as policy_pause() does. */
void policy_reconnect(struct policy *p, uint64_t now_us);
/* policy_refuse.c: refuses all waiters in the queue. */
void policy_refuse_all(struct policy *p, const struct fail *why, enum request_failure kind, uint64_t now_us);

struct policy_counts {
	bool is_paused;
	uint32_t opening, idle, pinging, lent, closing, waiting, overflow; /* overflow: connections above pool_size */
	uint32_t washing; /* lent connections that are being cleaned, or asked a query of pgweir's own */
	/* connections on their way here from other shards (policy_shared.h), which the other counts leave out */
	uint32_t in_transfer;
	uint64_t oldest_waiter_us; /* since_us of the first in the queue; 0 if the queue is empty */
	uint64_t backoff_until_us; /* 0 if the pool does not back off */
	struct policy_outage outage;
};
void policy_get_counts(const struct policy *p, struct policy_counts *out);
/* policy_obstacle.c: sets *why; its detail says why t is still in the queue, and its hint says what would help. Returns
 * the time at which the wait of t ends. */
uint64_t policy_explain_wait(const struct policy *p, const struct policy_waiter *t, uint64_t now_us, struct fail *why);
/* policy_shard.c. Returns the position of t in the queue, from 1 on; an estimate if the pool is split into shards. */
uint32_t policy_queue_position(const struct policy *p, const struct policy_waiter *t, uint64_t now_us);
/* Returns true if a client waits, and no connection is being opened, pinged or washed for it. The client may wait here,
 * in another shard, or in a pool that needs a place under a cap. Borrowers should then return connections soon. */
bool policy_has_unserved_waiters(const struct policy *p);
/* Returns for how many µs a borrower may keep conn unused while no client waits; 0 if conn is to be closed. */
uint64_t policy_keep_us(const struct policy *p, const struct policy_conn *conn, uint64_t now_us);
