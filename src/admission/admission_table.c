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

TAILQ_HEAD(admission_idle, admission_entry);

struct admission_table {
	uint64_t seed;
	struct admission_entry **buckets;
	uint32_t bucket_count; /* a power of two */
	uint32_t count, idle_count, idle_max;
	struct admission_idle idle; /* first: not seen for longest */
};

struct admission_table *
admission_table_new(uint64_t seed, uint32_t idle_max)
{
	struct admission_table *t = calloc(1, sizeof(*t));

	if (t == NULL || (t->buckets = calloc(BUCKETS_MIN, sizeof(struct admission_entry *))) == NULL) {
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
admission_table_free(struct admission_table *t)
{
	if (t == NULL)
		return;
	for (uint32_t i = 0; i < t->bucket_count; i++)
		for (struct admission_entry *e = t->buckets[i], *next; e != NULL; e = next) {
			next = e->next;
			free(e);
		}
	free(t->buckets);
	free(t);
}

uint32_t
admission_table_count(const struct admission_table *t)
{
	return t->count;
}

static struct admission_entry **
bucket(const struct admission_table *t, uint64_t hash)
{
	return &t->buckets[hash & (t->bucket_count - 1)];
}

/* Without memory the lists become longer, that is all. */
static void
grow(struct admission_table *t)
{
	uint32_t old_count = t->bucket_count;
	struct admission_entry **old = t->buckets, **grown;

	if (t->count < old_count || old_count >= BUCKETS_MAX ||
	    (grown = calloc((size_t)old_count * 2, sizeof(struct admission_entry *))) == NULL)
		return;
	t->buckets = grown;
	t->bucket_count = old_count * 2;
	for (uint32_t i = 0; i < old_count; i++)
		for (struct admission_entry *e = old[i], *next; e != NULL; e = next) {
			struct admission_entry **at = bucket(t, e->hash);

			next = e->next;
			e->next = *at;
			*at = e;
		}
	free(old);
}

static void
drop(struct admission_table *t, struct admission_entry *e)
{
	struct admission_entry **at = bucket(t, e->hash);

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
refill(struct admission_entry *e, uint64_t now_us)
{
	uint64_t us = now_us > e->token_us ? now_us - e->token_us : 0;

	e->token_ns += (us < SECOND_US ? us : SECOND_US) * 1000;
	if (e->token_ns > SECOND_NS)
		e->token_ns = SECOND_NS;
	e->token_us = now_us;
}

static void
fade(struct admission_entry *e, uint64_t now_us)
{
	if (e->failure_ends_us != 0 && now_us >= e->failure_ends_us)
		admission_entry_forgive(e, e->failures);
}

/* A new entry would be the same. */
static bool
has_nothing_to_tell(struct admission_entry *e, uint64_t now_us)
{
	refill(e, now_us);
	fade(e, now_us);
	return e->token_ns == SECOND_NS && e->failures == 0;
}

static void
sweep(struct admission_table *t, uint32_t at_most, uint64_t now_us)
{
	for (uint32_t i = 0; i < at_most && !TAILQ_EMPTY(&t->idle); i++) {
		struct admission_entry *oldest = TAILQ_FIRST(&t->idle);

		if (t->idle_count <= t->idle_max && !has_nothing_to_tell(oldest, now_us))
			return;
		drop(t, oldest);
	}
}

void
admission_table_sweep(struct admission_table *t, uint64_t now_us)
{
	sweep(t, SWEEPS_PER_TICK, now_us);
}

static struct admission_entry *
find(const struct admission_table *t, const void *key, size_t key_len, uint64_t hash)
{
	struct admission_entry *e;

	for (e = *bucket(t, hash); e != NULL; e = e->next)
		if (e->hash == hash && e->key_len == key_len && memcmp(e->key, key, key_len) == 0)
			return e;
	return NULL;
}

static size_t
cut(size_t key_len)
{
	return key_len < ADMISSION_KEY_MAX ? key_len : ADMISSION_KEY_MAX;
}

struct admission_entry *
admission_table_find(const struct admission_table *t, const void *key, size_t key_len)
{
	return find(t, key, cut(key_len), XXH3_64bits_withSeed(key, cut(key_len), t->seed));
}

static struct admission_entry *
add(struct admission_table *t, const void *key, size_t key_len, uint64_t hash, uint64_t now_us)
{
	struct admission_entry *e;

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
	e->token_ns = SECOND_NS;
	e->token_us = now_us;
	e->next = *bucket(t, hash);
	*bucket(t, hash) = e;
	TAILQ_INSERT_TAIL(&t->idle, e, idle);
	t->idle_count++;
	t->count++;
	return e;
}

struct admission_entry *
admission_table_get(struct admission_table *t, const void *key, size_t key_len, uint64_t now_us)
{
	size_t len = cut(key_len);
	uint64_t hash = XXH3_64bits_withSeed(key, len, t->seed);
	struct admission_entry *e = find(t, key, len, hash);

	if (e == NULL)
		return add(t, key, len, hash, now_us);
	if (e->held == 0) {
		TAILQ_REMOVE(&t->idle, e, idle);
		TAILQ_INSERT_TAIL(&t->idle, e, idle);
	}
	return e;
}

void
admission_entry_hold(struct admission_table *t, struct admission_entry *e)
{
	if (e->held++ > 0)
		return;
	TAILQ_REMOVE(&t->idle, e, idle);
	t->idle_count--;
}

void
admission_entry_release(struct admission_table *t, struct admission_entry *e, uint64_t now_us)
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
admission_entry_has_token(struct admission_entry *e, uint32_t rate, uint64_t now_us)
{
	refill(e, now_us);
	return rate == 0 || e->token_ns >= price_ns(rate);
}

void
admission_entry_take_token(struct admission_entry *e, uint32_t rate, uint64_t now_us)
{
	uint64_t price = rate == 0 ? 0 : price_ns(rate);

	refill(e, now_us);
	e->token_ns -= price < e->token_ns ? price : e->token_ns;
}

uint64_t
admission_entry_failed(struct admission_entry *e, uint64_t base_us, uint64_t max_us, uint64_t now_us)
{
	uint64_t delay_us = base_us;

	fade(e, now_us);
	for (uint32_t i = 0; i < e->failures && delay_us != 0 && delay_us < max_us; i++)
		delay_us *= 2; /* both are an hour at most */
	if (delay_us > max_us)
		delay_us = max_us;
	if (e->failures < UINT32_MAX)
		e->failures++;
	e->failure_ends_us = now_us + delay_us + ADMISSION_FADE_US;
	return delay_us;
}

void
admission_entry_forgive(struct admission_entry *e, uint32_t failures)
{
	e->failures -= failures < e->failures ? failures : e->failures;
	if (e->failures == 0)
		e->failure_ends_us = 0;
}
