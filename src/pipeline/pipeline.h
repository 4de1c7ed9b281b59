/*
 * src/pipeline/pipeline.h - max_pipeline: reads of clients that wait are sent ahead of their turn, after what runs.
 *
 * See README.md here. These files decide which clients' requests may go ahead, and after which requests;
 * policy/policy_ahead.c has the queue's part, wire/ledger.h the ledger's, and server/server_replies.c the border.
 */
#pragma once

#include "exchange/exchange.h"

/* Call when x has joined the queue: sends its request ahead if possible, but not past a client that pipeline_fill() has
 * refused. */
void pipeline_wait(struct exchange *x);
/* Sends requests of other clients ahead, after the request that srv was lent for, which was sent. srv may have
 * ended. */
void pipeline_fill(struct server *srv);

/* Call before x sends to its server, where requests were sent ahead. Returns true if x has to wait, and gives the
 * server back first. Returns false if x now sends the first of these requests, so pipeline_take() must be called, or if
 * the requests sent ahead have become OWED_TO_NOBODY. */
bool pipeline_holds(struct exchange *x);
/* Call when x was lent srv, where its request was sent ahead: makes the requests sent ahead OWED_TO_NOBODY if the reply
 * can't be x's answer any more. */
void pipeline_lent(struct exchange *x, struct server *srv);
/* Call when x's request was walked, and is in the outbox and the ledger: if it equals the request that was sent ahead,
 * it is not sent again; else what was sent ahead becomes OWED_TO_NOBODY, and the request is sent after it. */
void pipeline_take(struct exchange *x, struct server *srv);
