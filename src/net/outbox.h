/*
 * src/net/outbox.h - collects the output of one batch to one peer, so that one system call can send all of it.
 *
 * A piece of output is a reference to bytes that must stay in place until the flush, or, for small or short-lived
 * bytes, a copy in the outbox's own space. Each event loop has two outboxes, one for clients and one for servers; both
 * are empty when control returns to the loop. The batch of one peer ends before the batch of another begins, so code
 * that handles input from one client must not send anything to another client.
 */
#pragma once

#include "base/buf.h"
#include "net/stream.h"

#define OUTBOX_PIECES 64
#define OUTBOX_SPACE ((size_t)32 << 10)

struct outbox {
	struct stream *to; /* the batch's peer; NULL if there is no batch, in which case added bytes are dropped */
	int count; /* number of pieces */
	bool is_broken; /* true if bytes were lost because there was no memory; the stream must then be closed */
	size_t space_used;
	size_t total; /* bytes added since outbox_begin() */
	struct iovec pieces[OUTBOX_PIECES];
	uint8_t space[OUTBOX_SPACE];
};

/* Begins or continues a batch for this peer. o must be zeroed before its first use. Returns 0. Returns -1 if the batch
 * of another peer had not ended, which is a bug in the caller: the other peer's batch is then sent, but bytes that the
 * caller still adds for the other peer would go to `to`. */
int outbox_begin(struct outbox *o, struct stream *to);
void outbox_drop(struct outbox *o); /* discards the batch */
void outbox_ref_slowly(struct outbox *o, const void *bytes, size_t len); /* a part of outbox_ref() */
/* Adds a reference to bytes, which must stay in place until outbox_flush(). */
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
void outbox_copy(struct outbox *o, const void *bytes, size_t len); /* adds a copy of bytes, or sends them at once */
/* Adds a copy of b's bytes and frees b. If b is broken (see buf_ok()), sets is_broken instead. */
void outbox_put(struct outbox *o, struct buf *b);
/* Adds len bytes (1 to OUTBOX_SPACE / 2), and returns a pointer to these bytes, which the caller must write before it
 * adds anything else. Returns NULL if there is no peer. */
uint8_t *outbox_room(struct outbox *o, size_t len);
/* Sends the pieces so far, because referenced bytes are about to go away. The batch goes on. */
void outbox_flush_early(struct outbox *o);
int outbox_flush_slowly(struct outbox *o); /* a part of outbox_flush() */

/* Returns true if the batch is a single reference, as outbox_take() requires. */
static inline bool
outbox_is_one(const struct outbox *o)
{
	return o->count == 1 && o->space_used == 0 && !o->is_broken;
}

/* Ends the batch and returns its only piece, which the caller sends. */
static inline struct iovec
outbox_take(struct outbox *o)
{
	o->to = NULL;
	o->count = 0;
	o->total = 0;
	return o->pieces[0];
}

/* Ends the batch and sends it. Returns 0, or -1 if bytes were lost because there was no memory. */
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
