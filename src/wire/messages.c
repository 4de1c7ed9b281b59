#include "wire/messages.h"
#include "wire/frame.h"

#include <string.h>

size_t
message_begin(struct buf *b, uint8_t type)
{
	size_t begun;

	buf_put_u8(b, type);
	begun = b->len;
	buf_put_u32(b, 0);
	return begun;
}

void
message_end(struct buf *b, size_t begun)
{
	if (buf_ok(b))
		wire_set_u32(b->bytes + begun, (uint32_t)(b->len - begun));
}

void
message_put(struct buf *b, uint8_t type, const void *body, size_t body_len)
{
	size_t begun = message_begin(b, type);

	buf_put(b, body, body_len);
	message_end(b, begun);
}

/* Appends a message whose body is `before` without its terminator, then `name` with its terminator, then `rest`. */
static void
put_named(struct buf *b, uint8_t type, const char *before, const char *name, const void *rest, size_t rest_len)
{
	size_t begun = message_begin(b, type);

	buf_put(b, before, strlen(before));
	buf_put_str(b, name);
	buf_put(b, rest, rest_len);
	message_end(b, begun);
}

static void
put_field(struct buf *b, uint8_t code, const char *value)
{
	buf_put_u8(b, code);
	buf_put_str(b, value);
}

static void
put_report(struct buf *b, uint8_t type, const char *severity, const char *sqlstate, const char *text,
	   const char *detail, const char *hint)
{
	size_t begun = message_begin(b, type);

	put_field(b, 'S', severity);
	put_field(b, 'V', severity);
	put_field(b, 'C', sqlstate);
	put_field(b, 'M', text);
	if (detail[0] != '\0')
		put_field(b, 'D', detail);
	if (hint[0] != '\0')
		put_field(b, 'H', hint);
	buf_put_u8(b, 0);
	message_end(b, begun);
}

void
message_error(struct buf *b, const char *severity, const struct fail *why)
{
	put_report(b, 'E', severity, why->sqlstate, why->text, why->detail, why->hint);
}

void
message_error_with_hint(struct buf *b, const uint8_t *message, size_t len, const char *hint)
{
	size_t begun = message_begin(b, 'E');

	buf_put(b, message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN - 1);
	put_field(b, 'H', hint);
	buf_put_u8(b, 0);
	message_end(b, begun);
}

void
message_notice(struct buf *b, const char *severity, const struct fail *what)
{
	put_report(b, 'N', severity, what->sqlstate, what->text, what->detail, what->hint);
}

void
message_notice_text(struct buf *b, const char *text)
{
	put_report(b, 'N', "NOTICE", "00000", text, "", "");
}

void
message_ready(struct buf *b, uint8_t transaction_status)
{
	message_put(b, 'Z', &transaction_status, 1);
}

void
message_parameter(struct buf *b, const char *name, const char *value)
{
	put_named(b, 'S', "", name, value, strlen(value) + 1);
}

static void
put_numbered(struct buf *b, uint8_t type, uint32_t number, const void *more, size_t more_len)
{
	size_t begun = message_begin(b, type);

	buf_put_u32(b, number);
	buf_put(b, more, more_len);
	message_end(b, begun);
}

void
message_authentication(struct buf *b, uint32_t code, const void *more, size_t more_len)
{
	put_numbered(b, 'R', code, more, more_len);
}

void
message_key(struct buf *b, uint32_t pid, const uint8_t *key, size_t key_len)
{
	put_numbered(b, 'K', pid, key, key_len);
}

void
message_complete(struct buf *b, const char *tag)
{
	message_put(b, 'C', tag, strlen(tag) + 1);
}

void
message_query(struct buf *b, const char *sql)
{
	message_put(b, 'Q', sql, strlen(sql) + 1);
}

void
message_parse(struct buf *b, const char *name, const void *query_and_types, size_t len)
{
	put_named(b, 'P', "", name, query_and_types, len);
}

void
message_bind_text(struct buf *b, const char *portal, const char *statement, const char *const *values, size_t count)
{
	size_t begun = message_begin(b, 'B');

	buf_put_str(b, portal);
	buf_put_str(b, statement);
	buf_put_u16(b, 0);
	buf_put_u16(b, (uint16_t)count);
	for (size_t i = 0; i < count; i++) {
		size_t len = values[i] == NULL ? 0 : strlen(values[i]);

		buf_put_u32(b, values[i] == NULL ? UINT32_MAX : (uint32_t)len);
		buf_put(b, values[i], len);
	}
	buf_put_u16(b, 0);
	message_end(b, begun);
}

void
message_run(struct buf *b, const char *statement, const char *portal, const char *sql, const char *const *values,
	    size_t count)
{
	size_t begun = message_begin(b, 'P');

	buf_put_str(b, statement);
	buf_put_str(b, sql);
	buf_put_u16(b, 0);
	message_end(b, begun);
	message_bind_text(b, portal, statement, values, count);
	put_named(b, 'E', "", portal, "\0\0\0", 4);
	if (portal[0] != '\0')
		put_named(b, 'C', "P", portal, NULL, 0);
}

void
message_close_statement(struct buf *b, const char *name)
{
	put_named(b, 'C', "S", name, NULL, 0);
}

void
message_sync(struct buf *b)
{
	message_put(b, 'S', NULL, 0);
}
