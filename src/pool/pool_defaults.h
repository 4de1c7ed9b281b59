/*
 * src/pool/pool_defaults.h - makes ALTER ROLE ... SET and ALTER DATABASE ... SET reach the pool: a server whose session
 * began before the ALTER is replaced when it comes free, like a server that is too old.
 *
 * The query about a database's code (database_code.h) also returns the settings with which a role's sessions begin
 * (role_settings.h). Hosts may differ, because a standby lags. So an answer counts for the host that gave it; the
 * primary's answer also counts for a standby (standby_pools) that has replayed all that the primary had. For each host,
 * code_host.changed_us is the time at which the host was first seen to have its present settings. A server that began
 * to log in before that time is outdated, unless it is known to have begun with the same settings. Some of these
 * servers have the present settings after all, and are replaced once for nothing; but no server with older settings is
 * kept. A server that logged in shortly before its host first answered is taken to have the settings of that answer,
 * unless meanwhile pgweir has seen an ALTER, or another host has answered with other settings or has changed its
 * settings.
 *
 * If connections go to several hosts, the host whose last answer is the oldest is asked next, by any pool that has a
 * free connection to it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct policy_conn;
struct pool;
struct pooled; /* pool_set_state.h */
struct server;

/* Returns true if the server of p, which has logged in or comes from another worker, is to be replaced. */
bool pool_defaults_check_old(const struct pool *pool, struct pooled *p);
/* srv has answered the query about the code of its database. is_new: the answer differs from the previous answer. */
void pool_defaults_on_answer(const struct server *srv, bool is_new);
/* Counts the primary's answer for the standby, once the standby has replayed it; call this about every 100 ms. */
void pool_defaults_apply_to_standby(struct pool *standby_pool, uint64_t now_us);
void pool_defaults_altered(struct pool *pool); /* a server of the pool has run ALTER ROLE or ALTER DATABASE */
/* Returns the idle server, of any pool with the same code, that is to be asked about the code next; NULL if it does not
 * matter which server of this pool is asked. */
struct policy_conn *pool_defaults_next(const struct pool *pool);
