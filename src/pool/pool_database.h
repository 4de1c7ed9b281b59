/*
 * src/pool/pool_database.h - two lists of a pool set: its databases, by name; and its backends, i.e. the PostgreSQLs to
 * which its servers connect, by address. Each entry has its own counters.
 *
 * Owns:   every pool_database and pool_backend in these lists.
 * Always: a database is kept as long as it has a pool or a section of its own, or is paused or disabled. Backends are
 *         kept as long as the process lives, because counters must never decrease.
 */
#pragma once

#include "pool/pool_set.h"

/* A zeroed struct is an empty list. */
struct pool_databases {
	struct code_store *codes; /* the store of the databases' code */
	uint64_t seed; /* random, because names come from clients */
	struct pool_database *table;
	struct pool_database *first;
};

/* Returns the database of this name, which is made if needed; NULL if out of memory. */
struct pool_database *pool_database_get_or_create(struct pool_databases *all, const struct config *config,
						  const char *name);
/* Does what pool_set_find_database() does. */
struct pool_database *pool_database_find(const struct pool_databases *all, const char *name);
/* Frees d, which has no pool, unless d is paused or disabled, or has a section of its own in the configuration. Without
 * this function, the list would grow without limit, because clients may ask for any name. */
void pool_database_forget_if_unneeded(struct pool_databases *all, const struct config *config, struct pool_database *d);
void pool_databases_fini(struct pool_databases *all);

/* The most backends that are listed. Without a limit, clients could make the list grow: an address in the configuration
 * may contain a tenant's name, which clients choose, and is listed even if it can't be reached. */
#define BACKENDS_MAX 4096

/* A struct that is zeroed except for a random seed is an empty list. */
struct pool_backends {
	uint64_t seed;
	struct pool_backend *table;
	struct pool_backend *first; /* the newest backend */
};

/* pool_backend.c. Returns the backend at this address, made if needed; NULL if there is no memory or no room for it. */
struct pool_backend *pool_backend_get_or_create(struct pool_backends *all, const char *address);
/* Returns NULL if no backend has this address. */
struct pool_backend *pool_backend_find(const struct pool_backends *all, const char *address);
void pool_backends_fini(struct pool_backends *all);
