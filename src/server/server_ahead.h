/*
 * src/server/server_ahead.h - gives up requests that were sent ahead of their turn (policy/policy_ahead.h), because
 * their clients have gone or are served by another server. The last two functions, for requests that run while their
 * server is RESET, are in server_reset.c.
 */
#pragma once

#include "server/server.h"

/* Gives up the messages, if any, that were sent ahead: enters them into the ledger as OWED_TO_NOBODY, so their replies
 * are swallowed. Requests of clients that still wait are sent again. After this call, other messages may be sent. */
void server_disown_ahead(struct server *srv);
/* To be called in place of server_disown_ahead() if the borrower's next messages are in the ledger already. The new
 * entries precede the entries of the borrower's messages. */
void server_disown_ahead_to_front(struct server *srv);
/* Returns true if srv is lent and nothing was sent ahead to it, so all further bytes from it are for its borrower. */
bool server_has_borrower_only(const struct server *srv);
/* Returns true if srv is RESET, and a request that was sent ahead and belongs to no client has run for so long that it
 * must be cancelled. After server_cancel_stale_request(), returns false. */
bool server_has_stale_request(const struct server *srv, uint64_t now_us);
void server_cancel_stale_request(struct server *srv);
