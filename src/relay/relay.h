/*
 * src/relay/relay.h - requests of clients to the servers they borrow, and the replies.
 */
#pragma once

#include "exchange/exchange.h"

/* replies.c */
extern const struct server_ops relay_server_ops;

/* relay/requests.c */
void relay_bytes(struct exchange *x, const uint8_t *bytes, size_t len); /* handles or keeps all of it */
void relay_cancel_wait(struct exchange *x); /* a cancel request came; its request may wait for a server */
void relay_ticket(struct exchange *x); /* makes x->ticket ready to borrow with */
void relay_unstall(struct exchange *x); /* reads the client again if neither queue is full any more */

/* relay/release.c */
/* Gives the client's server back, if nothing keeps it. */
void relay_try_release(struct exchange *x);
/*
 * The client leaves: gives its server back, cleans it or closes it. A request that is under way has ended by that.
 * why: pgweir's reason to close it; NULL: the client has left. Returns what is lost with it, in words, or NULL.
 */
const char *relay_leave(struct exchange *x, const struct fail *why);

/* relay/replication.c: for clients whose replication is not NONE */
/* Returns true while COPY BOTH runs; false for other clients. */
bool replication_is_streaming(const struct exchange *x);
void replication_leave(struct exchange *x); /* the client leaves: its server is closed */
