/* tests/sim/kernel.c - see kernel.h. Functions of these names in libraries are not linked then. */
#include "kernel.h"

#include "base/buf.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_FD 600 /* far above what the real kernel gives out here */
#define FDS 256
#define FIRST_WAKE (FIRST_FD + FDS)
#define WAKES 16
#define BUFFER_MAX ((size_t)128 << 10) /* bytes in flight to one end */
#define BACKLOG 64

#define IN_PLACE_OF_LIBRARY __attribute__((visibility("default")))
/* The real function of this name. */
#define REAL(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

enum kind { FREE, SOCKET, STREAM, LISTENER, EPOLL };

/* A loop waits for it: in one epoll, if events is not 0. */
struct interest {
	int epoll;
	uint32_t events;
	uint64_t data;
	uint32_t told; /* with EPOLLET: what was told, and has held since */
};

struct end {
	enum kind kind;
	int peer; /* -1: it has gone, or there never was one */
	struct buf in;
	size_t at, arrived; /* of in: what was read, and what has arrived */
	size_t room; /* bytes it takes */
	bool is_peer_done; /* nothing comes behind what is in flight */
	bool is_reset, is_connecting, is_write_closed, is_dialled;
	bool is_mute; /* nobody has it: it goes with its peer */
	unsigned owner; /* of a socket and of what it was connected to: kernel_own() */
	struct interest in_epoll;
	char path[108];
	int backlog[BACKLOG], backlog_count;
};

/* The C library's functions have no argument to hang these on. */
static struct end ends[FDS];
/* What wakes another loop (eventfd). */
static struct wake {
	bool is_open, has_arrived;
	uint64_t count;
	struct interest in_epoll;
} wakes[WAKES];
static int high; /* all above are free */
static unsigned open_count;
static unsigned owner;
static uint64_t random_state = 1, bytes_read;
static struct kernel_weather weather;

static uint32_t
draw(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 24);
}

static bool
chance(unsigned of_256)
{
	return of_256 > 0 && (draw() & 255) < of_256;
}

void
kernel_reset(uint64_t seed)
{
	random_state = seed * 2654435761u + 88172645463325252u;
	weather = (struct kernel_weather){ 0 };
	bytes_read = 0;
	owner = 0;
}

void
kernel_set_weather(const struct kernel_weather *w)
{
	weather = *w;
}

uint64_t
kernel_bytes(void)
{
	return bytes_read;
}

unsigned
kernel_open_count(void)
{
	return open_count;
}

static struct end *
end_of(int fd)
{
	return fd >= FIRST_FD && fd < FIRST_FD + FDS && ends[fd - FIRST_FD].kind != FREE ? &ends[fd - FIRST_FD] : NULL;
}

static struct end *
peer_of(const struct end *e)
{
	return e->peer < 0 ? NULL : end_of(e->peer);
}

void
kernel_own(unsigned by)
{
	owner = by;
}

unsigned
kernel_owner(int fd)
{
	const struct end *e = end_of(fd);

	return e == NULL ? 0 : e->owner;
}

void
kernel_kill(unsigned by)
{
	for (int i = 0; i < high; i++) {
		struct end *e = &ends[i], *p = e->is_dialled && e->owner == by ? peer_of(e) : NULL;

		if (p != NULL)
			p->is_peer_done = e->is_write_closed = true;
	}
}

static int
end_new(enum kind kind)
{
	for (int i = 0; i < FDS; i++)
		if (ends[i].kind == FREE) {
			struct buf in = ends[i].in;

			in.len = 0;
			ends[i] = (struct end){ .kind = kind, .peer = -1, .in = in, .room = BUFFER_MAX };
			if (kind == STREAM && chance(weather.narrow))
				ends[i].room = 1 + draw() % 200;
			high = i >= high ? i + 1 : high;
			open_count++;
			return FIRST_FD + i;
		}
	abort(); /* they leak */
}

static void
join(int a, int b)
{
	end_of(a)->peer = b;
	end_of(b)->peer = a;
}

static int
fails(int error)
{
	errno = error;
	return -1;
}

/* --- what is in flight --- */

static bool
is_in_flight(const struct end *e)
{
	return e->kind == STREAM && (e->is_connecting || e->arrived < e->in.len);
}

/* One that another loop has not noticed yet; NULL: there is none. */
static struct wake *
late_wake(void)
{
	for (int i = 0; i < WAKES; i++)
		if (wakes[i].is_open && wakes[i].count > 0 && !wakes[i].has_arrived)
			return &wakes[i];
	return NULL;
}

bool
kernel_arrive(bool is_all)
{
	struct wake *late = late_wake();
	int from;

	if (late != NULL && (is_all || chance(128))) {
		late->has_arrived = true;
		return true;
	}
	from = high > 0 ? (int)(draw() % (unsigned)high) : 0;
	for (int i = 0; i < high; i++) {
		struct end *e = &ends[(from + i) % high];
		size_t left = e->in.len - e->arrived;

		if (!is_in_flight(e))
			continue;
		e->is_connecting = false;
		if (left > 1 && !is_all) /* mostly short ones: boundaries of messages are what matters */
			left = 1 + draw() % (chance(128) && left > 16 ? 16 : left);
		e->arrived += left;
		return true;
	}
	return !weather.is_nameless && resolver_answer(weather.is_misnamed);
}

/* What has arrived can be read still. */
static void
reset(struct end *e)
{
	e->is_reset = true;
	e->in.len = e->arrived;
}

void
kernel_break(int fd)
{
	struct end *e = end_of(fd), *p = e == NULL ? NULL : peer_of(e);

	if (p == NULL)
		return;
	reset(p);
	reset(e);
}

bool
kernel_is_connected(int fd)
{
	const struct end *e = end_of(fd);

	return e != NULL && peer_of(e) != NULL && !e->is_reset;
}

bool
kernel_has_lost_one(void)
{
	for (int i = 0; i < high; i++)
		if (ends[i].kind == STREAM && ends[i].is_dialled && !kernel_is_connected(FIRST_FD + i))
			return true;
	return false;
}

size_t
kernel_unread(int fd)
{
	const struct end *e = end_of(fd);

	return e == NULL ? 0 : e->in.len - e->at;
}

static bool
is_readable(const struct end *e)
{
	if (e->kind == LISTENER)
		return e->backlog_count > 0;
	return e->kind == STREAM && (e->arrived > e->at || e->is_reset || (e->is_peer_done && e->at == e->in.len));
}

static bool
is_writable(const struct end *e)
{
	const struct end *p = peer_of(e);

	if (e->kind != STREAM || e->is_connecting)
		return false;
	return p == NULL || e->is_reset || p->in.len - p->at < p->room;
}

static ssize_t
take(struct end *e, void *bytes, size_t cap, int flags)
{
	size_t n = e->arrived - e->at;

	if (n == 0 && e->is_reset)
		return fails(ECONNRESET);
	if (n == 0)
		return e->is_peer_done && e->at == e->in.len ? 0 : fails(EAGAIN);
	n = n < cap ? n : cap;
	memcpy(bytes, e->in.bytes + e->at, n);
	if ((flags & MSG_PEEK) != 0)
		return (ssize_t)n;
	bytes_read += n;
	e->at += n;
	if (e->at == e->in.len)
		e->at = e->arrived = e->in.len = 0;
	else if (e->at > BUFFER_MAX) {
		buf_drop_front(&e->in, e->at);
		e->arrived -= e->at;
		e->at = 0;
	}
	return (ssize_t)n;
}

static ssize_t
give(struct end *e, const void *bytes, size_t len)
{
	struct end *p = peer_of(e);
	size_t room;

	if (e->is_reset)
		return fails(ECONNRESET);
	/* Nobody knows of the peer's end before all that it has sent has arrived. */
	if (p == NULL && !e->is_write_closed && e->arrived < e->in.len)
		return (ssize_t)len;
	if (p == NULL || e->is_write_closed)
		return fails(EPIPE);
	room = p->in.len - p->at < p->room ? p->room - (p->in.len - p->at) : 0;
	if (room == 0)
		return fails(EAGAIN);
	len = len < room ? len : room;
	buf_put(&p->in, bytes, len);
	if (!buf_ok(&p->in))
		abort();
	/* What is in flight stays in order. */
	if (p->arrived == p->in.len - len && !chance(weather.late))
		p->arrived = p->in.len;
	return (ssize_t)len;
}

static ssize_t
give_all(struct end *e, const struct msghdr *m)
{
	ssize_t sum = 0, n;

	for (size_t i = 0; i < m->msg_iovlen; i++) {
		if (m->msg_iov[i].iov_len == 0)
			continue;
		n = give(e, m->msg_iov[i].iov_base, m->msg_iov[i].iov_len);
		if (n < 0)
			return sum > 0 ? sum : n;
		sum += n;
		if ((size_t)n < m->msg_iov[i].iov_len)
			break;
	}
	return sum;
}

/* --- sockets --- */

IN_PLACE_OF_LIBRARY int
socket(int domain, int type, int protocol)
{
	int fd;

	if ((domain != AF_UNIX && domain != AF_INET) || (type & 0xf) != SOCK_STREAM)
		return REAL(socket)(domain, type, protocol);
	fd = end_new(SOCKET);
	end_of(fd)->owner = owner;
	return fd;
}

IN_PLACE_OF_LIBRARY int
socketpair(int domain, int type, int protocol, int fds[2])
{
	if (domain != AF_UNIX || (type & SOCK_NONBLOCK) == 0) /* libevent's own */
		return REAL(socketpair)(domain, type, protocol, fds);
	fds[0] = end_new(STREAM);
	fds[1] = end_new(STREAM);
	join(fds[0], fds[1]);
	return 0;
}

/* The name has a file, since others rename and unlink it. */
IN_PLACE_OF_LIBRARY int
bind(int fd, const struct sockaddr *at, socklen_t len)
{
	struct end *e = end_of(fd);
	int file;

	if (e == NULL)
		return REAL(bind)(fd, at, len);
	memcpy(e->path, ((const struct sockaddr_un *)(const void *)at)->sun_path, sizeof(e->path) - 1);
	file = open(e->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file < 0)
		return fails(EADDRINUSE);
	REAL(close)(file);
	return 0;
}

IN_PLACE_OF_LIBRARY int
listen(int fd, int backlog)
{
	struct end *e = end_of(fd);

	if (e == NULL)
		return REAL(listen)(fd, backlog);
	e->kind = LISTENER;
	return 0;
}

IN_PLACE_OF_LIBRARY int
connect(int fd, const struct sockaddr *at, socklen_t len)
{
	struct end *e = end_of(fd), *l = NULL;
	const char *path;
	int other;

	if (e == NULL)
		return REAL(connect)(fd, at, len);
	path = at->sa_family == AF_INET ? "" : ((const struct sockaddr_un *)(const void *)at)->sun_path;
	for (int i = 0; i < high; i++)
		if (ends[i].kind == LISTENER &&
		    (strcmp(ends[i].path, path) == 0 || (path[0] == '\0' && strstr(ends[i].path, ".5432") != NULL)))
			l = &ends[i];
	if (l == NULL || weather.is_refusing || l->backlog_count == BACKLOG)
		return fails(ECONNREFUSED);
	other = end_new(STREAM);
	e->kind = STREAM;
	join(fd, other);
	end_of(other)->is_mute = weather.is_mute;
	end_of(other)->owner = e->owner;
	if (!weather.is_mute)
		l->backlog[l->backlog_count++] = other;
	e->is_dialled = true;
	e->is_connecting = chance(weather.slow_connect);
	return e->is_connecting ? fails(EINPROGRESS) : 0;
}

IN_PLACE_OF_LIBRARY int
accept4(int fd, struct sockaddr *restrict peer, socklen_t *restrict len, int flags)
{
	struct end *e = end_of(fd);
	int got;

	if (e == NULL)
		return REAL(accept4)(fd, peer, len, flags);
	if (e->backlog_count == 0)
		return fails(EAGAIN);
	got = e->backlog[0];
	memmove(e->backlog, e->backlog + 1, (size_t)--e->backlog_count * sizeof(int));
	if (peer != NULL) {
		peer->sa_family = AF_UNIX;
		*len = sizeof(peer->sa_family);
	}
	return got;
}

IN_PLACE_OF_LIBRARY int
accept(int fd, struct sockaddr *restrict peer, socklen_t *restrict len)
{
	return accept4(fd, peer, len, 0);
}

IN_PLACE_OF_LIBRARY int
shutdown(int fd, int how)
{
	struct end *e = end_of(fd), *p;

	if (e == NULL)
		return REAL(shutdown)(fd, how);
	p = peer_of(e);
	if (p != NULL && how != SHUT_RD)
		p->is_peer_done = e->is_write_closed = true;
	return 0;
}

IN_PLACE_OF_LIBRARY ssize_t
recv(int fd, void *bytes, size_t cap, int flags)
{
	struct end *e = end_of(fd);

	return e == NULL ? REAL(recv)(fd, bytes, cap, flags) : take(e, bytes, cap, flags);
}

IN_PLACE_OF_LIBRARY ssize_t
send(int fd, const void *bytes, size_t len, int flags)
{
	struct end *e = end_of(fd);

	return e == NULL ? REAL(send)(fd, bytes, len, flags) : give(e, bytes, len);
}

IN_PLACE_OF_LIBRARY ssize_t
sendmsg(int fd, const struct msghdr *m, int flags)
{
	struct end *e = end_of(fd);

	return e == NULL ? REAL(sendmsg)(fd, m, flags) : give_all(e, m);
}

/* net/stream.c makes its calls so. All six arguments are passed on, also those that the caller did not give. */
IN_PLACE_OF_LIBRARY __attribute__((no_sanitize("address", "undefined"))) long
syscall(long number, ...)
{
	long a[6];
	struct end *e;
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	e = number == SYS_recvfrom || number == SYS_sendto || number == SYS_sendmsg ? end_of((int)a[0]) : NULL;
	if (e == NULL)
		return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (number == SYS_recvfrom)
		return take(e, (void *)a[1], (size_t)a[2], (int)a[3]);
	if (number == SYS_sendto)
		return give(e, (const void *)a[1], (size_t)a[2]);
	return give_all(e, (const struct msghdr *)a[1]);
}

IN_PLACE_OF_LIBRARY int
getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict len)
{
	if (end_of(fd) == NULL)
		return REAL(getsockopt)(fd, level, name, value, len);
	memset(value, 0, *len);
	return 0;
}

IN_PLACE_OF_LIBRARY int
setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return end_of(fd) == NULL ? REAL(setsockopt)(fd, level, name, value, len) : 0;
}

IN_PLACE_OF_LIBRARY int
getsockname(int fd, struct sockaddr *restrict at, socklen_t *restrict len)
{
	if (end_of(fd) == NULL)
		return REAL(getsockname)(fd, at, len);
	at->sa_family = AF_UNIX;
	*len = sizeof(at->sa_family);
	return 0;
}

IN_PLACE_OF_LIBRARY int
fchmod(int fd, mode_t mode)
{
	return end_of(fd) == NULL ? REAL(fchmod)(fd, mode) : 0;
}

/* --- eventfd: loops wake each other, on one thread --- */

static struct wake *
wake_of(int fd)
{
	return fd >= FIRST_WAKE && fd < FIRST_WAKE + WAKES && wakes[fd - FIRST_WAKE].is_open ? &wakes[fd - FIRST_WAKE]
											     : NULL;
}

IN_PLACE_OF_LIBRARY int
eventfd(unsigned count, int flags)
{
	(void)flags;
	for (int i = 0; i < WAKES; i++)
		if (!wakes[i].is_open) {
			wakes[i] = (struct wake){ .is_open = true, .count = count, .has_arrived = true };
			open_count++;
			return FIRST_WAKE + i;
		}
	abort(); /* they leak */
}

static ssize_t
wake_take(struct wake *w, void *bytes)
{
	if (w->count == 0 || !w->has_arrived)
		return fails(EAGAIN);
	memcpy(bytes, &w->count, sizeof(w->count));
	bytes_read += sizeof(w->count);
	w->count = 0;
	return sizeof(w->count);
}

static ssize_t
wake_give(struct wake *w, const void *bytes)
{
	uint64_t more;

	memcpy(&more, bytes, sizeof(more));
	if (w->count == 0)
		w->has_arrived = !chance(weather.late);
	w->count += more;
	return sizeof(more);
}

IN_PLACE_OF_LIBRARY ssize_t
write(int fd, const void *bytes, size_t len)
{
	struct wake *w = wake_of(fd);

	return w == NULL ? REAL(write)(fd, bytes, len) : wake_give(w, bytes);
}

/* --- read and close: of both --- */

IN_PLACE_OF_LIBRARY ssize_t
read(int fd, void *bytes, size_t cap)
{
	struct end *e = end_of(fd);
	struct wake *w = wake_of(fd);

	return w != NULL ? wake_take(w, bytes) : e == NULL ? REAL(read)(fd, bytes, cap) : take(e, bytes, cap, 0);
}

static int
end_close(struct end *e)
{
	struct end *p = peer_of(e);

	if (p != NULL) {
		p->peer = -1;
		p->is_peer_done = true;
		if (e->in.len > e->at) { /* as TCP does it: what was sent before comes before */
			p->arrived = p->in.len;
			reset(p);
		}
		if (p->is_mute)
			end_close(p);
	}
	for (int i = 0; i < e->backlog_count; i++)
		close(e->backlog[i]);
	if (e->in.cap > 4096)
		buf_fini(&e->in);
	e->kind = FREE;
	while (high > 0 && ends[high - 1].kind == FREE)
		high--;
	open_count--;
	return 0;
}

IN_PLACE_OF_LIBRARY int
close(int fd)
{
	struct end *e = end_of(fd);
	struct wake *w = wake_of(fd);

	if (w != NULL) {
		w->is_open = false;
		open_count--;
		return 0;
	}
	return e == NULL ? REAL(close)(fd) : end_close(e);
}

/* --- epoll --- */

IN_PLACE_OF_LIBRARY int
epoll_create1(int flags)
{
	(void)flags;
	return end_new(EPOLL);
}

/* Whoever is in one loop must be taken out of it before another one has it. */
static int
change_interest(struct interest *in, int epfd, int op, const struct epoll_event *event)
{
	if (in->events != 0 && in->epoll != epfd) {
		fprintf(stderr, "a descriptor that is in one loop is changed in another\n");
		abort();
	}
	if ((op == EPOLL_CTL_ADD) == (in->events != 0))
		return fails(op == EPOLL_CTL_ADD ? EEXIST : ENOENT);
	*in = op == EPOLL_CTL_DEL
		  ? (struct interest){ .epoll = -1 }
		  : (struct interest){ .epoll = epfd, .events = event->events | EPOLLHUP, .data = event->data.u64 };
	return 0;
}

IN_PLACE_OF_LIBRARY int
epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	struct end *e = end_of(fd);
	struct wake *w = wake_of(fd);

	if (e == NULL && w == NULL)
		return 0; /* libevent's own, for signals: there are none */
	return change_interest(w != NULL ? &w->in_epoll : &e->in_epoll, epfd, op, event);
}

/* The end of the peer's side comes behind its bytes, read or not. */
static bool
is_ended(const struct end *e)
{
	return e->kind == STREAM && (e->is_reset || ((e->is_peer_done || e->peer < 0) && e->arrived == e->in.len));
}

static uint32_t
ready_events(const struct end *e)
{
	uint32_t events = 0;

	if (is_readable(e))
		events |= EPOLLIN;
	if (is_writable(e))
		events |= EPOLLOUT;
	if (e->kind == STREAM && (e->is_reset || (e->peer < 0 && e->at == e->in.len)))
		events |= EPOLLHUP;
	if (is_ended(e))
		events |= EPOLLRDHUP;
	return events & e->in_epoll.events;
}

/* Only for what ends a connection: nothing else asks. The C library's header says that it only writes there. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
IN_PLACE_OF_LIBRARY int
poll(struct pollfd *fds, nfds_t count, int timeout)
{
	const struct end *e = count == 1 ? end_of(fds->fd) : NULL;

	if (e == NULL)
		return REAL(poll)(fds, count, timeout);
	fds->revents =
	    (short)((is_ended(e) ? POLLRDHUP : 0) | (e->is_reset || (e->peer < 0 && is_ended(e)) ? POLLHUP : 0));
	return fds->revents != 0;
}
#pragma GCC diagnostic pop

static bool
is_awake(const struct wake *w, int epfd)
{
	return w->is_open && w->in_epoll.events != 0 && w->in_epoll.epoll == epfd && w->count > 0 && w->has_arrived;
}

static bool
has_awake(int epfd)
{
	for (int i = 0; i < WAKES; i++)
		if (is_awake(&wakes[i], epfd))
			return true;
	return false;
}

static int
tell_wakes(int epfd, struct epoll_event *events, int max)
{
	int count = 0;

	for (int i = 0; i < WAKES && count < max; i++)
		if (is_awake(&wakes[i], epfd))
			events[count++] = (struct epoll_event){ .events = EPOLLIN, .data.u64 = wakes[i].in_epoll.data };
	return count;
}

static int
tell_ends(int epfd, struct epoll_event *events, int max, int from)
{
	int count = 0;

	for (int i = 0; i < high && count < max; i++) {
		int at = from + i < high ? from + i : from + i - high;
		struct interest *in = &ends[at].in_epoll;
		uint32_t ready = in->events == 0 || in->epoll != epfd ? 0 : ready_events(&ends[at]);

		if ((in->events & EPOLLET) != 0) {
			in->told &= ready;
			ready &= ~in->told;
			in->told |= ready;
		}
		if (ready != 0)
			events[count++] = (struct epoll_event){ .events = ready, .data.u64 = in->data };
	}
	return count;
}

IN_PLACE_OF_LIBRARY int
epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
	int count, from = high > 0 ? (int)(draw() % (unsigned)high) : 0;

	(void)timeout; /* nothing can come while the process is asked for what has come */
	if (chance(weather.one_event))
		max = 1;
	if (has_awake(epfd) && chance(128)) {
		count = tell_wakes(epfd, events, max);
		return count + tell_ends(epfd, events + count, max - count, from);
	}
	count = tell_ends(epfd, events, max, from);
	return count + tell_wakes(epfd, events + count, max - count);
}
