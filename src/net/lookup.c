/*
 * src/net/lookup.c - see dial.h.
 *
 * c-ares cannot end a single lookup, and before version 1.22 it cannot read its file again. So a lookup that is
 * cancelled is only *forgotten*: it goes on until c-ares calls back. After the file has changed, or too many lookups
 * were forgotten, the next lookup makes a new channel. A timer destroys the old channel, because c-ares may be on the
 * stack now; lookups that were under way in the old channel are started again in the new one.
 */
#include "net/dial.h"
#include "base/alloc.h"
#include "base/text.h"
#include "net/loop.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/queue.h>
#include <sys/stat.h>

#define FILE_OF_SYSTEM "/etc/resolv.conf"
#define FORGOTTEN_MAX 64
/* The timeout of each question in seconds, and how often each name server is asked; the maxima of both are those of
 * resolv.conf(5). */
#define TIMEOUT_S 1
#define TIMEOUT_MAX_S 30
#define ATTEMPTS 2
#define ATTEMPTS_MAX 5

/* Identifies a version of a file, to find out whether the file was changed or replaced. */
struct file_mark {
	ino_t inode;
	struct timespec changed_at;
};

/* A socket of c-ares. */
struct watched {
	struct event *event;
	LIST_ENTRY(watched) link;
};

struct resolver {
	struct event_base *base;
	ares_channel channel; /* made for the first lookup */
	ares_channel old; /* a channel that the timer, which is about to fire, will destroy; usually NULL */
	struct timer timer;
	LIST_HEAD(, watched) sockets;
	char *file;
	struct file_mark mark; /* the version of the file that the channel has read; zero if not known */
	unsigned cancelled_count; /* how many lookups were forgotten and still go on */
};

struct lookup {
	struct resolver *resolver;
	lookup_done done; /* done and name_done are both NULL if the lookup was forgotten */
	lookup_name_done name_done;
	void *arg;
	struct lookup **owner_field; /* the caller's variable that points to this lookup */
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} address; /* the address whose name is looked up, if name_done is set */
	char service[8];
	char host[];
};

/* Makes the timer fire when c-ares next has something to do. */
static void
start_timer(struct resolver *r)
{
	struct timeval tv;

	if (r->old != NULL)
		return;
	if (ares_timeout(r->channel, NULL, &tv) == NULL)
		timer_stop(&r->timer);
	else /* the result of ares_timeout() is rounded down */
		timer_start(&r->timer, (uint64_t)tv.tv_sec * US_PER_S + (uint64_t)tv.tv_usec + US_PER_MS);
}

static void
on_timer(void *arg)
{
	struct resolver *r = arg;
	ares_channel old = r->old;

	r->old = NULL;
	if (old != NULL)
		ares_destroy(old);
	else
		ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	start_timer(r);
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *r = arg;

	ares_process_fd(r->channel, (what & EV_READ) != 0 ? fd : ARES_SOCKET_BAD,
			(what & EV_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
	start_timer(r);
}

static void
unwatch(struct watched *w)
{
	LIST_REMOVE(w, link);
	event_free(w->event);
	free(w);
}

/* Called by c-ares when it has opened a socket, waits for another event on the socket, or closes the socket. If there
 * is no memory, the question that the socket is for times out. */
static void
on_state(void *arg, ares_socket_t fd, int is_read, int is_written)
{
	struct resolver *r = arg;
	struct watched *w;

	LIST_FOREACH(w, &r->sockets, link)
		if (event_get_fd(w->event) == fd) {
			unwatch(w);
			break;
		}
	if ((!is_read && !is_written) || (w = calloc(1, sizeof(*w))) == NULL)
		return;
	w->event = event_new(r->base, fd, (short)(EV_PERSIST | (is_read ? EV_READ : 0) | (is_written ? EV_WRITE : 0)),
			     on_socket, r);
	if (w->event == NULL) {
		free(w);
		return;
	}
	LIST_INSERT_HEAD(&r->sockets, w, link);
	if (event_add(w->event, NULL) < 0)
		unwatch(w);
}

/* Returns true if the file has changed since *mark; updates *mark. */
static bool
note_file_change(const char *path, struct file_mark *mark)
{
	struct file_mark now = { 0 };
	struct stat st;
	bool is_same;

	if (stat(path, &st) == 0)
		now = (struct file_mark){ st.st_ino, st.st_ctim };
	is_same = now.inode == mark->inode && now.changed_at.tv_sec == mark->changed_at.tv_sec &&
		  now.changed_at.tv_nsec == mark->changed_at.tv_nsec;
	*mark = now;
	return !is_same;
}

static int
find_option(const char *text, const char *name, int default_value, int most)
{
	const char *at = strstr(text, name);
	long value = at == NULL ? default_value : strtol(at + strlen(name), NULL, 10);

	return value < 1 ? 1 : value > most ? most : (int)value;
}

/* Reads two options of the file: c-ares reads it, too, but older versions know these options by other names. */
static void
read_options(const char *file, struct ares_options *options)
{
	char text[4096];
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	options->timeout = 1000 * find_option(text, "timeout:", TIMEOUT_S, TIMEOUT_MAX_S);
	options->tries = find_option(text, "attempts:", ATTEMPTS, ATTEMPTS_MAX);
}

/* Makes the first channel, or a new one if the file has changed or too many lookups were forgotten. */
static void
refresh_channel(struct resolver *r)
{
	char lookups[] = "fb"; /* /etc/hosts, then the name servers */
	struct ares_options options = { .flags = ARES_FLAG_EDNS,
					.lookups = lookups,
					.resolvconf_path = r->file,
					.sock_state_cb = on_state,
					.sock_state_cb_data = r };
	ares_channel made;

	if (r->old != NULL ||
	    (!note_file_change(r->file, &r->mark) && r->channel != NULL && r->cancelled_count <= FORGOTTEN_MAX))
		return;
	read_options(r->file, &options);
	if (ares_init_options(&made, &options,
			      ARES_OPT_FLAGS | ARES_OPT_LOOKUPS | ARES_OPT_RESOLVCONF | ARES_OPT_SOCK_STATE_CB |
				  ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES) != ARES_SUCCESS) {
		r->mark = (struct file_mark){ 0 };
		return;
	}
	r->old = r->channel;
	r->channel = made;
	if (r->old != NULL)
		timer_fire_soon(&r->timer);
}

struct resolver *
resolver_new(struct event_base *base, const char *file)
{
	struct resolver *r = xcalloc(1, sizeof(*r));

	ares_library_init(ARES_LIB_INIT_ALL);
	r->base = base;
	timer_init(&r->timer, base, NULL, on_timer, r);
	resolver_set_file(r, file);
	return r;
}

void
resolver_set_file(struct resolver *r, const char *file)
{
	if (file[0] == '\0')
		file = FILE_OF_SYSTEM;
	if (r->file != NULL && strcmp(r->file, file) == 0)
		return;
	free(r->file);
	r->file = xstrdup(file);
	r->mark = (struct file_mark){ 0 };
}

void
resolver_free(struct resolver *r)
{
	ares_destroy(r->old);
	ares_destroy(r->channel);
	timer_stop(&r->timer);
	free(r->file);
	free(r);
	ares_library_cleanup();
}

static void ask(struct lookup *l);

/* Called by c-ares' callbacks. Returns true if the lookup is over, and sets *l to a copy of the lookup. Returns false
 * if the lookup was forgotten, or is started again because its channel was destroyed. */
static bool
end_lookup(struct lookup *ended, int status, struct lookup *l)
{
	bool is_forgotten = ended->done == NULL && ended->name_done == NULL;

	if (status == ARES_EDESTRUCTION && !is_forgotten) {
		ask(ended);
		return false;
	}
	*l = *ended;
	free(ended);
	if (is_forgotten)
		l->resolver->cancelled_count--;
	else
		*l->owner_field = NULL;
	return !is_forgotten;
}

static void
on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
	struct lookup l;

	if (end_lookup(arg, status, &l))
		l.done(status, found, l.arg);
	else
		ares_freeaddrinfo(found);
}

static void
on_name(void *arg, int status, int timeouts, char *name, char *service)
{
	struct lookup l;

	if (end_lookup(arg, status, &l))
		l.name_done(status, name, l.arg);
}

static void
ask(struct lookup *l)
{
	const struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NUMERICSERV,
						   .ai_family = AF_UNSPEC,
						   .ai_socktype = SOCK_STREAM,
						   .ai_protocol = IPPROTO_TCP };
	struct resolver *r = l->resolver;

	if (l->done != NULL)
		ares_getaddrinfo(r->channel, l->host, l->service, &hints, on_answer, l);
	else
		ares_getnameinfo(r->channel, &l->address.any,
				 l->address.any.sa_family == AF_INET ? sizeof(l->address.in) : sizeof(l->address.in6),
				 ARES_NI_LOOKUPHOST | ARES_NI_NAMEREQD, on_name, l);
	start_timer(r);
}

/* Returns a lookup of this name, or NULL if there is no memory, or no channel could be made. */
static struct lookup *
lookup_new(struct resolver *r, const char *host, void *arg, struct lookup **owner_field)
{
	size_t size = strlen(host) + 1;
	struct lookup *l = calloc(1, sizeof(*l) + size);

	refresh_channel(r);
	if (l == NULL || r->channel == NULL) {
		free(l);
		return NULL;
	}
	l->resolver = r;
	l->arg = arg;
	l->owner_field = owner_field;
	memcpy(l->host, host, size);
	return l;
}

void
lookup_start(struct resolver *r, const char *host, uint16_t port, lookup_done done, void *arg, struct lookup **lookup)
{
	struct lookup *l = lookup_new(r, host, arg, lookup);

	if (l == NULL) {
		done(ARES_ENOMEM, NULL, arg);
		return;
	}
	l->done = done;
	snprintf(l->service, sizeof(l->service), "%u", port);
	*lookup = l;
	ask(l);
}

void
lookup_start_name(struct resolver *r, const struct sockaddr *address, lookup_name_done name_done, void *arg,
		  struct lookup **lookup)
{
	struct lookup *l = lookup_new(r, "", arg, lookup);
	int family;
	const uint8_t *bytes = network_address(address, &family);

	if (l == NULL || bytes == NULL) {
		free(l);
		name_done(ARES_ENOMEM, NULL, arg);
		return;
	}
	l->name_done = name_done;
	l->address.any.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		memcpy(&l->address.in.sin_addr, bytes, sizeof(l->address.in.sin_addr));
	else
		memcpy(&l->address.in6.sin6_addr, bytes, sizeof(l->address.in6.sin6_addr));
	*lookup = l;
	ask(l);
}

void
lookup_cancel(struct lookup *l)
{
	l->done = NULL;
	l->name_done = NULL;
	l->resolver->cancelled_count++;
}
