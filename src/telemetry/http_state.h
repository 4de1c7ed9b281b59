/* src/telemetry/http_state.h - what http*.c share; see http.h. */
#ifndef PGWEIR_TELEMETRY_HTTP_STATE_H
#define PGWEIR_TELEMETRY_HTTP_STATE_H

#include "base/buf.h"
#include "base/fail.h"
#include "base/log.h"
#include "telemetry/snapshot.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* --- http_reply.c: answers to HTTP requests: headers that all have, and compression where it is wanted --- */
struct http_reply {
	int code;
	const char *content_type; /* with its charset */
	const char *body;
	size_t body_len;
	bool is_gzip; /* the body is compressed */
	bool varies; /* with Accept-Encoding */
	bool is_last; /* close the connection after it */
	bool is_scrape; /* its time is to be measured */
	const char *allow; /* NULL, or the methods that would be right */
};

void http_reply_send(struct evhttp_request *request, const struct http_reply *reply);
/* Does this Accept-Encoding header (NULL: none) want gzip? */
bool http_accepts_gzip(const char *accept_encoding);
/* Appends text to to, compressed. -1: no memory. */
int http_gzip(struct buf *to, const void *text, size_t text_len);

/* --- http_listen.c: the socket that the metrics thread accepts on --- */
/* host: a numeric address, or a path when port is 0. A listening, non-blocking descriptor; -1 and why on failure. */
int http_listen(const char *host, unsigned short port, struct fail *why);

/*
 * --- http_pages.c: what the metrics thread has to show: the last snapshot, and each page's bytes.
 *
 * The metrics of a snapshot are rendered once, and compressed once, however many ask.
 * Owns: the snapshot, the rendered text. Borrows: the log.
 */
struct http_pages {
	char *version;
	struct log *log;
	struct snapshot *last; /* NULL: none yet */
	uint64_t taken_us;
	struct buf text, gzip; /* of last; empty: not rendered yet */
	struct histogram scrape_duration;
};

void http_pages_init(struct http_pages *p, const char *version, struct log *log);
void http_pages_fini(struct http_pages *p);
void http_pages_take(struct http_pages *p, struct snapshot *snapshot, uint64_t now_us);
bool http_pages_are_fresh(const struct http_pages *p, uint64_t now_us); /* the snapshot may be used once more */
void http_pages_observe(struct http_pages *p, uint64_t scrape_us);

/* Each fills the reply; its body is p's, body's (zeroed; the caller's to free), or constant. */
void http_page_metrics(struct http_pages *p, const char *accept_encoding, struct http_reply *r);
void http_page_health(bool is_alive, struct http_reply *r);
void http_page_ready(const struct http_pages *p, bool is_alive, struct buf *body, struct http_reply *r);
void http_page_index(const struct http_pages *p, struct buf *body, struct http_reply *r);
void http_page_not_found(struct http_reply *r);
void http_page_bad_method(struct http_reply *r);

/*
 * --- http_conn.c: the connections of the metrics thread: how many, and how long each may take.
 *
 * evhttp knows no such limits: who sends a byte now and then could keep a connection for ever, and thousands of them.
 *
 * Always: at most HTTP_CONNS_MAX; a request is read within 5 s of the connection or of the last answer, an answer is
 * taken within 10 s, or the connection is closed. What a client sends while it is being answered is bounded too.
 */
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
