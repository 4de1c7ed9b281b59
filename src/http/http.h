/*
 * src/http/http.h - a thread that serves /metrics, /healthz, /readyz and the pages of modules (http_module.h), by
 * evhttp on an event base of its own.
 *
 * The HTTP thread never touches the data of the main loop, which is worker 0's. For a request, it asks the main loop
 * for a snapshot. If no snapshot comes within 1 s, the thread uses the previous one, and /healthz and /readyz return
 * 503. Requests within the next 250 ms use the same snapshot. The thread also asks for a snapshot when a module wants
 * one. A page may be a table: the rows of a console command, which the thread gets from the main loop.
 *
 * Only GET and HEAD are served, with headers of up to 8 KiB and no bodies. http_state.h has the limits on connections
 * and time. At a shutdown this thread ends last, so metrics can be read until then.
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

/* The limit on pages. A table's number is its page's index. In a set of tables, the bit 1 << number stands for the
 * table of that number. */
#define HTTP_PAGES_MAX 32

struct http_page;

struct http_settings {
	const char *host; /* a numeric address, or a path if port is 0 */
	unsigned short port;
	struct log *log; /* borrowed until http_free() */
	/* the users who may see pages that are not open (http_page.is_open); NULL if there is no auth_file */
	struct users *users;
	bool is_local; /* true if host is a loopback address or a path */
	struct tls_context *tls; /* NULL if connections are not encrypted; http_new() takes a reference */
	int passed_fd; /* a socket that listens on this address already; http_new() takes it. 0 if there is none */
	/* posted to the main loop when the thread wants a snapshot or table; the loop calls http_take_wanted_tables(),
	 * http_deliver_table() for each wanted table, and last http_deliver_snapshot() */
	struct wake *asked;
};

/* Starts the thread. Returns NULL with *why set, for example if the address can't be bound. */
struct http *http_new(const struct http_settings *settings, struct fail *why);
void http_free(struct http *h); /* waits for the thread's end, and frees h, which may be NULL */
int http_listening_fd(const struct http *h); /* returns the listening socket, borrowed, for a successor */
/* Sets the TLS context of future connections; NULL for no TLS. Takes a reference. Called on http_new()'s thread. */
void http_use_tls(struct http *h, struct tls_context *tls);
/* Sets whether http_free() removes the file of a Unix socket. The default is true, or false with a passed_fd. */
void http_set_path_removal(struct http *h, bool is_own);
/* Returns the set of tables that the thread wants, and empties it. */
unsigned http_take_wanted_tables(struct http *h);
const struct http_page *http_page_of_table(const struct http *h, unsigned number); /* returns the page of this table */
/* Hands over the contents of a table, a JSON array. Takes the bytes of *json, which is empty afterwards. */
void http_deliver_table(struct http *h, unsigned number, struct buf *json);
/* Hands over a snapshot, which the thread then owns; NULL if there was no memory for a snapshot. */
void http_deliver_snapshot(struct http *h, struct snapshot *snapshot);
