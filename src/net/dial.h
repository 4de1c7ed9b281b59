/*
 * src/net/dial.h - connects to a host and port (or a Unix socket) within a time limit.
 *
 * Owns:   the attempt, until done() is called or the attempt is cancelled. done() owns the descriptor that it gets.
 * Always: done() is called once for each attempt, but never from within dial_start(), or after dial_cancel().
 */
#pragma once

#include "base/counters.h"
#include "net/stream.h"

#include <ares.h>
#include <event2/event.h>
#include <stdint.h>
#include <sys/socket.h>

struct dialer; /* opaque: dial.c; shared by all attempts of one loop */
struct dial; /* opaque: dial.c; one attempt */

struct dial_result {
	int fd; /* connected and non-blocking; -1 if the attempt failed */
	enum connect_failure kind; /* valid only if the attempt failed, as is `why` */
	struct fail why;
	struct sockaddr_storage peer;
	socklen_t peer_len;
};
typedef void (*dial_done)(const struct dial_result *result, void *arg);

/* `resolv_conf` is the path of the file that lists the name servers, or "" for the system's file. The file is read
 * again when it has changed. */
struct dialer *dialer_new(struct event_base *base, const struct tcp_options *tcp, const char *resolv_conf);
void dialer_free(struct dialer *d); /* called after all attempts have ended; d may be NULL */

/* Starts an attempt. `host` is a name, a numeric address, or the directory of a Unix socket named .s.PGSQL.<port>. A
 * timeout_us of 0 sets no limit. Returns NULL if there is no memory; done() is then not called. */
struct dial *dial_start(struct dialer *dialer, const char *host, uint16_t port, uint64_t timeout_us, dial_done done,
			void *arg);
/* Does what dial_start() does, with a socket address in place of a host. */
struct dial *dial_address(struct dialer *dialer, const struct sockaddr *addr, socklen_t addr_len, uint64_t timeout_us,
			  dial_done done, void *arg);
void dial_cancel(struct dial *d); /* does nothing if d is NULL */
struct resolver *dialer_resolver(struct dialer *dialer); /* returns the dialer's own resolver */
/* Sets *ok and *failed to the numbers of lookups that have succeeded and failed so far. */
void dialer_get_lookup_counts(const struct dialer *d, uint64_t *ok, uint64_t *failed);

/*
 * --- lookup.c: looks up the addresses of a host, or the name of an address, without blocking. c-ares reads the hosts
 * file and asks the name servers.
 *
 * Owns:   the lookup, until its callback is called or it is cancelled.
 * Always: the callback is called once, possibly from within the function that starts the lookup, but never after
 *         lookup_cancel().
 */
struct resolver; /* opaque: lookup.c; shared by all lookups of one loop */
struct lookup; /* opaque: lookup.c; one lookup */

/* If status is ARES_SUCCESS, the callback owns found; otherwise status is c-ares' reason. */
typedef void (*lookup_done)(int status, struct ares_addrinfo *found, void *arg);
/* status is as for lookup_done. `name` is valid only during the call. */
typedef void (*lookup_name_done)(int status, const char *name, void *arg);

/* Called by the main thread only. `file` is the resolv_conf of dialer_new(). */
struct resolver *resolver_new(struct event_base *base, const char *file);
void resolver_set_file(struct resolver *r, const char *file); /* sets the file for lookups that start from now on */
void resolver_free(struct resolver *r); /* called after all lookups have ended or were cancelled */

/* Starts a lookup. Sets *lookup, which must be NULL, for lookup_cancel(); *lookup is NULL again in the callback. */
void lookup_start(struct resolver *r, const char *host, uint16_t port, lookup_done done, void *arg,
		  struct lookup **lookup);
/* Starts to look up the name of an IPv4 or IPv6 address; *lookup is as in lookup_start(). */
void lookup_start_name(struct resolver *r, const struct sockaddr *address, lookup_name_done name_done, void *arg,
		       struct lookup **lookup);
void lookup_cancel(struct lookup *l); /* l's callback is then not called; l is freed later */
