/*
 * src/policy/policy_upkeep.h - replaces a single connection that is outdated: policy_upkeep.c.
 */
#pragma once

#include "policy/policy.h"

/* Treats conn as too old: closes it now if it is idle, else when it is returned, unless opening has failed by then.
 * conn may be freed when this returns. */
void policy_retire_conn(struct policy *p, struct policy_conn *conn, uint64_t now_us);
