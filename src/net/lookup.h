/*
 * src/net/lookup.h - looks up the addresses of a host without waiting; c-ares asks the name servers.
 *
 * Owns:   the lookup, until it has called back.
 * Always: exactly one callback, which may come from within lookup_start; none after lookup_forget.
 */
#pragma once

#include <ares.h>
#include <event2/event.h>
#include <stdint.h>

struct resolver; /* opaque: shared by all lookups of one loop */
struct lookup; /* opaque: one lookup */

/* status: ARES_SUCCESS, and found is the callee's, or why there is nothing. */
typedef void (*lookup_done)(int status, struct ares_addrinfo *found, void *arg);

/* file: names the name servers, read again when it has changed; empty: the system's. Called by the first thread only.
 */
struct resolver *resolver_new(struct event_base *base, const char *file);
void resolver_set_file(struct resolver *r, const char *file); /* for lookups from now on */
void resolver_free(struct resolver *r); /* after the end of all lookups, or when they were forgotten */

/* *lookup is set while it is under way, for lookup_forget(), and NULL when it calls back. */
void lookup_start(struct resolver *r, const char *host, uint16_t port, lookup_done done, void *arg,
		  struct lookup **lookup);
void lookup_forget(struct lookup *l);
