/*
 * src/relay/retry.h - sends a request that met an outdated plan once more: see retry.c.
 */
#pragma once

#include "exchange/exchange.h"

/*
 * A message was handled: it is copied if it may have to be sent again. is_sent: something of it went to the server.
 * The messages of a batch must follow each other in memory.
 */
void retry_keep(struct exchange *x, const uint8_t *message, size_t len, bool is_sent);

/* The same for a whole message of the fast lane, all of which went there. Most need nothing to be done. */
static inline void
retry_keep_sent(struct exchange *x, uint8_t type, const uint8_t *message, size_t len)
{
	struct kept_request *k = &x->srv->loan.kept;
	bool is_end = type == 'S' || type == 'Q';

	if (k->state == (is_end ? KEPT_NOTHING : KEPT_NOT))
		return;
	if (is_end || k->state != KEPT_SO_FAR)
		retry_keep(x, message, len, true);
	else if (k->from == NULL)
		k->from = message;
}
void retry_keep_rest(struct exchange *x, const uint8_t *end); /* the batch was walked up to here */
/* An error came. Returns true if the client must not get it; then retry_now is due when nothing is owed any more. */
bool retry_wanted(struct exchange *x, const struct error_fields *e);
void retry_now(struct exchange *x);
