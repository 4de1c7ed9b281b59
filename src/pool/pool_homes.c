#include "base/alloc.h"
#include "pool/pool_set_state.h"

#include <assert.h>

#define HOMES_MAX 4096u

struct home {
	UT_hash_handle hh;
	uint32_t first; /* the worker that had it first */
	uint32_t shards; /* a bit for each that has a shard */
	char key[];
};

struct load {
	uint32_t clients, pools;
};

struct pool_homes {
	uint64_t seed;
	struct home *table;
	struct pool_split split;
	uint32_t away;
	uint32_t silent; /* a bit for each worker that does not answer */
	bool is_full; /* nothing is added any more */
	struct load loads[]; /* of each worker; worker 0's clients are not counted here */
};

struct pool_homes *
pool_homes_new(const struct pool_split *split, uint64_t seed)
{
	struct pool_homes *h = xcalloc(1, sizeof(*h) + split->workers * sizeof(h->loads[0]));

	h->split = *split;
	h->seed = seed;
	return h;
}

void
pool_homes_free(struct pool_homes *h)
{
	if (h == NULL)
		return;
	TABLE_FREE(h->table);
	free(h);
}

/* Counts a worker that does not answer as fuller than any other. */
static uint32_t
clients_of(const struct pool_homes *h, uint32_t number)
{
	return (h->silent & 1u << number) != 0 ? UINT32_MAX : h->loads[number].clients;
}

/* The main worker is the last of equal ones: it has all else to do. */
static uint32_t
least_loaded(const struct pool_homes *h)
{
	uint32_t best = 1;

	for (uint32_t i = 2; i <= h->split.workers; i++) {
		uint32_t number = i % h->split.workers, a = clients_of(h, number), b = clients_of(h, best);

		if (a < b || (a == b && h->loads[number].pools < h->loads[best].pools))
			best = number;
	}
	return best;
}

static void
add_shard(struct pool_homes *h, struct home *one, uint32_t number)
{
	one->shards |= 1u << number;
	h->loads[number].pools++;
}

static struct home *
add(struct pool_homes *h, const char *key, size_t len, uint32_t first)
{
	struct home *one = TABLE_MAKE(h->seed, h->table, key, key, len);

	if (one == NULL)
		return NULL;
	one->first = first;
	add_shard(h, one, first);
	return one;
}

/* Returns the pool; where it is not known yet, its first shard is on the worker with the fewest clients. A pool that
 * was not added once, for want of memory or room, never is: its hash must decide each time. *out is it then. */
static struct home *
find(struct pool_homes *h, const char *key, size_t len, struct home *out)
{
	struct home *one;

	TABLE_FIND(h->seed, h->table, key, len, one);
	if (one == NULL && !h->is_full && HASH_COUNT(h->table) < HOMES_MAX)
		one = add(h, key, len, least_loaded(h));
	if (one != NULL)
		return one;
	h->is_full = true;
	out->first = table_hash(h->seed, key, len) % h->split.workers;
	out->shards = 1u << out->first;
	return out;
}

static bool
has_shard(const struct home *one, uint32_t number)
{
	return (one->shards & 1u << number) != 0;
}

/* The first of equal ones, so that a few clients, one after another, find the same servers. */
static uint32_t
best_shard(const struct pool_homes *h, const struct home *one)
{
	uint32_t best = one->first;

	for (uint32_t i = 0; i < h->split.workers; i++)
		if (has_shard(one, i) && clients_of(h, i) < clients_of(h, best))
			best = i;
	return best;
}

/* As find(), or NULL with *why set. *most: how many shards it may have (since an older reload it may have more). */
static struct home *
look_up(struct pool_homes *h, const struct config *config, const char *database, const char *user, uint32_t *most,
	struct home *out, struct fail *why)
{
	char key[POOL_KEY_MAX], server_user[CONFIG_NAME_MAX + 1];
	size_t len = pool_key(config, database, user, key, server_user, why);
	struct home *one = len == 0 ? NULL : find(h, key, len, out);

	if (one != NULL)
		*most = one == out ? 1 : pool_shards(config, database, server_user, &h->split);
	return one;
}

uint32_t
pool_homes_find(struct pool_homes *h, const struct config *config, const char *database, const char *user,
		uint32_t clients, struct fail *why)
{
	struct home unknown, *one;
	uint32_t most, best, least;

	if (h->split.workers == 1)
		return 0;
	h->loads[0].clients = clients;
	one = look_up(h, config, database, user, &most, &unknown, why);
	if (one == NULL || most <= 1)
		return one == NULL ? POOL_NO_HOME : one->first;
	best = best_shard(h, one);
	least = least_loaded(h);
	if ((uint32_t)__builtin_popcount(one->shards) >= most || has_shard(one, least) ||
	    clients_of(h, least) >= clients_of(h, best))
		return best;
	add_shard(h, one, least);
	return least;
}

uint32_t
pool_homes_first(struct pool_homes *h, const struct config *config, const char *database, const char *user,
		 struct fail *why)
{
	struct home unknown, *one;
	uint32_t most;

	if (h->split.workers == 1)
		return 0;
	one = look_up(h, config, database, user, &most, &unknown, why);
	return one == NULL ? POOL_NO_HOME : one->first;
}

bool
pool_homes_has(struct pool_homes *h, const struct config *config, const char *database, const char *user,
	       uint32_t number)
{
	struct home unknown, *one;
	struct fail why;
	uint32_t most;

	if (h->split.workers == 1)
		return number == 0;
	one = look_up(h, config, database, user, &most, &unknown, &why);
	return one != NULL && (most <= 1 ? one->first == number : has_shard(one, number));
}

void
pool_homes_left(struct pool_homes *h, uint32_t number)
{
	assert(number < h->split.workers);
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

void
pool_homes_set_silent(struct pool_homes *h, uint32_t number, bool is_silent)
{
	h->silent = (h->silent & ~(1u << number)) | (uint32_t)is_silent << number;
}
