/*
 * src/dedicated/dedicated.h - server connections that no policy lends and that one keeper has for itself. They log in
 * as the pool's servers do, and are LENT to their keeper from login to end.
 *
 *   struct dedicated  for pgweir's own questions: auth_query's connections, the listeners', the question which backends
 *                     block which; and those that ask as long as there is a keeper, one simple Query at a time:
 *                     fate_asker.c, watch_host.c, fleet_conn.c. What is asked, and when, is the keeper's, and so is the
 *                     timer
 *   dedicated_take    for a replication client: another kind of session, with its settings in the startup packet
 *
 * None counts in pool_size. All but the listeners' and those that ask count in max_server_connections (an idle server
 * of some pool makes room): there is one of each kind for a pool at most.
 *
 * Owns:    the server, and a reference to where it leads. Borrows: the pools, their environment, the keeper's ops.
 * Always:  an answer counts however late it comes: done follows each dedicated_ask(), unless closed does. Whoever finds
 *          in done that the connection is of no use breaks its stream: it is closed behind what has arrived.
 */
#pragma once

#include "policy/policy_keeper.h"
#include "pool/pool_set.h"
#include "pool/pool_target.h"

/* In the budget of some hosts, if they have one (fleet.h). Zeroed: none. */
struct hosts_place {
	struct policy_budget *hosts;
	struct budget_member member;
};

enum dedicated_state {
	DEDICATED_AWAY, /* not logged in yet */
	DEDICATED_READY, /* it takes a question */
	DEDICATED_ASKED, /* dedicated_ask() was called: the answer is due */
	DEDICATED_LATE, /* the answer has been due for longer than the keeper waits: dedicated_is_late() */
	DEDICATED_REFUSED /* the answer has begun with an error */
};

/* Embedded by its keeper. Zeroed but for ops: closed. */
struct dedicated {
	const struct dedicated_ops *ops;
	struct server *srv; /* NULL if it is closed */
	struct pool_target *held; /* target points into it */
	struct server_target target;
	struct hosts_place place;
	enum dedicated_state state; /* closed: as it was before, until dedicated_due() */
	uint32_t failures; /* in a row: the keeper says when that ends */
	uint64_t opened_us, asked_us, retry_us, random; /* retry_us: if it is closed, when to open it again */
	/* of one that asks: */
	struct pool_set *pools;
	const struct server_env *env;
	struct pool_target *aim; /* of the next connection; a reference */
	struct scram_keys keys; /* the keeper may have aim point here */
	const char *name, *trouble; /* with ops->topic: of its hosts, and what follows if they can't be asked */
	char last_error[FAIL_TEXT_MAX]; /* why it could not log in, or be asked; empty: nothing */
};

/* Callbacks of the keeper. A keeper that sends a request enters it in srv->ledger. closed is called for each one
 * opened. */
struct dedicated_ops {
	uint64_t first_us, most_us; /* the shortest and the longest back-off; 0: the keeper's own */
	uint64_t answer_us; /* of one that asks: then it is closed. Such a one needs no place in the hosts' budget */
	const char *topic; /* begins a warning of each error that is not last_error; NULL if there is to be none */
	void (*up)(struct dedicated *d);
	/* The login failed; may be NULL. */
	void (*failed)(struct dedicated *d, enum connect_failure kind, bool is_fatal, const struct fail *why);
	void (*lost)(struct dedicated *d, const struct fail *why); /* may be NULL */
	void (*closed)(struct dedicated *d); /* retry_us is set; d may be freed */
	bool (*error)(struct dedicated *d, const struct fail *why); /* returns false if it is no trouble; may be NULL */
	/* A row owed to OWED_TO_PROBE; may be NULL. */
	void (*row)(struct dedicated *d, const uint8_t *body, size_t len, bool is_whole);
	void (*done)(struct dedicated *d); /* the ReadyForQuery of a request; state is as before */
	void (*notification)(struct dedicated *d, const uint8_t *message, size_t len); /* may be NULL */
	void (*batch_end)(struct dedicated *d); /* nothing is due that was asked */
	void (*free)(struct dedicated *d); /* of pool->asker: its pool ends; else NULL */
};

/* Sets *env to the pools' environment, with the callbacks of dedicated servers. */
void dedicated_env(struct server_env *env, const struct pool_set *set);
/* Begins to dial target and takes a reference to it. settings (may be NULL) override the target's; host is its only
 * host to dial, or NULL for any. Returns 0, or -1 without memory, or if the budget of its hosts has no place yet. Try
 * again in 100 ms. */
int dedicated_open(struct dedicated *d, struct pool_set *set, const struct server_env *env, struct pool_target *target,
		   const struct gucs *settings, const struct upstream_host *host);
/* Closes it, after a Terminate if it is up; calls closed from within. Does nothing if it is closed. */
void dedicated_close(struct dedicated *d);

/* --- one that asks --- */

/* Prepares what is zeroed; aim is to be set next. */
void dedicated_init(struct dedicated *d, const struct dedicated_ops *ops, struct pool_set *pools,
		    const struct server_env *env);
void dedicated_fini(struct dedicated *d);
/* Takes target for aim; if that differs, d is closed, and due to be opened at once. keys may be another password's, for
 * the same salt, and are wiped. Returns false if it is the same. */
bool dedicated_aim(struct dedicated *d, struct pool_target *target);
/* Opens it with a back-off, and closes it if it has not answered. Returns 0 if it takes a question, or when to call
 * again: UINT64_MAX while it logs in. */
uint64_t dedicated_due(struct dedicated *d);
/* Returns true once for each question that has waited for patience_us. */
bool dedicated_is_late(struct dedicated *d, uint64_t patience_us);
/* Sends what is in sql, which is freed; its rows are owed to OWED_TO_PROBE. Without memory the connection is broken,
 * and the deadline ends it. */
void dedicated_ask(struct dedicated *d, struct buf *sql);
/* Called after an answer that is as expected. */
static inline void
dedicated_is_well(struct dedicated *d)
{
	d->failures = 0;
	d->last_error[0] = '\0';
}

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
struct server *dedicated_take(struct pool *pool, const char *replication, struct gucs *settings,
			      const struct dedicated_take_ops *ops, void *borrower, uint64_t now_us, struct fail *why);
/* Closes a server whose login is under way; no callback follows. */
void dedicated_abandon(struct server *srv);

/* For struct pool_companions. */
extern const struct server_owner_ops dedicated_own_ops;
