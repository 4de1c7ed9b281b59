/* src/client/client.c - a client connection's life: accepted, read, closed. See client.h. */
#include "client/client.h"

#include "base/clock.h"
#include "admission/admission.h"
#include "listen/listen.h"
#include "wire/messages.h"

#include <errno.h>
#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PENDING_MAX ((uint32_t)128 << 10) /* bytes read ahead while a client waits for a server */

static void on_readable(void *arg);
static void on_drained(void *arg);
static const struct stream_ops stream_ops = { on_readable, on_drained };

/* It may hold a password, as long as the client logs in. */
static void
free_pending(struct client *c)
{
	if (c->pending != NULL)
		OPENSSL_cleanse(c->pending, c->pending_len);
	free(c->pending);
	c->pending = NULL;
}

static void
free_later(struct grave *g)
{
	struct client *c = (struct client *)((char *)g - offsetof(struct client, grave));

	image_unref(c->image);
	image_unref(c->startup);
	free(c->user);
	free_pending(c);
	free(c->listen);
	free(c);
}

void
client_accept(struct client_env *env, int fd, const struct sockaddr *peer, bool is_unix)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL || stream_open(&c->stream, env->base, fd, &stream_ops, c) < 0) {
		if (c == NULL)
			close(fd);
		free(c);
		return;
	}
	if (!is_unix) {
		if (peer->sa_family == AF_INET6)
			memcpy(&c->peer.in6, peer, sizeof(c->peer.in6));
		else
			memcpy(&c->peer.in, peer, sizeof(c->peer.in));
	}
	c->env = env;
	c->is_unix = is_unix;
	c->id = ++env->last_id;
	c->connected_us = c->idle_since_us = *env->now_us;
	TAILQ_INSERT_TAIL(&env->clients, c, all);
	env->login_count++;
	login_begin(c);
	if (!c->is_closing && door_enter(c))
		on_readable(c); /* its first packet is here already, most often */
}

/* Takes back what it counted as, by state. */
static void
uncount(struct client *c)
{
	struct client_env *env = c->env;

	door_leave(c);
	if (c->state < CL_READY)
		env->login_count--;
	if (c->state == CL_CANCEL)
		env->cancel_count--;
	if (c->is_counted)
		env->client_count--;
	if (c->entry != NULL) {
		c->entry->clients--;
		pool_database_leave(c->entry->database);
		c->entry->last_used_us = *env->now_us;
	}
}

/* Closing a socket with unread bytes resets the connection, and the reset may overtake the error we just sent. */
static void
read_to_the_end(struct client *c)
{
	uint8_t bytes[4096];
	size_t got;

	for (int i = 0; i < 32; i++)
		if (stream_read(&c->stream, bytes, sizeof(bytes), &got) != STREAM_OK)
			return;
}

/* Part of a message has been sent: what we put behind it would be taken for the rest of it. */
static bool
is_in_message(const struct client *c)
{
	return c->srv != NULL && c->srv->body_left > 0 && !c->srv->is_body_swallowed;
}

void
client_close(struct client *c, const struct fail *why)
{
	struct client_env *env = c->env;

	if (c->is_closing)
		return;
	if (is_in_message(c))
		why = NULL;
	if (why != NULL) {
		struct buf b = { 0 };

		if (c->entry != NULL)
			report_error(c->entry, EO_PROXY, why->sqlstate);
		message_error(&b, "FATAL", why);
		client_send(c, &b);
		buf_fini(&b);
		if (c->is_closing)
			return;
	}
	c->is_closing = true;
	if (env->to_client.to == &c->stream)
		outbox_flush(&env->to_client);
	if (why != NULL)
		read_to_the_end(c);
	if (c->state == CL_CONSOLE)
		env->on_console_closed(env->up, c);
	if (c->state == CL_CANCEL)
		cancel_free(c);
	sole_use_forget(c);
	relay_leave(c);
	statements_free(c);
	listen_free(c);
	session_free(c);
	cancel_unregister(c);
	if (c->state < CL_READY)
		login_free(c->login);
	uncount(c);
	if (env->config->log_connections && c->state != CL_CANCEL && !c->is_unlogged) {
		char peer[80];

		client_peer_text(c, peer, sizeof(peer));
		log_info(env->log, "client %llu (%s) closed%s%s", (unsigned long long)c->id, peer,
			 why != NULL ? ": " : "", why != NULL ? why->text : "");
	}
	c->state = CL_CLOSED;
	TAILQ_REMOVE(&env->clients, c, all);
	stream_close(&c->stream);
	graveyard_bury(env->graveyard, &c->grave, free_later);
	env->on_client_gone(env->up);
}

void
client_send(struct client *c, const struct buf *b)
{
	struct iovec piece = { .iov_base = b->bytes, .iov_len = b->len };

	if (c->is_closing)
		return;
	if (c->env->to_client.to == &c->stream)
		outbox_copy(&c->env->to_client, b->bytes, b->len);
	else if (!buf_ok(b) || stream_write(&c->stream, &piece, 1) < 0) {
		log_warning(c->env->log, "client %llu: out of memory", (unsigned long long)c->id);
		client_close(c, NULL);
	}
}

/* realloc would leave a copy behind. */
static uint8_t *
move_pending(struct client *c, size_t cap)
{
	uint8_t *grown;

	if (c->state >= CL_READY)
		return realloc(c->pending, cap);
	grown = malloc(cap);
	if (grown == NULL)
		return NULL;
	if (c->pending_len > 0)
		memcpy(grown, c->pending, c->pending_len);
	free_pending(c);
	return grown;
}

/* What is handled, or the end of it, is still not whole: a message that comes in small pieces is not copied each time.
 */
static bool
take_back(struct client *c, const uint8_t *bytes, size_t len)
{
	struct client_env *env = c->env;
	uint8_t *whole = env->handled.bytes;

	if (whole == NULL || c->pending != NULL || bytes < whole || bytes + len != whole + env->handled.len)
		return false;
	if (bytes > whole) {
		memmove(whole, bytes, len);
		OPENSSL_cleanse(whole + len, env->handled.len - len);
	}
	c->pending = whole;
	c->pending_len = (uint32_t)len;
	c->pending_cap = env->handled.cap;
	env->handled.bytes = NULL;
	return true;
}

int
client_keep(struct client *c, const uint8_t *bytes, size_t len)
{
	uint8_t *grown;

	if (len == 0 || take_back(c, bytes, len))
		return 0;
	if (c->pending_cap - c->pending_len < len) {
		size_t cap = (size_t)c->pending_len + len;

		if (c->pending_cap > 0 && cap < 2 * (size_t)c->pending_cap)
			cap = 2 * (size_t)c->pending_cap;
		if (cap > UINT32_MAX || (grown = move_pending(c, cap)) == NULL)
			return -1;
		c->pending = grown;
		c->pending_cap = (uint32_t)cap;
	}
	memcpy(c->pending + c->pending_len, bytes, len);
	c->pending_len += (uint32_t)len;
	return 0;
}

/* What was pending and what was just read, as one run of bytes; pending is emptied (the run is the caller's to free).
 */
static void
handle(struct client *c, const uint8_t *bytes, size_t len)
{
	switch ((enum client_state)c->state) {
	case CL_STARTUP:
	case CL_AUTHENTICATION:
	case CL_WELCOME:
		login_bytes(c, bytes, len);
		return;
	case CL_READY:
	case CL_CONSOLE:
		relay_bytes(c, bytes, len);
		return;
	case CL_CANCEL:
	case CL_CLOSED:
		return; /* nothing more is expected of these */
	}
}

static void
handle_with_pending(struct client *c, const uint8_t *bytes, size_t len)
{
	struct client_env *env = c->env;
	uint8_t *whole;
	size_t whole_len;

	if (client_keep(c, bytes, len) < 0) {
		struct fail why;

		fail_set(&why, "53200", "out of memory");
		client_close(c, &why);
		return;
	}
	if (c->ticket.is_waiting || c->is_held || listen_is_waiting(c)) {
		if (c->pending_len > PENDING_MAX)
			stream_set_reading(&c->stream, false);
		return;
	}
	whole = c->pending;
	whole_len = c->pending_len;
	env->handled.bytes = whole;
	env->handled.len = c->pending_len;
	env->handled.cap = c->pending_cap;
	c->pending = NULL;
	c->pending_len = c->pending_cap = 0;
	handle(c, whole, whole_len);
	free(env->handled.bytes);
	env->handled.bytes = NULL;
}

static void
on_readable(void *arg)
{
	struct client *c = arg;
	struct client_env *env = c->env;
	size_t got;

	*env->now_us = clock_now_us();
	switch (stream_read(&c->stream, env->read_buffer, env->read_cap, &got)) {
	case STREAM_OK: {
		bool is_login = c->state < CL_READY;

		if (!c->ticket.is_waiting)
			c->request_us = *env->now_us;
		if (c->pending_len > 0 || listen_is_waiting(c))
			handle_with_pending(c, env->read_buffer, got);
		else
			handle(c, env->read_buffer, got);
		if (is_login) /* a password, or a part of one, would stay there until much else has come */
			OPENSSL_cleanse(env->read_buffer, got);
		return;
	}
	case STREAM_AGAIN:
		return;
	case STREAM_EOF:
	case STREAM_ERROR:
		client_close(c, NULL);
		return;
	}
}

static void
on_drained(void *arg)
{
	struct client *c = arg;

	*c->env->now_us = clock_now_us();
	if (c->srv != NULL) {
		if (c->srv->loan.paused_since_us != 0)
			c->srv->loan.paused_us += *c->env->now_us - c->srv->loan.paused_since_us;
		c->srv->loan.paused_since_us = 0;
		stream_set_reading(&c->srv->stream, true);
	}
	relay_unstall(c);
	listen_drained(c);
}

bool
client_is_served(const struct client *c, uint64_t *since_us)
{
	const struct loan *loan = &c->srv->loan;

	if (!ledger_owes_client(&c->srv->ledger, since_us) && !c->is_held)
		return false;
	if (*since_us == 0)
		*since_us = c->request_us;
	if (*since_us < loan->lent_us)
		*since_us = loan->lent_us;
	if (*since_us < loan->last_done_us)
		*since_us = loan->last_done_us;
	return true;
}

void
client_peer_text(const struct client *c, char *out, size_t out_cap)
{
	char host[INET6_ADDRSTRLEN] = "";

	if (c->is_unix)
		snprintf(out, out_cap, "unix");
	else if (c->peer.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &c->peer.in6.sin6_addr, host, sizeof(host));
		snprintf(out, out_cap, "[%s]:%u", host, ntohs(c->peer.in6.sin6_port));
	} else {
		inet_ntop(AF_INET, &c->peer.in.sin_addr, host, sizeof(host));
		snprintf(out, out_cap, "%s:%u", host, ntohs(c->peer.in.sin_port));
	}
}

const char *
client_user(const struct client *c)
{
	if (c->user != NULL)
		return c->user;
	return c->entry != NULL ? c->entry->user : "";
}

const char *
client_application(const struct client *c)
{
	const char *name = c->image == NULL ? NULL : image_get(c->image, "application_name");

	return name == NULL ? "" : name;
}

int
client_activity(const struct client *c)
{
	if (c->state != CL_READY)
		return CLIENT_IS_LOGIN;
	if (c->ticket.is_waiting)
		return CLIENT_IS_WAITING;
	return c->srv != NULL ? CLIENT_IS_ACTIVE : CLIENT_IS_IDLE;
}

struct client *
client_find_id(struct client_env *env, uint64_t id)
{
	struct client *c;

	TAILQ_FOREACH(c, &env->clients, all)
	if (c->id == id)
		return c;
	return NULL;
}
