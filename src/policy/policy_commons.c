#include "policy/policy_commons.h"
#include "policy/policy_budget.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct policy_commons *
policy_commons_new(uint64_t seed)
{
	struct policy_commons *c = calloc(1, sizeof(*c));

	if (c == NULL || (c->total = policy_budget_new(0)) == NULL) {
		free(c);
		return NULL;
	}
	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->names_lock, NULL);
	TAILQ_INIT(&c->untold);
	c->seed = seed;
	return c;
}

void
policy_commons_free(struct policy_commons *c)
{
	if (c == NULL)
		return;
	for (int i = 0; i < POLICY_KINDS; i++)
		assert(c->named[i] == NULL);
	assert(TAILQ_EMPTY(&c->untold));
	policy_budget_free(c->total);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->names_lock);
	free(c);
}

struct policy_worker *
policy_worker_new(struct policy_commons *c, uint32_t number, void (*tell)(void *owner), void *owner,
		  const struct policy_waiter_ops *waiter_ops)
{
	struct policy_worker *worker = calloc(1, sizeof(*worker));

	if (worker == NULL)
		return NULL;
	*worker = (struct policy_worker){ .commons = c, .number = number, .tell = tell, .owner = owner };
	worker->waiter_ops = waiter_ops;
	TAILQ_INIT(&worker->orders);
	return worker;
}

void
policy_worker_free(struct policy_worker *worker)
{
	if (worker == NULL)
		return;
	assert(TAILQ_EMPTY(&worker->orders));
	if (worker->state == WORKER_UNTOLD)
		TAILQ_REMOVE(&worker->commons->untold, worker, link);
	free(worker);
}

void
policy_worker_set_silent(struct policy_worker *worker, struct policy_worker *own, bool is_silent, uint64_t now_us)
{
	uint32_t bit = 1u << worker->number;

	if (is_silent)
		atomic_fetch_or_explicit(&worker->commons->silent, bit, memory_order_relaxed);
	else
		atomic_fetch_and_explicit(&worker->commons->silent, ~bit, memory_order_relaxed);
	policy_worker_lock(own);
	budget_order_look_again(worker->commons->total);
	policy_worker_unlock_and_act(own, now_us);
}

/* --- Names. --- */

/* Makes an object that begins on a cache line. The key is stored after the object. */
static struct policy_named *
make_named(struct policy_commons *commons, char kind, const void *key, size_t len, size_t size)
{
	struct policy_named *n = aligned_alloc(64, (size + len + 63) / 64 * 64);

	if (n == NULL)
		return NULL;
	memset(n, 0, size);
	n->kind = kind;
	n->key_len = len;
	n->key = memcpy((char *)n + size, key, len);
	if (TABLE_ADD(commons->seed, commons->named[kind - 'a'], n->key, len, n))
		return n;
	free(n);
	return NULL;
}

void *
policy_named_get_or_create(struct policy_commons *commons, char kind, const void *key, size_t len, size_t size,
			   void (*init)(struct policy_commons *commons, void *made))
{
	struct policy_named *n;

	pthread_mutex_lock(&commons->names_lock);
	TABLE_FIND(commons->seed, commons->named[kind - 'a'], key, len, n);
	if (n == NULL && size > 0 && (n = make_named(commons, kind, key, len, size)) != NULL)
		init(commons, n);
	if (n != NULL)
		n->uses++;
	pthread_mutex_unlock(&commons->names_lock);
	return n;
}

void
policy_named_ref(struct policy_commons *commons, struct policy_named *n)
{
	pthread_mutex_lock(&commons->names_lock);
	n->uses++;
	pthread_mutex_unlock(&commons->names_lock);
}

bool
policy_named_put(struct policy_commons *commons, struct policy_named *n)
{
	bool is_unused;

	pthread_mutex_lock(&commons->names_lock);
	assert(n->uses > 0);
	is_unused = --n->uses == 0;
	if (is_unused)
		HASH_DELETE(hh, commons->named[n->kind - 'a'], n);
	pthread_mutex_unlock(&commons->names_lock);
	return is_unused;
}

/* --- Orders. --- */

void
policy_worker_lock(const struct policy_worker *worker)
{
	pthread_mutex_lock(&worker->commons->lock);
}

void
policy_worker_unlock(const struct policy_worker *worker)
{
	pthread_mutex_unlock(&worker->commons->lock);
}

void
policy_worker_wake(struct policy_worker *worker)
{
	if (worker->state != WORKER_AT_REST)
		return;
	TAILQ_INSERT_TAIL(&worker->commons->untold, worker, link);
	worker->state = WORKER_UNTOLD;
}

void
policy_worker_order(struct policy_orders *o, unsigned what)
{
	if (o->what == 0)
		TAILQ_INSERT_TAIL(&o->worker->orders, o, link);
	o->what |= what;
	policy_worker_wake(o->worker);
}

/* Takes o out of its worker's list, and removes all orders from o. Returns a copy of *o that still has the orders. */
static struct policy_orders
take_orders(struct policy_orders *o)
{
	struct policy_orders taken = *o;

	assert(o->what != 0);
	TAILQ_REMOVE(&o->worker->orders, o, link);
	o->what = o->answered_by = 0;
	o->arm_at_us = UINT64_MAX;
	return taken;
}

static void
tell_one(struct policy_worker *to)
{
	assert(to->state == WORKER_UNTOLD);
	TAILQ_REMOVE(&to->commons->untold, to, link);
	to->state = WORKER_TOLD;
	policy_worker_unlock(to);
	to->tell(to->owner);
	policy_worker_lock(to);
}

void
policy_worker_tell_others(struct policy_worker *worker)
{
	struct policy_worker *next;

	while ((next = TAILQ_FIRST(&worker->commons->untold)) != NULL &&
	       (next != worker || (next = TAILQ_NEXT(worker, link)) != NULL))
		tell_one(next);
}

void
policy_worker_unlock_and_act(struct policy_worker *worker, uint64_t now_us)
{
	struct policy_orders *first;

	if (worker->state == WORKER_UNTOLD) { /* tell() is not needed: the orders are carried out here */
		TAILQ_REMOVE(&worker->commons->untold, worker, link);
		worker->state = WORKER_AT_REST;
	}
	while ((first = TAILQ_FIRST(&worker->orders)) != NULL) {
		struct policy_orders orders = take_orders(first);

		policy_worker_unlock(worker);
		if (orders.ops != NULL)
			orders.ops->obey(orders.pool, &orders, now_us);
		policy_worker_lock(worker);
	}
	while (!TAILQ_EMPTY(&worker->commons->untold))
		tell_one(TAILQ_FIRST(&worker->commons->untold));
	policy_worker_unlock(worker);
}

void
policy_worker_run_orders(struct policy_worker *worker, uint64_t now_us)
{
	policy_worker_lock(worker);
	if (worker->state == WORKER_TOLD)
		worker->state = WORKER_AT_REST;
	policy_worker_unlock_and_act(worker, now_us);
}

void
policy_worker_forget(struct policy_orders *o)
{
	policy_worker_lock(o->worker);
	if (o->what != 0)
		take_orders(o);
	policy_worker_unlock(o->worker);
}
