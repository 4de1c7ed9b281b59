/*
 * src/http/http_module.h - the pages that the HTTP thread serves: its own, and those of modules (modules/modules.h).
 * Each module may have a list of pages.
 *
 * Always: functions and callbacks here run only on the HTTP thread. fill() runs only if the request may see the page.
 */
#pragma once

#include "modules/modules.h"
#include "telemetry/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_EVERY_US (1000 * 1000) /* about the shortest time between snapshots that no request needs */

struct http_pages; /* defined in http_state.h */
struct http_reply;
struct sockaddr;

struct http_request_info {
	const char *path, *query; /* query is the text after "?", or "" */
	const char *accept, *accept_encoding, *authorization, *host; /* headers; NULL if not sent */
	const struct sockaddr *peer; /* NULL if not known */
	struct http_pages *pages;
	const struct snapshot *snapshot; /* the newest snapshot; NULL if none has come yet */
	void *state; /* the page's state, of http_page.state_len bytes; NULL if state_len is 0 */
	bool is_read_only; /* true for GET and HEAD */
	bool is_alive; /* false if the main loop has not answered in time */
};

/* A page is a file, or a table (a command's rows, which the main loop delivers as JSON), or is made by fill(). */
struct http_page {
	const char *path; /* NULL after the last page of a list */
	/* true if every client may see the page; otherwise the client must have the password of a user in [http]
	 * auth_file or, if there is no auth_file, must come from this host */
	bool is_open;
	bool needs_snapshot; /* true if fill() needs a snapshot that is less than 250 ms old */
	const char *file_type; /* the file's Content-Type, with its charset */
	const unsigned char *file;
	size_t file_len;
	const char *command; /* a console command, such as "SHOW POOLS" */
	size_t rows_max; /* the limit on the table's rows */
	void (*fill)(const struct http_request_info *info, struct buf *body,
		     struct http_reply *r); /* body is empty at first */
	size_t state_len; /* bytes of the page's state, which is zeroed at first, and must not own other memory */
	/* Called with each new snapshot. Returns the time at which the page wants the next snapshot, even if no request
	 * comes. The callback is NULL if the page needs snapshots only for requests. */
	uint64_t (*on_snapshot)(void *state, const struct snapshot *s);
};

extern const struct http_page *const http_module_pages[]; /* defined in modules/modules.c; NULL after the last */

/* --- http_pages.c: for fill() --- */
void http_reply_json(struct http_reply *r, int code, const struct buf *body); /* code becomes 500 if body is broken */
/* Appends the reasons why pgweir is not ready, as elements of a JSON array. s is info->snapshot. */
void http_put_reasons(const struct snapshot *s, bool is_alive, struct buf *to);
