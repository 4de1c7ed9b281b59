#include "restart/passport_form.h"

#include "wire/frame.h"

#include <string.h>

#define SECRET_SHORT 4u

enum { IS_SHARED = 1, IS_OF_SESSION = 2, IS_PROVEN = 4, IS_TOLD = 8, FLAGS = 16 };

/* --- writing --- */

void
passport_put(struct buf *b, const struct passport *p)
{
	buf_put_u16(b, PASSPORT_VERSION);
	buf_put_u64(b, p->number);
	buf_put_u32(b, p->pool);
	buf_put_str(b, p->database);
	buf_put_str(b, p->user);
	buf_put_u8(b, p->family);
	buf_put_u16(b, p->port);
	buf_put_u32(b, p->scope);
	buf_put(b, p->address, sizeof(p->address));
	buf_put_u64(b, p->connected_us);
	buf_put_u64(b, p->idle_since_us);
	buf_put_u32(b, p->pid);
	buf_put_u8(b, (uint8_t)p->secret_len);
	buf_put(b, p->secret, p->secret_len);
	buf_put_u8(b, p->is_startup_same);
}

size_t
passport_begin(struct buf *b)
{
	buf_put_u32(b, 0);
	return b->len;
}

void
passport_end(struct buf *b, size_t begun)
{
	if (buf_ok(b))
		wire_set_u32(b->bytes + begun - 4, (uint32_t)(b->len - begun));
}

void
passport_put_setting(struct buf *b, const struct image_setting *s)
{
	buf_put_u8(b, (uint8_t)s->kind);
	buf_put_str(b, s->name);
	buf_put_str(b, s->value);
}

void
passport_put_statement(struct buf *b, const struct passport_statement *s)
{
	buf_put_str(b, s->name);
	buf_put_u32(b, s->text);
	buf_put_u32(b, s->shape);
	buf_put_u32(b, s->types);
	buf_put_u8(b, (uint8_t)((s->is_shared ? IS_SHARED : 0) | (s->is_of_session ? IS_OF_SESSION : 0) |
				(s->is_proven ? IS_PROVEN : 0) | (s->is_told ? IS_TOLD : 0)));
}

void
passport_put_text(struct buf *b, const struct passport_text *t)
{
	buf_put_u32(b, (uint32_t)t->query_len);
	buf_put_u32(b, (uint32_t)t->types_len);
	buf_put(b, t->types, t->types_len);
	buf_put(b, t->bytes, t->len);
}

void
passport_put_pool(struct buf *b, const struct passport_pool *p)
{
	buf_put_str(b, p->secret);
	buf_put(b, p->keys, p->keys_len);
}

/* --- reading --- */

/* Takes bytes from the front of what is left; once something is missing, there is nothing any more. */
struct reader {
	struct passport_part left;
	bool is_bad;
};

static const uint8_t *
take_bytes(struct reader *r, size_t len)
{
	const uint8_t *at = r->left.at;

	if (r->is_bad || len > r->left.len) {
		r->is_bad = true;
		return NULL;
	}
	r->left.at += len;
	r->left.len -= len;
	return at;
}

/* A number of so many bytes, in network order; 0 if it is missing. */
static uint64_t
take_number(struct reader *r, size_t len)
{
	const uint8_t *at = take_bytes(r, len);
	uint64_t n = 0;

	for (size_t i = 0; at != NULL && i < len; i++)
		n = n << 8 | at[i];
	return n;
}

/* A string with its terminator; "" if there is none. */
static const char *
take_string(struct reader *r, size_t max)
{
	const uint8_t *end = r->is_bad || r->left.len == 0 ? NULL : memchr(r->left.at, 0, r->left.len);
	const uint8_t *at;

	if (end == NULL || (size_t)(end - r->left.at) > max) {
		r->is_bad = true;
		return "";
	}
	at = take_bytes(r, (size_t)(end - r->left.at) + 1);
	return (const char *)at;
}

static struct passport_part
take_part(struct reader *r)
{
	size_t len = (uint32_t)take_number(r, 4);
	const uint8_t *at = take_bytes(r, len);

	return at == NULL ? (struct passport_part){ 0 } : (struct passport_part){ at, len };
}

bool
passport_next_setting(struct passport_part *part, struct image_setting *out)
{
	struct reader r = { .left = *part };
	uint8_t kind;

	if (part->len == 0)
		return false;
	kind = (uint8_t)take_number(&r, 1);
	out->kind = (enum image_kind)kind;
	out->name = take_string(&r, IMAGE_TEXT_MAX);
	out->value = take_string(&r, IMAGE_TEXT_MAX);
	r.is_bad |= kind > IMAGE_REPORTED;
	if (!r.is_bad)
		*part = r.left;
	return !r.is_bad;
}

bool
passport_next_statement(struct passport_part *part, struct passport_statement *out)
{
	struct reader r = { .left = *part };
	uint8_t flags;

	if (part->len == 0)
		return false;
	out->name = take_string(&r, SIZE_MAX);
	out->text = (uint32_t)take_number(&r, 4);
	out->shape = (uint32_t)take_number(&r, 4);
	out->types = (uint32_t)take_number(&r, 4);
	flags = (uint8_t)take_number(&r, 1);
	out->is_shared = (flags & IS_SHARED) != 0;
	out->is_of_session = (flags & IS_OF_SESSION) != 0;
	out->is_proven = (flags & IS_PROVEN) != 0;
	out->is_told = (flags & IS_TOLD) != 0;
	r.is_bad |= flags >= FLAGS;
	if (!r.is_bad)
		*part = r.left;
	return !r.is_bad;
}

bool
passport_next_channel(struct passport_part *part, const char **out)
{
	struct reader r = { .left = *part };

	if (part->len == 0)
		return false;
	*out = take_string(&r, PASSPORT_NAME_MAX);
	if (!r.is_bad)
		*part = r.left;
	return !r.is_bad;
}

static bool
settings_are_good(struct passport_part part)
{
	struct image_setting s;
	size_t count = 0;

	while (passport_next_setting(&part, &s))
		if (++count > IMAGE_SETTINGS_MAX)
			return false;
	return part.len == 0;
}

static void
take_address(struct reader *r, struct passport *out)
{
	const uint8_t *address;

	out->family = (uint8_t)take_number(r, 1);
	r->is_bad |= out->family != 0 && out->family != 4 && out->family != 6;
	out->port = (uint16_t)take_number(r, 2);
	out->scope = (uint32_t)take_number(r, 4);
	address = take_bytes(r, sizeof(out->address));
	if (address != NULL)
		memcpy(out->address, address, sizeof(out->address));
}

int
passport_parse(const uint8_t *bytes, size_t len, struct passport *out)
{
	struct reader r = { .left = { bytes, len } };
	struct passport_part statements, channels;
	struct passport_statement statement;
	const char *channel;
	const uint8_t *secret;
	uint8_t is_same;

	memset(out, 0, sizeof(*out));
	r.is_bad = (uint16_t)take_number(&r, 2) != PASSPORT_VERSION;
	out->number = take_number(&r, 8);
	out->pool = (uint32_t)take_number(&r, 4);
	out->database = take_string(&r, PASSPORT_NAME_MAX);
	out->user = take_string(&r, PASSPORT_NAME_MAX);
	take_address(&r, out);
	out->connected_us = take_number(&r, 8);
	out->idle_since_us = take_number(&r, 8);
	out->pid = (uint32_t)take_number(&r, 4);
	out->secret_len = (uint8_t)take_number(&r, 1);
	r.is_bad |= out->secret_len != SECRET_SHORT && out->secret_len != PASSPORT_SECRET_MAX;
	secret = take_bytes(&r, out->secret_len);
	if (secret != NULL)
		memcpy(out->secret, secret, out->secret_len);
	is_same = (uint8_t)take_number(&r, 1);
	out->is_startup_same = is_same == 1;
	out->settings = take_part(&r);
	out->startup = take_part(&r);
	out->statements = take_part(&r);
	out->channels = take_part(&r);
	out->input = take_part(&r);
	if (r.is_bad || r.left.len > 0 || is_same > 1 || (out->is_startup_same && out->startup.len > 0))
		return -1;
	statements = out->statements;
	channels = out->channels;
	while (passport_next_statement(&statements, &statement))
		continue;
	while (statements.len == 0 && passport_next_channel(&channels, &channel))
		continue;
	return settings_are_good(out->settings) && settings_are_good(out->startup) && statements.len == 0 &&
		       channels.len == 0
		   ? 0
		   : -1;
}

int
passport_parse_text(const uint8_t *bytes, size_t len, struct passport_text *out)
{
	struct reader r = { .left = { bytes, len } };
	size_t count;

	out->query_len = (uint32_t)take_number(&r, 4);
	out->types_len = (uint32_t)take_number(&r, 4);
	out->types = take_bytes(&r, out->types_len);
	out->bytes = r.left.at;
	out->len = r.left.len;
	/* The query, its terminator, and the number of parameter types with as many types. */
	if (r.is_bad || out->query_len > out->len || out->len - out->query_len < 3 ||
	    memchr(out->bytes, 0, out->len) != out->bytes + out->query_len)
		return -1;
	count = (size_t)(out->bytes[out->query_len + 1] << 8 | out->bytes[out->query_len + 2]);
	return out->len - out->query_len - 3 == count * 4 ? 0 : -1;
}

int
passport_parse_pool(const uint8_t *bytes, size_t len, size_t keys_len, struct passport_pool *out)
{
	struct reader r = { .left = { bytes, len } };

	out->secret = take_string(&r, SIZE_MAX);
	out->keys = r.left.at;
	out->keys_len = r.left.len;
	return !r.is_bad && (out->keys_len == 0 || out->keys_len == keys_len) ? 0 : -1;
}
