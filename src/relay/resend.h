/*
 * src/relay/resend.h - relays a request again, from a copy, as if the client sent it now: one that met an outdated plan
 * (retry.c), or one that a server which ends has not executed (loss.c).
 */
#pragma once

#include "exchange/exchange.h"

/* Appends to the copy. Returns false, and appends nothing, if it were longer than max bytes, or there is no memory. */
bool resend_add(struct request_copy *copy, const uint8_t *bytes, size_t len, uint32_t max);

/*
 * Relays the copy to whichever server suits, and behind it what the client has sent meanwhile. copy is no longer used
 * when this returns. Closes the client if there is no memory.
 */
void resend_now(struct exchange *x, const struct request_copy *copy);
