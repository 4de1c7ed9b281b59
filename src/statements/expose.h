/*
 * src/statements/expose.h - statements under the client's own names, for SQL that looks for them.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"
#include "statements/statements.h"

/*
 * SQL is about to be run, parsed, bound or described: prepares the statements that it looks for under the client's own
 * names. FORWARD: they are there, or need not be. HOLD, FAILED.
 */
enum feature_step statements_expose(struct exchange *x, struct request *m);
/*
 * Before a message, or (is_at_end) before the server is given back: closes the statements that were exposed. FORWARD:
 * there are none, or their request is not over; SENT: this was sent; HOLD: their request must be answered first;
 * FAILED.
 */
enum feature_step statements_undo(struct exchange *x, bool is_at_end);
/* Returns true if something is exposed, or may be. */
bool statements_are_exposed(const struct exchange *x);
static inline bool
statements_is_quiet(const struct exchange *x)
{
	return !statements_are_exposed(x);
}
