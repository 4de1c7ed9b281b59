/*
 * src/http/http_state.h - declarations that http*.c share; see http.h.
 *
 * Always: while the HTTP thread runs, only this thread touches these objects. Exceptions: http_served.mail, which is
 *         guarded by the lock of struct http, and http_served.page, which never changes.
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
	bool is_scrape; /* true for /metrics: the duration is counted in http_pages.scrape_duration */
	const char *allow; /* the header Allow of a 405; otherwise NULL */
	bool wants_password; /* true for a 401 */
	unsigned retry_after_s; /* the header Retry-After of a 429; 0 for no header */
};

void http_reply_send(struct evhttp_request *request, const struct http_reply *reply);
/* Returns true if this Accept-Encoding header, which may be NULL, accepts gzip. */
bool http_accepts_gzip(const char *accept_encoding);
/* Returns true if this Accept header, which may be NULL, prefers OpenMetrics to Prometheus' text format. */
bool http_prefers_openmetrics(const char *accept);
/* Compresses text and appends the result to `to`. Returns 0, or -1 if there is no memory. */
int http_gzip(struct buf *to, const void *text, size_t text_len);

/* --- http_listen.c: the socket on which the HTTP thread accepts --- */
/* Returns a listening, non-blocking descriptor, or -1 with *why set. host: a numeric address; a path if port is 0. */
int http_listen(const char *host, unsigned short port, struct fail *why);

/*
 * --- http_guess.c: limits how often passwords may be tried.
 *
 * Owns: a table of up to 1024 addresses that have sent wrong passwords. A new one replaces the one seen least recently.
 */
#define HTTP_MAC_LEN 32
#define HTTP_PROVED_MAX 16

struct http_guesses {
	uint8_t key[32]; /* a random key for the MACs */
	/* MACs of Authorization headers with right passwords, not the headers; a new MAC replaces the oldest */
	uint8_t proved[HTTP_PROVED_MAX][HTTP_MAC_LEN];
	/* proved[proved_count % HTTP_PROVED_MAX] gets the next MAC; when the count has reached 2 * HTTP_PROVED_MAX, it
	 * is halved */
	unsigned proved_count;
	struct admission_table *addresses;
	uint64_t none_before_us; /* no password from any address is checked before this time */
};

enum http_proof { HTTP_PROVED, HTTP_UNPROVED, HTTP_TOO_SOON };

int http_guesses_init(struct http_guesses *g); /* returns 0, or -1 if there are no random numbers */
void http_guesses_fini(struct http_guesses *g); /* g may be zeroed */
/* Checks the password in an Authorization header. authorization may be NULL, and peer is NULL for a Unix socket. With
 * HTTP_TOO_SOON, nothing was checked, and the client must wait *wait_s seconds. */
enum http_proof http_guesses_check(struct http_guesses *g, const struct users *users, const char *authorization,
				   const struct sockaddr *peer, uint64_t now_us, unsigned *wait_s);

/*
 * --- http_pages.c: the contents that the HTTP thread serves: the newest snapshot, and each page's bytes.
 *
 * The metrics of a snapshot are rendered once, and compressed once, for all requests.
 * Owns: the snapshot, the rendered text, the tables, the states of pages. Borrows: the log.
 */

/* A page that is served. */
struct http_served {
	const struct http_page *page;
	void *state; /* of page->state_len bytes */
	unsigned table_bit; /* 1 << the page's index; 0 if the page is not a table */
	struct buf incoming_table; /* a table that the main loop has delivered, until http_pages_take_tables() */
	struct buf table; /* the table that is served */
	uint64_t table_us; /* when `table` was taken from mail; 0 if never */
};

struct http_pages {
	struct log *log;
	struct users *users; /* as in struct http_settings; a counted reference */
	struct http_guesses guesses;
	bool is_local; /* as in struct http_settings */
	struct http_served served[HTTP_PAGES_MAX];
	unsigned served_count;
	uint64_t due_us; /* when a page wants the next snapshot, even without a request; UINT64_MAX if never */
	struct snapshot *last; /* the snapshot that is served; NULL if none has come yet */
	uint64_t taken_us; /* when `last` came; 0 if `last` must not be used for new requests */
	struct http_rendered {
		struct buf text, gzip; /* the metrics of `last`; empty if not rendered, or compressed, yet */
	} rendered[EXPOSITION_FORMATS];
	struct histogram scrape_duration;
};

/* returns 0, or -1; the caller calls http_pages_fini() in either case */
int http_pages_init(struct http_pages *p, const struct http_settings *settings);
void http_pages_fini(struct http_pages *p);
/* Takes ownership of a snapshot, and passes it to the pages' on_snapshot(). is_awaited: a request waits for it. A
 * snapshot that no request awaits is kept only if p has no snapshot yet; later requests wait for a newer one. */
void http_pages_take(struct http_pages *p, struct snapshot *snapshot, bool is_awaited, uint64_t now_us);
/* Replaces each `table` for which there is a new one in `mail`. Called under the lock of struct http. */
void http_pages_take_tables(struct http_pages *p, uint64_t now_us);

/* returns the page with this path, or NULL */
const struct http_served *http_served_find(const struct http_pages *p, const char *path);
/* Returns true if the request may see this page, or false with the refusal in *r. Called only once for each request,
 * because wrong passwords are counted. */
bool http_page_check_access(const struct http_page *page, const struct http_request_info *info, uint64_t now_us,
			    struct http_reply *r);
/* Returns true if the page can be served without a new snapshot or table. */
bool http_page_is_fresh(const struct http_pages *p, const struct http_served *served, uint64_t now_us);
/* Fills the reply to a request that may see the page. The reply's body belongs to info->pages, is constant, or is in
 * *body, which is zeroed at first and which the caller frees. */
void http_page_fill(struct http_request_info *info, struct buf *body, struct http_reply *r);

/* --- http_access.c: which requests may see pages that are not open --- */
/* Returns true if this Authorization header has a name and password of `users`. Slow: for http_guesses_check() only. */
bool http_is_authorized(const struct users *users, const char *authorization);
/* Returns true for 127.0.0.1 and ::1, but not for other addresses in 127.0.0.0/8, which a pod's proxies use for
 * requests from other hosts. */
bool http_is_loopback_peer(const struct sockaddr *peer);
/* Returns true if this Host header is missing, an IP address or localhost. Another name may belong to another site,
 * whose pages could read ours through a browser (DNS rebinding). */
bool http_host_is_ip_or_localhost(const char *host);

/*
 * --- http_conn.c: limits how many connections the HTTP thread has, and how long each may take. With evhttp alone, a
 * client could keep thousands of connections for ever by sending a byte now and then.
 *
 * Always: there are at most HTTP_CONNS_MAX connections. If one more comes, a connection is closed: if possible, one
 *         that is HTTP_CONN_READING, and the one whose last request came longest ago. A connection is also closed if
 *         no request comes within 5 s of the accept or of the last reply (TLS handshake included), or if the client has
 *         not taken a reply within 10 s. The bytes that a client may send are limited, too.
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
	uint64_t accepted_us, last_request_us; /* last_request_us: accepted_us until a request has come */
	TAILQ_ENTRY(http_conn) link;
};

struct http_conns {
	unsigned count;
	TAILQ_HEAD(, http_conn) list;
	/* called when a request has waited for the wait_us of http_conn_begin_wait(), and must be answered now */
	void (*on_late)(struct http_conn *c, void *arg);
	/* returns a counted reference for a new connection, or NULL for no TLS */
	struct tls_context *(*tls)(void *arg);
	void *arg; /* for on_late() and tls() */
	struct log *log;
	uint64_t tls_warned_us; /* when the log last said that a client speaks TLS to a port without TLS; 0 if never */
};

void http_conns_init(struct http_conns *all, struct evhttp *http);
/* called after evhttp_free(), to close connections that were accepted in the last turn of the loop */
void http_conns_fini(struct http_conns *all);
/* Makes the connection of this request HTTP_CONN_WAITING for up to wait_us. Returns the connection. Returns NULL if
 * there was no memory for a struct http_conn; the caller must then answer with an error. */
struct http_conn *http_conn_begin_wait(struct http_conns *all, struct evhttp_request *request, uint64_t wait_us,
				       uint64_t now_us);
/* Makes the connection HTTP_CONN_WRITING, because the reply is about to be sent. Returns the connection's request. */
struct evhttp_request *http_conn_end_wait(struct http_conn *c);
/* Returns true if the connection has been open for so long that this reply should be the last. */
bool http_conn_is_old(const struct http_conn *c, uint64_t now_us);
