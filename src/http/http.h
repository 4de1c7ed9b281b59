/*
 * src/http/http.h - /metrics, /healthz, /readyz and the pages of modules (http_module.h) on a thread and event base of
 * their own (evhttp).
 *
 * The thread never touches the loop's data: for a request it asks the loop for a snapshot and waits for it (at most 1
 * s; then it uses the previous snapshot, and /healthz returns 503). A snapshot younger than 250 ms is reused, so
 * hostile scraping is cheap. The thread also asks for a snapshot when a module wants one. When the page of a table is
 * requested, it asks for that table, which only the loop can fill.
 *
 * Only GET and HEAD are served, on few connections, for a limited time (the limits are in http_state.h), with headers
 * of up to 8 KiB and no bodies. At shutdown this thread ends last, so metrics of the drain can still be read.
 */
#pragma once

#include "auth/users.h"
#include "base/buf.h"
#include "base/fail.h"
#include "log/log.h"
#include "telemetry/snapshot.h"

struct http; /* opaque; defined in http.c */
struct tls_context; /* net/tls.h */
struct wake; /* net/inbox.h */

/* pages, at most. A table of a page has the page's number; a set of tables is an unsigned with the bits 1 << number */
#define HTTP_PAGES_MAX 32

struct http_page;

struct http_settings {
	const char *host; /* a numeric address, or a path if port is 0 */
	unsigned short port;
	struct log *log; /* not used by the thread after http_free() */
	/* the users of auth_file, who may see pages that are not open; if NULL, requests by a loopback address may see
	 * these */
	struct users *users;
	bool is_local; /* true if host is a loopback address or a path */
	struct tls_context *tls; /* NULL if connections are not encrypted; http_new() takes a reference */
	/* a socket that listens on this address already, which http_new() takes; 0 if there is none; see
	 * http_set_own_path() */
	int passed_fd;
	/* Posted whenever the thread wants a snapshot. The loop then calls http_wanted_tables(), http_deliver_table()
	 * for each of these tables, and http_deliver_snapshot(). */
	struct wake *asked;
};

/* Starts the thread. Returns NULL with *why set, for example if the address can't be bound. */
struct http *http_new(const struct http_settings *settings, struct fail *why);
void http_free(struct http *h); /* ends the thread and waits for that; h may be NULL */
int http_listening_fd(const struct http *h); /* returns the listening socket, borrowed, for a successor */
/* Sets the TLS context of connections that come from now on; NULL for no TLS. Takes a reference. Called on the thread
 * that called http_new(). */
void http_use_tls(struct http *h, struct tls_context *tls);
/* Sets whether http_free() removes the file of a Unix socket. At first it does, unless the socket was passed. */
void http_set_own_path(struct http *h, bool is_own);
/* Returns the tables that are wanted, in bits 1 << number. They then count as not wanted any more. */
unsigned http_wanted_tables(struct http *h);
const struct http_page *http_table(const struct http *h, unsigned number); /* returns the page whose command fills it */
/* Hands over a table's contents, a JSON array; takes the bytes of *json, which is empty afterwards. */
void http_deliver_table(struct http *h, unsigned number, struct buf *json);
/* Hands over a snapshot, which the thread takes; NULL if there was no memory for a snapshot. */
void http_deliver_snapshot(struct http *h, struct snapshot *snapshot);
