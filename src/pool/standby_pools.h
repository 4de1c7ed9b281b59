/*
 * src/pool/standby_pools.h - a pool's servers of the primary, and those of its standbys, where it is known which host
 * is which (pool->cluster is not NULL). Its own are of the primary; each of a standby's is from the standby pool of
 * that host (its place in the upstream), a pool that is made at first use and goes with its pool.
 */
#pragma once

#include "base/clock.h"
#include "pool/pool.h"

/* Returns an idle server there, lent as pool_borrow() does; or NULL: then one is made ready for later, if that may be,
 * and the waiter does not wait. */
struct server *pool_borrow_standby(struct pool *pool, uint32_t host, struct policy_waiter *waiter, void *borrower,
				   uint64_t now_us);
/* The pool, which has a cluster, has another answer about its database's code. */
void standby_pools_code_is_new(struct pool *pool);
/* Returns what any SQL may leave on a standby's server (of enum state_part and enum code_risk), which was just lent; 0
 * if it is known that the standby has replayed all that the primary had when the last answer about the code came. */
unsigned standby_pool_feared(struct server *srv);
/* Returns true if that is known of the standby pool's host. */
bool standby_pool_shows_code(struct pool *standby_pool);
/* Adds the connections of its standby pools, if it has any, to counts of its own. */
void pool_add_standby_pools(const struct pool *pool, struct policy_counts *counts);
/* Returns true if a server of the pool's own, or of its listeners, is the primary's, as far as that is known
 * (pool->cluster is not NULL). A server may be another one's: while nobody knew who that is, it has logged in to
 * whichever said so. */
bool pool_is_of_primary(const struct pool *pool, struct server *srv);
/* In place of a server's history: it is another host's; nobody knows whose, and it is used all the same until that is
 * known. */
#define HISTORY_OTHER UINT32_MAX
#define HISTORY_TRUSTED (UINT32_MAX - 1)
#define TRUST_AFTER_US (5 * US_PER_S) /* who the primary is, is known again by then */
/* Servers are of the primary of this history (cluster_view.history): those of another are closed, or when returned. */
void pool_on_primary(struct pool *pool, uint32_t history, uint64_t now_us);

/* --- For the pools themselves. --- */

/* pool.c. Makes the standby pool of main for the host at this place of its upstream. Returns NULL if that is impossible
 * now.
 */
struct pool *pool_new_standby_pool(struct pool *main, uint32_t host, uint64_t now_us);
void standby_pool_settings(struct pool *pool); /* makes those of its pool the ones of a standby pool */
/* The pool has new settings: its cluster and its standby pools follow; or these drain, if nobody reads there now. */
void standby_pools_configure(struct pool *pool, uint64_t now_us);
bool standby_pools_are_empty(const struct pool *pool);
/* Returns the host that is known to be the primary, where clients read from standbys; else NULL. */
const struct upstream_host *pool_primary_host(const struct pool *pool);
void pool_note_reading(struct server *srv); /* a server has logged in */
