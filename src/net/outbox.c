#include "net/outbox.h"

#include <assert.h>
#include <string.h>

#define SMALL_MAX ((size_t)1024)

void
outbox_drop(struct outbox *o)
{
	o->to = NULL;
	o->count = 0;
	o->space_used = o->total = 0;
	o->is_broken = false;
}

static bool
ends_at(const struct iovec *piece, const void *bytes)
{
	return (const uint8_t *)piece->iov_base + piece->iov_len == (const uint8_t *)bytes;
}

/* If the last piece is small, and the piece before it ends where the used part of o->space ends, appends a copy of the
 * last piece to that piece: a copy costs less than one more piece. Called when nothing will extend the last piece. */
static void
join_last(struct outbox *o)
{
	struct iovec *last = &o->pieces[o->count - 1];

	if (o->count < 2 || last->iov_len > SMALL_MAX || o->space_used + last->iov_len > OUTBOX_SPACE ||
	    !ends_at(last - 1, o->space + o->space_used))
		return;
	memcpy(o->space + o->space_used, last->iov_base, last->iov_len);
	o->space_used += last->iov_len;
	last[-1].iov_len += last->iov_len;
	o->count--;
}

static inline void
write_pieces(struct outbox *o)
{
	if (o->space_used > 0)
		join_last(o);
	if (o->count > 0 && !o->is_broken &&
	    stream_write(o->to, o->pieces, o->count) < 0) /* without a peer there are no pieces */
		o->is_broken = true;
}

void
outbox_flush_early(struct outbox *o)
{
	write_pieces(o);
	o->count = 0;
	o->space_used = 0;
}

void
outbox_ref_slowly(struct outbox *o, const void *bytes, size_t len)
{
	if (len == 0)
		return;
	if (o->space_used > 0)
		join_last(o);
	if (o->count == OUTBOX_PIECES)
		outbox_flush_early(o);
	assert(o->count < OUTBOX_PIECES && o->space_used <= OUTBOX_SPACE);
	o->total += len;
	o->pieces[o->count++] = (struct iovec){ (void *)(uintptr_t)bytes, len };
}

/* Returns room for len bytes after the bytes that are in o->space already. len must not exceed half of the space. */
static uint8_t *
take_space(struct outbox *o, size_t len)
{
	uint8_t *room;

	if (o->space_used > 0)
		join_last(o);
	if (o->space_used + len > OUTBOX_SPACE || o->count == OUTBOX_PIECES)
		outbox_flush_early(o);
	room = o->space + o->space_used;
	if (o->count > 0 && ends_at(&o->pieces[o->count - 1], room))
		o->pieces[o->count - 1].iov_len += len;
	else
		o->pieces[o->count++] = (struct iovec){ room, len };
	o->space_used += len;
	o->total += len;
	return room;
}

uint8_t *
outbox_room(struct outbox *o, size_t len)
{
	return o->to == NULL ? NULL : take_space(o, len);
}

void
outbox_copy(struct outbox *o, const void *bytes, size_t len)
{
	if (o->to == NULL || len == 0)
		return;
	if (len > OUTBOX_SPACE / 2) { /* large content is sent in place, before it can go away */
		outbox_ref(o, bytes, len);
		outbox_flush_early(o);
		return;
	}
	memcpy(take_space(o, len), bytes, len);
}

void
outbox_put(struct outbox *o, struct buf *b)
{
	if (buf_ok(b))
		outbox_copy(o, b->bytes, b->len);
	else if (o->to != NULL)
		o->is_broken = true;
	buf_fini(b);
}

int
outbox_flush_slowly(struct outbox *o)
{
	int r;

	write_pieces(o);
	r = o->is_broken ? -1 : 0;
	outbox_drop(o);
	return r;
}

int
outbox_begin(struct outbox *o, struct stream *to)
{
	struct stream *other = o->to == to ? NULL : o->to;

	if (other != NULL && outbox_flush(o) < 0)
		other->is_broken = true;
	o->to = to;
	return other == NULL ? 0 : -1;
}
