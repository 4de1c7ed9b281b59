/*
 * src/policy/policy_commons.h - what the pools of all workers share: the caps over several pools, the circuits of
 * upstreams, and the one lock over them.
 *
 * A policy worker is a worker's side of it: its pools are used by one thread. A pool never touches one of another one.
 * What it wants of that one (to look again, to give up an idle connection) is an order, which is noted under the lock,
 * and carried out by policy_worker_run_orders() on the other thread. Orders to its own pools are carried out at once,
 * when the lock is free again.
 *
 * Always: the lock is held for loops over pools at most, without a system call, an allocation, or a call out of
 *         src/policy/; and only when a connection is opened, closing or gone, when one for which somebody waits can't
 *         be opened, while a cap is tight, and while a circuit is open.
 */
#pragma once

#include "base/table.h"
#include "policy/policy.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

struct policy_budget; /* policy_budget.h */
struct policy_circuit; /* policy_circuit.h */

TAILQ_HEAD(policy_order_list, policy_orders);
TAILQ_HEAD(policy_worker_list, policy_worker);

#define POLICY_KINDS                                                                                                   \
	('z' - 'a' + 1) /* c: circuits. d, h, t, u: budgets. f: pool_fresh. k: clusters. w: shared policies */

/* Others call the functions below; only src/policy/ looks inside, but for total. */
struct policy_commons {
	pthread_mutex_t lock; /* guards budgets, circuits, orders, and what members have in them */
	struct policy_worker_list untold; /* policy workers with new orders */
	struct policy_budget *total; /* the cap over all pools: max_server_connections */
	pthread_mutex_t names_lock; /* guards the tables; taken when a pool is configured or freed, and by reads */
	uint64_t seed; /* of the tables' hashes, and of jitter */
	struct policy_named *named[POLICY_KINDS]; /* a table for each kind */
	_Atomic uint32_t silent; /* a bit for each policy worker whose thread does not answer; written by one thread */
};

enum policy_worker_state {
	WORKER_AT_REST,
	WORKER_UNTOLD, /* there are orders: it is in commons->untold */
	WORKER_TOLD /* ... it was told so, and has not begun to hear them */
};

struct policy_worker {
	struct policy_commons *commons;
	uint32_t number;
	void (*tell)(void *owner);
	void *owner;
	const struct policy_waiter_ops *borrowers;
	_Atomic uint32_t turns; /* of the loop of its thread, which alone counts them */
	struct policy_order_list orders; /* not carried out yet */
	enum policy_worker_state state;
	TAILQ_ENTRY(policy_worker) link;
};

/* Returns NULL without memory. */
struct policy_commons *policy_commons_new(uint64_t seed);
void policy_commons_free(struct policy_commons *c); /* after its policy workers and pools; NULL is fine */
/* number: its worker's, below SHARDS_MAX, another one for each policy worker. tell(owner) is called on any thread,
 * without the lock, when policy_worker_run_orders() is due. borrowers: NULL if nobody borrows there. Returns NULL
 * without memory.
 */
struct policy_worker *policy_worker_new(struct policy_commons *c, uint32_t number, void (*tell)(void *owner),
					void *owner, const struct policy_waiter_ops *borrowers);
/* r's thread does not answer, or does again: while it does not, nothing is sent there, asked of it, or left to it. Call
 * it on one thread, always the same: own is its policy worker. */
void policy_worker_set_silent(struct policy_worker *r, struct policy_worker *own, bool is_silent, uint64_t now_us);
/* After its pools, when nobody can tell it anything any more: its orders are gone with their pools. NULL is fine. */
void policy_worker_free(struct policy_worker *r);
/* Carries out what others want of the pools of this policy worker; call it on their thread. */
void policy_worker_run_orders(struct policy_worker *r, uint64_t now_us);
/* A turn of that thread's loop is over: what has come to its pools meanwhile has had its effect. */
static inline void
policy_worker_count_turn(struct policy_worker *r)
{
	atomic_store_explicit(&r->turns, atomic_load_explicit(&r->turns, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

static inline bool
policy_worker_is_silent(const struct policy_worker *r)
{
	return (atomic_load_explicit(&r->commons->silent, memory_order_relaxed) & 1u << r->number) != 0;
}

/* --- What pools share by its name, and is there while one of them uses it. --- */

/* The first member of such a thing. */
struct policy_named {
	uint32_t uses;
	char kind;
	size_t key_len;
	void *key; /* behind the thing */
	UT_hash_handle hh;
};
/* Returns the one of this kind (a letter) and key, the caller's until policy_named_put; NULL: no memory, or nobody has
 * it and size is 0. A new one has so many bytes, zeroed behind its name, and init is called. On any thread. */
void *policy_named_get(struct policy_commons *all, char kind, const void *key, size_t len, size_t size,
		       void (*init)(struct policy_commons *all, void *made));
void policy_named_ref(struct policy_commons *all, struct policy_named *n); /* once more */
/* Returns true if nobody has it any more: the caller frees it. */
bool policy_named_put(struct policy_commons *all, struct policy_named *n);

/* --- policy_budget.c: max_db_connections, max_user_connections and a host's budget. --- */

/* The one that all pools of a database, tenant, user or host's name share, without a limit at first. kind keeps apart
 * what may be called the same: 'd', 't', 'u', 'h'. The caller's until policy_budget_put; NULL: no memory. */
struct policy_budget *policy_budget_get(struct policy_commons *all, char kind, const char *name, size_t len);
void policy_budget_put(struct policy_commons *all,
		       struct policy_budget *b); /* after its pools have left; NULL is fine */

/* --- Orders: for src/policy/. --- */

struct policy_order_ops {
	/* Under the lock, on the pool's thread: budgets are told of it (caps_publish), from now on at each change. */
	void (*publish)(struct policy *p);
	/* On the pool's thread, without the lock. *o: what is ordered. */
	void (*obey)(struct policy *p, const struct policy_orders *o, uint64_t now_us);
};

/* Orders of a pool, as a set. */
enum policy_order {
	ORDER_PUBLISH = 1, /* a cap is tight */
	ORDER_GIVE_UP = 2, /* an idle connection: budget_member.asked */
	ORDER_STIR = 4, /* policy_stir() is due ... */
	ORDER_NEWS = 8, /* ... or is if somebody waits */
	ORDER_ABANDON = 16, /* its connections whose login has not ended */
	ORDER_SEEK = 32, /* another shard of its pool wants its idle connections (policy_shared.h) */
	ORDER_ANSWER = 64, /* answered_by has more */
	ORDER_ARM = 128 /* policy_arm() is due with arm_at_us */
};

/* Orders to a pool, which embeds it. All but the first three are guarded by the lock. */
struct policy_orders {
	const struct policy_order_ops
	    *ops; /* NULL: nobody obeys, as with a keeper's: its policy worker is told of them */
	struct policy *pool;
	struct policy_worker *worker;
	unsigned what; /* enum policy_order; 0: nothing, and it is not in the policy worker's list */
	uint32_t answered_by; /* a bit for each shard that has none for this one */
	uint64_t arm_at_us; /* UINT64_MAX: nothing */
	TAILQ_ENTRY(policy_orders) link;
};

void policy_worker_lock(const struct policy_worker *r);
void policy_worker_unlock(const struct policy_worker *r);
/* Under the lock. what: enum policy_order. policy_worker_act() must follow. */
void policy_worker_order(struct policy_orders *o, unsigned what);
/* Under the lock: r->tell() is due, which policy_worker_act() or policy_worker_tell() calls. */
void policy_worker_wake(struct policy_worker *r);
/* Called with r's lock, which it gives up meanwhile: tells all other policy workers that have been woken, or have
 * orders. Those of r wait for policy_worker_act(). */
void policy_worker_tell(struct policy_worker *r);
/* Called with the lock, returns without it: carries out the orders to this policy worker, and tells others theirs. */
void policy_worker_act(struct policy_worker *r, uint64_t now_us);
void policy_worker_forget(struct policy_orders *o); /* the pool goes */
