/*
 * src/dedicated/dedicated.h - server connections that no policy lends: each serves one object, its *keeper*. Such a
 * connection logs in as a pool's server does, and is then lent (SV_LENT) to its keeper until the connection ends.
 *
 *   struct dedicated  for pgweir's own questions: the connections of auth_query, of listeners, and of blocking.c; and
 *                     *connections that ask*, which send one simple Query at a time as long as their keeper exists
 *                     (fate_asker.c, watch_host.c, fleet_conn.c). The keeper decides what to ask and when, and has the
 *                     timer
 *   dedicated_take    for a replication client, whose session must get its settings in the startup packet
 *
 * These connections do not count in pool_size. They count in max_server_connections (an idle server of some pool makes
 * room), except for the few connections of listeners and connections that ask.
 *
 * Owns:    the server, and a reference to its target. Borrows: the pools, their environment, the keeper's ops.
 * Always:  after each dedicated_ask(), either done() or closed() is called, however late. A keeper that has no more use
 *          for the connection sets stream.is_broken in done(); the connection is closed once the data that has come is
 * handled.
 */
#pragma once

#include "policy/policy_keeper.h"
#include "pool/pool_set.h"
#include "pool/pool_target.h"

/* A place in the budget of a connection's hosts (fleet.h). Zeroed if the connection has no place. */
struct hosts_place {
	struct policy_budget *budget; /* a reference; NULL if there is no place */
	struct budget_member member;
};

enum dedicated_state {
	DEDICATED_AWAY, /* closed, or not logged in yet */
	DEDICATED_READY, /* the connection takes a question */
	DEDICATED_ASKED, /* dedicated_ask() was called, and no answer has come yet */
	DEDICATED_LATE, /* the answer is late: see dedicated_became_late() */
	DEDICATED_REFUSED /* an error has come, and the answer's end has not */
};

/* Embedded in its keeper. A struct that is zeroed except for ops is a closed connection. */
struct dedicated {
	const struct dedicated_ops *ops;
	struct server *srv; /* NULL if the connection is closed */
	struct pool_target *target_ref; /* the server's target; `target` points into it */
	struct server_target target;
	struct hosts_place place;
	enum dedicated_state state; /* after the connection was closed, stays the same until dedicated_run() */
	uint32_t failures; /* how often it was closed, if there is a back-off; the keeper resets this number */
	uint64_t opened_us; /* when dialing began */
	uint64_t asked_us; /* when the last question was sent */
	uint64_t retry_us; /* when to open the connection again, after it was closed */
	uint64_t random; /* the state of a random number generator, for the back-off's jitter */
	/* The fields below, except keys, are for a connection that asks. */
	struct pool_set *pools;
	const struct server_env *env;
	struct pool_target *next_target; /* a reference to the target of the next connection */
	struct scram_keys keys; /* room for the keeper's keys, to which next_target may point */
	const char *name, *trouble_hint; /* for warnings with ops->topic: the hosts' name, and text after the name */
	char last_error[FAIL_TEXT_MAX]; /* why the connection could not log in, or be asked; empty if nothing failed */
};

/* Callbacks of the keeper. A keeper that sends a request without dedicated_ask() must enter the request in srv->ledger.
 * closed() is called once for each server that was opened. */
struct dedicated_ops {
	uint64_t backoff_min_us, backoff_max_us; /* both are 0 if the keeper computes retry_us itself */
	/* for a connection that asks: how long an answer may take before the connection is closed. For others it is 0;
	 * only a connection with 0 needs a place in the budget of its hosts */
	uint64_t answer_us;
	/* the first words of the warning about an error that differs from last_error; NULL to log nothing */
	const char *topic;
	void (*up)(struct dedicated *d); /* the login has succeeded, and d is DEDICATED_READY */
	/* The login failed. May be NULL. */
	void (*failed)(struct dedicated *d, enum connect_failure kind, bool is_fatal, const struct fail *why);
	void (*lost)(struct dedicated *d, const struct fail *why); /* the connection was lost; may be NULL */
	void (*closed)(struct dedicated *d); /* called after retry_us was set; may free d */
	bool (*error)(struct dedicated *d, const struct fail *why); /* false if *why was expected; may be NULL */
	/* A row of an answer to OWED_TO_PGWEIR has come. is_whole: body is complete. May be NULL. */
	void (*row)(struct dedicated *d, const uint8_t *body, size_t len, bool is_whole);
	void (*done)(struct dedicated *d); /* a request's ReadyForQuery has come; d->state changes after this call */
	void (*notification)(struct dedicated *d, const uint8_t *message, size_t len); /* may be NULL */
	void (*batch_end)(struct dedicated *d); /* all data that was read is handled, and d is DEDICATED_READY */
	void (*free)(struct dedicated *d); /* for pool->commit_asker: frees the keeper when the pool ends; else NULL */
};

/* Sets *env to the pools' server_env, with the callbacks of dedicated servers in place of the pools'. */
void dedicated_fill_env(struct server_env *env, const struct pool_set *set);
/* Begins to dial `target` and takes a reference to it. `settings` are the session's settings; may be NULL. `host` is
 * the only host to dial, or NULL for any host of the target. Returns 0, or -1 if there is no memory, or no place in the
 * hosts' budget; the caller may try again later. */
int dedicated_open(struct dedicated *d, struct pool_set *set, const struct server_env *env, struct pool_target *target,
		   const struct gucs *settings, const struct upstream_host *host);
/* Closes the connection, with a Terminate if it has logged in; calls closed(). Does nothing if it is closed already. */
void dedicated_close(struct dedicated *d);

/* --- Connections that ask. --- */

/* Prepares a zeroed *d; the caller calls dedicated_aim() next. */
void dedicated_init(struct dedicated *d, const struct dedicated_ops *ops, struct pool_set *pools,
		    const struct server_env *env);
void dedicated_fini(struct dedicated *d); /* closes the connection, drops d->next_target, and wipes d->keys */
/* Takes over the caller's reference to `target`. If `target` equals d->next_target, returns false. Otherwise makes it
 * d->next_target, closes the connection, wipes d->keys, which may come from another password with the same salt, and
 * returns true; dedicated_run() then connects at once. */
bool dedicated_aim(struct dedicated *d, struct pool_target *target);
/* Opens the connection if it is closed and the back-off is over; closes it if an answer takes too long. Returns 0 if a
 * question may be asked; else when to call this again, or UINT64_MAX while the connection logs in. */
uint64_t dedicated_run(struct dedicated *d);
/* Returns true, once for each question, if no answer has come for patience_us; d is then DEDICATED_LATE. */
bool dedicated_became_late(struct dedicated *d, uint64_t patience_us);
/* Sends `sql` as a question, and frees `sql`. The answer's entry in the ledger is OWED_TO_PGWEIR. If there is no
 * memory, breaks the connection, which is closed when ops->answer_us has passed. */
void dedicated_ask(struct dedicated *d, struct buf *sql);
/* Forgets all failures so far. Called after an answer that is as expected. */
static inline void
dedicated_forget_failures(struct dedicated *d)
{
	d->failures = 0;
	d->last_error[0] = '\0';
}

/* --- Connections of one client. --- */

/* Always: exactly one of on_ready and on_failed is called for each dedicated_take(), after that call has returned;
 * neither is called after dedicated_abandon(). The server stays on its pool's list of servers until server_close(). */
struct dedicated_take_ops {
	void (*on_ready)(struct server *srv, void *borrower); /* srv is lent; server_login_parameters() may be called */
	void (*on_failed)(const struct fail *why, void *borrower);
};

/* Opens a connection for a replication client. `replication` is the value of the startup parameter `replication`. Takes
 * a reference to `settings`. Returns NULL with *why set to 53300 or 53200. */
struct server *dedicated_take(struct pool *pool, const char *replication, struct gucs *settings,
			      const struct dedicated_take_ops *ops, void *borrower, uint64_t now_us, struct fail *why);
/* Closes a server whose login is under way; no callback follows. */
void dedicated_abandon(struct server *srv);

/* The callbacks of servers that dedicated_take() has made, for struct pool_dedicated_ops. */
extern const struct server_owner_ops dedicated_one_client_ops;
