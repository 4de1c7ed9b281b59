/*
 * src/dedicated/watch.h - asks hosts for their position in the write-ahead log, if standbys of their upstream serve
 * reads (the setting reads; see pool/cluster.h).
 *
 * For each host of such an upstream, pgweir has one connection of its own, however many databases use the same list of
 * hosts. These connections count in no limit. The host is asked for its identity, and then, again and again, for a
 * *reading* (policy/cluster_view.h). A standby is used only if it replays the log of the list's primary, not a log that
 * has branched off. pgweir proves that again whenever the primary or the standby has started or was away: pgweir
 * commits or rolls back some transactions on the primary at random, and asks the standby how each of them has ended.
 *
 * Owns:    the connections. Borrows: struct policy_commons, which has the clusters, and worker 0's pools, for
 *          their environment.
 * Always:  all functions run on worker 0's thread. A connection has at most one question under way.
 */
#pragma once

#include "config/config.h"
#include "pool/cluster.h"
#include "pool/pool_set.h"

struct watch; /* opaque: watch.c */

/* wake(owner) is called on any thread when watch_tick() is due on worker 0. Returns NULL if there is no memory. */
struct watch *watch_new(struct pool_set *pools, struct policy_commons *commons, void (*wake)(void *owner), void *owner);
void watch_free(struct watch *w); /* call before the pools are freed; w may be NULL */
/* Called at the start and at each reload. */
void watch_configure(struct watch *w, const struct config *config, struct users *users, struct tls_store *tls);
void watch_tick(struct watch *w); /* called about every 100 ms, and after wake() */

/* --- For SHOW HOSTS and metrics. --- */

/* clang-format off */
#define WATCH_USES(X) \
	X(WATCH_AWAY, "away") /* the host does not answer */ X(WATCH_PRIMARY, "primary") \
	X(WATCH_NO_PRIMARY, "no_primary") /* no host claims to be primary, or two do, or a later timeline was seen */ \
	X(WATCH_UNPROVED, "unproved") /* not yet proved to replay the primary's log */ X(WATCH_USED, "used") \
	X(WATCH_LAG, "lag") /* proved, but lags by more than reads_max_lag */ \
	X(WATCH_SILENT, "silent") /* proved, but has not answered for a moment */ \
	X(WATCH_FORK, "fork") /* replays another log */ \
	X(WATCH_SETTINGS, "settings") /* settings that change answers differ from the primary's */ \
	X(WATCH_OTHER, "other") /* reports no position */
/* clang-format on */
#define WATCH_USE(value, name) value,
enum watch_host_status { WATCH_USES(WATCH_USE) WATCH_USE_COUNT };
extern const char *const watch_use_names[WATCH_USE_COUNT];

struct watch_row {
	/* the first database in the configuration file that has this list of hosts and reads from standbys */
	const char *database;
	const char *host; /* "db1:5432" */
	const char *zone; /* empty if not known */
	enum watch_host_status use;
	uint64_t started_us; /* when PostgreSQL was started, by the host's clock, since 1970; 0 if the host is away */
	bool is_standby, is_lag_known;
	uint32_t timeline; /* the timeline of the log that a standby receives; 0 if not known */
	uint64_t position, lag_us, readings; /* position is 0 if not known */
	const char *last_error; /* why the host can't be asked; empty if nothing failed */
};

/* Calls row for each host, in the order of the configuration file. */
void watch_each(const struct watch *w, void (*row)(const struct watch_row *row, void *arg), void *arg);
