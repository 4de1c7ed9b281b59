/*
 * src/http/http_state.h - shared by http*.c; see http.h. Each section says what it owns.
 *
 * Always: when the HTTP thread runs, only that thread touches these objects. Exceptions: struct http_served.mail, which
 *         is guarded by the lock of struct http, and http_served.page, which does not change.
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

/* --- http_reply.c: replies to HTTP requests, with their common headers, compressed if the client accepts that --- */
struct http_reply {
	int code;
	const char *content_type; /* with its charset */
	const char *body;
	size_t body_len;
	bool is_gzip; /* true if the body is compressed */
	bool varies; /* true if the reply depends on Accept and Accept-Encoding */
	bool is_last; /* true if the connection is closed after this reply */
	bool is_scrape; /* true if the time of the request is measured */
	const char *allow; /* the methods that are allowed, for a 405; else NULL */
	bool wants_password; /* true for a 401 */
	unsigned retry_after_s; /* for a 429; 0 if the client is not told when to retry */
};

void http_reply_send(struct evhttp_request *request, const struct http_reply *reply);
/* Returns true if this Accept-Encoding header accepts gzip. The header may be NULL. */
bool http_accepts_gzip(const char *accept_encoding);
/* Returns true if this Accept header prefers OpenMetrics to plain text. The header may be NULL. */
bool http_prefers_openmetrics(const char *accept);
/* Compresses text and appends the result to `to`. Returns 0, or -1 without memory. */
int http_gzip(struct buf *to, const void *text, size_t text_len);

/* --- http_listen.c: the socket on which the metrics thread accepts --- */
/* Returns a listening, non-blocking descriptor, or -1 with *why set. host is a numeric address, or a path if port is
 * 0. */
int http_listen(const char *host, unsigned short port, struct fail *why);

/*
 * --- http_guess.c: limits how often passwords may be tried.
 *
 * Bounds: 1024 addresses; a new one replaces the one that was not seen for longest.
 * Owns:   the table of addresses.
 */
#define HTTP_MAC_LEN 32
#define HTTP_PROVED_MAX 16

struct http_guesses {
	/* a random key for the MACs. Memory holds MACs, not headers, so passwords can't be guessed offline without this
	 * key */
	uint8_t key[32];
	/* MACs of headers that were right; a new one replaces the oldest */
	uint8_t proved[HTTP_PROVED_MAX][HTTP_MAC_LEN];
	unsigned proved_count; /* may exceed the length of the array */
	struct admission_table *addresses;
	uint64_t none_before_us; /* until this time no password from any address is checked */
};

enum http_proof { HTTP_PROVED, HTTP_UNPROVED, HTTP_TOO_SOON };

int http_guesses_init(struct http_guesses *g); /* returns 0, or -1 without memory or random numbers */
void http_guesses_fini(struct http_guesses *g); /* g may be zeroed */
/* Checks an Authorization header, which may be NULL. peer is NULL for a Unix socket. With HTTP_TOO_SOON the header was
 * not looked at, and *wait_s is set. */
enum http_proof http_guesses_check(struct http_guesses *g, const struct users *users, const char *authorization,
				   const struct sockaddr *peer, uint64_t now_us, unsigned *wait_s);

/*
 * --- http_pages.c: the contents that the metrics thread serves: the newest snapshot, and each page's bytes.
 *
 * The metrics of a snapshot are rendered once, and compressed once, for all requests.
 * Owns: the snapshot, the rendered text, the tables, the states of pages. Borrows: the log.
 */
struct http_served {
	const struct http_page *page;
	void *state;
	unsigned table_bit; /* 1 << the page's index; 0 if the page is not a table */
	/* JSON. mail: contents that the thread has not taken yet, guarded by the lock of struct http; table: contents
	 * that are served */
	struct buf mail, table;
	uint64_t table_us; /* when `table` was taken; 0 if never */
};

struct http_pages {
	struct log *log;
	/* the users who may see pages that are not open; NULL if there is no auth_file: see http_access.c */
	struct users *users;
	struct http_guesses guesses;
	bool is_local;
	struct http_served served[HTTP_PAGES_MAX];
	unsigned served_count;
	uint64_t due_us; /* when a page wants the next snapshot, even if no request needs one; UINT64_MAX if never */
	struct snapshot *last; /* the newest snapshot; NULL if none has come yet */
	uint64_t taken_us;
	struct http_rendered {
		struct buf text, gzip; /* made of `last`; empty if not rendered yet */
	} rendered[EXPOSITION_FORMATS];
	struct histogram scrape_duration;
};

/* returns 0, or -1; the caller calls http_pages_fini() in either case */
int http_pages_init(struct http_pages *p, const struct http_settings *settings);
void http_pages_fini(struct http_pages *p);
/* Takes the snapshot. If no request waits for it, only the pages' on_snapshot() sees it: a request that comes a moment
 * later is to get the numbers of that moment. */
void http_pages_take(struct http_pages *p, struct snapshot *snapshot, bool is_awaited, uint64_t now_us);
void http_pages_take_tables(struct http_pages *p, uint64_t now_us); /* shows the tables that are in `mail` */

/* returns NULL if there is none */
const struct http_served *http_page_find(const struct http_pages *p, const char *path);
/* Returns true if the request may see this page, or false with the refusal in *r. Called once for a request, because a
 * wrong password counts. */
bool http_page_check_access(const struct http_page *page, const struct http_request_info *info, uint64_t now_us,
			    struct http_reply *r);
bool http_page_is_fresh(const struct http_pages *p, const struct http_served *served, uint64_t now_us);
/* Fills the reply to a request that may see the page. The reply's body belongs to p, or is constant, or is in *body,
 * which is zeroed at first and is freed by the caller. */
void http_page_fill(struct http_request_info *info, struct buf *body, struct http_reply *r);

/* --- http_access.c: which requests may see pages that are not open --- */
/* Returns true if this Authorization header proves one of users. This may take long, so http_guesses_check() limits the
 * calls. */
bool http_is_authorized(const struct users *users, const char *authorization);
/* Returns true for 127.0.0.1 and ::1. The rest of 127/8 does not count: proxies beside a pod use such addresses for
 * requests that come from elsewhere. */
bool http_is_loopback_peer(const struct sockaddr *peer);
/* Returns true if this Host header is an IP address or localhost. Another name may belong to any site. */
bool http_is_own_host(const char *host);

/*
 * --- http_conn.c: the connections of the metrics thread: how many there may be, and how long each may take.
 *
 * evhttp has no such limits: a client that sends a byte now and then could keep a connection for ever, and could have
 * thousands of them.
 *
 * Always: there are at most HTTP_CONNS_MAX connections; for one more, the one whose last request is the oldest is
 *         closed. A connection is closed if no request comes within 5 s of its beginning or of the last reply, or if
 *         the client has not taken a reply within 10 s. The bytes that a client may send meanwhile are bounded, too. A
 *         TLS handshake counts as part of the request: libevent handles the bytes that have come, and never blocks.
 */
#define HTTP_CONNS_MAX 32

enum http_conn_state { HTTP_CONN_NEW, HTTP_CONN_READING, HTTP_CONN_WAITING, HTTP_CONN_WRITING };

struct http_conn {
	struct http_conns *all;
	struct tls_context *tls; /* a counted reference; NULL if the connection is not encrypted */
	enum http_conn_state state;
	struct bufferevent *bev;
	struct evhttp_connection *evcon; /* owns bev; its close callback frees this struct */
	struct timer timer;
	struct evhttp_request *request; /* set while HTTP_CONN_WAITING, until http_conn_end_wait() */
	uint64_t accepted_us, asked_us; /* asked_us: when the last request came, or the connection if none has */
	TAILQ_ENTRY(http_conn) link;
};

struct http_conns {
	unsigned count;
	TAILQ_HEAD(, http_conn) list;
	/* called when a request has waited as long as it may: it must be answered now */
	void (*on_late)(struct http_conn *c, void *arg);
	struct tls_context *(*tls)(void *arg); /* returns a reference for a new connection, or NULL for no TLS */
	void *arg;
	struct log *log;
	uint64_t tls_told_us; /* when it was last logged that a client speaks TLS; 0 if never */
};

void http_conns_init(struct http_conns *all, struct evhttp *http);
/* called after evhttp_free(), which closes the connections that it knows */
void http_conns_fini(struct http_conns *all);
/* Returns the connection of a request that evhttp has handed over, now HTTP_CONN_WAITING for up to wait_us; NULL if the
 * connection must be closed. */
struct http_conn *http_conn_begin_wait(struct http_conns *all, struct evhttp_request *request, uint64_t wait_us,
				       uint64_t now_us);
/* Ends the wait, because the reply is about to be sent. Returns the connection's request. */
struct evhttp_request *http_conn_end_wait(struct http_conn *c);
/* Returns true if the connection has been open for so long that this reply should be the last. */
bool http_conn_is_old(const struct http_conn *c, uint64_t now_us);
