/*
 * src/relay/exclusive.h - statements that need a database to themselves: see exclusive.c.
 */
#ifndef PGWEIR_RELAY_EXCLUSIVE_H
#define PGWEIR_RELAY_EXCLUSIVE_H

#include "exchange/exchange.h"

/* A linked client's texts, as they are sent; -1: no memory. bind, request_done: only while
 * c->sole_use is set. */
int sole_use_query(struct exchange *x, const char *sql, size_t len);
int sole_use_parse(struct exchange *x, const char *name, const char *sql, size_t len);
int sole_use_bind(struct exchange *x, const char *name);
void sole_use_settled(struct exchange *x, const struct owed *o,
		      enum owed_end how); /* a question of its own, answered */
void sole_use_request_done(struct exchange *x, const struct owed *ended);
void sole_use_forget(struct exchange *x); /* also without */

#endif
