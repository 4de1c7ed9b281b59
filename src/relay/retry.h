/*
 * src/relay/retry.h - a request that met an outdated plan is sent once more: see retry.c.
 */
#ifndef PGWEIR_RELAY_RETRY_H
#define PGWEIR_RELAY_RETRY_H

#include "exchange/exchange.h"

/*
 * A message was dealt with: it is kept if it may have to be sent again. is_sent: something of it went to the server.
 * Messages of a batch lie one behind the other.
 */
void rerun_keep(struct exchange *x, const uint8_t *message, size_t len, bool is_sent);
void rerun_keep_rest(struct exchange *x, const uint8_t *end); /* the batch is walked up to here */
/* An error came. True: the client must not see it; rerun_now is due when nothing is owed any more. */
bool rerun_wanted(struct exchange *x, const struct error_fields *e);
void rerun_now(struct exchange *x);

#endif
