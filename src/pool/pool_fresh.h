/* src/pool/pool_fresh.h - what a fresh server of a pool shows, for all parts of the pool: a part may never have had a
 * fresh one of its own, and its clients are to be greeted all the same. */
#pragma once

#include "session/image.h"

#include <stdatomic.h>

struct pool_fresh; /* one pool's; opaque: pool_fresh.c */
struct pool_fresh_all; /* of a process; opaque */

struct pool_fresh_all *pool_fresh_all_new(uint64_t seed);
void pool_fresh_all_free(struct pool_fresh_all *all); /* after the pools; NULL is fine */

/* From any thread. Returns the one of this pool_key(), the caller's until pool_fresh_put(); NULL without memory. */
struct pool_fresh *pool_fresh_get(struct pool_fresh_all *all, const void *key, size_t len);
void pool_fresh_put(struct pool_fresh_all *all, struct pool_fresh *f); /* NULL is fine */
/* Servers have shown these settings since since_us; they are copied. Without memory nobody is told. */
void pool_fresh_tell(struct pool_fresh *f, const struct image *baseline, const struct image *welcome,
		     uint64_t since_us);
/* Returns true if somebody has told what was seen after *since_us: sets that, and both images to ones of this store,
 * the caller's references. */
bool pool_fresh_hear(struct pool_fresh *f, struct image_store *store, struct image **baseline, struct image **welcome,
		     uint64_t *since_us);
