/*
 * src/pool/pool.h - one pool: the connections of a (database, user) pair, lent and returned as its policy decides.
 *
 * A client borrows a server and gives it back here. The pool also remembers the parameters that its clients are sent at
 * login, the results of their startup settings, and the secrets that they have proved.
 *
 * Owns:   its policy and servers. Borrows: its database, and the objects of its set (pool_set.h).
 * Always: a pool lives while it has clients or servers; its pointer may be kept by its clients.
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

struct pool_database {
	union {
		struct {
			char kind; /* 't' if it is a tenant's, else 'd' */
			char name[CONFIG_DATABASE_MAX + 1]; /* as clients say it; a tenant's is "tenant/database" */
		};
		char key[1 + CONFIG_DATABASE_MAX + 1]; /* kind and name: the key in the table of all databases */
	};
	/* true if the name was a tenant's (config_tenant_len) when a client first asked for this database */
	bool is_of_tenant;
	struct database_counters counters;
	struct exemplars *exemplars; /* of query_duration; NULL if no trace was seen */
	/* a reference to the code of the PostgreSQL database with this name, or of one of several such databases;
	 * NULL if there is none yet */
	struct database_code *code;
	uint32_t index; /* scratch space for a caller that lists all databases */
	bool is_paused;
	bool is_disabled; /* new clients are refused */
	uint32_t pools; /* how many pools it has */
	struct pool_database *next, *before;
	UT_hash_handle hh;
};

/* An order to check if a backend can be reached again: pool_health_check.c. Valid for one call. */
struct pool_health_check {
	struct pool_backend *to; /* the backend to check */
	struct pool *pool; /* the pool that opens the connection */
	const struct upstream_host *host; /* the host of the pool's upstream that the backend stands for */
	bool is_in_outage; /* the pool is in an outage */
};

struct pool_backend {
	char name[SERVER_ADDRESS_MAX];
	UT_hash_handle hh;
	uint8_t role; /* see struct server */
	struct backend_counters counters;
	uint64_t logged_us; /* when it was last logged that no connection could be made to the host */
	uint64_t checked_us; /* when the host last failed, or was checked */
	uint32_t health_checks; /* checks in progress */
	struct pool_health_check health_check;
	bool is_configured; /* a pool has this host among its hosts */
	struct pool_backend *next;
};

#define STARTUPS_MAX 256

/* Caches the GUC sets that a server made of clients' startup settings. Holds STARTUPS_MAX sets at most, because clients
 * choose the settings; the least recently used set is dropped. Zeroed, with a random seed, the cache is empty. The
 * cache has references to its GUC sets. */
struct pool_startups {
	uint64_t seed;
	struct startup_gucs *table; /* pool_startup.c */
};

/* 't' or 'd', then database and user, each with a terminator. */
#define POOL_KEY_MAX (1 + CONFIG_DATABASE_MAX + 1 + CONFIG_NAME_MAX + 1)

/* For exchange/holder.c. */
struct pool_stall {
	uint64_t moved_us; /* when a connection was last lent or returned */
	uint32_t waiting; /* the longest queue since then */
};

struct pool {
	struct pool_set *set;
	char user[CONFIG_NAME_MAX + 1]; /* the user that servers log in as */
	struct pool_database *database;
	struct policy *policy;
	struct scope_settings settings;
	struct pool_user *users; /* users that log in under another name than `user`, with their own settings */
	bool is_sealed; /* session state is washed off a server before another client gets it */
	struct pool_counters counters;
	struct scram_keys keys; /* keys that were learnt or derived; kept in memory only */
	struct gucs *baseline; /* the settings of a server that has just logged in; NULL until a server has */
	struct gucs *refused; /* settings that the primary was last seen to refuse; NULL if none, or if it takes them */
	struct gucs *login_parameters; /* read-only parameters that the last server reported at login */
	uint64_t
	    baseline_us; /* since when baseline and login_parameters have had their values; 0 if they were never set */
	struct pool_fresh *fresh; /* pool_workers.h: baseline and login_parameters for all shards; NULL if not split */
	uint32_t clients; /* clients that are logged in, or whose password was accepted */
	bool is_orphan; /* its database is no longer configured */
	uint64_t last_used_us;
	struct due due; /* the next tick */
	uint64_t failure_told_us; /* when it was last logged why logins fail: pool_log.c */
	struct policy_use use; /* the present span, and the previous one */
	uint64_t server_us, waited_us; /* sums: PostgreSQL's time for requests, and the time that requests waited */
	struct pool_stall stall;
	struct timeouts *timeouts; /* timeouts to be logged: client/client_watch.c; freed with free() */
	bool is_watched; /* pool_use.c visits the pool at each tick for `timeouts`, even without servers */
	uint64_t pins_logged_us; /* state/pins.c: when the pins in pins_logged were last logged */
	uint32_t pinned_since; /* clients that have had one of the pins in pins_logged since pins_logged_us */
	uint16_t pins_logged; /* reasons that were logged: 1 << enum pin_reason */
	/* The next four fields are for state/linger.c. */
	uint64_t sequences_asked_us; /* when a client last asked for currval() or lastval(); 0 if never */
	uint64_t sequences_asked_by; /* a hash of the application_name of that client */
	uint64_t linger_paid_us; /* when linger_credit_us was last raised */
	int64_t linger_credit_us; /* how long clients may keep servers for currval() while others wait */
	TAILQ_HEAD(pool_servers, server) servers;
	struct pool_target *target; /* where its servers connect to, by the present configuration */
	struct database_code *code; /* a reference to the code of its target's database: database_code.h */
	struct statement_home *home; /* a reference to the home of its target's statements (statement_store.h) */
	struct pool_startups startups; /* startup settings that were applied, and their results */
	struct policy_circuit *circuit; /* the circuit of its upstream */
	struct policy_shared *shared; /* policy_shared.h; NULL if the pool lives on one worker */
	/* its caps, by enum policy_cap (policy_budget.h); NULL where it has no such cap. That of CAP_ALL belongs to the
	 * policy worker. */
	struct policy_budget *limits[4];
	struct dedicated *asker; /* dedicated.h: asks whether transactions have committed; NULL if not needed yet */
	struct notify_listener *listeners; /* notify_listener.h: connections that listen for its clients */
	/* standby_pools.c: its standby pools, by the index of their host in the upstream; NULL if not used yet */
	struct pool *standby_pools[CLUSTER_HOSTS];
	struct pool *main; /* the main pool of a standby pool, whose counters it uses; NULL in a main pool */
	uint32_t host; /* the index of a standby pool's host in the upstream */
	/* in a standby pool: state that its code may leave although the last answer does not say so */
	unsigned unseen_leftovers;
	/* the cluster_view.history of the primary that its servers are connected to; only with a cluster */
	uint32_t history;
	struct cluster *cluster; /* cluster.h; a reference; NULL if no client reads from standbys */
	unsigned own_zone; /* a bit for each host of its upstream that is in this process's zone */
	/* Until a standby has replayed all that the primary had when the last answer about code came, the standby may
	 * have other code than that answer describes. code_due: the number of the primary's first reading
	 * (cluster_view.h) that covers all that the primary had; 0 if that reading has come. code_position: the
	 * position of that reading.
	 */
	uint64_t code_due, code_position;
	uint32_t code_history; /* the history of code_position */
	uint32_t index; /* scratch space for a caller that lists all pools */
	struct pool *next, *before;
	bool is_active; /* pool_use.c: the pool has servers, or is_watched, and is in the set's list of such pools */
	TAILQ_ENTRY(pool) looked_at;
	UT_hash_handle hh; /* the set's table, by key */
	size_t key_len; /* 0 in a standby pool, which has no name */
	char key[POOL_KEY_MAX];
};

/*
 * Returns the settings of a client of this pool that has logged in as user ("user.tenant" for a tenant's). They are the
 * pool's settings, unless servers log in under another name (user in upstream) and `user` has a section of its own:
 * then the section's values take precedence. The result is valid as long as the pool. A reload changes the settings in
 * place, and may change which settings apply: call this again after a reload (clients_configured). Returns NULL without
 * memory.
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
/* Returns the pool that has lent srv: the client's pool, or one of its standby pools. */
static inline struct pool *
pool_of(const struct server *srv)
{
	return srv->owner;
}
struct pool *pool_set_shard(const struct pool_set *set, const struct pool *of); /* set's shard of `of`, or NULL */

/* --- pool_conns.c: does what the functions of the same names in policy.h do, for servers instead of policy_conns
 * --- */
/* Returns how many connections the pool has lent so far. */
uint64_t pool_checkouts(const struct pool *pool);
/* Returns a server, lent to borrower; or NULL if the waiter has to wait. */
struct server *pool_borrow(struct pool *pool, struct policy_waiter *waiter, void *borrower, uint64_t now_us);
/* Call this in on_grant. Returns the server that was granted, lent to borrower. */
struct server *pool_granted(struct policy_conn *conn, void *borrower, uint64_t now_us);
/* The borrower gives srv back, with no request of its own in progress. `parts` of the session (enum state_part) are
 * washed first; with STATE_BACKEND, or if srv is unfit (enum server_fitness), srv is closed. srv may be lent to the
 * next client before this function returns. */
void pool_return(struct server *srv, unsigned parts, uint64_t now_us);
/* The borrower has gone, maybe in the middle of a request: see server_reset. Washes everything that can be washed, and
 * WASH_PLANS, WASH_POINTS and STATE_BACKEND if they are in `parts`. */
void pool_clean(struct server *srv, bool discard_all, unsigned parts, uint64_t now_us);

/* --- pool_code.c: the code of the pool's database (seal/database_code.h) --- Returns false if the pool's database
 * certainly has no sequences: see database_code_has_sequences(). */
bool pool_has_sequences(const struct pool *pool, uint64_t now_us);
/* Call when a server of this pool has run DDL, or has committed it. risk: as for database_code_changed(). */
void pool_code_changed(struct pool *pool, unsigned risk);
/* Call at the end of a request after which srv will be closed because of state that its SQL may have left. Finds out
 * which code may have left that state, and logs the code once an hour. */
void pool_code_blame(struct server *srv, struct database_code *code);
/* Returns the function, or other code, because of which most servers were closed. */
const struct code_blame *pool_code_blamed(const struct database_code *code);
/* Call when the name of a database may refer to another database of PostgreSQL now. */
void pool_set_databases_changed(struct pool_set *set);

/*
 * --- pool_use.c: lists the pools to visit at each tick (those with servers, or with something to log) and the pools to
 * visit in turn (all others); and measures how many of their connections are in use ---
 */
void pool_use_begin(struct pool *pool); /* pool is new */
void pool_use_end(struct pool *pool);
/* The pool has a server from now on, or is_watched: from now on it is visited at each tick. */
void pool_use_activate(struct pool *pool);
bool pool_use_try_rest(struct pool *pool); /* returns true if the pool need not be visited at each tick any more */
/* Returns the pool after `before` in the list of pools that have servers, or are watched; the first if before is
 * NULL. */
struct pool *pool_use_next_active(const struct pool_set *set, const struct pool *before);
struct policy_use_sample pool_use_now(const struct pool *pool); /* returns how the pool is used at this moment */
/* Returns how the borrower of srv, which is lent, uses it. *since_us is set to when that use began. */
enum server_use pool_use_of(const struct server *srv, uint64_t *since_us);
/* Returns true if srv is lent. A server no longer counts once PostgreSQL has ended it, although its client still reads
 * what is left of the result. */
static inline bool
pool_server_is_lent(const struct server *srv)
{
	return srv->borrower != NULL && (srv->conn == NULL || srv->conn->state != PC_NONE);
}

/* pool_compat_log.c. Call when a server that was opened without a policy has failed to log in. Logs the failure in
 * PgBouncer's words, if the log has its format. Sets *shown to the error for the client. */
void pool_log_own_refusal(const struct pool *pool, const struct server *srv, enum connect_failure kind,
			  const struct fail *why, struct fail *shown);

/* --- startup settings --- */
/* Returns the GUC set of a client that has sent the startup settings `raw`; NULL if it is not known yet: then borrow a
 * server, apply the settings there, and call pool_startups_learn() with the result. */
struct gucs *pool_find_startup(struct pool *pool, const struct gucs *raw);
/* pool_startup.c. Returns the GUC set that was learnt for the startup settings `raw`, or NULL. GUC sets are interned,
 * so raw is found by its address. */
struct gucs *pool_startups_find(struct pool_startups *all, const struct gucs *raw);
/* Takes references on both GUC sets. Returns 0, or -1 without memory. */
int pool_startups_learn(struct pool_startups *all, struct gucs *raw, struct gucs *resolved);
void pool_startups_forget_all(struct pool_startups *all);

/* A client has proved these keys: servers of this user may log in with them. */
void pool_learn_keys(struct pool *pool, const char *user, const struct scram_keys *keys);
/* Makes the policy's settings from the pool's settings, and from what is known of its database. */
void pool_renew_policy(struct pool *pool, uint64_t now_us);
/* A client has proved this secret (plain or MD5), which is not in users_file. Copies the secret; servers log in with it
 * if the configuration has no other. */
void pool_learn_secret(struct pool *pool, const char *user, const char *secret);
/* Call when a client is about to use the pool; d is the ticket with which the client has logged in, or NULL. Returns 0,
 * or -1 with *why set if gss_accept_delegation forbids the use: see delegation_take(). */
int pool_take_delegated(struct pool *pool, struct delegated *d, uint64_t now_us, struct fail *why);

/* Returns the keys with which this pool's servers log in, for the next process, and sets *secret to the secret or
 * NULL. Both are borrowed. */
const struct scram_keys *pool_secrets(const struct pool *pool, const char **secret);
void pool_take_secrets(struct pool *pool, const struct scram_keys *keys, const char *secret); /* both may be NULL */
