/*
 * src/policy/policy_shared.h - one pool on several workers: the state that its shards share.
 *
 * Each worker that serves the pool has a shard: a struct policy with a queue, idle connections and timers of its own,
 * used by that worker's thread alone. The shared policy counts the places of all, so pool_size and max_overflow hold
 * for all shards together; it knows which shards have waiters, and which have idle connections. A connection that comes
 * free goes to the shard whose client has waited longest: it is transferred.
 *
 *   1. The shard that has the connection gives it up and calls ops->give, which posts it to the other worker. The
 *      connection's place stays taken.
 *   2. There policy_arrive() takes the connection, or policy_shared_lost() gives its place back.
 *
 * A shard with waiters asks the shards that have idle connections. It opens a connection itself if no shard has an idle
 * connection, or if no shard that was asked gives a connection within SHARD_ASK_US. No client is overtaken by a client
 * that came more than SHARD_LATE_US later, except for the time that one transfer and one turn of either worker's loop
 * take. A pool that lives on one worker has no shared policy, and its connections are never transferred.
 *
 * Always: the connections of all shards, including those in transfer, are no more than pool_size + max_overflow (after
 *         these settings were lowered, the number only falls); no more connections are in transfer to a shard than
 *         clients wait there.
 */
#pragma once

#include "policy/policy_commons.h"

#include <stddef.h>

#define SHARDS_MAX 16 /* the most workers there may be */

struct policy_shared; /* opaque: policy_shared.c */

/* Returns the shared policy of this key (len bytes), which stays valid until policy_shared_put. Returns NULL without
 * memory, or if there is no shared policy of this key and may_make is false. On any thread. */
struct policy_shared *policy_shared_get(struct policy_commons *all, const void *key, size_t len, bool may_make);
/* Call this after the shard of this worker has left w. The shared policy is kept while connections are in transfer.
 * NULL is fine. */
void policy_shared_put(struct policy_commons *all, struct policy_shared *w);
const void *policy_shared_key(const struct policy_shared *w, size_t *len);

/* --- The shard's side: policy_shard.c; policy_arrive() is in policy.c. Call these on the thread of the shard. --- */

/* Makes p a shard of w, at any time and with any connections. If w is NULL, as at first, p is no shard. w must live
 * until it is replaced, or p is freed. */
void policy_set_shared(struct policy *p, struct policy_shared *w, uint64_t now_us);
/*
 * A connection that ops->give has sent here has arrived. It is lent to the first in the queue, or becomes idle, or is
 * closed if the pool was paused or reloaded since it left. Returns false if p is not the shard that it was sent to:
 * then the caller keeps conn, and must call policy_shared_lost().
 */
bool policy_arrive(struct policy *p, struct policy_conn *conn, uint64_t now_us);
bool policy_is_split(const struct policy *p); /* returns true if p is a shard */
uint32_t policy_queue_length(const struct policy *p); /* returns how many clients wait in all shards */
void policy_add_counts(const struct policy *p, struct policy_counts *to); /* policy.c; adds all but back-off, outage */
/* Returns how many connections are lent; if the pool is split, how many connections of all shards are not idle. */
uint32_t policy_busy(const struct policy *p);

/* --- policy_obstacle.c --- */
/* Returns true if a connection of the pool `of` may have the place that clients in p's queue wait for: `of` is a shard
 * of the same pool; or `of` has places under the cap that keeps p from opening more, and would give up a place. If `of`
 * belongs to another worker, call this only while that worker's thread is stopped. */
bool policy_waits_for(const struct policy *p, const struct policy *of);
bool policy_waits_for_cap(const struct policy *p);

/* conn was sent to a shard that can't use it: its place is given back, and the caller closes it. r: the policy worker
 * of this thread. Also works if all shards are gone. */
void policy_shared_lost(struct policy_conn *conn, struct policy_worker *r, uint64_t now_us);
