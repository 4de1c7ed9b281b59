/*
 * src/admin/database_sums.h - what all workers have counted for a database. Each worker that has pools of a database
 * has a struct pool_database of its own: they are told apart by their names, and added up.
 */
#pragma once

#include "base/counters.h"

struct client_env;
struct pool_database;

struct database_sum {
	const char *name; /* borrowed from one of them; NULL: this is the last, and none */
	const struct pool_database *known; /* of them the one that learned of the database's code last */
	struct database_counters counters;
};

/*
 * Returns the sums, ordered by name, with a last one without a name. free() frees them; the databases are borrowed.
 * NULL without memory. crew: see client/clients.h; all workers but the caller's stand still.
 */
struct database_sum *database_sums(struct client_env *const *crew);
