/* src/http/http_reply.c - see http_state.h. */
#include "http/http_state.h"
#include "base/text.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <zlib.h>

/* A page's script and style are files of its own; nothing comes from other sites, and only images may be inline. */
#define HTTP_POLICY                                                                                                    \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "                 \
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
#define GZIP_WINDOW (15 + 16) /* zlib's code for the gzip format */
#define GZIP_LEVEL 1 /* metrics repeat themselves: level 4 takes two thirds longer and saves a tenth */

/* Sends the reply. evhttp would send a body for HEAD, too, so the body is left out here, but not its length. */
void
http_reply_send(struct evhttp_request *request, const struct http_reply *reply)
{
	bool is_head = evhttp_request_get_command(request) == EVHTTP_REQ_HEAD;
	struct evbuffer *body = evbuffer_new();
	char length[24];
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);

	evhttp_add_header(headers, "Content-Type", reply->content_type);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_add_header(headers, "Referrer-Policy", "no-referrer");
	evhttp_add_header(headers, "Content-Security-Policy", HTTP_POLICY);
	if (reply->is_gzip)
		evhttp_add_header(headers, "Content-Encoding", "gzip");
	if (reply->varies)
		evhttp_add_header(headers, "Vary", "Accept, Accept-Encoding");
	if (reply->allow != NULL)
		evhttp_add_header(headers, "Allow", reply->allow);
	if (reply->wants_password)
		evhttp_add_header(headers, "WWW-Authenticate", "Basic realm=\"pgweir\", charset=\"UTF-8\"");
	if (reply->retry_after_s > 0) {
		char seconds[16];

		snprintf(seconds, sizeof(seconds), "%u", reply->retry_after_s);
		evhttp_add_header(headers, "Retry-After", seconds);
	}
	if (reply->is_last)
		evhttp_add_header(headers, "Connection", "close");
	snprintf(length, sizeof(length), "%zu", reply->body_len);
	evhttp_add_header(headers, "Content-Length", length);
	if (body != NULL && evbuffer_add(body, reply->body, is_head ? 0 : reply->body_len) == 0)
		evhttp_send_reply(request, reply->code, NULL, body);
	else
		evhttp_connection_free(evhttp_request_get_connection(request));
	if (body != NULL)
		evbuffer_free(body);
}

/* Returns a pointer, into the item, to the value of the parameter `name`; NULL if the item has no such parameter. An
 * item is, for example, " text/plain; version=0.0.4; q=0.5". */
static const char *
find_parameter(const char *item, size_t len, const char *name)
{
	size_t name_len = strlen(name);

	for (size_t i = 0; i + name_len + 1 < len; i++)
		if ((item[i] == ';' || item[i] == ' ') && strncasecmp(item + i + 1, name, name_len) == 0 &&
		    item[i + 1 + name_len] == '=')
			return item + i + 2 + name_len;
	return NULL;
}

/* Returns true if an item like " gzip ; q=0.5" names this coding with a weight above 0. */
static bool
is_wanted(const char *item, size_t len, const char *coding)
{
	const char *weight = find_parameter(item, len, "q"), *end = memchr(item, ';', len);
	size_t name_len = end != NULL ? (size_t)(end - item) : len;

	trim_blanks(&item, &name_len);
	if (name_len != strlen(coding) || strncasecmp(item, coding, name_len) != 0)
		return false;
	return weight == NULL || strtod(weight, NULL) > 0;
}

bool
http_accepts_gzip(const char *accept_encoding)
{
	for (const char *at = accept_encoding; at != NULL && *at != '\0'; at += *at == ',') {
		size_t len = strcspn(at, ",");

		if (is_wanted(at, len, "gzip") || is_wanted(at, len, "x-gzip"))
			return true;
		at += len;
	}
	return false;
}

bool
http_prefers_openmetrics(const char *accept)
{
	double open = 0, text = 0;

	for (const char *at = accept; at != NULL && *at != '\0'; at += *at == ',') {
		size_t len = strcspn(at, ",");
		const char *weight = find_parameter(at, len, "q"), *version = find_parameter(at, len, "version");
		double q = weight == NULL ? 1 : strtod(weight, NULL);

		if (is_wanted(at, len, "application/openmetrics-text") &&
		    (version == NULL || strncmp(version, "1.0.0", 5) == 0))
			open = q > open ? q : open;
		else if (is_wanted(at, len, "text/plain") || is_wanted(at, len, "text/*"))
			text = q > text ? q : text;
		at += len;
	}
	return open > 0 && open >= text;
}

int
http_gzip(struct buf *to, const void *text, size_t text_len)
{
	z_stream z = { .next_in = (z_const Bytef *)text, .avail_in = (uInt)text_len };
	uint8_t *room;
	size_t cap;
	int result;

	if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -1;
	cap = deflateBound(&z, (uLong)text_len);
	room = buf_room(to, cap);
	if (room == NULL) {
		deflateEnd(&z);
		return -1;
	}
	z.next_out = room;
	z.avail_out = (uInt)cap;
	result = deflate(&z, Z_FINISH);
	to->len += cap - z.avail_out;
	deflateEnd(&z);
	return result == Z_STREAM_END ? 0 : -1;
}
