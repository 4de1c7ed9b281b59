/*
 * src/pool/pool_startup.h - what the startup settings of clients came to on a server of this pool.
 *
 * Clients choose the settings: at most STARTUPS_MAX sets are remembered, the one not asked for longest goes first, and
 * a login finds its own without a look at the others.
 *
 * Owns: references on the images in it.
 */
#ifndef PGWEIR_POOL_POOL_STARTUP_H
#define PGWEIR_POOL_POOL_STARTUP_H

#include "session/image.h"

#include <stdint.h>

#define STARTUPS_MAX 256

/* Zeroed but for the seed, which is random, it is empty. */
struct startup_image; /* pool_startup.c */
struct pool_startups {
	uint64_t seed;
	struct startup_image *table;
};

/* What these settings came to; NULL: not known. Images are interned: raw is found by its address. */
struct image *pool_startup_find(struct pool_startups *all, const struct image *raw);
/* References to both images are taken. -1: no memory. */
int pool_startup_learn(struct pool_startups *all, struct image *raw, struct image *resolved);
void pool_startup_forget_all(struct pool_startups *all);

#endif
