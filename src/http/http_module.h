/*
 * src/http/http_module.h - the pages that the HTTP thread serves: its own, and those of modules (modules/modules.h).
 * Each module has a list of pages.
 *
 * Always: when the thread runs, callbacks and functions here are called on it alone, for requests that may see the
 *         page.
 */
#pragma once

#include "modules/modules.h"
#include "telemetry/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_EVERY_US (1000 * 1000) /* without requests, snapshots are at least this far apart */

struct http_pages; /* defined in http_state.h */
struct http_reply;
struct sockaddr;

struct http_request_info {
	const char *path, *query; /* query is "" if there is none */
	const char *accept, *accept_encoding, *authorization, *host; /* headers; NULL if not sent */
	const struct sockaddr *peer; /* NULL if not known */
	struct http_pages *pages;
	const struct snapshot *snapshot; /* the newest snapshot; NULL if none has come yet */
	void *state; /* the page's state */
	bool is_read_only; /* true for GET and HEAD */
	bool is_alive; /* true unless the loop has failed to answer this request in time */
};

/* A page is a file, or the rows of a console command in JSON, which the loop makes, or the result of fill(). */
struct http_page {
	const char *path; /* NULL after the last page of a list */
	/* true if every client may see it; the others need a user of [http] auth_file, or a loopback address */
	bool is_open;
	bool needs_snapshot; /* true if fill() needs a fresh snapshot */
	const char *file_type; /* with its charset */
	const unsigned char *file;
	size_t file_len;
	const char *command;
	size_t rows_max;
	void (*fill)(const struct http_request_info *info, struct buf *body,
		     struct http_reply *r); /* body is empty at first */
	size_t state_len; /* bytes of the page's state, which is zeroed at first, and owns no other memory */
	/* Called with each new snapshot. Returns the time at which the page wants the next snapshot, even if no request
	 * needs one. NULL if the page needs snapshots only for requests. */
	uint64_t (*on_snapshot)(void *state, const struct snapshot *s);
};

extern const struct http_page *const http_modules[]; /* defined in modules/modules.c; NULL after the last */

/* --- http_pages.c: for fill() --- */
void http_reply_json(struct http_reply *r, int code, const struct buf *body); /* replies 500 if body lacks memory */
/* Appends the reasons why pgweir is not ready, as elements of a JSON array. s may be NULL. */
void http_put_reasons(const struct snapshot *s, bool is_alive, struct buf *to);
