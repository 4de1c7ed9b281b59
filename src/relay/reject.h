/*
 * src/relay/reject.h - a request that gets no server: see reject.c.
 */
#ifndef PGWEIR_RELAY_REJECT_H
#define PGWEIR_RELAY_REJECT_H

#include "exchange/exchange.h"

/* The request at the front of what is pending gets this error; the rest of it is dropped; the client lives on. */
void refuse_request(struct exchange *x, const struct fail *why, enum request_failure kind);
/* why in the words for this client: names are added. */
void refusal_words(const struct exchange *x, const struct fail *why, struct fail *told);
/* Drops messages of the refused request; used bytes. May end refusing (then ReadyForQuery was sent). */
size_t refuse_bytes(struct exchange *x, const uint8_t *bytes, size_t len);

#endif
