/*
 * src/statements/bind_ahead.h - rewrites a client's Bind for a server that another client has borrowed, so the Bind can
 * be sent ahead of its turn (policy/policy_ahead.h).
 */
#pragma once

#include "exchange/exchange.h"
#include "statements/statements.h"

/* Appends to out this Bind with st's name on servers in place of the empty name (see statements/keep.h). bind: a
 * complete Bind of the unnamed statement and portal; len: the message's bytes. */
void statements_put_kept_bind(const struct statement *st, const uint8_t *bind, size_t len, struct buf *out);
/*
 * Appends to out this Bind with the name that its statement has on srv, which another client has borrowed. x has no
 * server. bind: a complete Bind of x's; len: the message's bytes. Returns the statement, borrowed. Returns NULL, and
 * appends nothing, if the portal has a name; if the statement is unnamed, unknown, being changed, or shared under
 * settings other than x's; or if srv does not have the statement.
 */
struct statement *statements_put_bind_ahead(const struct exchange *x, struct server *srv, const uint8_t *bind,
					    size_t len, struct buf *out);
