/*
 * src/pool/pool_workers.h - the workers on which each pool lives: one, which stays the same, or several, each with a
 * shard (pool_shards()). See src/process/README.md.
 *
 * Only worker 0 calls these functions. A new pool gets the worker with the fewest clients; of equal workers, worker 0
 * comes last. Further shards are made as clients come, each on the worker that has the fewest clients. The choice is
 * remembered, because servers may be left on that worker. Beyond KNOWN_POOLS_MAX pools the hash of a pool decides, and
 * nothing is remembered.
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
 * Returns the number of the worker that gets a client of this pool: the worker with the fewest clients among the
 * workers with a shard of the pool and, if the pool may have another shard, among all others; a worker without a shard
 * is to have one from then on. database and user: as for pool_set_get(). clients: how many clients are on worker 0.
 * Returns POOL_NO_WORKER with *why set: 3D000 for an unknown database. With one worker it always returns 0.
 */
uint32_t pool_workers_find(struct pool_workers *h, const struct config *config, const char *database, const char *user,
			   uint32_t clients, struct fail *why);
/* Returns true if that worker has, or is to have, a shard of this pool. If no worker has a shard of the pool yet,
 * chooses one first, as pool_workers_find() does. */
bool pool_workers_has_shard(struct pool_workers *h, const struct config *config, const char *database, const char *user,
			    uint32_t number);
/* Counts a client of that worker. Call when a client is about to leave worker 0 for that worker, or is made there. */
void pool_workers_client_moved(struct pool_workers *h, uint32_t number);
/* Counts one client less. Call when worker 0 has heard that a client of that worker has ended. */
void pool_workers_client_ended(struct pool_workers *h, uint32_t number);
/* Call when that worker does not answer (is_silent), or answers again. While the worker is silent, new clients go to
 * other workers where that is possible. */
void pool_workers_set_silent(struct pool_workers *h, uint32_t number, bool is_silent);
/* Returns how many clients are on other workers than worker 0. */
uint32_t pool_workers_away(const struct pool_workers *h);

/* --- pool_fresh.c: the settings of a pool's fresh server, for all its shards. A shard sends these settings to its
 * clients, but may never have had a fresh server of its own. --- */

struct policy_commons; /* policy/policy_commons.h */
struct pool_fresh; /* of one pool; opaque: pool_fresh.c */

/* Returns the object of this pool_key(), valid until pool_fresh_put(); NULL without memory. On any thread. */
struct pool_fresh *pool_fresh_get(struct policy_commons *all, const void *key, size_t len);
void pool_fresh_put(struct policy_commons *all, struct pool_fresh *f); /* NULL is fine */
/* Fresh servers have had these settings since since_us; they are copied. Without memory, nothing happens. */
void pool_fresh_tell(struct pool_fresh *f, const struct gucs *baseline, const struct gucs *login_parameters,
		     uint64_t since_us);
/* Returns true if a shard has reported settings that were seen after *since_us. Then sets *since_us to the time of that
 * report, and *baseline and *login_parameters to references to GUC sets in `store`, which the caller releases. If false
 * is returned, these three values are undefined. */
bool pool_fresh_take(struct pool_fresh *f, struct guc_store *store, struct gucs **baseline,
		     struct gucs **login_parameters, uint64_t *since_us);

struct pool_set;
/* pool_transfer.c, on the thread of set. The worker of `silent` does not answer: closes the servers that were sent to
 * it and have not arrived, and gives their places back. */
void pool_transfer_take_back(const struct pool_set *set, const struct pool_set *silent);
