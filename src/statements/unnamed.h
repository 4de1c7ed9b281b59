/* src/statements/unnamed.h - the client's unnamed statement. */
#pragma once

#include "exchange/exchange.h"
#include "server/server.h"
#include "wire/fields.h"

/* Returns the statement of a whole Parse that is unnamed and plain SQL, with a reference for the caller; or NULL. */
struct statement *statements_plain_unnamed(struct exchange *x, const uint8_t *body, size_t len);
/* Enters in the ledger a Parse that is about to be sent as it lies. Takes st. risk: see state_risk_of(). */
void statements_take_unnamed(struct exchange *x, struct statement *st, unsigned risk);
/*
 * A simple Query is about to be sent, which drops the unnamed statement unless PostgreSQL can't read its text. sql:
 * NULL if that is pgweir's own, or has not come whole.
 */
void statements_simple_query_of(struct exchange *x, const char *sql, size_t len); /* of a client that has statements */
static inline void
statements_simple_query(struct exchange *x, const char *sql, size_t len)
{
	if (x->statements != NULL)
		statements_simple_query_of(x, sql, len);
	else
		x->srv->unnamed_owner = 0; /* if it was another client's, it is dropped there */
}
/*
 * The client has no unnamed statement any more. A simple Query or an unnamed Parse drops it also if it got no server,
 * or was lost with it, as it does if PostgreSQL refuses it. No change of it may be under way.
 */
void statements_forget_unnamed(struct exchange *x);

/* --- for the other files of this folder --- */
enum feature_step unnamed_ensure(struct exchange *x); /* the server has the client's own unnamed statement, or none */
enum feature_step unnamed_bind(struct exchange *x); /* the same, for a Bind that is sent now */
enum feature_step unnamed_parse(struct exchange *x, const struct parse_fields *f, const uint8_t *message, size_t len);
void unnamed_parse_oversize(struct exchange *x);
void unnamed_close(struct exchange *x, enum owed_to to); /* of a client that has statements */
void unnamed_take_kept(struct exchange *x, struct statement *st); /* a Parse of it is answered here; takes st */
void unnamed_settled(struct server *srv, const struct owed *o, struct statement *st, bool is_oversize,
		     enum owed_end how);
