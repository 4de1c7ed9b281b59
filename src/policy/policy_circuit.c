#include "policy/policy_circuit.h"
#include "base/clock.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MIN_US (50 * 1000u)
#define BACKOFF_MAX_US (400 * 1000u)
#define TRIALS_MOST 16

struct policy_circuit {
	struct policy_named named;
	struct circuit_news news;
	/* round and is_open repeat what news says (is_open: failed_count > 0), so that both can be read without the
	 * lock. A pool that reads an old value is woken later, or gets false from circuit_begin_attempt(). */
	_Atomic uint64_t round;
	_Atomic bool is_open;
	uint64_t answered_us; /* when the host last answered */
	uint64_t tried_us; /* when the last trial began */
	uint32_t trials; /* trials in progress */
	uint64_t random;
	TAILQ_HEAD(, circuit_member) members;
};

/* If m has a circuit, takes the lock and returns the circuit; else returns NULL. */
static struct policy_circuit *
lock_circuit(const struct circuit_member *m)
{
	if (m->circuit != NULL)
		policy_worker_lock(m->orders->worker);
	return m->circuit;
}

static void
unlock_circuit(const struct circuit_member *m)
{
	policy_worker_unlock(m->orders->worker);
}

void
circuit_join(struct policy_circuit *c, struct circuit_member *m, struct policy_orders *orders)
{
	*m = (struct circuit_member){ .circuit = c, .orders = orders };
	if (lock_circuit(m) == NULL)
		return;
	m->round = c->news.failed_count > 0 ? 0 : c->news.round;
	TAILQ_INSERT_TAIL(&c->members, m, link);
	unlock_circuit(m);
}

void
circuit_leave(struct circuit_member *m)
{
	struct policy_circuit *c = lock_circuit(m);

	if (c == NULL)
		return;
	TAILQ_REMOVE(&c->members, m, link);
	unlock_circuit(m);
	m->circuit = NULL;
}

static bool
seems_open(const struct policy_circuit *c)
{
	return c != NULL && atomic_load_explicit(&c->is_open, memory_order_relaxed);
}

bool
circuit_is_closed(const struct circuit_member *m)
{
	return m->circuit != NULL && !seems_open(m->circuit);
}

/* Call this under the lock. */
static uint64_t
next_trial_us(const struct policy_circuit *c)
{
	if (c->news.failed_count == 0)
		return 0;
	if (c->trials == 0)
		return c->news.backoff_until_us;
	return c->trials < TRIALS_MOST ? c->tried_us + TRIAL_EVERY_US : UINT64_MAX;
}

uint64_t
circuit_due_us(const struct circuit_member *m)
{
	uint64_t due_us;

	if (!seems_open(m->circuit))
		return 0;
	due_us = next_trial_us(lock_circuit(m));
	unlock_circuit(m);
	return due_us;
}

bool
circuit_begin_attempt(const struct circuit_member *m, bool *is_trial, uint64_t now_us)
{
	struct policy_circuit *c = lock_circuit(m);
	bool is_allowed;

	*is_trial = false;
	if (c == NULL)
		return true;
	is_allowed = now_us >= next_trial_us(c);
	*is_trial = is_allowed && c->news.failed_count > 0;
	if (*is_trial) {
		assert(c->trials < TRIALS_MOST);
		c->trials++;
		c->tried_us = now_us;
	}
	unlock_circuit(m);
	return is_allowed;
}

/* Call this under the lock; policy_worker_unlock_and_act() must follow. */
static void
wake_others(const struct circuit_member *m, bool even_without_waiters)
{
	struct circuit_member *other;

	TAILQ_FOREACH(other, &m->circuit->members, link)
		if (other != m)
			policy_worker_order(other->orders, even_without_waiters ? ORDER_WAKE_IF_WAITING | ORDER_WAKE
										: ORDER_WAKE_IF_WAITING);
}

static void
publish(struct policy_circuit *c)
{
	c->news.round++;
	atomic_store_explicit(&c->round, c->news.round, memory_order_relaxed);
	atomic_store_explicit(&c->is_open, c->news.failed_count > 0, memory_order_relaxed);
}

void
circuit_note_trial_end(const struct circuit_member *m, uint64_t now_us)
{
	struct policy_circuit *c = lock_circuit(m);

	assert(c->trials > 0);
	c->trials--;
	wake_others(m, false);
	policy_worker_unlock_and_act(m->orders->worker, now_us);
}

void
circuit_note_answer(const struct circuit_member *m, uint64_t now_us)
{
	struct policy_circuit *c = lock_circuit(m);

	if (c == NULL)
		return;
	c->answered_us = now_us;
	if (c->news.failed_count > 0) {
		c->news.failed_count = 0;
		publish(c);
		wake_others(m, true); /* another pool may be in an outage, too */
	}
	policy_worker_unlock_and_act(m->orders->worker, now_us);
}

void
circuit_note_heard(const struct circuit_member *m, uint64_t heard_us, uint64_t now_us)
{
	const struct policy_circuit *c = lock_circuit(m);
	bool is_later;

	if (c == NULL)
		return;
	is_later = heard_us > c->news.failed_us;
	unlock_circuit(m);
	if (is_later)
		circuit_note_answer(m, now_us);
}

bool
circuit_is_failure_of_host(enum connect_failure kind, const struct fail *why)
{
	return kind == CF_DNS || kind == CF_REFUSED || kind == CF_TIMEOUT ||
	       (kind == CF_OTHER && strcmp(why->sqlstate, "57P03") == 0);
}

static void
note_failure(struct policy_circuit *c, enum connect_failure kind, const struct fail *why, uint64_t started_us,
	     uint64_t now_us)
{
	struct circuit_news *n = &c->news;

	n->backoff_until_us = now_us + backoff_us(n->failed_count, BACKOFF_MIN_US, BACKOFF_MAX_US, &c->random);
	n->failed_count++;
	n->failed_us = now_us;
	n->kind = kind;
	n->outlook = circuit_outlook_of(kind, started_us, now_us);
	n->why = *why;
	publish(c);
}

bool
circuit_note_failure(const struct circuit_member *m, enum connect_failure kind, bool is_fatal, const struct fail *why,
		     uint64_t started_us, uint64_t now_us)
{
	struct policy_circuit *c;
	bool is_news;

	if (is_fatal || kind == CF_AUTH || kind == CF_TOO_MANY) {
		circuit_note_answer(m, now_us);
		return true;
	}
	if (!circuit_is_failure_of_host(kind, why) || (c = lock_circuit(m)) == NULL)
		return true;
	is_news = started_us >= c->answered_us;
	/* An attempt that began before the last failure has failed for the same reason, and is not counted. */
	if (is_news && (c->news.failed_count == 0 || started_us > c->news.failed_us)) {
		note_failure(c, kind, why, started_us, now_us);
		wake_others(m, false);
	}
	policy_worker_unlock_and_act(m->orders->worker, now_us);
	return is_news;
}

void
circuit_end_backoff(const struct circuit_member *m)
{
	struct policy_circuit *c = lock_circuit(m);

	if (c == NULL)
		return;
	c->news.backoff_until_us = 0;
	unlock_circuit(m);
}

bool
circuit_get_news(const struct circuit_member *m, bool is_waiting, struct circuit_news *news)
{
	const struct policy_circuit *c = m->circuit;

	if (c == NULL || atomic_load_explicit(&c->round, memory_order_relaxed) == m->round ||
	    (seems_open(c) && !is_waiting))
		return false;
	lock_circuit(m);
	*news = c->news;
	unlock_circuit(m);
	return news->failed_count == 0 || is_waiting;
}

/* --- All circuits. --- */

static void
init_circuit(struct policy_commons *commons, void *made)
{
	struct policy_circuit *c = made;

	c->random = commons->seed;
	TAILQ_INIT(&c->members);
}

struct policy_circuit *
policy_circuit_get_or_create(struct policy_commons *commons, const char *name)
{
	return policy_named_get_or_create(commons, 'c', name, strlen(name), sizeof(struct policy_circuit),
					  init_circuit);
}

void
policy_circuit_put(struct policy_commons *commons, struct policy_circuit *c)
{
	if (c == NULL || !policy_named_put(commons, &c->named))
		return;
	assert(TAILQ_EMPTY(&c->members));
	free(c);
}
