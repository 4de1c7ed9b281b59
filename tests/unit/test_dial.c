/* tests/unit/test_dial.c - net/dial.c, with a resolver of our own in place of libevent's. */
#include "base/clock.h"
#include "net/dial.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <event2/dns.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ADDRESSES_MAX 8

/* What a name means at present. */
static struct sockaddr_in meant[ADDRESSES_MAX];
static size_t meant_count;
static time_t hosts_changed = 1; /* when /etc/hosts was */
static int times_read;

int
stat(const char *path, struct stat *st)
{
	if (strcmp(path, "/etc/hosts") != 0)
		return fstatat(AT_FDCWD, path, st, 0);
	memset(st, 0, sizeof(*st));
	st->st_ctim.tv_sec = hosts_changed;
	return 0;
}

void
evdns_base_clear_host_addresses(struct evdns_base *base)
{
	(void)base;
}

void
evdns_base_search_clear(struct evdns_base *base)
{
	(void)base;
}

int
evdns_base_clear_nameservers_and_suspend(struct evdns_base *base)
{
	(void)base;
	return 0;
}

int
evdns_base_resolv_conf_parse(struct evdns_base *base, int flags, const char *path)
{
	(void)base;
	(void)flags;
	(void)path;
	times_read++;
	return 0;
}

int
evdns_base_resume(struct evdns_base *base)
{
	(void)base;
	return 0;
}

struct evdns_base *
evdns_base_new(struct event_base *base, int flags)
{
	(void)flags;
	return (struct evdns_base *)base;
}

void
evdns_base_free(struct evdns_base *base, int fail_requests)
{
	(void)base;
	(void)fail_requests;
}

int
evdns_base_set_option(struct evdns_base *base, const char *option, const char *value)
{
	(void)base;
	(void)option;
	(void)value;
	return 0;
}

void
evdns_getaddrinfo_cancel(struct evdns_getaddrinfo_request *request)
{
	(void)request;
}

struct evdns_getaddrinfo_request *
evdns_getaddrinfo(struct evdns_base *base, const char *host, const char *service, const struct evutil_addrinfo *hints,
		  evdns_getaddrinfo_cb cb, void *arg)
{
	struct evutil_addrinfo *list = NULL,
			       numeric = { .ai_flags = EVUTIL_AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };

	(void)base;
	(void)host;
	(void)hints;
	/* From the last to the first, as each goes in front. */
	for (size_t i = meant_count; i-- > 0;) {
		struct evutil_addrinfo *one;
		char text[INET_ADDRSTRLEN];

		inet_ntop(AF_INET, &meant[i].sin_addr, text, sizeof(text));
		cr_assert_eq(evutil_getaddrinfo(text, service, &numeric, &one), 0);
		one->ai_next = list;
		list = one;
	}
	cb(0, list, arg);
	return NULL;
}

struct outcome {
	struct event_base *base;
	int fd;
	enum connect_failure kind;
	char peer[INET_ADDRSTRLEN];
	bool is_over;
};

static void
on_dialled(const struct dial_result *result, void *arg)
{
	struct outcome *o = arg;

	o->fd = result->fd;
	o->kind = result->kind;
	o->is_over = true;
	inet_ntop(AF_INET, &((const struct sockaddr_in *)&result->peer)->sin_addr, o->peer, sizeof(o->peer));
	event_base_loopbreak(o->base);
}

/* Listens there and does not accept; a silent one has no room for anybody. Returns the descriptor. */
static int
listen_at(const char *address, uint16_t *port, bool is_silent)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(*port) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, address, &at.sin_addr);
	cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	cr_assert_eq(listen(fd, is_silent ? 0 : 8), 0);
	getsockname(fd, (struct sockaddr *)&at, &len);
	*port = ntohs(at.sin_port);
	for (int i = 0; is_silent && i < 4; i++) { /* they stay until the test ends */
		int filler = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

		(void)!connect(filler, (struct sockaddr *)&at, sizeof(at));
	}
	return fd;
}

static void
means(const char *const *addresses, size_t count)
{
	meant_count = count;
	for (size_t i = 0; i < count; i++)
		inet_pton(AF_INET, addresses[i], &meant[i].sin_addr);
}

static struct outcome
dial_by(struct dialer *dialer, struct event_base *base, uint16_t port, uint64_t timeout_us)
{
	struct outcome o = { .base = base, .fd = -1 };

	cr_assert_not_null(dial_start(dialer, "name.example", port, timeout_us, on_dialled, &o));
	while (!o.is_over)
		event_base_loop(o.base, EVLOOP_ONCE);
	if (o.fd >= 0)
		close(o.fd);
	return o;
}

static struct outcome
dial(uint16_t port, uint64_t timeout_us)
{
	struct event_base *base = event_base_new();
	struct tcp_options tcp = { 0 };
	struct dialer *dialer = dialer_new(base, &tcp);
	struct outcome o = dial_by(dialer, base, port, timeout_us);

	dialer_free(dialer);
	event_base_free(base);
	return o;
}

Test(dial, an_address_that_is_silent_leaves_time_for_the_others)
{
	uint16_t port = 0;
	int silent = listen_at("127.0.0.2", &port, true), good = listen_at("127.0.0.3", &port, false);
	struct outcome o;

	means((const char *const[]){ "127.0.0.2", "127.0.0.3" }, 2);
	o = dial(port, 2 * US_PER_S);
	cr_assert(o.fd >= 0);
	cr_assert_str_eq(o.peer, "127.0.0.3");
	close(silent);
	close(good);
}

Test(dial, an_address_that_refuses_is_passed_over)
{
	uint16_t port = 0;
	int good = listen_at("127.0.0.3", &port, false);

	means((const char *const[]){ "127.0.0.2", "127.0.0.4", "127.0.0.3" }, 3);
	cr_assert(dial(port, 2 * US_PER_S).fd >= 0);
	close(good);
	cr_assert_eq(dial(port, 2 * US_PER_S).kind, CF_REFUSED);
}

Test(dial, all_silent_is_a_timeout)
{
	uint16_t port = 0;
	int one = listen_at("127.0.0.2", &port, true), other = listen_at("127.0.0.3", &port, true);
	struct outcome o;

	means((const char *const[]){ "127.0.0.2", "127.0.0.3" }, 2);
	o = dial(port, 300 * US_PER_MS);
	cr_assert(o.fd < 0);
	cr_assert_eq(o.kind, CF_TIMEOUT);
	close(one);
	close(other);
}

Test(dial, a_changed_file_is_read_again)
{
	struct event_base *base = event_base_new();
	struct tcp_options tcp = { 0 };
	struct dialer *dialer = dialer_new(base, &tcp);
	uint16_t port = 0;
	int good = listen_at("127.0.0.3", &port, false);

	means((const char *const[]){ "127.0.0.3" }, 1);
	for (int i = 0; i < 3; i++)
		cr_assert(dial_by(dialer, base, port, 2 * US_PER_S).fd >= 0);
	cr_assert_eq(times_read, 1);
	hosts_changed++;
	for (int i = 0; i < 3; i++)
		cr_assert(dial_by(dialer, base, port, 2 * US_PER_S).fd >= 0);
	cr_assert_eq(times_read, 2);
	close(good);
	dialer_free(dialer);
	event_base_free(base);
}
