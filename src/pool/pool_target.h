/*
 * src/pool/pool_target.h - where the servers of a pool connect to, as which user and with which secrets, according to
 * one configuration. Servers that were opened under an older configuration keep that configuration's target. A target
 * is reference-counted; any thread may take and drop references.
 */
#pragma once

#include "auth/users.h"
#include "config/config.h"
#include "net/tls.h"
#include "server/server.h"

#include <stdatomic.h>

/* The TLS contexts for connections to the servers of one configuration (tls_store.c). Databases with equal settings
 * (server_tls_text) share a context. The store is made before the configuration takes effect, so errors in certificate
 * files are found in time. A store is reference-counted; any thread may take and drop references. */
struct tls_store;

struct tls_store *tls_store_new(const struct config *config, struct fail *why); /* returns NULL with *why set */
struct tls_store *tls_store_ref(struct tls_store *store);
void tls_store_unref(struct tls_store *store); /* NULL is fine */
/* Returns a reference, which the caller drops, to the context for these settings (server_tls_text); or NULL if they say
 * that servers use no TLS. store may be NULL. */
struct tls_context *tls_store_get(const struct tls_store *store, const char *text);

struct pool_target {
	struct server_target server; /* the part that servers see; points into the other fields */
	struct upstream *upstream;
	struct tls_context *tls; /* a reference for server.tls */
	char *tls_text; /* the settings that tls was made from */
	struct users *users; /* keeps the secrets alive */
	char *user, *database;
	char *command; /* password_command, or NULL */
	/* a secret that a client has proved and that `users` lacks, or NULL; wiped before it is freed */
	char *learnt;
	_Atomic uint64_t warned_us; /* for server.warned_us */
	atomic_uint refs;
};

/* Makes the target of a pool. database: the name of the pool's database ("tenant/database" for a tenant's). user: the
 * role that the pool's servers log in as. settings and tls belong to the same configuration. keys must outlive the
 * target. Returns NULL with *why set, for example if upstream_fill_in() refuses the names, or TLS is wanted but not
 * available. */
struct pool_target *pool_target_new(const struct upstream *upstream, const struct scope_settings *settings,
				    const struct tls_store *tls, struct users *users, const char *database,
				    const char *user, struct scram_keys *keys, struct fail *why);
/* Makes the target of a connection of pgweir's own, which logs in as user. dbname: PostgreSQL's name of the database;
 * if empty, the upstream's dbname is used. The upstream's password is used only if user is the upstream's user. */
struct pool_target *pool_target_new_own(const struct upstream *upstream, const struct scope_settings *settings,
					const struct tls_store *tls, struct users *users, const char *database,
					const char *user, const char *dbname, struct scram_keys *keys,
					struct fail *why);
struct pool_target *pool_target_ref(struct pool_target *t);
void pool_target_unref(struct pool_target *t); /* NULL is fine */
/* Returns true if t need not learn this secret (plain text, or "md5..."), which a client has proved, because t has
 * learnt the same secret before, or has a secret from upstream, users or password_command. */
bool pool_target_need_not_learn(const struct pool_target *t, const char *secret);
/* Makes t, which no server uses yet, remember the secret, unless t has another secret. Returns 0, or -1 if out
 * of memory. */
int pool_target_learn(struct pool_target *t, const char *secret);
/* Makes t remember the secret that `from` has learnt, unless t has another, and from's delegator. Returns 0, or -1 if
 * out of memory. */
int pool_target_inherit(struct pool_target *t, const struct pool_target *from);
/* Returns true if servers of a may be used as servers of b. */
bool pool_target_is_same(const struct pool_target *a, const struct pool_target *b);
/* Returns a string that is equal for two targets if they have the same hosts, target_session_attrs and database. The
 * caller frees the string. Returns NULL if out of memory. */
char *pool_target_database_key(const struct pool_target *t);
/* Returns a string that is equal for two targets if they have the same hosts, in the same order, and the same
 * target_session_attrs. The caller frees the string. Returns NULL if out of memory. */
char *pool_target_hosts_key(const struct pool_target *t);
/* Does the same as pool_target_hosts_key(), but leaves out target_session_attrs: for cluster_get_or_create(). */
char *pool_target_cluster_key(const struct pool_target *t);
