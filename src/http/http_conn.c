/*
 * src/http/http_conn.c - see http_state.h.
 *
 * For each connection, evhttp asks for a bufferevent before evhttp has made its own object for the connection. pgweir
 * returns a bufferevent, and finds the object right after the accept, as the argument of the bufferevent's callbacks.
 */
#include "http/http_state.h"
#include "net/tls.h"
#include "wire/messages.h"
#include "wire/startup.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#define READ_US (5 * US_PER_S)
#define WRITE_US (10 * US_PER_S)
#define OLD_US (300 * US_PER_S)
#define TLS_HANDSHAKE 22 /* the first byte of a TLS client */
#define TLS_WARNING_PERIOD_US (60 * US_PER_S)
#define INPUT_MAX (16 * 1024) /* more than the headers that evhttp allows */

static void
set_state(struct http_conn *c, enum http_conn_state state, uint64_t us)
{
	c->state = state;
	timer_start(&c->timer, us);
}

static void
free_conn(struct http_conn *c)
{
	assert(c->all->count > 0);
	TAILQ_REMOVE(&c->all->list, c, link);
	c->all->count--;
	timer_stop(&c->timer);
	tls_context_unref(c->tls);
	free(c);
}

/* If a client has sent HTTP without TLS to a port with TLS, answers the client. */
static void
answer_if_plain_http(const struct http_conn *c)
{
	static const char answer[] = "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n"
				     "this port speaks HTTPS\n";
	char unread[INPUT_MAX];
	evutil_socket_t fd = bufferevent_getfd(c->bev);

	if (c->tls == NULL || ERR_GET_REASON(bufferevent_get_openssl_error(c->bev)) != SSL_R_HTTP_REQUEST)
		return;
	send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
	/* if input is left, close() resets the connection, and the answer may be lost */
	recv(fd, unread, sizeof(unread), MSG_DONTWAIT);
}

/* evhttp frees a request with its connection, unless the request was detached from the connection before. */
static void
on_close(struct evhttp_connection *evcon, void *arg)
{
	struct http_conn *c = arg;

	if (c->state == HTTP_CONN_WAITING && evhttp_request_get_connection(c->request) == NULL)
		evhttp_request_free(c->request);
	answer_if_plain_http(c);
	free_conn(c);
}

/* Returns true if a should be closed before b. Connections that have no whole request to be answered are closed first,
 * so a crowd of silent clients does not keep other clients out. */
static bool
is_to_close_before(const struct http_conn *a, const struct http_conn *b)
{
	bool a_reads = a->state == HTTP_CONN_READING, b_reads = b->state == HTTP_CONN_READING;

	return a_reads != b_reads ? a_reads : a->last_request_us < b->last_request_us;
}

static void
on_accepted(struct http_conn *c)
{
	struct http_conns *all = c->all;
	struct http_conn *other, *victim = NULL;
	void *evcon = NULL;

	bufferevent_getcb(c->bev, NULL, NULL, NULL, &evcon);
	bufferevent_decref(c->bev);
	if (evcon == NULL) {
		free_conn(c);
		return;
	}
	c->evcon = evcon;
	evhttp_connection_set_closecb(c->evcon, on_close, c);
	set_state(c, HTTP_CONN_READING, READ_US);
	if (all->count <= HTTP_CONNS_MAX)
		return;
	TAILQ_FOREACH(other, &all->list, link)
		if (other->state != HTTP_CONN_NEW && (victim == NULL || is_to_close_before(other, victim)))
			victim = other; /* this may be c, if many have come at once and all others wait for answers */
	if (victim != NULL)
		evhttp_connection_free(victim->evcon); /* calls on_close */
}

static void
on_timer(void *arg)
{
	struct http_conn *c = arg;

	if (c->state == HTTP_CONN_NEW)
		on_accepted(c);
	else if (c->state == HTTP_CONN_WAITING)
		c->all->on_late(c, c->all->arg);
	else
		evhttp_connection_free(c->evcon); /* calls on_close */
}

/* Refuses a client that speaks TLS though this port has no certificate: the handshake ends with an alert. */
static void
refuse_tls(struct http_conns *all, evutil_socket_t fd)
{
	static const uint8_t alert[] = { 21, 3, 1, 0, 2, 2, 40 }; /* RFC 8446, 6: fatal, handshake_failure */
	uint64_t now_us = clock_now_us();

	send(fd, alert, sizeof(alert), MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	if (all->tls_warned_us != 0 && now_us - all->tls_warned_us < TLS_WARNING_PERIOD_US)
		return;
	all->tls_warned_us = now_us;
	log_warning(all->log, "http: a client speaks TLS, which this port does not: it must use http://, unless "
			      "tls_cert_file and tls_key_file are set in section [http]");
}

/*
 * Answers a client that speaks TLS, or a PostgreSQL client that has connected to the wrong port. HTTP never begins with
 * a zero byte, and the length of a startup packet always does. A PostgreSQL client that asks for encryption first gets
 * 'N', and then sends the packet that can be answered with an error. Nothing was sent before, so the socket takes these
 * bytes.
 */
static void
on_first_bytes(struct evbuffer *in, const struct evbuffer_cb_info *info, void *arg)
{
	struct http_conn *c = arg;
	struct buf error = { 0 };
	struct startup s = { 0 };
	struct fail why;
	uint8_t begin[8];
	evutil_socket_t fd = bufferevent_getfd(c->bev);

	if (info->n_added == 0 || evbuffer_copyout(in, begin, 1) < 1)
		return;
	if (begin[0] != 0 && begin[0] != TLS_HANDSHAKE) {
		evbuffer_remove_cb(in, on_first_bytes, arg);
		return;
	}
	if (evbuffer_copyout(in, begin, sizeof(begin)) < (ev_ssize_t)sizeof(begin))
		return;
	evbuffer_drain(in, evbuffer_get_length(in));
	if (begin[0] == TLS_HANDSHAKE) {
		refuse_tls(c->all, fd);
		return;
	}
	if (startup_parse(begin, sizeof(begin), &s, &why) >= 0 && (s.kind == STARTUP_SSL || s.kind == STARTUP_GSSENC)) {
		send(fd, "N", 1, MSG_NOSIGNAL);
		return;
	}
	fail_set(&why, "08P01", "this port speaks HTTP");
	fail_hint(&why, "PostgreSQL's clients connect to the port of [pgweir].");
	message_error(&error, "FATAL", &why);
	if (buf_ok(&error))
		send(fd, error.bytes, error.len, MSG_NOSIGNAL);
	buf_fini(&error);
	shutdown(fd, SHUT_WR); /* the connection is freed when the client closes it, or after READ_US */
}

/* Returns NULL if there is no memory. libevent has then freed the SSL, or leaked it, so it must not be freed here. */
static struct bufferevent *
new_bufferevent(struct event_base *base, struct tls_context *tls)
{
	struct ssl_st *ssl;

	if (tls == NULL)
		return bufferevent_socket_new(base, -1, 0);
	ssl = tls_context_new_ssl(tls);
	return ssl == NULL
		   ? NULL
		   : bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
}

static struct bufferevent *
on_accept(struct event_base *base, void *arg)
{
	struct http_conns *all = arg;
	struct http_conn *c = calloc(1, sizeof(*c));

	if (c != NULL)
		c->tls = all->tls(all->arg);
	if (c == NULL || (c->bev = new_bufferevent(base, c->tls)) == NULL) {
		tls_context_unref(c == NULL ? NULL : c->tls);
		free(c);
		return NULL; /* evhttp then makes a bufferevent of its own, with which nothing can be requested */
	}
	timer_init(&c->timer, base, NULL, on_timer, c);
	c->all = all;
	c->accepted_us = c->last_request_us = clock_now_us();
	bufferevent_setwatermark(c->bev, EV_READ, 0, INPUT_MAX);
	if (c->tls == NULL)
		evbuffer_add_cb(bufferevent_get_input(c->bev), on_first_bytes, c);
	bufferevent_incref(c->bev); /* keeps the bufferevent until on_accepted(), even if evhttp frees it earlier */
	TAILQ_INSERT_TAIL(&all->list, c, link);
	all->count++;
	timer_fire_soon(&c->timer);
	return c->bev;
}

void
http_conns_init(struct http_conns *all, struct evhttp *http)
{
	all->count = 0;
	TAILQ_INIT(&all->list);
	evhttp_set_bevcb(http, on_accept, all);
}

/* Frees connections that were accepted in the last turn of the loop, for which on_close() is not set yet. */
void
http_conns_fini(struct http_conns *all)
{
	struct http_conn *c;

	while ((c = TAILQ_FIRST(&all->list)) != NULL) {
		bufferevent_decref(c->bev);
		free_conn(c);
	}
}

struct http_conn *
http_conn_begin_wait(struct http_conns *all, struct evhttp_request *request, uint64_t wait_us, uint64_t now_us)
{
	struct http_conn *c;

	TAILQ_FOREACH(c, &all->list, link)
		if (c->evcon == evhttp_request_get_connection(request)) {
			c->request = request;
			c->last_request_us = now_us;
			set_state(c, HTTP_CONN_WAITING, wait_us);
			return c;
		}
	return NULL;
}

static void
on_answered(struct evhttp_request *request, void *arg)
{
	set_state(arg, HTTP_CONN_READING, READ_US);
}

struct evhttp_request *
http_conn_end_wait(struct http_conn *c)
{
	struct evhttp_request *request = c->request;

	c->request = NULL;
	evhttp_request_set_on_complete_cb(request, on_answered, c);
	set_state(c, HTTP_CONN_WRITING, WRITE_US);
	return request;
}

bool
http_conn_is_old(const struct http_conn *c, uint64_t now_us)
{
	return now_us - c->accepted_us > OLD_US;
}
