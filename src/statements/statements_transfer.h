/*
 * src/statements/statements_transfer.h - moves the statements of a client to another process, between two requests.
 */
#pragma once

#include "exchange/exchange.h"

/* A statement of a client. */
struct statement_transfer {
	const char *name; /* "" for the unnamed statement */
	struct statement *st; /* borrowed; statements_add_transferred() takes over a reference */
	uint32_t shape_hash, types_hash; /* shape_hash and types_hash of struct client_statement */
	/* true if st->context is the client's own gucs_context(), which has another number in the new process */
	bool is_of_session;
	bool is_proven; /* client_statement.is_proven */
	bool is_told; /* true if the client was told the columns of the rows: client_statement.rows != ROWS_UNTOLD */
};
/* With TIE_SERVER, returns true if a statement of the client is only on the client's server, because it is too large to
 * be stored. With TIE_PROCESS, returns true if a statement is too large, or if a reply about a statement is due. */
bool statements_ties(const struct exchange *x, enum feature_tie to);
/* Calls visit for each statement, in the order in which the client has prepared them, and at the end for the
 * unnamed statement. Returns 0, or -1 if there is no memory; then visit was not called. */
int statements_each(const struct exchange *x, void (*visit)(const struct statement_transfer *s, void *arg), void *arg);
/* Gives the client this statement, and takes over the reference to s->st in any case. Returns 0, or -1 if there is no
 * memory, or if the client has a statement of this name. */
int statements_add_transferred(struct exchange *x, const struct statement_transfer *s);
