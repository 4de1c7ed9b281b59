/* src/session/statement_store.c - see statement_store.h. */
#include "session/statement_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define XXH_INLINE_ALL
#include <xxhash.h>
#define uthash_fatal(msg) abort()
#include <uthash.h>

struct entry {
	struct statement st; /* first: a statement is its entry */
	struct statement_store *store;
	uint32_t refs;
	uint32_t hash;
	bool is_shared; /* in the table */
	UT_hash_handle hh;
	TAILQ_ENTRY(entry) idle; /* while refs is 0 */
	uint8_t bytes[];
};

struct statement_store {
	uint64_t seed, next_id;
	size_t bytes, idle_bytes, idle_bytes_max, count;
	struct entry *table;
	TAILQ_HEAD(, entry) idle; /* first: unused for longest */
};

struct statement_store *
statement_store_new(uint64_t seed, size_t idle_bytes_max)
{
	struct statement_store *store = calloc(1, sizeof(*store));

	if (store == NULL)
		return NULL;
	store->seed = seed;
	store->idle_bytes_max = idle_bytes_max;
	TAILQ_INIT(&store->idle);
	return store;
}

static size_t
size_of(const struct entry *e)
{
	return sizeof(*e) + e->st.len;
}

static void
entry_free(struct entry *e)
{
	struct statement_store *store = e->store;

	if (e->is_shared)
		HASH_DELETE(hh, store->table, e);
	store->bytes -= size_of(e);
	store->count--;
	free(e);
}

static void
trim(struct statement_store *store, size_t to)
{
	while (store->idle_bytes > to) {
		struct entry *e = TAILQ_FIRST(&store->idle);

		TAILQ_REMOVE(&store->idle, e, idle);
		store->idle_bytes -= size_of(e);
		entry_free(e);
	}
}

void
statement_store_free(struct statement_store *store)
{
	if (store == NULL)
		return;
	trim(store, 0);
	free(store);
}

static void
give_name(struct statement_store *store, struct statement *st)
{
	st->id = ++store->next_id;
	st->name_len =
	    (uint8_t)snprintf(st->name, sizeof(st->name), STATEMENT_PREFIX "%llu", (unsigned long long)st->id);
	st->valid_pool = st->valid_image = NULL;
}

static struct entry *
entry_new(struct statement_store *store, const uint8_t *bytes, size_t len, size_t query_len)
{
	struct entry *e = calloc(1, sizeof(*e) + len);

	if (e == NULL)
		return NULL;
	memcpy(e->bytes, bytes, len);
	e->st.bytes = e->bytes;
	e->st.len = len;
	e->st.query_len = query_len;
	give_name(store, &e->st);
	e->store = store;
	e->refs = 1;
	store->bytes += size_of(e);
	store->count++;
	return e;
}

struct statement *
statement_get(struct statement_store *store, const uint8_t *bytes, size_t len, size_t query_len)
{
	uint64_t wide = XXH3_64bits_withSeed(bytes, len, store->seed);
	uint32_t hash = (uint32_t)(wide ^ wide >> 32);
	struct entry *e;

	/* uthash compares the key's bytes, so equal hashes of unequal texts stay apart. */
	HASH_FIND_BYHASHVALUE(hh, store->table, bytes, (unsigned)len, hash, e);
	if (e != NULL) {
		statement_ref(&e->st);
		return &e->st;
	}
	e = entry_new(store, bytes, len, query_len);
	if (e == NULL)
		return NULL;
	e->hash = hash;
	e->is_shared = true;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, store->table, e->bytes, (unsigned)len, hash, e);
	return &e->st;
}

struct statement *
statement_new_unshared(struct statement_store *store, const uint8_t *bytes, size_t len, size_t query_len)
{
	struct entry *e = entry_new(store, bytes, len, query_len);

	return e == NULL ? NULL : &e->st;
}

void
statement_store_renew_all(struct statement_store *store)
{
	for (struct entry *e = store->table; e != NULL; e = e->hh.next)
		give_name(store, &e->st);
}

struct statement *
statement_ref(struct statement *st)
{
	struct entry *e = (struct entry *)st;

	if (e->refs++ == 0) {
		TAILQ_REMOVE(&e->store->idle, e, idle);
		e->store->idle_bytes -= size_of(e);
	}
	return st;
}

void
statement_unref(struct statement *st)
{
	struct entry *e = (struct entry *)st;

	if (e == NULL || --e->refs > 0)
		return;
	if (!e->is_shared) {
		entry_free(e);
		return;
	}
	TAILQ_INSERT_TAIL(&e->store->idle, e, idle);
	e->store->idle_bytes += size_of(e);
	trim(e->store, e->store->idle_bytes_max);
}

size_t
statement_store_count(const struct statement_store *store)
{
	return store->count;
}

size_t
statement_store_bytes(const struct statement_store *store)
{
	return store->bytes;
}

void
statement_store_each(const struct statement_store *store,
		     void (*row)(const struct statement *st, uint32_t refs, void *arg), void *arg)
{
	const struct entry *e, *next;

	HASH_ITER(hh, store->table, e, next)
	{
		row(&e->st, e->refs, arg);
	}
}
