/*
 * src/server/server_transfer.h - moves an idle server to another worker, with its socket, its TLS session and all that
 * pgweir knows of its session.
 *
 * Always: from server_pack() to server_arrive() or server_discard(), the server is in no loop, and no worker owns it.
 */
#pragma once

#include "server/server.h"

/* Returns true if nothing ties an idle server to its worker. */
bool server_may_be_transferred(const struct server *srv);
/*
 * Step 1: takes the server out of its loop, and clears srv->owner, so no callback comes from now on. Callers up the
 * stack may still use the server, so step 2 must be called from the callback of a deferred free. Returns 0, or -1 for a
 * bug of pgweir's.
 */
int server_depart(struct server *srv);
/*
 * Step 2: releases or copies all parts of the server that belong to its worker. Returns 0, or -1 if out of memory; then
 * the same worker must call server_discard().
 */
int server_pack(struct server *srv);
/*
 * Step 3, on the other worker: makes the server IDLE there. Returns 0, or -1 if out of memory or if the server has
 * failed; then call server_discard().
 */
int server_arrive(struct server *srv, const struct server_env *env, void *owner, const struct server_target *target);
/* Ends a server between step 2 and step 3, without a callback. env: the calling worker's. */
void server_discard(struct server *srv, const struct server_env *env);
