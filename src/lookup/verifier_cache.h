/*
 * src/lookup/verifier_cache.h - SCRAM verifiers of users whose secret is a plain password.
 *
 * Deriving one takes milliseconds, or a second with many iterations: it is done by a thread, once per configuration and
 * password; those who want the same meanwhile wait for the same (so nobody can make us derive by the thousand).
 *
 * Timing: the first login of such a user after a reload takes those milliseconds longer than others', and than a
 * stranger's. It tells that the user exists, to whoever comes first; users with SCRAM secrets don't show it.
 *
 * Owns:   the verifiers, and fingerprints of the passwords they are of; copies of those only while they are derived
 * from. All is wiped. Always: what was begun before verifier_cache_clear is told to those who wait for it, but not
 * kept.
 */
#ifndef PGWEIR_LOOKUP_VERIFIER_CACHE_H
#define PGWEIR_LOOKUP_VERIFIER_CACHE_H

#include "auth/scram.h"

#include <sys/queue.h>

struct verifier_cache; /* opaque */
struct verifier_derivation; /* opaque: one under way */
struct workers;

/* Embedded in who waits, zeroed. */
struct verifier_ticket {
	/* Once, from the loop: verifier (only looked at), or NULL and why. */
	void (*done)(const struct scram_verifier *verifier, const struct fail *why, void *arg);
	void *arg;
	struct verifier_derivation *waits_for; /* NULL: for nothing. From here on the cache's own */
	TAILQ_ENTRY(verifier_ticket) line;
};

struct verifier_cache *verifier_cache_new(struct workers *workers); /* NULL: no randomness */
void verifier_cache_free(struct verifier_cache *cache); /* after the workers; NULL is fine */
void verifier_cache_clear(struct verifier_cache *cache); /* after a reload */
/* The verifier of this user's password, made with so many iterations; NULL: it has to be derived. */
const struct scram_verifier *verifier_cache_find(const struct verifier_cache *cache, const char *user,
						 const char *password, uint32_t iterations);
/* Derives it; ticket->done is called later, never from within. -1 and why: no memory, or the threads have too much. */
int verifier_cache_derive(struct verifier_cache *cache, const char *user, const char *password, uint32_t iterations,
			  struct verifier_ticket *ticket, struct fail *why);
void verifier_cache_forget(struct verifier_ticket *ticket); /* done is not called; fine if it waits for nothing */

#endif
