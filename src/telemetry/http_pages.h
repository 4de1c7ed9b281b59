/*
 * src/telemetry/http_pages.h - what the metrics thread has to show: the last snapshot, and each page's bytes.
 *
 * The metrics of a snapshot are rendered once, and compressed once, however many ask.
 * Owns: the snapshot, the rendered text. Borrows: the log.
 */
#ifndef PGWEIR_TELEMETRY_HTTP_PAGES_H
#define PGWEIR_TELEMETRY_HTTP_PAGES_H

#include "base/buf.h"
#include "base/log.h"
#include "telemetry/http_reply.h"
#include "telemetry/snapshot.h"

#include <stdbool.h>
#include <stdint.h>

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

#endif
