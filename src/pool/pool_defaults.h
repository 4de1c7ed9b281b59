/*
 * src/pool/pool_defaults.h - ALTER ROLE ... SET and ALTER DATABASE ... SET reach the pool: servers whose sessions began
 * before are replaced as they come free, as those that are too old are.
 *
 * The answers about a database's code say which settings a role's sessions begin with (role_settings.h). Each server
 * keeps the version of these that was read last when its login began. The login may have seen later ones, never older
 * ones: so a server is never taken for newer than it is, and at worst it is replaced once more than needed. One that
 * logged in shortly before anything was read counts as of the first answer, unless pgweir has seen an ALTER meanwhile.
 *
 * Hosts may differ, and a standby lags. A version counts for servers of the host that was asked, and for a standby's
 * (standby_pools) when that has replayed what the primary had.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct pool;
struct pooled; /* pool_set_state.h */
struct server;

void pool_defaults_note(const struct pool *pool, struct pooled *p); /* the login of a server of the pool begins */
/* Returns true if the server of p, which has logged in, or comes from another worker, is to be replaced. */
bool pool_defaults_are_old(const struct pool *pool, struct pooled *p);
/* An answer about the code of srv's database has come from there; is_new: it is another one than the last. */
void pool_defaults_on_answer(const struct server *srv, bool is_new);
void pool_defaults_follow(struct pool *standby_pool, uint64_t now_us); /* call it about every 100 ms */
void pool_defaults_altered(struct pool *pool); /* a server of it has run ALTER ROLE or ALTER DATABASE */
