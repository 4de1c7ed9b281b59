/*
 * src/statements/statements_transfer.h - moves the statements of a client to another process, between two requests.
 */
#pragma once

#include "exchange/exchange.h"

/* A named statement, or the unnamed one (name ""), as its client knows it. */
struct statement_transfer {
	const char *name;
	struct statement *st; /* borrowed */
	uint32_t shape, types; /* as in struct client_statement */
	bool is_of_session; /* st->context is the context of the client's present settings */
	bool is_proven, is_told; /* as in struct client_statement; the result of row_shape_is_told() */
};
/* Returns true if its statements tie the client to its server or process. TIE_SERVER: only the server has one of the
 * statements. TIE_PROCESS: a reply about a statement is due, or pgweir has not stored all statements. */
bool statements_ties(const struct exchange *x, enum feature_tie to);
/* Calls row for each statement, in the order in which the client has prepared them, and at the end for the unnamed
 * statement. Returns 0, or -1 without memory; then row was not called. */
int statements_each(const struct exchange *x, void (*row)(const struct statement_transfer *s, void *arg), void *arg);
/* Gives the client this statement. Returns 0 and takes over the reference to s->st; or returns -1 without memory, or if
 * the client has a statement of this name. */
int statements_take(struct exchange *x, const struct statement_transfer *s);
