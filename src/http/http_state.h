/*
 * src/http/http_state.h - what http*.c share; see http.h. Each section says what it owns.
 *
 * Always: once it runs, the HTTP thread alone touches what is here.
 */
#pragma once

#include "http/http.h"
#include "http/http_module.h"
#include "net/loop.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <sys/queue.h>
#include <sys/socket.h>

/* --- http_reply.c: replies to HTTP requests, with their common headers, compressed if the client wants that --- */
struct http_reply {
	int code;
	const char *content_type; /* with its charset */
	const char *body;
	size_t body_len;
	bool is_gzip; /* the body is compressed */
	bool varies; /* depends on Accept and Accept-Encoding */
	bool is_last; /* the connection is closed after it */
	bool is_scrape; /* its time is measured */
	const char *allow; /* NULL, or the methods that would be right */
	bool wants_password; /* 401 */
	unsigned retry_after_s; /* 429; 0: not told */
};

void http_reply_send(struct evhttp_request *request, const struct http_reply *reply);
/* Returns true if this Accept-Encoding header (may be NULL) accepts gzip. */
bool http_accepts_gzip(const char *accept_encoding);
/* Returns true if this Accept header (NULL: none) wants OpenMetrics rather than plain text. */
bool http_prefers_openmetrics(const char *accept);
/* Appends text to to, compressed. Returns 0, or -1 without memory. */
int http_gzip(struct buf *to, const void *text, size_t text_len);

/* --- http_listen.c: the socket that the metrics thread accepts on --- */
/* host: a numeric address, or a path when port is 0. A listening, non-blocking descriptor; -1 and why on failure. */
int http_listen(const char *host, unsigned short port, struct fail *why);

/*
 * --- http_guess.c: how often passwords may be tried.
 *
 * Bounds: 1024 addresses; the one not seen for longest makes room.
 * Owns:   the table.
 */
#define HTTP_MAC_LEN 32
#define HTTP_PROVED_MAX 16

struct http_guesses {
	uint8_t key[32]; /* random: the memory holds no header, nor what could be tried offline without it */
	uint8_t proved[HTTP_PROVED_MAX][HTTP_MAC_LEN]; /* MACs of headers that were right; the oldest is replaced */
	unsigned proved_count; /* may be larger than the array */
	struct admission_table *addresses;
	uint64_t none_before_us; /* no password is looked at, whoever sends it */
};

enum http_proof { HTTP_PROVED, HTTP_UNPROVED, HTTP_TOO_SOON };

int http_guesses_init(struct http_guesses *g); /* -1: no memory, or no random numbers */
void http_guesses_fini(struct http_guesses *g); /* of one that is zeroed, too */
/* authorization: the header, or NULL. peer: NULL for a Unix socket. TOO_SOON sets *wait_s: it was not looked at. */
enum http_proof http_guesses_check(struct http_guesses *g, const struct users *users, const char *authorization,
				   const struct sockaddr *peer, uint64_t now_us, unsigned *wait_s);

/*
 * --- http_pages.c: what the metrics thread has to show: the last snapshot, and each page's bytes.
 *
 * The metrics of a snapshot are rendered once, and compressed once, however many ask.
 * Owns: the snapshot, the rendered text, the tables, the states of pages. Borrows: the log.
 */
struct http_served {
	const struct http_page *page;
	void *state;
	unsigned table_bit; /* 1 << its index; 0: it is no table */
	struct buf mail, table; /* JSON: under http.c's lock, what the thread has not seen; and what it shows */
	uint64_t table_us; /* when that came; 0: never */
};

struct http_pages {
	struct log *log;
	struct users *users; /* who may see what is not open; NULL: see http_access.c */
	struct http_guesses guesses;
	bool is_local;
	struct http_served served[HTTP_PAGES_MAX];
	unsigned served_count;
	uint64_t due_us; /* when a page wants a snapshot, if nobody asks before; UINT64_MAX: never */
	struct snapshot *last; /* NULL: none yet */
	uint64_t taken_us;
	struct http_rendered {
		struct buf text, gzip; /* of last; empty: not rendered yet */
	} rendered[EXPOSITION_FORMATS];
	struct histogram scrape_duration;
};

int http_pages_init(struct http_pages *p, const struct http_settings *settings); /* 0, or -1; then fini, too */
void http_pages_fini(struct http_pages *p);
/* Takes the snapshot over. One that nobody waits for is for pages that note it: whoever asks a moment later wants the
 * numbers of then. */
void http_pages_take(struct http_pages *p, struct snapshot *snapshot, bool is_awaited, uint64_t now_us);
void http_pages_take_tables(struct http_pages *p, uint64_t now_us); /* of the mail */

const struct http_served *http_page_find(const struct http_pages *p, const char *path); /* NULL: not there */
/* Returns false with the refusal in r, if this page is not for whoever asks. To be called once for a request, as a
 * wrong password counts. */
bool http_page_may_see(const struct http_page *page, const struct http_ask *ask, uint64_t now_us, struct http_reply *r);
bool http_page_is_fresh(const struct http_pages *p, const struct http_served *served, uint64_t now_us);
/* Fills the reply for somebody who may see the page; its body is p's, body's (zeroed; the caller's to free), or
 * constant. */
void http_page_fill(struct http_ask *ask, struct buf *body, struct http_reply *r);

/* --- http_access.c: who may see what is private --- */
/* Returns true if this Authorization header proves one of users. This may take long: ask http_guesses_check. */
bool http_is_authorized(const struct users *users, const char *authorization);
/* Returns true for 127.0.0.1 and ::1. Not for the rest of 127/8: proxies beside a pod pass on from there what comes
 * from elsewhere. */
bool http_is_from_here(const struct sockaddr *peer);
/* Returns true if this Host header is an address or localhost. A name may be anybody's. */
bool http_is_own_host(const char *host);

/*
 * --- http_conn.c: the connections of the metrics thread: how many, and how long each may take.
 *
 * evhttp knows no such limits: who sends a byte now and then could keep a connection for ever, and thousands of them.
 *
 * Always: at most HTTP_CONNS_MAX, or the one that has asked nothing for longest goes; a connection is closed unless its
 * request comes within 5 s of its beginning or of the last reply, and the client takes the reply within 10 s. Bytes
 * that a client sends meanwhile are bounded, too. A TLS handshake is a part of the request that has to come: libevent
 * takes what has come of it, and waits for nothing.
 */
#define HTTP_CONNS_MAX 32

enum http_conn_state { HTTP_CONN_NEW, HTTP_CONN_READING, HTTP_CONN_WAITING, HTTP_CONN_WRITING };

struct http_conn {
	struct http_conns *all;
	struct tls_context *tls; /* a reference; NULL: it is not encrypted */
	enum http_conn_state state;
	struct bufferevent *bev;
	struct evhttp_connection *evcon; /* owns bev, and frees us by way of its close callback */
	struct timer timer;
	struct evhttp_request *request; /* while WAITING: to be answered by http_conn_answer */
	uint64_t accepted_us, asked_us; /* asked_us: or accepted, if it has asked nothing yet */
	TAILQ_ENTRY(http_conn) link;
};

struct http_conns {
	unsigned count;
	TAILQ_HEAD(, http_conn) list;
	void (*on_late)(struct http_conn *c, void *arg); /* waited for as long as it may: answer it now */
	struct tls_context *(*tls)(void *arg); /* returns a reference to what new connections speak, or NULL */
	void *arg;
};

void http_conns_init(struct http_conns *all, struct evhttp *http);
void http_conns_fini(struct http_conns *all); /* after evhttp_free, which closes all it knows */
/* The connection of a request that evhttp handed over; NULL: close it. From now on it is WAITING, for wait_us. */
struct http_conn *http_conn_ask(struct http_conns *all, struct evhttp_request *request, uint64_t wait_us,
				uint64_t now_us);
/* Ends the wait, as the reply is about to be sent. Returns its request. */
struct evhttp_request *http_conn_answer(struct http_conn *c);
/* Returns true if it has been open for so long that this reply should be its last. */
bool http_conn_is_old(const struct http_conn *c, uint64_t now_us);
