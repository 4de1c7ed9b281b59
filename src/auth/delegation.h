/*
 * src/auth/delegation.h - what clients delegate to pgweir, and whose it is: with gss_accept_delegation it logs in to
 * PostgreSQL by that, and by nothing else. src/modules/gss/README.md says why a pool has one principal.
 *
 * Both are counted by reference, from any thread. A struct delegated is immutable, and a module's
 * (auth/auth_module.h). A struct delegation is its worker's.
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
	uint64_t
	    until_us; /* when its credentials expire; DELEGATED_NONE: there are none, the client has only logged in */
	char principal[AUTH_NAME_MAX + 1]; /* in full */
};
#define DELEGATED_NONE 0

/* A pool's, and of all its connections. */
struct delegation {
	atomic_uint refs;
	struct delegated *by; /* the newest of the one principal that the pool belongs to; NULL: nobody has come yet */
};

struct delegated *delegated_ref(struct delegated *d);
void delegated_unref(struct delegated *d); /* NULL is fine */
struct delegation *delegation_new(void); /* NULL: no memory */
struct delegation *delegation_ref(struct delegation *d);
void delegation_unref(struct delegation *d); /* NULL is fine */

/* Returns 0 if its credentials are there, and good; or -1 with *why set. d may be NULL. */
int delegated_check(const struct delegated *d, uint64_t now_us, struct fail *why);
/*
 * A client that has logged in by d (NULL: not by a ticket) is to use the connections. Its principal becomes their owner
 * if nobody is, and they are free: nobody else can use them. What it has delegated takes the place of what was there;
 * if that is nothing, what is there must be its own, and good. Returns 0, or -1 with *why set.
 */
int delegation_take(struct delegation *of, struct delegated *d, bool is_free, uint64_t now_us, struct fail *why);
