#include "admission/admission_table.h"
#include "base/alloc.h"
#include "base/table.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define SWEEPS 2 /* entries looked at for each one that is added */
#define SWEEPS_PER_TICK 256
#define SECOND_NS UINT64_C(1000000000)
#define SECOND_US UINT64_C(1000000)

TAILQ_HEAD(admission_idle, admission_entry);

struct admission_box {
	struct admission_entry e; /* must be first: table_entry_drop() casts */
	UT_hash_handle hh;
};

struct admission_table {
	uint64_t seed;
	struct admission_box *boxes;
	uint32_t idle_count, idle_max;
	struct admission_idle idle; /* the first was not seen for longest */
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
	struct admission_box *box, *next;

	if (t == NULL)
		return;
	HASH_ITER(hh, t->boxes, box, next) {
		HASH_DELETE(hh, t->boxes, box);
		free(box);
	}
	free(t);
}

uint32_t
admission_table_count(const struct admission_table *t)
{
	return HASH_COUNT(t->boxes);
}

static void
table_entry_drop(struct admission_table *t, struct admission_entry *e)
{
	struct admission_box *box = (struct admission_box *)e;

	assert(e->held == 0);
	HASH_DELETE(hh, t->boxes, box);
	TAILQ_REMOVE(&t->idle, e, idle);
	t->idle_count--;
	free(box);
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

/* Returns true if the entry equals a new one, and so can be dropped. */
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
		table_entry_drop(t, oldest);
	}
}

void
admission_table_sweep(struct admission_table *t, uint64_t now_us)
{
	sweep(t, SWEEPS_PER_TICK, now_us);
}

static size_t
cut(size_t key_len)
{
	return key_len < ADMISSION_KEY_MAX ? key_len : ADMISSION_KEY_MAX;
}

struct admission_entry *
admission_table_find(const struct admission_table *t, const void *key, size_t key_len)
{
	struct admission_box *box;

	TABLE_FIND(t->seed, t->boxes, key, cut(key_len), box);
	return box == NULL ? NULL : &box->e;
}

static struct admission_entry *
table_entry_add(struct admission_table *t, const void *key, size_t key_len, uint64_t now_us)
{
	struct admission_box *box;

	/* Make room first, so that e itself is not dropped. */
	while (t->idle_count > 0 && t->idle_count >= t->idle_max)
		table_entry_drop(t, TAILQ_FIRST(&t->idle));
	sweep(t, SWEEPS, now_us);
	box = calloc(1, sizeof(*box));
	if (box == NULL)
		return NULL;
	memcpy(box->e.key, key, key_len);
	box->e.key_len = (uint8_t)key_len;
	if (!TABLE_ADD(t->seed, t->boxes, box->e.key, key_len, box)) {
		free(box);
		return NULL;
	}
	box->e.token_ns = SECOND_NS;
	box->e.token_us = now_us;
	TAILQ_INSERT_TAIL(&t->idle, &box->e, idle);
	t->idle_count++;
	return &box->e;
}

struct admission_entry *
admission_table_get(struct admission_table *t, const void *key, size_t key_len, uint64_t now_us)
{
	struct admission_entry *e = admission_table_find(t, key, key_len);

	if (e == NULL)
		return table_entry_add(t, key, cut(key_len), now_us);
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
		delay_us *= 2; /* can't overflow: both are an hour at most */
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

size_t
admission_address_key(const struct sockaddr *peer, uint8_t key[static ADMISSION_ADDRESS_KEY_MAX])
{
	const struct in6_addr *in6 = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;

	if (peer->sa_family != AF_INET6) {
		memcpy(key, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
		return 4;
	}
	if (IN6_IS_ADDR_V4MAPPED(in6)) {
		memcpy(key, in6->s6_addr + 12, 4);
		return 4;
	}
	memcpy(key, in6->s6_addr, 8);
	return 8;
}
