/*
 * src/net/stream.h - one connected socket: reads on demand, writes at once, and queues the bytes that the peer doesn't
 * take at once.
 *
 * A stream has one event: for input while the stream is read, for room while bytes are queued, and else for the end of
 * the connection. While nothing is queued, writing needs no epoll_ctl(2), no allocation and, without TLS, no copy but
 * the kernel's. Callers need not know about TLS.
 *
 * Owns:   the descriptor, the queue and the TLS session. A stream is embedded in its owner.
 * Always: no callback is called after stream_close(). Callbacks are called only by the event loop, never from within
 *         the functions of this header.
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
	void (*on_readable)(struct stream *s); /* there is input, or the peer has gone; must call stream_read() */
	void (*on_drained)(struct stream *s); /* the queue has become empty, or stream_is_full() has become false */
	/* Called while reading is off, at most twice: when the peer has shut down its sending side (is_gone is false),
	 * and when the connection is over (is_gone is true). May be NULL. */
	void (*on_ended)(struct stream *s, bool is_gone);
};

/* STREAM_END_HALF: the peer has shut down its sending side. STREAM_END_BOTH: the connection is over. */
enum stream_end { STREAM_END_NONE, STREAM_END_HALF, STREAM_END_BOTH };

/* Bytes that the peer has not taken yet. */
struct stream_queue {
	uint32_t off, cap; /* off: the offset in `bytes` of the first queued byte; cap: the size of `bytes` */
	uint8_t bytes[];
};

struct stream {
	struct event event;
	const struct stream_ops *ops;
	struct stream_queue *queue; /* NULL when nothing is queued */
	union {
		struct tls_session *tls; /* valid unless is_in_handshake; NULL without TLS */
		struct handshake *handshake; /* valid if is_in_handshake; the owner must not read or write meanwhile */
	};
	uint32_t queue_len;
	int fd; /* -1 if the stream is closed */
	bool is_in_handshake; /* true while a TLS handshake is under way */
	bool is_reading; /* true if the owner wants to read */
	bool is_suspended; /* true if reading is off, whatever is_reading says (stream_suspend()) */
	bool is_broken; /* true if a write has failed; the owner is told that the peer has gone */
	uint8_t end; /* enum stream_end: the end for which on_ended() was last called */
	short interest; /* the flags (EV_READ ...) with which `event` is registered; 0 if it is not registered */
};

/* Returns the TLS session, or NULL without TLS or before the handshake is over. */
static inline struct tls_session *
stream_tls(const struct stream *s)
{
	return s->is_in_handshake ? NULL : s->tls;
}

enum stream_result { STREAM_OK, STREAM_AGAIN, STREAM_EOF, STREAM_ERROR };

/* Takes over fd (non-blocking). Reading is on at first. Returns 0. If there is no memory, closes fd and returns -1. */
int stream_open(struct stream *s, struct event_base *base, int fd, const struct stream_ops *ops);
/* Closes the stream and frees its memory. The stream may be closed already, or zeroed with fd = -1. */
void stream_close(struct stream *s);
/* Takes a stream, which must not be in a handshake, off its event loop. Called on that loop, when no other function is
 * using the stream. No code may use the stream until stream_attach() has put it on another loop. */
void stream_detach(struct stream *s);
/* Puts a detached stream on a loop. Called on that loop. Input that has come meanwhile is noticed. */
void stream_attach(struct stream *s, struct event_base *base, struct inbox *inbox, struct tls_scratch *scratch);
/* Returns true if the socket has input, or the peer has gone. */
bool stream_is_readable(const struct stream *s);
/* Drops queued bytes and all further output. on_readable() is called later; the owner must then close the stream. */
void stream_set_broken(struct stream *s);
enum stream_result stream_read_slow_path(struct stream *s, void *buf, size_t cap,
					 size_t *got); /* part of stream_read() */
/* A part of stream_read(), after recv() has returned `got`: 0, or -1 with errno set. */
enum stream_result stream_classify_failed_read(const struct stream *s, ssize_t got) __attribute__((cold));
int stream_write_slow_path(struct stream *s, const struct iovec *pieces, int count); /* a part of stream_write() */
/* A part of stream_write(): queues the bytes that were not sent. `sent` is the result of send(), with errno. */
int stream_queue_rest(struct stream *s, const struct iovec *pieces, int count, ssize_t sent) __attribute__((cold));

/* stream_receive() and stream_transmit() do what recv() and send() do, but are no cancellation points (pthreads(7)): in
 * a process with threads, that saves two atomic operations for each call. No thread of pgweir is ever cancelled. */
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

/* Reads at most cap bytes into buf. With STREAM_OK, sets *got to their number. With STREAM_ERROR, sets errno. */
static inline enum stream_result
stream_read(struct stream *s, void *buf, size_t cap, size_t *got)
{
	ssize_t n;

	if (s->tls != NULL || s->fd < 0)
		return stream_read_slow_path(s, buf, cap, got);
	n = stream_receive(s->fd, buf, cap);
	if (n <= 0)
		return stream_classify_failed_read(s, n);
	*got = (size_t)n;
	return STREAM_OK;
}

/* Sends the pieces in order, and queues a copy of the bytes that the peer does not take. Returns 0, or -1 if there is
 * no memory. If the peer has gone, drops the bytes and returns 0; on_readable() is called later. */
__attribute__((always_inline)) static inline int
stream_write(struct stream *s, const struct iovec *pieces, int count)
{
	ssize_t sent;

	if (count != 1 || s->queue_len > 0 || s->tls != NULL || s->fd < 0 || s->is_broken)
		return stream_write_slow_path(s, pieces, count);
	/* a single piece with nothing queued before it: nearly all output */
	sent = stream_transmit(s->fd, pieces->iov_base, pieces->iov_len);
	return sent == (ssize_t)pieces->iov_len ? 0 : stream_queue_rest(s, pieces, 1, sent);
}

void stream_change_reading(struct stream *s, bool on); /* a part of stream_set_reading() */

/* Switches reading on or off, for back-pressure. */
static inline void
stream_set_reading(struct stream *s, bool on)
{
	if (s->is_reading != on)
		stream_change_reading(s, on);
}

/* With on = true, reading is off, whatever stream_set_reading() says, until a call with on = false. Writing goes on. */
void stream_suspend(struct stream *s, bool on);

static inline size_t
stream_queued_len(const struct stream *s)
{
	return s->queue_len;
}

/* Returns the size of the queue's memory in bytes. */
static inline size_t
stream_queue_cap(const struct stream *s)
{
	return s->queue != NULL ? s->queue->cap : 0;
}

/* While a stream has more queued bytes than this, its owner should stop reading from the source of these bytes. */
#define STREAM_QUEUE_HIGH ((size_t)128 << 10)

static inline bool
stream_is_full(const struct stream *s)
{
	return s->queue_len > STREAM_QUEUE_HIGH;
}

/*
 * --- handshake.c: turns a stream into a TLS stream. OpenSSL's handshake runs on threads of low priority (helpers.h);
 * the loop only moves bytes. Until the handshake is over, done() is the only callback that the stream's owner gets.
 */

/* Makes the buffers that all TLS streams of one event loop share. */
struct tls_scratch *tls_scratch_new(void);
void tls_scratch_free(struct tls_scratch *t); /* does nothing if t is NULL */

struct handshake_settings {
	struct helpers *helpers;
	struct inbox *inbox; /* inbox of the stream's loop */
	struct tls_scratch *scratch;
	struct tls_session *tls; /* handshake_begin() takes this over, and frees it on failure */
	enum work_queue queue;
	/* Called once, by the loop, unless the stream is closed before. If why is NULL, the stream is encrypted from
	 * now on, and stream_tls() returns the session. Otherwise the stream must be closed; if OpenSSL has refused the
	 * peer, a TLS alert was sent. */
	void (*done)(struct stream *s, const struct fail *why, void *arg);
	void *arg;
};

/* Begins a handshake. `first` has bytes of the handshake that were read already, as in direct TLS. Returns 0, or -1
 * with *why set; done() is then not called. */
int handshake_begin(struct stream *s, const struct handshake_settings *settings, const void *first, size_t first_len,
		    struct fail *why);

/* --- tcp_options.c: options of TCP sockets: tcp(7), socket(7). --- */

struct tcp_options {
	bool is_kept_alive; /* SO_KEEPALIVE */
	/* TCP_KEEPCNT, TCP_KEEPIDLE and TCP_KEEPINTVL, if is_kept_alive; 0 for the system's own value */
	uint32_t probe_count, idle_s, interval_s;
	uint32_t user_timeout_ms; /* TCP_USER_TIMEOUT; 0 for the system's own value */
	uint32_t defer_accept_s; /* TCP_DEFER_ACCEPT, for listeners; 0 if off */
	bool is_port_shared; /* SO_REUSEPORT, for listeners */
};

/* Sets the options of a connection, and TCP_NODELAY. On Linux, connections inherit a listening socket's options. */
void tcp_options_set(const struct tcp_options *options, int fd);
/* Does tcp_options_set(), and sets options of listening sockets. Called before bind(2), unless fd was inherited. */
void tcp_options_set_listening(const struct tcp_options *options, int fd);
/* Sets all these options of a listening socket to the system's own values, because another process has made the socket
 * and may have set its options. Called before tcp_options_set_listening(). */
void tcp_options_set_defaults(int fd);
