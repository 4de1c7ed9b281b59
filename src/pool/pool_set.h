/*
 * src/pool/pool_set.h - all pools: the pool of each (database, user) pair, and the connections behind its policy.
 *
 * The policy (policy.c) decides; this module dials, closes and pings for it, and reports the results to it. It also
 * remembers what clients of a pool are sent at login, and what their startup settings turned into.
 *
 * Owns:   every pool, its servers, the counters per database and per backend.
 * Borrows: the server_env, config and users (references are taken).
 * Always: a pool lives while it has clients or servers; its pointer may be kept by its clients.
 */
#ifndef PGWEIR_POOL_POOL_SET_H
#define PGWEIR_POOL_POOL_SET_H

#include "auth/users.h"
#include "base/counters.h"
#include "base/query_row.h"
#include "config/config.h"
#include "pool/database_code.h"
#include "policy/policy.h"
#include "pool/pool_startup.h"
#include "server/server.h"
#include "session/statement_store.h"

struct pool_set; /* opaque: pool_set.c */
struct pool_tenant; /* pool_database.c */
struct notify_listener;
struct fate_asker;

struct pool_database {
	char name[CONFIG_DATABASE_MAX + 1]; /* the name that clients use; a tenant's is "tenant/database" */
	bool is_of_tenant; /* whether it was a tenant's when somebody first asked for it: see config_tenant_len */
	uint64_t generation; /* tells this database from one freed earlier at the same address */
	struct pool_tenant *tenant; /* the tenant it counts with, or NULL */
	struct database_counters counters;
	struct exemplars *exemplars; /* of query_duration; NULL: no trace was seen */
	struct database_code code;
	uint32_t clients;
	uint32_t index; /* scratch space for whoever lists all databases */
	bool is_paused;
	bool is_disabled; /* new clients are refused */
	uint32_t pools;
	struct pool_database *next, *before;
};

/* Who is to find out whether a host is there again, if anybody can: pool_scout.c. Good for one call. */
struct pool_scout {
	struct pool_backend *to;
	struct pool *from;
	const struct upstream_host *host;
	bool is_in_outage;
};

struct pool_backend {
	char name[SERVER_ADDRESS_MAX];
	uint8_t role; /* see struct server */
	struct backend_counters counters;
	uint64_t told_us; /* when the log was last told that it had not wanted us */
	uint64_t asked_us; /* when it last failed, or was scouted */
	uint32_t scouts; /* under way */
	struct pool_scout scout;
	bool is_led_to; /* a pool has it among its hosts */
	struct pool_backend *next;
};

/* What a pool's connections were used for, looked at about ten times a second (client/client_watch.c), in one span. */
struct pool_use {
	uint64_t since_us; /* 0: there is no such span */
	uint64_t looks, in_use, idle_in_transaction; /* how many were, summed up over the looks */
	uint64_t checkouts, waits, timeouts; /* of the pool's counters, when it began */
	uint32_t peak,
	    limit; /* the most that were in use at one look; how many there could be: another limit is another span */
};
#define POOL_USE_SPAN_US (10 * 60 * UINT64_C(1000000))

struct pool {
	uint32_t tied_context; /* image_context that a server of it was tied to last; 0: none was */
	bool has_several_contexts; /* servers were tied to more than one, or to all settings of somebody */
	struct pool_set *set;
	char user[CONFIG_NAME_MAX + 1]; /* the user that servers log in as */
	struct pool_database *database;
	struct policy *policy;
	struct scope_settings settings;
	struct pool_user *users; /* who logs in under another name than user, with settings of their own */
	bool is_sealed; /* pool_is_sealed() of any of its settings */
	struct pool_counters counters;
	struct scram_keys keys; /* learnt or derived; kept in memory only */
	struct image *baseline; /* settings of a fresh server; NULL: none has logged in yet */
	struct image *welcome; /* the read-only parameters that the last one reported */
	uint32_t clients; /* logged in, or logging in and past their password */
	bool is_orphan; /* its database is no longer configured */
	uint64_t last_used_us, next_due_us;
	uint64_t failure_told_us; /* when the log was last told why logins fail: pool_log.c */
	struct pool_use use[2]; /* the present span, and the one before it */
	struct timeouts *timeouts; /* what the log is to say of them: client/client_watch.c; freed with free() */
	uint64_t pins_told_us; /* when the log was last told of these pins, and how many others had one since:
				  state/pins.c */
	uint32_t pins_untold;
	uint8_t pins_told; /* 1 << enum pin_reason */
	uint64_t holder, held_since_us, held_until_us; /* pool_hold.c; held_until_us is 0: not held */
	uint64_t hold_again_us; /* it must not be held again before this time */
	TAILQ_HEAD(pool_servers, server) servers;
	struct pool_target *target; /* from the present configuration */
	struct statement_home *home; /* the home of its target's statements; a reference */
	struct pool_startups startups; /* startup settings that were tried, and their results */
	struct policy_circuit *circuit; /* of its upstream */
	struct policy_limit *limits[2]; /* policy_limit.h: of CAP_USER and CAP_DATABASE; NULL: none */
	struct fate_asker *fates; /* fate_asker.h; NULL: nobody has asked yet */
	struct notify_listener *listeners; /* notify_listener.h: they listen for its clients */
	uint32_t index; /* scratch space for whoever lists all pools */
	struct pool *next, *before;
};

/* The servers of a pool that no policy lends: dedicated/. The set calls these when the pool's own are concerned, too.
 */
struct pool_companions {
	const struct server_owner_ops *own; /* of servers that a client has for itself */
	void (*renew)(struct pool *pool); /* the target has changed, or an operator asks: connect anew */
	void (*step_aside)(struct pool *pool); /* a statement needs the database: close what nobody uses */
	void (*pause)(struct pool *pool); /* no connection until resume */
	void (*resume)(struct pool *pool);
	void (*end)(struct pool *pool); /* the pool goes; nobody uses them any more */
};

struct pool_set_settings {
	const struct server_env *env; /* its owner_ops must be pool_set_owner_ops */
	const struct pool_companions *companions;
	struct statement_store *statements;
	uint64_t seed;
};

extern const struct server_owner_ops pool_set_owner_ops;

struct pool_set *pool_set_new(const struct pool_set_settings *settings, struct event_base *base, struct log *log);
/* Closes everything at once. No client may be left. */
void pool_set_free(struct pool_set *set);
/* Called at start and at each reload: limits, upstreams and secrets of all pools follow the new values. */
struct tls_store;
void pool_set_configure(struct pool_set *set, struct config *config, struct users *users, struct tls_store *tls,
			uint64_t now_us);

/*
 * Returns the pool of a client, which is made at first use. database and user are those of login_tenant.c. Returns NULL
 * with *why set: 3D000 for an unknown database, 53200. The caller counts itself in pool->clients, and by
 * pool_database_enter.
 */
struct pool *pool_set_find(struct pool_set *set, const char *database, const char *user, uint64_t now_us,
			   struct fail *why);
/*
 * Returns the settings of a client of this pool that has logged in as user ("user.tenant" for a tenant's): the pool's,
 * unless servers log in as somebody else (user in upstream) and user has a section of its own; its values take
 * precedence then. They live as long as the pool; a reload changes them in place, and after it the answer may be
 * another one (clients_configured).
 */
const struct scope_settings *pool_settings(struct pool *pool, const char *user, uint64_t now_us);
struct pool *pool_set_first(const struct pool_set *set); /* then pool->next */
struct pool_database *pool_set_databases(const struct pool_set *set);
void pool_database_enter(struct pool_database *d); /* counts one more client */
void pool_database_leave(struct pool_database *d);
uint32_t pool_database_clients(const struct pool_database *d); /* of all databases of its tenant together */
/* Returns the database of this name, or NULL if none is in use. (After a reload a tenant's database may keep the name
 * of another one for a while; that one is not returned.) */
struct pool_database *pool_set_find_database(const struct pool_set *set, const char *name);
struct pool_backend *pool_set_backends(const struct pool_set *set);
uint32_t pool_set_server_count(const struct pool_set *set);
uint64_t pool_set_next_id(struct pool_set *set); /* clients and servers are numbered together, from 1 */
uint64_t pool_set_random(struct pool_set *set); /* for jitter and the like */
uint32_t pool_set_next_turn(struct pool_set *set); /* for server_new */
struct cluster_lives *pool_set_lives(struct pool_set *set); /* commit_fate.h */
const struct server_env *pool_set_server_env(const struct pool_set *set);
const struct server_env *pool_set_own_env(const struct pool_set *set); /* the same with pool_companions.own */
/*
 * Takes a place in max_server_connections for a server that the caller opens and closes; an idle one of some pool may
 * have to go for it. Returns false if all are used up.
 */
bool pool_set_take_place(struct pool_set *set, uint64_t now_us);
void pool_set_give_place(struct pool_set *set, uint64_t now_us);
bool pool_set_is_place_wanted(const struct pool_set *set); /* a pool could use the place of an idle one */

/* Returns how many connections the pool has lent so far. */
uint64_t pool_checkouts(const struct pool *pool);
/* --- borrowing: the policy's functions, for servers instead of policy_conns --- */
struct server *pool_borrow(struct pool *pool, struct policy_ticket *ticket, void *borrower, uint64_t now_us);
/* Call it in on_grant: returns the server that was granted, lent to borrower. */
struct server *pool_granted(struct policy_conn *conn, void *borrower, uint64_t now_us);
/* policy_ticket.needs for what depends on these (RISK_COMPILED). */
#define POOL_NEEDS(risk) ((uint8_t)((risk) >> 8))
/* Returns whether this borrower may run anything on srv, which may be tied to another context: see policy_ops.suits. */
bool pool_suits(const struct server *srv, const struct policy_ticket *t);
/*
 * The borrower gives srv back, with nothing under way. These parts of its session (enum state_part) are washed first;
 * with STATE_BACKEND it is closed. It may be lent to the next in line before this returns.
 */
void pool_return(struct server *srv, unsigned parts, uint64_t now_us);
/* The borrower has gone, whatever is under way: see server_reset. Everything that can be washed is; parts: as above. */
void pool_clean(struct server *srv, bool discard_all, unsigned parts, uint64_t now_us);
/* Returns which of RISK_COMPILED any SQL has in this pool. */
static inline unsigned
pool_compiled(const struct pool *pool)
{
	return database_code_compiled(&pool->database->code);
}
bool pool_has_sequences(const struct pool *pool, uint64_t now_us); /* database_code.h */
/* A server of this pool has run DDL, or has committed it. */
void pool_code_changed(struct pool *pool, bool is_made); /* is_made: functions */
void pool_set_databases_changed(struct pool_set *set); /* a name may mean another database now */

/*
 * The login of a server has failed that no policy asked for: the log has it as PgBouncer's would, if it is in its
 * format. *told is what its client gets.
 */
void pool_log_own_refusal(const struct pool *pool, const struct server *srv, enum connect_failure kind,
			  const struct fail *why, struct fail *told);

/* --- startup settings --- */
/*
 * Returns the image of a client with these startup settings (raw, as an image), or NULL if it is not known yet: then
 * borrow a server, apply them, and call pool_learn_startup.
 */
struct image *pool_find_startup(struct pool *pool, const struct image *raw);
int pool_learn_startup(struct pool *pool, struct image *raw, struct image *resolved);
/* A client proved these keys: servers of this user may log in with them. */
void pool_learn_keys(struct pool *pool, const char *user, const struct scram_keys *keys);
/* A client proved this secret (plain or MD5), which is not in users_file: servers log in with it if there is no other.
 * It is copied. */
void pool_learn_secret(struct pool *pool, const char *user, const char *secret);

/* What was learnt of how its servers log in, for another process: borrowed. *secret: NULL if there is none. */
const struct scram_keys *pool_secrets(const struct pool *pool, const char **secret);
void pool_take_secrets(struct pool *pool, const struct scram_keys *keys, const char *secret); /* or NULL */

/* --- time and operations --- */
/* Call it about every 100 ms; the set wakes itself for what is due earlier. */
void pool_set_tick(struct pool_set *set, uint64_t now_us);
/* Call it likewise, while new clients are welcome: sees whether hosts that could not be reached are there again. */
void pool_set_scout(struct pool_set *set, uint64_t now_us);
/*
 * A statement of this holder (a client's id) on a server of asking needs this database (by PostgreSQL's name) for
 * itself: pools of that database close what is idle and lend nothing until release, or for 5 s. Returns how many pools
 * are held. *is_again: some can't be held now, as they were a moment ago.
 */
unsigned pool_set_hold_database(const struct pool *asking, const char *database, uint64_t holder, uint64_t now_us,
				bool *is_again);
void pool_set_release_database(struct pool_set *set, uint64_t holder, uint64_t now_us);
void pool_hold_expire(struct pool *e, uint64_t now_us); /* the set calls it at each tick */
void pool_set_pause(struct pool_set *set, const char *database, uint64_t now_us); /* NULL: all */
void pool_set_resume(struct pool_set *set, const char *database, uint64_t now_us);
/* New clients of this database are refused until it is enabled again; those that are there stay. */
void pool_set_disable(struct pool_set *set, const char *database, bool is_disabled);
bool pool_set_is_quiet(const struct pool_set *set,
		       const char *database); /* no server is lent (but for replication) or being cleaned */
bool pool_set_is_paused(const struct pool_set *set);
/* SUSPEND: while it holds, no limit on time does anything. */
void pool_set_suspend(struct pool_set *set, bool on);
/* Closes all servers: idle ones now, others when they are returned. */
void pool_set_close_all(struct pool_set *set, const char *database, enum recycle_reason why, uint64_t now_us);

/*
 * Closes the servers of pools in which nobody waits: idle ones now, and others when they are returned. The listeners'
 * connections stay. is_all: also of pools that have clients.
 */
void pool_set_close_unneeded(struct pool_set *set, bool is_all, enum recycle_reason why, uint64_t now_us);

bool pool_is_same_cluster(const struct pool *a, const struct pool *b); /* by upstream_is_same_cluster() */

#endif
