/* src/policy/policy_shared.c - the state that the shards of one pool share: places, waiters, outages, transfers. See
 * policy_shared.h and policy_shard.h. This file calls no function of a pool: it gives orders to other shards. */
#include "policy/policy_shard.h"

#include <assert.h>

static uint32_t
get(const _Atomic uint32_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

static uint64_t
get_us(const _Atomic uint64_t *us)
{
	return atomic_load_explicit(us, memory_order_relaxed);
}

/* Call this under the lock, so no other thread writes *n. */
static void
add(_Atomic uint32_t *n, uint32_t by)
{
	atomic_store_explicit(n, get(n) + by, memory_order_relaxed);
	assert(get(n) <= INT32_MAX); /* no more is taken away than was added */
}

static void
set_us(_Atomic uint64_t *us, uint64_t to_us)
{
	atomic_store_explicit(us, to_us, memory_order_relaxed);
}

/* --- All shared policies. --- */

static void
init_shared(struct policy_commons *all, void *made)
{
	struct policy_shared *w = made;

	w->commons = all;
	for (unsigned i = 0; i < SHARDS_MAX; i++)
		set_us(&w->since_us[i], UINT64_MAX);
}

struct policy_shared *
policy_shared_get(struct policy_commons *all, const void *key, size_t len, bool may_make)
{
	return policy_named_get_or_create(all, 'w', key, len, may_make ? sizeof(struct policy_shared) : 0, init_shared);
}

/* Call this under the lock. */
static bool
is_freeable(const struct policy_shared *w)
{
	return w->is_orphan && get(&w->used) == 0;
}

void
policy_shared_put(struct policy_commons *all, struct policy_shared *w)
{
	bool is_unused;

	if (w == NULL || !policy_named_put(all, &w->named))
		return;
	pthread_mutex_lock(&all->lock);
	assert(get(&w->shard_count) == 0);
	w->is_orphan = true;
	is_unused = is_freeable(w);
	pthread_mutex_unlock(&all->lock);
	if (is_unused)
		free(w);
}

const void *
policy_shared_key(const struct policy_shared *w, size_t *len)
{
	*len = w->named.key_len;
	return w->named.key;
}

/* --- The lock, and orders. --- */

static struct policy_shared *
lock_shared(const struct policy_shard *m)
{
	if (m->shared != NULL)
		pthread_mutex_lock(&m->shared->commons->lock);
	return m->shared;
}

static void
unlock_shared(const struct policy_shared *w)
{
	pthread_mutex_unlock(&w->commons->lock);
}

/* Call this under the lock; policy_worker_unlock_and_act() must follow. what: ORDER_GIVE_IDLE; ORDER_WAKE_IF_WAITING if
 * a place has become free; or ORDER_WAKE_IF_WAITING | ORDER_WAKE if the shards are to look again for another reason. */
static void
order_shards(const struct policy_shared *w, uint32_t shards, unsigned what)
{
	for (; shards != 0; shards &= shards - 1) {
		struct policy_orders *o = w->orders_of[shard_first_of(shards)];

		assert(o == NULL || o->worker->commons == w->commons);
		if (o != NULL)
			policy_worker_order(o, what);
	}
}

/* --- Shards come and go. --- */

void
shard_join(struct policy_shard *m, struct policy_shared *w, uint32_t total, uint32_t live, uint32_t verified)
{
	*m = (struct policy_shard){ .shared = w, .orders = m->orders, .number = m->orders->worker->number };
	m->since_us = UINT64_MAX;
	assert(total >= live && live >= verified);
	lock_shared(m);
	assert(w->orders_of[m->number] == NULL);
	w->orders_of[m->number] = m->orders;
	if (get(&w->shard_count) == 0)
		set_us(&w->lowered_until_us, 0);
	add(&w->shard_count, 1);
	add(&w->used, total);
	add(&w->live, live);
	add(&w->verified, verified);
	unlock_shared(w);
}

void
shard_leave(struct policy_shard *m, uint32_t total, uint32_t live, uint32_t verified, uint64_t now_us)
{
	struct policy_shared *w = m->shared;

	if (w == NULL)
		return;
	shard_publish(m, 0, 0, 0, UINT64_MAX);
	lock_shared(m);
	assert(w->orders_of[m->number] == m->orders && get(&w->used) >= total);
	w->orders_of[m->number] = NULL;
	atomic_store_explicit(&w->in_use_bits, get(&w->in_use_bits) & ~(1u << m->number), memory_order_relaxed);
	add(&w->shard_count, -1u);
	add(&w->used, -total);
	add(&w->live, -live);
	add(&w->verified, -verified);
	if (total > 0) {
		order_shards(w, shard_waiting_bits_of_others(m), ORDER_WAKE_IF_WAITING);
		policy_worker_unlock_and_act(m->orders->worker, now_us);
	} else
		unlock_shared(w);
	m->shared = NULL;
	m->asked_us = m->place_made_us = 0;
}

/* --- Places. --- */

/* A connection that comes from another shard is verified, and is PC_NONE until it has a state here. */
static bool
is_verified(enum policy_conn_state state)
{
	return !policy_is_being_opened(state) && state != PC_CLOSING;
}

static bool
is_live(enum policy_conn_state state)
{
	return is_verified(state) || state == PC_OPENING;
}

bool
shard_pool_has_place(const struct policy_shard *m, uint32_t limit)
{
	return m->shared == NULL || get(&m->shared->used) < limit;
}

void
shard_take_place(struct policy_shard *m, enum policy_conn_state state)
{
	if (m->shared == NULL)
		return;
	add(&m->shared->used, 1);
	add(&m->shared->live, is_live(state));
}

void
shard_note_state(struct policy_shard *m, enum policy_conn_state from, enum policy_conn_state to)
{
	bool is_there = to != PC_NONE && to != PC_CLOSING;
	struct policy_shared *w = lock_shared(m);

	if (w == NULL)
		return;
	if (to == PC_NONE) {
		add(&w->used, -1u);
		m->has_unreported_place = true;
		m->has_no_place = false;
	}
	add(&w->live, (uint32_t)is_there - is_live(from));
	add(&w->verified, (uint32_t)is_there - is_verified(from));
	assert(get(&w->used) >= get(&w->live) && get(&w->live) >= get(&w->verified));
	unlock_shared(w);
}

void
shard_lower_pool_limit(struct policy_shard *m, uint32_t limit, uint64_t until_us)
{
	struct policy_shared *w = lock_shared(m);

	if (w == NULL)
		return;
	atomic_store_explicit(&w->lowered_limit, limit, memory_order_relaxed);
	set_us(&w->lowered_until_us, until_us);
	unlock_shared(w);
}

void
shard_report_change(struct policy_shard *m, bool is_in_use, uint64_t now_us)
{
	struct policy_shared *w = lock_shared(m);
	uint32_t own_bit = 1u << m->number;

	if (is_in_use != m->is_in_use) {
		atomic_store_explicit(&w->in_use_bits, get(&w->in_use_bits) ^ own_bit, memory_order_relaxed);
		order_shards(w, get(&w->in_use_bits) & ~own_bit, ORDER_WAKE_IF_WAITING | ORDER_WAKE);
	}
	if (m->has_unreported_place)
		order_shards(w, shard_waiting_bits_of_others(m), ORDER_WAKE_IF_WAITING);
	m->is_in_use = is_in_use;
	m->has_unreported_place = false;
	policy_worker_unlock_and_act(m->orders->worker, now_us);
}

uint32_t
shard_part_of(const struct policy_shard *m, uint32_t total)
{
	uint32_t shards, own_bit = 1u << m->number, count, rank;

	if (m->shared == NULL)
		return total;
	shards = get(&m->shared->in_use_bits) | own_bit;
	count = (uint32_t)__builtin_popcount(shards);
	rank = (uint32_t)__builtin_popcount(shards & (own_bit - 1));
	return total / count + (rank < total % count);
}

bool
shard_is_first(const struct policy_shard *m)
{
	const struct policy_shared *w = lock_shared(m);
	unsigned i = 0;

	if (w == NULL)
		return true;
	while (w->orders_of[i] == NULL)
		i++;
	unlock_shared(w);
	return i == m->number;
}

/* --- Outages. --- */

bool
shard_begin_outage(struct policy_shard *m, uint64_t since_us)
{
	struct policy_shared *w = lock_shared(m);
	bool is_first;

	if (w == NULL)
		return true;
	is_first = get_us(&w->pool_outage_since_us) == 0;
	if (is_first)
		set_us(&w->pool_outage_since_us, since_us);
	w->outage_bits |= 1u << m->number;
	unlock_shared(w);
	return is_first;
}

bool
shard_end_outage(struct policy_shard *m, struct policy_outage *o, bool is_over, uint64_t now_us)
{
	struct policy_shared *w = lock_shared(m);
	uint64_t since_us;

	if (w == NULL)
		return true;
	assert(is_over || o->since_us == 0 || (w->outage_bits & 1u << m->number) != 0);
	w->outage_bits &= ~(1u << m->number);
	w->held += o->held;
	w->refused += o->refused;
	since_us = is_over && w->outage_bits == 0 ? get_us(&w->pool_outage_since_us) : 0;
	if (since_us != 0) {
		*o = (struct policy_outage){ since_us, w->held, w->refused };
		set_us(&w->pool_outage_since_us, 0);
		w->held = w->refused = 0;
	}
	if (!is_over) {
		unlock_shared(w);
		return false;
	}
	order_shards(w, w->outage_bits, ORDER_WAKE_IF_WAITING | ORDER_WAKE);
	policy_worker_unlock_and_act(m->orders->worker, now_us);
	return since_us != 0;
}

/* Uses fences and not the lock, because shard_waited_before_loss() is called for each waiting request. A thread that
 * sees the lower number of connections also sees lost_us. */
void
shard_note_lost(struct policy_shard *m, uint64_t now_us)
{
	if (m->shared == NULL)
		return;
	set_us(&m->shared->lost_us, now_us);
	atomic_thread_fence(memory_order_release);
}

bool
shard_waited_before_loss(const struct policy_shard *m, uint64_t since_us)
{
	if (m->shared == NULL)
		return false;
	atomic_thread_fence(memory_order_acquire);
	return since_us <= get_us(&m->shared->lost_us);
}

/* --- The row. --- */

void
shard_publish(struct policy_shard *m, uint32_t idle, uint32_t waiting, uint32_t free_soon, uint64_t since_us)
{
	struct policy_shared *w = m->shared;
	struct shard_counts *own = &w->counts[m->number];
	uint64_t bits = (idle > 0 ? IDLE_BIT(m->number) : 0) | (waiting > 0 ? WAITING_BIT(m->number) : 0);

	if (since_us != m->since_us)
		set_us(&w->since_us[m->number], since_us);
	atomic_store_explicit(&own->idle, idle, memory_order_relaxed);
	atomic_store_explicit(&own->waiting, waiting, memory_order_relaxed);
	atomic_store_explicit(&own->free_soon, free_soon, memory_order_relaxed);
	if (bits != m->presence_bits)
		atomic_fetch_xor(&w->presence_bits, bits ^ m->presence_bits);
	if (bits != m->presence_bits || waiting > m->waiting)
		atomic_thread_fence(memory_order_seq_cst); /* see the top of policy_shard.h */
	m->since_us = since_us;
	m->waiting = waiting;
	m->presence_bits = bits;
	m->counts_if_idle = idle > 0 && waiting == 0 ? own : NULL;
	m->counts_if_waiting = idle == 0 && waiting > 0 ? own : NULL;
}

/* Returns how many clients wait in the shard, less the connections that are in transfer to it. */
static uint32_t
count_unserved(const struct policy_shared *w, unsigned number)
{
	uint32_t waiting = get(&w->counts[number].waiting), coming = get(&w->coming[number]);

	return waiting > coming ? waiting - coming : 0;
}

/* Returns true if a connection may be given to that shard. A shard with waiters of its own gives a connection only for
 * the first in the other shard's queue, so it gives one at a time. */
static bool
may_give_to(const struct policy_shard *m, unsigned number, uint64_t own_us)
{
	const struct policy_shared *w = m->shared;

	if (own_us == UINT64_MAX)
		return count_unserved(w, number) > 0;
	return get(&w->coming[number]) == 0 && get(&w->counts[number].waiting) > 0 && shard_is_ahead(m, number, own_us);
}

/* Returns a bit for each shard whose worker does not answer. */
static uint32_t
silent_shards(const struct policy_shared *w)
{
	return get(&w->commons->silent);
}

int
shard_choose(const struct policy_shard *m, uint64_t own_us)
{
	const struct policy_shared *w = m->shared;
	uint64_t oldest_us = UINT64_MAX;
	int chosen = -1;

	for (uint32_t shards = shard_waiting_bits_of_others(m) & ~silent_shards(w); shards != 0; shards &= shards - 1) {
		unsigned number = shard_first_of(shards);
		uint64_t since_us = get_us(&w->since_us[number]);

		if (!may_give_to(m, number, own_us) || (chosen >= 0 && since_us >= oldest_us))
			continue;
		chosen = (int)number;
		oldest_us = since_us;
	}
	return chosen;
}

bool
shard_is_starved(const struct policy_shard *m, int number, uint64_t own_us)
{
	uint64_t since_us = get_us(&m->shared->since_us[number]);

	return since_us < own_us && own_us - since_us > SHARD_STARVED_US;
}

struct shard_sums
shard_sum_pool(const struct policy_shard *m)
{
	const struct policy_shared *w = m->shared;
	struct shard_sums sum = { 0 };

	for (unsigned i = 0; i < SHARDS_MAX; i++) {
		sum.idle += get(&w->counts[i].idle);
		sum.waiting += get(&w->counts[i].waiting);
	}
	return sum;
}

bool
shard_has_unserved_others(const struct policy_shard *m)
{
	const struct policy_shared *w = m->shared;
	uint32_t shards = shard_waiting_bits_of_others(m) & ~silent_shards(w);

	while (shards != 0 &&
	       count_unserved(w, shard_first_of(shards)) <= get(&w->counts[shard_first_of(shards)].free_soon))
		shards &= shards - 1;
	return shards != 0;
}

/* Clients in another shard are assumed to have come at equal intervals since the first in its queue. */
uint32_t
shard_count_ahead(const struct policy_shard *m, uint64_t since_us, uint64_t now_us)
{
	const struct policy_shared *w = m->shared;
	uint64_t ahead = 0;

	for (uint32_t shards = w == NULL ? 0 : shard_waiting_bits_of_others(m); shards != 0; shards &= shards - 1) {
		uint64_t first_us = get_us(&w->since_us[shard_first_of(shards)]);

		if (first_us < since_us && first_us < now_us)
			ahead += get(&w->counts[shard_first_of(shards)].waiting) * (since_us - first_us) /
				 (now_us - first_us);
	}
	return (uint32_t)ahead;
}

/* --- Transfers. --- */

struct policy_worker *
shard_begin_transfer(struct policy_shard *m, struct policy_conn *conn, int number)
{
	struct policy_shared *w = lock_shared(m);
	struct policy_orders *to = w->orders_of[number];

	if (conn->round != get_us(&w->round) || count_unserved(w, (unsigned)number) == 0)
		to = NULL;
	if (to != NULL) {
		assert(conn->shared == NULL && to != m->orders);
		add(&w->coming[number], 1);
		conn->shared = w;
		conn->to_shard = (uint32_t)number;
	}
	unlock_shared(w);
	return to != NULL ? to->worker : NULL;
}

/* Call this under the lock. */
static void
end_transfer(struct policy_conn *conn)
{
	assert(get(&conn->shared->coming[conn->to_shard]) > 0);
	add(&conn->shared->coming[conn->to_shard], -1u);
	conn->shared = NULL;
}

void
shard_cancel_transfer(struct policy_shard *m, struct policy_conn *conn)
{
	struct policy_shared *w = lock_shared(m);

	end_transfer(conn);
	unlock_shared(w);
}

bool
shard_end_transfer(struct policy_shard *m, struct policy_conn *conn, bool *is_of_round)
{
	if (m->shared == NULL || conn->shared != m->shared || conn->to_shard != m->number)
		return false;
	lock_shared(m);
	end_transfer(conn);
	*is_of_round = conn->round == get_us(&m->shared->round);
	unlock_shared(m->shared);
	return true;
}

void
policy_shared_lost(struct policy_conn *conn, struct policy_worker *worker, uint64_t now_us)
{
	struct policy_shared *w = conn->shared;
	bool is_unused;

	assert(conn->state == PC_NONE);
	policy_worker_lock(worker);
	end_transfer(conn);
	add(&w->used, -1u);
	add(&w->live, -1u);
	add(&w->verified, -1u);
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		budget_note_transfer_lost(&w->cap_groups[i]);
	order_shards(w, (uint32_t)get_us(&w->presence_bits), ORDER_WAKE_IF_WAITING);
	is_unused = is_freeable(w);
	policy_worker_unlock_and_act(worker, now_us);
	if (is_unused)
		free(w);
}

void
shard_begin_pool_round(struct policy_shard *m)
{
	struct policy_shared *w = lock_shared(m);

	if (w == NULL)
		return;
	set_us(&w->round, get_us(&w->round) + 1);
	unlock_shared(w);
}

/* --- Asking. --- */

void
shard_ask(struct policy_shard *m, uint64_t now_us)
{
	struct policy_shared *w = m->shared;
	uint32_t shards = (uint32_t)(get_us(&w->presence_bits) >> 32) & ~(1u << m->number) &
			  ~silent_shards(w); /* shards with idle connections */

	m->is_to_ask = false;
	if (shards == 0)
		return;
	if (m->asked_us == 0) {
		m->asked_us = now_us;
		m->asked_of = 0;
	}
	m->asked_of |= shards;
	lock_shared(m);
	order_shards(w, shards, ORDER_GIVE_IDLE);
	policy_worker_unlock_and_act(m->orders->worker, now_us);
}

uint32_t
shard_count_expected(const struct policy_shard *m)
{
	uint32_t count = 0;

	for (uint32_t shards = m->asked_of; shards != 0; shards &= shards - 1)
		count += get(&m->shared->counts[shard_first_of(shards)].idle);
	return count;
}

void
shard_answer_none_idle(struct policy_shard *m, uint64_t now_us)
{
	struct policy_shared *w = m->shared;
	uint32_t shards = shard_waiting_bits_of_others(m);

	if (shards == 0)
		return;
	lock_shared(m);
	for (; shards != 0; shards &= shards - 1) {
		struct policy_orders *o = w->orders_of[shard_first_of(shards)];

		if (o == NULL || count_unserved(w, shard_first_of(shards)) == 0)
			continue;
		o->answered_by |= 1u << m->number;
		policy_worker_order(o, ORDER_ANSWERED);
	}
	policy_worker_unlock_and_act(m->orders->worker, now_us);
}
