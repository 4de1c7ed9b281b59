/*
 * src/policy/policy_shared.h - one pool on several workers: what its shards share.
 *
 * Each worker that serves the pool has a shard: a struct policy with a line, idle connections and timers of its own,
 * used by that worker's thread alone. The shared policy counts the places of all, so that pool_size and max_overflow
 * hold for all shards together; it knows who waits where, and which shard has idle connections. A connection that comes
 * free goes to the shard in which somebody has waited for longest: it is transferred.
 *
 *   1. The shard that has it gives it up and calls ops->give, which posts it to the other worker. Its place stays
 * taken.
 *   2. There policy_arrive() takes it, or policy_shared_lost() gives its place back.
 *
 * A shard in which somebody waits asks the shards that have idle ones, and opens one itself if none of them gives any
 * within ASK_US, or none has any. Nobody is overtaken by one who came more than LATE_US later, but for the time of one
 * transfer and of the turn of a loop on either side. A pool that lives on one worker has no shared policy, and nothing
 * of this is done for it.
 *
 * Always: the connections of all shards, those that are transferred among them, are no more than pool_size +
 * max_overflow (or, after that was lowered, their number only falls); no more are on their way to a shard than wait
 * there.
 */
#pragma once

#include "policy/policy_commons.h"

#include <stddef.h>

#define SHARDS_MAX 16 /* as many as there may be workers */

struct policy_shared; /* opaque: policy_shared.c */

/* Returns the one of this key (len bytes), the caller's until policy_shared_put; NULL without memory, or if nobody has
 * it and may_make is false. On any thread. */
struct policy_shared *policy_shared_get(struct policy_commons *all, const void *key, size_t len, bool may_make);
/* After its shard has left. It is kept for as long as one is transferred. NULL is fine. */
void policy_shared_put(struct policy_commons *all, struct policy_shared *w);
const void *policy_shared_key(const struct policy_shared *w, size_t *len);

/* --- The shard's: policy_shard.c; policy_arrive() is in policy.c. On the thread of the shard. --- */

/* p becomes a shard of w, at any time, whatever connections it has; w may be NULL, as at first: it is no shard then. w
 * must be there until it is replaced, or p freed. */
void policy_set_shared(struct policy *p, struct policy_shared *w, uint64_t now_us);
/*
 * A connection that ops->give has sent here has come. It is lent to the first in the queue, or becomes idle, or is
 * closed if the pool was paused or reloaded since it left. Returns false if p is not the shard that it was sent to:
 * then it is the caller's, as before, and policy_shared_lost() is due.
 */
bool policy_arrive(struct policy *p, struct policy_conn *conn, uint64_t now_us);
bool policy_is_split(const struct policy *p); /* it is a shard */
uint32_t policy_queue_length(const struct policy *p); /* how many wait in all shards */
void policy_add_counts(const struct policy *p, struct policy_counts *to); /* policy.c; but back-off and outage */
uint32_t policy_busy(const struct policy *p); /* how many are lent; if split, not idle, in all */

/* --- policy_obstacle.c --- */
/* Returns true if a connection of `of` has one of the places that those in p's queue wait for: it is of the same pool,
 * or under the cap that keeps p from opening more. Other workers' pools: only while these stand still. */
bool policy_waits_for(const struct policy *p, const struct policy *of);
bool policy_waits_for_cap(const struct policy *p);

/* A connection that was given can't be used where it came: it is closed, and its place given back. r: the policy worker
 * of this thread. Also if all shards are gone. */
void policy_shared_lost(struct policy_conn *conn, struct policy_worker *r, uint64_t now_us);
