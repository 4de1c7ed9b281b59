/* src/http/http_pages.c - see http_state.h. */
#include "http/http_state.h"

#include "base/alloc.h"
#include "base/clock.h"

#include "status_page.h" /* made of src/http/status.{html,js,css} */

#include <string.h>

#define FRESH_US (250 * US_PER_MS)
#define JSON_TYPE "application/json; charset=utf-8"
#define TEXT_TYPE "text/plain; charset=utf-8"
/* Bytes; compressing takes several times as long as rendering, so that none is for this host. */
#define GZIP_FROM 4096

int
http_pages_init(struct http_pages *p, const struct http_settings *settings)
{
	memset(p, 0, sizeof(*p));
	p->log = settings->log;
	p->version = xstrdup(settings->version);
	p->users = users_ref(settings->users);
	p->is_local = settings->is_local;
	return http_guesses_init(&p->guesses);
}

static void
forget_rendered(struct http_pages *p)
{
	for (size_t i = 0; i < EXPOSITION_FORMATS; i++) {
		buf_fini(&p->rendered[i].text);
		buf_fini(&p->rendered[i].gzip);
	}
}

void
http_pages_fini(struct http_pages *p)
{
	forget_rendered(p);
	snapshot_free(p->last);
	for (int t = 0; t < HTTP_TABLES; t++)
		buf_fini(&p->tables[t]);
	users_unref(p->users);
	http_guesses_fini(&p->guesses);
	free(p->version);
}

void
http_pages_take(struct http_pages *p, struct snapshot *snapshot, uint64_t now_us)
{
	/* The next rendering will be about as long, so that its memory is kept: megabytes of fresh pages cost more than
	 * the rendering. */
	for (size_t i = 0; i < EXPOSITION_FORMATS; i++)
		p->rendered[i].text.len = p->rendered[i].gzip.len = 0;
	snapshot_free(p->last);
	p->last = snapshot;
	p->taken_us = now_us;
	history_add(&p->history, snapshot, clock_wall_us());
}

void
http_pages_note(struct http_pages *p, struct snapshot *snapshot, uint64_t now_us)
{
	if (p->last == NULL) {
		http_pages_take(p, snapshot, now_us);
		p->taken_us = 0;
		return;
	}
	history_add(&p->history, snapshot, clock_wall_us());
	snapshot_free(snapshot);
}

void
http_pages_take_table(struct http_pages *p, enum http_table t, struct buf *json, uint64_t now_us)
{
	buf_fini(&p->tables[t]);
	p->tables[t] = *json;
	p->tables_us[t] = now_us;
	memset(json, 0, sizeof(*json));
}

bool
http_page_is_fresh(const struct http_pages *p, const struct http_page *page, uint64_t now_us)
{
	if (page->table < HTTP_TABLES)
		return p->tables_us[page->table] != 0 && now_us - p->tables_us[page->table] < FRESH_US;
	return !page->needs_snapshot || (p->last != NULL && now_us - p->taken_us < FRESH_US);
}

static void
set_text(struct http_reply *r, int code, const char *text)
{
	r->code = code;
	r->content_type = TEXT_TYPE;
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
render(struct http_pages *p, enum exposition_format format, bool wants_gzip)
{
	struct http_rendered *r = &p->rendered[format];

	if (r->text.len == 0) {
		p->last->scrape_duration = p->scrape_duration;
		metrics_render(p->last, format, &r->text);
	}
	if (!buf_ok(&r->text))
		return -1;
	if (wants_gzip && r->text.len > GZIP_FROM && r->gzip.len == 0)
		return http_gzip(&r->gzip, r->text.bytes, r->text.len);
	return 0;
}

static void
fill_metrics(struct http_pages *p, const struct http_ask *ask, struct buf *body, struct http_reply *r)
{
	static const char *const types[EXPOSITION_FORMATS] = {
		[EXPOSITION_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
		[EXPOSITION_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
	};
	enum exposition_format format =
	    http_prefers_openmetrics(ask->accept) ? EXPOSITION_OPENMETRICS : EXPOSITION_TEXT;
	const struct http_rendered *rendered = &p->rendered[format];
	bool wants_gzip = !p->is_local && http_accepts_gzip(ask->accept_encoding);

	(void)body;
	r->is_scrape = true;
	if (p->last == NULL) {
		set_text(r, HTTP_SERVUNAVAIL, "the event loop does not answer, and never has\n");
		return;
	}
	if (render(p, format, wants_gzip) < 0) {
		log_error(p->log, "/metrics: out of memory");
		forget_rendered(p);
		set_text(r, HTTP_INTERNAL, "out of memory\n");
		return;
	}
	r->varies = true;
	r->is_gzip = wants_gzip && rendered->text.len > GZIP_FROM;
	set_built(r, HTTP_OK, types[format], r->is_gzip ? &rendered->gzip : &rendered->text);
}

static void
fill_health(struct http_pages *p, const struct http_ask *ask, struct buf *body, struct http_reply *r)
{
	const struct snapshot *s = p->last;
	const struct snapshot_worker *silent = NULL; /* the first that hangs */

	for (size_t i = 0; s != NULL && silent == NULL && i < s->worker_count; i++)
		if (s->workers[i].is_silent)
			silent = &s->workers[i];
	if (ask->is_alive && silent != NULL) {
		buf_printf(body, "worker %u does not answer\n", silent->number);
		set_built(r, HTTP_SERVUNAVAIL, TEXT_TYPE, body);
	} else if (ask->is_alive)
		set_text(r, HTTP_OK, "ok\n");
	else
		set_text(r, HTTP_SERVUNAVAIL, "the event loop does not answer\n");
}

static void
fill_ready(struct http_pages *p, const struct http_ask *ask, struct buf *body, struct http_reply *r)
{
	bool is_ready = ask->is_alive && p->last->not_ready_count == 0;

	buf_printf(body, "{\"ready\":%s,\"reasons\":[", is_ready ? "true" : "false");
	http_put_reasons(ask->is_alive ? p->last : NULL, ask->is_alive, body);
	buf_printf(body, "]}\n");
	set_built(r, is_ready ? HTTP_OK : HTTP_SERVUNAVAIL, JSON_TYPE, body);
}

static void
fill_status(struct http_pages *p, const struct http_ask *ask, struct buf *body, struct http_reply *r)
{
	http_put_status(p, ask->is_alive, body);
	set_built(r, HTTP_OK, JSON_TYPE, body);
}

static void
fill_history(struct http_pages *p, const struct http_ask *ask, struct buf *body, struct http_reply *r)
{
	unsigned long seconds = HISTORY_SAMPLES;

	if (strncmp(ask->query, "seconds=", 8) == 0)
		seconds = strtoul(ask->query + 8, NULL, 10);
	history_put(&p->history, seconds < HISTORY_SAMPLES ? (unsigned)seconds : HISTORY_SAMPLES, body);
	set_built(r, HTTP_OK, JSON_TYPE, body);
}

static void
fill_table(struct http_pages *p, const struct http_ask *ask, struct buf *body, struct http_reply *r)
{
	const struct buf *json = &p->tables[http_page_find(ask->path)->table];

	(void)body;
	if (!ask->is_alive || json->len == 0)
		set_text(r, HTTP_SERVUNAVAIL, "the event loop does not answer\n");
	else
		set_built(r, HTTP_OK, JSON_TYPE, json);
}

#define FILL_FILE(name, type, file)                                                                                    \
	static void fill_##name(struct http_pages *p, const struct http_ask *ask, struct buf *body,                    \
				struct http_reply *r)                                                                  \
	{                                                                                                              \
		(void)p;                                                                                               \
		(void)ask;                                                                                             \
		(void)body;                                                                                            \
		r->code = HTTP_OK;                                                                                     \
		r->content_type = type;                                                                                \
		r->body = (const char *)file;                                                                          \
		r->body_len = sizeof(file);                                                                            \
	}
FILL_FILE(page, "text/html; charset=utf-8", status_html)
FILL_FILE(script, "text/javascript; charset=utf-8", status_js)
FILL_FILE(style, "text/css; charset=utf-8", status_css)

static const struct http_page pages[] = {
	{ "/metrics", true, false, HTTP_TABLES, fill_metrics },
	{ "/healthz", true, false, HTTP_TABLES, fill_health },
	{ "/readyz", true, false, HTTP_TABLES, fill_ready },
	{ "/", false, true, HTTP_TABLES, fill_page },
	{ "/status.js", false, true, HTTP_TABLES, fill_script },
	{ "/status.css", false, true, HTTP_TABLES, fill_style },
	{ "/api/v1/status", true, true, HTTP_TABLES, fill_status },
	{ "/api/v1/history", false, true, HTTP_TABLES, fill_history },
	{ "/api/v1/pools", false, true, HTTP_POOLS, fill_table },
	{ "/api/v1/backends", false, true, HTTP_BACKENDS, fill_table },
	{ "/api/v1/holders", false, true, HTTP_HOLDERS, fill_table },
	{ "/api/v1/queries", false, true, HTTP_QUERIES, fill_table },
	{ "/api/v1/slow", false, true, HTTP_SLOW, fill_table },
	{ "/api/v1/events", false, true, HTTP_EVENTS, fill_table },
	{ "/api/v1/workers", false, true, HTTP_WORKERS, fill_table },
	{ "/api/v1/budget", false, true, HTTP_BUDGET, fill_table },
};

const struct http_page *
http_page_find(const char *path)
{
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (strcmp(pages[i].path, path) == 0)
			return &pages[i];
	return NULL;
}

bool
http_page_may_see(struct http_pages *p, const struct http_page *page, const struct http_ask *ask, uint64_t now_us,
		  struct http_reply *r)
{
	if (!page->is_private)
		return true;
	if (p->users != NULL) {
		enum http_proof proof =
		    http_guesses_check(&p->guesses, p->users, ask->authorization, ask->peer, now_us, &r->retry_after_s);

		r->wants_password = proof == HTTP_UNPROVED;
		if (proof == HTTP_UNPROVED)
			set_text(r, 401, "name and password of [http] auth_file, please\n");
		else if (proof == HTTP_TOO_SOON)
			set_text(r, 429, "too soon after a wrong password\n");
		return proof == HTTP_PROVED;
	}
	if (!p->is_local && !http_is_from_here(ask->peer))
		set_text(r, 403,
			 "the status page shows SQL and users: beyond loopback it needs [http] auth_file; "
			 "/metrics, /healthz and /readyz are open\n");
	else if (!http_is_own_host(ask->host))
		set_text(r, 403, "ask by address or as localhost\n");
	else
		return true;
	return false;
}

void
http_page_fill(struct http_pages *p, const struct http_ask *ask, struct buf *body, struct http_reply *r)
{
	const struct http_page *page = http_page_find(ask->path);

	if (!ask->is_read_only) {
		set_text(r, HTTP_BADMETHOD, "only GET and HEAD\n");
		r->allow = "GET, HEAD";
	} else if (page == NULL)
		set_text(r, HTTP_NOTFOUND, "not found; try /, /metrics, /healthz or /readyz\n");
	else
		page->fill(p, ask, body, r);
}
