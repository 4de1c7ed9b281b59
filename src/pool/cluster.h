/*
 * src/pool/cluster.h - records which host of an upstream is the primary, and what is known of the standbys. There is
 * one struct cluster for each list of hosts (pool_target_cluster_key()). The pools of all workers share the struct with
 * the watch (dedicated/watch.h), which asks the hosts and writes their answers here. policy/cluster_view.h explains the
 * words reading, life and history.
 *
 * Owns:   the view, under a lock; the last readings of the primary, from which a standby's lag is computed.
 * Always: a cluster lives as long as there are references to it. Any thread may call these functions, except the
 *         watch's own. The watch asks the hosts as long as a configured database sends reads to their standbys.
 */
#pragma once

#include "policy/cluster_view.h"
#include "policy/policy_commons.h"
#include "session/commit_fate.h"

#include <stdatomic.h>
#include <sys/queue.h>

struct cluster; /* opaque: cluster.c */

/* Returns a reference to the cluster of these hosts, which is made if needed; NULL if out of memory. hosts: from
 * pool_target_cluster_key(). count: the number of hosts. */
struct cluster *cluster_get_or_create(struct policy_commons *all, const char *hosts, uint32_t count);
struct cluster *cluster_ref(struct cluster *c);
void cluster_put(struct cluster *c); /* NULL is fine */

/* Locks and returns the view, for clients that read from standbys; call cluster_unlock() soon. Counts as a use of the
 * view. For a second after each use, the watch begins a reading of the primary every 20 ms, and of each standby every
 * 20 ms or reads_wait / 2 (at least 5 ms), whichever is shorter. At other times, the watch begins a reading of each
 * host every second or reads_max_lag / 2, whichever is shorter. */
const struct cluster_view *cluster_lock(struct cluster *c);
const struct cluster_view *cluster_lock_without_use(struct cluster *c); /* does not count as a use of the view */
void cluster_unlock(struct cluster *c);
/* Returns view.history without taking the lock. Counts as a use of the view. */
uint32_t cluster_history(struct cluster *c);
/* Returns the number of the last reading that was begun on any host, without taking the lock. */
uint64_t cluster_last_begun_reading(const struct cluster *c);
/* Asks the watch for a new reading of the standbys, of the primary, or of all. The watch begins two readings of a host
 * at least 0.25 ms apart. For a standby that lags, the readings are 1/32 of the lag apart, but at most 20 ms. */
enum cluster_wants { CLUSTER_STANDBYS = 1, CLUSTER_PRIMARY = 2, CLUSTER_ALL = 3 };
void cluster_want(struct cluster *c, enum cluster_wants what);

/*
 * Notes a standby's answer that it has replayed the log of `history` up to `position`. life: the host's life when the
 * question was sent. Returns true if the answer counts. Returns false if the standby may replay the log of another
 * history: the answer then means nothing, because a standby compares positions as mere numbers, even across timelines.
 */
bool cluster_note_replayed(struct cluster *c, unsigned host, uint64_t life, uint32_t history, uint64_t position);
/* Notes that a standby has not replayed a client's position within wait_us. The standby may next be asked about a
 * position after 250 ms, or as soon as a reading shows a lag shorter than wait_us. */
void cluster_note_late(struct cluster *c, unsigned host, uint64_t wait_us, uint64_t now_us);

/* Returns how often a standby has fallen silent so far. Takes no lock. */
unsigned cluster_count_silences(const struct cluster *c);

/* --- Callers that wait for readings. --- */

struct cluster_listener {
	TAILQ_ENTRY(cluster_listener) link;
	/* called often, on any thread, under the cluster's lock, so notify may only post a note to another thread */
	void (*notify)(void *owner);
	void *owner; /* the argument of notify */
	atomic_bool is_waiting; /* notify is called only while this is true, or when a standby falls silent */
};
/* From now on until cluster_unlisten(), c calls l->notify when a reading has come, or a host's state has changed. l has
 * notify and owner, and is zeroed otherwise. */
void cluster_listen(struct cluster *c, struct cluster_listener *l);
void cluster_set_waiting(struct cluster_listener *l, bool is_waiting); /* sets l->is_waiting, on any thread */
void cluster_unlisten(struct cluster *c, struct cluster_listener *l);

/* --- For the watch only. --- */

/* Begins the watch of c, or ends the watch if wake is NULL. wake(owner) is called on any thread, under the cluster's
 * lock, when cluster_want() asks for a reading. */
void cluster_set_watch(struct cluster *c, void (*wake)(void *owner), void *owner);
/* Returns which readings were asked for since the last call (a set of enum cluster_wants). */
unsigned cluster_take_want(struct cluster *c);
bool cluster_take_use(struct cluster *c); /* returns true if the view was used since the last call */
/* Call when the watch has logged in to the host, so a new life of the host begins. mark: the state of the host. lives:
 * all lives of servers that were seen; they show up to which position two logs are the same (commit_fate.h). If the
 * host is the primary, view.history changes, unless the host is the last known primary and was not restarted. */
void cluster_begin_life(struct cluster *c, unsigned host, const struct cluster_mark *mark,
			const struct cluster_lives *lives);
/* Records that this standby can be asked to wait until it has replayed a given position. */
void cluster_set_can_wait(struct cluster *c, unsigned host);
void cluster_set_away(struct cluster *c, unsigned host); /* ends the life of the host, as far as pgweir knows */
void cluster_set_history_proved(struct cluster *c, unsigned host, bool is_proved); /* sets is_proved of host_view */
void cluster_set_silent(struct cluster *c, unsigned host, bool is_silent); /* call this when is_silent has changed */
uint64_t cluster_begin_reading(struct cluster *c); /* returns the number of the reading that begins now */
/* Records that this host has answered with the reading r, which is complete. */
void cluster_note_answer(struct cluster *c, unsigned host, const struct reading *r, uint64_t now_us);
