/*
 * src/policy/policy_whole.h - one pool on several workers: what its parts share.
 *
 * Each worker that serves the pool has a part: a struct policy with a line, idle connections and timers of its own,
 * used by that worker's thread alone. The whole counts the places of all, so that pool_size and max_overflow hold for
 * all parts together; it knows who waits where, and which part has idle connections. A connection that comes free goes
 * to the part in which somebody has waited for longest: it is transferred.
 *
 *   1. The part that has it gives it up and calls ops->give, which posts it to the other worker. Its place stays taken.
 *   2. There policy_arrive() takes it, or policy_whole_lost() gives its place back.
 *
 * A part in which somebody waits asks the parts that have idle ones, and opens one itself if none of them gives any
 * within ASK_US, or none has any. Nobody is overtaken by one who came more than LATE_US later, but for the time of one
 * transfer and of the turn of a loop on either side. A pool that lives on one worker has no whole, and nothing of this
 * is done for it.
 *
 * Always: the connections of all parts, those that are transferred among them, are no more than pool_size +
 * max_overflow (or, after that was lowered, their number only falls); no more are on their way to a part than wait
 * there.
 */
#pragma once

#include "policy/policy_commons.h"

#include <stddef.h>

#define WHOLE_PARTS_MAX 16 /* as many as there may be workers */

struct policy_whole; /* opaque: policy_whole.c */

/* Returns the one of this key (len bytes), the caller's until policy_whole_put; NULL without memory, or if nobody has
 * it and may_make is false. On any thread. */
struct policy_whole *policy_whole_get(struct policy_commons *all, const void *key, size_t len, bool may_make);
/* After its part has left. It is kept for as long as one is transferred. NULL is fine. */
void policy_whole_put(struct policy_commons *all, struct policy_whole *w);
const void *policy_whole_key(const struct policy_whole *w, size_t *len);

/* --- The part's: policy_part.c; policy_arrive() is in policy.c. On the thread of the part. --- */

/* p becomes a part of w, at any time, whatever connections it has; w may be NULL, as at first: it is no part then. w
 * must be there until it is replaced, or p freed. */
void policy_set_whole(struct policy *p, struct policy_whole *w, uint64_t now_us);
/*
 * A connection that ops->give has sent here has come. It is lent to the first in the queue, or becomes idle, or is
 * closed if the pool was paused or reloaded since it left. Returns false if p is not the part that it was sent to: then
 * it is the caller's, as before, and policy_whole_lost() is due.
 */
bool policy_arrive(struct policy *p, struct policy_conn *conn, uint64_t now_us);
bool policy_is_split(const struct policy *p); /* it is a part */
uint32_t policy_queue_length(const struct policy *p); /* how many wait in all parts */
void policy_add_counts(const struct policy *p, struct policy_counts *to); /* policy.c; but back-off and outage */
uint32_t policy_busy(const struct policy *p); /* how many are lent; if split, not idle, in all */

/* A connection that was given can't be used where it came: it is closed, and its place given back. r: the room of this
 * thread. Also if all parts are gone. */
void policy_whole_lost(struct policy_conn *conn, struct policy_room *r, uint64_t now_us);
