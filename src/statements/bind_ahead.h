/*
 * src/statements/bind_ahead.h - a Bind in the form that a server would get if the client had borrowed that server.
 */
#pragma once

#include "exchange/exchange.h"
#include "statements/statements.h"

/* Appends a complete Bind of the unnamed statement and portal, in the form for a server that has st: see
 * statements/keep.h. */
void statements_put_kept_bind(const struct statement *st, const uint8_t *bind, size_t len, struct buf *out);
/*
 * Appends to out the complete Bind (a message of len bytes) of x, which has no server, in the form for srv, which
 * another client has. Returns the statement, borrowed; or NULL, with nothing appended, if the statement is unnamed,
 * unknown, being changed, or shared under settings other than x's, if srv does not have it, or if the portal has a
 * name.
 */
struct statement *statements_put_bind_ahead(const struct exchange *x, struct server *srv, const uint8_t *bind,
					    size_t len, struct buf *out);
