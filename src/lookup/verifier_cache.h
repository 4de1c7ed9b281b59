/*
 * src/lookup/verifier_cache.h - SCRAM verifiers of users whose secret is a plain password.
 *
 * Deriving one takes milliseconds, or a second with many iterations. A thread does it, once for each configuration and
 * password; those who need the same one meanwhile share that work (so nobody can make us derive by the thousand).
 *
 * Timing: the first login of such a user after a reload takes those milliseconds longer than others, and longer than
 * that of an unknown user. So whoever comes first can learn that the user exists; users with SCRAM secrets don't show
 * it.
 *
 * Owns:   the verifiers and fingerprints of their passwords; copies of the passwords only while keys are derived. All
 *         of it is wiped.
 * Always: a derivation begun before verifier_cache_clear() is reported to those who wait for it, but not kept.
 */
#pragma once

#include "auth/scram.h"

#include <sys/queue.h>

struct verifier_cache; /* opaque */
struct verifier_derivation; /* opaque: one under way */
struct helpers;
struct inbox;

/* Embedded in the one who waits, zeroed. */
struct verifier_waiter {
	/* Called once, from the loop, with the verifier (borrowed), or NULL and *why. */
	void (*done)(const struct scram_verifier *verifier, const struct fail *why, void *arg);
	void *arg;
	struct verifier_derivation *waits_for; /* NULL: it waits for nothing. From here on the cache's own */
	TAILQ_ENTRY(verifier_waiter) line;
};

/* inbox: of the loop that uses it. Returns NULL if there is no randomness. */
struct verifier_cache *verifier_cache_new(struct helpers *helpers, struct inbox *inbox);
void verifier_cache_free(struct verifier_cache *cache); /* after the helpers; NULL is fine */
void verifier_cache_clear(struct verifier_cache *cache); /* after a reload */
/* Returns the verifier of this user's password for this number of iterations; NULL if it must be derived first. */
const struct scram_verifier *verifier_cache_find(const struct verifier_cache *cache, const char *user,
						 const char *password, uint32_t iterations);
/* Derives it; waiter->done is called later, never from within. Returns 0, or -1 with *why set: too much work waits. */
int verifier_cache_derive(struct verifier_cache *cache, const char *user, const char *password, uint32_t iterations,
			  struct verifier_waiter *waiter, struct fail *why);
/* waiter: a struct verifier_waiter. done is not called; fine if it waits for nothing. */
void verifier_cache_forget(void *waiter);
