/*
 * src/relay/begin.h - begin = deferred: a request that is a BEGIN alone is answered here, and sent with the first
 * statement of its transaction, in the same packet. So no server is held while the answer travels to the client and the
 * statement back; a transaction that ends before it has run anything needs none.
 *
 * Always: a block that is EXCHANGE_DUE is begun on the server that its client gets, ahead of all that the client sends
 *         there. If it gets none, the transaction has failed.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/* Answers the Query of a client without a server if it begins a block, or ends one that no server has. Returns false if
 * it is to be sent. */
bool begin_answer(struct exchange *x, const struct request *m);
/* The client, whose block is EXCHANGE_DUE, has a server now: begins the block there, ahead of what comes next. */
void begin_there(struct exchange *x);
/* Nothing of the request lasts on srv, which was its server: if the block was begun ahead of that, it is due again. */
static inline void
begin_again(struct exchange *x, const struct server *srv)
{
	if (exchange_is_begun_ahead(x, srv) && (srv->loan.standby == 0 || x->begin != 0)) /* else reads_lost() knows */
		exchange_set_block(x, EXCHANGE_DUE);
}
