/*
 * src/pool/cluster.h - who is primary among the hosts of an upstream, and what is known of its standbys: one struct
 * cluster for each list of hosts (pool_target_hosts() without the role), shared by the pools of all workers and by the
 * watch, which asks the hosts and writes down here what they say.
 *
 * Owns:   the view, under a lock; the last readings of the primary, from which a standby's lag is taken.
 * Always: a cluster lives while somebody has a reference; it has a watch from its first configuration to the end of
 *         the last database that reads there. Any thread may call what is not marked as the watch's.
 */
#pragma once

#include "policy/cluster_view.h"
#include "policy/policy_commons.h"
#include "session/commit_fate.h"

#include <stdatomic.h>
#include <sys/queue.h>

struct cluster; /* opaque: cluster.c */

/* Returns a reference to the cluster of these hosts, a new one if need be; NULL without memory. */
struct cluster *cluster_get(struct policy_commons *all, const char *hosts, uint32_t count);
struct cluster *cluster_ref(struct cluster *c);
void cluster_put(struct cluster *c); /* NULL is fine */

/* Returns the view, which stays as it is until cluster_unlock(), soon. While somebody looks, readings are made each
 * 20 ms, and of standbys each half of reads_wait, if that is shorter; else each second. */
const struct cluster_view *cluster_lock(struct cluster *c);
const struct cluster_view *cluster_look(struct cluster *c); /* the same for those who do not read there */
void cluster_unlock(struct cluster *c);
/* Returns view.history, without the lock; somebody looks. */
uint32_t cluster_history(struct cluster *c);
/* Returns the number of the reading, of any host, that was begun last, without the lock. */
uint64_t cluster_begun(const struct cluster *c);
/* Somebody needs a reading that is not there, of each standby, of the primary, or of both: one is begun soon
 * (0.25 ms after the one before at the earliest, and a 32nd of a standby's lag). Wakes the watch, wherever it lives. */
enum cluster_wants { CLUSTER_STANDBYS = 1, CLUSTER_PRIMARY = 2, CLUSTER_ALL = 3 };
void cluster_want(struct cluster *c, enum cluster_wants what);

/*
 * A standby was asked when it has replayed up to this position of this history; life: the host's then. position 0: it
 * has not in time, and nobody asks it for a moment. Returns true if its word counts: for all that is known, it is of
 * the log that the standby replays. PostgreSQL compares numbers, whatever the timeline.
 */
bool cluster_replayed(struct cluster *c, unsigned host, uint64_t life, uint32_t history, uint64_t position,
		      uint64_t now_us);

/* Returns how often a standby has fallen silent, without the lock. */
unsigned cluster_silences(const struct cluster *c);

/* --- Who waits for readings. --- */

struct cluster_listener {
	TAILQ_ENTRY(cluster_listener) link;
	void (*notify)(void *owner); /* on any thread, often, under the cluster's lock: post a note */
	void *owner;
	atomic_bool is_waiting; /* notify is called only while this is set, or when a standby falls silent */
};
void cluster_listen(struct cluster *c, struct cluster_listener *l); /* l is zeroed but for notify and owner */
/* notify() is wanted from now on, or not any more. */
void cluster_await(struct cluster_listener *l, bool is_waiting);
void cluster_unlisten(struct cluster *c, struct cluster_listener *l);

/* --- The watch's. --- */

/* wake(owner) is called on any thread, under the cluster's lock, when somebody wants a reading. */
void cluster_watched(struct cluster *c, void (*wake)(void *owner), void *owner); /* NULL: not any more */
unsigned cluster_take_want(struct cluster *c); /* returns, once, what somebody has wanted since */
bool cluster_take_use(struct cluster *c); /* returns true, once, if somebody has looked at the view since */
/* The host has logged the watch in, and is as mark says: a new life begins; but a primary whose log has run on since it
 * was seen last begins no new history. lives: all that were seen (where logs part: commit_fate.h). */
void cluster_met(struct cluster *c, unsigned host, const struct cluster_mark *mark, const struct cluster_lives *lives);
void cluster_has_word(struct cluster *c, unsigned host); /* it can be asked when it has replayed a position */
void cluster_away(struct cluster *c, unsigned host); /* its life is over, as far as we know */
void cluster_prove(struct cluster *c, unsigned host, bool is_proved);
void cluster_silent(struct cluster *c, unsigned host, bool is_silent); /* another answer than before */
uint64_t cluster_begin(struct cluster *c); /* returns the number of the reading that is begun now */
void cluster_answered(struct cluster *c, unsigned host, const struct reading *r, uint64_t now_us);
