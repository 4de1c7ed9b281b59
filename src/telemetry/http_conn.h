/*
 * src/telemetry/http_conn.h - the connections of the metrics thread: how many, and how long each may take.
 *
 * evhttp knows no such limits: who sends a byte now and then could keep a connection for ever, and thousands of them.
 *
 * Always: at most HTTP_CONNS_MAX; a request is read within 5 s of the connection or of the last answer, an answer is
 * taken within 10 s, or the connection is closed. What a client sends while it is being answered is bounded too.
 */
#ifndef PGWEIR_TELEMETRY_HTTP_CONN_H
#define PGWEIR_TELEMETRY_HTTP_CONN_H

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define HTTP_CONNS_MAX 32

enum http_conn_state { HTTP_CONN_NEW, HTTP_CONN_READING, HTTP_CONN_WAITING, HTTP_CONN_WRITING };

struct http_conn {
	struct http_conns *all;
	enum http_conn_state state;
	struct bufferevent *bev;
	struct evhttp_connection *evcon; /* owns bev, and frees us by way of its close callback */
	struct event *timer;
	struct evhttp_request *request; /* while WAITING: to be answered by http_conn_answer */
	uint64_t accepted_us, asked_us;
	TAILQ_ENTRY(http_conn) link;
};

struct http_conns {
	struct event_base *base;
	unsigned count;
	TAILQ_HEAD(, http_conn) list;
	void (*on_late)(struct http_conn *c, void *arg); /* waited for as long as it may: answer it now */
	void *arg;
};

void http_conns_init(struct http_conns *all, struct event_base *base, struct evhttp *http);
void http_conns_fini(struct http_conns *all); /* after evhttp_free, which closes all it knows */
/* The connection of a request that evhttp handed over; NULL: close it. From now on it is WAITING, for wait_us. */
struct http_conn *http_conn_ask(struct http_conns *all, struct evhttp_request *request, uint64_t wait_us,
				uint64_t now_us);
/* Ends the waiting: the answer is about to be sent. Returns its request. */
struct evhttp_request *http_conn_answer(struct http_conn *c);
/* Has it been open for so long that this answer should be its last? */
bool http_conn_is_old(const struct http_conn *c, uint64_t now_us);

#endif
