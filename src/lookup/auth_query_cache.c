#include "lookup/auth_query_cache.h"
#include "base/alloc.h"
#include "base/table.h"

#include <openssl/crypto.h>

struct entry {
	UT_hash_handle hh; /* the table is in order of use, the least recently used entry first */
	struct auth_key key;
	struct auth_cached kept; /* kept.secret points to the text after this struct */
	size_t text_len;
	char text[];
};

struct auth_cache {
	struct entry *table;
	uint64_t seed;
	size_t cap;
};

struct auth_cache *
auth_cache_new(uint64_t seed, size_t cap)
{
	struct auth_cache *cache = xcalloc(1, sizeof(*cache));

	cache->seed = seed;
	cache->cap = cap;
	return cache;
}

static void
entry_free(struct entry *e)
{
	OPENSSL_cleanse(e->text, e->text_len);
	free(e);
}

static void
cache_entry_drop(struct auth_cache *cache, struct entry *e)
{
	HASH_DELETE(hh, cache->table, e);
	entry_free(e);
}

void
auth_cache_free(struct auth_cache *cache)
{
	if (cache == NULL)
		return;
	while (cache->table != NULL)
		cache_entry_drop(cache, cache->table);
	free(cache);
}

static struct entry *
cache_entry_find(const struct auth_cache *cache, const struct auth_key *key)
{
	struct entry *e;

	TABLE_FIND(cache->seed, cache->table, key, sizeof(*key), e);
	return e;
}

const struct auth_cached *
auth_cache_find(struct auth_cache *cache, const struct auth_key *key)
{
	struct entry *e = cache_entry_find(cache, key);

	if (e == NULL)
		return NULL;
	TABLE_MOVE_TO_END(cache->table, e);
	return &e->kept;
}

static struct entry *
cache_entry_new(const struct auth_key *key, const struct auth_answer *answer)
{
	struct entry *e = calloc(1, sizeof(*e) + answer->secret_len + 1);

	if (e == NULL)
		return NULL;
	e->key = *key;
	e->text_len = answer->secret_len;
	if (answer->secret != NULL) {
		memcpy(e->text, answer->secret, answer->secret_len);
		e->kept.secret = e->text;
	}
	e->kept.is_user = answer->is_user;
	e->kept.valid_until_us = answer->valid_until_us;
	return e;
}

void
auth_cache_put(struct auth_cache *cache, const struct auth_key *key, const struct auth_answer *answer, uint64_t ttl_us,
	       uint64_t now_us)
{
	struct entry *e = cache_entry_find(cache, key);

	if (e != NULL)
		cache_entry_drop(cache, e);
	if (ttl_us == 0)
		return;
	e = cache_entry_new(key, answer);
	if (e == NULL)
		return; /* the next login asks again */
	if (answer->secret == NULL && ttl_us > AUTH_UNKNOWN_US)
		ttl_us = AUTH_UNKNOWN_US;
	e->kept.answer_came_us = now_us;
	e->kept.expires_us = now_us + ttl_us;
	if (HASH_COUNT(cache->table) >= cache->cap)
		cache_entry_drop(cache, cache->table);
	if (!TABLE_ADD(cache->seed, cache->table, &e->key, sizeof(e->key), e))
		entry_free(e);
}

void
auth_cache_expire_answer(struct auth_cache *cache, const struct auth_key *key, uint64_t now_us)
{
	struct entry *e = cache_entry_find(cache, key);

	if (e != NULL && now_us - e->kept.answer_came_us >= AUTH_DOUBT_AFTER_US && e->kept.expires_us > now_us)
		e->kept.expires_us = now_us;
}

void
auth_cache_expire_all(struct auth_cache *cache, uint64_t now_us)
{
	for (struct entry *e = cache->table; e != NULL; e = e->hh.next)
		if (e->kept.expires_us > now_us)
			e->kept.expires_us = now_us;
}

void
auth_cache_clear(struct auth_cache *cache)
{
	while (cache->table != NULL)
		cache_entry_drop(cache, cache->table);
}

void
auth_cache_forget(struct auth_cache *cache, uint64_t source)
{
	struct entry *e, *next;

	HASH_ITER(hh, cache->table, e, next)
		if (e->key.source == source)
			cache_entry_drop(cache, e);
}

void
auth_cache_sweep(struct auth_cache *cache, uint64_t now_us)
{
	struct entry *e, *next;

	HASH_ITER(hh, cache->table, e, next)
		if (!auth_cached_is_usable(&e->kept, now_us))
			cache_entry_drop(cache, e);
}

bool
auth_cached_is_fresh(const struct auth_cached *kept, uint64_t now_us)
{
	return now_us < kept->expires_us;
}

bool
auth_cached_is_usable(const struct auth_cached *kept, uint64_t now_us)
{
	return now_us < kept->expires_us + AUTH_STALE_US;
}
