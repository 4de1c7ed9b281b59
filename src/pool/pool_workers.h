/*
 * src/pool/pool_workers.h - chooses the workers on which each pool lives. A pool lives on one worker for good, or on
 * several workers, each with a shard of the pool (pool_shards_max()). See src/process/README.md.
 *
 * Only worker 0 calls these functions. A new pool gets the worker with the fewest clients; of several such workers, the
 * one with the fewest pools; and worker 0 only if no other worker is as good. Further shards are made as clients come,
 * on workers chosen likewise. The choice is remembered, because the pool may have servers on that worker. Beyond
 * KNOWN_POOLS_MAX pools, a hash of the pool's key chooses its only worker, and nothing is remembered.
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

/* Copies *split. seed: a random number. */
struct pool_workers *pool_workers_new(const struct pool_split *split, uint64_t seed);
void pool_workers_free(struct pool_workers *h); /* NULL is fine */
/*
 * Returns the number of the worker for a new client of this pool: of the workers with a shard, the one with the fewest
 * clients. But if the pool may have another shard, and a worker without a shard has fewer clients, returns that worker,
 * which is to have a shard from then on. database and user: as for pool_set_get_or_create(). clients: how many clients
 * are on worker 0. Returns POOL_NO_WORKER with *why set, such as 3D000 for an unknown database. If there is only one
 * worker, always returns 0.
 */
uint32_t pool_workers_choose(struct pool_workers *h, const struct config *config, const char *database,
			     const char *user, uint32_t clients, struct fail *why);
/* Returns true if worker `number` has, or is to have, a shard of this pool. If no worker has a shard of the pool yet,
 * chooses one first, as pool_workers_choose() does. */
bool pool_workers_check_shard(struct pool_workers *h, const struct config *config, const char *database,
			      const char *user, uint32_t number);
/* Counts one more client on worker `number`. Call when a client is about to leave worker 0 for that worker, or is made
 * there. */
void pool_workers_client_moved(struct pool_workers *h, uint32_t number);
/* Counts one client fewer on worker `number`. Call when worker 0 has heard that a client there has ended. */
void pool_workers_client_ended(struct pool_workers *h, uint32_t number);
/* Call when worker `number` does not answer (is_silent), or answers again. While a worker is silent, new clients go to
 * other workers if possible. */
void pool_workers_set_silent(struct pool_workers *h, uint32_t number, bool is_silent);
/* Returns how many clients are on workers other than worker 0. */
uint32_t pool_workers_count_moved_clients(const struct pool_workers *h);

/* --- pool_fresh.c: the settings of a fresh server, i.e. one that has just logged in, for all shards of a pool. A shard
 * sends these settings to its clients, but may never have opened a server itself. --- */

struct policy_commons; /* policy/policy_commons.h */
struct pool_fresh; /* the settings for one pool; opaque: pool_fresh.c */

/* Returns the object of the pool with this pool_key(), valid until pool_fresh_put(); NULL if out of memory. These
 * functions may be called on any thread. */
struct pool_fresh *pool_fresh_get_or_create(struct policy_commons *all, const void *key, size_t len);
void pool_fresh_put(struct policy_commons *all, struct pool_fresh *f); /* f may be NULL */
/* Reports that servers that have logged in since since_us have these settings. Copies both GUC sets. If out of memory,
 * does nothing. */
void pool_fresh_report(struct pool_fresh *f, const struct gucs *baseline, const struct gucs *login_parameters,
		       uint64_t since_us);
/* Returns true if the settings that a shard has reported last were seen after *since_us. Then sets *since_us to when
 * they were seen, and *baseline and *login_parameters to GUC sets in `store`, with references that the caller releases.
 * If false is returned, the three values are undefined. */
bool pool_fresh_take(struct pool_fresh *f, struct guc_store *store, struct gucs **baseline,
		     struct gucs **login_parameters, uint64_t *since_us);

struct pool_set;
/* pool_transfer.c. Call on the thread of set when the worker of `silent` does not answer. Closes the servers that were
 * sent to that worker and have not arrived there, and gives their places in max_server_connections back. */
void pool_transfer_close_stranded(const struct pool_set *set, const struct pool_set *silent);
