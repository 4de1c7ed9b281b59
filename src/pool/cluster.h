/*
 * src/pool/cluster.h - tells which host of an upstream is the primary, and what is known of its standbys. There is one
 * struct cluster for each list of hosts (pool_target_hosts() without the role), shared by the pools of all workers and
 * by the watch, which asks the hosts and writes their answers here.
 *
 * Owns:   the view, under a lock; the last readings of the primary, from which a standby's lag is taken.
 * Always: a cluster lives as long as there are references; it has a watch from its first configuration to the end of
 *         the last database that reads there. Any thread may call the functions that are not marked as the watch's.
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

/* Locks and returns the view, for clients that read there; call cluster_unlock() soon. While clients use it,
 * readings are made every 20 ms, and of standbys at least every half of reads_wait; else every second. */
const struct cluster_view *cluster_lock(struct cluster *c);
const struct cluster_view *cluster_look(struct cluster *c); /* the same for callers that do not read there */
void cluster_unlock(struct cluster *c);
/* Returns view.history, without the lock; counts as a use of the view. */
uint32_t cluster_history(struct cluster *c);
/* Returns the number of the reading that was begun last, of any host, without the lock. */
uint64_t cluster_begun(const struct cluster *c);
/* Asks for a new reading of each standby, of the primary, or of both. Wakes the watch, on any worker, which begins the
 * reading soon: 0.25 ms after the previous one at the earliest, and a 32nd of the standby's lag. */
enum cluster_wants { CLUSTER_STANDBYS = 1, CLUSTER_PRIMARY = 2, CLUSTER_ALL = 3 };
void cluster_want(struct cluster *c, enum cluster_wants what);

/*
 * Notes a standby's answer to the question when it has replayed up to position, of this history; life is that of the
 * host when it was asked. A position of 0 says that it has not replayed in time: it is not asked again for a moment.
 * Returns true if the answer counts: as far as pgweir knows, it is about the log that the standby replays. (PostgreSQL
 * compares numbers, whatever the timeline.)
 */
bool cluster_replayed(struct cluster *c, unsigned host, uint64_t life, uint32_t history, uint64_t position,
		      uint64_t now_us);

/* Returns how often a standby has fallen silent, without the lock. */
unsigned cluster_silences(const struct cluster *c);

/* --- Callers that wait for readings. --- */

struct cluster_listener {
	TAILQ_ENTRY(cluster_listener) link;
	void (*notify)(void *owner); /* called on any thread, often, under the cluster's lock: it only posts a note */
	void *owner;
	atomic_bool is_waiting; /* notify is called only while this is set, or when a standby falls silent */
};
void cluster_listen(struct cluster *c, struct cluster_listener *l); /* l is all zero except for notify and owner */
/* Sets l->is_waiting. */
void cluster_await(struct cluster_listener *l, bool is_waiting);
void cluster_unlisten(struct cluster *c, struct cluster_listener *l);

/* --- For the watch only. --- */

/* wake(owner) is called on any thread, under the cluster's lock, when a reading is wanted. */
void cluster_watched(struct cluster *c, void (*wake)(void *owner), void *owner); /* wake may be NULL */
unsigned cluster_take_want(struct cluster *c); /* returns, once, the cluster_wants since the last call */
bool cluster_take_use(struct cluster *c); /* returns true, once, if the view was used since the last call */
/* The host has logged the watch in, in the state that mark has: a new life begins. A primary whose log has run on
 * since it was last seen begins no new history. lives: all lives that were seen, which tell where logs part
 * (commit_fate.h). */
void cluster_met(struct cluster *c, unsigned host, const struct cluster_mark *mark, const struct cluster_lives *lives);
void cluster_has_word(struct cluster *c, unsigned host); /* the host can say when it has replayed a position */
void cluster_away(struct cluster *c, unsigned host); /* the life of the host is over, as far as pgweir knows */
void cluster_prove(struct cluster *c, unsigned host, bool is_proved);
void cluster_silent(struct cluster *c, unsigned host, bool is_silent); /* call it when is_silent changes */
uint64_t cluster_begin(struct cluster *c); /* returns the number of the reading that begins now */
void cluster_answered(struct cluster *c, unsigned host, const struct reading *r, uint64_t now_us);
