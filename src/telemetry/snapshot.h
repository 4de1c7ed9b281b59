/*
 * src/telemetry/snapshot.h - a copy of all counters, made on the loop's thread and read on the metrics thread. Each
 * worker takes its own, and they are merged.
 *
 * Owns: all it points to. Pools beyond metrics_max_pools are added up in one pool named "_other"/"_other", databases
 * in one named "_other".
 */
#pragma once

#include "base/buf.h"
#include "base/counters.h"
#include "base/request_report.h"
#include "config/module.h"
#include "net/jobs.h"

#include <stdio.h>

#define SNAPSHOT_NAME_MAX 128 /* "tenant/database" */

enum client_state_name { CLIENTS_LOGIN, CLIENTS_IDLE, CLIENTS_ACTIVE, CLIENTS_WAITING, CLIENTS_CANCEL, CLIENTS_STATES };
enum server_state_name {
	SERVERS_IDLE,
	SERVERS_ACTIVE,
	SERVERS_LOGIN,
	SERVERS_PING,
	SERVERS_RESET,
	SERVERS_CLOSING,
	SERVERS_STATES
};
enum process_state { STATE_RUNNING, STATE_PAUSED, STATE_DRAINING, STATE_STOPPING, PROCESS_STATES };

/* Names are padded with zeros, as they are the keys of a merge. */
struct snapshot_pool {
	char database[SNAPSHOT_NAME_MAX], user[SNAPSHOT_NAME_MAX]; /* as sent by clients: any bytes but NUL */
	uint64_t clients[CLIENTS_STATES], servers[SERVERS_STATES], pinned; /* pinned: of the active ones */
	uint64_t pool_size, max_overflow, overflow, waiting;
	uint64_t oldest_waiter_us; /* age, not a time */
	uint64_t listen_connections, listening_clients, listen_channels;
	struct pool_counters counters;
};
struct snapshot_database {
	char name[SNAPSHOT_NAME_MAX];
	uint64_t prepared_client, prepared_server;
	struct exemplars *exemplars; /* of query_duration; NULL: none */
	struct database_counters counters;
};
#define SNAPSHOT_UNKNOWN UINT64_MAX /* a number that is not known, or does not hold: not shown */
struct snapshot_backend {
	char name[280]; /* host:port */
	char role[16]; /* "primary", "standby" or "unknown" */
	uint64_t lag_us, is_usable, readings; /* the process's own, see dedicated/watch.h; or SNAPSHOT_UNKNOWN */
	struct backend_counters counters;
};
/* A limit that is common to several processes, see dedicated/fleet.h. */
struct snapshot_budget {
	char name[280]; /* the hosts */
	uint64_t limit, own_limit, listed, others, share; /* or SNAPSHOT_UNKNOWN */
	uint64_t used, waiting, members, is_joined;
	uint64_t checks_granted, checks_none, checks_failed, check_us, over_us;
};
struct snapshot_worker {
	unsigned number;
	uint64_t is_up; /* 1: what follows is new; 0: it did not answer in time */
	bool is_silent; /* it has not moved for about 2 s */
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
	uint64_t start_wall_us,
	    last_reload_wall_us; /* last_reload_wall_us: the last successful one, which may be the start */
	uint64_t last_reload_ok; /* 0 or 1 */
	uint64_t clients_limit, clients_total_now, login_clients, cancel_clients;
	struct process_counters process; /* of all workers */
	uint64_t statement_cache_bytes, buffer_bytes_client, buffer_bytes_server;
	uint64_t module_numbers[MODULE_COUNT + 1][MODULE_NUMBERS_MAX]; /* of modules[]; the last ones are unused */
	uint64_t log_dropped_ring, log_dropped_write;
	struct jobs_count external_calls;
	uint64_t pools_aggregated;
	struct histogram scrape_duration; /* filled by the metrics thread itself */
	union {
		struct {
			struct snapshot_pool *pools;
			size_t pool_count;
			struct snapshot_database *databases;
			size_t database_count;
			struct snapshot_backend *backends;
			size_t backend_count;
			struct snapshot_budget *budgets; /* the process's own, added after the merge */
			size_t budget_count;
			struct snapshot_worker *workers;
			size_t worker_count;
		};
		struct {
			void *rows;
			size_t count;
		} of[SNAPSHOT_KINDS]; /* the same, by kind */
	};
	/* readiness: why not, one short line each; ready when count is 0 */
	char not_ready[8][96];
	size_t not_ready_count;
};
struct snapshot *snapshot_new(unsigned worker); /* with nothing but the row of this worker; NULL: no memory */
struct snapshot *snapshot_copy(const struct snapshot *s); /* with all it owns; NULL: no memory */
void snapshot_free(struct snapshot *s); /* s and its arrays are from malloc; NULL is fine */
/* Adds the counters of a row of that kind; the name stays, and the larger age is kept. */
void snapshot_pool_add(void *to_pool, const void *from_pool);
void snapshot_database_add(void *to_database, const void *from_database);
void snapshot_backend_add(void *to_backend, const void *from_backend);

/*
 * snapshot_merge.c: makes one of several workers' snapshots, and takes them. The first is worker 0's: it alone has the
 * process's own (state, reloads, limits, lost lines, why it is not ready). Counters, histograms and most gauges are
 * added, rows with the same names joined; of ages, times and a pool's limits the larger counts. Pools and databases
 * beyond pools_max become "_other". seed: random, as clients choose the names. Returns NULL without memory.
 */
struct snapshot *snapshot_merge(struct snapshot **parts, size_t count, size_t pools_max, uint64_t seed);

/*
 * --- metrics.c: Prometheus' text exposition from a snapshot. A single table (metrics_table.c) names every
 * family: HELP and TYPE, docs/metrics.md and SHOW METRICS come from it. Pure but for the process_* family (reads
 * /proc/self).
 */

/* The second has the trace of a slow request with the bucket that it is counted in. */
enum exposition_format { EXPOSITION_TEXT, EXPOSITION_OPENMETRICS, EXPOSITION_FORMATS };

/* Label values are escaped and forced into UTF-8. to->limit should allow megabytes. */
void metrics_render(const struct snapshot *s, enum exposition_format format, struct buf *to);
/* Every sample of it but the buckets of histograms. s may be NULL: none. */
void metrics_each_sample(const struct snapshot *s, void (*row)(const struct metric_sample *sample, void *arg),
			 void *arg);
