/*
 * src/net/dial.c - see dial.h.
 *
 * A single timer limits the whole attempt. If the result is known before dial_start() or dial_address() returns, e.g.
 * because the connection is refused at once, the timer makes the callback.
 */
#include "net/dial.h"
#include "base/alloc.h"
#include "net/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <sys/un.h>

struct dialer {
	struct event_base *base;
	struct resolver *resolver; /* looks up names; numeric addresses need no lookup */
	uint64_t lookups_ok, lookups_failed;
	struct tcp_options tcp;
};

struct dial {
	struct dialer *dialer;
	dial_done done;
	void *arg;
	struct timer timer;
	struct event *connecting;
	struct lookup *lookup; /* the lookup that is under way, or NULL */
	struct ares_addrinfo *found;
	struct ares_addrinfo_node *next; /* the first address that was not tried yet */
	uint64_t timeout_us; /* limit for the whole attempt; 0 if there is none */
	struct timeval share; /* part of timeout_us for each address but the last; zero if there is no limit */
	char where[300];
	enum {
		DIAL_STARTS,
		DIAL_GOES_ON,
		DIAL_OVER /* the result is known already, and the timer makes the callback */
	} state;
	struct dial_result result;
};

struct dialer *
dialer_new(struct event_base *base, const struct tcp_options *tcp, const char *resolv_conf)
{
	struct dialer *d = xcalloc(1, sizeof(*d));

	d->base = base;
	d->tcp = *tcp;
	d->resolver = resolver_new(base, resolv_conf);
	return d;
}

struct resolver *
dialer_resolver(struct dialer *dialer)
{
	return dialer->resolver;
}

void
dialer_free(struct dialer *d)
{
	if (d == NULL)
		return;
	resolver_free(d->resolver);
	free(d);
}

static void
drop_socket(struct dial *d)
{
	if (d->connecting != NULL) {
		close(event_get_fd(d->connecting));
		event_free(d->connecting);
		d->connecting = NULL;
	}
}

static void
dial_free(struct dial *d)
{
	drop_socket(d);
	timer_stop(&d->timer);
	ares_freeaddrinfo(d->found);
	if (d->lookup != NULL)
		lookup_cancel(d->lookup);
	free(d);
}

void
dial_cancel(struct dial *d)
{
	if (d == NULL)
		return;
	if (d->result.fd >= 0)
		close(d->result.fd);
	dial_free(d);
}

static void
dial_finish(struct dial *d)
{
	struct dial_result result = d->result;
	dial_done done = d->done;
	void *arg = d->arg;

	if (d->state == DIAL_STARTS) {
		d->state = DIAL_OVER;
		timer_fire_soon(&d->timer);
		return;
	}
	dial_free(d);
	done(&result, arg);
}

static void
fail_with(struct dial *d, enum connect_failure kind, const char *what)
{
	d->result.fd = -1;
	d->result.kind = kind;
	fail_set(&d->result.why, "08001", "could not connect to PostgreSQL at %s: %s", d->where, what);
	if (kind == CF_DNS)
		fail_hint(&d->result.why, "Check that the name servers know this name (resolv_conf, else "
					  "/etc/resolv.conf), and upstream in pgweir.ini.");
	else if (kind != CF_OTHER)
		fail_hint(&d->result.why,
			  "Check that PostgreSQL runs there, its port and firewall, and upstream in pgweir.ini.");
}

static void
set_out_of_memory(struct dial *d)
{
	fail_with(d, CF_OTHER, "out of memory");
	memcpy(d->result.why.sqlstate, "53200", sizeof("53200"));
}

static enum connect_failure
kind_of_errno(int e)
{
	if (e == ECONNREFUSED || e == ENOENT || e == ECONNRESET)
		return CF_REFUSED;
	return e == ETIMEDOUT ? CF_TIMEOUT : CF_OTHER;
}

static void try_next_or_finish(struct dial *d);

static void
on_connected(struct dial *d, int fd)
{
	if (d->result.peer.ss_family != AF_UNIX)
		tcp_options_set(&d->dialer->tcp, fd);
	d->result.fd = fd;
	dial_finish(d);
}

static void
on_connecting(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;
	int e = 0;
	socklen_t len = sizeof(e);

	if ((what & EV_TIMEOUT) != 0)
		e = ETIMEDOUT;
	else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
		e = errno;
	if (e != 0) {
		drop_socket(d);
		fail_with(d, kind_of_errno(e), strerror(e));
		try_next_or_finish(d);
		return;
	}
	event_free(d->connecting);
	d->connecting = NULL;
	on_connected(d, fd);
}

/* Tries one address. Returns 0 if the attempt is under way or done, or -1 with the reason in d->result if this address
 * failed. */
static int
try_address(struct dial *d, const struct sockaddr *addr, socklen_t len)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		fail_with(d, CF_OTHER, strerror(errno));
		return -1;
	}
	memcpy(&d->result.peer, addr, len);
	d->result.peer_len = len;
	if (connect(fd, addr, len) == 0) {
		on_connected(d, fd);
		return 0;
	}
	if (errno != EINPROGRESS) {
		fail_with(d, kind_of_errno(errno), strerror(errno));
		close(fd);
		return -1;
	}
	d->connecting = event_new(d->dialer->base, fd, EV_WRITE, on_connecting, d);
	if (d->connecting == NULL ||
	    event_add(d->connecting, d->next != NULL && timerisset(&d->share) ? &d->share : NULL) < 0) {
		set_out_of_memory(d);
		if (d->connecting == NULL)
			close(fd);
		drop_socket(d);
		return -1;
	}
	return 0;
}

static void
try_next_or_finish(struct dial *d)
{
	while (d->next != NULL) {
		const struct ares_addrinfo_node *ai = d->next;

		d->next = ai->ai_next;
		if (try_address(d, ai->ai_addr, ai->ai_addrlen) == 0)
			return;
	}
	dial_finish(d);
}

static void
on_resolved(int status, struct ares_addrinfo *found, void *arg)
{
	struct dial *d = arg;
	uint64_t count = 0;

	if (status == ARES_SUCCESS) {
		d->dialer->lookups_ok++;
		d->found = found;
		d->next = found->nodes;
		/* Divides the time among the addresses: a silent address must not use up the time of the others. */
		for (const struct ares_addrinfo_node *ai = d->next; ai != NULL; ai = ai->ai_next)
			count++;
		if (count > 1)
			d->share = timer_interval(d->timeout_us / count);
		try_next_or_finish(d);
		return;
	}
	d->dialer->lookups_failed++;
	if (status == ARES_ENOMEM)
		set_out_of_memory(d);
	else
		fail_with(d, CF_DNS, ares_strerror(status));
	dial_finish(d);
}

static void
on_timer(void *arg)
{
	struct dial *d = arg;

	if (d->state != DIAL_OVER && d->lookup != NULL) {
		d->dialer->lookups_failed++;
		fail_with(d, CF_DNS, "no name server answered in time (connect_timeout)");
	} else if (d->state != DIAL_OVER)
		fail_with(d, CF_TIMEOUT, "timed out (connect_timeout)");
	dial_finish(d);
}

static struct dial *
dial_new(struct dialer *dialer, uint64_t timeout_us, dial_done done, void *arg)
{
	struct dial *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->dialer = dialer;
	d->done = done;
	d->arg = arg;
	d->result.fd = -1;
	d->timeout_us = timeout_us;
	timer_init(&d->timer, dialer->base, NULL, on_timer, d);
	if (timeout_us > 0 && timer_try_start(&d->timer, timeout_us) < 0) {
		dial_free(d);
		return NULL;
	}
	return d;
}

static struct dial *
note_started(struct dial *d)
{
	if (d->state == DIAL_STARTS)
		d->state = DIAL_GOES_ON;
	return d;
}

struct dial *
dial_address(struct dialer *dialer, const struct sockaddr *addr, socklen_t addr_len, uint64_t timeout_us,
	     dial_done done, void *arg)
{
	struct dial *d = dial_new(dialer, timeout_us, done, arg);

	if (d == NULL)
		return NULL;
	snprintf(d->where, sizeof(d->where), "its address");
	if (addr_len > sizeof(d->result.peer) || try_address(d, addr, addr_len) < 0)
		dial_finish(d);
	return note_started(d);
}

void
dialer_get_lookup_counts(const struct dialer *d, uint64_t *ok, uint64_t *failed)
{
	*ok = d->lookups_ok;
	*failed = d->lookups_failed;
}

static int
start_unix(struct dial *d, const char *dir, uint16_t port)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int n = snprintf(un.sun_path, sizeof(un.sun_path), "%s/.s.PGSQL.%u", dir, port);

	snprintf(d->where, sizeof(d->where), "%s/.s.PGSQL.%u", dir, port);
	if (n < 0 || (size_t)n >= sizeof(un.sun_path)) {
		fail_with(d, CF_OTHER, "the socket's path is too long");
		return -1;
	}
	return try_address(d, (struct sockaddr *)&un, sizeof(un));
}

static int
start_inet(struct dial *d, const char *host, uint16_t port)
{
	const struct addrinfo numeric = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	char service[8];
	int result;

	snprintf(d->where, sizeof(d->where), "%s:%u", host, port);
	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(host, service, &numeric, &found) != 0) {
		lookup_start(d->dialer->resolver, host, port, on_resolved, d, &d->lookup);
		return 0;
	}
	result = try_address(d, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return result;
}

struct dial *
dial_start(struct dialer *dialer, const char *host, uint16_t port, uint64_t timeout_us, dial_done done, void *arg)
{
	struct dial *d = dial_new(dialer, timeout_us, done, arg);

	if (d == NULL)
		return NULL;
	if ((host[0] == '/' ? start_unix(d, host, port) : start_inet(d, host, port)) < 0)
		dial_finish(d);
	return note_started(d);
}
