/*
 * src/server/server_transfer.h - an idle server goes to another worker, with its socket, its TLS session and all that
 * its backend has.
 *
 * Always: from server_pack() until server_arrive() or server_discard() it belongs to nobody's loop, and nothing of it
 *         to any worker.
 */
#pragma once

#include "server/server.h"

/* Returns true if nothing ties an idle server to its worker. */
bool server_may_be_transferred(const struct server *srv);
/* The first of three steps. It leaves its loop, and its owner forgets it: no callback comes from now on. Functions up
 * the stack may still use it, so the second step is for the deferred frees. Returns 0, or -1 for a bug of pgweir's. */
int server_depart(struct server *srv);
/* Gives up all that is its worker's. Returns 0, or -1 without memory: call server_discard() on the same worker. */
int server_pack(struct server *srv);
/* On the other worker: it is IDLE there. Returns 0, or -1: no memory, or it has failed: then server_discard(). */
int server_arrive(struct server *srv, const struct server_env *env, void *owner, const struct server_target *target);
/* Ends one that has not arrived, without a callback. env: of the worker that runs. */
void server_discard(struct server *srv, const struct server_env *env);
