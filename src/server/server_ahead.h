/*
 * src/server/server_ahead.h - requests that were sent ahead of their turn (policy/policy_ahead.h), and whose client is
 * now served otherwise. server_ahead.c; server_reset.c for those that run while RESET.
 */
#pragma once

#include "server/server.h"

/*
 * Enters the messages that were sent ahead in the ledger, as OWED_TO_NOBODY: their replies are swallowed, and their
 * clients are served as if they had not sent them. Any message may follow. Fine if nothing was sent ahead.
 */
void server_disown(struct server *srv);
/*
 * Does what server_disown() does, for a server whose borrower has already entered messages that are sent next: those
 * come after the messages that were sent ahead.
 */
void server_disown_before(struct server *srv);
/* Returns true if srv is lent and nothing was sent ahead there: everything still to be read is its borrower's. */
bool server_is_borrowers_alone(const struct server *srv);
/*
 * Returns true if a request that was sent ahead runs while RESET, belongs to no client, and has taken so long that it
 * must be cancelled, once. In server_reset.c.
 */
bool server_runs_nobodys(const struct server *srv, uint64_t now_us);
void server_cancel_nobodys(struct server *srv); /* in server_reset.c */
