/*
 * src/net/listener.h - one address to accept connections on.
 *
 * Accepts are bounded per turn of the loop, so that a storm of logins can't stop queries. Out of descriptors it pauses
 * for a moment instead of spinning, and tells its owner.
 */
#ifndef PGWEIR_NET_LISTENER_H
#define PGWEIR_NET_LISTENER_H

#include "base/fail.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

struct listener; /* opaque: listener.c */

struct listener_settings {
	const char *host; /* numeric address, or the path of a Unix socket */
	uint16_t port;
	bool is_unix;
	int backlog;
	void (*on_accept)(int fd, const struct sockaddr *peer, bool is_unix, void *arg); /* fd is yours; non-blocking */
	void (*on_exhausted)(int error, void *arg); /* EMFILE and the like: one connection was turned away */
	void *arg;
};

/* Binds and listens. A stale Unix socket file is replaced; a live one is not. NULL and why on failure. */
struct listener *listener_new(struct event_base *base, const struct listener_settings *settings, struct fail *why);
void listener_free(struct listener *l); /* removes the Unix socket file it made; NULL is fine */

/*
 * --- bind_mode.c: A Unix socket's file has its mode from the moment it is there. chmod(2) would follow a link that
 * somebody has put in its place meanwhile.
 */
int bind_with_mode(int fd, const struct sockaddr_un *at, mode_t mode); /* as bind(2) */

#endif
