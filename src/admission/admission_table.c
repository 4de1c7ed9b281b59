/* src/admission/admission_table.c - see admission/admission_table.h. */
#include "admission/admission_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>
/* Strangers choose the keys: the seed, that of the variable of this name, keeps them from choosing collisions. */
#define HASH_FUNCTION(key, len, hashv) ((hashv) = (unsigned)XXH3_64bits_withSeed((key), (len), t->seed))
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(box) ((box)->is_left_out = true)
#include <uthash.h>

#define SWEEPS 2 /* entries looked at for each one that is added */
#define SWEEPS_PER_TICK 256
#define SECOND_NS UINT64_C(1000000000)
#define SECOND_US UINT64_C(1000000)

TAILQ_HEAD(door_idle, door_entry);

struct door_box {
	struct door_entry e; /* first */
	UT_hash_handle hh;
	bool is_left_out; /* the table had no memory for it */
};

struct door_table {
	uint64_t seed;
	struct door_box *boxes;
	uint32_t idle_count, idle_max;
	struct door_idle idle; /* first: not seen for longest */
};

struct door_table *
door_table_new(uint64_t seed, uint32_t idle_max)
{
	struct door_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->seed = seed;
	t->idle_max = idle_max;
	TAILQ_INIT(&t->idle);
	return t;
}

void
door_table_free(struct door_table *t)
{
	struct door_box *box, *next;

	if (t == NULL)
		return;
	HASH_ITER(hh, t->boxes, box, next)
	{
		HASH_DELETE(hh, t->boxes, box);
		free(box);
	}
	free(t);
}

uint32_t
door_table_count(const struct door_table *t)
{
	return HASH_COUNT(t->boxes);
}

static void
drop(struct door_table *t, struct door_entry *e)
{
	struct door_box *box = (struct door_box *)e;

	assert(e->held == 0);
	HASH_DELETE(hh, t->boxes, box);
	TAILQ_REMOVE(&t->idle, e, idle);
	t->idle_count--;
	free(box);
}

static void
refill(struct door_entry *e, uint64_t now_us)
{
	uint64_t us = now_us > e->credit_us ? now_us - e->credit_us : 0;

	e->credit_ns += (us < SECOND_US ? us : SECOND_US) * 1000;
	if (e->credit_ns > SECOND_NS)
		e->credit_ns = SECOND_NS;
	e->credit_us = now_us;
}

static void
fade(struct door_entry *e, uint64_t now_us)
{
	if (e->failure_ends_us != 0 && now_us >= e->failure_ends_us)
		door_entry_forgive(e, e->failures);
}

/* A new entry would be the same. */
static bool
has_nothing_to_tell(struct door_entry *e, uint64_t now_us)
{
	refill(e, now_us);
	fade(e, now_us);
	return e->credit_ns == SECOND_NS && e->failures == 0;
}

static void
sweep(struct door_table *t, uint32_t at_most, uint64_t now_us)
{
	for (uint32_t i = 0; i < at_most && !TAILQ_EMPTY(&t->idle); i++) {
		struct door_entry *oldest = TAILQ_FIRST(&t->idle);

		if (t->idle_count <= t->idle_max && !has_nothing_to_tell(oldest, now_us))
			return;
		drop(t, oldest);
	}
}

void
door_table_sweep(struct door_table *t, uint64_t now_us)
{
	sweep(t, SWEEPS_PER_TICK, now_us);
}

static size_t
cut(size_t key_len)
{
	return key_len < DOOR_KEY_MAX ? key_len : DOOR_KEY_MAX;
}

struct door_entry *
door_table_find(const struct door_table *t, const void *key, size_t key_len)
{
	struct door_box *box;

	HASH_FIND(hh, t->boxes, key, (unsigned)cut(key_len), box);
	return box == NULL ? NULL : &box->e;
}

static struct door_entry *
add(struct door_table *t, const void *key, size_t key_len, uint64_t now_us)
{
	struct door_box *box;

	/* Before, so that it is not the one that goes. */
	while (t->idle_count > 0 && t->idle_count >= t->idle_max)
		drop(t, TAILQ_FIRST(&t->idle));
	sweep(t, SWEEPS, now_us);
	box = calloc(1, sizeof(*box));
	if (box == NULL)
		return NULL;
	memcpy(box->e.key, key, key_len);
	HASH_ADD(hh, t->boxes, e.key, (unsigned)key_len, box);
	if (box->is_left_out) {
		free(box);
		return NULL;
	}
	box->e.credit_ns = SECOND_NS;
	box->e.credit_us = now_us;
	TAILQ_INSERT_TAIL(&t->idle, &box->e, idle);
	t->idle_count++;
	return &box->e;
}

struct door_entry *
door_table_get(struct door_table *t, const void *key, size_t key_len, uint64_t now_us)
{
	struct door_entry *e = door_table_find(t, key, key_len);

	if (e == NULL)
		return add(t, key, cut(key_len), now_us);
	if (e->held == 0) {
		TAILQ_REMOVE(&t->idle, e, idle);
		TAILQ_INSERT_TAIL(&t->idle, e, idle);
	}
	return e;
}

void
door_entry_hold(struct door_table *t, struct door_entry *e)
{
	if (e->held++ > 0)
		return;
	TAILQ_REMOVE(&t->idle, e, idle);
	t->idle_count--;
}

void
door_entry_release(struct door_table *t, struct door_entry *e, uint64_t now_us)
{
	assert(e->held > 0);
	if (--e->held > 0)
		return;
	TAILQ_INSERT_TAIL(&t->idle, e, idle);
	t->idle_count++;
	sweep(t, SWEEPS, now_us);
}

static uint64_t
price_ns(uint32_t rate)
{
	return SECOND_NS / rate;
}

bool
door_entry_has_credit(struct door_entry *e, uint32_t rate, uint64_t now_us)
{
	refill(e, now_us);
	return rate == 0 || e->credit_ns >= price_ns(rate);
}

void
door_entry_take_credit(struct door_entry *e, uint32_t rate, uint64_t now_us)
{
	uint64_t price = rate == 0 ? 0 : price_ns(rate);

	refill(e, now_us);
	e->credit_ns -= price < e->credit_ns ? price : e->credit_ns;
}

uint64_t
door_entry_failed(struct door_entry *e, uint64_t base_us, uint64_t max_us, uint64_t now_us)
{
	uint64_t delay_us = base_us;

	fade(e, now_us);
	for (uint32_t i = 0; i < e->failures && delay_us != 0 && delay_us < max_us; i++)
		delay_us *= 2; /* both are an hour at most */
	if (delay_us > max_us)
		delay_us = max_us;
	if (e->failures < UINT32_MAX)
		e->failures++;
	e->failure_ends_us = now_us + delay_us + DOOR_FADE_US;
	return delay_us;
}

void
door_entry_forgive(struct door_entry *e, uint32_t failures)
{
	e->failures -= failures < e->failures ? failures : e->failures;
	if (e->failures == 0)
		e->failure_ends_us = 0;
}
