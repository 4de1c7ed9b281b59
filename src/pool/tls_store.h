/*
 * src/pool/tls_store.h - the TLS contexts of one configuration for its servers: one for all databases with equal
 * settings. It is made as a whole before the configuration is taken over, so errors in files are found in time.
 */
#pragma once

#include "config/config.h"
#include "net/tls.h"

struct tls_store; /* opaque; counted by reference, from any thread */

struct tls_store *tls_store_new(const struct config *config, struct fail *why); /* NULL with *why set */
struct tls_store *tls_store_ref(struct tls_store *store);
void tls_store_unref(struct tls_store *store); /* NULL is fine */
/* Returns a reference that the caller drops, or NULL if these servers have no TLS (mode off). store may be NULL. */
struct tls_context *tls_store_get(const struct tls_store *store, const struct server_tls *tls);
