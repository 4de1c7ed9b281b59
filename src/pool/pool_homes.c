#include "pool/pool_homes.h"

#include "base/alloc.h"
#include "base/table.h"
#include "pool/pool_set_state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HOMES_MAX 4096u

struct home {
	UT_hash_handle hh;
	uint32_t number;
	char key[];
};

struct load {
	uint32_t clients, pools;
};

struct pool_homes {
	uint64_t seed;
	struct home *table;
	uint32_t workers, away;
	bool is_full; /* nothing is added any more */
	struct load loads[]; /* of each worker; worker 0's clients are not counted here */
};

struct pool_homes *
pool_homes_new(uint32_t workers, uint64_t seed)
{
	struct pool_homes *h = xcalloc(1, sizeof(*h) + workers * sizeof(h->loads[0]));

	h->workers = workers;
	h->seed = seed;
	return h;
}

void
pool_homes_free(struct pool_homes *h)
{
	struct home *one, *next;

	if (h == NULL)
		return;
	HASH_ITER(hh, h->table, one, next) {
		HASH_DELETE(hh, h->table, one);
		free(one);
	}
	free(h);
}

/* The door is the last of equal ones: it has all else to do. */
static uint32_t
least_loaded(const struct pool_homes *h)
{
	uint32_t best = 1;

	for (uint32_t i = 2; i <= h->workers; i++) {
		const struct load *a = &h->loads[i % h->workers], *b = &h->loads[best];

		if (a->clients < b->clients || (a->clients == b->clients && a->pools < b->pools))
			best = i % h->workers;
	}
	return best;
}

static struct home *
add(struct pool_homes *h, const char *key, size_t len, uint32_t number)
{
	struct home *one = calloc(1, sizeof(*one) + len);

	if (one == NULL)
		return NULL;
	memcpy(one->key, key, len);
	one->number = number;
	if (!TABLE_ADD(h->seed, h->table, one->key, len, one)) {
		free(one);
		return NULL;
	}
	h->loads[one->number].pools++;
	return one;
}

/* A pool that was not added once, for want of memory or room, never is: its hash must decide each time. */
static uint32_t
settle(struct pool_homes *h, const char *key, size_t len, uint32_t number)
{
	struct home *one = h->is_full || HASH_COUNT(h->table) == HOMES_MAX ? NULL : add(h, key, len, number);

	h->is_full = one == NULL;
	return one != NULL ? one->number : table_hash(h->seed, key, len) % h->workers;
}

uint32_t
pool_homes_find(struct pool_homes *h, const struct config *config, const char *database, const char *user,
		uint32_t clients, struct fail *why)
{
	char key[POOL_KEY_MAX], server_user[CONFIG_NAME_MAX + 1];
	struct home *one;
	size_t len;

	if (h->workers == 1)
		return 0;
	h->loads[0].clients = clients;
	len = pool_key(config, database, user, key, server_user, why);
	if (len == 0)
		return POOL_NO_HOME;
	TABLE_FIND(h->seed, h->table, key, len, one);
	return one != NULL ? one->number : settle(h, key, len, least_loaded(h));
}

void
pool_homes_left(struct pool_homes *h, uint32_t number)
{
	h->loads[number].clients++;
	h->away++;
}

void
pool_homes_ended(struct pool_homes *h, uint32_t number)
{
	assert(h->away > 0 && h->loads[number].clients > 0);
	h->loads[number].clients--;
	h->away--;
}

uint32_t
pool_homes_away(const struct pool_homes *h)
{
	return h->away;
}
