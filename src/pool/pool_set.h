/*
 * src/pool/pool_set.h - all pools of a worker: the pool of each (database, user) pair, and its connections.
 *
 * Each pool has a policy (policy.c), which decides when to open, close, ping and lend a connection. This module carries
 * the decisions out, and reports the results to the policy.
 *
 * Owns:    every pool, its servers, the counters per database and per backend.
 * Borrows: the server_env. Holds references to config and users.
 */
#pragma once

#include "pool/pool.h"

#include <pthread.h>

/* Callbacks of dedicated/, which owns the dedicated servers of a pool: servers that the policy does not lend, like
 * those of listeners and of replication. The set calls a callback when it does the same to the pool's other servers. */
struct pool_dedicated_ops {
	const struct server_owner_ops *one_client_ops; /* for servers that belong to one client until it leaves */
	void (*renew)(struct pool *pool); /* replaces connections: for a new target, or for an operator */
	void (*step_aside)(struct pool *pool); /* closes unused servers; see pool_set_vacate() */
	void (*pause)(struct pool *pool); /* opens no connections until resume is called */
	void (*resume)(struct pool *pool);
	void (*end)(struct pool *pool); /* called when the pool is being freed */
};

/* The lives of PostgreSQL servers that any worker has seen; a life is the time from one start of a server to the next
 * (session/commit_fate.h). Zeroed at first, except for the lock. */
struct shared_cluster_lives {
	pthread_mutex_t lock; /* guards seen */
	struct cluster_lives seen;
};

/* How pools are split into shards. */
struct pool_split {
	uint32_t workers; /* how many workers may have shards of one pool, from 1 on; 0 counts as 1 */
	/* the least number of connections per shard; smaller shards would transfer connections all the time */
	uint32_t shard_min;
};
#define POOL_SHARD_MIN 4

struct pool_set_settings {
	const struct server_env *env; /* its owner_ops must be pool_set_owner_ops */
	const struct pool_dedicated_ops *dedicated_ops;
	struct code_registry *code_registry; /* database_code.h; shared by all sets */
	struct pool_workers *pool_workers; /* pool_workers.h; NULL if all pools live here */
	/* the sets of all workers, indexed by the workers' numbers; not read until all sets have been made */
	struct pool_set *const *all_sets;
	struct pool_split split; /* how pools are split between all workers; zeroed if this set is alone */
	uint32_t number; /* the number of its worker, as in pool_workers */
	struct statement_store *statements;
	struct policy_worker *worker; /* the policy worker of this set's worker: policy_commons.h */
	_Atomic uint64_t *last_id; /* the last id that was given to a client or server in the whole process */
	struct shared_cluster_lives *cluster_lives; /* shared by all sets of the process */
	uint64_t seed;
};

extern const struct server_owner_ops pool_set_owner_ops;

struct pool_set *pool_set_new(const struct pool_set_settings *settings, struct event_base *base, struct log *log);
/* Closes all servers at once. No client may be left. */
void pool_set_free(struct pool_set *set);
struct tls_store;
/* Applies the configuration to all pools: limits, upstreams and secrets. Call this at start and at each reload. */
void pool_set_configure(struct pool_set *set, struct config *config, struct users *users, struct tls_store *tls,
			uint64_t now_us);

/* pool.c. Returns the pool of a client, which is made at first use. database and user are as login_tenant.c makes them.
 * Returns NULL with *why set, such as 3D000 for an unknown database, or 53200 if out of memory. The caller counts its
 * client in pool->clients. */
struct pool *pool_set_get_or_create(struct pool_set *set, const char *database, const char *user, uint64_t now_us,
				    struct fail *why);
struct pool *pool_set_first(const struct pool_set *set); /* returns the first pool; pool->next is the next one */
struct pool_database *pool_set_databases(const struct pool_set *set); /* returns the first database, or NULL */
/* Returns the database of this name, or NULL if no such database is in use. After a reload, a tenant's database and one
 * that belongs to no tenant may share a name for a while; the result is then the database that belongs to no tenant. */
struct pool_database *pool_set_find_database(const struct pool_set *set, const char *name);
struct pool_backend *pool_set_backends(const struct pool_set *set); /* returns the first backend, or NULL */
/* Returns how many servers the set has, including the places that pool_set_take_place() has taken. */
uint32_t pool_set_server_count(const struct pool_set *set);
/* Returns the next id. The clients and servers of all sets of the process are numbered together, from 1 on. */
uint64_t pool_set_next_id(struct pool_set *set);
struct policy_worker *pool_set_policy_worker(const struct pool_set *set);
uint64_t pool_set_random(struct pool_set *set); /* returns a number that clients can't predict from earlier ones */
uint32_t pool_set_next_turn(struct pool_set *set); /* returns the next number for the parameter turn of server_new() */
/* Adds the life `seen` to the cluster lives that all sets share, then copies all lives to *all. seen or all may be
 * NULL. */
void pool_set_exchange_lives(struct pool_set *set, const struct cluster_mark *seen, struct cluster_lives *all);
const struct server_env *pool_set_server_env(const struct pool_set *set);
/* Returns the same env, but with pool_dedicated_ops.one_client_ops as its owner_ops. */
const struct server_env *pool_set_one_client_env(const struct pool_set *set);
/* Takes a place in max_server_connections for a server that the caller opens and closes. If all places are taken, an
 * idle server of this worker may be closed for its place. Returns false if there is no place; then another worker was
 * asked to close an idle server, if it has one, so a later call may succeed. */
bool pool_set_take_place(struct pool_set *set, uint64_t now_us);
void pool_set_give_place(struct pool_set *set, uint64_t now_us); /* undoes pool_set_take_place() */
/* Returns true if all places are taken while some pool would open a connection. */
bool pool_set_is_place_wanted(const struct pool_set *set);

/* --- time and operations --- */
/* Does what is due now. Call this about every 100 ms. The set itself calls it for work that is due earlier. */
void pool_set_tick(struct pool_set *set, uint64_t now_us);
/* pool_health_check.c. Checks if hosts that could not be reached can be reached again. Call this about every 100 ms
 * while clients are accepted. */
void pool_set_health_check(struct pool_set *set, uint64_t now_us);
/* Call when a statement on a server of `asking` needs `database` (PostgreSQL's name) for itself. Closes the servers
 * that `user` (any user if NULL) has in that database: idle servers now, others when they are returned. */
void pool_set_vacate(struct pool_set *set, const struct pool_target *asking, const char *database, const char *user,
		     uint64_t now_us);
/* In the next functions, database is the name by which clients ask for it; NULL stands for all databases. */
/* Lends no more servers until pool_set_resume(). Returns 0, or -1 if out of memory, which can't happen if database is
 * NULL. */
int pool_set_pause(struct pool_set *set, const char *database, uint64_t now_us);
void pool_set_resume(struct pool_set *set, const char *database, uint64_t now_us);
/* If is_disabled, refuses new clients of this database (not NULL), and keeps the present clients; otherwise accepts
 * clients again. Returns 0, or -1 if out of memory. */
int pool_set_disable(struct pool_set *set, const char *database, bool is_disabled);
/* Returns true if no server is lent (except for replication) or being cleaned, and no paused pool is still opening a
 * server. */
bool pool_set_is_quiet(const struct pool_set *set, const char *database);
bool pool_set_is_paused(const struct pool_set *set); /* returns true from a pause of all databases until its end */
/* on: true for SUSPEND, false for RESUME. In between, pool_set_tick() does nothing, so no time limit has an effect. The
 * RESUME calls pool_set_tick(), and lets the limits on waiting begin anew. */
void pool_set_suspend(struct pool_set *set, bool on, uint64_t now_us);
/* Closes all servers: idle servers now, others when they are returned. With RR_RELOAD, does policy_reconnect(). */
void pool_set_close_all(struct pool_set *set, const char *database, enum recycle_reason why, uint64_t now_us);

/* Closes the servers of pools without waiters: idle servers now, others when they are returned. If is_all is false,
 * pools that have clients are left out. The listeners' connections stay. */
void pool_set_close_unneeded(struct pool_set *set, bool is_all, enum recycle_reason why, uint64_t now_us);
