/*
 * src/pool/pool_workers.h - on which workers each pool lives: all of it on one, and always on the same, or shards of it
 * on several (pool_shards()). src/process/README.md.
 *
 * Only worker 0 uses it. A pool that comes into being gets the worker with the fewest clients, and of equal ones not
 * worker 0. Further shards come into being as clients do, each for the worker that has the fewest. The choice is kept,
 * as servers may be left there; beyond KNOWN_POOLS_MAX the hash of a pool decides, and nothing is remembered.
 */
#pragma once

#include "base/fail.h"
#include "session/gucs.h"

#include <stdbool.h>
#include <stdint.h>

#define POOL_NO_WORKER UINT32_MAX

struct config;
struct pool_split; /* pool_set.h */
struct pool_workers; /* opaque: pool_workers.c */

/* *split is copied. seed: random. */
struct pool_workers *pool_workers_new(const struct pool_split *split, uint64_t seed);
void pool_workers_free(struct pool_workers *h); /* NULL is fine */
/*
 * Returns the number of the worker that a client of this pool is for: of those that have a shard, the one with the
 * fewest clients. pool_set_find() has database and user; clients: those on worker 0. Returns POOL_NO_WORKER with *why
 * set: 3D000 for an unknown database. With one worker it is always 0.
 */
uint32_t pool_workers_find(struct pool_workers *h, const struct config *config, const char *database, const char *user,
			   uint32_t clients, struct fail *why);
/* Returns true if that worker has, or is to have, a shard of this pool; some worker has one then. */
bool pool_workers_has(struct pool_workers *h, const struct config *config, const char *database, const char *user,
		      uint32_t number);
/* A client is to leave worker 0 for another, or is made there; and its end there has come, or been heard of. */
void pool_workers_left(struct pool_workers *h, uint32_t number);
void pool_workers_ended(struct pool_workers *h, uint32_t number);
/* That worker does not answer, or does again: until then nobody is sent there who could have another worker. */
void pool_workers_set_silent(struct pool_workers *h, uint32_t number, bool is_silent);
/* Returns how many clients have left worker 0, and have not ended. */
uint32_t pool_workers_away(const struct pool_workers *h);

/* --- pool_fresh.c: what a fresh server of a pool shows, for all shards of the pool: a shard may never have had a fresh
 * one of its own, and its clients are to be greeted all the same. --- */

struct policy_commons; /* policy/policy_commons.h */
struct pool_fresh; /* one pool's; opaque: pool_fresh.c */

/* From any thread. Returns the one of this pool_key(), the caller's until pool_fresh_put(); NULL without memory. */
struct pool_fresh *pool_fresh_get(struct policy_commons *all, const void *key, size_t len);
void pool_fresh_put(struct policy_commons *all, struct pool_fresh *f); /* NULL is fine */
/* Servers have shown these settings since since_us; they are copied. Without memory nobody is told. */
void pool_fresh_tell(struct pool_fresh *f, const struct gucs *baseline, const struct gucs *welcome, uint64_t since_us);
/* Returns true if somebody has told what was seen after *since_us: sets that, and both GUC sets to ones of this store,
 * the caller's references. */
bool pool_fresh_take(struct pool_fresh *f, struct guc_store *store, struct gucs **baseline, struct gucs **welcome,
		     uint64_t *since_us);

struct pool_set;
/* pool_transfer.c, on the thread of set. The worker of silent does not answer: closes the servers that were sent there
 * and have not arrived, and gives their places back. */
void pool_transfer_take_back(const struct pool_set *set, const struct pool_set *silent);
