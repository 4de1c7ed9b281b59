/*
 * src/base/table.h - hash tables of what is looked up by bytes: uthash, with one hash. And a heap of what is due.
 *
 * Peers choose most keys, so a table has a seed of its own, of random bytes, which keeps them from choosing collisions.
 * The one that is found and added with must be the same; 0 is for keys that nobody chooses. Without
 * memory an item is not added. Items have a UT_hash_handle hh; HASH_DELETE, HASH_ITER and HASH_COUNT of uthash are used
 * as they are.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

__attribute__((warn_unused_result)) static inline bool
table_has_room(const UT_hash_table *of_item)
{
	return of_item != NULL;
}

unsigned table_hash(uint64_t seed, const void *key, size_t len);

/* Sets found to the item with this key, or to NULL. */
#define TABLE_FIND(seed, table, key, len, found)                                                                       \
	HASH_FIND_BYHASHVALUE(hh, table, key, (unsigned)(len), table_hash(seed, key, len), found)

/* Adds an item whose key, which stays where it is, is not there yet. Yields true, or false: no memory. */
#define TABLE_ADD(seed, table, key, len, item) TABLE_ADD_BY_HASH(table, key, len, table_hash(seed, key, len), item)

/* The same for a table with a hash of its own. */
#define TABLE_ADD_BY_HASH(table, key, len, hash, item)                                                                 \
	table_has_room(({                                                                                              \
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, table, key, (unsigned)(len), hash, item);                              \
		(item)->hh.tbl;                                                                                        \
	}))

/* Makes an item, zeroed, whose last member is a copy of its key, with a NUL behind it, and adds it; NULL: no memory. */
#define TABLE_MAKE(seed, table, member, key, len)                                                                      \
	TABLE_MAKE_BY_HASH(table, member, key, len, table_hash(seed, key, len))

/* The same for a hash that is known. */
#define TABLE_MAKE_BY_HASH(table, member, key, len, hash)                                                              \
	({                                                                                                             \
		__typeof__(table) made_ = calloc(1, sizeof(*made_) + (len) + 1);                                       \
		if (made_ != NULL)                                                                                     \
			memcpy(made_->member, key, len);                                                               \
		if (made_ != NULL && !TABLE_ADD_BY_HASH(table, made_->member, len, hash, made_)) {                     \
			free(made_);                                                                                   \
			made_ = NULL;                                                                                  \
		}                                                                                                      \
		made_;                                                                                                 \
	})

/* Takes all items out, and frees each: they own nothing. */
#define TABLE_FREE(table)                                                                                              \
	do {                                                                                                           \
		__typeof__(table) item_, next_;                                                                        \
		HASH_ITER(hh, table, item_, next_) {                                                                   \
			HASH_DELETE(hh, table, item_);                                                                 \
			free(item_);                                                                                   \
		}                                                                                                      \
	} while (0)

/* Puts an item behind all others in the order of HASH_ITER: if each use does, the first is the least recently used. */
#define TABLE_USE(table, item) ((table) = table_use((table), &(item)->hh))
void *table_use(void *first, UT_hash_handle *item); /* returns the first item then */

/*
 * --- due.c: what is due first: a binary heap, so that whoever has many things to do at given times touches only those
 * that are due.
 *
 * Owns: the list of items, not these.
 */
struct due {
	uint64_t at_us;
	size_t place; /* in the heap, from 1; 0: it is not there */
};

/* Zeroed, it is empty. */
struct due_heap {
	struct due **items;
	size_t count, cap;
};

bool due_reserve(struct due_heap *h, size_t count); /* for so many items; false: no memory */
void due_free(struct due_heap *h); /* the list alone */
/* d: due at that time from now on, whether or not it was there. There is room for it. */
void due_set(struct due_heap *h, struct due *d, uint64_t at_us);
void due_remove(struct due_heap *h, struct due *d); /* fine if it is not there */
static inline struct due *
due_first(const struct due_heap *h)
{
	return h->count == 0 ? NULL : h->items[0];
}
