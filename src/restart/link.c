/*
 * src/restart/link.c - see link.h. A message is a head of 8 bytes (length of the body, type, whether there is a
 * descriptor, a magic number), and the body.
 */
#include "restart/link.h"
#include "base/resources.h"
#include "wire/frame.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_LEN 8u
#define HAS_FD_AT 5
#define MAGIC 0x7077u
#define READ_MAX ((size_t)64 << 10)
#define FDS_MAX 32u /* the most descriptors that may come before their messages are complete */
#define LAST_MS 1000
/* A message of at most this size may use the memory reserve, because the link ends if there is no memory for it. */
#define SMALL_MAX ((size_t)4096)

struct outgoing {
	STAILQ_ENTRY(outgoing) next;
	size_t len, off;
	int fd;
	uint8_t bytes[];
};

struct link {
	const struct link_ops *ops;
	void *arg;
	struct event *readable, *writable;
	int fd;
	STAILQ_HEAD(, outgoing) queue;
	uint8_t *in;
	size_t in_len, in_cap;
	int fds[FDS_MAX];
	unsigned fd_count;
	enum {
		LINK_OPEN,
		LINK_OVER /* on_closed is due, or was called */,
		LINK_FREED /* link_free() was called; if on_readable() runs, it destroys the link at its end */
	} life;
	bool is_in_callback; /* true while on_readable() runs; on_writable() does not use the link after its callback */
};

static void
put_head(uint8_t *to, uint8_t type, size_t len, bool has_fd)
{
	wire_set_u32(to, (uint32_t)len);
	to[4] = type;
	to[HAS_FD_AT] = has_fd;
	to[6] = MAGIC >> 8;
	to[7] = MAGIC & 0xff;
}

static void
free_out(struct outgoing *o)
{
	if (o->fd >= 0)
		close(o->fd);
	explicit_bzero(o->bytes, o->len); /* the bytes may contain a client's cancel key or a pool's secret */
	free(o);
}

static void
destroy(struct link *l)
{
	struct outgoing *o;

	if (l->readable != NULL)
		event_free(l->readable);
	if (l->writable != NULL)
		event_free(l->writable);
	close(l->fd);
	while ((o = STAILQ_FIRST(&l->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&l->queue, next);
		free_out(o);
	}
	while (l->fd_count > 0)
		if (l->fds[--l->fd_count] >= 0)
			close(l->fds[l->fd_count]);
	if (l->in != NULL)
		explicit_bzero(l->in, l->in_cap);
	free(l->in);
	free(l);
}

void
link_free(struct link *l)
{
	if (l == NULL)
		return;
	l->life = LINK_FREED;
	if (!l->is_in_callback)
		destroy(l);
}

/* Breaks the link; the loop then calls on_closed. */
static void
break_off(struct link *l)
{
	if (l->life != LINK_OPEN)
		return;
	l->life = LINK_OVER;
	event_del(l->writable);
	event_active(l->readable, EV_READ, 0);
}

/* Sends bytes, and the descriptor `passed` if it is not -1. Returns what sendmsg() returns. */
static ssize_t
transmit(int fd, const uint8_t *bytes, size_t len, int passed)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec piece = { (void *)(uintptr_t)bytes, len };
	struct msghdr m = { .msg_iov = &piece, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (passed >= 0) {
		memset(&control, 0, sizeof(control));
		m.msg_control = control.room;
		m.msg_controllen = sizeof(control.room);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &passed, sizeof(passed));
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL);
}

/* Sends as much of o as the other side takes now, and fd together with o's first bytes. Returns 0, or -1 if the link is
 * over. */
static int
send_some(struct link *l, struct outgoing *o, int fd)
{
	while (o->off < o->len) {
		ssize_t n = transmit(l->fd, o->bytes + o->off, o->len - o->off, o->off == 0 ? fd : -1);

		if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ETOOMANYREFS))
			break;
		if (n < 0) {
			break_off(l);
			return -1;
		}
		o->off += (size_t)n;
	}
	return 0;
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	struct outgoing *o;

	if (l->life != LINK_OPEN)
		return;
	while ((o = STAILQ_FIRST(&l->queue)) != NULL) {
		if (send_some(l, o, o->fd) < 0 || o->off < o->len)
			return;
		STAILQ_REMOVE_HEAD(&l->queue, next);
		free_out(o);
	}
	event_del(l->writable);
	if (l->ops->on_drained != NULL)
		l->ops->on_drained(l->arg); /* last, because the callback may free l */
}

void
link_send(struct link *l, uint8_t type, const void *body, size_t len, int fd)
{
	size_t size = sizeof(struct outgoing) + HEAD_LEN + len;
	struct outgoing *o = NULL;

	if (l->life != LINK_OPEN)
		return;
	if (len <= LINK_BODY_MAX)
		o = size <= SMALL_MAX ? memory_realloc(NULL, size) : malloc(size);
	if (o == NULL) {
		break_off(l);
		return;
	}
	put_head(o->bytes, type, len, fd >= 0);
	if (len > 0)
		memcpy(o->bytes + HEAD_LEN, body, len);
	o->len = HEAD_LEN + len;
	o->off = 0;
	o->fd = -1;
	if (STAILQ_EMPTY(&l->queue) && (send_some(l, o, fd) < 0 || o->off == o->len))
		free_out(o);
	else {
		/* The rest of the message is kept. A descriptor goes with the first bytes; until then the message holds
		 * a copy of its own. */
		if (fd >= 0 && o->off == 0)
			o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (o->off == 0)
			o->bytes[HAS_FD_AT] = o->fd >= 0;
		STAILQ_INSERT_TAIL(&l->queue, o, next);
		event_add(l->writable, NULL);
	}
}

void
link_send_buf(struct link *l, uint8_t type, struct buf *b, int fd)
{
	if (buf_ok(b))
		link_send(l, type, b->bytes, b->len, fd);
	else
		break_off(l);
	buf_fini(b);
}

void
link_send_number(struct link *l, uint8_t type, uint64_t number, const void *more, size_t more_len)
{
	struct buf b = { 0 };

	buf_put_u64(&b, number);
	buf_put(&b, more, more_len);
	link_send_buf(l, type, &b, -1);
}

int
link_is_drained(const struct link *l)
{
	return STAILQ_EMPTY(&l->queue);
}

void
link_send_last(int fd, uint8_t type, const void *body, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	uint8_t head[HEAD_LEN];

	put_head(head, type, len, false);
	if (poll(&p, 1, LAST_MS) == 1 && transmit(fd, head, sizeof(head), -1) == (ssize_t)sizeof(head))
		(void)!transmit(fd, body, len, -1);
}

/* --- receiving --- */

/* Keeps the descriptors that came, and -1 for a descriptor that the kernel dropped because this process may have no
 * more. (recvmsg() returns after each message that has a descriptor.) Returns 0, or -1 if there are too many. */
static int
keep_fds(struct link *l, struct msghdr *m)
{
	unsigned before = l->fd_count;
	int result = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		size_t count = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
				   ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int)
				   : 0;

		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (l->fd_count < FDS_MAX)
				l->fds[l->fd_count++] = fd;
			else {
				close(fd);
				result = -1;
			}
		}
	}
	if ((m->msg_flags & MSG_CTRUNC) == 0)
		return result;
	if (l->fd_count != before || l->fd_count == FDS_MAX)
		return -1;
	l->fds[l->fd_count++] = -1;
	return result;
}

static int
make_room(struct link *l)
{
	size_t cap = l->in_cap == 0 ? READ_MAX : 2 * l->in_cap;
	uint8_t *grown;

	if (l->in_cap - l->in_len >= READ_MAX / 2)
		return 0;
	if (cap > 2 * LINK_BODY_MAX + READ_MAX || (grown = malloc(cap)) == NULL)
		return -1;
	if (l->in != NULL) {
		memcpy(grown, l->in, l->in_len);
		explicit_bzero(l->in, l->in_cap);
	}
	free(l->in);
	l->in = grown;
	l->in_cap = cap;
	return 0;
}

/* Returns 1 if bytes have come, 0 if there are no more for now, or -1 if the link is over. */
static int
receive(struct link *l)
{
	union {
		char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec piece;
	struct msghdr m = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.room };
	ssize_t n;

	if (make_room(l) < 0)
		return -1;
	m.msg_controllen = sizeof(control.room);
	piece = (struct iovec){ l->in + l->in_len, l->in_cap - l->in_len };
	n = recvmsg(l->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (keep_fds(l, &m) < 0 || n == 0)
		return -1;
	l->in_len += (size_t)n;
	return 1;
}

/* Calls on_message for the first message. Returns the message's length in bytes, 0 if it is not complete, or -1 if it
 * is malformed. */
static ssize_t
handle_message(struct link *l, const uint8_t *at, size_t have)
{
	size_t len;
	int fd = -1;

	if (have < HEAD_LEN)
		return 0;
	len = wire_u32(at);
	if (len > LINK_BODY_MAX || at[HAS_FD_AT] > 1 || (at[6] << 8 | at[7]) != MAGIC)
		return -1;
	if (have - HEAD_LEN < len)
		return 0;
	if (at[HAS_FD_AT] == 1) {
		if (l->fd_count == 0)
			return -1;
		fd = l->fds[0];
		memmove(l->fds, l->fds + 1, --l->fd_count * sizeof(l->fds[0]));
	}
	l->ops->on_message(l->arg, at[4], at + HEAD_LEN, len, fd);
	return (ssize_t)(HEAD_LEN + len);
}

static int
dispatch(struct link *l)
{
	size_t at = 0;
	ssize_t n = 1;

	while (n > 0 && l->life != LINK_FREED) {
		n = handle_message(l, l->in + at, l->in_len - at);
		at += n > 0 ? (size_t)n : 0;
	}
	assert(at <= l->in_len && l->in_len <= l->in_cap);
	memmove(l->in, l->in + at, l->in_len - at);
	l->in_len -= at;
	return n < 0 ? -1 : 0;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	int r = 1;

	l->is_in_callback = true;
	/* Reads on even after a failed write, because messages that came before the failure must still be handled. */
	for (int i = 0; i < 4 && r > 0 && l->life != LINK_FREED; i++)
		if ((r = receive(l)) > 0 && dispatch(l) < 0)
			r = -1;
	if (l->life != LINK_FREED)
		l->ops->on_batch_end(l->arg);
	if (l->life != LINK_FREED && (r < 0 || (l->life == LINK_OVER && r == 0))) {
		l->life = LINK_OVER;
		event_del(l->readable);
		event_del(l->writable);
		l->ops->on_closed(l->arg);
	}
	l->is_in_callback = false;
	if (l->life == LINK_FREED)
		destroy(l);
}

struct link *
link_new(struct event_base *base, int fd, const struct link_ops *ops, void *arg)
{
	struct link *l = calloc(1, sizeof(*l));

	if (l == NULL) {
		close(fd);
		return NULL;
	}
	l->ops = ops;
	l->arg = arg;
	l->fd = fd;
	STAILQ_INIT(&l->queue);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	l->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, l);
	l->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, l);
	if (l->readable != NULL && l->writable != NULL && event_add(l->readable, NULL) == 0)
		return l;
	destroy(l);
	return NULL;
}
