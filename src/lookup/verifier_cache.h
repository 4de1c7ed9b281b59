/*
 * src/lookup/verifier_cache.h - SCRAM verifiers of users whose secret is a plain password.
 *
 * Deriving a verifier takes milliseconds, or a second with many iterations. A thread derives it, once for each
 * configuration and password. Logins that need the same verifier in the meantime share that work, so no client can make
 * pgweir derive thousands of verifiers.
 *
 * Timing: the first login of such a user after a reload takes those milliseconds longer than other logins, and longer
 * than a login of an unknown user. So a client that comes first can learn that the user exists. Logins of users with
 * SCRAM secrets don't show this.
 *
 * Owns:   the verifiers and fingerprints of their passwords; copies of the passwords only while keys are derived. All
 *         of it is wiped.
 * Always: the result of a derivation that began before verifier_cache_clear() goes to the logins that wait for it, but
 *         is not kept.
 */
#pragma once

#include "auth/scram.h"

#include <sys/queue.h>

struct verifier_cache; /* opaque */
struct verifier_derivation; /* opaque: a derivation that runs */
struct helpers;
struct inbox;

/* Embedded, zeroed, in the login that waits. */
struct verifier_waiter {
	/* Called once, from the loop, with the verifier (borrowed), or with NULL and *why. */
	void (*done)(const struct scram_verifier *verifier, const struct fail *why, void *arg);
	void *arg;
	/* the cache's; NULL if the waiter waits for nothing */
	struct verifier_derivation *waits_for;
	TAILQ_ENTRY(verifier_waiter) link; /* the cache's: in the derivation's queue of waiters */
};

/* inbox is that of the loop that uses the cache. Returns NULL if there is no randomness. */
struct verifier_cache *verifier_cache_new(struct helpers *helpers, struct inbox *inbox);
void verifier_cache_free(struct verifier_cache *cache); /* the helpers must be gone; cache may be NULL */
void verifier_cache_clear(struct verifier_cache *cache); /* after a reload */
/* Returns the verifier of this user's password for this number of iterations, or NULL if it must be derived first. */
const struct scram_verifier *verifier_cache_find(const struct verifier_cache *cache, const char *user,
						 const char *password, uint32_t iterations);
/* Begins to derive the verifier; waiter->done is called later, never from within this call. Returns 0, or -1 with *why
 * set if there is too much work, or no memory. */
int verifier_cache_derive(struct verifier_cache *cache, const char *user, const char *password, uint32_t iterations,
			  struct verifier_waiter *waiter, struct fail *why);
/* waiter is a struct verifier_waiter, whose done is not called afterwards. Does nothing if it waits for nothing. */
void verifier_cache_forget(void *waiter);
