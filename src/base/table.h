/*
 * src/base/table.h - hash tables whose keys are bytes (uthash, with another hash function), and a heap of items by the
 * time at which they are due.
 *
 * Clients and servers choose most keys, so each table has a random seed, without which they could choose keys that
 * collide. All calls for one table take the same seed; it is 0 for keys that pgweir itself chooses. Items have a
 * UT_hash_handle hh; HASH_DELETE, HASH_ITER and HASH_COUNT of uthash are used directly.
 *
 * Always: without memory an item is not added, and the table stays valid.
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

/* Sets found to the item with this key, or to NULL if there is none. */
#define TABLE_FIND(seed, table, key, len, found)                                                                       \
	HASH_FIND_BYHASHVALUE(hh, table, key, (unsigned)(len), table_hash(seed, key, len), found)

/* Adds an item whose key is not in the table yet; the key stays where it is. Yields true, or false without memory. */
#define TABLE_ADD(seed, table, key, len, item) TABLE_ADD_BY_HASH(table, key, len, table_hash(seed, key, len), item)

/* Does what TABLE_ADD does, with a hash that the caller has computed. */
#define TABLE_ADD_BY_HASH(table, key, len, hash, item)                                                                 \
	table_has_room(({                                                                                              \
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, table, key, (unsigned)(len), hash, item);                              \
		(item)->hh.tbl;                                                                                        \
	}))

/* Makes a zeroed item whose last member is a copy of its key with a NUL after it, and adds the item. Yields NULL
 * without memory. */
#define TABLE_MAKE(seed, table, member, key, len)                                                                      \
	TABLE_MAKE_BY_HASH(table, member, key, len, table_hash(seed, key, len))

/* Does what TABLE_MAKE does, with a hash that the caller has computed. */
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

/* Removes and frees all items; an item must not own other memory. */
#define TABLE_FREE(table)                                                                                              \
	do {                                                                                                           \
		__typeof__(table) item_, next_;                                                                        \
		HASH_ITER(hh, table, item_, next_) {                                                                   \
			HASH_DELETE(hh, table, item_);                                                                 \
			free(item_);                                                                                   \
		}                                                                                                      \
	} while (0)

/* Moves an item to the end in the order of HASH_ITER. If this is called at each use of an item, the first item is the
 * least recently used. */
#define TABLE_USE(table, item) ((table) = table_use((table), &(item)->hh))
void *table_use(void *first, UT_hash_handle *item); /* returns the first item after the move */

/*
 * --- due.c: a binary heap of items ordered by time, for code that has many timed items and handles only those that are
 * due.
 *
 * Owns: the list of items, not the items.
 */
struct due {
	uint64_t at_us;
	size_t place; /* position in the heap, from 1 on; 0 if it is not in the heap */
};

/* A zeroed heap is empty. */
struct due_heap {
	struct due **items;
	size_t count, cap;
};

/* makes room for count items in all; returns false without memory */
bool due_reserve(struct due_heap *h, size_t count);
void due_free(struct due_heap *h); /* frees only the list */
/* Adds d, due at at_us, or changes the time of d if it is in the heap. The caller must have reserved room for d. */
void due_set(struct due_heap *h, struct due *d, uint64_t at_us);
void due_remove(struct due_heap *h, struct due *d); /* does nothing if d is not in the heap */
static inline struct due *
due_first(const struct due_heap *h)
{
	return h->count == 0 ? NULL : h->items[0];
}
