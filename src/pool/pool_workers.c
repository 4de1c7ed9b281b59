#include "base/alloc.h"
#include "pool/pool_set_state.h"

#include <assert.h>

#define KNOWN_POOLS_MAX 4096u

struct known_pool {
	UT_hash_handle hh;
	uint32_t first; /* the worker with its first shard */
	uint32_t shards; /* a bit for each worker that has a shard */
	char key[];
};

struct load {
	uint32_t clients, pools;
};

struct pool_workers {
	uint64_t seed;
	struct known_pool *table;
	struct pool_split split;
	uint32_t moved_clients;
	uint32_t silent; /* a bit for each worker that does not answer */
	bool is_full; /* no pool is added any more */
	struct load loads[]; /* of each worker; the caller of pool_workers_choose() counts worker 0's clients */
};

struct pool_workers *
pool_workers_new(const struct pool_split *split, uint64_t seed)
{
	struct pool_workers *h = xcalloc(1, sizeof(*h) + split->workers * sizeof(h->loads[0]));

	h->split = *split;
	h->seed = seed;
	return h;
}

void
pool_workers_free(struct pool_workers *h)
{
	if (h == NULL)
		return;
	TABLE_FREE(h->table);
	free(h);
}

/* Returns how many clients a worker has; a worker that does not answer counts as fuller than any other. */
static uint32_t
clients_of(const struct pool_workers *h, uint32_t number)
{
	return (h->silent & 1u << number) != 0 ? UINT32_MAX : h->loads[number].clients;
}

/* Returns the worker with the fewest clients; of several, the one with the fewest pools. Worker 0 loses each tie,
 * because worker 0 has all other work to do. */
static uint32_t
find_least_loaded(const struct pool_workers *h)
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
add_shard(struct pool_workers *h, struct known_pool *one, uint32_t number)
{
	one->shards |= 1u << number;
	h->loads[number].pools++;
}

static struct known_pool *
add(struct pool_workers *h, const char *key, size_t len, uint32_t first)
{
	struct known_pool *one = TABLE_ADD_NEW(h->seed, h->table, key, key, len);

	if (one == NULL)
		return NULL;
	one->first = first;
	add_shard(h, one, first);
	return one;
}

/* Returns the pool; if it is not known yet, it is added, with its first shard on the worker with the fewest clients.
 * If there is no memory or room, sets *out by the pool's hash, and returns out. Such a pool is never added later,
 * because its clients must always go to the same worker. */
static struct known_pool *
get_or_add_known(struct pool_workers *h, const char *key, size_t len, struct known_pool *out)
{
	struct known_pool *one;

	TABLE_FIND(h->seed, h->table, key, len, one);
	if (one == NULL && !h->is_full && HASH_COUNT(h->table) < KNOWN_POOLS_MAX)
		one = add(h, key, len, find_least_loaded(h));
	if (one != NULL)
		return one;
	h->is_full = true;
	out->first = table_hash(h->seed, key, len) % h->split.workers;
	out->shards = 1u << out->first;
	return out;
}

static bool
has_shard(const struct known_pool *one, uint32_t number)
{
	return (one->shards & 1u << number) != 0;
}

/* Returns the pool's worker with the fewest clients. Of several, takes one->first or else the lowest number, so that
 * successive clients find the same servers. */
static uint32_t
find_best_shard(const struct pool_workers *h, const struct known_pool *one)
{
	uint32_t best = one->first;

	for (uint32_t i = 0; i < h->split.workers; i++)
		if (has_shard(one, i) && clients_of(h, i) < clients_of(h, best))
			best = i;
	return best;
}

/* Returns the pool as get_or_add_known() does, or NULL with *why set. Sets *most to the limit of its shards; after a
 * reload, the pool may already exceed the limit. */
static struct known_pool *
get_or_add_by_name(struct pool_workers *h, const struct config *config, const char *database, const char *user,
		   uint32_t *most, struct known_pool *out, struct fail *why)
{
	char key[POOL_KEY_MAX], server_user[CONFIG_NAME_MAX + 1];
	size_t len = pool_key(config, database, user, key, server_user, why);
	struct known_pool *one = len == 0 ? NULL : get_or_add_known(h, key, len, out);

	if (one != NULL)
		*most = one == out ? 1 : pool_shards_max(config, database, server_user, &h->split);
	return one;
}

uint32_t
pool_workers_choose(struct pool_workers *h, const struct config *config, const char *database, const char *user,
		    uint32_t clients, struct fail *why)
{
	struct known_pool by_hash, *one;
	uint32_t most, best, least;

	if (h->split.workers == 1)
		return 0;
	h->loads[0].clients = clients;
	one = get_or_add_by_name(h, config, database, user, &most, &by_hash, why);
	if (one == NULL || most <= 1)
		return one == NULL ? POOL_NO_WORKER : one->first;
	best = find_best_shard(h, one);
	least = find_least_loaded(h);
	if ((uint32_t)__builtin_popcount(one->shards) >= most || has_shard(one, least) ||
	    clients_of(h, least) >= clients_of(h, best))
		return best;
	add_shard(h, one, least);
	return least;
}

bool
pool_workers_check_shard(struct pool_workers *h, const struct config *config, const char *database, const char *user,
			 uint32_t number)
{
	struct known_pool by_hash, *one;
	struct fail why;
	uint32_t most;

	if (h->split.workers == 1)
		return number == 0;
	one = get_or_add_by_name(h, config, database, user, &most, &by_hash, &why);
	return one != NULL && (most <= 1 ? one->first == number : has_shard(one, number));
}

void
pool_workers_client_moved(struct pool_workers *h, uint32_t number)
{
	assert(number < h->split.workers);
	h->loads[number].clients++;
	h->moved_clients++;
}

void
pool_workers_client_ended(struct pool_workers *h, uint32_t number)
{
	assert(h->moved_clients > 0 && h->loads[number].clients > 0);
	h->loads[number].clients--;
	h->moved_clients--;
}

uint32_t
pool_workers_count_moved_clients(const struct pool_workers *h)
{
	return h->moved_clients;
}

void
pool_workers_set_silent(struct pool_workers *h, uint32_t number, bool is_silent)
{
	h->silent = (h->silent & ~(1u << number)) | (uint32_t)is_silent << number;
}
