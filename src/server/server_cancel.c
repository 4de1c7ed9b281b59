/*
 * src/server/server_cancel.c - cancels a server connection's present request (protocol chapter, "Canceling Requests in
 * Progress"): opens a connection to the same address, sends a CancelRequest of at least 16 bytes, and waits until
 * PostgreSQL closes that connection. Only then has the signal been sent, and only then may the server connection serve
 * another client. If a cancel was sent and never confirmed, PostgreSQL may still carry it out at any later time, so the
 * server connection is closed and never lent again.
 *
 * The key is a secret, so a cancel for a TLS connection uses TLS, too. Cancel requests for clients of other pgweir
 * processes are sent by the same code, without TLS.
 */
#include "server/server_parts.h"
#include "server/server_ahead.h"
#include "wire/frame.h"
#include "wire/startup.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

enum cancelling_step {
	CANCELLING_PREPARES, /* dials, or shakes hands */
	CANCELLING_ASKS_FOR_TLS, /* an SSLRequest was sent, and is not answered yet */
	CANCELLING_SENT /* a part of the packet was sent, or all of it */
};

struct server_cancelling {
	struct stream stream; /* must be first: see stream_ops */
	struct server *srv; /* NULL if the server has ended, or if the request is for a client of another process */
	struct server_cancelling *next_of_all, **to_here; /* in the list server_env.cancelling */
	struct dial *dial;
	struct timer timer;
	struct tls_session *tls; /* NULL without TLS, and after the handshake has taken it over */
	bool is_direct; /* TLS begins without an SSLRequest */
	enum cancelling_step step;
	struct deferred_entry deferred;
	const struct server_env *env;
	uint8_t packet[12 + 256];
	size_t packet_len;
	const char *why; /* why dialing has failed; NULL if it has not, also if c->timer has ended it */
	server_cancel_done done;
	void *arg;
};

static void
free_cancelling(struct deferred_entry *g)
{
	struct server_cancelling *c =
	    (struct server_cancelling *)((char *)g - offsetof(struct server_cancelling, deferred));

	OPENSSL_cleanse(c->packet, sizeof(c->packet));
	free(c);
}

/* Ends a lent server because pgweir's own cancel was not confirmed. The server has got nothing from the borrower since
 * the cancel began, so the cancel cannot hit a request of the borrower's. */
static void
fail_unconfirmed(struct server *srv)
{
	struct fail why;

	fail_set(&why, "08006", "PostgreSQL at %s did not confirm a cancel of pgweir's own request", srv->address);
	server_fail(srv, &why);
}

static void
end_cancelling(struct server_cancelling *c, bool is_confirmed)
{
	bool is_own = c->done == NULL, is_in_doubt = c->step == CANCELLING_SENT && !is_confirmed;
	struct server *srv = c->srv;

	assert((srv == NULL || srv->cancel == c) && *c->to_here == c);
	dial_cancel(c->dial);
	stream_close(&c->stream);
	tls_session_free(c->tls);
	timer_stop(&c->timer);
	if (srv != NULL) {
		srv->cancel = NULL;
		if (is_own)
			srv->own_cancel_us = *c->env->now_us;
		if (is_in_doubt)
			server_condemn(srv, SERVER_IN_DOUBT);
	}
	*c->to_here = c->next_of_all;
	if (c->next_of_all != NULL)
		c->next_of_all->to_here = c->to_here;
	deferred_frees_add(c->env->deferred_frees, &c->deferred, free_cancelling);
	if (c->done != NULL)
		c->done(is_confirmed, c->why, c->arg);
	if (srv == NULL)
		return;
	if (srv->state == SV_RESET)
		server_reset_next(srv);
	else if (srv->state == SV_LENT && is_own && is_in_doubt)
		fail_unconfirmed(srv);
	else if (srv->state == SV_LENT)
		srv->env->ops->batch_end(srv); /* the borrower may have kept the server only because of the cancel */
}

static void
send_packet(struct server_cancelling *c)
{
	struct iovec piece = { c->packet, c->packet_len };

	c->step = CANCELLING_SENT;
	if (stream_write(&c->stream, &piece, 1) < 0)
		end_cancelling(c, false);
}

static void
on_shaken_hands(struct stream *s, const struct fail *failed, void *arg)
{
	struct server_cancelling *c = arg;

	*c->env->now_us = clock_now_us();
	if (failed != NULL)
		end_cancelling(c, false);
	else
		send_packet(c);
}

static void
shake_hands(struct server_cancelling *c)
{
	struct handshake_settings set = { .helpers = c->env->helpers,
					  .inbox = c->env->inbox,
					  .scratch = c->env->tls_scratch,
					  .tls = c->tls,
					  .queue = WORK_BEGUN,
					  .done = on_shaken_hands,
					  .arg = c };
	struct fail why;

	c->tls = NULL;
	if (handshake_begin(&c->stream, &set, NULL, 0, &why) < 0)
		end_cancelling(c, false);
}

static void
on_readable(struct stream *s)
{
	struct server_cancelling *c = (struct server_cancelling *)s;
	uint8_t bytes[16];
	size_t got;
	enum stream_result r;

	*c->env->now_us = clock_now_us();
	r = stream_read(&c->stream, bytes, sizeof(bytes), &got);
	if (r == STREAM_AGAIN)
		return;
	if (c->step != CANCELLING_ASKS_FOR_TLS) {
		end_cancelling(c, r == STREAM_EOF); /* anything but EOF means an error, such as "could not fork" */
		return;
	}
	c->step = CANCELLING_PREPARES;
	if (r == STREAM_OK && got == 1 && bytes[0] == 'S')
		shake_hands(c);
	else
		end_cancelling(c, false);
}

static void
on_drained(struct stream *s)
{
}

static const struct stream_ops stream_ops = { on_readable, on_drained, NULL };

static void
on_dialled(const struct dial_result *result, void *arg)
{
	struct server_cancelling *c = arg;
	struct iovec piece = { (void *)(uintptr_t)startup_ssl_request, sizeof(startup_ssl_request) };

	*c->env->now_us = clock_now_us();
	c->dial = NULL;
	c->why = result->fd < 0 ? result->why.text : NULL;
	if (result->fd < 0 || stream_open(&c->stream, c->env->base, result->fd, &stream_ops) < 0)
		end_cancelling(c, false);
	else if (c->tls == NULL)
		send_packet(c);
	else if (c->is_direct)
		shake_hands(c);
	else if (stream_write(&c->stream, &piece, 1) < 0)
		end_cancelling(c, false);
	else
		c->step = CANCELLING_ASKS_FOR_TLS;
}

static void
on_timer(void *arg)
{
	end_cancelling(arg, false);
}

void
server_cancel_forget(struct server *srv)
{
	if (srv->cancel != NULL)
		srv->cancel->srv = NULL;
	srv->cancel = NULL;
}

static struct server_cancelling *
new_cancelling(const struct server_env *env, uint32_t pid, const uint8_t *key, size_t key_len)
{
	struct server_cancelling *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	assert(key_len <= sizeof(c->packet) - 12);
	c->stream.fd = -1;
	c->env = env;
	c->packet_len = 12 + key_len;
	wire_set_u32(c->packet, (uint32_t)c->packet_len);
	wire_set_u32(c->packet + 4, 80877102);
	wire_set_u32(c->packet + 8, pid);
	memcpy(c->packet + 12, key, key_len);
	return c;
}

/* Starts c's timeout, and lists c. If c->dial is NULL or memory is short, frees c and returns -1; else returns 0. */
static int
begin_cancelling(struct server_cancelling *c, uint64_t timeout_us, server_cancel_done done, void *arg)
{
	timer_init(&c->timer, c->env->base, c->env->now_us, on_timer, c);
	if (c->dial == NULL || timer_try_start(&c->timer, timeout_us) < 0) {
		dial_cancel(c->dial);
		tls_session_free(c->tls);
		free_cancelling(&c->deferred);
		return -1;
	}
	c->to_here = c->env->cancelling;
	c->next_of_all = *c->to_here;
	if (c->next_of_all != NULL)
		c->next_of_all->to_here = &c->next_of_all;
	*c->to_here = c;
	c->done = done;
	c->arg = arg;
	return 0;
}

int
server_cancel(struct server *srv, uint64_t timeout_us, server_cancel_done done, void *arg)
{
	bool is_tls = stream_tls(&srv->stream) != NULL;
	struct server_cancelling *c;

	if (srv->key_len == 0 || srv->cancel != NULL ||
	    (c = new_cancelling(srv->env, srv->pid, srv->key, srv->key_len)) == NULL)
		return -1; /* key_len is 0 if PostgreSQL has sent no BackendKeyData */
	server_disown_ahead(srv); /* the cancel may hit the message that runs next */
	if (is_tls) {
		c->is_direct = srv->target->tls_use == SERVER_TLS_DIRECT;
		c->tls = tls_session_new(srv->target->tls, srv->target->upstream->hosts[srv->host_index].host);
	}
	if (!is_tls || c->tls != NULL)
		c->dial =
		    dial_address(srv->env->dialer, (struct sockaddr *)&srv->peer, srv->peer_len, 0, on_dialled, c);
	if (begin_cancelling(c, timeout_us, done, arg) < 0)
		return -1;
	c->srv = srv;
	srv->cancel = c;
	srv->own_cancel_us = done == NULL ? *srv->env->now_us : 0;
	return 0;
}

int
server_cancel_elsewhere(const struct server_env *env, const struct server_cancel_place *at, uint64_t timeout_us,
			server_cancel_done done, void *arg)
{
	struct server_cancelling *c = new_cancelling(env, at->pid, at->key, at->key_len);

	if (c == NULL)
		return -1;
	c->dial = dial_start(env->dialer, at->host, at->port, timeout_us, on_dialled, c);
	return begin_cancelling(c, timeout_us, done, arg);
}

void
server_cancel_abandon(const struct server_env *env)
{
	while (*env->cancelling != NULL)
		end_cancelling(*env->cancelling, false);
}
