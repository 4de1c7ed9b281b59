/*
 * src/pool/pool_defaults.h - makes ALTER ROLE ... SET and ALTER DATABASE ... SET reach the pool: servers whose sessions
 * began before are replaced when they come free, as servers that are too old are.
 *
 * The answers about a database's code tell which settings a role's sessions begin with (role_settings.h). Hosts may
 * differ, as a standby lags, so an answer counts for the host that gave it, and for a standby (standby_pools) that has
 * replayed what the primary had. For each host, code_host.changed_us tells when it was first seen to have its present
 * settings: a server that began to log in before that, and is not known to have begun with the same settings, is old.
 * Such a server may have begun with these settings, but a server is never taken for newer than it is, and at worst is
 * replaced once more than needed. A server that logged in shortly before its host first answered counts as of that
 * answer, unless pgweir has seen an ALTER meanwhile, or another host has answered otherwise, or has changed since.
 *
 * If connections go to several hosts, the host whose last answer is the oldest is asked next, by any pool with a free
 * connection there.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct policy_conn;
struct pool;
struct pooled; /* pool_set_state.h */
struct server;

/* Returns true if the server of p, which has logged in or comes from another worker, is to be replaced. */
bool pool_defaults_are_old(const struct pool *pool, struct pooled *p);
/* srv has answered about the code of its database; is_new: the answer differs from the previous one. */
void pool_defaults_on_answer(const struct server *srv, bool is_new);
void pool_defaults_follow(struct pool *standby_pool, uint64_t now_us); /* call it about every 100 ms */
void pool_defaults_altered(struct pool *pool); /* a server of the pool has run ALTER ROLE or ALTER DATABASE */
/* Returns the idle server, of any pool with the same code, that is to be asked about it next; NULL if any server of
 * this pool will do. */
struct policy_conn *pool_defaults_next(const struct pool *pool);
