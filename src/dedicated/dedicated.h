/*
 * src/dedicated/dedicated.h - server connections that no policy lends and that one keeper has for itself. They log in
 * as the pool's servers do, and are LENT to their keeper from login to end.
 *
 *   struct dedicated  for pgweir's own questions: auth_query's connections, the listeners', who blocks whom, and what
 *                     became of a COMMIT
 *   dedicated_take     for a replication client: another kind of session, with its settings in the startup packet
 *
 * None counts in pool_size. All but the listeners', the watch's and those that ask for a COMMIT's fate count in
 * max_server_connections (an idle server of some pool makes room): there is one of each kind for a pool at most.
 */
#pragma once

#include "policy/policy_keeper.h"
#include "pool/pool_set.h"

/* In the budget of some hosts, if they have one (fleet.h). Zeroed: none. */
struct hosts_place {
	struct policy_budget *hosts;
	struct budget_member member;
};

/* Embedded by its keeper. Zeroed but for ops: closed. */
struct dedicated {
	const struct dedicated_ops *ops;
	struct server *srv; /* NULL: closed */
	struct pool_target *held; /* target points into it */
	struct server_target target;
	struct hosts_place place;
};

/* Callbacks of the keeper. Whoever sends a request enters it in srv->ledger. closed is called for each one opened. */
struct dedicated_ops {
	bool is_unbound; /* it needs no place in the hosts' budget */
	void (*up)(struct dedicated *d);
	void (*failed)(struct dedicated *d, enum connect_failure kind, bool is_fatal,
		       const struct fail *why); /* the login failed; may be NULL */
	void (*lost)(struct dedicated *d, const struct fail *why); /* may be NULL */
	void (*closed)(struct dedicated *d); /* d may be freed */
	void (*error)(struct dedicated *d, const struct fail *why); /* may be NULL */
	void (*row)(struct dedicated *d, const uint8_t *body, size_t len,
		    bool is_whole); /* a row owed to OWED_TO_PROBE; may be NULL */
	void (*done)(struct dedicated *d); /* the ReadyForQuery of a request */
	void (*notification)(struct dedicated *d, const uint8_t *message, size_t len); /* may be NULL */
	void (*batch_end)(struct dedicated *d);
};

/* Sets *env to the pools' environment, with the callbacks of dedicated servers. */
void dedicated_env(struct server_env *env, const struct pool_set *set);
/* Begins to dial target (takes a reference); settings (may be NULL) override the target's; host: its only host, NULL:
 * any. Returns 0, or -1: no memory, or no place in the budget of its hosts yet. Try again in 100 ms. */
int dedicated_open(struct dedicated *d, struct pool_set *set, const struct server_env *env, struct pool_target *target,
		   const struct image *settings, const struct upstream_host *host);
/* Sends what is in sql, which is freed, as one simple Query, whose rows are owed to OWED_TO_PROBE. Without memory its
 * connection is broken, and the keeper's deadline ends it. */
void dedicated_ask(struct dedicated *d, struct buf *sql);
/* Takes target for *aim, and closes d, if they differ; keys may be another password's, for the same salt, and are
 * wiped. Returns false if they are the same. Drops the reference that is not kept. */
bool dedicated_aim(struct dedicated *d, struct pool_target **aim, struct scram_keys *keys, struct pool_target *target);
/* Closes it, after a Terminate if it is up; calls closed from within. Does nothing if it is closed. */
void dedicated_close(struct dedicated *d);

/* --- a client's own --- */

/*
 * Always: exactly one of on_ready and on_failed is called for each, after dedicated_take returned; neither after
 * dedicated_abandon. The server is on its entry's list of servers until server_close.
 */
struct dedicated_take_ops {
	void (*on_ready)(struct server *srv, void *borrower); /* it is LENT to borrower, and server_welcome() works */
	void (*on_failed)(const struct fail *why, void *borrower);
};

/* replication: the startup parameter's value. Takes a reference on settings. NULL with *why set: 53300, 53200. */
struct server *dedicated_take(struct pool *pool, const char *replication, struct image *settings,
			      const struct dedicated_take_ops *ops, void *borrower, uint64_t now_us, struct fail *why);
/* Closes a server whose login is under way; no callback follows. */
void dedicated_abandon(struct server *srv);

/* For struct pool_companions. */
extern const struct server_owner_ops dedicated_own_ops;
