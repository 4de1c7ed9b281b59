/*
 * src/pool/pool_set.h - all pools: which one a (database, user) pair has, and the connections behind each policy.
 *
 * The policy (pool.c) decides; this module dials, closes and pings for it, and tells it what became of that. It also
 * knows what clients of a pool are told at login, and which settings their startup packets amount to.
 *
 * Owns:   every pool_entry, its servers, the counters per database and per backend.
 * Borrows: the server_env, config and users (references are taken).
 * Always: a pool_entry lives while it has clients or servers; its pointer may be kept by its clients.
 */
#ifndef PGWEIR_POOL_POOL_SET_H
#define PGWEIR_POOL_POOL_SET_H

#include "auth/users.h"
#include "base/counters.h"
#include "config/config.h"
#include "pool/database_code.h"
#include "pool/pool.h"
#include "pool/pool_startup.h"
#include "server/server.h"
#include "session/statement_store.h"

struct pool_set; /* opaque: pool_set.c */
struct pool_owns;
struct pool_tenant; /* pool_database.c */
struct notify_hub;

struct pool_database {
	char name[CONFIG_DATABASE_MAX + 1]; /* as clients ask for it; a tenant's: "tenant/database" */
	bool is_of_tenant; /* as it was when somebody first asked for it: see config_tenant_len */
	uint64_t born; /* of two at the same place in memory, the later has more */
	struct pool_tenant *tenant; /* which it is counted with; NULL: none */
	struct database_counters counters;
	struct database_code code;
	uint32_t clients;
	uint32_t index; /* of whoever lists all databases, while it does */
	bool is_paused;
	uint32_t pools;
	struct pool_database *next, *before;
};

struct pool_backend {
	char name[SERVER_ADDRESS_MAX];
	uint8_t role; /* as struct server's */
	struct backend_counters counters;
	struct pool_backend *next;
};

struct pool_entry {
	struct pool_set *set;
	char user[CONFIG_NAME_MAX + 1]; /* whom servers log in as */
	struct pool_database *database;
	struct pool *policy;
	struct scope_settings settings;
	struct pool_counters counters;
	struct scram_keys keys; /* learnt or derived; lives in memory only */
	struct image *baseline; /* settings of a fresh server; NULL: none has logged in yet */
	struct image *welcome; /* read-only reports of the last one */
	uint32_t clients; /* logged in, or logging in and past their password */
	bool is_orphan; /* its database is configured no more */
	uint64_t last_used_us, next_due_us;
	uint64_t holder, held_since_us, held_until_us; /* pool_hold.c; held_until_us is 0: not held */
	uint64_t hold_again_us; /* not before */
	TAILQ_HEAD(pool_servers, server) servers;
	struct pool_target *target; /* of the present configuration */
	struct statement_home *home; /* of statements for its target; a reference */
	struct pool_startups startups; /* startup settings that were tried, and what they came to */
	struct notify_hub *hubs; /* notify_hub.h: what listens for its clients */
	uint32_t index; /* of whoever lists all pools, while it does */
	struct pool_entry *next, *before;
};

struct pool_set_settings {
	const struct server_env *env; /* its owner_ops must be pool_set_owner_ops */
	struct statement_store *statements;
	uint64_t seed;
};

extern const struct server_owner_ops pool_set_owner_ops;

struct pool_set *pool_set_new(const struct pool_set_settings *settings, struct event_base *base, struct log *log);
/* Closes everything at once. No client may be left. */
void pool_set_free(struct pool_set *set);
/* At start and at each reload: limits, upstreams and secrets of all pools follow the new values. */
struct tls_store;
void pool_set_configure(struct pool_set *set, struct config *config, struct users *users, struct tls_store *tls,
			uint64_t now_us);

/*
 * The pool of a client: created at first use. database and user as login_tenant.c calls them. NULL and why: 3D000 for
 * an unknown database, 53200. The caller counts itself in entry->clients, and by pool_database_enter.
 */
struct pool_entry *pool_set_find(struct pool_set *set, const char *database, const char *user, uint64_t now_us,
				 struct fail *why);
struct pool_entry *pool_set_first(const struct pool_set *set); /* then entry->next */
struct pool_database *pool_set_databases(const struct pool_set *set);
void pool_database_enter(struct pool_database *d); /* one client more */
void pool_database_leave(struct pool_database *d);
uint32_t pool_database_clients(const struct pool_database *d); /* of all databases of its tenant together */
/* NULL: none of this name is in use. (A tenant's may bear another's name for a while after a reload: not that one.) */
struct pool_database *pool_set_find_database(const struct pool_set *set, const char *name);
struct pool_backend *pool_set_backends(const struct pool_set *set);
uint32_t pool_set_server_count(const struct pool_set *set);
uint32_t pool_set_next_server_id(struct pool_set *set);
struct pool_owns *pool_set_owns(const struct pool_set *set); /* dedicated.h */
const struct server_env *pool_set_server_env(const struct pool_set *set);

/* --- borrowing; the policy's functions with servers in place of pool_conns --- */
struct server *pool_entry_borrow(struct pool_entry *entry, struct pool_ticket *ticket, void *link, uint64_t now_us);
/* In on_grant: the server that was granted, lent to link. */
struct server *pool_entry_granted(struct pool_conn *conn, void *link, uint64_t now_us);
/*
 * The borrower gives srv back, with nothing under way. These parts of its session (enum state_part) are washed first;
 * with STATE_BACKEND it is closed. It may be lent to the next in line before this returns.
 */
void pool_entry_return(struct server *srv, unsigned parts, uint64_t now_us);
/* The borrower has gone, whatever is under way: as server_reset; all that can be washed is. */
void pool_entry_clean(struct server *srv, bool discard_all, uint64_t now_us);
/* Which parts of the session state (enum state_part) the code of this pool's database could touch. */
unsigned pool_entry_code_parts(const struct pool_entry *entry, uint64_t now_us);
bool pool_entry_has_sequences(const struct pool_entry *entry, uint64_t now_us); /* database_code.h */
/* A server of this pool has run DDL, or has committed it. */
void pool_entry_code_changed(struct pool_entry *entry, bool is_made); /* is_made: functions */
void pool_set_databases_changed(struct pool_set *set); /* a name may be another database's now */

/* --- startup settings --- */
/*
 * What a client with these startup settings (raw; as an image) has as its image. NULL: not known yet; borrow a server,
 * apply them, then pool_entry_learn_startup.
 */
struct image *pool_entry_find_startup(struct pool_entry *entry, const struct image *raw);
int pool_entry_learn_startup(struct pool_entry *entry, struct image *raw, struct image *resolved);
/* A client of this user proved itself with these keys. */
void pool_entry_learn_keys(struct pool_entry *entry, const char *user, const struct scram_keys *keys);
/* Or with this secret, plain or MD5, that is not in users_file: servers log in with it if there is no other. Copied. */
void pool_entry_learn_secret(struct pool_entry *entry, const char *user, const char *secret);

/* --- time and operations --- */
/* Call about every 100 ms; the set wakes itself for what is due earlier. */
void pool_set_tick(struct pool_set *set, uint64_t now_us);
/*
 * A statement of this holder (a client's id) on a server of asking needs this database (as PostgreSQL calls it) to
 * itself: pools there close what is idle and lend nothing until release, or for 5 s. How many pools that are.
 * *is_again: some were held a moment ago, and may be later.
 */
unsigned pool_set_hold_database(const struct pool_entry *asking, const char *database, uint64_t holder, uint64_t now_us,
				bool *is_again);
void pool_set_release_database(struct pool_set *set, uint64_t holder, uint64_t now_us);
void pool_hold_expire(struct pool_entry *e, uint64_t now_us); /* the set's, at each tick */
void pool_set_pause(struct pool_set *set, const char *database, uint64_t now_us); /* NULL: all */
void pool_set_resume(struct pool_set *set, const char *database, uint64_t now_us);
bool pool_set_is_quiet(const struct pool_set *set,
		       const char *database); /* no server is lent (but for replication) or being cleaned */
bool pool_set_is_paused(const struct pool_set *set);
/* Close all (idle now, others when returned). */
void pool_set_close_all(struct pool_set *set, const char *database, enum recycle_reason why, uint64_t now_us);

const char *pool_target_host(const struct pool_entry *entry); /* first host, for SHOW */
uint16_t pool_target_port(const struct pool_entry *entry);
const char *pool_target_database(const struct pool_entry *entry);

#endif
