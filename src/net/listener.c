#include "net/listener.h"
#include "base/alloc.h"
#include "base/text.h"
#include "net/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/un.h>

#define ACCEPTS_PER_TURN 32
#define PAUSE_US (200 * US_PER_MS)

struct listener {
	struct listener_settings s;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* the file of a Unix socket, or "" */
	bool owns_path; /* true if listener_free() removes the file at path */
	struct event *event;
	struct timer pause;
	int fd;
	int reserve; /* spare descriptor, closed to accept and refuse one connection when no other is free */
};

static int
open_reserve(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Sends an ErrorResponse, which most drivers read even before they have sent anything, and closes fd. */
static void
refuse_connection(int fd)
{
	static const char body[] = "SFATAL\0VFATAL\0C53300\0Mpgweir is out of file descriptors\0";
	uint8_t head[5] = { 'E', 0, 0, 0, sizeof(body) + 4 };
	struct iovec pieces[2] = { { head, sizeof(head) }, { (void *)(uintptr_t)body, sizeof(body) } };
	struct msghdr m = { .msg_iov = pieces, .msg_iovlen = 2 };

	sendmsg(fd, &m, MSG_NOSIGNAL);
	close(fd);
}

static void
pause_accepting(struct listener *l, int error)
{
	event_del(l->event);
	timer_start(&l->pause, PAUSE_US);
	l->s.on_exhausted(error, l->s.arg);
}

/* Handles a lack of descriptors or memory: uses the reserve to refuse the waiting connection, then accepts nothing for
 * a while. */
static void
turn_away(struct listener *l, int error)
{
	int fd;

	if (l->reserve >= 0) {
		close(l->reserve);
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			refuse_connection(fd);
		l->reserve = open_reserve();
	}
	pause_accepting(l, error);
}

static void
on_pause_over(void *arg)
{
	struct listener *l = arg;

	if (l->reserve < 0)
		l->reserve = open_reserve();
	event_add(l->event, NULL);
}

static void
on_connection(evutil_socket_t lfd, short what, void *arg)
{
	struct listener *l = arg;

	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage peer;
		socklen_t len = sizeof(peer);
		int fd = accept4(lfd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

		/* The kernel gives the lowest free descriptor, so descriptors from descriptors_max on are left for
		 * servers, logs and cancels. */
		if (fd >= 0 && l->s.descriptors_max > 0 && fd >= l->s.descriptors_max) {
			refuse_connection(fd);
			pause_accepting(l, EMFILE);
			return;
		}
		if (fd >= 0) {
			l->s.on_accept(fd, (struct sockaddr *)&peer, l->s.is_unix, l->s.arg);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			turn_away(l, errno);
		return; /* EAGAIN, or the connection was closed before it was accepted */
	}
}

static int
make_address(const struct listener_settings *s, struct sockaddr_storage *out, socklen_t *len)
{
	struct sockaddr_un *un = (struct sockaddr_un *)out;
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (s->is_unix) {
		if (!copy_string(un->sun_path, sizeof(un->sun_path), s->host))
			return -1;
		un->sun_family = AF_UNIX;
		*len = sizeof(*un);
		return 0;
	}
	if (inet_pton(AF_INET, s->host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(s->port);
		*len = sizeof(*in);
		return 0;
	}
	if (inet_pton(AF_INET6, s->host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(s->port);
		*len = sizeof(*in6);
		return 0;
	}
	return -1;
}

/* Binds a Unix socket and begins to listen. Only then does the file get its final name. */
static int
bind_unix(struct listener *l, const struct sockaddr_un *at)
{
	struct sockaddr_un un = *at;
	int e;

	if (access(at->sun_path, F_OK) == 0) {
		errno = EADDRINUSE;
		return -1;
	}
	if (snprintf(un.sun_path, sizeof(un.sun_path), "%s~", at->sun_path) >= (int)sizeof(un.sun_path))
		un.sun_path[strlen(un.sun_path) - 1] = '~';
	unlink(un.sun_path);
	/* By default the mode lets every user connect, as PostgreSQL's does: authentication decides on logins. */
	if (listener_bind(l->fd, &un, l->s.mode) < 0)
		return -1;
	if ((l->s.group == LISTENER_NO_GROUP || lchown(un.sun_path, (uid_t)-1, l->s.group) == 0) &&
	    listen(l->fd, l->s.backlog) == 0 && rename(un.sun_path, at->sun_path) == 0) {
		snprintf(l->path, sizeof(l->path), "%s", at->sun_path);
		l->owns_path = true;
		return 0;
	}
	e = errno;
	unlink(un.sun_path);
	errno = e;
	return -1;
}

static int
bind_and_listen(struct listener *l, struct fail *why)
{
	const struct listener_settings *s = &l->s;
	struct sockaddr_storage addr;
	socklen_t len;
	struct sockaddr_un *un = (struct sockaddr_un *)&addr;
	int one = 1, r;

	if (make_address(s, &addr, &len) < 0)
		return fail_set(why, "22023", "could not listen on \"%s\": not a numeric address or a path", s->host);
	l->fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return fail_set(why, "58000", "could not listen on %s: %s", s->host, strerror(errno));
	if (s->is_unix)
		listener_remove_stale(un);
	else
		tcp_options_set_listening(&s->tcp, l->fd);
	if (addr.ss_family == AF_INET6)
		setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	r = s->is_unix ? bind_unix(l, un) : bind(l->fd, (struct sockaddr *)&addr, len);
	if (r < 0 || (!s->is_unix && listen(l->fd, s->backlog) < 0)) {
		fail_set(why, "58000", "could not listen on %s port %u: %s", s->host, s->port, strerror(errno));
		if (errno == EADDRINUSE)
			fail_hint(why,
				  "Is another pgweir or PgBouncer running there? Change listen in section [pgweir].");
		return -1;
	}
	return 0;
}

static int
adopt_or_listen(struct listener *l, struct fail *why)
{
	int flags;

	if (l->s.adopted_fd == 0)
		return bind_and_listen(l, why);
	l->fd = l->s.adopted_fd;
	flags = fcntl(l->fd, F_GETFL);
	if (flags < 0 || fcntl(l->fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(l->fd, F_SETFD, FD_CLOEXEC) < 0)
		return fail_set(why, "58000", "could not use the socket passed as descriptor %d: %s", l->fd,
				strerror(errno));
	if (!l->s.is_unix && !l->s.is_inherited)
		tcp_options_set(&l->s.tcp, l->fd);
	else if (l->s.is_unix && l->s.is_inherited)
		snprintf(l->path, sizeof(l->path), "%s", l->s.host);
	return 0;
}

struct listener *
listener_new(struct event_base *base, const struct listener_settings *settings, struct fail *why)
{
	struct listener *l = xcalloc(1, sizeof(*l));

	l->s = *settings;
	l->fd = l->reserve = -1;
	if (adopt_or_listen(l, why) < 0) {
		listener_free(l);
		return NULL;
	}
	l->s.host = NULL; /* the caller's string may be freed after this function */
	l->reserve = open_reserve();
	l->event = event_new(base, l->fd, EV_READ | EV_PERSIST, on_connection, l);
	timer_init(&l->pause, base, NULL, on_pause_over, l);
	if (l->event == NULL || (!l->s.waits_for_begin && event_add(l->event, NULL) < 0)) {
		fail_memory(why, "a listener");
		listener_free(l);
		return NULL;
	}
	return l;
}

void
listener_free(struct listener *l)
{
	if (l == NULL)
		return;
	if (l->event != NULL)
		event_free(l->event);
	timer_stop(&l->pause);
	if (l->reserve >= 0)
		close(l->reserve);
	if (l->fd >= 0)
		close(l->fd);
	if (l->owns_path)
		unlink(l->path);
	free(l);
}

/* Applies this process's settings to a socket that the previous process may have made with another configuration. */
static int
renew_inherited(struct listener *l, struct fail *why)
{
	if (l->s.is_unix) {
		/* LISTENER_NO_GROUP leaves the file's group, which may come from the directory. */
		if (chmod(l->path, l->s.mode) < 0 || lchown(l->path, (uid_t)-1, l->s.group) < 0)
			return fail_set(why, "58000", "could not set the mode and the group of %s: %s", l->path,
					strerror(errno));
	} else {
		tcp_options_set_defaults(l->fd);
		tcp_options_set_listening(&l->s.tcp, l->fd);
	}
	if (listen(l->fd, l->s.backlog) < 0)
		return fail_set(why, "58000", "could not set the backlog of a listener: %s", strerror(errno));
	return 0;
}

int
listener_begin(struct listener *l, struct fail *why)
{
	int result = l->s.is_inherited ? renew_inherited(l, why) : 0;

	l->s.is_inherited = false;
	l->owns_path = l->path[0] != '\0';
	event_add(l->event, NULL);
	return result;
}

void
listener_suspend(struct listener *l)
{
	event_del(l->event);
	timer_stop(&l->pause);
}

bool
listener_is_unix(const struct listener *l)
{
	return l->s.is_unix;
}

int
listener_fd(const struct listener *l)
{
	return l->fd;
}

void
listener_free_keeping_file(struct listener *l)
{
	l->owns_path = false;
	listener_free(l);
}

void
listener_remove_stale(const struct sockaddr_un *un)
{
	struct stat st;
	int fd;

	if (lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)un, sizeof(*un)) < 0 && errno == ECONNREFUSED)
		unlink(un->sun_path);
	close(fd);
}

int
listener_bind(int fd, const struct sockaddr_un *at, mode_t mode)
{
	mode_t before = umask(0);
	int r = fchmod(fd, mode) < 0 ? -1 : bind(fd, (const struct sockaddr *)at, sizeof(*at));
	umask(before);
	return r;
}
