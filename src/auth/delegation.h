/*
 * src/auth/delegation.h - Kerberos credentials that clients delegate to pgweir. With gss_accept_delegation, pgweir logs
 * in to PostgreSQL only with such credentials, and each pool belongs to one Kerberos principal.
 * src/modules/gss/README.md says why.
 *
 * Both structs are reference-counted; any thread may take and drop references. A struct delegated is
 * immutable, and a module (auth/auth_module.h) makes it. Only one worker uses the fields of a struct delegator.
 */
#pragma once

#include "base/fail.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define AUTH_NAME_MAX 1023

/* A client that has logged in by tokens, and the credentials that it has delegated. */
struct delegated {
	atomic_uint refs;
	void (*free)(struct delegated *d); /* called on any thread, for the last reference */
	uint64_t until_us; /* when the credentials expire; DELEGATED_NONE if the client has delegated none */
	char principal[AUTH_NAME_MAX + 1]; /* the client's full name, with its realm */
};
#define DELEGATED_NONE 0

/* The principal that owns a pool and all its connections, which log in with the principal's credentials. */
struct delegator {
	atomic_uint refs;
	struct delegated *owner_credentials; /* the principal's newest; NULL until a client has delegated some */
};

struct delegated *delegated_ref(struct delegated *d);
void delegated_unref(struct delegated *d); /* d may be NULL */
struct delegator *delegator_new(void); /* returns NULL if there is no memory */
struct delegator *delegator_ref(struct delegator *d);
void delegator_unref(struct delegator *d); /* d may be NULL */

/* Returns 0 if d has credentials that have not expired, or -1 with *why set. d may be NULL. */
int delegated_check(const struct delegated *d, uint64_t now_us, struct fail *why);
/*
 * Decides whether a client may use the connections of the pool that `of` owns. d is the client's. A client that has
 * logged in without tokens has none: d is then NULL, and the client is refused. Returns 0, or -1 with *why set.
 *
 * If of->owner_credentials is NULL, the client becomes the owner. The client must then have delegated credentials that
 * are still valid, and is_free must be true, that is, no other client can be using the pool. Otherwise the client must
 * be the principal of of->owner_credentials, which the client's own credentials replace. If the client has delegated
 * none, those of the owner must still be valid.
 */
int delegator_admit_client(struct delegator *of, struct delegated *d, bool is_free, uint64_t now_us, struct fail *why);
