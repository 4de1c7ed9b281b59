/*
 * src/relay/loss.h - what the loss of a server means for the client that had borrowed it.
 *
 *   loss_of      the one place that decides what was lost, and so what becomes of the client
 *   relay_lost   does that: what the client gets, and whether it stays
 */
#pragma once

#include "exchange/exchange.h"

enum loss {
	LOSS_OF_NOTHING, /* nothing of the client's was there: it goes on, and notices nothing */
	LOSS_NOT_EXECUTED, /* its request has had no effect, and it was shown nothing: it is relayed again */
	LOSS_OF_COMMIT, /* its COMMIT was not answered: it is, when it is known what became of it (commit_doubt.c) */
	LOSS_ROLLED_BACK, /* a transaction was open, no request under way: what it sends next fails with 40001 */
	LOSS_OF_TRANSACTION, /* the same where COMMITs are not checked, or a session was kept there: it is told and
				closed */
	LOSS_IN_DOUBT /* a request was under way, and may have been executed and committed: it is told and closed */
};

/* Returns true if the client stays: PostgreSQL's FATAL is not for it. */
static inline bool
loss_keeps_client(enum loss loss)
{
	return loss <= LOSS_ROLLED_BACK;
}

/*
 * sqlstate is that of PostgreSQL's own last error, or pgweir's word for how the connection ended; NULL: it has none.
 * is_owing: the client was owed a reply.
 */
enum loss loss_of(struct exchange *x, const struct server *srv, const char *sqlstate, bool is_owing);

/* Returns true if the server, which should be a primary, is read-only, and its client has not asked for that. */
bool loss_of_primary(const struct exchange *x, const char *sqlstate);

/* Returns true if an outage makes the clients of this pool wait, by on_outage. */
static inline bool
loss_is_held(const struct exchange *x)
{
	return x->pool->settings.on_outage == OUTAGE_HOLD;
}

void relay_lost(struct server *srv, const struct fail *why); /* server_ops.lost */
