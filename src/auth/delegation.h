/*
 * src/auth/delegation.h - the credentials that clients delegate to pgweir, and the owner of a pool. With
 * gss_accept_delegation pgweir logs in to PostgreSQL with such credentials only. src/modules/gss/README.md says why a
 * pool has one principal.
 *
 * Both structs are reference-counted; references may be taken and dropped on any thread. A struct delegated is
 * immutable and belongs to a module (auth/auth_module.h). A struct delegation belongs to one worker.
 */
#pragma once

#include "base/fail.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define AUTH_NAME_MAX 1023

struct delegated {
	atomic_uint refs;
	void (*free)(struct delegated *d); /* on any thread */
	/* when the credentials expire; DELEGATED_NONE if the client has logged in but delegated no credentials */
	uint64_t until_us;
	char principal[AUTH_NAME_MAX + 1]; /* the full name */
};
#define DELEGATED_NONE 0

/* The owner of a pool and of all its connections. */
struct delegation {
	atomic_uint refs;
	/* the newest credentials of the only principal that the pool belongs to; NULL until a client has come */
	struct delegated *by;
};

struct delegated *delegated_ref(struct delegated *d);
void delegated_unref(struct delegated *d); /* NULL is fine */
struct delegation *delegation_new(void); /* returns NULL without memory */
struct delegation *delegation_ref(struct delegation *d);
void delegation_unref(struct delegation *d); /* NULL is fine */

/* Returns 0 if d has credentials that are still good, or -1 with *why set. d may be NULL. */
int delegated_check(const struct delegated *d, uint64_t now_us, struct fail *why);
/*
 * Lets a client that has logged in by d use the pool's connections; d is NULL if the client logged in without a ticket.
 * If the pool has no owner yet and no other client can use it (is_free), the client's principal becomes the owner.
 * Credentials that the client has delegated replace the pool's previous ones. If the client has delegated none, the
 * pool's credentials must be of the client's own principal, and still good. Returns 0, or -1 with *why set.
 */
int delegation_take(struct delegation *of, struct delegated *d, bool is_free, uint64_t now_us, struct fail *why);
