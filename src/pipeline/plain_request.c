/* src/pipeline/plain_request.c - see plain_request.h. */
#include "pipeline/plain_request.h"
#include "wire/fields.h"
#include "wire/frame.h"
#include "wire/ledger.h"

#include <string.h>

/* The last message that was read; messages come in this order. */
enum stage { NOTHING_READ, PARSED, BOUND, DESCRIBED, EXECUTED };

struct reader {
	struct plain_request *b;
	unsigned kind_count;
	enum stage stage;
};

static bool
add_kind(struct reader *r, enum owed_kind kind)
{
	r->b->kinds |= (uint32_t)(kind + 1) << 4 * r->kind_count++;
	return true;
}

static bool
take_query(struct reader *r, const uint8_t *body, size_t len)
{
	if (len == 0 || body[len - 1] != 0)
		return false;
	r->b->sql = (const char *)body;
	r->b->sql_len = len - 1;
	return add_kind(r, OWED_QUERY);
}

static bool
take_parse(struct reader *r, const uint8_t *body, size_t len)
{
	struct parse_fields f;

	if (r->stage != NOTHING_READ || !fields_read_parse(body, len, &f) || f.name[0] != '\0')
		return false;
	r->stage = PARSED;
	r->b->sql = (const char *)f.rest;
	r->b->sql_len = f.query_len;
	return add_kind(r, OWED_PARSE);
}

static bool
take_bind(struct reader *r, const uint8_t *body, size_t len)
{
	const char *portal;
	size_t names_len;

	if (r->stage >= BOUND || !fields_read_bind(body, len, &portal, &r->b->statement_name, &names_len) ||
	    portal[0] != '\0' || (r->b->sql == NULL) == (r->b->statement_name[0] == '\0'))
		return false;
	r->b->bind = body - FRAME_HEAD_LEN;
	r->b->bind_len = FRAME_HEAD_LEN + len;
	r->stage = BOUND;
	return add_kind(r, OWED_BIND);
}

static bool
take(struct reader *r, uint8_t type, const uint8_t *body, size_t len)
{
	switch (type) {
	case 'P':
		return take_parse(r, body, len);
	case 'B':
		return take_bind(r, body, len);
	case 'D':
		if (r->stage != BOUND || len != 2 || memcmp(body, "P", 2) != 0)
			return false;
		r->stage = DESCRIBED;
		return add_kind(r, OWED_DESCRIBE_PORTAL);
	case 'E':
		if ((r->stage != BOUND && r->stage != DESCRIBED) || len != 5 || memcmp(body, "\0\0\0\0\0", 5) != 0)
			return false;
		r->stage = EXECUTED;
		return add_kind(r, OWED_EXECUTE);
	default:
		return false;
	}
}

bool
plain_request_parse(const uint8_t *bytes, size_t len, struct plain_request *b)
{
	struct reader r = { .b = b };
	struct frame f;
	size_t at = 0;

	memset(b, 0, sizeof(*b));
	while (frame_parse_whole(bytes + at, len - at, &f)) {
		const uint8_t *body = bytes + at + FRAME_HEAD_LEN;

		at += FRAME_HEAD_LEN + (size_t)f.body_len;
		if (b->first_len == 0)
			b->first_len = at;
		if (f.type == 'Q')
			return r.kind_count == 0 && at == len && take_query(&r, body, f.body_len);
		if (f.type == 'S')
			return r.stage == EXECUTED && at == len && f.body_len == 0 && add_kind(&r, OWED_SYNC);
		if (!take(&r, f.type, body, f.body_len))
			return false;
	}
	return false;
}
