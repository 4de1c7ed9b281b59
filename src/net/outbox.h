/*
 * src/net/outbox.h - collects what goes to one peer in one batch, so that it leaves with one system call.
 *
 * Pieces are referenced where they lie (they must stay there until the flush) or, when small or short-lived, copied
 * to the outbox's own space. The loop owns one for each direction; it is empty whenever the loop is entered. One peer's
 * batch ends before another's begins: whoever works on one client's packet does nothing for another client.
 */
#ifndef PGWEIR_NET_OUTBOX_H
#define PGWEIR_NET_OUTBOX_H

#include "net/stream.h"

#define OUTBOX_PIECES 64
#define OUTBOX_SPACE ((size_t)32 << 10)

struct outbox {
	struct stream *to; /* whose batch this is; NULL: nobody's, what is put is dropped */
	int count;
	bool is_broken; /* no memory: bytes were lost, the stream must be closed */
	size_t space_used;
	size_t total; /* bytes put since outbox_begin */
	struct iovec pieces[OUTBOX_PIECES];
	uint8_t space[OUTBOX_SPACE];
};

/*
 * A batch for this peer begins, or goes on. -1: another peer's was under way, which is a bug of the caller's. What it
 * held has been sent, but what follows for that peer is lost. o is zeroed or dropped before its first use.
 */
int outbox_begin(struct outbox *o, struct stream *to);
void outbox_drop(struct outbox *o); /* its peer gets none of it, and the outbox is nobody's */
void outbox_ref_slowly(struct outbox *o, const void *bytes, size_t len);
/* bytes stay where they are until outbox_flush. */
static inline void
outbox_ref(struct outbox *o, const void *bytes, size_t len)
{
	struct iovec *last = &o->pieces[o->count > 0 ? o->count - 1 : 0];

	if (o->count > 0 && (const uint8_t *)last->iov_base + last->iov_len == (const uint8_t *)bytes &&
	    o->to != NULL && (const uint8_t *)bytes != o->space + o->space_used) {
		last->iov_len += len; /* right behind what goes before it */
		o->total += len;
	} else
		outbox_ref_slowly(o, bytes, len);
}
void outbox_copy(struct outbox *o, const void *bytes, size_t len);
/* What was referenced is about to go away: the batch so far leaves now. */
void outbox_settle(struct outbox *o);
/* Sends what is there; 0, or -1: bytes were lost (no memory). The outbox is empty and nobody's then. */
int outbox_flush(struct outbox *o);

#endif
