/*
 * src/net/dial.c - see dial.h.
 *
 * A single timer limits the whole attempt, and also makes the callback when the result was known within dial_start
 * (numeric addresses resolve at once, a full backlog refuses at once).
 */
#include "net/dial.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define HOSTS "/etc/hosts"
#define SERVERS "/etc/resolv.conf"
#define LOOKUP_TIMEOUT "1" /* seconds, for each question */

/* By which a file that was changed, or replaced, is told from what it was. */
struct file_mark {
	ino_t number;
	struct timespec changed;
};

struct dialer {
	struct event_base *base;
	struct evdns_base *dns; /* made for the first host */
	char *servers_path;
	struct file_mark hosts, servers; /* of /etc/hosts and servers_path, as dns has read them */
	unsigned lookups; /* under way: also those that were given up, until the resolver has called back */
	uint64_t lookups_ok, lookups_failed;
	struct tcp_options tcp;
};

struct dial {
	struct dialer *dialer;
	dial_done done;
	void *arg;
	struct event *timer, *connecting;
	struct evdns_getaddrinfo_request *query;
	struct evutil_addrinfo *found, *next; /* the addresses; next is the first one that was not tried yet */
	uint64_t timeout_us; /* for all of it; 0: none */
	struct timeval share; /* of it, that each address has but for the last; zero: no limit */
	char where[300];
	bool is_starting, is_over;
	bool is_name; /* the host is to be looked up */
	struct dial_result result;
};

struct dialer *
dialer_new(struct event_base *base, const struct tcp_options *tcp, const char *resolv_conf)
{
	struct dialer *d = xcalloc(1, sizeof(*d));

	d->base = base;
	d->tcp = *tcp;
	dialer_set_resolv_conf(d, resolv_conf);
	return d;
}

void
dialer_set_resolv_conf(struct dialer *d, const char *path)
{
	if (path[0] == '\0')
		path = SERVERS;
	if (d->servers_path != NULL && strcmp(d->servers_path, path) == 0)
		return;
	free(d->servers_path);
	d->servers_path = xstrdup(path);
	d->servers = (struct file_mark){ 0 };
}

void
dialer_free(struct dialer *d)
{
	if (d == NULL)
		return;
	/* evdns calls back for a cancelled lookup in a turn of the loop, and looks at d->dns then. */
	for (unsigned turns = d->lookups; turns > 0 && d->lookups > 0; turns--)
		event_base_loop(d->base, EVLOOP_NONBLOCK);
	if (d->dns != NULL)
		evdns_base_free(d->dns, 0);
	free(d->servers_path);
	free(d);
}

static void
dial_free(struct dial *d)
{
	if (d->connecting != NULL)
		event_free(d->connecting);
	if (d->timer != NULL)
		event_free(d->timer);
	if (d->found != NULL)
		evutil_freeaddrinfo(d->found);
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

/* From now on nobody is told. While a lookup is under way, the attempt lives on until on_resolved. */
static void
give_up(struct dial *d)
{
	d->done = NULL;
	event_del(d->timer);
	drop_socket(d);
	if (d->query != NULL)
		evdns_getaddrinfo_cancel(d->query);
	else
		dial_free(d);
}

void
dial_cancel(struct dial *d)
{
	if (d == NULL)
		return;
	if (d->result.fd >= 0)
		close(d->result.fd);
	give_up(d);
}

static void
dial_finish(struct dial *d)
{
	struct dial_result result = d->result;
	dial_done done = d->done;
	void *arg = d->arg;

	d->is_over = true;
	if (d->is_starting) {
		event_active(d->timer, EV_TIMEOUT, 0);
		return;
	}
	give_up(d);
	done(&result, arg);
}

static void
fail_with(struct dial *d, enum connect_failure kind, const char *what)
{
	d->result.fd = -1;
	d->result.kind = kind;
	fail_set(&d->result.why, "08001", "cannot connect to PostgreSQL at %s: %s", d->where, what);
}

static void
fail_without_memory(struct dial *d)
{
	fail_with(d, CF_OTHER, "no memory");
	memcpy(d->result.why.sqlstate, "53200", sizeof("53200"));
}

static enum connect_failure
kind_of_errno(int e)
{
	if (e == ECONNREFUSED || e == ENOENT || e == ECONNRESET)
		return CF_REFUSED;
	return e == ETIMEDOUT ? CF_TIMEOUT : CF_OTHER;
}

static void try_next(struct dial *d);

static void
connected(struct dial *d, int fd)
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
		try_next(d);
		return;
	}
	event_free(d->connecting);
	d->connecting = NULL;
	connected(d, fd);
}

/* Returns 0 if the attempt is under way or done, or -1 if this address failed; d's result has the reason. */
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
		connected(d, fd);
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
		fail_without_memory(d);
		if (d->connecting == NULL)
			close(fd);
		drop_socket(d);
		return -1;
	}
	return 0;
}

static void
try_next(struct dial *d)
{
	while (d->next != NULL) {
		struct evutil_addrinfo *ai = d->next;

		d->next = ai->ai_next;
		if (try_address(d, ai->ai_addr, (socklen_t)ai->ai_addrlen) == 0)
			return;
	}
	dial_finish(d);
}

/* Divides the time among the addresses: a silent one must not use up that of the others. */
static void
share_time(struct dial *d)
{
	uint64_t count = 0;

	for (const struct evutil_addrinfo *ai = d->found; ai != NULL; ai = ai->ai_next)
		count++;
	if (count > 1) {
		d->share.tv_sec = (time_t)(d->timeout_us / count / US_PER_S);
		d->share.tv_usec = (suseconds_t)(d->timeout_us / count % US_PER_S);
	}
}

static void
on_resolved(int error, struct evutil_addrinfo *found, void *arg)
{
	struct dial *d = arg;

	d->dialer->lookups -= d->query != NULL;
	d->query = NULL;
	if (d->done == NULL) { /* given up */
		if (found != NULL)
			evutil_freeaddrinfo(found);
		dial_free(d);
		return;
	}
	if (error != 0)
		d->dialer->lookups_failed += d->is_name;
	else
		d->dialer->lookups_ok += d->is_name;
	if (error == EVUTIL_EAI_MEMORY)
		fail_without_memory(d);
	else if (error != 0)
		fail_with(d, CF_DNS, evutil_gai_strerror(error));
	if (error != 0) {
		dial_finish(d);
		return;
	}
	d->found = d->next = found;
	share_time(d);
	try_next(d);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;

	(void)fd;
	(void)what;
	if (!d->is_over && d->query != NULL) {
		d->dialer->lookups_failed++;
		fail_with(d, CF_DNS, "no name server has answered in time (connect_timeout)");
	} else if (!d->is_over)
		fail_with(d, CF_TIMEOUT, "timed out (connect_timeout)");
	dial_finish(d);
}

static struct dial *
dial_new(struct dialer *dialer, uint64_t timeout_us, dial_done done, void *arg)
{
	struct timeval tv = { (time_t)(timeout_us / US_PER_S), (suseconds_t)(timeout_us % US_PER_S) };
	struct dial *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->dialer = dialer;
	d->done = done;
	d->arg = arg;
	d->result.fd = -1;
	d->timeout_us = timeout_us;
	d->timer = event_new(dialer->base, -1, 0, on_timer, d);
	if (d->timer == NULL || event_add(d->timer, timeout_us > 0 ? &tv : NULL) < 0) {
		dial_free(d);
		return NULL;
	}
	d->is_starting = true;
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
	d->is_starting = false;
	return d;
}

void
dialer_count_lookups(const struct dialer *d, uint64_t *ok, uint64_t *failed)
{
	*ok = d->lookups_ok;
	*failed = d->lookups_failed;
}

static bool
is_address(const char *host)
{
	struct in6_addr address;

	return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
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

/* Returns true if it has changed since *mark, which is renewed. */
static bool
has_changed(const char *path, struct file_mark *mark)
{
	struct file_mark now = { 0 };
	struct stat st;
	bool is_same;

	if (stat(path, &st) == 0)
		now = (struct file_mark){ st.st_ino, st.st_ctim };
	is_same = now.number == mark->number && now.changed.tv_sec == mark->changed.tv_sec &&
		  now.changed.tv_nsec == mark->changed.tv_nsec;
	*mark = now;
	return !is_same;
}

/*
 * evdns by itself reads the files once, and waits 5 s for a name server before it asks the next one: longer than an
 * attempt lasts. Lookups under way go on with what is read anew.
 */
static void
refresh_resolver(struct dialer *d)
{
	bool has_hosts = has_changed(HOSTS, &d->hosts), has_servers = has_changed(d->servers_path, &d->servers);

	if (d->dns != NULL && !has_hosts && !has_servers)
		return;
	if (d->dns == NULL && (d->dns = evdns_base_new(d->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE)) == NULL)
		return;
	evdns_base_clear_host_addresses(d->dns);
	evdns_base_search_clear(d->dns);
	evdns_base_clear_nameservers_and_suspend(d->dns);
	evdns_base_set_option(d->dns, "timeout", LOOKUP_TIMEOUT);
	evdns_base_resolv_conf_parse(d->dns, DNS_OPTIONS_ALL,
				     d->servers_path); /* HOSTS, too; it may have another timeout */
	evdns_base_resume(d->dns);
}

static int
start_inet(struct dial *d, const char *host, uint16_t port)
{
	struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC,
					 .ai_socktype = SOCK_STREAM,
					 .ai_protocol = IPPROTO_TCP };
	struct evdns_getaddrinfo_request *query;
	char service[8];

	snprintf(d->where, sizeof(d->where), "%s:%u", host, port);
	snprintf(service, sizeof(service), "%u", port);
	d->is_name = !is_address(host);
	if (d->is_name || d->dialer->dns == NULL)
		refresh_resolver(d->dialer);
	if (d->dialer->dns == NULL) {
		fail_with(d, CF_DNS, "no resolver");
		return -1;
	}
	query = evdns_getaddrinfo(d->dialer->dns, host, service, &hints, on_resolved, d);
	if (query != NULL) { /* else it has called back already */
		d->query = query;
		d->dialer->lookups++;
	}
	return 0;
}

struct dial *
dial_start(struct dialer *dialer, const char *host, uint16_t port, uint64_t timeout_us, dial_done done, void *arg)
{
	struct dial *d = dial_new(dialer, timeout_us, done, arg);

	if (d == NULL)
		return NULL;
	if ((host[0] == '/' ? start_unix(d, host, port) : start_inet(d, host, port)) < 0)
		dial_finish(d);
	d->is_starting = false;
	return d;
}
