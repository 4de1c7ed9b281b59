/* src/policy/policy_limit.h - max_db_connections and max_user_connections: the cap that all pools of one database,
 * tenant or user share. There while one of these pools is; those without a limit have none. */
#pragma once

#include "policy/policy_budget.h"

#include <stddef.h>

/* kind keeps apart what may be called the same: 'd', 't', 'u'. The caller's until policy_limit_put; NULL: no memory. */
struct policy_limit *policy_limit_get(struct policy_commons *all, char kind, const char *name, size_t len);
void policy_limit_put(struct policy_commons *all, struct policy_limit *l); /* after its pools have left; NULL is fine */
struct policy_budget *policy_limit_budget(const struct policy_limit *l); /* l NULL: NULL */
