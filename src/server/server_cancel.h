/*
 * src/server/server_cancel.h - cancels what runs on a server.
 */
#pragma once

#include "server/server.h"

/* why: that it could not connect; NULL: it could. */
typedef void (*server_cancel_done)(bool is_confirmed, const char *why, void *arg);

/*
 * Sends a CancelRequest for its present request, on a connection of its own, and waits until PostgreSQL closes that:
 * then the signal was sent. If that is not confirmed in time, srv is condemned. done (may be NULL) is called
 * once, later. Returns 0, or -1 if it can't begin or another cancel is under way.
 */
int server_cancel(struct server *srv, uint64_t timeout_us, server_cancel_done done, void *arg);

/* A process that has the client which a cancel request is for, and the key; borrowed. */
struct server_cancel_place {
	const char *host;
	uint16_t port;
	uint32_t pid;
	const uint8_t *key;
	size_t key_len; /* at most 256 */
};
/* The same for a client of another process, without TLS. */
int server_cancel_elsewhere(const struct server_env *env, const struct server_cancel_place *at, uint64_t timeout_us,
			    server_cancel_done done, void *arg);
void server_cancel_forget(struct server *srv); /* srv ends: a cancel under way continues without it */
void server_cancel_abandon(const struct server_env *env); /* at exit: gives up all cancels under way */
