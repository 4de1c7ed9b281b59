/*
 * src/client/verifier_cache.h - SCRAM verifiers of users whose secret is a plain password: deriving one takes
 * milliseconds, so each is derived once per configuration.
 */
#ifndef PGWEIR_CLIENT_VERIFIER_CACHE_H
#define PGWEIR_CLIENT_VERIFIER_CACHE_H

#include "auth/scram.h"

struct verifier_cache; /* opaque */

struct verifier_cache *verifier_cache_new(void); /* NULL: no memory */
void verifier_cache_free(struct verifier_cache *cache); /* wipes; NULL is fine */
void verifier_cache_clear(struct verifier_cache *cache); /* after a reload */
/* The verifier of this user's password: kept, or derived now with a salt of its own. */
int verifier_cache_get(struct verifier_cache *cache, const char *user, const char *password, struct scram_verifier *out,
		       struct fail *why);

#endif
