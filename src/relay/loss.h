/*
 * src/relay/loss.h - what the loss of a server means for the client that had borrowed it, and a request that is relayed
 * again to another server.
 *
 *   loss_of        the one place that decides: nothing lost, not executed, a transaction gone, or in doubt
 *   loss_keep      with on_outage = hold, a copy is kept of what was sent since nothing was owed
 *   loss_replay    relays that copy again, as if the client sent it now
 */
#ifndef PGWEIR_RELAY_LOSS_H
#define PGWEIR_RELAY_LOSS_H

#include "exchange/exchange.h"

enum loss {
	LOSS_OF_NOTHING, /* nothing of the client's was there: it goes on, and notices nothing */
	LOSS_NOT_EXECUTED, /* its request has had no effect, and it was shown nothing: it may be relayed again */
	LOSS_OF_TRANSACTION, /* no request was under way, but a transaction was open, or a session was kept there */
	LOSS_IN_DOUBT /* a request was under way: it may have been executed, and committed */
};

/*
 * sqlstate is that of PostgreSQL's own last error, or pgweir's word for how the connection ended. is_owing: the client
 * was owed a reply.
 */
enum loss loss_of(struct exchange *x, const struct server *srv, const char *sqlstate, bool is_owing);

/* The server, which should be a primary, is read-only, and its client has not asked for that. */
bool loss_of_primary(const struct exchange *x, const char *sqlstate);

/* The bytes at from were walked; they may begin in mid-message. */
void loss_keep_bytes(struct exchange *x, const uint8_t *from, size_t len);
/* Forgets the copy if nothing is owed any more: a new request begins on a server that the client has kept. */
void loss_begin(struct exchange *x);

/* loss_of() was NOT_EXECUTED: what was to be shown in this batch is not. */
void loss_take_back(struct exchange *x);
/* loss_of() was NOT_EXECUTED; srv is no longer x's. The request goes ahead of what the client has sent meanwhile. */
void loss_replay(struct exchange *x, struct server *srv);

static inline bool
loss_is_held(const struct exchange *x)
{
	return x->entry->settings.on_outage == OUTAGE_HOLD;
}

#endif
