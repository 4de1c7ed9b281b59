/*
 * src/relay/exclusive.h - statements that need a database to themselves: see exclusive.c.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/*
 * A client with a server is about to send this SQL, or to bind this statement. Return FORWARD, or FAILED: no memory.
 * exclusive_request_done: only while exchange_exclusive() is set.
 */
enum feature_step exclusive_query(struct exchange *x, struct request *m);
enum feature_step exclusive_parse(struct exchange *x, struct request *m);
enum feature_step exclusive_bind(struct exchange *x, struct request *m);
void exclusive_settled(struct exchange *x, const struct owed *o,
		       enum owed_end how); /* the reply to pgweir's question came */
void exclusive_request_done(struct exchange *x, const struct owed *ended);
void exclusive_free(struct exchange *x); /* fine if there is none */

static inline bool
exclusive_is_quiet(const struct exchange *x)
{
	return exchange_exclusive(x) == NULL;
}

static inline bool
exclusive_ties(const struct exchange *x, enum feature_tie to)
{
	return to != TIE_SERVER && exchange_exclusive(x) != NULL;
}
