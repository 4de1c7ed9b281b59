/*
 * src/http/http.h - /metrics, /healthz, /readyz and the pages of modules (http_module.h) on a thread and event base of
 * their own (evhttp).
 *
 * The thread never touches the loop's data: it asks for a snapshot and waits for it (at most 1 s; then it uses the last
 * one, and /healthz returns 503). A snapshot younger than 250 ms is reused, so that hostile scraping is cheap.
 * It asks for one when a module wants one, too, and while somebody looks at them for the tables that only the loop can
 * fill.
 *
 * GET and HEAD only; few connections, for a limited time (http_conn.c in http_state.h); headers up to 8 KiB; no bodies.
 * Closes last at shutdown (metrics of the drain can still be read).
 */
#pragma once

#include "auth/users.h"
#include "base/buf.h"
#include "base/fail.h"
#include "log/log.h"
#include "telemetry/snapshot.h"

struct http; /* opaque: http.c */
struct tls_context; /* net/tls.h */
struct wake; /* net/inbox.h */

#define HTTP_PAGES_MAX 32 /* the number of a table is that of its page: bits 1 << number fit into an unsigned */

struct http_page;

struct http_settings {
	const char *host; /* numeric address, or a path when port is 0 */
	unsigned short port;
	struct log *log; /* not used by the thread after http_free */
	struct users *users; /* who may see what is not open (auth_file); NULL: who asks by a loopback address */
	bool is_local; /* host is a loopback address or a path */
	struct tls_context *tls; /* NULL: none is spoken; a reference of its own is taken. See http_use_tls() */
	int passed_fd; /* a socket that listens there already, taken over; 0: none. See http_own_path() */
	struct wake *asked; /* is posted whenever the thread wants a snapshot: the loop ... */
};

/* Starts the thread. Returns NULL with *why set if the address cannot be bound. */
struct http *http_new(const struct http_settings *settings, struct fail *why);
void http_free(struct http *h); /* stops and joins */
int http_listening_fd(const struct http *h); /* borrowed, to pass it on */
/* For connections that come from now on. From the thread that made h; takes a reference. */
void http_use_tls(struct http *h, struct tls_context *tls);
/* Sets whether http_free() removes the file of a Unix socket: so it is at first, unless the socket was passed. */
void http_own_path(struct http *h, bool is_own);
/* Returns bits 1 << number of a table, which count as answered. */
unsigned http_wanted_tables(struct http *h);
const struct http_page *http_table(const struct http *h, unsigned number); /* what a wanted one is filled with */
/* ... and then calls this for each of them, with a JSON array whose contents it takes over, ... */
void http_answer_table(struct http *h, unsigned number, struct buf *json);
/* ... and this, with a snapshot the thread takes over (it frees it), or NULL if there was no memory for one. */
void http_answer(struct http *h, struct snapshot *snapshot);
