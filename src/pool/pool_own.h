/*
 * src/pool/pool_own.h - server connections that belong to one client alone, from their login to their end: replication.
 *
 * No policy lends them, none is ever used again. They log in as the pool's servers do, in another kind of session, with
 * the client's own settings in their startup packet. They count against max_server_connections (an idle server of some
 * pool makes room), not against pool_size.
 *
 * Owns:   what it opened, until server_close. Each is on its entry's list of servers.
 * Always: exactly one of on_ready and on_failed for each, later than pool_own_open; neither after pool_own_abandon.
 */
#ifndef PGWEIR_POOL_POOL_OWN_H
#define PGWEIR_POOL_POOL_OWN_H

#include "pool/pool_set.h"

struct pool_owns; /* opaque: the set's; pool_own.c */

struct pool_own_ops {
	void (*on_ready)(struct server *srv, void *link); /* LENT to link; server_welcome may be asked */
	void (*on_failed)(const struct fail *why, void *link);
};

/* replication: the startup parameter's value. settings: a reference is taken. NULL and why: 53300, 53200. */
struct server *pool_own_open(struct pool_entry *entry, const char *replication, struct image *settings,
			     const struct pool_own_ops *ops, void *link, uint64_t now_us, struct fail *why);
/* Closes one whose login was still under way; link hears nothing. */
void pool_own_abandon(struct server *srv);

/* The set's. budget is borrowed. NULL: no memory. */
struct pool_budget;
struct pool_owns *pool_owns_new(const struct server_env *env, struct pool_budget *budget);
void pool_owns_free(struct pool_owns *owns); /* none may be left; NULL is fine */
uint32_t pool_owns_count(const struct pool_owns *owns);
/* A place for a server that somebody else opens and closes. false: max_server_connections is used up by others. */
bool pool_owns_take(struct pool_owns *owns, uint64_t now_us);
void pool_owns_give(struct pool_owns *owns, uint64_t now_us);
bool pool_owns_is_wanted(const struct pool_owns *owns); /* a pool could use the place of one that is idle */

#endif
