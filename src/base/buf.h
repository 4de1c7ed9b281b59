/*
 * src/base/buf.h - a growing byte buffer with a hard limit, for messages that are being built or are kept for a short
 * time.
 *
 * A zeroed buffer is valid and empty. A buffer owns its bytes. If the bytes would exceed the limit, or if memory runs
 * out, is_broken is set. From then on, nothing is appended, and buf_ok() returns false. So a caller builds a whole
 * message, and then calls buf_ok() once.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

struct buf {
	uint8_t *bytes;
	size_t len;
	size_t cap;
	size_t limit; /* the most bytes; 0 stands for BUF_LIMIT_DEFAULT */
	bool is_broken;
};

#define BUF_LIMIT_DEFAULT ((size_t)64 << 20)

void buf_fini(struct buf *b); /* frees the bytes and clears is_broken; the limit stays, and b may be used again */
/* Makes room for len more bytes at the end. Returns a pointer to this room, or NULL with is_broken set. b->len stays
 * the same, so a caller that writes there must add to b->len. */
uint8_t *buf_room(struct buf *b, size_t len);
void buf_put(struct buf *b, const void *bytes, size_t len);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v); /* in network byte order, like the numbers below */
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_str(struct buf *b, const char *s); /* appends s with its terminator */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* adds no terminator */
void buf_drop_front(struct buf *b, size_t len); /* drops the first len bytes (len <= b->len) */

static inline bool
buf_ok(const struct buf *b)
{
	return !b->is_broken;
}
