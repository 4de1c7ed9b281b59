/*
 * src/telemetry/http.h - /metrics, /healthz, /readyz and / on a thread and event base of their own (evhttp).
 *
 * The thread never touches the loop's data: it asks for a snapshot and waits for it (at most 1 s; then it uses the
 * last one, and /healthz says 503). A snapshot younger than 250 ms is used again, so that hostile scraping is cheap.
 * GET and HEAD only; at most 32 connections; a request must come within 5 s, its answer be taken within 10 s, or the
 * connection is closed; headers up to 8 KiB; no bodies.
 * Closes last at shutdown (metrics of the drain can still be read).
 */
#ifndef PGWEIR_TELEMETRY_HTTP_H
#define PGWEIR_TELEMETRY_HTTP_H

#include "base/fail.h"
#include "base/log.h"
#include "telemetry/snapshot.h"

struct http; /* opaque: http.c */

struct http_settings {
	const char *host; /* numeric address, or a path when port is 0 */
	unsigned short port;
	const char *version;
	struct log *log; /* not used by the thread after http_free */
};

/* Starts the thread. NULL and why if the address cannot be bound. */
struct http *http_new(const struct http_settings *settings, struct fail *why);
void http_free(struct http *h); /* stops and joins */
/* A descriptor that is readable whenever the thread wants a snapshot: the loop watches it ... */
int http_request_fd(const struct http *h);
/* ... and then calls this, with a snapshot the thread takes over (it frees it), or NULL if there was no memory for one.
 * Clears the descriptor. */
void http_answer(struct http *h, struct snapshot *snapshot);

#endif
