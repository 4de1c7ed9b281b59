/*
 * tests/fuzz/fuzz_frame.c - any bytes as a stream of messages, each body read as every kind that pgweir parses.
 *
 * Besides memory safety it checks: strings end within the body; a message built again from its parts has the same
 * bytes.
 */
#include "wire/fields.h"
#include "wire/frame.h"
#include "wire/messages.h"
#include "fuzz.h"

static bool
is_within(const char *text, const uint8_t *body, size_t len)
{
	const uint8_t *at = (const uint8_t *)text;

	return at >= body && at < body + len && memchr(at, 0, len - (size_t)(at - body)) != NULL;
}

static void
check_error(const uint8_t *body, size_t len)
{
	struct error_fields e;

	fields_read_error(body, len, &e);
	must(e.severity == NULL || is_within(e.severity, body, len));
	must(e.message == NULL || is_within(e.message, body, len));
	must(e.sqlstate == NULL || (is_within(e.sqlstate, body, len) && strlen(e.sqlstate) == 5));
	must(!fields_error_is_fatal(&e) || e.severity != NULL);
}

static void
check_same(struct buf *b, const uint8_t *body, size_t len)
{
	must(buf_ok(b) && b->len == FRAME_HEAD_LEN + len && wire_u32(b->bytes + 1) == len + 4);
	must(memcmp(b->bytes + FRAME_HEAD_LEN, body, len) == 0);
	buf_fini(b);
}

static void
check_parameter(const uint8_t *body, size_t len)
{
	const char *name, *value;
	struct buf b = { 0 };

	if (!fields_read_parameter(body, len, &name, &value))
		return;
	message_parameter(&b, name, value);
	check_same(&b, body, len);
}

static void
check_parse(const uint8_t *body, size_t len)
{
	struct parse_fields p;
	struct buf b = { 0 };

	if (!fields_read_parse(body, len, &p))
		return;
	must(p.query_len == strlen((const char *)p.rest) && (p.rest_len - p.query_len - 3) % 4 == 0);
	message_parse(&b, p.name, p.rest, p.rest_len);
	check_same(&b, body, len);
}

static void
check_names(const uint8_t *body, size_t len)
{
	const char *portal, *statement, *name;
	uint8_t kind;
	size_t names_len;

	if (fields_read_bind(body, len, &portal, &statement, &names_len)) {
		must(is_within(portal, body, len) && is_within(statement, body, len));
		must(names_len == strlen(portal) + strlen(statement) + 2 && names_len <= len);
	}
	if (fields_read_target(body, len, &kind, &name)) {
		must((kind == 'S' || kind == 'P') && strlen(name) + 2 == len);
		if (kind == 'S') {
			struct buf b = { 0 };

			message_close_statement(&b, name);
			check_same(&b, body, len);
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		struct frame f;
		enum frame_result r = frame_parse(data + at, size - at, &f);
		size_t avail, len;
		uint8_t *body;

		if (r != FRAME_OK) {
			must(r == FRAME_BAD || size - at < FRAME_HEAD_LEN);
			return 0;
		}
		must(f.body_len <= FRAME_BODY_MAX && frame_client_limit(f.type) <= FRAME_BODY_MAX);
		avail = size - at - FRAME_HEAD_LEN;
		len = f.body_len < avail ? f.body_len : avail; /* a cut body is read, too */
		body = malloc(len > 0 ? len : 1);
		must(body != NULL);
		memcpy(body, data + at + FRAME_HEAD_LEN, len);
		check_error(body, len);
		check_parameter(body, len);
		check_parse(body, len);
		check_names(body, len);
		free(body);
		at += FRAME_HEAD_LEN + len;
	}
	return 0;
}
