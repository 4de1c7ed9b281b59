/*
 * src/pool/cluster.h - tells which host of an upstream is the primary, and what is known of its standbys. There is one
 * struct cluster for each list of hosts (pool_target_hosts() without the role), shared by the pools of all workers and
 * by the watch, which asks the hosts and writes their answers here.
 *
 * Owns:   the view, under a lock; the last readings of the primary, from which a standby's lag is taken.
 * Always: a cluster lives as long as there are references; it has a watch from when it is first configured until no
 *         configured database sends reads to its standbys. Any thread may call the functions that are not for the
 *         watch only.
 */
#pragma once

#include "policy/cluster_view.h"
#include "policy/policy_commons.h"
#include "session/commit_fate.h"

#include <stdatomic.h>
#include <sys/queue.h>

struct cluster; /* opaque: cluster.c */

/* Returns a reference to the cluster of these hosts, which is made if needed; NULL without memory. */
struct cluster *cluster_get(struct policy_commons *all, const char *hosts, uint32_t count);
struct cluster *cluster_ref(struct cluster *c);
void cluster_put(struct cluster *c); /* NULL is fine */

/* Locks and returns the view, for clients that read from standbys; call cluster_unlock() soon. While clients use the
 * view, a reading of each host is begun every 20 ms, of a standby every reads_wait / 2 if that is shorter. Otherwise a
 * reading of each host is begun every second, or every reads_max_lag / 2 if that is shorter. */
const struct cluster_view *cluster_lock(struct cluster *c);
const struct cluster_view *cluster_lock_unused(struct cluster *c); /* cluster_lock(), but not counted as a use */
void cluster_unlock(struct cluster *c);
/* Returns view.history, without the lock; counts as a use of the view. */
uint32_t cluster_history(struct cluster *c);
/* Returns the number of the reading that was begun last, of any host, without the lock. */
uint64_t cluster_last_begun_reading(const struct cluster *c);
/* Asks for a new reading of each standby, of the primary, or of both, from any worker. The watch begins the reading of
 * a host at least 0.25 ms after the host's previous reading; for a lagging standby at least 1/32 of its lag after it,
 * but no more than 20 ms. */
enum cluster_wants { CLUSTER_STANDBYS = 1, CLUSTER_PRIMARY = 2, CLUSTER_ALL = 3 };
void cluster_want(struct cluster *c, enum cluster_wants what);

/*
 * Notes that a standby has answered: it has replayed the log of `history` up to `position`. life: the host's life when
 * the question was sent. Returns true if the answer counts: as far as pgweir knows, the standby replays the log of that
 * history. (A standby compares positions as numbers, even those of another timeline.)
 */
bool cluster_replayed(struct cluster *c, unsigned host, uint64_t life, uint32_t history, uint64_t position);
/* Notes that a standby has not replayed a position within wait_us: the standby is asked again after 250 ms, or as soon
 * as a reading shows a lag shorter than wait_us. */
void cluster_set_late(struct cluster *c, unsigned host, uint64_t wait_us, uint64_t now_us);

/* Returns how often a standby has fallen silent, without the lock. */
unsigned cluster_silences(const struct cluster *c);

/* --- Callers that wait for readings. --- */

struct cluster_listener {
	TAILQ_ENTRY(cluster_listener) link;
	void (*notify)(void *owner); /* called on any thread, often, under the cluster's lock: must only post a note */
	void *owner;
	atomic_bool is_waiting; /* notify is called only while this is set, or when a standby falls silent */
};
void cluster_listen(struct cluster *c, struct cluster_listener *l); /* l is all zero except for notify and owner */
/* Sets l->is_waiting. */
void cluster_set_waiting(struct cluster_listener *l, bool is_waiting);
void cluster_unlisten(struct cluster *c, struct cluster_listener *l);

/* --- For the watch only. --- */

/* Begins the watch of c, or ends it if wake is NULL. wake(owner) is called on any thread, under the cluster's lock,
 * when a reading is wanted. */
void cluster_set_watch(struct cluster *c, void (*wake)(void *owner), void *owner);
unsigned cluster_take_want(struct cluster *c); /* returns, once, the cluster_wants since the last call */
bool cluster_take_use(struct cluster *c); /* returns true, once, if the view was used since the last call */
/* Call when the watch has logged in to the host: a new life of the host begins. mark: the state of the host. lives: all
 * lives that were seen; they show up to which position two logs are the same (commit_fate.h). view.history stays the
 * same if the log of the primary continues the primary's log that was seen last. */
void cluster_begin_life(struct cluster *c, unsigned host, const struct cluster_mark *mark,
			const struct cluster_lives *lives);
void cluster_set_can_wait(struct cluster *c, unsigned host); /* the host can answer when it has replayed a position */
void cluster_set_away(struct cluster *c, unsigned host); /* the life of the host is over, as far as pgweir knows */
void cluster_set_history_proved(struct cluster *c, unsigned host, bool is_proved);
void cluster_set_silent(struct cluster *c, unsigned host, bool is_silent); /* call this when is_silent has changed */
uint64_t cluster_begin_reading(struct cluster *c); /* returns the number of the reading that begins now */
void cluster_answered(struct cluster *c, unsigned host, const struct reading *r, uint64_t now_us);
