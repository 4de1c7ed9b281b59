/*
 * src/policy/policy_upkeep.h - replaces a single connection that is outdated: policy_upkeep.c.
 */
#pragma once

#include "policy/policy.h"

/* Marks conn as too old: conn is closed now if it is idle, else when it is returned. (While opening fails, a returned
 * conn is kept.) conn may be freed when this returns. */
void policy_retire_conn(struct policy *p, struct policy_conn *conn, uint64_t now_us);
