/*
 * src/pool/pool_target.h - whom the servers of a pool log in as, and with which secrets, in one configuration.
 *
 * Counted by reference: servers that were opened under an older configuration keep theirs.
 */
#ifndef PGWEIR_POOL_POOL_TARGET_H
#define PGWEIR_POOL_POOL_TARGET_H

#include "auth/users.h"
#include "config/config.h"
#include "pool/tls_store.h"
#include "server/server.h"

struct pool_target {
	struct server_target server; /* what servers see; points into the rest */
	struct upstream *upstream;
	struct tls_context *tls; /* held for server.tls */
	char *tls_text; /* how it was asked for */
	struct users *users; /* holds the secrets' text */
	char *user, *database;
	char *learnt; /* a secret that is not in users, or NULL; wiped */
	unsigned refs;
};

/*
 * database and user: as a client's pool has them ("tenant/database", and the role). settings: of the pool, in the
 * configuration that tls was made for. keys live in the pool's entry. NULL and why: no memory, names that upstream_for
 * does not take, or TLS that is wanted but can't be.
 */
struct pool_target *pool_target_new(const struct upstream *upstream, const struct scope_settings *settings,
				    const struct tls_store *tls, struct users *users, const char *database,
				    const char *user, struct scram_keys *keys, struct fail *why);
struct pool_target *pool_target_ref(struct pool_target *t);
void pool_target_unref(struct pool_target *t); /* NULL is fine */
/*
 * A secret (plain, or "md5...") that a client proved to know: used where neither the upstream nor users has one.
 */
bool pool_target_knows(const struct pool_target *t, const char *secret); /* it has this one, or needs none */
/* t does not know it. NULL: no memory. */
struct pool_target *pool_target_with_secret(const struct pool_target *t, const char *secret);
void pool_target_inherit(struct pool_target *t, const struct pool_target *from); /* what from learnt */
/* True if servers of one may be used as servers of the other. */
bool pool_target_is_same(const struct pool_target *a, const struct pool_target *b);
/* Which database of which hosts it means: equal texts, the same one. The caller frees. NULL: no memory. */
char *pool_target_home(const struct pool_target *t);

#endif
