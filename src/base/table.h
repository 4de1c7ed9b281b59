/*
 * src/base/table.h - hash tables of what is looked up by bytes: uthash, with one hash.
 *
 * Peers choose most keys, so a table has a seed of its own, of random bytes, which keeps them from choosing collisions.
 * The one that is found and added with must be the same; 0 is for keys that nobody chooses. A table's own memory is
 * from base/alloc.h. Items have a UT_hash_handle hh; HASH_DELETE, HASH_ITER and HASH_COUNT of uthash are used as they
 * are.
 */
#ifndef PGWEIR_BASE_TABLE_H
#define PGWEIR_BASE_TABLE_H

#include "base/alloc.h"

#undef uthash_fatal /* its header may have come before */
#define uthash_fatal(msg) abort()
#include <uthash.h>

/* Returns the hash of a key. */
unsigned table_hash(uint64_t seed, const void *key, size_t len);

/* Sets found to the item with this key, or to NULL. */
#define TABLE_FIND(seed, table, key, len, found)                                                                       \
	HASH_FIND_BYHASHVALUE(hh, table, key, (unsigned)(len), table_hash(seed, key, len), found)

/* Adds an item whose key, which stays where it is, is not there yet. */
#define TABLE_ADD(seed, table, key, len, item)                                                                         \
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, table, key, (unsigned)(len), table_hash(seed, key, len), item)

#endif
