#include "net/tls_state.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

static void on_event(evutil_socket_t fd, short what, void *arg);

static bool
may_read(const struct stream *s)
{
	return (s->is_reading && !s->is_suspended) || s->is_broken;
}

/* Returns the events that report, while the stream is not read, that the peer has ended the connection. While no bytes
 * are queued, these are edge-triggered: EV_CLOSED, and EV_WRITE, by which libevent reports a reset. While bytes are
 * queued, EV_CLOSED is level-triggered and would repeat, so it is requested only until the first report. */
static short
end_interest(const struct stream *s)
{
	if (may_read(s) || s->is_suspended || s->is_in_handshake || s->ops->on_ended == NULL)
		return 0;
	if (s->queue_len > 0)
		return s->end == STREAM_END_NONE ? EV_CLOSED : 0;
	return EV_WRITE | EV_CLOSED | EV_ET;
}

static void
stream_update_interest(struct stream *s)
{
	short want = (short)((may_read(s) ? EV_READ : 0) | (s->queue_len > 0 ? EV_WRITE : 0) | end_interest(s));
	struct event_base *base = event_get_base(&s->event);

	if (want == s->interest)
		return;
	event_del(&s->event); /* the event may be active without being registered */
	s->interest = want;
	if (want == 0)
		return;
	event_assign(&s->event, base, s->fd, (short)(want | EV_PERSIST), on_event, s);
	event_add(&s->event, NULL);
}

int
stream_open(struct stream *s, struct event_base *base, int fd, const struct stream_ops *ops)
{
	memset(s, 0, sizeof(*s));
	s->fd = fd;
	s->ops = ops;
	s->is_reading = true;
	s->interest = EV_READ;
	event_assign(&s->event, base, fd, EV_READ | EV_PERSIST, on_event, s);
	if (event_add(&s->event, NULL) < 0) {
		close(fd);
		s->fd = -1;
		return -1;
	}
	return 0;
}

static void
drop_queue(struct stream *s)
{
	free(s->queue);
	s->queue = NULL;
	s->queue_len = 0;
}

void
stream_close(struct stream *s)
{
	if (s->fd < 0)
		return;
	event_del(&s->event); /* the event may be active without being registered */
	s->interest = 0;
	if (s->is_in_handshake)
		handshake_abandon(s);
	else if (s->tls != NULL)
		stream_tls_close(s);
	close(s->fd);
	s->fd = -1;
	drop_queue(s);
}

void
stream_detach(struct stream *s)
{
	assert(!s->is_in_handshake);
	event_del(&s->event); /* the event may be active without being registered */
	s->interest = 0;
}

enum stream_result
stream_classify_failed_read(const struct stream *s, ssize_t got)
{
	if (got == 0)
		return STREAM_EOF;
	if (errno != EAGAIN && errno != EINTR)
		return STREAM_ERROR;
	if (!s->is_broken)
		return STREAM_AGAIN;
	errno = EPIPE; /* a write has failed, and there is nothing more to read */
	return STREAM_ERROR;
}

enum stream_result
stream_read_raw(struct stream *s, void *buf, size_t cap, size_t *got)
{
	ssize_t n = stream_receive(s->fd, buf, cap);

	if (n <= 0)
		return stream_classify_failed_read(s, n);
	*got = (size_t)n;
	return STREAM_OK;
}

enum stream_result
stream_read_slow_path(struct stream *s, void *buf, size_t cap, size_t *got)
{
	if (s->fd < 0)
		return STREAM_EOF;
	return s->is_in_handshake ? stream_read_raw(s, buf, cap, got) : stream_tls_read(s, buf, cap, got);
}

void
stream_call_later(struct stream *s)
{
	event_active(&s->event, EV_READ, 0);
}

void
stream_set_broken(struct stream *s)
{
	s->is_broken = true;
	drop_queue(s);
	stream_update_interest(s);
	stream_call_later(s); /* the owner's callback must not run within a call by the owner */
}

static int
enqueue(struct stream *s, const struct iovec *pieces, int count, size_t skip)
{
	struct stream_queue *q = s->queue;
	size_t more = 0, at;

	for (int i = 0; i < count; i++)
		more += pieces[i].iov_len;
	assert(skip <= more);
	more -= skip;
	if (q == NULL || q->off + (size_t)s->queue_len + more > q->cap) {
		size_t cap = s->queue_len + more;
		struct stream_queue *grown;

		cap += cap / 4;
		if (cap > UINT32_MAX || (grown = malloc(sizeof(*grown) + cap)) == NULL)
			return -1;
		grown->off = 0;
		grown->cap = (uint32_t)cap;
		if (q != NULL)
			memcpy(grown->bytes, q->bytes + q->off, s->queue_len);
		free(q);
		s->queue = q = grown;
	}
	at = (size_t)q->off + s->queue_len;
	for (int i = 0; i < count; i++) {
		size_t from = skip < pieces[i].iov_len ? skip : pieces[i].iov_len;

		memcpy(q->bytes + at, (const uint8_t *)pieces[i].iov_base + from, pieces[i].iov_len - from);
		at += pieces[i].iov_len - from;
		skip -= from;
	}
	assert(at == (size_t)q->off + s->queue_len + more && at <= q->cap);
	s->queue_len += (uint32_t)more;
	return 0;
}

/* This function is not inlined, because the usual case, a single piece, does not need it. */
__attribute__((noinline)) static ssize_t
transmit_pieces(int fd, const struct iovec *pieces, int count)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)count };

	return syscall(SYS_sendmsg, fd, &m, MSG_NOSIGNAL);
}

int
stream_queue_rest(struct stream *s, const struct iovec *pieces, int count, ssize_t sent)
{
	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		stream_set_broken(s);
		return 0;
	}
	if (enqueue(s, pieces, count, sent < 0 ? 0 : (size_t)sent) < 0)
		return -1;
	stream_update_interest(s);
	return 0;
}

int
stream_write_raw(struct stream *s, const struct iovec *pieces, int count)
{
	ssize_t sent = 0;
	size_t len = 0;

	if (s->fd < 0 || s->is_broken)
		return 0;
	for (int i = 0; i < count; i++)
		len += pieces[i].iov_len;
	if (len == 0)
		return 0;
	if (s->queue_len == 0)
		sent = count == 1 ? stream_transmit(s->fd, pieces[0].iov_base, len)
				  : transmit_pieces(s->fd, pieces, count);
	return sent == (ssize_t)len ? 0 : stream_queue_rest(s, pieces, count, sent);
}

int
stream_write_slow_path(struct stream *s, const struct iovec *pieces, int count)
{
	if (s->is_in_handshake)
		/* During a handshake, nothing is written except by code that is about to close the stream. The bytes
		 * are dropped, because the peer could not understand them. */
		return 0;
	if (s->tls == NULL)
		return stream_write_raw(s, pieces, count);
	return s->fd < 0 || s->is_broken ? 0 : stream_tls_write(s, pieces, count);
}

__attribute__((cold)) static void
drain(struct stream *s)
{
	bool was_high = stream_is_full(s);
	ssize_t n = stream_transmit(s->fd, s->queue->bytes + s->queue->off, s->queue_len);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			stream_set_broken(s);
		return;
	}
	s->queue->off += (uint32_t)n;
	s->queue_len -= (uint32_t)n;
	if (s->queue_len == 0) {
		drop_queue(s);
		stream_update_interest(s);
	}
	if (!s->is_in_handshake && (s->queue_len == 0 || (was_high && !stream_is_full(s))))
		s->ops->on_drained(s);
}

__attribute__((cold)) static void
look_for_end(struct stream *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLRDHUP };
	enum stream_end end;

	if (poll(&p, 1, 0) <= 0)
		return;
	end = (p.revents & (POLLHUP | POLLERR)) != 0 ? STREAM_END_BOTH : STREAM_END_HALF;
	if (end <= (enum stream_end)s->end)
		return;
	s->end = (uint8_t)end;
	stream_update_interest(s);
	s->ops->on_ended(s, end == STREAM_END_BOTH);
}

__attribute__((noinline)) static void
handle_event_slow_path(struct stream *s, short what)
{
	if ((what & EV_WRITE) != 0 && s->queue_len > 0)
		drain(s);
	if (s->fd >= 0 && end_interest(s) != 0)
		look_for_end(s);
	/* The callbacks may have closed the stream, or switched reading off. */
	if ((what & EV_READ) == 0 || s->fd < 0 || !may_read(s))
		return;
	if (s->is_in_handshake)
		handshake_on_readable(s);
	else
		s->ops->on_readable(s);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	if (what == EV_READ && s->is_reading && !s->is_suspended && !s->is_in_handshake) /* the usual case */
		s->ops->on_readable(s);
	else
		handle_event_slow_path(s, what);
}

static void
apply_reading(struct stream *s)
{
	stream_update_interest(s);
	if (may_read(s) && stream_tls(s) != NULL && stream_tls_has_input(s))
		stream_call_later(s);
}

void
stream_attach(struct stream *s, struct event_base *base, struct inbox *inbox, struct tls_scratch *scratch)
{
	if (s->tls != NULL) {
		s->tls->inbox = inbox;
		s->tls->scratch = scratch;
	}
	assert(!s->is_in_handshake && s->interest == 0);
	event_assign(&s->event, base, s->fd, EV_READ | EV_PERSIST, on_event, s);
	apply_reading(s);
	if (s->is_broken)
		stream_call_later(s);
}

bool
stream_is_readable(const struct stream *s)
{
	char byte;

	return syscall(SYS_recvfrom, s->fd, &byte, sizeof(byte), MSG_PEEK, NULL, 0) >= 0 || errno != EAGAIN;
}

void
stream_change_reading(struct stream *s, bool on)
{
	if (s->fd < 0)
		return;
	s->is_reading = on;
	apply_reading(s);
}

void
stream_suspend(struct stream *s, bool on)
{
	if (s->fd < 0 || s->is_suspended == on)
		return;
	s->is_suspended = on;
	apply_reading(s);
}
