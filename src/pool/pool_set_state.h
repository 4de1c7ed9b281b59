/*
 * src/pool/pool_set_state.h - declarations that only the files of a pool set include.
 *
 *   pool_set.c      all pools: configuration, lists, time, operations
 *   pool.c          one pool: finds, makes, configures and frees it
 *   pool_conns.c    the connections that a policy decides about
 *   pool_workers.c  the workers on which each pool lives
 *   pool_fresh.c    the settings of a fresh server, for all shards of a pool
 *   pool_transfer.c servers that are transferred to the shard of a pool on another worker
 *   standby_pools.c standby pools, which have the servers of standbys; finds the servers of the primary
 *   pool_code.c     asks which session state the code of a pool's database could touch
 *   pool_defaults.c replaces servers whose sessions began before an ALTER ROLE or ALTER DATABASE ... SET
 *   pool_health_check.c  checks if hosts that could not be reached can be reached again
 *   pool_use.c      visits pools, and measures the use of their connections
 *   pool_log.c      log lines about a pool; pool_compat_log.c: in PgBouncer's format
 *
 * Owns:    pools, their servers (struct pooled), databases and backends.
 * Borrows: worker, env, dedicated_ops, statements and log, which outlive the set. Holds references to config, users and
 *          tls.
 * Always:  before a struct pooled is freed, its end is reported to the policy, once (is_end_reported).
 *
 * A struct pooled joins a server and its policy_conn: the policy sees the policy_conn, all other code sees the server.
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
	struct policy_conn conn; /* must be first: the policy's pointer is also a pointer to this struct */
	struct server *srv;
	struct pool *pool;
	struct pool_target *target;
	struct database_code *code; /* a reference to the code of the database to which the server is connected */
	bool is_end_reported; /* true if the policy knows that the server is gone */
	bool is_logged; /* true if the end of the server was logged: see pool_compat_log.c */
	/* the backend that the server was opened to check; NULL for other servers, and when the check is over */
	struct pool_backend *checked_backend;
	/* true if the server may be lent; false if it was opened to check one of several hosts, and is then closed */
	bool may_be_lent;
	/* the number of the question about code (database_code.question_number) that the server is to answer; or 0 */
	uint32_t code_question_number;
	uint64_t last_keeping_ddl; /* database_code.last_keeping_ddl when the wash began */
	/* database_code.ddl_count + 1 at the start of a wash that looks for dblink; 0 for other washes */
	uint64_t ddl_at_wash_plus_1;
	bool is_code_late; /* true if the server's last answer about code took CODE_ANSWER_US or longer */
	/* for a transferred server: the result of pool_code_known_leftovers() on its former worker */
	unsigned known_leftovers;
	/* The settings with which the server's session began: pool_defaults.c. */
	struct {
		/* the role_settings_version() of these settings or of older settings; 0 if unknown */
		uint64_t version;
		/* If `version` is not 0: when the server's host answered with that version. If `version` is 0: when the
		 * server's login began, or 0 if the login began before an ALTER. */
		uint64_t since_us;
		uint64_t outdated_by; /* the version because of which the server is to be replaced; 0 if it may stay */
	} defaults;
	/* pool_transfer.c uses the fields below while the server is transferred to another worker. */
	struct note note;
	struct policy_worker *from_worker, *to_worker;
	struct pool_set *to;
	const struct server_env *to_env;
	uint64_t given_away_us; /* when the policy gave the server away */
};

struct pool_set {
	struct pool_set_settings s;
	struct server_env one_client_env; /* for servers that belong to one client until it leaves */
	struct log *log;
	uint64_t random;
	struct config *config;
	struct users *users;
	struct tls_store *tls;
	struct budget_member places; /* places in max_server_connections, for servers that no policy lends */
	struct pool *table;
	struct pool *first;
	size_t pool_count;
	struct due_heap due; /* pools, by their next tick */
	bool is_ticking; /* true while pool_set_tick() runs; pools that become due then are visited in the next tick */
	/* `active` lists the pools that have servers or whose is_watched is true, `inactive` all others: pool_use.c */
	TAILQ_HEAD(, pool) active, inactive;
	uint32_t inactive_count;
	uint64_t looked_us; /* when pool_set_tick() last visited both lists; 0 makes the next tick visit them */
	struct pool_databases databases;
	struct code_store codes;
	struct pool_backends backends;
	struct timer waker;
	uint64_t wake_at_us; /* 0 if the waker is not set */
	uint32_t last_code_number; /* the database_code.number that was given last */
	uint32_t server_count, turn_count; /* turn_count: see pool_set_next_turn() */
	/* the check for which a connection is being opened now, or NULL */
	const struct pool_health_check *health_check;
	bool is_paused, is_suspended;
};

static inline uint64_t
pool_set_now(const struct pool_set *set)
{
	return *set->s.env->now_us;
}

/* A name under which clients log in to a pool whose servers log in under another name. */
struct pool_user {
	struct pool_user *next;
	struct scope_settings settings;
	char name[]; /* the name as in [user NAME] */
};

static inline struct pooled *
pooled_of(struct policy_conn *conn)
{
	return (struct pooled *)conn;
}

/* pool_compat_log.c: functions that write PgBouncer's log line for an event, if the log has PgBouncer's format. */
void compat_log_reserve(const struct pool *pool); /* the pool opens a connection beyond pool_size */
void compat_log_open(const struct pool *pool, const struct server *srv); /* srv has logged in */
/* srv is closed. why: the reason in PgBouncer's words. */
void compat_log_end(const struct pool *pool, const struct server *srv, const char *why);
/* srv could not log in */
void compat_log_refusal(const struct pool *pool, const struct server *srv, enum connect_failure kind,
			const struct fail *why);
void compat_log_unused(const struct pool *pool, uint64_t now_us); /* the pool is freed because no client uses it */
/* Logs a database that is new to the set and has no section of its own. */
void compat_log_database(const struct pool_set *set, const char *database);
const char *compat_recycle_word(enum recycle_reason reason); /* returns PgBouncer's words for the reason */

/* pool_log.c */
/* Logs that srv could not log in. */
void pool_log_failure(struct pool *pool, struct server *srv, enum connect_failure kind, const struct fail *why);
/* Logs that a host did not accept the connection; the server goes on to the next host. */
void pool_log_host_failure(struct pool *pool, const struct server *srv, enum connect_failure kind,
			   const struct fail *why);
/* Logs that an outage has begun; or that it is over, if why is NULL (policy_ops). owner: the pool. */
void pool_log_outage(void *owner, const struct policy_outage *outage, const struct fail *why, uint64_t now_us);

/* pool_set.c */
void pool_schedule_tick(struct pool *pool, uint64_t at_us); /* makes the next tick of pool's policy due by at_us */
/* Frees d if d has no pool any more, and is not needed for another reason: see pool_database_forget_if_unneeded(). */
void pool_set_forget_database_if_unneeded(struct pool_set *set, struct pool_database *d);

/* pool.c */
/* Writes to `key` the key of this user's pool, which is the same in all pool sets. Writes to server_user the name with
 * which the pool's servers log in. Returns the key's length, or 0 with *why set, for example to 3D000 (unknown
 * database). */
size_t pool_key(const struct config *config, const char *database, const char *user, char key[static POOL_KEY_MAX],
		char server_user[static CONFIG_NAME_MAX + 1], struct fail *why);
/* Returns how many workers at most may have shards of the pool of this database whose servers log in as `user`. */
uint32_t pool_shards_max(const struct config *config, const char *database, const char *user,
			 const struct pool_split *split);
/* Applies the set's configuration to the pool: limits, upstream and secrets. Returns 0, or -1 with *why set: for
 * example, the database is no longer configured, or the user is the budget's cluster_user (28000). */
int pool_configure(struct pool *pool, uint64_t now_us, struct fail *why);
void pool_take_fresh(struct pool *pool); /* takes over newer settings of fresh servers from other shards */
void pool_free(struct pool *pool); /* closes its servers, too */
/* Returns the pool with this pool_key(), or NULL. */
struct pool *pool_set_find(const struct pool_set *set, const void *key, size_t len);

/* pool_conns.c */
extern const struct policy_ops pool_policy_ops;
/* Copies the pointer to srv's GUC set to srv's policy_conn, and returns the policy_conn. srv must be idle. */
struct policy_conn *pool_copy_gucs_to_conn(struct server *srv);
/* Records that since the time since_us, servers have got these settings at login. If baseline has changed, drops the
 * results of startup settings that were learnt from older servers. */
void pool_take_baseline(struct pool *pool, struct gucs *baseline, struct gucs *login_parameters, uint64_t since_us);

/* pool_transfer.c */
bool pool_give(void *owner, struct policy_conn *conn, struct policy_worker *to); /* policy_ops.give */

/* pool_code.c */
const char *pool_code_begin_question(struct server *srv); /* returns the query about code to send to srv now */
/* Three callbacks of server_owner_ops: answer_row, answered and hold_if_due. */
void pool_code_take_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
const char *pool_code_answered(struct server *srv, bool ok);
bool pool_code_hold_if_due(struct server *srv, const char **question);
/* Returns what to do with srv before the session state `parts` (a set of STATE_...) is washed off it: see
 * database_code_decide(). */
enum code_decision pool_code_decide(const struct server *srv, unsigned parts, uint64_t last_keeping_ddl);
/* Returns true if srv, which is held until an answer about code comes, need not be held any longer. */
bool pool_code_may_end_hold(const struct server *srv);
void
pool_code_note_server_gone(struct server *srv); /* call when srv ends, so no answer about code will come from srv */
/* As far as this worker knows the database's code, returns the state that the code may leave and that no reset removes:
 * a set of STATE_BACKEND and RISK_CONTEXT. */
unsigned pool_code_known_leftovers(const struct pool *pool);
/* Call for a server that comes from another worker. known_leftovers: the result of pool_code_known_leftovers() there.
 * Returns false if the server must be closed, because it may have run code that leaves state of which only this worker
 * knows. If this worker has no answer about the code yet, returns true; the first answer then decides if the pool's
 * servers are closed. */
bool pool_code_admit(struct pool *pool, unsigned known_leftovers);
