/*
 * src/statements/bind_ahead.h - a Bind as a server would be sent it, if its client had borrowed that.
 */
#pragma once

#include "exchange/exchange.h"
#include "statements/statements.h"

/* Appends a whole Bind of the unnamed statement and portal, as a server is sent it that has st: see statements/keep.h.
 */
void statements_put_kept_bind(const struct statement *st, const uint8_t *bind, size_t len, struct buf *out);
/*
 * Appends to out a whole Bind of a named statement (len bytes of message), of a client without a server, as srv, which
 * somebody else has, would be sent it. Returns the statement; NULL: srv would be sent more, or it is not that simple.
 */
struct statement *statements_put_bind_ahead(const struct exchange *x, struct server *srv, const uint8_t *bind,
					    size_t len, struct buf *out);
