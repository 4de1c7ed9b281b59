/* src/admission/admission_table.c - see admission/admission_table.h. */
#include "admission/admission_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define BUCKETS_MIN 64u
#define BUCKETS_MAX (1u << 20)
#define SWEEPS 2 /* entries looked at for each one that is added */
#define SWEEPS_PER_TICK 256
#define SECOND_NS UINT64_C(1000000000)
#define SECOND_US UINT64_C(1000000)

TAILQ_HEAD(door_idle, door_entry);

struct door_table {
	uint64_t seed;
	struct door_entry **buckets;
	uint32_t bucket_count; /* a power of two */
	uint32_t count, idle_count, idle_max;
	struct door_idle idle; /* first: not seen for longest */
};

struct door_table *
door_table_new(uint64_t seed, uint32_t idle_max)
{
	struct door_table *t = calloc(1, sizeof(*t));

	if (t == NULL || (t->buckets = calloc(BUCKETS_MIN, sizeof(struct door_entry *))) == NULL) {
		free(t);
		return NULL;
	}
	t->seed = seed;
	t->bucket_count = BUCKETS_MIN;
	t->idle_max = idle_max;
	TAILQ_INIT(&t->idle);
	return t;
}

void
door_table_free(struct door_table *t)
{
	if (t == NULL)
		return;
	for (uint32_t i = 0; i < t->bucket_count; i++)
		for (struct door_entry *e = t->buckets[i], *next; e != NULL; e = next) {
			next = e->next;
			free(e);
		}
	free(t->buckets);
	free(t);
}

uint32_t
door_table_count(const struct door_table *t)
{
	return t->count;
}

static struct door_entry **
bucket(const struct door_table *t, uint64_t hash)
{
	return &t->buckets[hash & (t->bucket_count - 1)];
}

/* Without memory the lists become longer, that is all. */
static void
grow(struct door_table *t)
{
	uint32_t old_count = t->bucket_count;
	struct door_entry **old = t->buckets, **grown;

	if (t->count < old_count || old_count >= BUCKETS_MAX ||
	    (grown = calloc((size_t)old_count * 2, sizeof(struct door_entry *))) == NULL)
		return;
	t->buckets = grown;
	t->bucket_count = old_count * 2;
	for (uint32_t i = 0; i < old_count; i++)
		for (struct door_entry *e = old[i], *next; e != NULL; e = next) {
			struct door_entry **at = bucket(t, e->hash);

			next = e->next;
			e->next = *at;
			*at = e;
		}
	free(old);
}

static void
drop(struct door_table *t, struct door_entry *e)
{
	struct door_entry **at = bucket(t, e->hash);

	assert(e->held == 0);
	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	TAILQ_REMOVE(&t->idle, e, idle);
	t->idle_count--;
	t->count--;
	free(e);
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

static struct door_entry *
find(const struct door_table *t, const void *key, size_t key_len, uint64_t hash)
{
	struct door_entry *e;

	for (e = *bucket(t, hash); e != NULL; e = e->next)
		if (e->hash == hash && e->key_len == key_len && memcmp(e->key, key, key_len) == 0)
			return e;
	return NULL;
}

static size_t
cut(size_t key_len)
{
	return key_len < DOOR_KEY_MAX ? key_len : DOOR_KEY_MAX;
}

struct door_entry *
door_table_find(const struct door_table *t, const void *key, size_t key_len)
{
	return find(t, key, cut(key_len), XXH3_64bits_withSeed(key, cut(key_len), t->seed));
}

static struct door_entry *
add(struct door_table *t, const void *key, size_t key_len, uint64_t hash, uint64_t now_us)
{
	struct door_entry *e;

	/* Before, so that it is not the one that goes. */
	while (t->idle_count > 0 && t->idle_count >= t->idle_max)
		drop(t, TAILQ_FIRST(&t->idle));
	sweep(t, SWEEPS, now_us);
	grow(t);
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return NULL;
	memcpy(e->key, key, key_len);
	e->key_len = (uint8_t)key_len;
	e->hash = hash;
	e->credit_ns = SECOND_NS;
	e->credit_us = now_us;
	e->next = *bucket(t, hash);
	*bucket(t, hash) = e;
	TAILQ_INSERT_TAIL(&t->idle, e, idle);
	t->idle_count++;
	t->count++;
	return e;
}

struct door_entry *
door_table_get(struct door_table *t, const void *key, size_t key_len, uint64_t now_us)
{
	size_t len = cut(key_len);
	uint64_t hash = XXH3_64bits_withSeed(key, len, t->seed);
	struct door_entry *e = find(t, key, len, hash);

	if (e == NULL)
		return add(t, key, len, hash, now_us);
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
