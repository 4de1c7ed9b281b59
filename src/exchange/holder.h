/*
 * src/exchange/holder.h - who keeps a server connection, and what would end that: the same words in errors, the log,
 * the console and the status page. What is counted is pool_use_of()'s.
 */
#pragma once

#include "exchange/exchange.h"

/* Returns "running", "waiting for the client", "idle in transaction" or "pinned"; in session mode "idle in session". */
const char *holder_word(enum server_use use, bool is_session);
/* Returns the next one that is lent of the servers whose places those in pool's queue wait for (policy_waits_for()): of
 * its worker's pools, behind before (NULL: the first). */
const struct server *holder_next(const struct pool *pool, const struct server *before);
/* Returns true if it is the turn of the client that has srv, and has been since before_us, and nobody expects it to
 * keep srv for that: who waits for a connection waits for that client. *since_us: since when. */
bool holder_is_stuck(const struct server *srv, uint64_t before_us, uint64_t *since_us);
/* Writes how srv, which others wait for, is got back: "end client 7's transaction, idle for 3 s (KILL_CLIENT 7 ..." */
void holder_remedy(const struct server *srv, uint64_t now_us, char *out, size_t cap);
#define HOLDER_REMEDY_MAX 240
/* Writes that x, which waits or did so just now, waits for its own program, of the same application and address, that
 * has two places or more: if nobody who has one has moved since before_us. Returns out; "": that is not so. */
const char *holder_lock(const struct exchange *x, uint64_t before_us, char out[FAIL_TEXT_MAX]);
