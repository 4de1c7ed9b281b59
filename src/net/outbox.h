/*
 * src/net/outbox.h - collects the output of one batch to one peer, so that one system call sends it.
 *
 * Pieces are referenced in place (they must stay there until the flush) or, if small or short-lived, copied to the
 * outbox's own space. Each loop owns two outboxes, one to clients and one to servers, which are empty whenever the loop
 * is entered. The batch of one peer ends before the batch of another begins, so code that handles one client's packet
 * must not send anything for another client.
 */
#pragma once

#include "base/buf.h"
#include "net/stream.h"

#define OUTBOX_PIECES 64
#define OUTBOX_SPACE ((size_t)32 << 10)

struct outbox {
	struct stream *to; /* the batch's peer; NULL if there is no batch: then bytes that are added are dropped */
	int count;
	bool is_broken; /* memory ran out: bytes were lost, and the stream must be closed */
	size_t space_used;
	size_t total; /* bytes added since outbox_begin */
	struct iovec pieces[OUTBOX_PIECES];
	uint8_t space[OUTBOX_SPACE];
};

/* Begins or continues a batch for this peer. o must be zeroed or dropped before its first use. Returns 0, or -1 if
 * another peer's batch was under way, which is a bug of the caller. Then the bytes so far were sent to the other peer,
 * but the other peer does not get the rest of its batch. */
int outbox_begin(struct outbox *o, struct stream *to);
void outbox_drop(struct outbox *o); /* discards the content and forgets the peer */
void outbox_ref_slowly(struct outbox *o, const void *bytes, size_t len);
/* Adds bytes by reference: they must stay where they are until outbox_flush. */
__attribute__((always_inline)) static inline void
outbox_ref(struct outbox *o, const void *bytes, size_t len)
{
	struct iovec *last = &o->pieces[o->count];

	if (o->to == NULL)
		return;
	if (o->count == 0 && len > 0) { /* the usual case: the batch is one piece */
		*last = (struct iovec){ (void *)(uintptr_t)bytes, len };
		o->count = 1;
		o->total += len;
	} else if (o->count > 0 && (const uint8_t *)last[-1].iov_base + last[-1].iov_len == (const uint8_t *)bytes &&
		   (const uint8_t *)bytes != o->space + o->space_used) {
		last[-1].iov_len += len; /* the bytes directly follow the last piece */
		o->total += len;
	} else
		outbox_ref_slowly(o, bytes, len);
}
void outbox_copy(struct outbox *o, const void *bytes, size_t len);
void outbox_put(struct outbox *o, struct buf *b); /* appends b's bytes and frees b; sets is_broken without memory */
/* Adds len bytes (1 to OUTBOX_SPACE / 2), and returns where the caller must write them before anything else is added;
 * NULL if there is no peer. */
uint8_t *outbox_room(struct outbox *o, size_t len);
/* Sends the batch so far, because referenced bytes are about to go away. */
void outbox_flush_early(struct outbox *o);
int outbox_flush_slowly(struct outbox *o);

/* Returns true if the batch is one referenced piece, so that outbox_take() can take it. */
static inline bool
outbox_is_one(const struct outbox *o)
{
	return o->count == 1 && o->space_used == 0 && !o->is_broken;
}

/* Returns the batch for the caller to send. The outbox is then empty and has no peer. */
static inline struct iovec
outbox_take(struct outbox *o)
{
	o->to = NULL;
	o->count = 0;
	o->total = 0;
	return o->pieces[0];
}

/* Sends the batch. Returns 0, or -1 if bytes were lost (no memory). The outbox is then empty and has no peer. */
__attribute__((always_inline)) static inline int
outbox_flush(struct outbox *o)
{
	struct stream *to = o->to;
	struct iovec batch;

	if (!outbox_is_one(o))
		return outbox_flush_slowly(o);
	batch = outbox_take(o);
	return stream_write(to, &batch, 1);
}
