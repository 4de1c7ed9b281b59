/*
 * src/server/server_ahead.h - requests that were sent ahead of their turn (policy/policy_ahead.h), and are nobody's
 * now: server_ahead.c, and server_reset.c for those that run while RESET.
 */
#pragma once

#include "server/server.h"

/*
 * Enters what was sent ahead in the ledger as nobody's: its replies are swallowed, and who has sent it is served as if
 * it had not. Anything may follow. Fine if there is nothing.
 */
void server_disown(struct server *srv);
/* Does the same of a server whose borrower has entered messages for what was sent ahead first, and sends others: these
 * come behind. */
void server_disown_before(struct server *srv);
/* Returns true if srv is lent, and nothing was sent ahead there: all that is still to be read is its borrower's. */
bool server_is_borrowers_alone(const struct server *srv);
/* Returns true if what runs while RESET was sent ahead, is nobody's, and has taken so long that it is to be cancelled,
 * once. server_reset.c */
bool server_runs_nobodys(const struct server *srv, uint64_t now_us);
void server_cancel_nobodys(struct server *srv); /* server_reset.c */
