/*
 * src/pool/tls_store.h - the TLS contexts for servers of one configuration: one for all databases that want the same.
 * Made as a whole, before the configuration is taken over: what is wrong with a file is known in time.
 */
#ifndef PGWEIR_POOL_TLS_STORE_H
#define PGWEIR_POOL_TLS_STORE_H

#include "config/server_tls.h"
#include "net/tls.h"

struct tls_store; /* opaque; counted by reference */

struct tls_store *tls_store_new(const struct config *config, struct fail *why); /* NULL and why */
struct tls_store *tls_store_ref(struct tls_store *store);
void tls_store_unref(struct tls_store *store); /* NULL is fine */
/* A reference of the caller's; NULL: these servers have no TLS (mode off), or no memory. store may be NULL. */
struct tls_context *tls_store_get(const struct tls_store *store, const struct server_tls *tls);

#endif
