/*
 * src/pool/dedicated.h - server connections that no policy lends and that nobody else ever uses. They log in as the
 * pool's servers do, and are LENT to one keeper from their login to their end.
 *
 *   struct dedicated  pgweir's own questions: auth_query's connections, and those that listen.
 *   pool_own_open     a client's own, in another kind of session, with its settings in the startup packet: replication.
 *
 * Those of a client and of auth_query count against max_server_connections (an idle server of some pool makes room),
 * not against pool_size.
 */
#ifndef PGWEIR_POOL_DEDICATED_H
#define PGWEIR_POOL_DEDICATED_H

#include "pool/pool_set.h"

/* Embedded by its keeper. Zeroed but for ops: closed. */
struct dedicated {
	const struct dedicated_ops *ops;
	struct server *srv; /* NULL: closed */
	struct pool_target *held; /* target points into it */
	struct server_target target;
};

/* To its keeper. Requests are entered in srv->ledger by whoever sends them; closed ends each that was opened. */
struct dedicated_ops {
	void (*up)(struct dedicated *d);
	void (*failed)(struct dedicated *d, bool is_fatal, const struct fail *why); /* it never was up */
	void (*lost)(struct dedicated *d, const struct fail *why);
	void (*closed)(struct dedicated *d); /* d may be freed */
	void (*error)(struct dedicated *d, const struct fail *why);
	void (*row)(struct dedicated *d, const uint8_t *body, size_t len,
		    bool is_whole); /* of OWED_TO_PROBE; or NULL */
	void (*done)(struct dedicated *d); /* the ReadyForQuery of a request */
	void (*notification)(struct dedicated *d, const uint8_t *message, size_t len); /* or NULL */
	void (*batch_end)(struct dedicated *d);
};

/* The pools' environment, for servers that report here. */
void dedicated_env(struct server_env *env, const struct pool_set *set);
/* Begins to dial target (a reference is taken), with these settings over it or NULL. -1: no memory. */
int dedicated_open(struct dedicated *d, struct pool_set *set, const struct server_env *env, struct pool_target *target,
		   const struct image *settings);
/* With Terminate if it is up; closed is called from within. Nothing if it is closed. */
void dedicated_close(struct dedicated *d);

/* --- of one client --- */

/*
 * Always: exactly one of on_ready and on_failed for each, later than pool_own_open; neither after pool_own_abandon. It
 * is on its entry's list of servers until server_close.
 */
struct pool_own_ops {
	void (*on_ready)(struct server *srv, void *link); /* LENT to link; server_welcome may be asked */
	void (*on_failed)(const struct fail *why, void *link);
};

/* replication: the startup parameter's value. settings: a reference is taken. NULL and why: 53300, 53200. */
struct server *pool_own_open(struct pool_entry *entry, const char *replication, struct image *settings,
			     const struct pool_own_ops *ops, void *link, uint64_t now_us, struct fail *why);
/* Closes one whose login was still under way; link hears nothing. */
void pool_own_abandon(struct server *srv);

/* --- how many --- */

struct pool_owns; /* opaque: the set's */
struct pool_budget;
/* budget is borrowed. */
struct pool_owns *pool_owns_new(const struct server_env *env, struct pool_budget *budget);
void pool_owns_free(struct pool_owns *owns); /* none may be left; NULL is fine */
uint32_t pool_owns_count(const struct pool_owns *owns);
/* A place for a server that somebody else opens and closes. false: max_server_connections is used up by others. */
bool pool_owns_take(struct pool_owns *owns, uint64_t now_us);
void pool_owns_give(struct pool_owns *owns, uint64_t now_us);
bool pool_owns_is_wanted(const struct pool_owns *owns); /* a pool could use the place of one that is idle */

#endif
