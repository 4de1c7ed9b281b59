/*
 * src/pool/pool.h - one pool: the connections of a (database, user) pair, behind the policy that decides about them.
 *
 * A client borrows a server and gives it back here. The pool also remembers what its clients are sent at login, what
 * their startup settings turned into, and the secrets that they have proved.
 *
 * Owns:   its policy and servers. Borrows: its database, and what its set has (pool_set.h).
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
			char kind; /* 't' or 'd' */
			char name[CONFIG_DATABASE_MAX + 1]; /* that clients use; a tenant's is "tenant/database" */
		};
		char key[1 + CONFIG_DATABASE_MAX + 1]; /* both, in the list of all */
	};
	bool is_of_tenant; /* whether it was a tenant's when somebody first asked for it: see config_tenant_len */
	struct database_counters counters;
	struct exemplars *exemplars; /* of query_duration; NULL: no trace was seen */
	struct database_code *code; /* what its pools lead to, or one of these; a reference; NULL: it has had none */
	uint32_t index; /* scratch space for whoever lists all databases */
	bool is_paused;
	bool is_disabled; /* new clients are refused */
	uint32_t pools;
	struct pool_database *next, *before;
	UT_hash_handle hh;
};

/* An order to a pool to find out whether a host is there again: pool_health_check.c. Good for one call. */
struct pool_health_check {
	struct pool_backend *to;
	struct pool *from;
	const struct upstream_host *host;
	bool is_in_outage;
};

struct pool_backend {
	char name[SERVER_ADDRESS_MAX];
	UT_hash_handle hh;
	uint8_t role; /* see struct server */
	struct backend_counters counters;
	uint64_t told_us; /* when the log was last told that it had not wanted us */
	uint64_t asked_us; /* when it last failed, or was checked */
	uint32_t health_checks; /* under way */
	struct pool_health_check health_check;
	bool is_led_to; /* a pool has it among its hosts */
	struct pool_backend *next;
};

#define STARTUPS_MAX 256

/* Remembers what clients' startup settings turned into on a server: of STARTUPS_MAX sets, as clients choose them (the
 * least recently used one goes). Zeroed, with a random seed, it is empty. Owns references on its GUC sets. */
struct pool_startups {
	uint64_t seed;
	struct startup_gucs *table; /* pool_startup.c */
};

/* 't' or 'd', then database and user, each with a terminator. */
#define POOL_KEY_MAX (1 + CONFIG_DATABASE_MAX + 1 + CONFIG_NAME_MAX + 1)

struct pool {
	struct pool_set *set;
	char user[CONFIG_NAME_MAX + 1]; /* the user that servers log in as */
	struct pool_database *database;
	struct policy *policy;
	struct scope_settings settings;
	struct pool_user *users; /* who logs in under another name than user, with settings of their own */
	bool is_sealed; /* what a client leaves in a session is washed off before another client gets the server */
	struct pool_counters counters;
	struct scram_keys keys; /* learnt or derived; kept in memory only */
	struct gucs *baseline; /* settings of a fresh server; NULL: none has logged in yet */
	struct gucs *welcome; /* the read-only parameters that the last one reported */
	uint64_t baseline_us; /* since when these two are as they are; 0: never yet */
	struct pool_fresh *fresh; /* pool_workers.h: the same of all shards; NULL: it has no others */
	uint32_t clients; /* logged in, or logging in and past their password */
	bool is_orphan; /* its database is no longer configured */
	uint64_t last_used_us;
	struct due due; /* its next tick */
	uint64_t failure_told_us; /* when the log was last told why logins fail: pool_log.c */
	struct policy_use use;
	uint64_t server_us, waited_us; /* PostgreSQL's time for all requests, and the time of all waits */
	struct timeouts *timeouts; /* what the log is to say of them: client/client_watch.c; freed with free() */
	bool is_watched; /* ... for which it is looked at though it has no server; see pool_use.c */
	uint64_t pins_told_us; /* state/pins.c: when the log was last told of these, and how many had one since */
	uint32_t pins_untold;
	uint16_t pins_told; /* 1 << enum pin_reason */
	/* When a client last asked for currval() or lastval() (0: never), of which application_name; for how long, as
	 * of when, clients may keep their servers for such questions while others wait. state/linger.c */
	uint64_t sequences_asked_us, sequences_asked_by, linger_paid_us;
	int64_t linger_credit_us;
	TAILQ_HEAD(pool_servers, server) servers;
	struct pool_target *target; /* from the present configuration */
	struct database_code *code; /* of its target's database; a reference: database_code.h */
	struct statement_home *home; /* the home of its target's statements; a reference */
	struct pool_startups startups; /* startup settings that were tried, and their results */
	struct policy_circuit *circuit; /* of its upstream */
	struct policy_shared *shared; /* policy_shared.h; NULL: it lives on one worker */
	struct policy_budget
	    *limits[4]; /* policy_commons.h, by enum policy_cap; NULL: none. That of CAP_ALL is its policy worker's */
	struct dedicated *asker; /* dedicated.h: asks what became of transactions; NULL: nobody has asked yet */
	struct notify_listener *listeners; /* notify_listener.h: they listen for its clients */
	/* standby_pools.c: by the place of their host in its upstream; NULL: not used yet. */
	struct pool *standby_pools[CLUSTER_HOSTS];
	struct pool *main; /* of a standby pool: whose it is; its counters are that one's. NULL: it is none */
	uint32_t host; /* of a standby pool */
	unsigned code_gone; /* of a standby pool: what code may leave there that no answer has told of */
	uint32_t history; /* cluster_view.history of the primary that its servers are on, where somebody reads from
			     standbys */
	struct cluster *cluster; /* cluster.h; a reference; NULL: nobody reads from standbys */
	unsigned own_zone; /* a bit for each host of its upstream that is in this process's zone */
	/* A standby may have other code than the last answer tells of until it has replayed what the primary had then:
	 * the number of the primary's first reading that covers that, or 0: the position is this, of this history. */
	uint64_t code_due, code_position;
	uint32_t code_history;
	uint32_t index; /* scratch space for whoever lists all pools */
	struct pool *next, *before;
	bool is_active; /* pool_use.c: in the set's list of those that have servers, or are watched */
	TAILQ_ENTRY(pool) looked_at;
	UT_hash_handle hh; /* of its set, by key */
	size_t key_len; /* 0: of a standby pool, which is found by no name */
	char key[POOL_KEY_MAX];
};

/*
 * Returns the settings of a client of this pool that has logged in as user ("user.tenant" for a tenant's): the pool's,
 * unless servers log in as somebody else (user in upstream) and user has a section of its own; its values take
 * precedence then. They live as long as the pool; a reload changes them in place, and after it the answer may be
 * another one (clients_configured). Returns NULL without memory.
 */
const struct scope_settings *pool_settings(struct pool *pool, const char *user, uint64_t now_us);
/* Returns true if both are shards of one pool, or the same. */
static inline bool
pool_is_same(const struct pool *a, const struct pool *b)
{
	return a == b || (a->shared != NULL && a->shared == b->shared);
}
/* Returns the pool that clients know, of which this is a standby pool, or the same. */
static inline struct pool *
pool_main(const struct pool *pool)
{
	return pool->main != NULL ? pool->main : (struct pool *)(uintptr_t)pool;
}
/* Returns the pool that has lent srv: the client's, or a standby pool of it. */
static inline struct pool *
pool_of(const struct server *srv)
{
	return srv->owner;
}
struct pool *pool_set_shard(const struct pool_set *set, const struct pool *of); /* the shard of it there, or NULL */

/* --- pool_conns.c: borrowing; the policy's functions, for servers instead of policy_conns --- */
/* Returns how many connections the pool has lent so far. */
uint64_t pool_checkouts(const struct pool *pool);
struct server *pool_borrow(struct pool *pool, struct policy_waiter *waiter, void *borrower, uint64_t now_us);
/* Call it in on_grant: returns the server that was granted, lent to borrower. */
struct server *pool_granted(struct policy_conn *conn, void *borrower, uint64_t now_us);
/* The borrower gives srv back, with nothing of its own under way. These parts of its session (enum state_part) are
 * washed first; with STATE_BACKEND, or if it is unfit, it is closed. It may be lent to the next in the queue before
 * this returns. */
void pool_return(struct server *srv, unsigned parts, uint64_t now_us);
/* The borrower has gone, whatever is under way: see server_reset. Everything that can be washed is; parts: as above. */
void pool_clean(struct server *srv, bool discard_all, unsigned parts, uint64_t now_us);

/* --- pool_code.c: the code of its database --- */
/* Returns false if its database has no sequences: see database_code_has_sequences(). */
bool pool_has_sequences(const struct pool *pool, uint64_t now_us);
/* A server of this pool has run DDL, or has committed it. */
void pool_code_changed(struct pool *pool, unsigned risk); /* risk: as for database_code_changed() */
/* Call it if the server will be closed for what SQL up to the end of this request may have left: finds out which code
 * that was, and logs it once an hour. */
void pool_code_blame(struct server *srv, struct database_code *code);
const struct code_blame *pool_code_blamed(const struct database_code *code); /* returns the code that costs most */
void pool_set_databases_changed(struct pool_set *set); /* a name may mean another database now */

/*
 * --- pool_use.c: which pools are looked at how often: those with servers, or of which something is to be told, at each
 * tick, the others in turn; and how much of each is in use ---
 */
void pool_use_begin(struct pool *pool); /* a new one */
void pool_use_end(struct pool *pool);
/* The pool has a server from now on, or is_watched: it is looked at at each tick. */
void pool_is_active(struct pool *pool);
bool pool_use_rests(struct pool *pool); /* returns true if it need not be looked at at each tick any more */
/* Returns the next pool behind before (NULL: the first) that has servers, or is_watched. */
struct pool *pool_use_next_active(const struct pool_set *set, const struct pool *before);
struct policy_look pool_use_now(const struct pool *pool); /* what it looks at */
/* Returns what the borrower of srv, which is lent, does with it. *since_us: since when. */
enum server_use pool_use_of(const struct server *srv, uint64_t *since_us);
/* Returns true if srv is lent, and PostgreSQL has not ended it behind a client that does not read. */
static inline bool
pool_is_in_use(const struct server *srv)
{
	return srv->borrower != NULL && (srv->conn == NULL || srv->conn->state != PC_NONE);
}

/* pool_compat_log.c. The login of a server has failed that no policy asked for: the log has it as PgBouncer's would,
 * if it is in its format. *shown is what its client gets. */
void pool_log_own_refusal(const struct pool *pool, const struct server *srv, enum connect_failure kind,
			  const struct fail *why, struct fail *shown);

/* --- startup settings --- */
/* Returns the GUC set of a client with these startup settings (raw, as a GUC set), or NULL if it is not known yet: then
 * borrow a server, apply them, and call pool_startup_learn. */
struct gucs *pool_find_startup(struct pool *pool, const struct gucs *raw);
/* pool_startup.c. Returns the result of these settings, or NULL. GUC sets are interned: raw is found by its address. */
struct gucs *pool_startup_find(struct pool_startups *all, const struct gucs *raw);
/* Takes references on both GUC sets. Returns 0, or -1 without memory. */
int pool_startup_learn(struct pool_startups *all, struct gucs *raw, struct gucs *resolved);
void pool_startup_forget_all(struct pool_startups *all);

/* A client proved these keys: servers of this user may log in with them. */
void pool_learn_keys(struct pool *pool, const char *user, const struct scram_keys *keys);
void pool_renew_policy(struct pool *pool, uint64_t now_us); /* by its settings and what is known of its database */
/* A client proved this secret (plain or MD5), not in users_file: servers use it if there is no other. It is copied. */
void pool_learn_secret(struct pool *pool, const char *user, const char *secret);
/* A client that has logged in by d (NULL: not by a ticket) is to use the pool. Returns 0, or -1 with *why set: with
 * gss_accept_delegation it must not, see delegation_take(). */
int pool_take_delegated(struct pool *pool, struct delegated *d, uint64_t now_us, struct fail *why);

/* Returns how this pool's servers log in, for the next process. Borrowed; *secret may be NULL. */
const struct scram_keys *pool_secrets(const struct pool *pool, const char **secret);
void pool_take_secrets(struct pool *pool, const struct scram_keys *keys, const char *secret); /* or NULL */
