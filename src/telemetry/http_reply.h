/* src/telemetry/http_reply.h - answers to HTTP requests: headers that all have, and compression where it is wanted. */
#ifndef PGWEIR_TELEMETRY_HTTP_REPLY_H
#define PGWEIR_TELEMETRY_HTTP_REPLY_H

#include "base/buf.h"

#include <event2/http.h>
#include <stdbool.h>
#include <stddef.h>

struct http_reply {
	int code;
	const char *content_type; /* with its charset */
	const char *body;
	size_t body_len;
	bool is_gzip; /* the body is compressed */
	bool varies; /* with Accept-Encoding */
	bool is_last; /* close the connection after it */
	bool is_scrape; /* its time is to be measured */
	const char *allow; /* NULL, or the methods that would be right */
};

void http_reply_send(struct evhttp_request *request, const struct http_reply *reply);
/* Does this Accept-Encoding header (NULL: none) want gzip? */
bool http_accepts_gzip(const char *accept_encoding);
/* Appends text to to, compressed. -1: no memory. */
int http_gzip(struct buf *to, const void *text, size_t text_len);

#endif
