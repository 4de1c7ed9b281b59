/*
 * src/net/dial.h - connects to a host and port (or a Unix socket) within a time limit.
 *
 * Owns:   the attempt, until it has called back or was cancelled. The callback owns the descriptor.
 * Always: exactly one callback, never from within dial_start, none after dial_cancel.
 */
#pragma once

#include "base/counters.h"
#include "net/stream.h"

#include <ares.h>
#include <event2/event.h>
#include <stdint.h>
#include <sys/socket.h>

struct dialer; /* opaque: the resolver, shared by all attempts of one loop */
struct dial; /* opaque: one attempt */

struct dial_result {
	int fd; /* connected and non-blocking; -1: it failed, see kind and why */
	enum connect_failure kind;
	struct fail why;
	struct sockaddr_storage peer;
	socklen_t peer_len;
};
typedef void (*dial_done)(const struct dial_result *result, void *arg);

/* resolv_conf: the file that names the name servers, read again when it has changed; empty: the system's. */
struct dialer *dialer_new(struct event_base *base, const struct tcp_options *tcp, const char *resolv_conf);
void dialer_free(struct dialer *d); /* after the end of all attempts */

/* host: a name, a numeric address or a directory (the socket is host/.s.PGSQL.port). Returns NULL without memory. */
struct dial *dial_start(struct dialer *dialer, const char *host, uint16_t port, uint64_t timeout_us, dial_done done,
			void *arg);
/* The same for an address that was resolved before. */
struct dial *dial_address(struct dialer *dialer, const struct sockaddr *addr, socklen_t addr_len, uint64_t timeout_us,
			  dial_done done, void *arg);
void dial_cancel(struct dial *d); /* NULL is fine */
struct resolver *dialer_resolver(struct dialer *dialer); /* borrowed */
/* How many names were looked up so far. */
void dialer_count_lookups(const struct dialer *d, uint64_t *ok, uint64_t *failed);

/*
 * --- lookup.c: looks up the addresses of a host, or the name of an address, without waiting; c-ares reads the hosts
 * file and asks the name servers.
 *
 * Owns:   the lookup, until it has called back.
 * Always: exactly one callback, which may come from within lookup_start; none after lookup_forget.
 */
struct resolver; /* opaque: shared by all lookups of one loop */
struct lookup; /* opaque: one lookup */

/* status: ARES_SUCCESS, and found is the callee's, or why there is nothing. */
typedef void (*lookup_done)(int status, struct ares_addrinfo *found, void *arg);
/* The same for a name, which is borrowed for the call. */
typedef void (*lookup_named)(int status, const char *name, void *arg);

/* file: names the name servers, read again when it changes; empty: the system's. Called by the first thread only. */
struct resolver *resolver_new(struct event_base *base, const char *file);
void resolver_set_file(struct resolver *r, const char *file); /* for lookups from now on */
void resolver_free(struct resolver *r); /* after the end of all lookups, or when they were forgotten */

/* *lookup is set while it is under way, for lookup_forget(), and NULL when it calls back. */
void lookup_start(struct resolver *r, const char *host, uint16_t port, lookup_done done, void *arg,
		  struct lookup **lookup);
/* Looks up the name of an IPv4 or IPv6 address. */
void lookup_name(struct resolver *r, const struct sockaddr *address, lookup_named named, void *arg,
		 struct lookup **lookup);
void lookup_forget(struct lookup *l);
