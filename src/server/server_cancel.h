/*
 * src/server/server_cancel.h - cancels what runs on a server.
 */
#ifndef PGWEIR_SERVER_SERVER_CANCEL_H
#define PGWEIR_SERVER_SERVER_CANCEL_H

#include "server/server.h"

/*
 * Sends a CancelRequest for its present request, on a connection of its own, and waits until PostgreSQL closes that:
 * then the signal was sent. If that is not confirmed in time, srv->is_closing is set. done (may be NULL) is called
 * once, later. Returns 0, or -1 if it can't begin or another cancel is under way.
 */
int server_cancel(struct server *srv, uint64_t timeout_us, void (*done)(bool is_confirmed, void *arg), void *arg);
void server_cancel_forget(struct server *srv); /* srv ends: a cancel under way continues without it */
void server_cancel_abandon(const struct server_env *env); /* at exit: gives up all cancels under way */

#endif
