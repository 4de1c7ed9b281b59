/*
 * src/pool/pool_startup.h - remembers what clients' startup settings turned into on a server of this pool.
 *
 * As clients choose the settings, at most STARTUPS_MAX sets are remembered (the least recently used one goes), and they
 * are found by a hash.
 *
 * Owns: references on its images.
 */
#pragma once

#include "session/image.h"

#include <stdint.h>

#define STARTUPS_MAX 256

/* Zeroed, with a random seed, it is empty. */
struct startup_image; /* pool_startup.c */
struct pool_startups {
	uint64_t seed;
	struct startup_image *table;
};

/* Returns the result of these settings, or NULL. Images are interned, so raw is found by its address. */
struct image *pool_startup_find(struct pool_startups *all, const struct image *raw);
/* Takes references on both images. Returns 0, or -1 without memory. */
int pool_startup_learn(struct pool_startups *all, struct image *raw, struct image *resolved);
void pool_startup_forget_all(struct pool_startups *all);
