/*
 * src/relay/features.h - who sees a message, an error, the end of a request and a hand-over, and in which order.
 */
#ifndef PGWEIR_RELAY_FEATURES_H
#define PGWEIR_RELAY_FEATURES_H

#include "exchange/exchange.h"
#include "exchange/request.h"

/*
 * A Query, Parse, Bind, Describe, Close or Execute of a client that has a server, before it is sent. Returns FORWARD:
 * it may be sent as it lies; DONE: something else is in the outbox, and (except for a Query) in the ledger; HOLD:
 * nothing may be sent before the earlier messages are answered, then it comes here again; FAILED: no memory.
 */
enum statement_step features_request(struct exchange *x, struct request *m);
/*
 * An error that is due to the client; message: len bytes of it have come. Returns true if the client gets something
 * else in its place, or nothing.
 */
bool features_error(struct exchange *x, const struct error_fields *e, const uint8_t *message, size_t len);
/* ReadyForQuery of a request of the client's has come. Returns true if the client gets it later. */
bool features_request_done(struct exchange *x, const struct owed *ended);
/* Nothing is owed, no transaction is open. Returns true if the server may be given back now. May close the exchange. */
bool features_release(struct exchange *x);

#endif
