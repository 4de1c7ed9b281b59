/*
 * src/telemetry/snapshot.h - a copy of all counters for the metrics thread. Each worker's thread makes a snapshot of
 * the worker's own counters, and these snapshots are merged into one.
 *
 * Owns:   all arrays that a snapshot points to.
 * Always: there are at most metrics_max_pools pools with names, and as many databases. The numbers of other pools are
 *         added up in a pool "_other" of a user "_other", and those of other databases in a database "_other".
 */
#pragma once

#include "base/buf.h"
#include "base/counters.h"
#include "base/request_report.h"
#include "config/module.h"
#include "net/jobs.h"

#include <stdio.h>

#define SNAPSHOT_NAME_MAX 128 /* "tenant/database" */

enum snapshot_client_state {
	CLIENTS_LOGIN,
	CLIENTS_IDLE,
	CLIENTS_ACTIVE,
	CLIENTS_WAITING,
	CLIENTS_CANCEL,
	CLIENTS_STATES
};
enum snapshot_server_state {
	SERVERS_IDLE,
	SERVERS_ACTIVE,
	SERVERS_LOGIN,
	SERVERS_PING,
	SERVERS_RESET,
	SERVERS_CLOSING,
	SERVERS_STATES
};
enum process_state { STATE_RUNNING, STATE_PAUSED, STATE_DRAINING, STATE_STOPPING, PROCESS_STATES };

/* Names are padded with zeros, because snapshot_merge() uses them as keys of a fixed length. */
struct snapshot_pool {
	char database[SNAPSHOT_NAME_MAX], user[SNAPSHOT_NAME_MAX]; /* from clients, so any bytes but NUL may occur */
	/* pinned: servers that clients keep between transactions; these also count as SERVERS_ACTIVE */
	uint64_t clients[CLIENTS_STATES], servers[SERVERS_STATES], pinned;
	uint64_t pool_size, max_overflow, overflow, waiting;
	uint64_t oldest_waiter_us; /* the longest time for which a client has been waiting */
	uint64_t listen_connections, listening_clients, listen_channels;
	struct pool_counters counters;
};
struct snapshot_database {
	char name[SNAPSHOT_NAME_MAX];
	uint64_t prepared_client, prepared_server;
	struct exemplars *exemplars; /* exemplars of query_duration; NULL if there are none */
	struct database_counters counters;
};
#define SNAPSHOT_UNKNOWN UINT64_MAX /* stands for a number that is not known or does not apply; it is not shown */
struct snapshot_backend {
	char name[280]; /* host:port */
	char role[16]; /* "primary", "standby" or "unknown" */
	/* numbers of dedicated/watch.h, each of which may be SNAPSHOT_UNKNOWN */
	uint64_t lag_us, is_usable, readings;
	struct backend_counters counters;
};
/* A limit on connections that several processes of pgweir share: see dedicated/fleet.h. */
struct snapshot_budget {
	char name[280]; /* names of the hosts */
	uint64_t limit, own_limit, listed, others, share; /* each may be SNAPSHOT_UNKNOWN */
	uint64_t used, waiting, members, is_joined;
	uint64_t checks_granted, checks_none, checks_failed, check_us, over_us;
};
struct snapshot_worker {
	unsigned number;
	uint64_t is_up; /* 1 if the worker has answered for this snapshot; 0 if this row is from an earlier snapshot */
	bool is_silent; /* true if the worker's loop has not run for about 2 s */
	struct process_counters counters;
};
enum snapshot_kind {
	SNAPSHOT_POOLS,
	SNAPSHOT_DATABASES,
	SNAPSHOT_BACKENDS,
	SNAPSHOT_BUDGETS,
	SNAPSHOT_WORKERS,
	SNAPSHOT_KINDS
};
extern const size_t snapshot_row_sizes[SNAPSHOT_KINDS];
struct snapshot {
	uint64_t taken_us; /* clock_now_us */
	enum process_state state;
	/* last_reload_wall_us: when a reload last succeeded; start_wall_us if none has */
	uint64_t start_wall_us, last_reload_wall_us;
	uint64_t last_reload_ok; /* 1 if the last reload succeeded, else 0 */
	uint64_t clients_limit, clients_total_now, login_clients, cancel_clients;
	struct process_counters process; /* counters of all workers */
	uint64_t statement_cache_bytes, buffer_bytes_client, buffer_bytes_server;
	/* module_numbers[i] has the numbers of modules[i]. The last row is unused: C has no arrays of length 0 */
	uint64_t module_numbers[MODULE_COUNT + 1][MODULE_NUMBERS_MAX];
	uint64_t log_dropped_ring, log_dropped_write;
	struct jobs_count external_calls;
	uint64_t pools_aggregated; /* pools that were added to "_other" */
	struct histogram scrape_duration; /* filled in by the metrics thread */
	union {
		struct {
			struct snapshot_pool *pools;
			size_t pool_count;
			struct snapshot_database *databases;
			size_t database_count;
			struct snapshot_backend *backends;
			size_t backend_count;
			struct snapshot_budget *budgets; /* added after the merge, because workers have none */
			size_t budget_count;
			struct snapshot_worker *workers;
			size_t worker_count;
		};
		struct {
			void *rows;
			size_t count;
		} of[SNAPSHOT_KINDS]; /* the arrays above, indexed by their kind */
	};
	/* the reasons why the process is not ready, in a few words each; the process is ready if there are none */
	char not_ready[8][96];
	size_t not_ready_count;
};
/* Returns a snapshot that has only the row of this worker, or NULL if there is no memory. */
struct snapshot *snapshot_new(unsigned worker);
struct snapshot *snapshot_copy(const struct snapshot *s); /* copies all arrays, too; NULL if there is no memory */
void snapshot_free(struct snapshot *s); /* frees s, which may be NULL, and its arrays */
/* Adds the numbers of from_pool to to_pool, except names; oldest_waiter_us becomes the larger of the two. */
void snapshot_pool_add(void *to_pool, const void *from_pool);
void snapshot_database_add(void *to_database, const void *from_database); /* adds the counts, not the name */
/* Adds the numbers of from_backend to to_backend. Takes the later last_failure_wall_us, and the newer up_state. */
void snapshot_backend_add(void *to_backend, const void *from_backend);

/* snapshot_merge.c: merges the snapshots of several workers into one, and takes ownership of them. Only parts[0],
 * worker 0's, has the numbers of the process itself: state, reloads, limits, dropped log lines, and why the process is
 * not ready. Rows with the same names become one row: counters, histograms and most gauges are added up; ages, times
 * and a pool's limits become the larger value. Pools and databases beyond pools_max are added to "_other". seed is
 * random, because clients choose the names. Returns NULL if there is no memory. */
struct snapshot *snapshot_merge(struct snapshot **parts, size_t count, size_t pools_max, uint64_t seed);

/*
 * --- metrics.c: writes a snapshot in Prometheus' text format or in OpenMetrics. docs/metrics.md and SHOW METRICS come
 * from the same table (metrics_table.c). Pure, except for the process_* metrics, which come from /proc/self.
 */

/* Only in OpenMetrics, a histogram's bucket may have an exemplar, the trace ID of a request that the bucket counts. */
enum exposition_format { EXPOSITION_TEXT, EXPOSITION_OPENMETRICS, EXPOSITION_FORMATS };

/* Appends all metrics. Escapes the values of labels, and makes them valid UTF-8. to->limit should allow megabytes. */
void metrics_render(const struct snapshot *s, enum exposition_format format, struct buf *to);
/* Calls row() for each sample except the buckets of histograms; never if s is NULL. */
void metrics_each_sample(const struct snapshot *s, void (*row)(const struct metric_sample *sample, void *arg),
			 void *arg);
