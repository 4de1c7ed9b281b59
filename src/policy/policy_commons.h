/*
 * src/policy/policy_commons.h - the state that the pools of all workers share: the caps over several pools, the
 * circuits of upstreams, and the one lock over both.
 *
 * A policy worker (struct policy_worker) has all that the policy knows of a worker (process/worker.h). The pools of a
 * worker are used by that worker's thread alone. A pool never touches a pool of another worker. If a pool wants another
 * pool to do something (to look again for a connection, to give up an idle connection), the first pool notes an order
 * under the lock. The other pool's thread carries the order out in policy_worker_run_orders(). An order to a pool of
 * the same worker is carried out as soon as the lock is free again.
 *
 * Always: code that holds the lock does no more than loop over pools; it makes no system call, allocates nothing, and
 *         calls nothing outside src/policy/. Lending and returning a connection take the lock only if it is opened,
 *         closed, or transferred to another shard, if a client must wait, while a cap is tight, or while a circuit is
 *         open.
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
	('z' - 'a' + 1) /* c: circuits; d, h, t, u: budgets; f: pool_fresh; k: clusters; w: shared policies */

/* Other folders use only the field `total`, and the functions below. */
struct policy_commons {
	pthread_mutex_t lock; /* guards budgets, circuits, orders, and their members */
	struct policy_worker_list untold; /* policy workers with orders for which tell() was not called yet */
	struct policy_budget *total; /* the cap over all pools: max_server_connections */
	/* guards the tables in `named`; taken when a pool is configured or freed, and for reads of standbys */
	pthread_mutex_t names_lock;
	uint64_t seed; /* for the tables' hashes, and for jitter */
	struct policy_named *named[POLICY_KINDS]; /* a table for each kind, a letter of POLICY_KINDS */
	_Atomic uint32_t silent; /* a bit for each policy worker whose thread does not answer; one thread writes this */
};

enum policy_worker_state {
	WORKER_AT_REST,
	WORKER_UNTOLD, /* the policy worker has orders, and is in commons->untold */
	WORKER_TOLD /* tell() was called, and the policy worker has not yet begun to carry out its orders */
};

struct policy_worker {
	struct policy_commons *commons;
	uint32_t number; /* the worker's number */
	void (*tell)(void *owner); /* see policy_worker_new() */
	void *owner;
	const struct policy_waiter_ops *waiter_ops; /* NULL if no client borrows on this worker */
	_Atomic uint32_t turns; /* turns of its thread's loop so far; only that thread writes this */
	struct policy_order_list orders; /* orders that are not carried out yet */
	enum policy_worker_state state;
	TAILQ_ENTRY(policy_worker) link;
};

/* Returns NULL if out of memory. */
struct policy_commons *policy_commons_new(uint64_t seed);
void policy_commons_free(struct policy_commons *c); /* call after freeing policy workers and pools; c may be NULL */
/* number: the worker's number, below SHARDS_MAX; no two policy workers have the same. tell(owner) is called on any
 * thread, without the lock, when policy_worker_run_orders() is due. waiter_ops: the calls to clients that borrow on
 * this worker; NULL if there are none. Returns NULL if out of memory. */
struct policy_worker *policy_worker_new(struct policy_commons *c, uint32_t number, void (*tell)(void *owner),
					void *owner, const struct policy_waiter_ops *waiter_ops);
/* Call when the worker's thread does not answer (is_silent), or answers again. While the worker is silent, its pools
 * are sent no connection and asked for none, and no free place is kept for them. Always call this on the same thread,
 * whose own policy worker is `own`. */
void policy_worker_set_silent(struct policy_worker *worker, struct policy_worker *own, bool is_silent, uint64_t now_us);
/* Call this after the worker's pools and their orders were freed, and no thread can call tell(). NULL is fine. */
void policy_worker_free(struct policy_worker *worker);
/* Carries out the orders to the pools of this policy worker; call it on their thread. */
void policy_worker_run_orders(struct policy_worker *worker, uint64_t now_us);
/* Call when a turn of the worker's loop is over, so the connections that came in that turn were lent or made idle. */
static inline void
policy_worker_count_turn(struct policy_worker *worker)
{
	atomic_store_explicit(&worker->turns, atomic_load_explicit(&worker->turns, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

static inline bool
policy_worker_is_silent(const struct policy_worker *worker)
{
	return (atomic_load_explicit(&worker->commons->silent, memory_order_relaxed) & 1u << worker->number) != 0;
}

/* --- Objects that pools share by name, each of which lives as long as a pool uses it. --- */

/* Must be the first member of each object that is shared by name. */
struct policy_named {
	uint32_t uses; /* the number of references */
	char kind; /* a letter: see POLICY_KINDS */
	size_t key_len;
	void *key; /* stored after the object */
	UT_hash_handle hh;
};
/* Returns the object of this kind (a letter) and key, which stays valid until policy_named_put. If there is no such
 * object, makes one of `size` bytes, zeroed except for its struct policy_named, and calls init. Returns NULL if out
 * of memory, or if there is no such object and `size` is 0. May be called on any thread. */
void *policy_named_get_or_create(struct policy_commons *commons, char kind, const void *key, size_t len, size_t size,
				 void (*init)(struct policy_commons *commons, void *made));
void policy_named_ref(struct policy_commons *commons, struct policy_named *n); /* takes one more reference */
/* Releases a reference. Returns true if that was the last reference: the caller then frees the object. */
bool policy_named_put(struct policy_commons *commons, struct policy_named *n);

/* --- policy_budget.c: max_db_connections, max_user_connections and a host's budget. --- */

/* Returns the budget that all pools of the database ('d'), tenant ('t'), user ('u') or host ('h') of this name share. A
 * new budget has no limit. The budget stays valid until policy_budget_put. Returns NULL if out of memory. */
struct policy_budget *policy_budget_get_or_create(struct policy_commons *commons, char kind, const char *name,
						  size_t len);
/* Releases the caller's reference, after the caller's pool or connection has left the budget. NULL is fine. */
void policy_budget_put(struct policy_commons *commons, struct policy_budget *b);

/* --- Orders: for src/policy/. --- */

struct policy_order_ops {
	/* Called under the lock, on the pool's thread. Tells the budgets how the pool uses its connections
	 * (caps_publish), and makes the pool publish each later change. */
	void (*publish)(struct policy *p);
	/* Called on the pool's thread, without the lock. Carries out *o. */
	void (*obey)(struct policy *p, const struct policy_orders *o, uint64_t now_us);
};

/* The kinds of orders to a pool: bits of policy_orders.what. */
enum policy_order {
	ORDER_PUBLISH = 1, /* a cap is tight */
	ORDER_GIVE_UP = 2, /* the pool must give up idle connections: budget_member.asked */
	ORDER_WAKE = 4, /* policy_wake() is due */
	ORDER_WAKE_IF_WAITING = 8, /* policy_wake() is due if clients wait */
	ORDER_ABANDON = 16, /* the pool must close connections whose login has not ended */
	ORDER_GIVE_IDLE = 32, /* another shard of the pool wants idle connections (policy_shared.h) */
	ORDER_ANSWERED = 64, /* other shards have answered this shard's ORDER_GIVE_IDLE: answered_by has new bits */
	ORDER_ARM = 128 /* policy_arm() is due with arm_at_us */
};

/* The orders to a pool, embedded in the pool. The lock guards all fields but the first three. */
struct policy_orders {
	/* NULL if the orders are not for a pool, but for the keeper of a budget (policy_keeper.h): then an order only
	 * makes the policy worker's tell() due */
	const struct policy_order_ops *ops;
	struct policy *pool;
	struct policy_worker *worker;
	unsigned what; /* enum policy_order; if 0, the pool is not in the policy worker's list */
	uint32_t answered_by; /* a bit for each shard that has answered that it has no idle connection left */
	uint64_t arm_at_us; /* the time for ORDER_ARM; UINT64_MAX without this order */
	TAILQ_ENTRY(policy_orders) link;
};

void policy_worker_lock(const struct policy_worker *worker);
void policy_worker_unlock(const struct policy_worker *worker);
/* Call this under the lock. what: enum policy_order. policy_worker_unlock_and_act() must follow. */
void policy_worker_order(struct policy_orders *o, unsigned what);
/* Makes the worker's tell() due. Call with the lock; then call policy_worker_unlock_and_act() or
 * policy_worker_tell_others(). */
void policy_worker_wake(struct policy_worker *worker);
/* Calls tell() for each policy worker that was woken or has orders, except `worker`. Call this under the lock, which is
 * released during each tell(). Orders to pools of `worker` wait for policy_worker_unlock_and_act(). */
void policy_worker_tell_others(struct policy_worker *worker);
/* Carries out the orders to the pools of `worker`, and calls tell() for other policy workers that have orders. Call
 * this with the lock, which is released. */
void policy_worker_unlock_and_act(struct policy_worker *worker, uint64_t now_us);
void policy_worker_forget(struct policy_orders *o); /* withdraws all orders in o, whose pool is being freed */
