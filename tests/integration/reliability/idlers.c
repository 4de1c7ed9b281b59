/*
 * tests/integration/reliability/idlers.c - very many idle clients, for tests and figures.
 *
 *   idlers HOST PORT COUNT SOURCE     logs in as user web to database app, without a password
 *
 * Opens COUNT connections from the address SOURCE and those behind it, some at a time, and holds them. One that is lost
 * is opened again, as clients do after a restart. Writes a line when all are there ("all 10000 0.812": seconds since
 * the start, or since the first loss) and one when that is over ("lost"). Ends with its standard input.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE 200
#define FROM_ONE 1000 /* connections from each address */
#define RETRY_MS 20

struct idler {
	int fd;
	bool has_asked, is_ready;
};

static struct idler *idlers;
static int count, ready, opening, next, queue;
static struct sockaddr_in to, from;
static bool is_refused; /* wait a moment before the next attempt */

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
start(int i)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT, .data.u32 = (uint32_t)i };
	struct sockaddr_in here = from;
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		perror("socket");
		exit(1);
	}
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	/* Few to an address: the kernel searches long for a free port among many. */
	here.sin_addr.s_addr = htonl(ntohl(from.sin_addr.s_addr) + (uint32_t)i / FROM_ONE);
	if (bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0 ||
	    (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)) {
		close(fd);
		is_refused = true;
		return;
	}
	idlers[i] = (struct idler){ .fd = fd };
	opening++;
	epoll_ctl(queue, EPOLL_CTL_ADD, fd, &ev);
}

static void
start_some(void)
{
	for (int looked = 0; opening < AT_ONCE && ready + opening < count && !is_refused && looked < count; looked++) {
		if (idlers[next].fd < 0)
			start(next);
		next = (next + 1) % count;
	}
}

static void
lose(struct idler *d)
{
	close(d->fd);
	d->fd = -1;
	if (d->is_ready)
		ready--;
	else {
		opening--;
		is_refused = true;
	}
}

static void
ask(struct idler *d, int i)
{
	static const char packet[] = "\0\0\0\x22\0\x03\0\0user\0web\0database\0app\0\0";
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = (uint32_t)i };
	uint8_t bytes[64];

	memcpy(bytes, packet, sizeof(packet) - 1);
	bytes[3] = sizeof(packet) - 1;
	d->has_asked = true;
	epoll_ctl(queue, EPOLL_CTL_MOD, d->fd, &ev);
	if (send(d->fd, bytes, sizeof(packet) - 1, MSG_NOSIGNAL) < 0)
		return; /* the next read tells */
}

static void
on_event(int i, uint32_t events)
{
	struct idler *d = &idlers[i];
	char bytes[4096];
	ssize_t n;

	if (!d->has_asked && (events & EPOLLOUT) != 0 && (events & (EPOLLERR | EPOLLHUP)) == 0) {
		ask(d, i);
		return;
	}
	n = read(d->fd, bytes, sizeof(bytes));
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || bytes[0] == 'E') {
		lose(d);
		return;
	}
	if (!d->is_ready && n >= 6 && memcmp(bytes + n - 6, "Z\0\0\0\5I", 6) == 0) {
		d->is_ready = true;
		opening--;
		ready++;
	}
}

int
main(int argc, char **argv)
{
	struct rlimit files;
	double since = now();
	bool was_full = false;

	if (argc != 5)
		return 2;
	to.sin_family = from.sin_family = AF_INET;
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 || inet_pton(AF_INET, argv[4], &from.sin_addr) != 1)
		return 2;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	count = atoi(argv[3]);
	idlers = calloc((size_t)count, sizeof(*idlers));
	for (int i = 0; i < count; i++)
		idlers[i].fd = -1;
	queue = epoll_create1(0);
	for (;;) {
		struct pollfd in = { .fd = 0, .events = POLLIN };
		struct epoll_event events[256];
		int n;

		start_some();
		n = epoll_wait(queue, events, 256, is_refused ? RETRY_MS : 200);
		if (n == 0 || !is_refused)
			is_refused = false;
		for (int i = 0; i < n; i++)
			on_event((int)events[i].data.u32, events[i].events);
		if (ready == count && !was_full) {
			printf("all %d %.3f\n", count, now() - since);
			fflush(stdout);
		}
		if (ready < count && was_full) {
			since = now();
			printf("lost\n");
			fflush(stdout);
		}
		was_full = ready == count;
		if (poll(&in, 1, 0) > 0)
			return 0;
	}
}
