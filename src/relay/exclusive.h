/*
 * src/relay/exclusive.h - statements that need a database to themselves: see exclusive.c.
 */
#ifndef PGWEIR_RELAY_EXCLUSIVE_H
#define PGWEIR_RELAY_EXCLUSIVE_H

#include "exchange/exchange.h"

/*
 * A client with a server is about to send this SQL, or to bind this statement. Return 0, or -1: no memory.
 * sole_use_bind, sole_use_request_done: only while x->sole_use is set.
 */
int sole_use_query(struct exchange *x, const char *sql, size_t len);
int sole_use_parse(struct exchange *x, const char *name, const char *sql, size_t len);
int sole_use_bind(struct exchange *x, const char *name);
void sole_use_settled(struct exchange *x, const struct owed *o,
		      enum owed_end how); /* the reply to pgweir's question came */
void sole_use_request_done(struct exchange *x, const struct owed *ended);
void sole_use_forget(struct exchange *x); /* x->sole_use may be NULL */

#endif
