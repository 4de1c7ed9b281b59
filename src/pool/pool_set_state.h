/*
 * src/pool/pool_set_state.h - what the files of a pool set share; nobody else includes it.
 *
 *   pool_set.c      all pools: configuration, lists, time, operations
 *   pool.c          one pool: finding, making, configuring and freeing it
 *   pool_conns.c    the connections behind its policy
 *   pool_workers.c    on which workers each pool lives
 *   pool_fresh.c    what a fresh server of a pool shows, for all its shards
 *   pool_transfer.c  servers that go to the shard of a pool on another worker
 *   standby_pools.c standby pools, which have the servers of standbys; whose servers are the primary's
 *   pool_code.c     what its database's code could touch; database_code_news.c: all databases' code
 *   pool_defaults.c ALTER ROLE and ALTER DATABASE ... SET: servers that began with other settings are replaced
 *   pool_health_check.c  finds out whether hosts that could not be reached are there again
 *   pool_use.c      which pools are looked at how often, and how much is in use
 *   pool_log.c      its lines in the log; pool_compat_log.c: in PgBouncer's format
 *
 * Owns:    pools, their servers (struct pooled), databases and backends.
 * Borrows: worker, env, companions, statements and log, which outlive it; holds references to config, users and tls.
 * Always:  the policy hears once of the end of each struct pooled (policy_knows), before that is freed.
 *
 * A server and its place in the policy are one object here (struct pooled): the policy sees its policy_conn, everybody
 * else its server.
 */
#pragma once

#include "pool/pool_defaults.h"
#include "pool/pool_workers.h"
#include "pool/pool_database.h"
#include "policy/policy_budget.h"
#include "policy/policy_circuit.h"
#include "policy/policy_shared.h"
#include "pool/standby_pools.h"
#include "pool/pool_target.h"

struct pooled {
	struct policy_conn conn; /* must be first: the policy's pointer is ours */
	struct server *srv;
	struct pool *pool;
	struct pool_target *target;
	struct database_code *code; /* of the database that it is connected to; a reference */
	bool policy_knows; /* that it is gone */
	bool is_logged; /* that it is closed: see pool_compat_log.c */
	struct pool_backend *checked; /* it was opened to find out about this one; NULL once that is known */
	bool is_kept; /* ... and is lent like any other then */
	uint32_t code_round; /* database_code.round, of the answer that is to come from it; 0: none is */
	uint64_t code_made; /* database_code.made when it was washed */
	bool is_code_late; /* the answer took as long as it may */
	unsigned heeded; /* pool_code_heeded() where it comes from */
	struct {
		uint64_t version; /* role_settings_version() that its session began with, or an older one; 0: unknown */
		uint64_t since_us; /* when its host said so, or while that is unknown, when its login began (0: before
				      an ALTER) */
		uint64_t due; /* the version for which it is to go; 0: it may stay */
	} defaults; /* pool_defaults.c */
	/* While it goes to the shard of its pool on another worker: pool_transfer.c. */
	struct note note;
	struct policy_worker *from_worker, *to_worker;
	struct pool_set *to;
	const struct server_env *to_env;
	uint64_t left_us; /* when the policy gave it up */
};

struct pool_set {
	struct pool_set_settings s;
	struct server_env own_env; /* for servers that clients have for themselves */
	struct log *log;
	uint64_t random;
	struct config *config;
	struct users *users;
	struct tls_store *tls;
	struct budget_member places; /* in max_server_connections, for servers that no policy lends */
	struct pool *table;
	struct pool *first;
	size_t pool_count;
	struct due_heap due; /* pools by their next tick */
	bool is_ticking; /* whoever is to tick once more does so at the next */
	TAILQ_HEAD(, pool) active, bare; /* pool_use.c: those with servers, and the others */
	uint32_t bare_count;
	uint64_t looked_us; /* when these were looked at last */
	struct pool_databases databases;
	struct code_store codes;
	struct pool_backends backends;
	struct timer waker;
	uint64_t wake_at_us; /* 0: the waker is not set */
	uint32_t last_code_number; /* of answers about databases' code: database_code.number */
	uint32_t server_count, last_turn;
	const struct pool_health_check *health_check; /* what is opened now is that; NULL: for those in the queue */
	bool is_paused, is_suspended;
};

static inline uint64_t
pool_set_now(const struct pool_set *set)
{
	return *set->s.env->now_us;
}

/* A name under which clients log in to a pool whose servers log in as somebody else. */
struct pool_user {
	struct pool_user *next;
	struct scope_settings settings;
	char name[]; /* as [user NAME] has it */
};

static inline struct pooled *
pooled_of(struct policy_conn *conn)
{
	return (struct pooled *)conn;
}

/* pool_compat_log.c: the lines of PgBouncer's log, if ours is in its format. */
void compat_log_reserve(const struct pool *pool);
void compat_log_open(const struct pool *pool, const struct server *srv);
void compat_log_end(const struct pool *pool, const struct server *srv, const char *why);
void compat_log_refusal(const struct pool *pool, const struct server *srv, enum connect_failure kind,
			const struct fail *why);
void compat_log_unused(const struct pool *pool, uint64_t now_us);
void compat_log_database(const struct pool_set *set, const char *database); /* a new one that is not listed */
const char *compat_recycle_word(enum recycle_reason reason);

/* pool_log.c */
void pool_log_failure(struct pool *pool, struct server *srv, enum connect_failure kind, const struct fail *why);
void pool_log_host(struct pool *pool, const struct server *srv, enum connect_failure kind,
		   const struct fail *why); /* the next is tried */
void pool_log_outage(void *owner, const struct policy_outage *outage, const struct fail *why, uint64_t now_us);

/* pool_set.c */
void pool_set_due(struct pool *pool, uint64_t at_us); /* its policy is to tick then at the latest */
void pool_set_forget_database(struct pool_set *set, struct pool_database *d); /* its last pool may be gone */

/* pool.c       */
/* Writes the name that all pool sets have for the pool of this user, and server_user, as whom its servers log in.
 * Returns its length, or 0 with *why set: 3D000 for an unknown database. */
size_t pool_key(const struct config *config, const char *database, const char *user, char key[static POOL_KEY_MAX],
		char server_user[static CONFIG_NAME_MAX + 1], struct fail *why);
/* Returns on how many workers a pool of this database and user (of its servers) may have a shard. */
uint32_t pool_shards(const struct config *config, const char *database, const char *user,
		     const struct pool_split *split);
/* Applies limits, upstream and secrets. Returns 0, or -1 with *why set: the database is configured no longer. */
int pool_configure(struct pool *pool, uint64_t now_us, struct fail *why);
void pool_on_baseline(struct pool *pool); /* takes over what other shards have seen of fresh servers */
void pool_free(struct pool *pool);
struct pool *pool_set_at(const struct pool_set *set, const void *key, size_t len); /* of this pool_key(); or NULL */

/* pool_conns.c */
extern const struct policy_ops pool_policy_ops;
/* Returns the policy's part of an idle server, which tells it what there is to know. */
struct policy_conn *pool_returned(struct server *srv);
/* Servers have shown these defaults since since_us. If they changed, what was learnt from older servers is void. */
void pool_take_baseline(struct pool *pool, struct gucs *baseline, struct gucs *welcome, uint64_t since_us);

/* pool_transfer.c */
bool pool_give(void *owner, struct policy_conn *conn, struct policy_worker *to); /* policy_ops.give */

/* pool_code.c */
const char *pool_code_ask(struct server *srv); /* returns the query for srv */
void pool_code_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole); /* for server_owner_ops */
const char *pool_code_answered(struct server *srv, bool ok);
bool pool_code_holds(struct server *srv, const char **question);
enum code_turn pool_code_turn(const struct server *srv, unsigned parts, uint64_t made); /* see database_code_turn() */
bool pool_code_frees(const struct server *srv); /* it is held, and need not wait any more */
void pool_code_gone(struct server *srv); /* it ends, and answers no more */
/* Returns what no reset removes (STATE_BACKEND, RISK_CONTEXT), of what the code is known here to leave. */
unsigned pool_code_heeded(const struct pool *pool);
/* Returns false if a server from a worker on which only heeded was known must be closed: it may have run what leaves
 * more. If nothing is known here, the first answer tells. */
bool pool_code_welcomes(struct pool *pool, unsigned heeded);
