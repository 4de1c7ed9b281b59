/*
 * src/relay/begin.h - for begin = deferred: pgweir itself answers a request that is only a BEGIN, and sends that BEGIN
 * later, in one packet with the first statement of the transaction. So the client has no server while the answer and
 * that statement are on their way. A transaction that ends without a statement needs no server.
 *
 * Always: when a client whose block is EXCHANGE_BEGIN_DUE (its BEGIN was answered, but not sent) gets a server, pgweir
 *         sends the BEGIN there ahead of the client's messages. If no server is lent, the transaction fails.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/* Call for a Query of a client without a server. If the Query only begins a block, or ends a block that no server has,
 * answers it and returns true. Returns false if the Query must be sent to a server. */
bool relay_answer_begin_or_end(struct exchange *x, const struct request *m);
/* Call when a client whose block is EXCHANGE_BEGIN_DUE has got a server: sends the BEGIN to that server. */
void relay_send_deferred_begin(struct exchange *x);
/* Call when x leaves srv, which has run nothing of x's request. If pgweir had begun x's block for that request, the
 * block is EXCHANGE_BEGIN_DUE again. */
static inline void
relay_mark_begin_due_again(struct exchange *x, const struct server *srv)
{
	/* If srv is a standby's connection and x->begin_modes is 0, reads_note_loss() does this. */
	if (exchange_is_begun_ahead(x, srv) && (srv->loan.standby == 0 || x->begin_modes != 0))
		exchange_set_block(x, EXCHANGE_BEGIN_DUE);
}
