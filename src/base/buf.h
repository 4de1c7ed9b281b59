/*
 * src/base/buf.h - a growing byte buffer with a hard limit, for messages that are built, or kept for a short time.
 *
 * A zeroed buffer is valid and empty. It owns its bytes. When the buffer is over its limit or out of memory, is_broken
 * is set, further puts do nothing, and buf_ok() returns false; so a caller builds a whole message, then checks once.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

struct buf {
	uint8_t *bytes;
	size_t len;
	size_t cap;
	size_t limit; /* BUF_LIMIT_DEFAULT if 0 */
	bool is_broken;
};

#define BUF_LIMIT_DEFAULT ((size_t)64 << 20)

void buf_fini(struct buf *b); /* frees the bytes; the zeroed buffer keeps its limit and may be used again */
/* Makes room for len more bytes and returns it, or NULL if over the limit or out of memory. b->len stays the same. */
uint8_t *buf_room(struct buf *b, size_t len);
void buf_put(struct buf *b, const void *bytes, size_t len);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v); /* network order, as are all numbers here */
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_str(struct buf *b, const char *s); /* with a terminator */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* without terminator */
void buf_take_front(struct buf *b, size_t len); /* drops the first len bytes (len <= b->len) */

static inline bool
buf_ok(const struct buf *b)
{
	return !b->is_broken;
}
