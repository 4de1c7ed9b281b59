/*
 * src/pool/pool_defaults.h - makes ALTER ROLE ... SET and ALTER DATABASE ... SET reach the pool: a server whose session
 * began before the ALTER is replaced when it comes free, like a server that is too old.
 *
 * The query about a database's code (database_code.h) also returns the settings with which a role's sessions begin
 * (role_settings.h). Hosts may have different settings, because a standby lags. So an answer counts for the host that
 * gave it; the primary's answer also counts for a standby that has replayed all that the primary had then.
 * For each host, code_host.changed_us is the time at which the host was first seen to have its present settings. A
 * server that began to log in before that time is outdated, unless its session is known to have begun with the same
 * settings. So no server with older settings is kept, but a few servers with the present settings may be replaced once
 * without need.
 *
 * When a host answers for the first time, a server that has logged in there shortly before is taken to have the
 * settings of that answer. There are two exceptions: pgweir has seen an ALTER since that login, or another host has
 * answered with different settings.
 *
 * If servers are on several hosts, the host with the oldest answer is asked next, on an idle server of any pool.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct policy_conn;
struct pool;
struct pooled; /* pool_set_state.h */
struct server;

/* Returns true if the server of p is to be replaced. Call this when the server has logged in, when it comes from
 * another worker, and when its host's settings have changed. If the server may stay, and the version of its settings
 * was not known yet, p gets the version of the host's last answer. */
bool pool_defaults_check_old(const struct pool *pool, struct pooled *p);
/* Call when srv has answered the query about its database's code. is_new: the answer differs from the previous one. */
void pool_defaults_on_answer(const struct server *srv, bool is_new);
/* Makes the primary's answer count for a standby that has replayed all that the primary had then. Call every 100 ms. */
void pool_defaults_apply_to_standby(struct pool *standby_pool, uint64_t now_us);
/* Call when a server of the pool has run ALTER ROLE or ALTER DATABASE. */
void pool_defaults_note_altered(struct pool *pool);
/* Returns the idle server, of any pool with the same code, that is to be asked about the code next. Returns NULL if no
 * server is idle, or if all servers of the pool are on one host, so it does not matter which server is asked. */
struct policy_conn *pool_defaults_next(const struct pool *pool);
