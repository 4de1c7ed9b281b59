/*
 * src/pool/pool.h - one pool: the connections of a (database, user) pair, lent and returned as its policy decides.
 *
 * A client borrows a server and gives it back here. The pool also remembers the parameters that its clients are sent at
 * login, the results of clients' startup settings, and the secrets that clients have proved.
 *
 * Owns:    its policy and servers.
 * Borrows: its database, and the objects of its set (pool_set.h).
 * Always:  a pool that has clients or servers is not freed, so its clients may keep pointers to it.
 */
#pragma once

#include "auth/users.h"
#include "base/counters.h"
#include "base/table.h"
#include "base/request_report.h"
#include "config/config.h"
#include "seal/database_code.h"
#include "policy/cluster_view.h"
#include "policy/policy.h"
#include "policy/policy_use.h"
#include "server/server.h"
#include "session/gucs.h"
#include "session/statement_store.h"

struct pool_set; /* pool_set.h */
struct delegated; /* auth/delegation.h */
struct notify_listener;
struct dedicated;
struct cluster;

/* A database, under the name by which clients ask for it. */
struct pool_database {
	union {
		struct {
			char kind; /* 't' if it is a tenant's, else 'd' */
			char name[CONFIG_DATABASE_MAX + 1]; /* for a tenant's: "tenant/database" */
		};
		char key[1 + CONFIG_DATABASE_MAX + 1]; /* kind and name: the key in the table of all databases */
	};
	/* true if the name was a tenant's (config_tenant_len) when a client first asked for this database */
	bool is_of_tenant;
	struct database_counters counters;
	struct exemplars *exemplars; /* traces for the metric query_duration; NULL if no trace was seen */
	/* a reference to the code of the PostgreSQL database that servers of this database are connected to, or of one
	 * of these databases if there are several; NULL if there is none yet */
	struct database_code *code;
	uint32_t index; /* scratch space for a caller that lists all databases */
	bool is_paused;
	bool is_disabled; /* true if new clients are refused */
	uint32_t pools; /* number of pools of this database */
	struct pool_database *next, *prev_database;
	UT_hash_handle hh;
};

/* A choice for one call of pool_set_health_check(): the pool that opens a connection to check if a backend can be
 * reached again. */
struct pool_health_check {
	struct pool_backend *to; /* the backend to check */
	struct pool *pool; /* the pool that opens the connection */
	const struct upstream_host *host; /* the host of the pool's upstream that has the backend's address */
	bool is_in_outage; /* true if the pool is in an outage */
};

/* A PostgreSQL to which pools connect. */
struct pool_backend {
	char name[SERVER_ADDRESS_MAX]; /* its address, as server_host_address() writes it */
	UT_hash_handle hh;
	uint8_t role; /* server.role of the server that logged in there last */
	struct backend_counters counters;
	uint64_t logged_us; /* when a failure to connect to the backend was last logged */
	uint64_t checked_us; /* when a connection to the backend last failed, or a health check last began */
	uint32_t running_checks; /* health checks in progress */
	struct pool_health_check health_check;
	bool is_configured; /* true if an upstream of a pool has this address; set by each pool_set_health_check() */
	struct pool_backend *next;
};

#define STARTUPS_MAX 256

/* A cache that maps clients' startup settings to the GUC sets that servers have made of these settings. Because clients
 * choose the settings, the cache has at most STARTUPS_MAX entries, and drops the least recently used one. Holds
 * references to its GUC sets. A struct that is zeroed except for a random seed is an empty cache. */
struct pool_startups {
	uint64_t seed;
	struct startup_gucs *table; /* pool_startup.c */
};

/* The size of a pool's key: 't' or 'd', then database and user, each with a terminator. */
#define POOL_KEY_MAX (1 + CONFIG_DATABASE_MAX + 1 + CONFIG_NAME_MAX + 1)

/* Shows if clients wait while no connection is returned: exchange/holder.c. */
struct pool_stall {
	uint64_t moved_us; /* when a connection was last lent, or last had nothing to do in its loan */
	uint32_t waiting; /* the length of the longest queue since then */
};

struct pool {
	struct pool_set *set;
	char user[CONFIG_NAME_MAX + 1]; /* the user that servers log in as */
	struct pool_database *database;
	struct policy *policy;
	struct scope_settings settings;
	struct pool_user *users; /* the names, other than `user`, with which clients have logged in */
	bool is_sealed; /* true if session state is washed off a server before another client gets the server */
	struct pool_counters counters;
	struct scram_keys keys; /* learnt from a client, or derived from a password; kept in memory only */
	struct gucs *baseline; /* the settings of a server that has just logged in; NULL until one has logged in */
	/* the last of clients' GUC sets that the primary has refused; NULL if there is none, or if the primary has
	 * accepted this GUC set since */
	struct gucs *refused;
	struct gucs *login_parameters; /* read-only parameters that the last server reported at login */
	/* since when servers have got baseline and login_parameters at login; 0 if these were never set */
	uint64_t baseline_us;
	struct pool_fresh *fresh; /* baseline and login_parameters for all shards: pool_workers.h; NULL if not split */
	uint32_t clients; /* clients that are logged in, or whose password was accepted */
	bool is_orphan; /* true if its database is no longer configured */
	uint64_t last_used_us;
	struct due due; /* when the policy's next tick is due */
	uint64_t failure_logged_us; /* when the reason why logins fail was last logged: pool_log.c */
	struct policy_use use; /* how many connections were in use lately */
	uint64_t server_us, waited_us; /* sums: PostgreSQL's time for requests, and the time that requests waited */
	struct pool_stall stall;
	/* Clients' timeouts that are still to be logged (client/client_watch.c); freed with free(). NULL if none. */
	struct timeouts *timeouts;
	bool is_watched; /* true if timeouts are to be logged; the pool then stays active without servers: pool_use.c */
	/* The next three fields are for state/pins.c, which logs each reason to pin at most once in a period. */
	uint64_t pins_logged_us; /* when the present period began */
	uint32_t unlogged_pins; /* clients whose pins were not logged in this period: their reasons had been logged */
	uint16_t pins_logged; /* the reasons that were logged in this period: bits 1 << enum pin_reason */
	/* The next four fields are for state/linger.c. */
	uint64_t sequences_asked_us; /* when a client last asked for currval() or lastval(); 0 if never */
	uint64_t sequences_asked_by; /* a hash of the application_name of that client */
	uint64_t linger_credited_us; /* when linger_credit_us was last raised */
	int64_t linger_credit_us; /* how long clients may keep servers for currval() while others wait */
	TAILQ_HEAD(pool_servers, server) servers;
	struct pool_target *target; /* where its servers connect to, according to the present configuration */
	struct database_code *code; /* a reference to the code of its target's database: database_code.h */
	struct statement_home *home; /* a reference to the home of its target's statements (statement_store.h) */
	struct pool_startups startups;
	struct policy_circuit *circuit; /* the circuit of its upstream */
	struct policy_shared *shared; /* policy_shared.h; NULL if the pool lives on one worker */
	/* The pool's caps on connections, by enum policy_cap (policy_budget.h), except CAP_ALL, which the policy worker
	 * has. NULL for a cap that the pool does not have. */
	struct policy_budget *limits[4];
	/* asks PostgreSQL if transactions have committed (dedicated.h); NULL if no such question was needed yet */
	struct dedicated *commit_asker;
	struct notify_listener *listeners; /* connections that listen for its clients: notify_listener.h */
	/* its standby pools, by the index of their host in the upstream (standby_pools.c); NULL if not used yet */
	struct pool *standby_pools[CLUSTER_HOSTS];
	struct pool *main; /* for a standby pool: its main pool, whose counters it uses. NULL in a main pool */
	uint32_t host; /* for a standby pool: the index of its host in the upstream */
	/* For a standby pool: state (enum state_part) that code on the standby may leave, although the primary's last
	 * answer about the database's code does not name that state. */
	unsigned unseen_leftovers;
	/* the cluster_view.history of the primary that its servers are connected to; only with a cluster */
	uint32_t history;
	struct cluster *cluster; /* a reference (cluster.h); NULL if no client reads from standbys */
	unsigned own_zone; /* a bit for each host of its upstream that is in this process's zone */
	/* The next three fields show when the standby has all code that the last answer about code lists. code_due: the
	 * number of the first reading (cluster_view.h) of the primary that began after that answer; 0 once such a
	 * reading has come. code_position: the position in that reading, which the standby must replay. */
	uint64_t code_due, code_position;
	uint32_t code_history; /* the cluster_view.history to which code_due and code_position belong */
	uint32_t index; /* scratch space for a caller that lists all pools */
	struct pool *next, *prev_pool;
	bool is_active; /* true if the pool is in the set's list `active`, not in `inactive`: pool_use.c */
	TAILQ_ENTRY(pool) activity_link; /* the link in `active` or `inactive` */
	UT_hash_handle hh; /* in the set's table, by key */
	size_t key_len; /* 0 in a standby pool, which has no name */
	char key[POOL_KEY_MAX];
};

/*
 * Returns the settings of a client of this pool that has logged in as user ("user.tenant" for a tenant's). They are the
 * pool's settings; but if servers log in under another name (user in upstream), and `user` has a section of its own,
 * the section's values take precedence. The result is valid as long as the pool. A reload changes the settings in
 * place, and may change which settings apply, so call this again after a reload (clients_apply_config). Returns NULL if
 * out of memory.
 */
const struct scope_settings *pool_adopt_user(struct pool *pool, const char *user, uint64_t now_us);
/* Returns true if a and b are the same pool, or shards of one pool. */
static inline bool
pool_is_same(const struct pool *a, const struct pool *b)
{
	return a == b || (a->shared != NULL && a->shared == b->shared);
}
/* Returns the pool that clients know: the main pool of a standby pool, or pool itself. */
static inline struct pool *
pool_main(const struct pool *pool)
{
	return pool->main != NULL ? pool->main : (struct pool *)(uintptr_t)pool;
}
/* Returns the pool that srv belongs to: its client's pool, or one of that pool's standby pools. */
static inline struct pool *
pool_of(const struct server *srv)
{
	return srv->owner;
}
/* Returns the shard that set has of the pool `of`, or NULL. */
struct pool *pool_set_shard(const struct pool_set *set, const struct pool *of);

/* --- pool_conns.c: lends servers and takes them back, as policy.h does with policy_conns --- */
/* Returns how many times the pool has lent a connection so far. */
uint64_t pool_count_checkouts(const struct pool *pool);
/* Returns a server, lent to borrower; or NULL if the waiter has to wait (policy_borrow()). */
struct server *pool_borrow(struct pool *pool, struct policy_waiter *waiter, void *borrower, uint64_t now_us);
/* Call this when the policy has granted conn to a waiter (on_grant). Returns conn's server, lent to borrower. */
struct server *pool_granted(struct policy_conn *conn, void *borrower, uint64_t now_us);
/* Takes srv back from its borrower, which has no request or transaction in progress. If `parts` (enum state_part, enum
 * wash) has STATE_BACKEND, closes srv, perhaps after a query about the code. If srv is unfit (enum server_fitness),
 * closes srv at once. Otherwise washes `parts` off; srv may be lent to a client before this function returns. */
void pool_return(struct server *srv, unsigned parts, uint64_t now_us);
/* Takes srv back from a borrower that may have a request or a transaction in progress: see server_reset(). Washes off
 * everything that can be washed. Of `parts`, only WASH_PLANS, WASH_POINT_SEED and STATE_BACKEND count. With
 * discard_all, runs DISCARD ALL, too. */
void pool_clean(struct server *srv, bool discard_all, unsigned parts, uint64_t now_us);

/* --- pool_code.c: the code of the pool's database (seal/database_code.h) --- */

/* Returns false if the pool's database certainly has no sequences: see database_code_has_sequences(). */
bool pool_has_sequences(const struct pool *pool, uint64_t now_us);
/* Call when a server of this pool has run DDL, and again when the DDL is committed. risk: as for
 * database_code_note_ddl(). */
void pool_code_note_ddl(struct pool *pool, unsigned risk);
/* Call at the end of a request if srv will be closed for state that the request's SQL may have left. Finds the code of
 * the database that may have left the state, sets srv->loan.blame, and logs the code now and then. */
void pool_code_blame(struct server *srv, struct database_code *code);
/* Returns the function, or other code, that has caused the largest number of servers to be closed. */
const struct code_blame *pool_code_most_blamed(const struct database_code *code);
/* Call when a database's name may now stand for another database of PostgreSQL. */
void pool_set_databases_changed(struct pool_set *set);

/* --- pool_use.c: measures how many connections of the pools are in use. A set has two lists of pools. Pools with
 * servers, or with something to log, are active: pool_set_tick() visits all of them each time. All others are inactive
 * and visited in turn, a few at a time. --- */

void pool_use_add_pool(struct pool *pool); /* adds a new pool to the list of inactive pools */
void pool_use_remove_pool(struct pool *pool); /* removes the pool from its list */
/* Makes the pool active. Call this when the pool gets a server, or when is_watched is set. */
void pool_use_activate(struct pool *pool);
/* Makes an active pool inactive if it has no servers and is not watched. Returns true if the pool is inactive now. */
bool pool_use_try_rest(struct pool *pool);
/* Returns the active pool after `before`; the first active pool if `before` is NULL. */
struct pool *pool_use_next_active(const struct pool_set *set, const struct pool *before);
/* Returns how the pool is used at this moment. */
struct policy_use_sample pool_use_take_sample(const struct pool *pool);
/* Returns how the borrower of srv, which is lent, uses srv. *since_us is set to when that use began. */
enum server_use pool_use_of(const struct server *srv, uint64_t *since_us);
/* Returns true if srv is lent. After PostgreSQL has ended the session, srv does not count as lent, even if its client
 * still reads the rest of the result. */
static inline bool
pool_server_is_lent(const struct server *srv)
{
	return srv->borrower != NULL && (srv->conn == NULL || srv->conn->state != PC_NONE);
}

/* pool_compat_log.c. Call when a server that was opened without a policy has failed to log in. If the log has
 * PgBouncer's format, logs the failure in PgBouncer's words. Sets *shown to the error for the client. */
void pool_log_own_refusal(const struct pool *pool, const struct server *srv, enum connect_failure kind,
			  const struct fail *why, struct fail *shown);

/* --- startup settings --- */
/* Returns the GUC set (borrowed) of a client that has sent the startup settings `raw`. Returns NULL if that GUC set is
 * not known yet: then borrow a server, apply `raw` there, and call pool_startups_learn() with the result. */
struct gucs *pool_find_startup(struct pool *pool, const struct gucs *raw);
/* pool_startup.c. Returns the GUC set (borrowed) that was learnt for the startup settings `raw`; or NULL. Compares raw
 * by its address, because equal GUC sets of a store are one object. */
struct gucs *pool_startups_find(struct pool_startups *all, const struct gucs *raw);
/* Remembers that a server has made the GUC set `resolved` of the startup settings `raw`. Takes its own references to
 * both. Returns 0, or -1 if out of memory. */
int pool_startups_learn(struct pool_startups *all, struct gucs *raw, struct gucs *resolved);
void pool_startups_forget_all(struct pool_startups *all);

/* Call when a client that logs in as `user` has proved that it has these keys. If the pool's servers log in as the same
 * user, they may use a copy of the keys. */
void pool_learn_keys(struct pool *pool, const char *user, const struct scram_keys *keys);
/* Computes the policy's settings anew from the pool's settings and from the facts known about its database. */
void pool_renew_policy(struct pool *pool, uint64_t now_us);
/* Call when a client that logs in as `user` has proved a secret (plain text, or "md5...") that is not in users_file. If
 * the pool's servers log in as the same user, and the configuration has no secret for them, the servers use a copy. */
void pool_learn_secret(struct pool *pool, const char *user, const char *secret);
/* Call when a client is about to use the pool; d is the ticket with which the client has logged in, or NULL. Returns 0,
 * or -1 with *why set if gss_accept_delegation forbids the use: see delegator_admit_client(). */
int pool_take_delegated(struct pool *pool, struct delegated *d, uint64_t now_us, struct fail *why);

/* For a restart: returns the keys with which this pool's servers log in, and sets *secret to the secret that a client
 * has proved, or to NULL. Both are borrowed. */
const struct scram_keys *pool_get_secrets(const struct pool *pool, const char **secret);
/* Takes over, in the next process, copies of what pool_get_secrets() has returned. Both may be NULL. */
void pool_take_secrets(struct pool *pool, const struct scram_keys *keys, const char *secret);
