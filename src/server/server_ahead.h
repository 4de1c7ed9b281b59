/*
 * src/server/server_ahead.h - requests that were sent ahead of their turn (policy/policy_ahead.h), but whose clients
 * are now served in another way. In server_ahead.c; for requests that run while RESET, in server_reset.c.
 */
#pragma once

#include "server/server.h"

/* Enters into the ledger, as OWED_TO_NOBODY, the messages that were sent ahead: their replies are swallowed, and each
 * client is served as if its messages had not been sent. Any message may follow. Does nothing if nothing was sent
 * ahead. */
void server_disown_ahead(struct server *srv);
/* Does what server_disown_ahead() does, for a server whose borrower has already entered its own next messages in the
 * ledger: the messages that were sent ahead are entered before these. */
void server_disown_ahead_first(struct server *srv);
/* Returns true if srv is lent and nothing was sent ahead there, so everything still to be read is for its borrower. */
bool server_is_borrowers_alone(const struct server *srv);
/* Returns true if a request that was sent ahead runs while RESET, belongs to no client, and has taken so long that it
 * must be cancelled, once. In server_reset.c. */
bool server_has_stale_request(const struct server *srv, uint64_t now_us);
void server_cancel_stale_request(struct server *srv); /* in server_reset.c */
