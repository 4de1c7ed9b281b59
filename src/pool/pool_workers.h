/*
 * src/pool/pool_workers.h - the workers on which each pool lives: on one, always the same, or as shards on several
 * (pool_shards()). src/process/README.md.
 *
 * Only worker 0 uses this. A new pool gets the worker with the fewest clients, and of equal ones not worker 0. Further
 * shards are made as clients come, each on the worker that has the fewest clients. The choice is kept, as servers may
 * be left there; beyond KNOWN_POOLS_MAX the hash of a pool decides, and no choice is remembered.
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
 * Returns the number of the worker that gets a client of this pool: of the workers with a shard, the one with the
 * fewest clients. database and user: as for pool_set_find(). clients: how many are on worker 0. Returns POOL_NO_WORKER
 * with *why set: 3D000 for an unknown database. With one worker it always returns 0.
 */
uint32_t pool_workers_find(struct pool_workers *h, const struct config *config, const char *database, const char *user,
			   uint32_t clients, struct fail *why);
/* Returns true if that worker has, or is to have, a shard of this pool; some worker has one after the call. */
bool pool_workers_has(struct pool_workers *h, const struct config *config, const char *database, const char *user,
		      uint32_t number);
/* A client is to leave worker 0 for that worker, or is made there. */
void pool_workers_left(struct pool_workers *h, uint32_t number);
/* A client of that worker has ended there, as far as worker 0 has heard. */
void pool_workers_ended(struct pool_workers *h, uint32_t number);
/* That worker does not answer (is_silent), or answers again. While it does not, clients that can go to another
 * worker do. */
void pool_workers_set_silent(struct pool_workers *h, uint32_t number, bool is_silent);
/* Returns how many clients have left worker 0, and have not ended. */
uint32_t pool_workers_away(const struct pool_workers *h);

/* --- pool_fresh.c: the settings of a pool's fresh server, for all its shards. A shard may never have had a fresh
 * server of its own, but has to send these settings to its clients. --- */

struct policy_commons; /* policy/policy_commons.h */
struct pool_fresh; /* of one pool; opaque: pool_fresh.c */

/* Returns the object of this pool_key(), the caller's until pool_fresh_put(); NULL without memory. On any thread. */
struct pool_fresh *pool_fresh_get(struct policy_commons *all, const void *key, size_t len);
void pool_fresh_put(struct policy_commons *all, struct pool_fresh *f); /* NULL is fine */
/* Servers have shown these settings since since_us; they are copied. Without memory the call has no effect. */
void pool_fresh_tell(struct pool_fresh *f, const struct gucs *baseline, const struct gucs *welcome, uint64_t since_us);
/* Returns true if a shard has told settings that were seen after *since_us. Sets *since_us, and both GUC sets to
 * sets of this store, whose references are the caller's. */
bool pool_fresh_take(struct pool_fresh *f, struct guc_store *store, struct gucs **baseline, struct gucs **welcome,
		     uint64_t *since_us);

struct pool_set;
/* pool_transfer.c, on the thread of set. The worker of silent does not answer: closes the servers that were sent
 * there and have not arrived, and gives their places back. */
void pool_transfer_take_back(const struct pool_set *set, const struct pool_set *silent);
