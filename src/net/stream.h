/*
 * src/net/stream.h - one connected socket: reads on demand, writes at once, keeps what the peer doesn't take now.
 *
 * One persistent read event; a write event only while bytes are queued. In the steady state no epoll_ctl, no
 * allocation, no copy but the kernel's. TLS lives here too, invisible to callers.
 *
 * Owns:   the descriptor and its queue. Embedded in its owner, which outlives it.
 * Always: after stream_close no callback comes; callbacks come only from the event loop, never from within a call.
 */
#ifndef PGWEIR_NET_STREAM_H
#define PGWEIR_NET_STREAM_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct stream_ops {
	void (*on_readable)(void *arg); /* call stream_read; also when the peer has gone */
	void (*on_drained)(void *arg); /* the queue fell below STREAM_QUEUE_HIGH, or ran empty */
};

struct tls_session; /* tls.h */
struct handshake; /* handshake.c */

struct stream {
	struct event event;
	const struct stream_ops *ops;
	void *arg;
	uint8_t *queue; /* NULL when nothing is queued */
	uint32_t queue_off, queue_len, queue_cap;
	struct tls_session *tls; /* NULL: in the clear */
	struct handshake *handshake; /* under way; the owner does not read or write meanwhile */
	int fd; /* -1: closed */
	bool is_reading; /* wanted by the owner */
	bool is_broken; /* a write failed: the owner hears of it as of the peer's going */
	short interest; /* what the event is registered for */
};

enum stream_result { STREAM_OK, STREAM_AGAIN, STREAM_EOF, STREAM_ERROR };

/* Takes fd, which is non-blocking. Begins with reading on. -1: no memory (fd is closed then). */
int stream_open(struct stream *s, struct event_base *base, int fd, const struct stream_ops *ops, void *arg);
/* Closes and frees what it holds. Fine if never opened but zeroed with fd = -1, and twice. */
void stream_close(struct stream *s);
/* At most cap bytes into buf; *got of them. ERROR: errno says what. */
enum stream_result stream_read(struct stream *s, void *buf, size_t cap, size_t *got);
/*
 * Sends all pieces in order, in one call if the peer takes them; what it doesn't take is copied to the queue. -1: no
 * memory. A dead peer is not an error here: bytes are dropped and on_readable comes soon.
 */
int stream_write(struct stream *s, const struct iovec *pieces, int count);
/* Reading off: back-pressure. */
void stream_set_reading(struct stream *s, bool on);

static inline size_t
stream_queued(const struct stream *s)
{
	return s->queue_len;
}

/* Above this many queued bytes the owner should stop reading what it writes here from. */
#define STREAM_QUEUE_HIGH ((size_t)128 << 10)

static inline bool
stream_is_full(const struct stream *s)
{
	return s->queue_len > STREAM_QUEUE_HIGH;
}

#endif
