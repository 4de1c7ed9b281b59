/* src/relay/replies.h - what the three files that see to a borrowed server's replies ask of each other. */
#pragma once

#include "exchange/exchange.h"

/* --- replies.c --- */
/* Something was answered: relays what a client that is CL_HELD waits with, or holds it again. */
void relay_resume_held(struct exchange *x);

/* --- completed.c --- */
/* server_ops.complete. Returns true if the client got something else in its place. */
bool relay_completed(struct server *srv, const char *text, size_t len);
/* A request is over, in which or before which loan.ddl or its like were set: the transaction may have ended. */
void relay_ddl_answered(struct exchange *x, struct server *srv);

/* --- lost.c --- */
void relay_lost(struct server *srv, const struct fail *why); /* server_ops.lost */
