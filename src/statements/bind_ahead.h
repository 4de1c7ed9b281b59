/*
 * src/statements/bind_ahead.h - rewrites a client's Bind for a server that the client has not borrowed, so the Bind can
 * be sent ahead of its turn (policy/policy_ahead.h).
 */
#pragma once

#include "exchange/exchange.h"
#include "statements/statements.h"

/* Appends to out a Bind of st under its name on servers. bind: a complete Bind of the unnamed statement and portal, a
 * message of len bytes. See statements/keep.h. */
void statements_put_kept_bind(const struct statement *st, const uint8_t *bind, size_t len, struct buf *out);
/*
 * Appends to out the Bind with the name that its statement has on srv, which another client has borrowed. x has no
 * server. bind: a complete Bind of x's, a message of len bytes. Returns the statement, borrowed; or NULL, with nothing
 * appended, if the Bind can't be sent ahead: if the portal has a name; if the statement is unnamed, unknown, being
 * changed, or shared under settings other than x's; or if srv does not have it.
 */
struct statement *statements_put_bind_ahead(const struct exchange *x, struct server *srv, const uint8_t *bind,
					    size_t len, struct buf *out);
