/*
 * src/relay/reject.h - a request that gets no server: see reject.c.
 */
#pragma once

#include "exchange/exchange.h"

/* Answers the request at the beginning of the waiting input with this error, and drops the rest of it. */
void reject_request(struct exchange *x, const struct fail *why, enum request_failure kind);
/* Answers it with this command tag instead: a Query, or Parse, Bind, perhaps Describe, Execute and Sync, all there. */
void reject_as_done(struct exchange *x, const char *tag);
/* policy_ticket_ops: names the client whose transaction has been idle for longest, and since before t waits. */
bool reject_blame(const struct policy_ticket *t, uint64_t now_us, struct fail *why);
/* Writes to shown what this client is to be sent for why: with the names of its database and user. */
void reject_words(const struct exchange *x, const struct fail *why, struct fail *shown);
/*
 * Drops messages of the rejected request. Returns how many bytes were used. At the end of the request ReadyForQuery is
 * sent, and the client is CL_READY again.
 */
size_t reject_bytes(struct exchange *x, const uint8_t *bytes, size_t len);
