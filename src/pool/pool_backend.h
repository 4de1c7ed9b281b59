/*
 * src/pool/pool_backend.h - what is counted of each PostgreSQL that server connections go to, by its address.
 *
 * Addresses are the configuration's, but for a host that is made of a tenant's name: that a client chooses, and a name
 * that leads nowhere counts failures. So there are BACKENDS_MAX at most; what comes then is not counted.
 *
 * Owns: every pool_backend in it, as long as the process lives: counters never go back.
 */
#ifndef PGWEIR_POOL_POOL_BACKEND_H
#define PGWEIR_POOL_POOL_BACKEND_H

#include "pool/pool_set.h"

#define BACKENDS_MAX 4096

/* Zeroed but for the seed, which is random, it is empty. */
struct backend_box; /* pool_backend.c */
struct pool_backends {
	uint64_t seed;
	struct backend_box *table;
	struct pool_backend *first; /* the newest */
};

/* The one at this address, made if need be. NULL: there are too many, or no memory. */
struct pool_backend *pool_backend_get(struct pool_backends *all, const char *address);
void pool_backends_fini(struct pool_backends *all);

#endif
