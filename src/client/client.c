#include "client/cancel.h"
#include "client/clients.h"
#include "listen/listen.h"
#include "net/loop.h"
#include "pool/pool_workers.h"
#include "relay/features.h"
#include "relay/relay.h"
#include "exchange/report.h"
#include "wire/messages.h"
#include "config/compat.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* A struct client and glibc's header make a block of 480 bytes. There may be thousands of idle clients, so rarely used
 * fields are kept elsewhere. */
_Static_assert(sizeof(struct client) <= 472, "struct client has grown");

static void on_readable(struct stream *s);
static void on_readable_of_many_workers(struct stream *s);
static void on_drained(struct stream *s);
static void on_ended(struct stream *s, bool is_gone);

static struct client_env *
main_env_of(const struct client_env *env)
{
	return env->client_envs[0];
}

/* Called on the main worker. */
static void
give_back_admission(struct client_env *main_env, struct client *c)
{
	admission_leave(main_env->admission, &c->admission);
	main_env->on_client_gone(main_env->x.owner, c);
}

/* Called on the main worker after a client has ended on another worker, which has freed all but struct client. */
static void
read_last_note(struct note *n, void *owner, bool is_over)
{
	struct client *c = (struct client *)((char *)n - offsetof(struct client, end_note));
	struct client_env *env = c->env, *main_env = main_env_of(env);

	*main_env->x.now_us = clock_now_us();
	pool_workers_client_ended(main_env->pool_workers, env->number);
	give_back_admission(main_env, c);
	free(c);
}

static void
free_deferred_client(struct deferred_entry *g)
{
	struct client *c = (struct client *)((char *)g - offsetof(struct client, deferred));
	const struct exchange_rare *rare = c->x.rare;

	assert(c->x.state == CL_CLOSED && c->x.srv == NULL && c->x.waiter.waits == WAITS_NOT);
	assert(c->x.statements == NULL && c->x.session == NULL);
	assert(rare == NULL || (rare->cancels == NULL && rare->doubt == NULL));
	gucs_unref(c->x.gucs);
	gucs_unref(c->x.startup);
	if (c->x.rare != NULL)
		free(c->x.rare->user);
	free(c->x.rare);
	exchange_free_input(&c->x);
	free(c->x.listen);
	if (c->env == main_env_of(c->env)) {
		free(c);
		return;
	}
	c->end_note.read = read_last_note;
	inbox_post(main_env_of(c->env)->inbox, &c->end_note);
}

/* Makes c a client, and enters it in env. c is zeroed memory for the client, or NULL if there was none. Returns NULL,
 * with fd closed, if there is no memory. */
static struct client *
open_client(struct client *c, struct client_env *env, int fd, const struct sockaddr *peer, bool is_unix)
{
	static const struct stream_ops alone = { on_readable, on_drained, on_ended },
				       beside_others = { on_readable_of_many_workers, on_drained, on_ended };

	if (c == NULL ||
	    stream_open(&c->x.stream, env->x.base, fd, env->client_envs[1] == NULL ? &alone : &beside_others) < 0) {
		if (c == NULL)
			close(fd);
		env->x.counters->rejected[RJ_MAX_MEMORY]++;
		free(c);
		return NULL;
	}
	if (!is_unix) {
		if (peer->sa_family == AF_INET6)
			memcpy(&c->peer.in6, peer, sizeof(c->peer.in6));
		else
			memcpy(&c->peer.in, peer, sizeof(c->peer.in));
	}
	c->env = env;
	c->x.env = &env->x;
	c->is_unix = is_unix;
	c->x.waiter.id = pool_set_next_id(env->x.pools);
	exchange_step(&c->x, CE_ACCEPT);
	c->connected_us = c->x.waiter.idle_since_us = *env->x.now_us;
	TAILQ_INSERT_TAIL(&env->clients, c, all);
	env->login_count++;
	return c;
}

struct client *
client_new(struct client_env *env, int fd, const struct sockaddr *peer, bool is_unix)
{
	return open_client(calloc(1, sizeof(struct client)), env, fd, peer, is_unix);
}

static void
leave_list(struct client *c)
{
	struct client_env *env = c->env;

	if (env->cursor == c)
		env->cursor = TAILQ_NEXT(c, all);
	TAILQ_REMOVE(&env->clients, c, all);
}

void
client_depart(struct client *c, struct client_env *to)
{
	struct client_env *main_env = c->env;

	stream_detach(&c->x.stream);
	leave_list(c);
	main_env->login_count--;
	c->env = to;
	c->x.env = &to->x;
}

void
client_arrive(struct client *c)
{
	struct client_env *env = c->env;

	*env->x.now_us = clock_now_us();
	TAILQ_INSERT_TAIL(&env->clients, c, all);
	env->login_count++;
	stream_attach(&c->x.stream, env->x.base, env->inbox, env->tls_scratch);
}

void
client_come_back(struct client *c, struct client_env *main_env)
{
	c->env = main_env;
	c->x.env = &main_env->x;
	client_arrive(c);
}

void
client_accept(struct client_env *env, int fd, const struct sockaddr *peer, bool is_unix)
{
	static const char out_of_memory[] = "E\0\0\0\x31SFATAL\0VFATAL\0C53200\0Mpgweir is out of memory\0";
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL) /* most drivers read an error even before they have sent anything */
		send(fd, out_of_memory, sizeof(out_of_memory), MSG_NOSIGNAL);
	c = open_client(c, env, fd, peer, is_unix);
	if (c != NULL && env->login_ops->begin(c))
		on_readable(&c->x.stream); /* most often the client's first packet is here already */
}

/* Removes the client from all counts that include it. */
static void
uncount(struct client *c)
{
	struct client_env *env = c->env;

	if (client_state_is_login((enum client_state)c->x.state))
		env->login_count--;
	if (c->x.state == CL_CANCEL)
		env->cancel_count--;
	if (c->is_counted)
		env->pool_client_count--;
	if (c->x.pool != NULL) {
		c->x.pool->clients--;
		c->x.pool->last_used_us = *env->x.now_us;
	}
}

/* Reads unread bytes, because closing a socket that has some resets it, and the reset may overtake our error. */
static void
read_to_the_end(struct client *c)
{
	uint8_t bytes[4096];
	size_t got;

	for (int i = 0; i < 32; i++)
		if (stream_read(&c->x.stream, bytes, sizeof(bytes), &got) != STREAM_OK)
			return;
}

void
client_close(struct client *c, const struct fail *why)
{
	client_close_as(&c->x, why, why);
}

void
client_log_close_compat(struct client *c, const struct fail *why)
{
	if (!log_has_pgbouncer_format(c->env->x.log) || (why == NULL && !c->env->x.config->log_connections) ||
	    c->x.state == CL_CANCEL || c->admission.is_unlogged || c->end_log == CLIENT_END_COMPAT_LOGGED)
		return;
	c->end_log =
	    CLIENT_END_COMPAT_LOGGED; /* set first, because if sending the error fails, this function is called again */
	compat_log_close(c, why);
}

static void
send_fatal(struct client *c, const struct fail *why)
{
	struct buf b = { 0 };
	struct fail shown;

	if (c->x.pool != NULL)
		report_count_error(c->x.pool, EO_PROXY, why->sqlstate);
	compat_reword(c->env->x.config, why, &shown);
	message_error(&b, "FATAL", &shown);
	exchange_send(&c->x, &b);
	buf_fini(&b);
}

void
client_close_as(struct exchange *x, const struct fail *why, const struct fail *logged)
{
	struct client *c = client_of(x);
	struct client_env *env = c->env;
	struct fail last_words;
	const char *lost;

	if (c->x.is_closing)
		return;
	/* If PostgreSQL has sent the client an error, the client has probably closed because of that error. */
	if (logged == NULL && server_get_last_words(c->x.srv, &last_words))
		logged = &last_words;
	client_log_close_compat(c, logged);
	/* If part of a message has been sent, the client would take an error for the rest of that message. */
	if (c->x.srv != NULL && c->x.srv->ledger.body_left > 0 && !c->x.srv->is_body_swallowed)
		why = NULL;
	if (why != NULL)
		send_fatal(c, why);
	if (c->x.is_closing)
		return;
	c->x.is_closing = true;
	if (env->x.to_client.to == &c->x.stream)
		outbox_flush(&env->x.to_client);
	if (why != NULL)
		read_to_the_end(c);
	if (c->x.state == CL_CONSOLE)
		env->on_console_closed(env->x.owner, c);
	lost = relay_leave(&c->x, logged);
	features_free(&c->x);
	cancel_client_closed(c);
	env->login_ops->leave(c);
	uncount(c);
	if (!log_has_pgbouncer_format(env->x.log) &&
	    (logged != NULL || lost != NULL || env->x.config->log_connections) && c->x.state != CL_CANCEL &&
	    c->end_log == CLIENT_END_DUE && !c->admission.is_unlogged)
		client_log_end(c, logged, lost);
	exchange_step(&c->x, CE_CLOSE);
	leave_list(c);
	stream_close(&c->x.stream);
	c->deferred.free_it = NULL; /* this field overlays the client's address */
	deferred_frees_add(env->x.deferred_frees, &c->deferred, free_deferred_client);
	if (env == main_env_of(env))
		give_back_admission(env, c);
}

void
client_close_copy(struct client *c)
{
	c->end_log = CLIENT_END_COMPAT_LOGGED;
	client_close(c, NULL);
}

static void
handle(struct exchange *x, const uint8_t *bytes, size_t len)
{
	struct client *c = client_of(x);

	if (exchange_is_relayed(x) || x->state == CL_CONSOLE)
		relay_bytes(x, bytes, len);
	else if (client_state_is_login((enum client_state)x->state))
		c->env->login_ops->bytes(c, bytes, len);
	/* In other states, further input is ignored. */
}

static void
handle_with_pending(struct exchange *x, const uint8_t *bytes, size_t len)
{
	if (exchange_keep(x, bytes, len) < 0) {
		exchange_out_of_memory(x);
		return;
	}
	if (client_state_waits((enum client_state)x->state)) {
		if (x->pending_len > EXCHANGE_PENDING_MAX)
			stream_set_reading(&x->stream, false);
		return;
	}
	exchange_handle_pending(x, handle);
}

/* Takes input that can't go straight to relay/: the client isn't ready, or earlier input is still pending. */
__attribute__((noinline)) static void
handle_otherwise(struct client *c, uint8_t *bytes, size_t len)
{
	bool is_login = client_state_is_login((enum client_state)c->x.state);

	if (!client_state_waits((enum client_state)c->x.state))
		c->x.request_us = *c->env->x.now_us;
	if (c->x.pending_len > 0 || client_state_waits((enum client_state)c->x.state))
		handle_with_pending(&c->x, bytes, len);
	else
		handle(&c->x, bytes, len);
	if (is_login) /* otherwise a password, or a part of one, would stay in the buffer until the next read */
		OPENSSL_cleanse(bytes, len);
}

static void
on_readable(struct stream *s)
{
	struct client *c = (struct client *)s;
	struct client_env *env = c->env;
	size_t got;

	*env->x.now_us = clock_now_us();
	switch (stream_read(&c->x.stream, env->read_buffer, env->read_cap, &got)) {
	case STREAM_OK:
		if (c->x.state == CL_READY && c->x.pending_len == 0) {
			c->x.request_us = *env->x.now_us;
			relay_bytes(&c->x, env->read_buffer, got);
		} else
			handle_otherwise(c, env->read_buffer, got);
		if (env->is_memory_short)
			client_stop_if_large(c);
		return;
	case STREAM_AGAIN:
		return;
	case STREAM_EOF:
		/* the requests before the Terminate are still to be handled */
		if (!s->is_broken && exchange_has_pending_terminate(&c->x)) {
			stream_set_reading(s, false);
			return;
		}
		break;
	case STREAM_ERROR:
		break;
	}
	client_close(c, NULL);
}

static void
on_readable_of_many_workers(struct stream *s)
{
	const struct client_env *env = ((struct client *)s)->env;

	on_readable(s);
	loop_run_between_events(env->x.deferred_frees, env->inbox);
}

static void
on_drained(struct stream *s)
{
	struct client *c = (struct client *)s;

	*c->env->x.now_us = clock_now_us();
	if (c->x.srv != NULL) {
		report_drained(&c->x, c->x.srv);
		stream_set_reading(&c->x.srv->stream, true);
	}
	if (c->x.state == CL_CLOSE_AFTER_FLUSH) {
		if (stream_queued_len(s) == 0)
			client_close(c, NULL);
		return;
	}
	relay_unstall(&c->x);
	exchange_ignore_result(listen_flush(&c->x));
}

/* Called when the client has closed its side. is_gone: the client has closed both directions. A client that has closed
 * only its sending direction stays, and so does a client whose requests or Terminate are still to be handled. */
static void
on_ended(struct stream *s, bool is_gone)
{
	struct client *c = (struct client *)s;
	int unread = 0;

	*c->env->x.now_us = clock_now_us();
	if (is_gone && exchange_is_relayed(&c->x) && !exchange_has_pending_terminate(&c->x) &&
	    ioctl(s->fd, FIONREAD, &unread) == 0 && unread == 0)
		client_close(c, NULL);
}

bool
client_is_served(const struct client *c, uint64_t *since_us)
{
	const struct loan *loan = &c->x.srv->loan;

	if (!ledger_owes_client(&c->x.srv->ledger, since_us) && c->x.state != CL_HELD && c->x.state != CL_RETRYING)
		return false;
	if (*since_us == 0)
		*since_us = c->x.request_us;
	if (*since_us < loan_rests_since(loan))
		*since_us = loan_rests_since(loan);
	return true;
}

void
client_peer_text(const struct exchange *x, char *out, size_t out_cap)
{
	const struct client *c = client_of(x);
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

int
client_activity(const struct client *c)
{
	if (!exchange_is_relayed(&c->x))
		return CLIENT_IS_LOGIN;
	if (c->x.srv == NULL && client_state_waits((enum client_state)c->x.state) && c->x.state != CL_CLOSE_AFTER_FLUSH)
		return CLIENT_IS_WAITING;
	return c->x.srv != NULL || exchange_is_in_block(&c->x) ? CLIENT_IS_ACTIVE : CLIENT_IS_IDLE;
}
