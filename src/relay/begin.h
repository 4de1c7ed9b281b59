/*
 * src/relay/begin.h - begin = deferred: pgweir answers a request that is only a BEGIN, and sends that BEGIN with the
 * first statement of its transaction, in the same packet. So no server is held while the answer travels to the client
 * and the statement travels back; a transaction that ends before it has run anything needs no server.
 *
 * Always: a block that is EXCHANGE_DUE is begun on the server that its client gets, ahead of everything that the client
 *         sends there. If the client gets no server, the transaction has failed.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/* Answers the Query of a client without a server if the Query begins a block, or ends a block that no server has.
 * Returns false if the Query must be sent. */
bool begin_answer(struct exchange *x, const struct request *m);
/* Begins the block of a client whose block is EXCHANGE_DUE, on the client's server, ahead of everything that the client
 * sends there. */
void begin_there(struct exchange *x);
/* Call when x leaves srv, on which nothing of x's request remains. If the block was begun on srv ahead of that request,
 * the block is due again. */
static inline void
begin_mark_due_again(struct exchange *x, const struct server *srv)
{
	/* If srv is a standby's and x->begin is 0, reads_lost() does this. */
	if (exchange_is_begun_ahead(x, srv) && (srv->loan.standby == 0 || x->begin != 0))
		exchange_set_block(x, EXCHANGE_DUE);
}
