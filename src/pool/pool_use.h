/*
 * src/pool/pool_use.h - which pools are looked at how often: those with servers, or of which something is to be told,
 * at each tick, the others in turn; and how much of each is in use.
 */
#pragma once

#include "pool/pool.h"

void pool_use_begin(struct pool *pool); /* a new one */
void pool_use_end(struct pool *pool);
/* The pool has a server from now on, or is_watched: it is looked at at each tick. */
void pool_is_active(struct pool *pool);
bool pool_use_rests(struct pool *pool); /* returns true if it need not be looked at at each tick any more */
/* Returns the next pool behind before (NULL: the first) that has servers, or is_watched. */
struct pool *pool_use_next_active(const struct pool_set *set, const struct pool *before);
struct pool *pool_use_next_bare(struct pool_set *set); /* of those that have no server, in turn */
uint32_t pool_use_bare_at_once(const struct pool_set *set); /* how many of those are looked at in a tick */
void pool_use_look(struct pool *pool, uint64_t now_us);
