/* tests/sim/resolver.c - see kernel.h. libevent's functions of these names are not linked then. */
#include "kernel.h"

#include "session_quiet.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define IN_PLACE_OF_LIBRARY __attribute__((visibility("default")))

struct evdns_base {
	struct event_base *loop;
};

struct evdns_getaddrinfo_request {
	evdns_getaddrinfo_cb cb;
	void *arg;
	struct event *event; /* as evdns, it calls back in the next turn of the loop */
	int error;
	bool is_answered; /* a cancel comes too late */
	TAILQ_ENTRY(evdns_getaddrinfo_request) link;
};

static TAILQ_HEAD(, evdns_getaddrinfo_request) asked = TAILQ_HEAD_INITIALIZER(asked);

unsigned
resolver_count(void)
{
	const struct evdns_getaddrinfo_request *r;
	unsigned count = 0;

	TAILQ_FOREACH(r, &asked, link)
		count++;
	return count;
}

/* For evutil_freeaddrinfo(). */
static struct evutil_addrinfo *
address(void)
{
	struct evutil_addrinfo *one, numeric = { .ai_flags = EVUTIL_AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };

	if (evutil_getaddrinfo("192.0.2.1", "5432", &numeric, &one) != 0)
		abort();
	return one;
}

static void
call_back(evutil_socket_t fd, short what, void *arg)
{
	struct evdns_getaddrinfo_request *r = arg, kept = *r;

	(void)fd;
	(void)what;
	TAILQ_REMOVE(&asked, r, link);
	event_free(r->event);
	free(r);
	kept.cb(kept.error, kept.error == 0 ? address() : NULL, kept.arg);
}

static void
conclude(struct evdns_getaddrinfo_request *r, int error)
{
	r->error = error;
	if (!r->is_answered)
		event_active(r->event, EV_TIMEOUT, 0);
	r->is_answered = true;
}

bool
resolver_answer(bool is_failing)
{
	struct evdns_getaddrinfo_request *r;

	TAILQ_FOREACH(r, &asked, link)
		if (!r->is_answered) {
			conclude(r, is_failing ? EVUTIL_EAI_AGAIN : 0);
			return true;
		}
	return false;
}

IN_PLACE_OF_LIBRARY void
evdns_getaddrinfo_cancel(struct evdns_getaddrinfo_request *r)
{
	conclude(r, EVUTIL_EAI_CANCEL);
}

IN_PLACE_OF_LIBRARY struct evdns_getaddrinfo_request *
evdns_getaddrinfo(struct evdns_base *base, const char *host, const char *service, const struct evutil_addrinfo *hints,
		  evdns_getaddrinfo_cb cb, void *arg)
{
	struct evdns_getaddrinfo_request *r;

	(void)host;
	(void)service;
	(void)hints;
	if ((quiet_random() & 7) == 0) { /* as if /etc/hosts had it */
		cb(0, address(), arg);
		return NULL;
	}
	r = calloc(1, sizeof(*r));
	if (r == NULL || (r->event = event_new(base->loop, -1, 0, call_back, r)) == NULL)
		abort();
	r->cb = cb;
	r->arg = arg;
	TAILQ_INSERT_TAIL(&asked, r, link);
	return r;
}

IN_PLACE_OF_LIBRARY struct evdns_base *
evdns_base_new(struct event_base *loop, int flags)
{
	struct evdns_base *base = malloc(sizeof(*base));

	(void)flags;
	if (base == NULL)
		abort();
	base->loop = loop;
	return base;
}

IN_PLACE_OF_LIBRARY void
evdns_base_free(struct evdns_base *base, int fail_requests)
{
	(void)fail_requests;
	free(base);
}

IN_PLACE_OF_LIBRARY void
evdns_base_clear_host_addresses(struct evdns_base *base)
{
	(void)base;
}

IN_PLACE_OF_LIBRARY void
evdns_base_search_clear(struct evdns_base *base)
{
	(void)base;
}

IN_PLACE_OF_LIBRARY int
evdns_base_clear_nameservers_and_suspend(struct evdns_base *base)
{
	(void)base;
	return 0;
}

IN_PLACE_OF_LIBRARY int
evdns_base_set_option(struct evdns_base *base, const char *option, const char *value)
{
	(void)base;
	(void)option;
	(void)value;
	return 0;
}

IN_PLACE_OF_LIBRARY int
evdns_base_resolv_conf_parse(struct evdns_base *base, int flags, const char *path)
{
	(void)base;
	(void)flags;
	(void)path;
	return 0;
}

IN_PLACE_OF_LIBRARY int
evdns_base_resume(struct evdns_base *base)
{
	(void)base;
	return 0;
}
