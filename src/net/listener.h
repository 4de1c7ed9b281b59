/*
 * src/net/listener.h - one address at which connections are accepted.
 *
 * Accepts are bounded per turn of the loop, so a storm of logins can't stop queries. When there are no more
 * descriptors, the listener pauses for a moment instead of spinning, and calls on_exhausted().
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
	const char *host; /* numeric address, or the path of a Unix socket */
	uint16_t port;
	bool is_unix;
	int adopted_fd; /* a socket that listens already (sd_listen_fds(3)) and is taken over; 0 if there is none */
	/* adopted_fd comes from another process of pgweir: the file of a Unix socket is taken over, too */
	bool is_inherited;
	bool waits_for_begin; /* no connection is accepted before listener_begin() */
	int backlog;
	/* connections with this descriptor or a higher one are turned away; 0 if there is no limit */
	int descriptors_max;
	struct tcp_options tcp;
	mode_t mode; /* mode of a Unix socket's file */
	gid_t group; /* group of a Unix socket's file; LISTENER_NO_GROUP if it is the process's own */
	/* the callback owns fd, which is non-blocking */
	void (*on_accept)(int fd, const struct sockaddr *peer, bool is_unix, void *arg);
	/* Called when no descriptor or memory is left for a connection, which may have been turned away, and accepting
	 * pauses for a while. `error` is EMFILE or similar. */
	void (*on_exhausted)(int error, void *arg);
	void *arg;
};

/* Binds and listens. Replaces a stale Unix socket file, but not a live one. Returns NULL with *why set on failure. */
struct listener *listener_new(struct event_base *base, const struct listener_settings *settings, struct fail *why);
void listener_free(struct listener *l); /* removes its Unix socket's file, if it owns that; does nothing if l is NULL */
/* Starts to accept. An inherited socket gets the settings of this process, and a Unix socket's file belongs to the
 * listener from now on. Returns 0, or -1 with *why set if some settings could not be applied; the listener accepts in
 * either case. */
int listener_begin(struct listener *l, struct fail *why);
void listener_suspend(struct listener *l); /* stops accepting until listener_begin(); the socket stays open */
bool listener_is_unix(const struct listener *l);
int listener_fd(const struct listener *l); /* returns a borrowed descriptor, to pass it on */
/* Stops accepting, and frees l. The socket's file stays, because another process owns it now. */
void listener_give_away(struct listener *l);

/* Binds like bind(2), and gives a Unix socket's file its mode from the beginning: chmod(2) after bind(2) would follow a
 * symbolic link that another user has put in place of the file. */
int listener_bind(int fd, const struct sockaddr_un *at, mode_t mode);
/* Removes a socket file on which no process listens, left over from a process that was killed. */
void listener_remove_stale(const struct sockaddr_un *un);

/* --- interfaces.c: the present addresses of this machine. --- */

/* Returns true if this machine has the address or, if is_net is true, if one of the machine's networks contains it. An
 * IPv4-mapped address counts as IPv4. */
bool interfaces_have(const struct sockaddr *address, bool is_net);
