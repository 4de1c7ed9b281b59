/* src/statements/unnamed.h - the client's unnamed statement. */
#pragma once

#include "exchange/exchange.h"
#include "server/server.h"
#include "wire/fields.h"

/* Returns the statement of a complete Parse that is unnamed and plain SQL, with a reference for the caller; or NULL. */
struct statement *statements_plain_unnamed(struct exchange *x, const uint8_t *body, size_t len);
/* Enters in the ledger a Parse that is about to be sent as it is. Takes st. risk: see state_risk_of(). */
void statements_take_unnamed(struct exchange *x, struct statement *st, unsigned risk);
/* Does statements_drop_for_simple_query() for a client that has statements. */
void statements_drop_for_simple_query_of(struct exchange *x, const char *sql, size_t len);
/*
 * Call before a simple Query is sent: the Query drops the unnamed statement, unless PostgreSQL can't read its text. sql
 * is NULL if the Query is pgweir's own, or incomplete.
 */
static inline void
statements_drop_for_simple_query(struct exchange *x, const char *sql, size_t len)
{
	if (x->statements != NULL)
		statements_drop_for_simple_query_of(x, sql, len);
	else
		x->srv->unnamed_owner = 0; /* another client's unnamed statement is dropped there, too */
}
/*
 * Forgets the client's unnamed statement; no change of that statement may be in progress. A simple Query or an unnamed
 * Parse drops the statement even if no server gets the message, or if the server is lost: PostgreSQL drops the
 * statement when it refuses such a message, too.
 */
void statements_forget_unnamed(struct exchange *x);

/* --- for the other files of this folder --- */
/* makes sure that the server's unnamed statement is the client's, or that the server has none */
enum feature_step unnamed_ensure(struct exchange *x);
enum feature_step unnamed_bind(struct exchange *x); /* unnamed_ensure() for a Bind that is sent now */
enum feature_step unnamed_parse(struct exchange *x, const struct parse_fields *f, const uint8_t *message, size_t len);
void unnamed_parse_oversize(struct exchange *x);
void unnamed_close(struct exchange *x, enum owed_to to); /* only for a client that has statements */
void unnamed_note_answered_parse(struct exchange *x,
				 struct statement *st); /* for a Parse of st that pgweir answers; takes st */
void unnamed_settled(struct server *srv, const struct owed *o, struct statement *st, bool is_oversize,
		     enum owed_end how);
