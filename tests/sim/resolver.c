/* tests/sim/resolver.c - see kernel.h. */
#include "fake_ares.h"
#include "kernel.h"

#include "session_quiet.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

unsigned
resolver_count(void)
{
	const struct asked *a;
	unsigned count = 0;

	TAILQ_FOREACH(a, &fake_ares_asked, link)
		count++;
	return count;
}

struct ares_addrinfo *
fake_ares_found(void)
{
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
	return &all->info;
}

IN_PLACE_OF_LIBRARY void
ares_freeaddrinfo(struct ares_addrinfo *found)
{
	free(found);
}

bool
resolver_answer(bool is_failing)
{
	return fake_ares_answer(is_failing ? ARES_ETIMEOUT : ARES_SUCCESS);
}

IN_PLACE_OF_LIBRARY void
ares_getaddrinfo(ares_channel channel, const char *host, const char *service, const struct ares_addrinfo_hints *hints,
		 ares_addrinfo_callback cb, void *arg)
{
	(void)host;
	(void)service;
	(void)hints;
	if ((quiet_random() & 7) == 0) /* as if /etc/hosts had it */
		cb(arg, ARES_SUCCESS, 0, fake_ares_found());
	else
		fake_ares_ask(channel, cb, arg);
}
