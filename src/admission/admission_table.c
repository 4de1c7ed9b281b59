#include "admission/admission_table.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"

#include <assert.h>

#define SWEEP_ENTRIES 2 /* how many entries are looked at for each new or released entry */
#define SWEEP_ENTRIES_PER_TICK 256
#define SECOND_NS UINT64_C(1000000000)

TAILQ_HEAD(admission_idle, admission_entry);

struct admission_table {
	uint64_t seed;
	struct admission_entry *entries;
	uint32_t idle_count, idle_max;
	struct admission_idle idle; /* the first entry was seen longest ago */
};

struct admission_table *
admission_table_new(uint64_t seed, uint32_t idle_max)
{
	struct admission_table *t = xcalloc(1, sizeof(*t));

	t->seed = seed;
	t->idle_max = idle_max;
	TAILQ_INIT(&t->idle);
	return t;
}

void
admission_table_free(struct admission_table *t)
{
	if (t == NULL)
		return;
	TABLE_FREE(t->entries);
	free(t);
}

static void
table_entry_drop(struct admission_table *t, struct admission_entry *e)
{
	assert(e->held == 0 && t->idle_count > 0);
	HASH_DELETE(hh, t->entries, e);
	TAILQ_REMOVE(&t->idle, e, idle);
	t->idle_count--;
	free(e);
}

static void
refill(struct admission_entry *e, uint64_t now_us)
{
	uint64_t us = now_us > e->refilled_us ? now_us - e->refilled_us : 0;

	e->credit_ns += clock_lesser_us(us, US_PER_S) * 1000;
	if (e->credit_ns > SECOND_NS)
		e->credit_ns = SECOND_NS;
	e->refilled_us = now_us;
}

static void
forget_old_failures(struct admission_entry *e, uint64_t now_us)
{
	if (e->failures_forgotten_us != 0 && now_us >= e->failures_forgotten_us)
		admission_entry_forgive(e, e->failures);
}

/* Brings the entry up to date. Returns true if the entry now equals a new one, and so can be dropped. */
static bool
refill_and_forget(struct admission_entry *e, uint64_t now_us)
{
	refill(e, now_us);
	forget_old_failures(e, now_us);
	return e->credit_ns == SECOND_NS && e->failures == 0;
}

static void
sweep(struct admission_table *t, uint32_t at_most, uint64_t now_us)
{
	for (uint32_t i = 0; i < at_most && !TAILQ_EMPTY(&t->idle); i++) {
		struct admission_entry *oldest = TAILQ_FIRST(&t->idle);

		if (t->idle_count <= t->idle_max && !refill_and_forget(oldest, now_us))
			return;
		table_entry_drop(t, oldest);
	}
}

void
admission_table_sweep(struct admission_table *t, uint64_t now_us)
{
	sweep(t, SWEEP_ENTRIES_PER_TICK, now_us);
}

static size_t
cut_len(size_t key_len)
{
	return key_len < ADMISSION_KEY_MAX ? key_len : ADMISSION_KEY_MAX;
}

struct admission_entry *
admission_table_find(const struct admission_table *t, const void *key, size_t key_len)
{
	struct admission_entry *e;

	TABLE_FIND(t->seed, t->entries, key, cut_len(key_len), e);
	return e;
}

static struct admission_entry *
table_entry_add(struct admission_table *t, const void *key, size_t key_len, uint64_t now_us)
{
	struct admission_entry *e;

	/* Make room before e is added, so that e itself is not dropped. */
	while (t->idle_count > 0 && t->idle_count >= t->idle_max)
		table_entry_drop(t, TAILQ_FIRST(&t->idle));
	sweep(t, SWEEP_ENTRIES, now_us);
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return NULL;
	memcpy(e->key, key, key_len);
	e->key_len = (uint8_t)key_len;
	if (!TABLE_ADD(t->seed, t->entries, e->key, key_len, e)) {
		free(e);
		return NULL;
	}
	e->credit_ns = SECOND_NS;
	e->refilled_us = now_us;
	TAILQ_INSERT_TAIL(&t->idle, e, idle);
	t->idle_count++;
	return e;
}

struct admission_entry *
admission_table_find_or_add(struct admission_table *t, const void *key, size_t key_len, uint64_t now_us)
{
	struct admission_entry *e = admission_table_find(t, key, key_len);

	if (e == NULL)
		return table_entry_add(t, key, cut_len(key_len), now_us);
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
	assert(t->idle_count > 0);
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
	sweep(t, SWEEP_ENTRIES, now_us);
}

static uint64_t
price_ns(uint32_t rate)
{
	return rate == 0 ? 0 : SECOND_NS / rate;
}

bool
admission_entry_has_token(struct admission_entry *e, uint32_t rate, uint64_t now_us)
{
	refill(e, now_us);
	return e->credit_ns >= price_ns(rate);
}

void
admission_entry_take_token(struct admission_entry *e, uint32_t rate, uint64_t now_us)
{
	uint64_t price = price_ns(rate);

	refill(e, now_us);
	e->credit_ns -= price < e->credit_ns ? price : e->credit_ns;
}

uint64_t
admission_entry_count_failure(struct admission_entry *e, uint64_t base_us, uint64_t max_us, uint64_t now_us)
{
	uint64_t delay_us = base_us;

	forget_old_failures(e, now_us);
	for (uint32_t i = 0; i < e->failures && delay_us != 0 && delay_us < max_us; i++)
		delay_us *= 2; /* can't overflow, because base_us and max_us are at most an hour */
	if (delay_us > max_us)
		delay_us = max_us;
	if (e->failures < UINT32_MAX)
		e->failures++;
	e->failures_forgotten_us = now_us + delay_us + ADMISSION_FADE_US;
	return delay_us;
}

void
admission_entry_forgive(struct admission_entry *e, uint32_t failures)
{
	e->failures -= failures < e->failures ? failures : e->failures;
	if (e->failures == 0)
		e->failures_forgotten_us = 0;
}

size_t
admission_address_key(const struct sockaddr *peer, uint8_t key[static ADMISSION_ADDRESS_KEY_MAX])
{
	/* the key of peers that are neither IPv4 nor IPv6; they come from a socket that was passed to us */
	static const uint8_t other[4];
	int family;
	const uint8_t *address = network_address(peer, &family);
	size_t len = family == AF_INET6 ? 8 : 4;

	memcpy(key, address != NULL ? address : other, len);
	return len;
}
