/*
 * tests/bench/bench_hop.c - a hop of a network on one machine: what comes in on one port goes out to another, each
 * direction later by a given time. Order is kept, and nothing is limited: however much is under way, all of it is as
 * late as that.
 *
 *   make tests/bench/bench_hop && tests/bench/bench_hop MICROSECONDS PORT=TARGET [PORT=TARGET ...]
 *
 * All ports are of 127.0.0.1. tests/bench/hops.py starts it; end it by a signal.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { READ_MAX = 1 << 16, EVENTS_MAX = 256 };

/* What one read brought; len 0: the end of the stream. */
struct chunk {
	STAILQ_ENTRY(chunk) by_time, by_order;
	struct end *to;
	uint64_t due_ns;
	size_t len, sent;
	char bytes[];
};

/* One of the two sockets of a connection, or one that listens (target is not 0). */
struct end {
	int fd;
	uint16_t target;
	struct end *peer; /* NULL: it listens */
	STAILQ_HEAD(, chunk) queue; /* to be written to fd, in order */
	size_t due; /* so many of its first are late enough */
	bool is_full, is_read_out, is_left, is_dead;
};

struct hop {
	int epoll, timer;
	uint64_t delay_ns;
	STAILQ_HEAD(, chunk) waiting; /* all are as late, so the order of coming is that of going */
};

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct sockaddr_in
address(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void
watch(struct hop *h, struct end *e, int how)
{
	struct epoll_event ev = { .events = (e->is_read_out ? 0 : EPOLLIN) | (e->is_full ? EPOLLOUT : 0),
				  .data.ptr = e };

	if (epoll_ctl(h->epoll, how, e->fd, &ev) < 0)
		die("epoll_ctl");
}

static struct end *
end_new(struct hop *h, int fd, uint16_t target)
{
	struct end *e = calloc(1, sizeof(*e));

	if (e == NULL)
		die("calloc");
	e->fd = fd;
	e->target = target;
	STAILQ_INIT(&e->queue);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	watch(h, e, EPOLL_CTL_ADD);
	return e;
}

static void
listen_at(struct hop *h, uint16_t port, uint16_t target)
{
	struct sockaddr_in at = address(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 1024) < 0)
		die("listen");
	end_new(h, fd, target);
}

static void
take_in(struct hop *h, struct end *listener)
{
	struct sockaddr_in to = address(listener->target);
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC), out;
	struct end *e;

	if (fd < 0)
		return;
	out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (out < 0 || connect(out, (struct sockaddr *)&to, sizeof(to)) < 0) {
		close(out);
		close(fd);
		return;
	}
	e = end_new(h, fd, 0);
	e->peer = end_new(h, out, 0);
	e->peer->peer = e;
}

/* Both sockets are closed at once; their memory stays, as chunks still name them. */
static void
drop(struct end *e)
{
	if (e->is_dead)
		return;
	e->is_dead = e->peer->is_dead = true;
	close(e->fd);
	close(e->peer->fd);
}

/* Writes what is due. */
static void
write_out(struct hop *h, struct end *e)
{
	bool was_full = e->is_full;

	e->is_full = false;
	while (e->due > 0) {
		struct chunk *c = STAILQ_FIRST(&e->queue);
		ssize_t n = 0;

		if (c->len == 0)
			shutdown(e->fd, SHUT_WR);
		else if (!e->is_dead)
			n = send(e->fd, c->bytes + c->sent, c->len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			e->is_full = true;
			break;
		}
		if (n < 0)
			drop(e);
		else if (!e->is_dead && (c->sent += (size_t)n) < c->len)
			continue;
		STAILQ_REMOVE_HEAD(&e->queue, by_order);
		e->due--;
		if (c->len == 0 && e->is_read_out) /* both directions have ended */
			drop(e);
		free(c);
	}
	if (e->is_full != was_full && !e->is_left && !e->is_dead)
		watch(h, e, EPOLL_CTL_MOD);
}

static void
set_timer(struct hop *h)
{
	const struct chunk *c = STAILQ_FIRST(&h->waiting);
	uint64_t due = c == NULL ? 0 : c->due_ns;
	struct itimerspec at = { .it_value = { .tv_sec = (time_t)(due / 1000000000u),
					       .tv_nsec = (long)(due % 1000000000u) } };

	timerfd_settime(h->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void
let_go(struct hop *h)
{
	uint64_t now = now_ns();
	struct chunk *c;

	while ((c = STAILQ_FIRST(&h->waiting)) != NULL && c->due_ns <= now) {
		STAILQ_REMOVE_HEAD(&h->waiting, by_time);
		c->to->due++;
		if (!c->to->is_full)
			write_out(h, c->to);
	}
	set_timer(h);
}

static void
read_in(struct hop *h, struct end *e)
{
	static char bytes[READ_MAX];
	ssize_t n = recv(e->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	struct chunk *c;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0) {
		drop(e);
		return;
	}
	if ((c = malloc(sizeof(*c) + (size_t)n)) == NULL)
		die("malloc");
	*c = (struct chunk){ .to = e->peer, .due_ns = now_ns() + h->delay_ns, .len = (size_t)n };
	memcpy(c->bytes, bytes, (size_t)n);
	STAILQ_INSERT_TAIL(&e->peer->queue, c, by_order);
	if (n == 0) {
		e->is_read_out = true;
		watch(h, e, EPOLL_CTL_MOD);
	}
	STAILQ_INSERT_TAIL(&h->waiting, c, by_time);
	if (h->delay_ns == 0)
		let_go(h);
	else if (STAILQ_FIRST(&h->waiting) == c)
		set_timer(h);
}

/* It has ended in both directions: there is no more to see, and what is still on its way to it fails, if it has to. */
static void
leave(struct hop *h, struct end *e)
{
	epoll_ctl(h->epoll, EPOLL_CTL_DEL, e->fd, NULL);
	e->is_left = true;
	e->is_full = false;
}

static void
run(struct hop *h)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(h->epoll, events, EVENTS_MAX, -1);

	for (int i = 0; i < count; i++) {
		struct end *e = events[i].data.ptr;
		uint64_t times;

		if (e == NULL) {
			if (read(h->timer, &times, sizeof(times)) > 0)
				let_go(h);
		} else if (e->target != 0)
			take_in(h, e);
		else {
			if (!e->is_dead && (events[i].events & EPOLLOUT) != 0)
				write_out(h, e);
			if (!e->is_dead && !e->is_read_out && (events[i].events & ~(uint32_t)EPOLLOUT) != 0)
				read_in(h, e);
			else if (!e->is_dead && (events[i].events & (EPOLLHUP | EPOLLERR)) != 0)
				leave(h, e);
		}
	}
}

int
main(int argc, char **argv)
{
	struct hop h = { .epoll = epoll_create1(0), .timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK) };
	struct epoll_event ev = { .events = EPOLLIN };
	unsigned port, target;

	if (argc < 3) {
		fprintf(stderr, "usage: %s MICROSECONDS PORT=TARGET [PORT=TARGET ...]\n", argv[0]);
		return 2;
	}
	STAILQ_INIT(&h.waiting);
	h.delay_ns = strtoull(argv[1], NULL, 10) * 1000;
	if (h.epoll < 0 || h.timer < 0 || epoll_ctl(h.epoll, EPOLL_CTL_ADD, h.timer, &ev) < 0)
		die("epoll");
	for (int i = 2; i < argc; i++) {
		if (sscanf(argv[i], "%u=%u", &port, &target) != 2 || port > UINT16_MAX || target > UINT16_MAX)
			die(argv[i]);
		listen_at(&h, (uint16_t)port, (uint16_t)target);
	}
	for (;;)
		run(&h);
}
