/*
 * src/relay/begin.h - the setting begin = deferred: pgweir answers a request that is only a BEGIN, and sends that BEGIN
 * together with the first statement of the transaction, in one packet. So the client has no server while the answer and
 * the statement are on their way; a transaction that ends before it has run a statement needs no server.
 *
 * Always: when a client whose block is EXCHANGE_DUE gets a server, the block is begun there, ahead of everything that
 *         the client sends. If the client gets no server, the transaction has failed.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/* Answers a Query of a client without a server and returns true, if the Query begins a block, or ends a block that no
 * server has. Returns false if the Query must be sent to a server. */
bool begin_answer(struct exchange *x, const struct request *m);
/* Sends the BEGIN of a client whose block is EXCHANGE_DUE to its server, ahead of all that the client sends there. */
void begin_send_deferred(struct exchange *x);
/* Call when x leaves srv, and srv has nothing left of x's request. If x's block was begun on srv ahead of that request,
 * the block is due again. */
static inline void
begin_mark_due_again(struct exchange *x, const struct server *srv)
{
	/* If srv is a standby's and x->begin is 0, reads_lost() does this. */
	if (exchange_is_begun_ahead(x, srv) && (srv->loan.standby == 0 || x->begin != 0))
		exchange_set_block(x, EXCHANGE_DUE);
}
