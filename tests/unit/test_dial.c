/* tests/unit/test_dial.c - net/dial.c, with a resolver of our own in place of c-ares. */
#include "base/clock.h"
#include "net/dial.h"

#include "fake_ares.h"
#include "unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ADDRESSES_MAX 8

/* What a name means at present. */
static struct sockaddr_in meant[ADDRESSES_MAX];
static size_t meant_count;
static time_t file_changed = 1; /* when /etc/resolv.conf was */

static bool is_slow; /* lookups last until answer_all() */

/* Time passes as the test wants, once it is not 0. libevent must find this, too. */
static uint64_t now_us;

__attribute__((visibility("default"))) int
clock_gettime(clockid_t id, struct timespec *t)
{
	if (now_us == 0 || (id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_COARSE))
		return (int)syscall(SYS_clock_gettime, id, t);
	t->tv_sec = (time_t)(now_us / US_PER_S);
	t->tv_nsec = (long)(now_us % US_PER_S) * 1000;
	return 0;
}

int
stat(const char *path, struct stat *st)
{
	if (strcmp(path, "/etc/resolv.conf") != 0)
		return fstatat(AT_FDCWD, path, st, 0);
	memset(st, 0, sizeof(*st));
	st->st_ctim.tv_sec = file_changed;
	return 0;
}

struct ares_addrinfo *
fake_ares_found(void)
{
	struct ares_addrinfo *found = calloc(1, sizeof(*found));
	struct ares_addrinfo_node *nodes = calloc(ADDRESSES_MAX, sizeof(*nodes));

	found->nodes = nodes;
	for (size_t i = 0; i < meant_count; i++) {
		nodes[i].ai_addr = (struct sockaddr *)&meant[i];
		nodes[i].ai_addrlen = sizeof(meant[i]);
		nodes[i].ai_next = i + 1 < meant_count ? &nodes[i + 1] : NULL;
	}
	return found;
}

IN_PLACE_OF_LIBRARY void
ares_freeaddrinfo(struct ares_addrinfo *found)
{
	if (found != NULL)
		free(found->nodes);
	free(found);
}

static void
answer_all(int status)
{
	while (fake_ares_answer(status))
		;
}

IN_PLACE_OF_LIBRARY void
ares_getaddrinfo(ares_channel channel, const char *host, const char *service, const struct ares_addrinfo_hints *hints,
		 ares_addrinfo_callback cb, void *arg)
{
	for (size_t i = 0; i < meant_count; i++) {
		meant[i].sin_family = AF_INET;
		meant[i].sin_port = htons((uint16_t)atoi(service));
	}
	if (is_slow)
		fake_ares_ask(channel, cb, arg);
	else
		cb(arg, ARES_SUCCESS, 0, fake_ares_found());
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
	struct dialer *dialer = dialer_new(base, &tcp, "");
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
	struct dialer *dialer = dialer_new(base, &tcp, "");
	uint16_t port = 0;
	int good = listen_at("127.0.0.3", &port, false);

	means((const char *const[]){ "127.0.0.3" }, 1);
	for (int i = 0; i < 3; i++)
		cr_assert(dial_by(dialer, base, port, 2 * US_PER_S).fd >= 0);
	cr_assert_eq(fake_ares_made, 1);
	file_changed++;
	for (int i = 0; i < 3; i++)
		cr_assert(dial_by(dialer, base, port, 2 * US_PER_S).fd >= 0);
	cr_assert_eq(fake_ares_made, 2);
	close(good);
	dialer_free(dialer);
	event_base_free(base);
}

/* --- lookups that last: every order of what may happen to them --- */

#define STEPS_MOST 4
#define SWITCHES 4
#define TIMEOUT_US (3 * US_PER_S)

struct attempt {
	struct dial *dial;
	struct event *timer; /* the owner's, due when the attempt's own one is */
	int calls, cancels;
	enum connect_failure kind;
};

static void
on_attempted(const struct dial_result *result, void *arg)
{
	struct attempt *a = arg;

	cr_assert_not_null(a->dial, "called back after the cancel, or twice");
	a->calls++;
	a->kind = result->kind;
	a->dial = NULL;
	if (result->fd >= 0)
		close(result->fd);
}

static void
cancel(struct attempt *a)
{
	a->cancels += a->dial != NULL;
	dial_cancel(a->dial);
	a->dial = NULL;
}

static void
on_owners_timer(evutil_socket_t fd, short what, void *arg)
{
	cancel(arg);
}

static void
turn(struct event_base *base)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

enum step { TURN, ANSWER, FAIL, TIME_PASSES, CANCEL, CHANGE, STEPS };

static void
step(enum step step, struct event_base *base, struct dialer *dialer, uint16_t port, struct attempt a[static 2])
{
	switch (step) {
	case TURN:
		turn(base);
		break;
	case ANSWER:
		answer_all(0);
		break;
	case FAIL:
		answer_all(ARES_ESERVFAIL);
		break;
	case TIME_PASSES:
		now_us += TIMEOUT_US + 1;
		break;
	case CANCEL:
		cancel(&a[0]);
		break;
	case CHANGE: /* of a file: another attempt reads it while the first one's lookup is under way */
		file_changed++;
		if (a[1].dial == NULL && a[1].calls == 0)
			a[1].dial = dial_start(dialer, "other.example", port, TIMEOUT_US, on_attempted, &a[1]);
		break;
	default:
		break;
	}
}

/* number: the steps, in base STEPS, and two switches. */
static void
try_order(struct event_base *base, unsigned number, uint16_t port)
{
	const struct timeval limit = { TIMEOUT_US / US_PER_S, 0 };
	struct tcp_options tcp = { 0 };
	struct dialer *dialer = dialer_new(base, &tcp, "");
	struct attempt a[2] = { { 0 }, { 0 } };
	bool is_to_the_end = number & 1, has_timer = number & 2;

	number /= SWITCHES;
	if (has_timer) {
		a[0].timer = event_new(base, -1, 0, on_owners_timer, &a[0]);
		event_add(a[0].timer, &limit);
	}
	a[0].dial = dial_start(dialer, "name.example", port, TIMEOUT_US, on_attempted, &a[0]);
	for (int i = 0; i < STEPS_MOST; i++, number /= STEPS)
		step((enum step)(number % STEPS), base, dialer, port, a);
	if (is_to_the_end) { /* else pgweir stops in the midst of it */
		now_us += TIMEOUT_US + 1;
		for (int i = 0; i < 4; i++)
			turn(base);
		cr_assert_eq(a[0].calls + a[0].cancels, 1);
	}
	cancel(&a[0]);
	cancel(&a[1]);
	if (a[0].timer != NULL)
		event_free(a[0].timer);
	dialer_free(dialer);
	cr_assert(TAILQ_EMPTY(&fake_ares_asked), "the resolver would call back after its end");
	cr_assert_eq(fake_ares_channels, 0);
}

Test(dial, a_lookup_may_end_in_any_order)
{
	struct event_base *base = event_base_new();
	uint16_t port = 0;
	int good = listen_at("127.0.0.3", &port, false);
	unsigned orders = SWITCHES;

	cr_assert_eq(fcntl(good, F_SETFL, O_NONBLOCK), 0);
	means((const char *const[]){ "127.0.0.3" }, 1);
	is_slow = true;
	now_us = 1000 * US_PER_S;
	for (int i = 0; i < STEPS_MOST; i++)
		orders *= STEPS;
	for (unsigned i = 0; i < orders; i++) {
		int fd;

		try_order(base, i, port);
		while ((fd = accept4(good, NULL, NULL, SOCK_NONBLOCK)) >= 0)
			close(fd);
	}
	close(good);
	event_base_free(base);
}

Test(dial, a_silent_name_server_is_told_from_a_silent_host)
{
	struct event_base *base = event_base_new();
	struct tcp_options tcp = { 0 };
	struct dialer *dialer = dialer_new(base, &tcp, "");
	struct attempt a = { 0 };
	uint64_t ok, failed;

	is_slow = true;
	now_us = 1000 * US_PER_S;
	a.dial = dial_start(dialer, "name.example", 1, TIMEOUT_US, on_attempted, &a);
	now_us += TIMEOUT_US + 1;
	turn(base);
	cr_assert_eq(a.calls, 1);
	cr_assert_eq(a.kind, CF_DNS);
	dialer_get_lookup_counts(dialer, &ok, &failed);
	cr_assert(ok == 0 && failed == 1);
	dialer_free(dialer);
	event_base_free(base);
}

Test(dial, lookups_that_are_given_up_do_not_add_up)
{
	struct event_base *base = event_base_new();
	struct tcp_options tcp = { 0 };
	struct dialer *dialer = dialer_new(base, &tcp, "");
	struct attempt waits = { 0 };
	uint16_t port = 0;
	int good = listen_at("127.0.0.3", &port, false);

	means((const char *const[]){ "127.0.0.3" }, 1);
	is_slow = true;
	waits.dial = dial_start(dialer, "name.example", port, 0, on_attempted, &waits);
	for (int i = 0; i < 1000; i++) {
		struct asked *a;
		int count = 0;

		dial_cancel(dial_start(dialer, "name.example", port, 0, on_attempted, NULL));
		turn(base);
		TAILQ_FOREACH(a, &fake_ares_asked, link)
			count++;
		cr_assert(count < 100, "%d", count);
	}
	answer_all(ARES_SUCCESS);
	while (waits.calls == 0)
		turn(base);
	cr_assert_eq(fake_ares_channels, 1);
	close(good);
	dialer_free(dialer);
	event_base_free(base);
}
