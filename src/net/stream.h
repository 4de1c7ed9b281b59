/*
 * src/net/stream.h - one connected socket: reads on demand, writes at once, queues what the peer doesn't take now.
 *
 * It has one persistent read event, and a write event only while bytes are queued. In the steady state there is no
 * epoll_ctl, no allocation, and no copy but the kernel's. TLS is part of it, invisible to callers.
 *
 * Owns:   the descriptor and its queue. Embedded in its owner, which outlives it.
 * Always: after stream_close no callback comes; callbacks come only from the event loop, never from within a call.
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

/* Each gets the stream, which its owner finds as its own first member. */
struct stream_ops {
	void (*on_readable)(struct stream *s); /* call stream_read; also called when the peer has gone */
	void (*on_drained)(struct stream *s); /* the queue fell below STREAM_QUEUE_HIGH, or ran empty */
	/* The peer has ended its sending side while the owner does not read; is_gone: both sides. Called once for each
	 * of these. May be NULL. */
	void (*on_ended)(struct stream *s, bool is_gone);
};

/* How much of the connection the peer has ended. */
enum stream_end { STREAM_END_NONE, STREAM_END_HALF, STREAM_END_BOTH };

/* Bytes that the peer has not taken yet: stream.queue_len of them, from off on. */
struct stream_queue {
	uint32_t off, cap;
	uint8_t bytes[];
};

struct stream {
	struct event event;
	const struct stream_ops *ops;
	struct stream_queue *queue; /* NULL when nothing is queued */
	union {
		struct tls_session *secured; /* NULL: no TLS */
		struct handshake *handshake; /* is_shaking; the owner must not read or write meanwhile */
	};
	uint32_t queue_len;
	int fd; /* -1: closed */
	bool is_shaking; /* a TLS handshake is under way */
	bool is_reading; /* wanted by the owner */
	bool is_suspended; /* not read all the same: see stream_suspend */
	bool is_broken; /* a write failed: to the owner it looks as if the peer had gone */
	uint8_t end; /* enum stream_end: what on_ended was called for */
	short interest; /* what the event is registered for */
};

/* Returns NULL without TLS, and before its handshake is over. */
static inline struct tls_session *
stream_tls(const struct stream *s)
{
	return s->is_shaking ? NULL : s->secured;
}

enum stream_result { STREAM_OK, STREAM_AGAIN, STREAM_EOF, STREAM_ERROR };

/* Takes fd, which must be non-blocking. Reading is on at first. Returns 0, or -1 without memory (fd is then closed). */
int stream_open(struct stream *s, struct event_base *base, int fd, const struct stream_ops *ops);
/* Closes the stream and frees what it holds. Fine if it is zeroed with fd = -1, or closed already. */
void stream_close(struct stream *s);
/*
 * Moves the stream to another loop, in two steps: the first on the loop that has it, while no function of its owner's
 * is running there, the second on the other. In between nobody uses it. It must not be shaking hands. What has come, or
 * was to be sent, meanwhile shows up then.
 */
void stream_unhook(struct stream *s);
void stream_hook(struct stream *s, struct event_base *base, struct inbox *inbox, struct tls_scratch *scratch);
/* Returns true if there is something to be read, or the peer has gone. */
bool stream_is_readable(const struct stream *s);
void stream_broke(struct stream *s); /* nothing more can be written: on_readable is called later */
/* The parts of stream_read() for TLS and closed streams, and for a call that returned got: 0 or less. */
enum stream_result stream_read_slowly(struct stream *s, void *buf, size_t cap, size_t *got);
enum stream_result stream_read_nothing(const struct stream *s, ssize_t got) __attribute__((cold));
/* The parts of stream_write() for all but one piece with nothing in its way, and for what the peer has not taken: it
 * took sent bytes, or -1: errno says why. */
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

/* Reads at most cap bytes into buf and sets *got. ERROR: see errno. */
static inline enum stream_result
stream_read(struct stream *s, void *buf, size_t cap, size_t *got)
{
	ssize_t n;

	if (s->secured != NULL || s->fd < 0)
		return stream_read_slowly(s, buf, cap, got);
	n = stream_receive(s->fd, buf, cap);
	if (n <= 0)
		return stream_read_nothing(s, n);
	*got = (size_t)n;
	return STREAM_OK;
}

/* Sends all pieces in order, in one call if the peer takes them; the rest is copied to the queue. Returns 0, or -1
 * without memory. A dead peer is not an error here: bytes are dropped, and on_readable follows soon. */
__attribute__((always_inline)) static inline int
stream_write(struct stream *s, const struct iovec *pieces, int count)
{
	ssize_t sent;

	if (count != 1 || s->queue_len > 0 || s->secured != NULL || s->fd < 0 || s->is_broken)
		return stream_write_slowly(s, pieces, count);
	/* a single piece with nothing in its way: nearly all that is sent */
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

/* Nothing is read, whatever the owner wants, until it is called again with false. Writing goes on. */
void stream_suspend(struct stream *s, bool on);

static inline size_t
stream_queued(const struct stream *s)
{
	return s->queue_len;
}

/* How many bytes the queue has room for. */
static inline size_t
stream_queue_cap(const struct stream *s)
{
	return s->queue != NULL ? s->queue->cap : 0;
}

/* Above this many queued bytes the owner should stop reading from the source of what it writes here. */
#define STREAM_QUEUE_HIGH ((size_t)128 << 10)

static inline bool
stream_is_full(const struct stream *s)
{
	return s->queue_len > STREAM_QUEUE_HIGH;
}

/*
 * --- handshake.c: turns a stream into a TLS stream. OpenSSL runs on threads of low priority (helpers.h); the loop
 * only moves bytes. Until the handshake is over, done is the only callback that the stream's owner gets.
 */
struct tls_scratch *tls_scratch_new(void);
void tls_scratch_free(struct tls_scratch *t); /* NULL is fine */

struct handshake_settings {
	struct helpers *helpers;
	struct inbox *inbox; /* of the stream's loop */
	struct tls_scratch *scratch;
	struct tls_session *tls; /* taken, even if it can't begin */
	enum work_line line;
	/* Called once, from the loop, unless the stream is closed before. If why is NULL, the stream is encrypted from
	 * now on, and stream_tls() returns it. Otherwise it must be closed; its peer was sent a TLS alert. */
	void (*done)(struct stream *s, const struct fail *why, void *arg);
	void *arg;
};

/* first: bytes that were read already (direct TLS). Returns 0, or -1 with *why set: done is not called then. */
int handshake_begin(struct stream *s, const struct handshake_settings *settings, const void *first, size_t first_len,
		    struct fail *why);

/* --- tcp_options.c: how the kernel watches over TCP connections: tcp(7), socket(7). --- */

struct tcp_options {
	bool is_kept_alive; /* SO_KEEPALIVE; the next three are then: */
	uint32_t probe_count, idle_s, interval_s; /* 0: the system's own */
	uint32_t user_timeout_ms; /* TCP_USER_TIMEOUT; 0: the system's own */
	uint32_t defer_accept_s; /* TCP_DEFER_ACCEPT, of listeners; 0: off */
	bool is_port_shared; /* SO_REUSEPORT, of listeners */
};

/* For a connection, or a listener whose connections inherit them (Linux). */
void tcp_options_set(const struct tcp_options *options, int fd);
/* Sets the options that only listeners have; before bind(2). */
void tcp_options_listen(const struct tcp_options *options, int fd);
/* Undoes all of these, in a listener that another process has set up: next comes tcp_options_listen(). */
void tcp_options_clear(int fd);
