/* tests/sim/resolver.c - see kernel.h. c-ares's functions of these names are not linked then. */
#include "kernel.h"

#include "session_quiet.h"

#include <ares.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_PLACE_OF_LIBRARY __attribute__((visibility("default")))

struct ares_channeldata {
	int wake; /* in place of its sockets: it calls back when this one can be read */
	ares_sock_state_cb on_state;
	void *on_state_arg;
};

struct asked {
	ares_channel channel;
	ares_addrinfo_callback cb;
	void *arg;
	int status;
	bool is_answered;
	TAILQ_ENTRY(asked) link;
};

static TAILQ_HEAD(, asked) all_asked = TAILQ_HEAD_INITIALIZER(all_asked);

unsigned
resolver_count(void)
{
	const struct asked *a;
	unsigned count = 0;

	TAILQ_FOREACH(a, &all_asked, link)
		count++;
	return count;
}

static void
call_back(ares_addrinfo_callback cb, void *arg, int status)
{
	struct ares_addrinfo *found = NULL;

	if (status == ARES_SUCCESS) {
		struct {
			struct ares_addrinfo info;
			struct ares_addrinfo_node node;
			struct sockaddr_in address;
		} *all = calloc(1, sizeof(*all));

		if (all == NULL)
			abort();
		all->address = (struct sockaddr_in){ .sin_family = AF_INET,
						     .sin_port = htons(5432),
						     .sin_addr.s_addr = inet_addr("192.0.2.1") };
		all->node.ai_addr = (struct sockaddr *)&all->address;
		all->node.ai_addrlen = sizeof(all->address);
		all->info.nodes = &all->node;
		found = &all->info;
	}
	cb(arg, status, 0, found);
}

IN_PLACE_OF_LIBRARY void
ares_freeaddrinfo(struct ares_addrinfo *found)
{
	free(found);
}

bool
resolver_answer(bool is_failing)
{
	const uint64_t one = 1;
	struct asked *a;

	TAILQ_FOREACH(a, &all_asked, link)
		if (!a->is_answered) {
			a->is_answered = true;
			a->status = is_failing ? ARES_ETIMEOUT : ARES_SUCCESS;
			if (write(a->channel->wake, &one, sizeof(one)) < 0)
				abort();
			return true;
		}
	return false;
}

/* Calls back for those that were answered, or for all. */
static void
call_back_all(ares_channel channel, bool is_end)
{
	struct asked *a, *next;

	for (a = TAILQ_FIRST(&all_asked); a != NULL; a = next) {
		struct asked kept = *a;

		next = TAILQ_NEXT(a, link);
		if (a->channel != channel || (!a->is_answered && !is_end))
			continue;
		TAILQ_REMOVE(&all_asked, a, link);
		free(a);
		call_back(kept.cb, kept.arg, kept.is_answered ? kept.status : ARES_EDESTRUCTION);
	}
}

IN_PLACE_OF_LIBRARY void
ares_process_fd(ares_channel channel, ares_socket_t fd, ares_socket_t written)
{
	uint64_t count;

	(void)written;
	if (fd == channel->wake)
		(void)!read(fd, &count, sizeof(count));
	call_back_all(channel, false);
}

IN_PLACE_OF_LIBRARY struct timeval *
ares_timeout(ares_channel channel, struct timeval *most, struct timeval *tv)
{
	(void)channel;
	(void)tv;
	return most;
}

IN_PLACE_OF_LIBRARY void
ares_getaddrinfo(ares_channel channel, const char *host, const char *service, const struct ares_addrinfo_hints *hints,
		 ares_addrinfo_callback cb, void *arg)
{
	struct asked *a;

	(void)host;
	(void)service;
	(void)hints;
	if ((quiet_random() & 7) == 0) { /* as if /etc/hosts had it */
		call_back(cb, arg, ARES_SUCCESS);
		return;
	}
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		abort();
	*a = (struct asked){ .channel = channel, .cb = cb, .arg = arg };
	TAILQ_INSERT_TAIL(&all_asked, a, link);
}

IN_PLACE_OF_LIBRARY int
ares_init_options(ares_channel *channel, struct ares_options *options, int mask)
{
	ares_channel made = malloc(sizeof(*made));

	(void)mask;
	if (made == NULL)
		abort();
	made->wake = eventfd(0, EFD_NONBLOCK);
	made->on_state = options->sock_state_cb;
	made->on_state_arg = options->sock_state_cb_data;
	made->on_state(made->on_state_arg, made->wake, 1, 0);
	*channel = made;
	return ARES_SUCCESS;
}

IN_PLACE_OF_LIBRARY void
ares_destroy(ares_channel channel)
{
	if (channel == NULL)
		return;
	call_back_all(channel, true);
	channel->on_state(channel->on_state_arg, channel->wake, 0, 0);
	close(channel->wake);
	free(channel);
}
