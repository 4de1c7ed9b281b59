/*
 * src/net/listener.h - one address at which connections are accepted.
 *
 * The number of accepts per turn of the event loop is limited, so a storm of logins can't stop queries. When the
 * process has no descriptors left, the listener calls on_exhausted(), and accepts nothing for a moment.
 */
#pragma once

#include "net/stream.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define LISTENER_NO_GROUP ((gid_t)-1)

struct listener; /* opaque: listener.c */

struct listener_settings {
	const char *host; /* numeric address, or path of a Unix socket; used only during listener_new() */
	uint16_t port;
	bool is_unix;
	int adopted_fd; /* a listening socket that listener_new() takes over (sd_listen_fds(3)); 0 if none */
	bool is_inherited; /* true if adopted_fd comes from the previous process of a restart */
	bool waits_for_begin; /* true if no connection is accepted before listener_begin() */
	int backlog;
	/* a connection that gets this descriptor or a higher one is refused; 0 if there is no limit */
	int descriptors_max;
	struct tcp_options tcp;
	mode_t mode; /* mode of a Unix socket's file */
	gid_t group; /* group of a Unix socket's file; LISTENER_NO_GROUP leaves the system's choice */
	/* called for each connection; the callback owns fd, which is non-blocking */
	void (*on_accept)(int fd, const struct sockaddr *peer, bool is_unix, void *arg);
	/* Called when there is no descriptor or memory for a connection; the listener has just stopped accepting for a
	 * moment. `error` is EMFILE or similar. The connection was refused, or still waits to be accepted. */
	void (*on_exhausted)(int error, void *arg);
	void *arg;
};

/* Binds and listens, or takes adopted_fd. Replaces the file of a Unix socket on which no process listens any more.
 * Returns NULL with *why set on failure. */
struct listener *listener_new(struct event_base *base, const struct listener_settings *settings, struct fail *why);
/* Closes the socket, removes a Unix socket's file if the listener owns that file, and frees l, which may be NULL. */
void listener_free(struct listener *l);
/* Starts to accept. If the socket is inherited, applies this process's settings to it, and takes over a Unix socket's
 * file. Returns 0, or -1 with *why set if a setting could not be applied. In both cases the listener accepts. */
int listener_begin(struct listener *l, struct fail *why);
void listener_suspend(struct listener *l); /* stops accepting until listener_begin(); the socket stays open */
bool listener_is_unix(const struct listener *l);
int listener_fd(const struct listener *l); /* returns the socket, to be sent to the next process; l still owns it */
/* Closes the socket and frees l, but leaves a Unix socket's file, which another process owns now. */
void listener_free_keeping_file(struct listener *l);

/* Binds fd like bind(2), and creates the file with this mode. Does not call chmod(2) after bind(2), because chmod(2)
 * would follow a symbolic link that another user has put in place of the file. */
int listener_bind(int fd, const struct sockaddr_un *at, mode_t mode);
/* Removes the file of a Unix socket on which no process listens any more, as after a SIGKILL. */
void listener_remove_stale(const struct sockaddr_un *un);

/* --- interfaces.c: the present addresses of this machine. --- */

/* Returns true if the address is one of this machine's or, with is_net, if it is in a network of one of this machine's
 * interfaces. An IPv4-mapped IPv6 address counts as IPv4. */
bool interfaces_have(const struct sockaddr *address, bool is_net);
