/* src/client/client_memory.c - clients while memory is short (max_memory): a client whose unfinished message is already
 * large is not read, and finally the client that takes up most memory is closed. */
#include "client/client.h"
#include "client/clients.h"

#define LARGE_INPUT ((size_t)16 << 10) /* a message is large if more than this many of its bytes wait to be handled */
#define RELIEF_MIN ((size_t)32 << 10)

void
client_stop_if_large(struct client *c)
{
	if (c->x.is_closing || c->x.pending_len <= LARGE_INPUT)
		return;
	c->is_read_paused = true;
	stream_set_reading(&c->x.stream, false);
}

void
clients_read_again(struct client_env *env)
{
	struct client *c;

	TAILQ_FOREACH(c, &env->clients, all)
		if (c->is_read_paused) {
			c->is_read_paused = false;
			/* If the client is not read for another reason, too, reading resumes when that reason ends. */
			if (c->x.reading != EXCHANGE_STALLED && !client_state_waits((enum client_state)c->x.state))
				stream_set_reading(&c->x.stream, true);
		}
}

static size_t
memory_of(const struct client *c)
{
	const struct server *srv = c->x.srv;

	return (size_t)c->x.pending_cap + stream_queue_cap(&c->x.stream) +
	       (srv == NULL ? 0 : stream_queue_cap(&srv->stream));
}

size_t
clients_close_largest(struct client_env *const *client_envs)
{
	struct client *largest = NULL;
	size_t taken = RELIEF_MIN;
	struct fail why;

	for (struct client *c = clients_walk(client_envs, NULL); c != NULL; c = clients_walk(client_envs, c))
		if (memory_of(c) > taken) {
			largest = c;
			taken = memory_of(c);
		}
	if (largest == NULL)
		return 0;
	fail_set(&why, "53200", "out of memory: this client took up most of it (%zu kB)", taken >> 10);
	fail_hint(&why, "Send smaller messages, read results faster, or raise max_memory in section [limits] of "
			"pgweir.ini.");
	client_close(largest, &why);
	return taken;
}
