/*
 * src/pool/pool_backend.h - the counters of each PostgreSQL that servers connect to, by its address.
 *
 * Addresses are from the configuration, but a host may contain a tenant's name, which clients choose, and one that
 * leads nowhere counts failures, too. So there are at most BACKENDS_MAX; further ones are not counted.
 *
 * Owns: every pool_backend in it, as long as the process lives: counters never decrease.
 */
#pragma once

#include "pool/pool_set.h"

#define BACKENDS_MAX 4096

/* Zeroed, with a random seed, it is empty. */
struct backend_box; /* pool_backend.c */
struct pool_backends {
	uint64_t seed;
	struct backend_box *table;
	struct pool_backend *first; /* the newest */
};

/* Returns the one at this address, a new one if needed; NULL if there are too many. */
struct pool_backend *pool_backend_get(struct pool_backends *all, const char *address);
struct pool_backend *pool_backend_find(const struct pool_backends *all, const char *address); /* or NULL */
void pool_backends_fini(struct pool_backends *all);
