/*
 * src/net/dial.h - connects to a host and port (or a Unix socket) within a time limit.
 *
 * Owns:   the attempt, until it has called back or was cancelled. The callback owns the descriptor.
 * Always: exactly one callback, which never comes from within dial_start(); none after dial_cancel().
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
	int fd; /* connected and non-blocking; -1 if the attempt failed: see kind and why */
	enum connect_failure kind;
	struct fail why;
	struct sockaddr_storage peer;
	socklen_t peer_len;
};
typedef void (*dial_done)(const struct dial_result *result, void *arg);

/* `resolv_conf` is the path of the file that names the name servers, which is read again when it has changed; if
 * `resolv_conf` is empty, the system's file is read. */
struct dialer *dialer_new(struct event_base *base, const struct tcp_options *tcp, const char *resolv_conf);
void dialer_free(struct dialer *d); /* called after all attempts have ended */

/* Starts an attempt. `host` is a name, a numeric address or a directory (the socket is host/.s.PGSQL.port). Returns
 * NULL without memory. */
struct dial *dial_start(struct dialer *dialer, const char *host, uint16_t port, uint64_t timeout_us, dial_done done,
			void *arg);
/* Starts an attempt to reach an address that was resolved before. Returns NULL without memory. */
struct dial *dial_address(struct dialer *dialer, const struct sockaddr *addr, socklen_t addr_len, uint64_t timeout_us,
			  dial_done done, void *arg);
void dial_cancel(struct dial *d); /* does nothing if d is NULL */
struct resolver *dialer_resolver(struct dialer *dialer); /* borrowed */
/* Sets *ok and *failed to the number of names that were looked up so far. */
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

/* If status is ARES_SUCCESS, found belongs to the callee; else status says why nothing was found. */
typedef void (*lookup_done)(int status, struct ares_addrinfo *found, void *arg);
/* Gets the name of an address, borrowed for the call. `status` is as in lookup_done. */
typedef void (*lookup_named)(int status, const char *name, void *arg);

/* Called by the first thread only. `file` is the path of the file that names the name servers, as for dialer_new(). */
struct resolver *resolver_new(struct event_base *base, const char *file);
void resolver_set_file(struct resolver *r, const char *file); /* sets the file for lookups that start from now on */
void resolver_free(struct resolver *r); /* called after all lookups have ended or were forgotten */

/* Starts a lookup. While the lookup is under way, *lookup is set, for lookup_forget(); it is NULL when the callback
 * runs. */
void lookup_start(struct resolver *r, const char *host, uint16_t port, lookup_done done, void *arg,
		  struct lookup **lookup);
/* Starts to look up the name of an IPv4 or IPv6 address; *lookup is as in lookup_start(). */
void lookup_name(struct resolver *r, const struct sockaddr *address, lookup_named named, void *arg,
		 struct lookup **lookup);
void lookup_forget(struct lookup *l);
