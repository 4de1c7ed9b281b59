/*
 * src/net/stream.h - one connected socket: reads on demand, writes at once, and queues bytes that the peer doesn't take
 * now.
 *
 * A stream has one persistent read event, and a write event only while bytes are queued. In the steady state there is
 * no epoll_ctl, no allocation, and no copy but the kernel's. TLS is part of a stream, invisible to callers.
 *
 * Owns:   the descriptor and its queue. Embedded in its owner, which outlives it.
 * Always: after stream_close() no callback comes. Callbacks come only from the event loop, never from within a call of
 *         the owner.
 */
#pragma once

#include "net/helpers.h"
#include "net/tls.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct stream;
struct tls_scratch; /* opaque: stream_tls.c; shared by the loop's streams */
struct handshake; /* handshake.c */

/* Callbacks of a stream. Each gets the stream, which is the first member of its owner. */
struct stream_ops {
	void (*on_readable)(struct stream *s); /* calls stream_read(); also called when the peer has gone */
	void (*on_drained)(struct stream *s); /* the queue fell below STREAM_QUEUE_HIGH, or ran empty */
	/* Called while the owner does not read: once when the peer has ended its sending side (is_gone is false), and
	 * once when it has ended both sides (is_gone is true). May be NULL. */
	void (*on_ended)(struct stream *s, bool is_gone);
};

/* How much of the connection the peer has ended. */
enum stream_end { STREAM_END_NONE, STREAM_END_HALF, STREAM_END_BOTH };

/* Bytes that the peer has not taken yet: stream.queue_len bytes, from off on. */
struct stream_queue {
	uint32_t off, cap;
	uint8_t bytes[];
};

struct stream {
	struct event event;
	const struct stream_ops *ops;
	struct stream_queue *queue; /* NULL when nothing is queued */
	union {
		struct tls_session *secured; /* NULL without TLS */
		struct handshake *handshake; /* set while is_in_handshake; the owner must not read or write meanwhile */
	};
	uint32_t queue_len;
	int fd; /* -1 if the stream is closed */
	bool is_in_handshake; /* a TLS handshake is under way */
	bool is_reading; /* the owner wants to read */
	bool is_suspended; /* reading is off although the owner may want it: see stream_suspend */
	bool is_broken; /* a write failed: to the owner, the stream looks as if the peer had gone */
	uint8_t end; /* enum stream_end: the state that on_ended was last called for */
	short interest; /* events for which the event is registered */
};

/* Returns the TLS session, or NULL without TLS and before the handshake is over. */
static inline struct tls_session *
stream_tls(const struct stream *s)
{
	return s->is_in_handshake ? NULL : s->secured;
}

enum stream_result { STREAM_OK, STREAM_AGAIN, STREAM_EOF, STREAM_ERROR };

/* Takes over fd, which must be non-blocking. Reading is on at first. Returns 0, or -1 without memory (fd is then
 * closed). */
int stream_open(struct stream *s, struct event_base *base, int fd, const struct stream_ops *ops);
/* Closes the stream and frees its memory. The stream may be closed already, or zeroed with fd = -1. */
void stream_close(struct stream *s);
/* stream_unhook() and stream_hook() move the stream, which must not be in a handshake, to another loop. stream_unhook()
 * runs on the loop that has the stream, while no function of the stream's owner is running there; stream_hook() runs on
 * the other loop. In between no code uses the stream. Input and room for output that arrive in between are noticed
 * after stream_hook(). */
void stream_unhook(struct stream *s);
void stream_hook(struct stream *s, struct event_base *base, struct inbox *inbox, struct tls_scratch *scratch);
/* Returns true if there is input to read, or the peer has gone. */
bool stream_is_readable(const struct stream *s);
void stream_set_broken(struct stream *s); /* nothing more can be written: on_readable is called later */
/* Parts of stream_read(): the first is for TLS and for closed streams; the second is for a recv() that has returned
 * `got`, which is 0 or less. */
enum stream_result stream_read_slowly(struct stream *s, void *buf, size_t cap, size_t *got);
enum stream_result stream_classify_failed_read(const struct stream *s, ssize_t got) __attribute__((cold));
/* Parts of stream_write(): the first is for all but a single piece with nothing queued before it; the second is for
 * bytes that the peer has not taken. `sent` is the number of bytes that the peer took, or -1 with errno set. */
int stream_write_slowly(struct stream *s, const struct iovec *pieces, int count);
int stream_keep_rest(struct stream *s, const struct iovec *pieces, int count, ssize_t sent) __attribute__((cold));

/* recv() and send() of the C library are cancellation points: in a process that has threads each makes two atomic
 * operations around the call. No thread of ours is ever cancelled, so we make the same calls without them. */
__attribute__((always_inline)) static inline ssize_t
stream_receive(int fd, void *buf, size_t cap)
{
	return syscall(SYS_recvfrom, fd, buf, cap, 0, NULL, NULL);
}

__attribute__((always_inline)) static inline ssize_t
stream_transmit(int fd, const void *bytes, size_t len)
{
	return syscall(SYS_sendto, fd, bytes, len, MSG_NOSIGNAL, NULL, 0);
}

/* Reads at most cap bytes into buf and sets *got. With STREAM_ERROR, errno has the reason. */
static inline enum stream_result
stream_read(struct stream *s, void *buf, size_t cap, size_t *got)
{
	ssize_t n;

	if (s->secured != NULL || s->fd < 0)
		return stream_read_slowly(s, buf, cap, got);
	n = stream_receive(s->fd, buf, cap);
	if (n <= 0)
		return stream_classify_failed_read(s, n);
	*got = (size_t)n;
	return STREAM_OK;
}

/* Sends all pieces in order, in one call if the peer takes them; the rest is copied to the queue. Returns 0, or -1
 * without memory. A dead peer is no error here: bytes are dropped, and on_readable() is called soon. */
__attribute__((always_inline)) static inline int
stream_write(struct stream *s, const struct iovec *pieces, int count)
{
	ssize_t sent;

	if (count != 1 || s->queue_len > 0 || s->secured != NULL || s->fd < 0 || s->is_broken)
		return stream_write_slowly(s, pieces, count);
	/* a single piece with nothing queued before it: nearly all output */
	sent = stream_transmit(s->fd, pieces->iov_base, pieces->iov_len);
	return sent == (ssize_t)pieces->iov_len ? 0 : stream_keep_rest(s, pieces, 1, sent);
}

void stream_change_reading(struct stream *s, bool on);

/* Switches reading on or off, for back-pressure. */
static inline void
stream_set_reading(struct stream *s, bool on)
{
	if (s->is_reading != on)
		stream_change_reading(s, on);
}

/* With `on` true, stops reading, even if the owner wants to read, until the next call with `on` false. Writing goes
 * on. */
void stream_suspend(struct stream *s, bool on);

static inline size_t
stream_queued(const struct stream *s)
{
	return s->queue_len;
}

/* Returns the number of bytes that the queue has room for. */
static inline size_t
stream_queue_cap(const struct stream *s)
{
	return s->queue != NULL ? s->queue->cap : 0;
}

/* While more bytes than this are queued, the owner should not read from the peer whose bytes it writes here. */
#define STREAM_QUEUE_HIGH ((size_t)128 << 10)

static inline bool
stream_is_full(const struct stream *s)
{
	return s->queue_len > STREAM_QUEUE_HIGH;
}

/*
 * --- handshake.c: turns a stream into a TLS stream. OpenSSL runs on threads of low priority (helpers.h); the loop only
 * moves bytes. Until the handshake is over, done() is the only callback that the stream's owner gets.
 */
struct tls_scratch *tls_scratch_new(void);
void tls_scratch_free(struct tls_scratch *t); /* does nothing if t is NULL */

struct handshake_settings {
	struct helpers *helpers;
	struct inbox *inbox; /* inbox of the stream's loop */
	struct tls_scratch *scratch;
	struct tls_session *tls; /* owned by the stream from then on, even if the handshake can't begin */
	enum work_queue queue;
	/* Called once, from the loop, unless the stream is closed before. If why is NULL, the stream is encrypted from
	 * now on, and stream_tls() returns the session. Otherwise the stream must be closed; its peer was sent a TLS
	 * alert. */
	void (*done)(struct stream *s, const struct fail *why, void *arg);
	void *arg;
};

/* Begins a handshake. `first` has bytes that were read already (direct TLS). Returns 0, or -1 with *why set; then
 * done() is not called. */
int handshake_begin(struct stream *s, const struct handshake_settings *settings, const void *first, size_t first_len,
		    struct fail *why);

/* --- tcp_options.c: keepalive and other options by which the kernel watches TCP connections: tcp(7), socket(7). --- */

struct tcp_options {
	bool is_kept_alive; /* SO_KEEPALIVE, with the next three values */
	uint32_t probe_count, idle_s, interval_s; /* 0 for the system's own value */
	uint32_t user_timeout_ms; /* TCP_USER_TIMEOUT; 0 for the system's own value */
	uint32_t defer_accept_s; /* TCP_DEFER_ACCEPT, for listeners; 0 if off */
	bool is_port_shared; /* SO_REUSEPORT, for listeners */
};

/* Sets the options of a connection, or of a listener whose connections inherit them (Linux). */
void tcp_options_set(const struct tcp_options *options, int fd);
/* Sets the options that only listeners have; called before bind(2). */
void tcp_options_listen(const struct tcp_options *options, int fd);
/* Undoes all of these options, in a listener that another process has set up; tcp_options_listen() is called next. */
void tcp_options_clear(int fd);
