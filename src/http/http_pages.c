/* src/http/http_pages.c - see http_state.h. */
#include "http/http_state.h"
#include "base/alloc.h"
#include "base/escape.h"

#include <assert.h>

#define FRESH_US (250 * US_PER_MS)
#define TEXT_TYPE "text/plain; charset=utf-8"
/* bytes; longer metrics are compressed, unless the HTTP address is local: compressing takes several times as long as
 * rendering */
#define GZIP_FROM 4096

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
	for (unsigned i = 0; i < p->served_count; i++) {
		buf_fini(&p->served[i].table);
		buf_fini(&p->served[i].incoming_table);
		free(p->served[i].state);
	}
	users_unref(p->users);
	http_guesses_fini(&p->guesses);
}

static void
pass_to_pages(struct http_pages *p, const struct snapshot *s)
{
	p->due_us = UINT64_MAX;
	for (const struct http_served *of = p->served; of < p->served + p->served_count; of++)
		if (of->page->on_snapshot != NULL) {
			uint64_t due_us = of->page->on_snapshot(of->state, s);

			p->due_us = due_us < p->due_us ? due_us : p->due_us;
		}
}

void
http_pages_take(struct http_pages *p, struct snapshot *snapshot, bool is_awaited, uint64_t now_us)
{
	pass_to_pages(p, snapshot);
	if (!is_awaited && p->last != NULL) {
		snapshot_free(snapshot);
		return;
	}
	/* The buffers keep their memory for the next rendering, which will be about as long: megabytes of fresh memory
	 * would cost more time than the rendering. */
	for (size_t i = 0; i < EXPOSITION_FORMATS; i++)
		p->rendered[i].text.len = p->rendered[i].gzip.len = 0;
	snapshot_free(p->last);
	p->last = snapshot;
	p->taken_us = is_awaited ? now_us : 0;
}

void
http_pages_take_tables(struct http_pages *p, uint64_t now_us)
{
	for (struct http_served *of = p->served; of < p->served + p->served_count; of++)
		if (of->incoming_table.len > 0) {
			buf_fini(&of->table);
			of->table = of->incoming_table;
			of->incoming_table = (struct buf){ 0 };
			of->table_us = now_us;
		}
}

bool
http_page_is_fresh(const struct http_pages *p, const struct http_served *served, uint64_t now_us)
{
	if (served->table_bit != 0)
		return served->table_us != 0 && now_us - served->table_us < FRESH_US;
	return !served->page->needs_snapshot || (p->last != NULL && now_us - p->taken_us < FRESH_US);
}

static void
set_body(struct http_reply *r, int code, const char *content_type, const void *body, size_t body_len)
{
	r->code = code;
	r->content_type = content_type;
	r->body = body;
	r->body_len = body_len;
}

static void
set_text(struct http_reply *r, int code, const char *text)
{
	set_body(r, code, TEXT_TYPE, text, strlen(text));
}

static void
set_buffer(struct http_reply *r, int code, const char *content_type, const struct buf *body)
{
	if (buf_ok(body))
		set_body(r, code, content_type, body->bytes, body->len);
	else
		set_text(r, HTTP_INTERNAL, "out of memory\n");
}

void
http_reply_json(struct http_reply *r, int code, const struct buf *body)
{
	set_buffer(r, code, "application/json; charset=utf-8", body);
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
fill_metrics(const struct http_request_info *info, struct buf *body, struct http_reply *r)
{
	static const char *const types[EXPOSITION_FORMATS] = {
		[EXPOSITION_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
		[EXPOSITION_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
	};
	struct http_pages *p = info->pages;
	enum exposition_format format =
	    http_prefers_openmetrics(info->accept) ? EXPOSITION_OPENMETRICS : EXPOSITION_TEXT;
	const struct http_rendered *rendered = &p->rendered[format];
	bool wants_gzip = !p->is_local && http_accepts_gzip(info->accept_encoding);

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
	set_buffer(r, HTTP_OK, types[format], r->is_gzip ? &rendered->gzip : &rendered->text);
}

static void
fill_health(const struct http_request_info *info, struct buf *body, struct http_reply *r)
{
	const struct snapshot *s = info->snapshot;
	const struct snapshot_worker *silent = NULL; /* the first worker that does not answer */

	for (size_t i = 0; s != NULL && silent == NULL && i < s->worker_count; i++)
		if (s->workers[i].is_silent)
			silent = &s->workers[i];
	if (info->is_alive && silent != NULL) {
		buf_printf(body, "worker %u does not answer\n", silent->number);
		set_buffer(r, HTTP_SERVUNAVAIL, TEXT_TYPE, body);
	} else if (info->is_alive)
		set_text(r, HTTP_OK, "ok\n");
	else
		set_text(r, HTTP_SERVUNAVAIL, "the event loop does not answer\n");
}

void
http_put_reasons(const struct snapshot *s, bool is_alive, struct buf *to)
{
	if (!is_alive)
		json_put_string(to, "the event loop does not answer");
	for (size_t i = 0; s != NULL && i < s->not_ready_count; i++) {
		buf_printf(to, "%s", i > 0 || !is_alive ? "," : "");
		json_put_string(to, s->not_ready[i]);
	}
}

static void
fill_ready(const struct http_request_info *info, struct buf *body, struct http_reply *r)
{
	bool is_ready = info->is_alive && info->snapshot->not_ready_count == 0;

	buf_printf(body, "{\"ready\":%s,\"reasons\":[", is_ready ? "true" : "false");
	http_put_reasons(info->is_alive ? info->snapshot : NULL, info->is_alive, body);
	buf_printf(body, "]}\n");
	http_reply_json(r, is_ready ? HTTP_OK : HTTP_SERVUNAVAIL, body);
}

static const struct http_page own_pages[] = {
	{ "/metrics", .is_open = true, .needs_snapshot = true, .fill = fill_metrics },
	{ "/healthz", .is_open = true, .needs_snapshot = true, .fill = fill_health },
	{ "/readyz", .is_open = true, .needs_snapshot = true, .fill = fill_ready },
	{ .path = NULL },
};

static void
add_pages(struct http_pages *p, const struct http_page *page)
{
	for (; page->path != NULL; page++) {
		struct http_served *served = &p->served[p->served_count];

		assert(p->served_count < HTTP_PAGES_MAX);
		served->page = page;
		served->state = page->state_len > 0 ? xcalloc(1, page->state_len) : NULL;
		served->table_bit = page->command != NULL ? 1u << p->served_count : 0;
		p->due_us = page->on_snapshot != NULL ? 0 : p->due_us;
		p->served_count++;
	}
}

int
http_pages_init(struct http_pages *p, const struct http_settings *settings)
{
	memset(p, 0, sizeof(*p));
	p->log = settings->log;
	p->users = users_ref(settings->users);
	p->is_local = settings->is_local;
	p->due_us = UINT64_MAX;
	add_pages(p, own_pages);
	for (size_t i = 0; http_module_pages[i] != NULL; i++)
		add_pages(p, http_module_pages[i]);
	return http_guesses_init(&p->guesses);
}

const struct http_served *
http_served_find(const struct http_pages *p, const char *path)
{
	for (unsigned i = 0; i < p->served_count; i++)
		if (strcmp(p->served[i].page->path, path) == 0)
			return &p->served[i];
	return NULL;
}

bool
http_page_check_access(const struct http_page *page, const struct http_request_info *info, uint64_t now_us,
		       struct http_reply *r)
{
	struct http_pages *p = info->pages;

	if (page->is_open)
		return true;
	if (p->users != NULL) {
		enum http_proof proof = http_guesses_check(&p->guesses, p->users, info->authorization, info->peer,
							   now_us, &r->retry_after_s);

		r->wants_password = proof == HTTP_UNPROVED;
		if (proof == HTTP_UNPROVED)
			set_text(r, 401, "log in with a name and password of [http] auth_file\n");
		else if (proof == HTTP_TOO_SOON)
			set_text(r, 429, "too soon after a wrong password\n");
		return proof == HTTP_PROVED;
	}
	if (!p->is_local && !http_is_loopback_peer(info->peer))
		set_text(r, 403,
			 "this page shows SQL and users: beyond loopback it needs [http] auth_file; "
			 "/metrics, /healthz and /readyz are open\n");
	else if (!http_host_is_ip_or_localhost(info->host))
		set_text(r, 403, "ask for this page by IP address or as localhost\n");
	else
		return true;
	return false;
}

void
http_page_fill(struct http_request_info *info, struct buf *body, struct http_reply *r)
{
	struct http_pages *p = info->pages;
	const struct http_served *served = http_served_find(p, info->path);

	if (!info->is_read_only) {
		set_text(r, HTTP_BADMETHOD, "only GET and HEAD\n");
		r->allow = "GET, HEAD";
	} else if (served == NULL)
		set_text(r, HTTP_NOTFOUND,
			 "not found; try " HTTP_MODULES(HTTP_MODULE_PATH) "/metrics, /healthz or /readyz\n");
	else if (served->page->file != NULL)
		set_body(r, HTTP_OK, served->page->file_type, served->page->file, served->page->file_len);
	else if (served->page->fill != NULL) {
		info->snapshot = p->last;
		info->state = served->state;
		served->page->fill(info, body, r);
	} else if (!info->is_alive || served->table.len == 0)
		set_text(r, HTTP_SERVUNAVAIL, "the event loop does not answer\n");
	else
		http_reply_json(r, HTTP_OK, &served->table);
}
