/*
 * src/dedicated/watch.h - what is asked of the hosts from whose standbys somebody reads (reads, pool/cluster.h).
 *
 * Each host of such an upstream has a connection of pgweir's own, which counts in no limit: one for each list of hosts,
 * whatever databases there are. It is asked who it is, and then, again and again, how far it is: a *reading*. That a
 * standby replays the log of this primary, and not one that begins like it, is proved once for each pair of their
 * lives: transactions with random ends on the primary must have the same ends on the standby.
 *
 * Owns:    the connections. Borrows: the commons with the clusters, and the pools of worker 0 for their environment.
 * Always:  on worker 0's thread. One question is under way on a connection.
 */
#pragma once

#include "config/config.h"
#include "pool/cluster.h"
#include "pool/pool_set.h"

struct watch; /* opaque: watch.c */

/* wake(owner) is called on any thread: watch_tick() is due on worker 0's. Returns NULL without memory. */
struct watch *watch_new(struct pool_set *pools, struct policy_commons *commons, void (*wake)(void *owner), void *owner);
void watch_free(struct watch *w); /* before the pools; NULL is fine */
/* At start and at each reload. */
void watch_configure(struct watch *w, const struct config *config, struct users *users, struct tls_store *tls);
void watch_tick(struct watch *w); /* about every 100 ms, and when it is due */

/* --- For SHOW HOSTS and metrics. --- */

/* clang-format off */
#define WATCH_USES(X) \
	X(WATCH_AWAY, "away") /* it does not answer */ X(WATCH_PRIMARY, "primary") \
	X(WATCH_NO_PRIMARY, "no_primary") /* nobody knows who is: two say so, or one of a later timeline did; or nobody */ \
	X(WATCH_UNPROVED, "unproved") /* not proved yet to replay the primary's log */ X(WATCH_USED, "used") \
	X(WATCH_LAG, "lag") /* it is, but is further behind than reads_max_lag */ \
	X(WATCH_SILENT, "silent") /* it is, but has not answered for a moment */ \
	X(WATCH_FORK, "fork") /* it replays another log */ \
	X(WATCH_SETTINGS, "settings") /* settings that change answers are others than on the primary */ \
	X(WATCH_OTHER, "other") /* it tells no position */
/* clang-format on */
#define WATCH_USE(value, name) value,
enum watch_use { WATCH_USES(WATCH_USE) WATCH_USE_COUNT };
extern const char *const watch_use_names[WATCH_USE_COUNT];

struct watch_row {
	const char *database; /* the first section of the file that reads there */
	const char *host; /* "db1:5432" */
	const char *zone; /* empty: not known */
	enum watch_use use;
	uint64_t started_us; /* when its life began, since 1970; 0: it is away */
	bool is_standby, is_lag_known;
	uint32_t timeline; /* of a standby: that it receives; 0: not known */
	uint64_t position, lag_us, readings; /* position 0: not known */
	const char *last_error; /* why it can't be asked; empty: nothing */
};

/* Calls row for each host, in the order of the file. */
void watch_each(const struct watch *w, void (*row)(const struct watch_row *row, void *arg), void *arg);
