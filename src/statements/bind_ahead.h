/*
 * src/statements/bind_ahead.h - rewrites a Bind for a server that the Bind's client has not borrowed.
 */
#pragma once

#include "exchange/exchange.h"
#include "statements/statements.h"

/* Appends a complete Bind of the unnamed statement and portal, rewritten for a server that has st under the store's
 * name: see statements/keep.h. */
void statements_put_kept_bind(const struct statement *st, const uint8_t *bind, size_t len, struct buf *out);
/*
 * Rewrites for srv, which another client has, a complete Bind (a message of len bytes) of x, which has no server, and
 * appends it to out. Returns the statement, borrowed. Returns NULL, with nothing appended, if the statement is unnamed,
 * unknown, being changed, or shared under settings other than x's, if srv does not have it, or if the portal has a
 * name.
 */
struct statement *statements_put_bind_ahead(const struct exchange *x, struct server *srv, const uint8_t *bind,
					    size_t len, struct buf *out);
