/*
 * src/policy/policy_shared.h - one pool on several workers: the state that its shards share.
 *
 * Each worker that serves the pool has a shard, i.e. a struct policy with a queue, idle connections and timers of its
 * own, used by that worker's thread alone. The shared policy (struct policy_shared) counts the connections of all
 * shards, so pool_size and max_overflow hold for all shards together; and the shared policy knows which shards have
 * waiters, and which have idle connections. A connection that becomes free is *transferred* to the shard whose client
 * has waited longest.
 *
 *   1. The shard that has the connection gives it up and calls ops->give, which posts the connection to the other
 *      worker. The connection's place stays taken.
 *   2. On the other worker, policy_arrive() takes the connection, or policy_shared_lost() gives its place back.
 *
 * A shard with waiters asks the shards that have idle connections. The shard opens a connection itself if no shard has
 * an idle one, or if no shard that was asked gives a connection within SHARD_ASK_US. A client may be overtaken by
 * clients that came a little later: by SHARD_LATE_US, plus the time of one transfer, plus one turn of either worker's
 * loop. A pool that lives on one worker has no shared policy, and its connections are never transferred.
 *
 * Always: the connections of all shards, including those in transfer, are no more than pool_size + max_overflow (after
 *         these settings were lowered, the number of connections only falls until this holds again); a transfer
 *         begins only if more clients wait in the shard than connections are already in transfer to it.
 */
#pragma once

#include "policy/policy_commons.h"

#include <stddef.h>

#define SHARDS_MAX 16 /* the most workers there may be */

struct policy_shared; /* opaque: policy_shared.c */

/* Returns the shared policy of this key (len bytes), which stays valid until policy_shared_put. If there is none, makes
 * it if may_make is true, else returns NULL. Returns NULL if out of memory. May be called on any thread. */
struct policy_shared *policy_shared_get(struct policy_commons *all, const void *key, size_t len, bool may_make);
/* Releases w after this worker's shard has left it. w is kept while connections are in transfer. NULL is fine. */
void policy_shared_put(struct policy_commons *all, struct policy_shared *w);
const void *policy_shared_key(const struct policy_shared *w, size_t *len); /* borrowed from w */

/* --- The shard's side: policy_shard.c; policy_arrive() is in policy.c. Call these on the thread of the shard. --- */

/* Makes p a shard of w, at any time and with any connections. If w is NULL, as at first, p is no shard. w must live
 * until it is replaced, or p is freed. */
void policy_set_shared(struct policy *p, struct policy_shared *w, uint64_t now_us);
/*
 * Call when conn, which ops->give has sent here, has arrived. conn is lent to the first waiter in the queue, or becomes
 * idle, or is closed if the pool was paused or reloaded while conn was in transfer. Returns false if conn was sent to
 * another shard than p: then the caller keeps conn, and must call policy_shared_lost().
 */
bool policy_arrive(struct policy *p, struct policy_conn *conn, uint64_t now_us);
bool policy_is_shard(const struct policy *p); /* returns true if p is a shard */
uint32_t policy_queue_length(const struct policy *p); /* clients that wait in all shards; only in p while p is paused */
/* policy.c. Adds the counts of p to *to, but leaves backoff_until_us and outage as they are. */
void policy_add_counts(const struct policy *p, struct policy_counts *to);
/* Returns how many connections are lent; for a shard, how many verified connections of all shards are not idle. */
uint32_t policy_count_busy(const struct policy *p);

/* --- policy_obstacle.c --- */
/* Returns true if clients in p's queue may get the place of a connection of the pool `of`, because `of` is a shard of
 * the same pool, or would give up a place under the cap that keeps p from opening more connections. If `of` belongs to
 * another worker, call this only while that worker's thread is stopped. */
bool policy_may_get_place_of(const struct policy *p, const struct policy *of);
bool policy_is_short_under_caps(
    const struct policy *p); /* returns true if a cap keeps p from opening connections it needs */

/* Call when conn was sent to a shard that can't use it: gives back the place of conn, which the caller then closes.
 * worker: the policy worker of this thread. Also works if all shards are gone. */
void policy_shared_lost(struct policy_conn *conn, struct policy_worker *worker, uint64_t now_us);
