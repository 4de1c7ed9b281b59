/*
 * src/net/listener.h - one address to accept connections on.
 *
 * Accepts are bounded per turn of the loop, so a storm of logins can't stop queries. Out of descriptors it pauses for a
 * moment instead of spinning, and reports that to its owner.
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
	int adopted_fd; /* a socket that listens already (sd_listen_fds(3)), taken over; 0: none */
	bool is_inherited; /* ... from another process of pgweir: the file of a Unix socket goes with it */
	bool is_held; /* nothing is accepted before listener_begin() */
	int backlog;
	int descriptors_max; /* connections with this number or above are turned away; 0: as many as there are */
	struct tcp_options tcp;
	mode_t mode; /* of a Unix socket's file */
	gid_t group; /* of that; LISTENER_NO_GROUP: the process's own */
	void (*on_accept)(int fd, const struct sockaddr *peer, bool is_unix, void *arg); /* takes fd: non-blocking */
	void (*on_exhausted)(int error, void *arg); /* EMFILE and the like: one connection was turned away */
	void *arg;
};

/* Binds and listens. Replaces a stale Unix socket file, but not a live one. Returns NULL with *why set on failure. */
struct listener *listener_new(struct event_base *base, const struct listener_settings *settings, struct fail *why);
void listener_free(struct listener *l); /* removes the Unix socket file it made; NULL is fine */
/* Accepts. An inherited socket gets the settings of this process, and a Unix socket's file is its own from now on.
 * Returns -1 with *why set if it accepts, but has not got all of them. */
int listener_begin(struct listener *l, struct fail *why);
void listener_rest(struct listener *l); /* accepts nobody, and stays open, until listener_begin() */
int listener_fd(const struct listener *l); /* borrowed, to pass it on */
/* Accepts no more. The socket's file stays: it is another process's now. */
void listener_give_away(struct listener *l);

/*
 * --- Gives a Unix socket's file its mode from the beginning. chmod(2) would follow a link that somebody
 * has put in its place meanwhile.
 */
int listener_bind(int fd, const struct sockaddr_un *at, mode_t mode); /* like bind(2) */
/* Removes a socket file that nobody listens on: it is left over from a process that was killed. */
void listener_remove_stale(const struct sockaddr_un *un);

/* --- interfaces.c: the present addresses of this machine. --- */

/* Returns true if this address (IPv4-mapped, too) is this machine's or, if is_net, in a network of its interfaces. */
bool interfaces_have(const struct sockaddr *address, bool is_net);
