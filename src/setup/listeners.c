#include "setup/listeners.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "config/compat.h"
#include "os/os.h"

#include <grp.h>
#include <limits.h>
#include <sys/resource.h>

#define SERVER_DESCRIPTORS 256 /* the most descriptors that clients may not use */
#define INHERITED_MAX (LISTENERS_MAX + 1)

/* A listening socket of the old process. */
struct inherited {
	int fd; /* -1 if the socket was taken */
	char kind; /* 'S' (SQL) or 'H' (HTTP) */
	uint16_t port;
	char host[112];
};

struct listeners {
	struct listeners_settings s;
	struct listener *list[LISTENERS_MAX];
	struct config_listen at[LISTENERS_MAX]; /* the address of each listener; not set if the socket was passed */
	bool are_passed; /* true if a service manager has passed the sockets, which a reload must keep */
	bool is_held; /* true while nothing may be accepted */
	struct inherited inherited[INHERITED_MAX];
	size_t inherited_count;
};

struct listeners *
listeners_new(const struct listeners_settings *settings)
{
	struct listeners *l = xcalloc(1, sizeof(*l));

	l->s = *settings;
	return l;
}

void
listeners_free(struct listeners *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < LISTENERS_MAX; i++)
		listener_free(l->list[i]);
	listeners_close_inherited(l, false);
	free(l);
}

/* --- values from a configuration --- */

int
listeners_client_descriptors_max(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur > INT_MAX)
		return 0;
	return (int)(r.rlim_cur - (r.rlim_cur / 16 < SERVER_DESCRIPTORS ? r.rlim_cur / 16 : SERVER_DESCRIPTORS));
}

struct tcp_options
setup_get_tcp_options(const struct config *config)
{
	return (struct tcp_options){
		.is_port_shared = config->tcp_reuse_port,
		.is_kept_alive = config->tcp_keepalive,
		.probe_count = config->tcp_keepalive_count,
		.idle_s = (uint32_t)(config->tcp_keepalive_idle_us / US_PER_S),
		.interval_s = (uint32_t)(config->tcp_keepalive_interval_us / US_PER_S),
		.user_timeout_ms = (uint32_t)(config->tcp_user_timeout_us / US_PER_MS),
		.defer_accept_s = (uint32_t)((config->tcp_defer_accept_us + US_PER_S - 1) / US_PER_S),
	};
}

static struct listener_settings
settings_of(const struct listeners *l, const struct config *config)
{
	const char *name = config->unix_socket_group;
	const struct group *group = *name != '\0' ? getgrnam(name) : NULL;

	return (struct listener_settings){ .backlog = (int)config->listen_backlog,
					   .descriptors_max = listeners_client_descriptors_max(),
					   .tcp = setup_get_tcp_options(config),
					   .mode = (mode_t)strtoul(config->unix_socket_mode, NULL, 8),
					   .group = group != NULL ? group->gr_gid : LISTENER_NO_GROUP,
					   .waits_for_begin = l->is_held,
					   .on_accept = l->s.on_accept,
					   .on_exhausted = l->s.on_exhausted,
					   .arg = l->s.arg };
}

/* --- sockets that a service manager has passed --- */

static int
adopt(struct listeners *l, const struct config *config, int i, int fd, struct fail *why)
{
	struct listener_settings s = settings_of(l, config);
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);

	s.adopted_fd = fd;
	if (getsockname(fd, (struct sockaddr *)&at, &len) < 0)
		return fail_set(why, "58000", "descriptor %d, passed by the service manager, is not a socket", fd);
	s.is_unix = at.ss_family == AF_UNIX;
	l->list[i] = listener_new(l->s.base, &s, why);
	if (l->list[i] == NULL)
		return -1;
	log_info(l->s.log, "socket passed from service manager (fd %d)", fd);
	return 0;
}

int
listeners_adopt(struct listeners *l, const struct config *config, struct fail *why)
{
	int count = os_take_passed_sockets();

	if (l->are_passed) {
		int fd;

		/* Adopts the sockets that the old process got from the service manager. */
		for (int i = 0; i < LISTENERS_MAX && (fd = listeners_take_inherited(l, 'S', NULL, 0)) != 0; i++)
			if (adopt(l, config, i, fd, why) < 0)
				return -1;
		return 0;
	}
	if (count > LISTENERS_MAX)
		return fail_set(why, "54000", "more than %d sockets were passed", LISTENERS_MAX);
	for (int i = 0; i < count; i++)
		if (adopt(l, config, i, OS_FIRST_PASSED_FD + i, why) < 0)
			return -1;
	if (count > 0) {
		l->are_passed = true;
		log_warning(l->s.log, "sockets passed from service manager, listen is ignored");
	}
	return 0;
}

/* --- sockets of a configuration --- */

/* Returns the present listener on this address, which a reload keeps; NULL if there is none. */
static struct listener *
find_listener(const struct listeners *l, const struct config_listen *at)
{
	for (size_t i = 0; i < LISTENERS_MAX; i++)
		if (l->list[i] != NULL && l->at[i].port == at->port && strcmp(l->at[i].host, at->host) == 0)
			return l->list[i];
	return NULL;
}

/* Returns a new listener on this address, on the old process's socket if there is one; or NULL with *why set. */
static struct listener *
open_listener(struct listeners *l, const struct config *config, const struct config_listen *at, struct fail *why)
{
	struct listener_settings s = settings_of(l, config);

	s.host = at->host;
	s.port = at->port;
	s.is_unix = config_listen_is_unix(at);
	s.adopted_fd = listeners_take_inherited(l, 'S', at->host, at->port);
	s.is_inherited = s.adopted_fd != 0;
	return listener_new(l->s.base, &s, why);
}

int
listeners_open(struct listeners *l, const struct config *config, struct listeners_next *next, struct fail *why)
{
	size_t missing_count = 0, tcp_count = 0, open_count = 0;

	*next = (struct listeners_next){ 0 };
	for (size_t i = 0; i < LISTENERS_MAX; i++)
		open_count += l->list[i] != NULL;
	if (l->are_passed || (open_count > 0 && compat_does(config, COMPAT_KEEPS_LISTENERS)))
		return 0;
	next->is_changed = true;
	if (config->listen_count > LISTENERS_MAX)
		return fail_set(why, "54000", "more than %d addresses to listen on", LISTENERS_MAX);
	for (size_t i = 0; i < config->listen_count; i++) {
		const struct config_listen *at = &config->listens[i];

		tcp_count += !config_listen_is_unix(at);
		next->list[i] = find_listener(l, at);
		if (next->list[i] != NULL)
			continue;
		next->list[i] = open_listener(l, config, at, why);
		next->is_new[i] = next->list[i] != NULL;
		if (next->is_new[i])
			continue;
		if (config_listen_is_unix(at) || !compat_does(config, COMPAT_LISTENS_WHERE_IT_CAN))
			return -1;
		log_warning(l->s.log, "%s", why->text);
		missing_count++;
	}
	return missing_count == 0 || missing_count < tcp_count ? 0 : -1;
}

void
listeners_abandon(struct listeners_next *next)
{
	for (size_t i = 0; i < LISTENERS_MAX; i++)
		if (next->is_new[i])
			listener_free(next->list[i]);
}

static bool
is_kept(const struct listeners_next *next, const struct listener *l)
{
	for (size_t i = 0; i < LISTENERS_MAX; i++)
		if (next->list[i] == l)
			return true;
	return false;
}

void
listeners_use(struct listeners *l, const struct config *config, const struct listeners_next *next)
{
	if (!next->is_changed)
		return;
	for (size_t i = 0; i < LISTENERS_MAX; i++) {
		if (l->list[i] == NULL || is_kept(next, l->list[i]))
			continue;
		log_info(l->s.log, "no longer listening on %s; clients that are connected there stay", l->at[i].text);
		listener_free(l->list[i]);
	}
	memcpy(l->list, next->list, sizeof(l->list));
	for (size_t i = 0; i < config->listen_count; i++) {
		l->at[i] = config->listens[i];
		if (next->is_new[i])
			log_info(l->s.log, "listening on %s", config->listens[i].text);
	}
}

int
listeners_listen(struct listeners *l, const struct config *config, struct fail *why)
{
	struct listeners_next next;

	if (listeners_open(l, config, &next, why) < 0) {
		listeners_abandon(&next);
		return -1;
	}
	listeners_use(l, config, &next);
	return 0;
}

void
listeners_begin(struct listeners *l)
{
	struct fail why;

	l->is_held = false;
	for (size_t i = 0; i < LISTENERS_MAX; i++)
		if (l->list[i] != NULL && listener_begin(l->list[i], &why) < 0)
			log_warning(l->s.log, "%s", why.text);
}

void
listeners_close_tcp(struct listeners *l)
{
	for (size_t i = 0; i < LISTENERS_MAX; i++) {
		/* Asks the listener, because l->at[i] is not set for a passed socket. */
		if (l->list[i] == NULL || listener_is_unix(l->list[i]))
			continue;
		listener_free(l->list[i]);
		l->list[i] = NULL;
	}
}

/* --- a restart --- */

bool
listeners_are_passed(const struct listeners *l)
{
	return l->are_passed;
}

void
listeners_each(const struct listeners *l, void (*each)(const char *host, uint16_t port, int fd, void *arg), void *arg)
{
	for (size_t i = 0; i < LISTENERS_MAX; i++)
		if (l->list[i] != NULL)
			each(l->at[i].host, l->at[i].port, listener_fd(l->list[i]), arg);
}

void
listeners_stop_for_successor(struct listeners *l)
{
	for (size_t i = 0; i < LISTENERS_MAX; i++) {
		if (l->list[i] == NULL)
			continue;
		if (l->are_passed) {
			listener_suspend(l->list[i]);
			continue;
		}
		listener_free_keeping_file(l->list[i]);
		l->list[i] = NULL;
	}
}

void
listeners_hold(struct listeners *l)
{
	l->is_held = true;
}

void
listeners_set_passed(struct listeners *l, bool are_passed)
{
	l->are_passed = are_passed;
}

void
listeners_inherit(struct listeners *l, char kind, const char *host, uint16_t port, int fd)
{
	struct inherited *inherited = &l->inherited[l->inherited_count];

	if (l->inherited_count == INHERITED_MAX || strlen(host) >= sizeof(inherited->host)) {
		close(fd);
		return;
	}
	*inherited = (struct inherited){ .fd = fd, .kind = kind, .port = port };
	memcpy(inherited->host, host, strlen(host));
	l->inherited_count++;
}

int
listeners_take_inherited(struct listeners *l, char kind, const char *host, uint16_t port)
{
	for (size_t i = 0; i < l->inherited_count; i++) {
		struct inherited *inherited = &l->inherited[i];
		int fd = inherited->fd;

		if (fd < 0 || inherited->kind != kind ||
		    (host != NULL && (inherited->port != port || strcmp(inherited->host, host) != 0)))
			continue;
		inherited->fd = -1;
		return fd;
	}
	return 0;
}

void
listeners_close_inherited(struct listeners *l, bool must_unlink)
{
	for (size_t i = 0; i < l->inherited_count; i++) {
		struct inherited *inherited = &l->inherited[i];

		if (inherited->fd < 0)
			continue;
		close(inherited->fd);
		if (must_unlink && inherited->port == 0 && inherited->host[0] == '/')
			unlink(inherited->host);
		inherited->fd = -1;
	}
}
