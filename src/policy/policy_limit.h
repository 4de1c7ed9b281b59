/*
 * src/policy/policy_limit.h - max_db_connections and max_user_connections: the cap that all pools of one database,
 * tenant or user share. There while one of these pools is; those without a limit have none.
 */
#ifndef PGWEIR_POLICY_POLICY_LIMIT_H
#define PGWEIR_POLICY_POLICY_LIMIT_H

#include "policy/policy.h"

#include <stddef.h>

struct pool_limit;

struct pool_limits {
	uint64_t seed; /* of the table's hash */
	struct pool_limit *table;
};

/* kind keeps apart what may be called the same: 'd', 't', 'u'. The caller's until pool_limit_put. */
struct pool_limit *pool_limit_get(struct pool_limits *all, char kind, const char *name, size_t len);
void pool_limit_put(struct pool_limits *all, struct pool_limit *l); /* after its pools have left; NULL is fine */
struct pool_budget *pool_limit_budget(const struct pool_limit *l); /* l NULL: NULL */

#endif
