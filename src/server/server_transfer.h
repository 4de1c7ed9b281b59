/*
 * src/server/server_transfer.h - moves an idle server to another worker, with its socket, its TLS session and
 * everything that its backend has.
 *
 * Always: from server_pack() until server_arrive() or server_discard() the server belongs to no loop, and nothing of it
 *         belongs to any worker.
 */
#pragma once

#include "server/server.h"

/* Returns true if nothing ties an idle server to its worker. */
bool server_may_be_transferred(const struct server *srv);
/*
 * The first of three steps: the server leaves its loop, and its owner forgets it, so no callback comes from now on.
 * Functions up the stack may still use the server, so the second step must be done from the deferred frees. Returns 0,
 * or -1 for a bug of pgweir's.
 */
int server_depart(struct server *srv);
/*
 * Gives up everything of the server that belongs to its worker. Returns 0, or -1 without memory: the same worker must
 * then call server_discard().
 */
int server_pack(struct server *srv);
/*
 * Called on the other worker: makes the server IDLE there. Returns 0, or -1 without memory or if the server has failed:
 * call server_discard() then.
 */
int server_arrive(struct server *srv, const struct server_env *env, void *owner, const struct server_target *target);
/* Ends a server that has not arrived, without a callback. env: the calling worker's. */
void server_discard(struct server *srv, const struct server_env *env);
