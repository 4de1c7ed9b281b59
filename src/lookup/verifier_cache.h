/*
 * src/lookup/verifier_cache.h - SCRAM verifiers of users whose secret is a plain password.
 *
 * Deriving a verifier from a password takes milliseconds, or a second with many iterations. A helper thread derives
 * each verifier once, and the verifier is kept until a reload. During the derivation, other logins that need this
 * verifier wait for the same thread, so no client can make pgweir derive thousands of verifiers.
 *
 * Timing: after a reload, the first login of a user with a plain password takes these milliseconds longer than logins
 * of unknown users. The client of that login can therefore learn that the user exists. Users with SCRAM secrets are not
 * affected.
 *
 * Owns:   the verifiers, and fingerprints of their passwords; copies of passwords only while a verifier is derived. All
 *         of these are wiped.
 * Always: a derivation that was running during verifier_cache_clear() answers the logins that wait for it, but its
 *         result is not kept.
 */
#pragma once

#include "auth/scram.h"

#include <sys/queue.h>

struct verifier_cache; /* opaque */
struct verifier_derivation; /* opaque: a derivation that runs */
struct helpers;
struct inbox;

/* A login that waits for a verifier. The login embeds this struct, zeroed. */
struct verifier_waiter {
	/* Called once, from the event loop. `verifier` is borrowed. On failure, it is NULL and *why is set. */
	void (*done)(const struct scram_verifier *verifier, const struct fail *why, void *arg);
	void *arg; /* passed to done() */
	struct verifier_derivation *waits_for; /* set by the cache; NULL if the login does not wait */
	TAILQ_ENTRY(verifier_waiter) link; /* in the derivation's queue */
};

/* The threads `helpers` derive verifiers, and send the results to `inbox`, the inbox of the caller's event loop.
 * Returns NULL if there are no random numbers. */
struct verifier_cache *verifier_cache_new(struct helpers *helpers, struct inbox *inbox);
void verifier_cache_free(struct verifier_cache *cache); /* the helpers must have ended; cache may be NULL */
void verifier_cache_clear(struct verifier_cache *cache); /* drops all verifiers; called after a reload */
/* Returns the verifier for this user's password and number of iterations, or NULL if it must be derived first. */
const struct scram_verifier *verifier_cache_find(const struct verifier_cache *cache, const char *user,
						 const char *password, uint32_t iterations);
/* Begins to derive the verifier, or joins a derivation that has begun. waiter->done() is called later. Returns 0, or -1
 * with *why set if the threads have too much work, or if there is no memory. */
int verifier_cache_derive(struct verifier_cache *cache, const char *user, const char *password, uint32_t iterations,
			  struct verifier_waiter *waiter, struct fail *why);
/* Ends a wait, so that done() is not called. `waiter` is a struct verifier_waiter, which need not be waiting. */
void verifier_cache_abandon(void *waiter);
