/*
 * src/relay/retry.h - sends a request that met an outdated plan once more: see retry.c.
 */
#ifndef PGWEIR_RELAY_RETRY_H
#define PGWEIR_RELAY_RETRY_H

#include "exchange/exchange.h"

/*
 * A message was handled: it is copied if it may have to be sent again. is_sent: something of it went to the server.
 * The messages of a batch must follow each other in memory.
 */
void rerun_keep(struct exchange *x, const uint8_t *message, size_t len, bool is_sent);
void rerun_keep_rest(struct exchange *x, const uint8_t *end); /* the batch was walked up to here */
/* An error came. Returns true if the client must not get it; then rerun_now is due when nothing is owed any more. */
bool rerun_wanted(struct exchange *x, const struct error_fields *e);
void rerun_now(struct exchange *x);

#endif
