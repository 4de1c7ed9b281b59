/*
 * src/pipeline/pipeline.h - max_pipeline: reads of clients that wait are sent ahead of their turn, behind what runs.
 *
 * See README.md here. Which conditions hold for who goes ahead, and behind whom, is here; the queue's part of it is in
 * policy/policy_ahead.c, that of the ledger in wire/ledger.h, and the border in server/server_replies.c.
 */
#pragma once

#include "exchange/exchange.h"

/* x has joined the queue, and may be sent ahead if nobody is before it whom pipeline_fill() has refused. */
void pipeline_wait(struct exchange *x);
/* Sends others ahead, behind what srv was lent for, which was sent. srv may have ended. */
void pipeline_fill(struct server *srv);

/* x sends to its server, where requests were sent ahead. Returns true if it has to wait: it gives the server back
 * before. False: the first of them is what it sends now, and pipeline_take() is to be called; or what was sent is
 * nobody's. */
bool pipeline_holds(struct exchange *x);
/* x was lent srv, where its request was sent ahead: if that can't be its answer any more, that is nobody's. */
void pipeline_lent(struct exchange *x, struct server *srv);
/* Call it when what x sends was walked, and is in the outbox and the ledger: if it is what was sent ahead, it is not
 * sent again; else that is nobody's, and this is sent behind it. */
void pipeline_take(struct exchange *x, struct server *srv);
