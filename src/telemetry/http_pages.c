/* src/telemetry/http_pages.c - see http_state.h. */
#include "telemetry/http_state.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/escape.h"
#include "telemetry/metrics.h"

#include <stdlib.h>
#include <string.h>

#define FRESH_US (250 * US_PER_MS)
#define GZIP_FROM 4096 /* bytes */

void
http_pages_init(struct http_pages *p, const char *version, struct log *log)
{
	memset(p, 0, sizeof(*p));
	p->log = log;
	p->version = xstrdup(version);
}

static void
forget_rendered(struct http_pages *p)
{
	buf_fini(&p->text);
	buf_fini(&p->gzip);
}

void
http_pages_fini(struct http_pages *p)
{
	forget_rendered(p);
	snapshot_free(p->last);
	free(p->version);
}

void
http_pages_take(struct http_pages *p, struct snapshot *snapshot, uint64_t now_us)
{
	forget_rendered(p);
	snapshot_free(p->last);
	p->last = snapshot;
	p->taken_us = now_us;
}

bool
http_pages_are_fresh(const struct http_pages *p, uint64_t now_us)
{
	return p->last != NULL && now_us - p->taken_us < FRESH_US;
}

void
http_pages_observe(struct http_pages *p, uint64_t scrape_us)
{
	histogram_observe_us(&p->scrape_duration, &histogram_bounds_proxy, scrape_us);
}

static void
set_text(struct http_reply *r, int code, const char *text)
{
	r->code = code;
	r->content_type = "text/plain; charset=utf-8";
	r->body = text;
	r->body_len = strlen(text);
}

static void
set_built(struct http_reply *r, int code, const char *content_type, const struct buf *body)
{
	if (!buf_ok(body)) {
		set_text(r, HTTP_INTERNAL, "out of memory\n");
		return;
	}
	r->code = code;
	r->content_type = content_type;
	r->body = (const char *)body->bytes;
	r->body_len = body->len;
}

static int
render(struct http_pages *p, bool wants_gzip)
{
	if (p->text.len == 0) {
		p->last->scrape_duration = p->scrape_duration;
		metrics_render(p->last, &p->text);
	}
	if (!buf_ok(&p->text))
		return -1;
	if (wants_gzip && p->text.len > GZIP_FROM && p->gzip.len == 0)
		return http_gzip(&p->gzip, p->text.bytes, p->text.len);
	return 0;
}

void
http_page_metrics(struct http_pages *p, const char *accept_encoding, struct http_reply *r)
{
	bool wants_gzip = http_accepts_gzip(accept_encoding);

	r->is_scrape = true;
	if (p->last == NULL) {
		set_text(r, HTTP_SERVUNAVAIL, "the event loop does not answer, and never has\n");
		return;
	}
	if (render(p, wants_gzip) < 0) {
		log_error(p->log, "/metrics: out of memory");
		forget_rendered(p);
		set_text(r, HTTP_INTERNAL, "out of memory\n");
		return;
	}
	r->varies = p->text.len > GZIP_FROM;
	r->is_gzip = wants_gzip && r->varies;
	set_built(r, HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", r->is_gzip ? &p->gzip : &p->text);
}

void
http_page_health(bool is_alive, struct http_reply *r)
{
	if (is_alive)
		set_text(r, HTTP_OK, "ok\n");
	else
		set_text(r, HTTP_SERVUNAVAIL, "the event loop does not answer\n");
}

static void
put_reason(struct buf *json, const char *reason, bool is_first)
{
	char escaped[sizeof(((struct snapshot *)0)->not_ready[0]) * 6];

	escape_text(ESCAPE_JSON, reason, strlen(reason), escaped, sizeof(escaped));
	buf_printf(json, "%s\"%s\"", is_first ? "" : ",", escaped);
}

void
http_page_ready(const struct http_pages *p, bool is_alive, struct buf *body, struct http_reply *r)
{
	bool is_ready = is_alive && p->last->not_ready_count == 0;

	buf_printf(body, "{\"ready\":%s,\"reasons\":[", is_ready ? "true" : "false");
	if (!is_alive)
		put_reason(body, "the event loop does not answer", true);
	else
		for (size_t i = 0; i < p->last->not_ready_count; i++)
			put_reason(body, p->last->not_ready[i], i == 0);
	buf_printf(body, "]}\n");
	set_built(r, is_ready ? HTTP_OK : HTTP_SERVUNAVAIL, "application/json; charset=utf-8", body);
}

void
http_page_index(const struct http_pages *p, struct buf *body, struct http_reply *r)
{
	buf_printf(
	    body,
	    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>pgweir</title></head><body>\n"
	    "<h1>pgweir %s</h1>\n<ul>\n"
	    "<li><a href=\"/metrics\">/metrics</a>: for Prometheus</li>\n"
	    "<li><a href=\"/healthz\">/healthz</a>: 200 while the event loop turns</li>\n"
	    "<li><a href=\"/readyz\">/readyz</a>: 200 while clients are served, else 503 and why not</li>\n"
	    "</ul>\n</body></html>\n",
	    p->version);
	set_built(r, HTTP_OK, "text/html; charset=utf-8", body);
}

void
http_page_not_found(struct http_reply *r)
{
	set_text(r, HTTP_NOTFOUND, "not found; try /metrics, /healthz or /readyz\n");
}

void
http_page_bad_method(struct http_reply *r)
{
	set_text(r, HTTP_BADMETHOD, "only GET and HEAD\n");
	r->allow = "GET, HEAD";
}
