#include "base/buf.h"
#include "base/resources.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* the largest error message, which must be sent even when there is no memory for anything else */
#define SMALL_MAX ((size_t)4096)

void
buf_fini(struct buf *b)
{
	free(b->bytes);
	b->bytes = NULL;
	b->len = b->cap = 0;
	b->is_broken = false;
}

uint8_t *
buf_room(struct buf *b, size_t len)
{
	size_t limit = b->limit ? b->limit : BUF_LIMIT_DEFAULT, cap;
	uint8_t *grown;

	assert(b->len <= b->cap);
	if (b->is_broken)
		return NULL;
	if (len <= b->cap - b->len)
		return b->bytes + b->len;
	if (len > limit || b->len > limit - len) {
		b->is_broken = true;
		return NULL;
	}
	cap = b->cap < 64 ? 64 : b->cap;
	while (cap < b->len + len)
		cap += cap / 2;
	if (cap > limit)
		cap = limit;
	grown = cap <= SMALL_MAX ? memory_realloc(b->bytes, cap) : realloc(b->bytes, cap);
	if (grown == NULL) {
		b->is_broken = true;
		return NULL;
	}
	b->bytes = grown;
	b->cap = cap;
	return b->bytes + b->len;
}

void
buf_put(struct buf *b, const void *bytes, size_t len)
{
	uint8_t *to;

	if (len == 0)
		return;
	to = buf_room(b, len);
	if (to != NULL) {
		memcpy(to, bytes, len);
		b->len += len;
	}
}

void
buf_put_u8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, 1);
}

void
buf_put_u16(struct buf *b, uint16_t v)
{
	const uint8_t net[2] = { (uint8_t)(v >> 8), (uint8_t)v };

	buf_put(b, net, sizeof(net));
}

void
buf_put_u32(struct buf *b, uint32_t v)
{
	const uint8_t net[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

	buf_put(b, net, sizeof(net));
}

void
buf_put_u64(struct buf *b, uint64_t v)
{
	buf_put_u32(b, (uint32_t)(v >> 32));
	buf_put_u32(b, (uint32_t)v);
}

void
buf_put_str(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s) + 1);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int len;
	uint8_t *to;

	va_start(ap, fmt);
	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0)
		b->is_broken = true;
	else if ((to = buf_room(b, (size_t)len + 1)) != NULL) {
		vsnprintf((char *)to, (size_t)len + 1, fmt, again);
		b->len += (size_t)len;
	}
	va_end(again);
}

void
buf_drop_front(struct buf *b, size_t len)
{
	if (len == 0)
		return;
	assert(len <= b->len);
	b->len -= len;
	memmove(b->bytes, b->bytes + len, b->len);
}
