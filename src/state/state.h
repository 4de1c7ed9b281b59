/*
 * src/state/state.h - what a client's requests leave behind in the session, in transaction mode; see state_state.h.
 */
#pragma once

#include "exchange/exchange.h"

void state_free(struct exchange *x);
/*
 * Enters into the ledger, and appends to b, a run of this SQL as the unnamed statement, or as the placeholder if the
 * client's unnamed one must stay (loan.is_unnamed_kept); ref is that of its Execute.
 * Within a request, and within a transaction, the portal has a name and is closed: the client's unnamed one may be
 * bound, and if there is none, PostgreSQL must say so.
 */
void state_run(struct exchange *x, struct buf *b, const char *sql, enum owed_to to, void *ref);
/* The same with SQL that was built in a buffer, terminator included; frees that. */
void state_run_built(struct exchange *x, struct buf *b, struct buf *sql, enum owed_to to, void *ref);
