/*
 * src/client/cancel_peer.c - passes a CancelRequest on to the process that has the client it is for (peers).
 *
 * Where several processes share a port, the kernel hands a cancel request to any of them. So the key says whose client
 * it is, as with PgBouncer, which may be among the peers: the second and third byte of the PID are the peer_id
 * (little-endian). The lowest two bits of the secret's fourth byte are 1 in every key, and in a request that is passed
 * on they count down: three processes may do so, then the configuration must be going round in circles.
 */
#include "client/cancel.h"
#include "client/clients.h"

#include "base/clock.h"
#include "net/dial.h"
#include "wire/frame.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define HOPS 3u
#define PASSED_MAX 256u /* at a time: anybody can ask */
#define PASSED_TO_ONE_MAX 64u /* a peer that hangs must not keep requests from the others */
#define PASS_TIMEOUT_US 10000000u
#define HEAD_LEN 12u

struct passed_cancel {
	struct stream stream; /* must be first: see on_readable() */
	struct client_env *env;
	uint64_t asker_id; /* it may have left */
	struct passed_cancel *next, **to_here; /* in the list of all */
	struct dial *dial;
	struct event *timer;
	struct grave grave;
	uint8_t packet[HEAD_LEN + CANCEL_SECRET_MAX];
	size_t packet_len;
};

uint32_t
cancel_peer_of(uint32_t pid)
{
	return (pid >> 16 & 0xff) | (pid & 0xff00);
}

void
cancel_peer_mark(uint32_t id, uint32_t *pid, uint32_t *secret)
{
	*pid = (*pid & 0xff0000ff) | (id & 0xff) << 16 | (id & 0xff00);
	*secret |= HOPS;
}

void
cancel_peer_reset_hops(uint8_t *secret)
{
	secret[3] |= HOPS;
}

static void
free_later(struct grave *g)
{
	struct passed_cancel *p = (struct passed_cancel *)((char *)g - offsetof(struct passed_cancel, grave));

	OPENSSL_cleanse(p->packet, sizeof(p->packet));
	free(p);
}

static void
end_passed_cancel(struct passed_cancel *p, enum cancel_result result)
{
	struct client *asker = client_find_id(p->env, p->asker_id);

	dial_cancel(p->dial);
	stream_close(&p->stream);
	if (p->timer != NULL)
		event_free(p->timer);
	p->env->passed_cancel_count--;
	*p->to_here = p->next;
	if (p->next != NULL)
		p->next->to_here = p->to_here;
	graveyard_bury(p->env->x.graveyard, &p->grave, free_later);
	p->env->x.counters->cancels[result]++;
	if (asker != NULL)
		client_close(asker, NULL); /* as the caller may wait for the end */
}

/* The peer says nothing; it closes the connection when the cancel is done. */
static void
on_readable(struct stream *s)
{
	struct passed_cancel *p = (struct passed_cancel *)s;
	uint8_t byte;
	size_t got;
	enum stream_result r;

	*p->env->x.now_us = clock_now_us();
	r = stream_read(&p->stream, &byte, 1, &got);
	if (r != STREAM_AGAIN)
		end_passed_cancel(p, r == STREAM_EOF ? CR_PASSED_ON : CR_FAILED);
}

static void
on_drained(struct stream *s)
{
	(void)s;
}

static const struct stream_ops stream_ops = { on_readable, on_drained };

static void
on_dialled(const struct dial_result *result, void *arg)
{
	struct passed_cancel *p = arg;
	struct iovec packet = { p->packet, p->packet_len };

	*p->env->x.now_us = clock_now_us();
	p->dial = NULL;
	if (result->fd < 0)
		log_warning(p->env->x.log, "a cancel request can't be passed on to peer %u: %s",
			    cancel_peer_of(wire_u32(p->packet + 8)), result->why.text);
	if (result->fd < 0 || stream_open(&p->stream, p->env->x.base, result->fd, &stream_ops) < 0 ||
	    stream_write(&p->stream, &packet, 1) < 0)
		end_passed_cancel(p, CR_FAILED);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct passed_cancel *p = arg;

	(void)fd;
	(void)what;
	*p->env->x.now_us = clock_now_us();
	end_passed_cancel(p, CR_FAILED);
}

static void
put_packet(struct passed_cancel *p, uint32_t pid, const uint8_t *secret, size_t len)
{
	p->packet_len = HEAD_LEN + len;
	wire_set_u32(p->packet, (uint32_t)p->packet_len);
	wire_set_u32(p->packet + 4, 80877102);
	wire_set_u32(p->packet + 8, pid);
	memcpy(p->packet + HEAD_LEN, secret, len);
	p->packet[HEAD_LEN + 3]--; /* its hops are not 0 */
}

/* Returns 0, or -1 without memory. */
static int
begin_passing(struct passed_cancel *p, const struct config_peer *peer)
{
	struct timeval limit = { PASS_TIMEOUT_US / US_PER_S, 0 };

	p->timer = event_new(p->env->x.base, -1, 0, on_timer, p);
	if (p->timer != NULL && event_add(p->timer, &limit) == 0)
		p->dial = dial_start(pool_set_server_env(p->env->x.pools)->dialer, peer->host, peer->port,
				     PASS_TIMEOUT_US, on_dialled, p);
	if (p->dial != NULL)
		return 0;
	if (p->timer != NULL)
		event_free(p->timer);
	return -1;
}

enum cancel_result
cancel_pass_on(struct client *asker, uint32_t pid, const uint8_t *secret, size_t len)
{
	struct client_env *env = asker->env;
	struct config_peer peer;
	struct passed_cancel *p;

	if ((secret[3] & HOPS) == 0 || !config_find_peer(env->x.config, cancel_peer_of(pid), &peer))
		return CR_WRONG_KEY;
	if (env->passed_cancel_count >= PASSED_MAX ||
	    cancel_count_passed(env, cancel_peer_of(pid)) >= PASSED_TO_ONE_MAX || (p = calloc(1, sizeof(*p))) == NULL)
		return CR_FAILED;
	p->stream.fd = -1;
	p->env = env;
	p->asker_id = asker->x.ticket.id;
	put_packet(p, pid, secret, len);
	if (begin_passing(p, &peer) < 0) {
		free(p);
		return CR_FAILED;
	}
	p->to_here = &env->passed_cancels;
	p->next = env->passed_cancels;
	if (p->next != NULL)
		p->next->to_here = &p->next;
	env->passed_cancels = p;
	env->passed_cancel_count++;
	return CR_PASSED_ON;
}

void
cancel_abandon_passed(struct client_env *env)
{
	while (env->passed_cancels != NULL)
		end_passed_cancel(env->passed_cancels, CR_FAILED);
}

uint32_t
cancel_count_passed(const struct client_env *env, uint32_t peer_id)
{
	uint32_t n = 0;

	for (const struct passed_cancel *p = env->passed_cancels; p != NULL; p = p->next)
		n += cancel_peer_of(wire_u32(p->packet + 8)) == peer_id;
	return n;
}
