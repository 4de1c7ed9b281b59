/*
 * src/pool/pool_database.h - the list of a pool set's databases: found by name, and forgotten.
 *
 * Owns:   every pool_database in it.
 * Always: a database has a pool or a section of its own, or is paused; soon after the last of these has ended, it is
 *         freed.
 */
#pragma once

#include "pool/pool_set.h"

/* Zeroed, it is empty. */
struct database_box; /* pool_database.c */
struct pool_databases {
	struct code_store *codes; /* where theirs come from */
	uint64_t seed; /* random: names come from clients */
	struct database_box *table;
	struct pool_database *first;
};

/* Returns the one of this name, a new one if needed; NULL without memory. */
struct pool_database *pool_database_get(struct pool_databases *all, const struct config *config, const char *name);
/* See pool_set_find_database. */
struct pool_database *pool_database_find(const struct pool_databases *all, const char *name);
/* Frees d, if it is not paused and has no section of its own: clients may ask for any number of names. */
void pool_database_forget(struct pool_databases *all, const struct config *config, struct pool_database *d);
void pool_databases_fini(struct pool_databases *all);
