/*
 * src/pool/standby_pools.h - a pool's servers of the primary and of the standbys, if the pool has a cluster
 * (cluster.h), which knows the role of each host. The pool's own servers are of the primary. The servers of each
 * standby are in a standby pool of their own, which is found by the host's index in the upstream.
 */
#pragma once

#include "base/clock.h"
#include "pool/pool.h"

/* Returns an idle server of that host, lent to borrower as by pool_borrow(), or NULL; the waiter never waits. If NULL
 * is returned, a server is made ready for a later call if possible. */
struct server *pool_borrow_standby(struct pool *pool, uint32_t host, struct policy_waiter *waiter, void *borrower,
				   uint64_t now_us);
/* The pool, which has a cluster, has a new answer about its database's code: from now on that answer counts for a
 * standby only when the standby has replayed all that the primary has now. */
void standby_pools_code_is_new(struct pool *pool);
/* srv is a standby's server that was just lent. Returns the state (enum state_part, enum code_risk) that any SQL may
 * leave there, because the standby's code may be older than the last answer; 0 if the standby has certainly replayed
 * all that the primary had when that answer came. */
unsigned standby_pool_assumed_risk(struct server *srv);
/* Returns true if the host of the standby pool has certainly replayed all that the primary had when the last answer
 * about the code came. */
bool standby_pool_check_code(struct pool *standby_pool);
/* Adds the connections of the pool's standby pools, if any, to counts, which already has the pool's own. */
void pool_add_standby_pools(const struct pool *pool, struct policy_counts *counts);
/* Returns true if srv, of the pool itself or of its listeners, is a server of the primary, as far as pgweir knows.
 * While the primary is not known, servers log in to any host that claims to be it. pool->cluster is not NULL. */
bool pool_is_of_primary(const struct pool *pool, struct server *srv);
/* Values of server.history that are no cluster_view.history. */
#define HISTORY_OTHER UINT32_MAX /* the server is not the primary's */
#define HISTORY_TRUSTED (UINT32_MAX - 1) /* the primary was not known; the server is used until it is known */
#define TRUST_AFTER_US (5 * US_PER_S) /* the primary should be known again after this time */
/* The primary's history (cluster_view.history) is now `history`. Closes servers of another history: idle ones now, lent
 * ones when they are returned. */
void pool_on_primary(struct pool *pool, uint32_t history, uint64_t now_us);

/* --- For the pools themselves. --- */

/* pool.c. Makes the standby pool of main for the host at this index of the upstream. Returns NULL if that is impossible
 * now. */
struct pool *pool_new_standby_pool(struct pool *main, uint32_t host, uint64_t now_us);
void standby_pool_settings(struct pool *pool); /* turns a copy of the main pool's settings into a standby pool's */
/* The pool has new settings: applies them to its cluster and its standby pools; if no client reads from standbys
 * now, closes the servers of the standby pools. */
void standby_pools_configure(struct pool *pool, uint64_t now_us);
bool standby_pools_are_empty(const struct pool *pool);
/* Returns the host that is known to be the primary, if clients read from standbys; else NULL. */
const struct upstream_host *pool_primary_host(const struct pool *pool);
void pool_note_reading(struct server *srv); /* srv has logged in */
