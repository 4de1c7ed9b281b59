/*
 * src/pool/pool_defaults.h - ALTER ROLE ... SET and ALTER DATABASE ... SET reach the pool: servers whose sessions began
 * before are replaced as they come free, as those that are too old are.
 *
 * The answers about a database's code say which settings a role's sessions begin with (role_settings.h). Hosts may
 * differ, as a standby lags, so what an answer says counts for the host that gave it, and for a standby (standby_pools)
 * that has replayed what the primary had. Of each host it is kept when it was first seen to have what it has
 * (code_host.changed_us): a server that began to log in before that, and is not known to have begun with the same, is
 * old. It may have seen these settings, but a server is never taken for newer than it is, and at worst it is replaced
 * once more than needed. One that logged in shortly before its host first answered counts as of that answer, unless
 * pgweir has seen an ALTER meanwhile, or another host has answered otherwise, or has changed since.
 *
 * Where connections go to several hosts, that host is asked next whose last answer is the oldest, in whichever pool has
 * a free connection there.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct policy_conn;
struct pool;
struct pooled; /* pool_set_state.h */
struct server;

/* Returns true if the server of p, which has logged in, or comes from another worker, is to be replaced. */
bool pool_defaults_are_old(const struct pool *pool, struct pooled *p);
/* An answer about the code of srv's database has come from there; is_new: it is another one than the last. */
void pool_defaults_on_answer(const struct server *srv, bool is_new);
void pool_defaults_follow(struct pool *standby_pool, uint64_t now_us); /* call it about every 100 ms */
void pool_defaults_altered(struct pool *pool); /* a server of it has run ALTER ROLE or ALTER DATABASE */
/* Returns the idle server that is to be asked next about the code, in any pool of it; NULL: any of this one. */
struct policy_conn *pool_defaults_next(const struct pool *pool);
