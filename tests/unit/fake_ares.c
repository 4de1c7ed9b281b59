/* tests/unit/fake_ares.c - see fake_ares.h. */
#include "fake_ares.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Of c-ares's headers, 1.34's have const here (Debian 13), 1.18's not (Debian 12). */
#if ARES_VERSION >= 0x012200
#define ARES_CONST const
#else
#define ARES_CONST
#endif

struct ares_channeldata {
	int wake; /* in place of its sockets: it calls back when this one can be read */
	ares_sock_state_cb on_state;
	void *on_state_arg;
};

struct asked_list fake_ares_asked = TAILQ_HEAD_INITIALIZER(fake_ares_asked);
int fake_ares_made, fake_ares_channels;

void
fake_ares_ask(ares_channel channel, ares_addrinfo_callback cb, void *arg)
{
	struct asked *a = calloc(1, sizeof(*a));

	if (a == NULL)
		abort();
	*a = (struct asked){ .channel = channel, .cb = cb, .arg = arg };
	TAILQ_INSERT_TAIL(&fake_ares_asked, a, link);
}

bool
fake_ares_answer(int status)
{
	const uint64_t one = 1;
	struct asked *a;

	TAILQ_FOREACH(a, &fake_ares_asked, link)
		if (!a->is_answered) {
			a->is_answered = true;
			a->status = status;
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

	for (a = TAILQ_FIRST(&fake_ares_asked); a != NULL; a = next) {
		struct asked kept = *a;

		next = TAILQ_NEXT(a, link);
		if (a->channel != channel || (!a->is_answered && !is_end))
			continue;
		TAILQ_REMOVE(&fake_ares_asked, a, link);
		free(a);
		if (!kept.is_answered)
			kept.status = ARES_EDESTRUCTION;
		kept.cb(kept.arg, kept.status, 0, kept.status == ARES_SUCCESS ? fake_ares_found() : NULL);
	}
}

IN_PLACE_OF_LIBRARY void
ares_process_fd(ares_channel channel, ares_socket_t fd, ares_socket_t written)
{
	uint64_t count;

	if (fd == channel->wake)
		(void)!read(fd, &count, sizeof(count));
	call_back_all(channel, false);
}

IN_PLACE_OF_LIBRARY struct timeval *
ares_timeout(ARES_CONST struct ares_channeldata *channel, struct timeval *most, struct timeval *tv)
{
	return most;
}

IN_PLACE_OF_LIBRARY int
ares_init_options(ares_channel *channel, ARES_CONST struct ares_options *options, int mask)
{
	ares_channel made = malloc(sizeof(*made));

	if (made == NULL)
		abort();
	*made =
	    (struct ares_channeldata){ eventfd(0, EFD_NONBLOCK), options->sock_state_cb, options->sock_state_cb_data };
	made->on_state(made->on_state_arg, made->wake, 1, 0);
	*channel = made;
	fake_ares_made++;
	fake_ares_channels++;
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
	fake_ares_channels--;
}
