/* src/net/outbox.c - see outbox.h. */
#include "net/outbox.h"

#include <string.h>

#define SMALL ((size_t)1024)

void
outbox_drop(struct outbox *o)
{
	o->to = NULL;
	o->count = 0;
	o->space_used = o->total = 0;
	o->is_broken = false;
}

/* Out of pieces or space: what is there leaves now, the batch goes on. */
static void
send_now(struct outbox *o)
{
	if (o->to != NULL && o->count > 0 && stream_write(o->to, o->pieces, o->count) < 0)
		o->is_broken = true;
	o->count = 0;
	o->space_used = 0;
}

static void
add(struct outbox *o, const void *bytes, size_t len)
{
	struct iovec *last = o->count > 0 ? &o->pieces[o->count - 1] : NULL;

	if (last != NULL && (const uint8_t *)last->iov_base + last->iov_len == (const uint8_t *)bytes) {
		last->iov_len += len;
		return;
	}
	if (o->count == OUTBOX_PIECES)
		send_now(o);
	o->pieces[o->count].iov_base = (void *)(uintptr_t)bytes;
	o->pieces[o->count++].iov_len = len;
}

void
outbox_ref_slowly(struct outbox *o, const void *bytes, size_t len)
{
	struct iovec *last = o->count > 0 ? &o->pieces[o->count - 1] : NULL;

	if (len == 0 || o->to == NULL)
		return;
	o->total += len;
	/* Small bytes right behind copied ones: one piece less is cheaper than the copy. */
	if (last != NULL && len <= SMALL && o->space_used + len <= OUTBOX_SPACE &&
	    (const uint8_t *)last->iov_base + last->iov_len == o->space + o->space_used) {
		memcpy(o->space + o->space_used, bytes, len);
		o->space_used += len;
		last->iov_len += len;
		return;
	}
	add(o, bytes, len);
}

void
outbox_copy(struct outbox *o, const void *bytes, size_t len)
{
	if (o->to == NULL || len == 0)
		return;
	if (len > OUTBOX_SPACE / 2) { /* large: send it from where it lies, before it can go away */
		outbox_ref(o, bytes, len);
		send_now(o);
		return;
	}
	o->total += len;
	if (o->space_used + len > OUTBOX_SPACE || o->count == OUTBOX_PIECES)
		send_now(o);
	memcpy(o->space + o->space_used, bytes, len);
	o->space_used += len;
	add(o, o->space + o->space_used - len, len);
}

void
outbox_settle(struct outbox *o)
{
	send_now(o);
}

int
outbox_flush(struct outbox *o)
{
	int r;

	send_now(o);
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
