/*
 * src/pipeline/pipeline.h - implements the setting max_pipeline: while a server runs a client's request, the server is
 * sent read-only requests of clients in the queue, ahead of their turn.
 *
 * See README.md here. This folder decides which clients' requests may go ahead, and after which requests. The queue is
 * in policy/policy_ahead.c, the ledger in wire/ledger.h, the border between the replies to two clients in
 * server/server_replies.c.
 */
#pragma once

#include "exchange/exchange.h"

/* Called after x has joined the queue. If a server may take x's request, and the requests of all clients before x were
 * sent ahead, sends x's request ahead. */
void pipeline_send_ahead(struct exchange *x);
/* Called after the borrower's request was sent to srv. Sends others' requests ahead to srv, unless srv has ended. */
void pipeline_fill(struct server *srv);

/* Called before x sends to its server, if requests were sent ahead there. Returns true if x must wait, and give the
 * server back first. Returns false in two cases: x is about to send the first of the requests that were sent ahead, so
 * pipeline_drop_if_sent() must follow; or all these requests have become OWED_TO_NOBODY. */
bool pipeline_hold_request(struct exchange *x);
/* Called when x was lent srv, to which its request was sent ahead. If the reply to the request sent ahead can't be x's
 * answer any more, makes all requests that were sent ahead to srv OWED_TO_NOBODY. */
void pipeline_check_lent(struct exchange *x, struct server *srv);
/* Called when x's request is in the outbox and the ledger. If the request equals the copy that was sent ahead, it is
 * not sent again. Otherwise all requests sent ahead become OWED_TO_NOBODY, and x's request is sent. */
void pipeline_drop_if_sent(struct exchange *x, struct server *srv);
