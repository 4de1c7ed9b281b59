/*
 * src/base/table.h - hash tables whose keys are bytes (uthash, with another hash function), and a heap of items that is
 * ordered by the times at which the items are due.
 *
 * Clients and servers choose most keys. A random seed, which every call for a table must pass, prevents peers from
 * choosing keys that collide; tables whose keys pgweir itself chooses have the seed 0. Every item has a member
 * `UT_hash_handle hh`. HASH_DELETE, HASH_ITER, HASH_COUNT and so on of uthash are used directly.
 *
 * Always: if memory runs out, an item is not added, and the table stays valid.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* For TABLE_ADD_BY_HASH: returns true if the item was added. If there is no memory, uthash leaves item_table NULL. */
__attribute__((warn_unused_result)) static inline bool
table_was_added(const UT_hash_table *item_table)
{
	return item_table != NULL;
}

unsigned table_hash(uint64_t seed, const void *key, size_t len);

/* Sets `found` to the item with this key, or to NULL if there is none. */
#define TABLE_FIND(seed, table, key, len, found)                                                                       \
	HASH_FIND_BYHASHVALUE(hh, table, key, (unsigned)(len), table_hash(seed, key, len), found)

/* Adds an item whose key is not in the table yet. The key is not copied, and must stay where it is. Yields true, or
 * false if there is no memory. */
#define TABLE_ADD(seed, table, key, len, item) TABLE_ADD_BY_HASH(table, key, len, table_hash(seed, key, len), item)

/* Does what TABLE_ADD does, with a hash that the caller has computed. */
#define TABLE_ADD_BY_HASH(table, key, len, hash, item)                                                                 \
	table_was_added(({                                                                                             \
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, table, key, (unsigned)(len), hash, item);                              \
		(item)->hh.tbl;                                                                                        \
	}))

/* Allocates a zeroed item, copies the key and a NUL to the item's last member, `member`, and adds the item. Yields it,
 * or NULL if there is no memory. */
#define TABLE_ADD_NEW(seed, table, member, key, len)                                                                   \
	TABLE_ADD_NEW_BY_HASH(table, member, key, len, table_hash(seed, key, len))

/* Does what TABLE_ADD_NEW does, with a hash that the caller has computed. */
#define TABLE_ADD_NEW_BY_HASH(table, member, key, len, hash)                                                           \
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

/* Removes all items and frees each by free(), so items must not own other memory. */
#define TABLE_FREE(table)                                                                                              \
	do {                                                                                                           \
		__typeof__(table) item_, next_;                                                                        \
		HASH_ITER(hh, table, item_, next_) {                                                                   \
			HASH_DELETE(hh, table, item_);                                                                 \
			free(item_);                                                                                   \
		}                                                                                                      \
	} while (0)

/* Moves an item to the end of the order in which HASH_ITER visits items. If each use of an item calls this, the first
 * item is always the least recently used. */
#define TABLE_MOVE_TO_END(table, item) ((table) = table_move_to_end((table), &(item)->hh))
void *table_move_to_end(void *first, UT_hash_handle *item); /* returns the first item after the move */

/*
 * --- due.c: a binary heap of items ordered by time, for code that has many timed items and handles only due items.
 *
 * Owns: the array of pointers to items, not the items.
 */

/* Embedded in an item. */
struct due {
	uint64_t at_us; /* when the item is due */
	size_t place; /* position in the heap, counted from 1; 0 if the item is not in the heap */
};

/* A zeroed heap is empty. */
struct due_heap {
	struct due **items;
	size_t count, cap;
};

/* makes room for count items in all; returns false if there is no memory */
bool due_reserve(struct due_heap *h, size_t count);
void due_heap_fini(struct due_heap *h); /* frees the array, not the items */
/* Adds d to the heap with the time at_us; changes d's time if d is there already. due_reserve() must have made room. */
void due_set(struct due_heap *h, struct due *d, uint64_t at_us);
void due_remove(struct due_heap *h, struct due *d); /* does nothing if d is not in the heap */
/* Returns the item that is due first, or NULL if the heap is empty. */
static inline struct due *
due_first(const struct due_heap *h)
{
	return h->count == 0 ? NULL : h->items[0];
}
