/*
 * src/pool/standby_pools.h - separates a pool's servers on the primary from those on standbys, if the pool has a
 * cluster (cluster.h), which knows the role of each host. The pool's own servers are on the primary. The servers on
 * each standby are in a standby pool, found by the index of the standby's host in the upstream.
 */
#pragma once

#include "base/clock.h"
#include "pool/pool.h"

/* Returns an idle server on that host, lent to borrower, or NULL. Unlike in pool_borrow(), the waiter never waits. If
 * there is no idle server, begins to open one for a later call, if possible. */
struct server *pool_borrow_standby(struct pool *pool, uint32_t host, struct policy_waiter *waiter, void *borrower,
				   uint64_t now_us);
/* Call when pgweir has read the code (functions, triggers, ...) of the pool's database anew: struct database_code. The
 * pool must have a cluster. For a standby, the answer counts once the standby has replayed what the primary has now. */
void standby_pools_note_new_code(struct pool *pool);
/* srv: a server on a standby that was lent just now. Returns 0 if the standby has certainly replayed all that the
 * primary had when pgweir last read the database's code. Else the standby may have older functions; returns the risk
 * (enum state_part, enum code_risk) that any SQL on srv may therefore have. */
unsigned standby_pool_assumed_risk(struct server *srv);
/* Returns true if the host of the standby pool has certainly replayed all that the primary had at the last answer about
 * the code. */
bool standby_pool_has_current_code(struct pool *standby_pool);
/* Adds the connections of the pool's standby pools, if any, to *counts, which already has the pool's own. */
void pool_add_standby_counts(const struct pool *pool, struct policy_counts *counts);
/* Returns true if srv, which belongs to the pool itself or to its listeners, is connected to the primary, as far as
 * pgweir knows. Once the primary is known, sets srv->history; until then, srv may be on any host that claims to be the
 * primary. pool->cluster must not be NULL. */
bool pool_note_server_host(const struct pool *pool, struct server *srv);
/* Special values of server.history, which never occur as cluster_view.history. */
#define HISTORY_OTHER UINT32_MAX /* the server is not connected to the primary */
#define HISTORY_TRUSTED (UINT32_MAX - 1) /* the server is used although the primary is not known */
#define TRUST_AFTER_US (5 * US_PER_S) /* if the primary is still not known after this time, servers are trusted */
/* Tells the pool the present cluster_view.history. If `history` is new, closes the pool's servers: idle servers now,
 * lent servers when they are returned. */
void pool_set_primary_history(struct pool *pool, uint32_t history, uint64_t now_us);

/* --- For the pools themselves. --- */

/* pool.c. Makes the standby pool of the pool `main` for the host at this index of the upstream. Returns NULL if that is
 * impossible now. */
struct pool *pool_new_standby_pool(struct pool *main, uint32_t host, uint64_t now_us);
/* Changes pool->settings, which are the main pool's settings at first, to those of a standby pool. */
void standby_pool_adapt_settings(struct pool *pool);
/* Applies the pool's new settings to its cluster and its standby pools. If no client reads from standbys any more,
 * closes the servers of the standby pools. */
void standby_pools_configure(struct pool *pool, uint64_t now_us);
bool standby_pools_are_empty(const struct pool *pool); /* returns true if no standby pool has a server */
/* Returns the host of the primary; NULL if the primary is not known, or if no client reads from standbys. */
const struct upstream_host *pool_primary_host(const struct pool *pool);
/* Call when srv has logged in: sets srv->reading (on a standby) or srv->history (on the primary). */
void pool_note_cluster_at_login(struct server *srv);
