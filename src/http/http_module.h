/*
 * src/http/http_module.h - what the HTTP thread shows: its own pages, and those of modules (modules/modules.h), each a
 * list of them.
 *
 * Always: once it runs, all of this is called on the HTTP thread alone, for whoever may see the page.
 */
#pragma once

#include "modules/modules.h"
#include "telemetry/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_EVERY_US (1000 * 1000) /* without requests, snapshots are no closer together than this */

struct http_pages; /* http_state.h */
struct http_reply;
struct sockaddr;

struct http_ask {
	const char *path, *query; /* query: "" if there is none */
	const char *accept, *accept_encoding, *authorization, *host; /* headers; NULL: not there */
	const struct sockaddr *peer; /* NULL: not known */
	struct http_pages *pages;
	const struct snapshot *snapshot; /* the last one; NULL: none yet */
	void *state; /* the page's */
	bool is_read_only; /* GET or HEAD */
	bool is_alive; /* the loop answered just now */
};

/* A page is a file, or rows of a console command as JSON, which the loop makes, or what fill() makes. */
struct http_page {
	const char *path; /* NULL: the end of a list */
	bool is_open; /* to everybody; the others are for those in [http] auth_file, or for loopback */
	bool needs_snapshot; /* that is fresh */
	const char *file_type; /* with its charset */
	const unsigned char *file;
	size_t file_len;
	const char *command;
	size_t rows_max;
	void (*fill)(const struct http_ask *ask, struct buf *body, struct http_reply *r); /* body: empty */
	size_t state_len; /* of its state, which is zeroed at first, and freed as it is */
	/* Hears of each new snapshot. Returns when it wants the next one, if nobody asks before. NULL: never */
	uint64_t (*note)(void *state, const struct snapshot *s);
};

extern const struct http_page *const http_modules[]; /* modules/modules.c; ends with NULL */

/* --- http_pages.c, for fill() --- */
void http_reply_json(struct http_reply *r, int code, const struct buf *body); /* 500 if there was no memory for it */
/* Appends why it is not ready, as the elements of a JSON array. s may be NULL. */
void http_put_reasons(const struct snapshot *s, bool is_alive, struct buf *to);
