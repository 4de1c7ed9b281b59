/* tests/sim/test_kernel.c - the simulation's kernel with several loops: who is told of what, and when. */
#include "kernel.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define must(condition)                                                                                                \
	do                                                                                                             \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                \
			exit(1);                                                                                       \
		}                                                                                                      \
	while (0)

bool
resolver_answer(bool is_failing)
{
	(void)is_failing;
	return false;
}

static int
change(int loop, int op, int fd)
{
	return epoll_ctl(loop, op, fd, &(struct epoll_event){ .events = EPOLLIN, .data.u64 = (uint64_t)fd });
}

/* The descriptors that this loop is told of, as a sum. */
static uint64_t
told(int loop)
{
	struct epoll_event events[8];
	int n = epoll_wait(loop, events, 8, 0);
	uint64_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += events[i].data.u64;
	return sum;
}

/* What came before it was hooked to its loop, and while it was in none, is seen as well. */
static void
test_a_socket_crosses(int one, int other)
{
	int pair[2];
	char byte;

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	must(send(pair[1], "a", 1, 0) == 1);
	must(change(one, EPOLL_CTL_ADD, pair[0]) == 0);
	must(told(one) == (uint64_t)pair[0] && told(other) == 0);
	must(recv(pair[0], &byte, 1, 0) == 1 && told(one) == 0);
	must(change(one, EPOLL_CTL_DEL, pair[0]) == 0);
	must(send(pair[1], "b", 1, 0) == 1);
	must(told(one) == 0 && told(other) == 0);
	must(change(other, EPOLL_CTL_ADD, pair[0]) == 0);
	must(told(one) == 0 && told(other) == (uint64_t)pair[0]);
	close(pair[0]);
	close(pair[1]);
	must(told(one) == 0 && told(other) == 0);
}

static void
test_only_its_own_loop_changes_it(int one, int other)
{
	int pair[2], status;
	pid_t child;

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	must(change(one, EPOLL_CTL_ADD, pair[0]) == 0);
	child = fork();
	if (child == 0) {
		must(freopen("/dev/null", "w", stderr) != NULL);
		change(other, EPOLL_CTL_ADD, pair[0]);
		exit(0);
	}
	must(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	close(pair[0]);
	close(pair[1]);
}

static void
test_a_wake_may_be_late(int one, int other)
{
	const uint64_t once = 1;
	uint64_t count = 0;
	int fd = eventfd(0, EFD_NONBLOCK);

	must(change(one, EPOLL_CTL_ADD, fd) == 0);
	must(read(fd, &count, sizeof(count)) < 0);
	must(write(fd, &once, sizeof(once)) == sizeof(once));
	must(told(one) == (uint64_t)fd && told(other) == 0);
	must(read(fd, &count, sizeof(count)) == sizeof(count) && count == 1 && told(one) == 0);

	kernel_set_weather(&(struct kernel_weather){ .late = 256 });
	must(write(fd, &once, sizeof(once)) == sizeof(once));
	must(write(fd, &once, sizeof(once)) == sizeof(once));
	must(told(one) == 0 && read(fd, &count, sizeof(count)) < 0);
	must(kernel_arrive(true) && told(one) == (uint64_t)fd && !kernel_arrive(true));
	must(read(fd, &count, sizeof(count)) == sizeof(count) && count == 2);
	kernel_set_weather(&(struct kernel_weather){ 0 });
	close(fd);
}

int
main(void)
{
	int one = epoll_create1(0), other = epoll_create1(0);

	for (uint64_t seed = 1; seed < 50; seed++) {
		kernel_reset(seed);
		test_a_socket_crosses(one, other);
		test_a_wake_may_be_late(one, other);
	}
	test_only_its_own_loop_changes_it(one, other);
	close(one);
	close(other);
	must(kernel_open_count() == 0);
	return 0;
}
