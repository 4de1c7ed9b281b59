/*
 * src/statements/statements_transfer.h - moves the statements of a client to another process, between two requests.
 */
#pragma once

#include "exchange/exchange.h"

/* A statement of a client; name is "" for the unnamed one. */
struct statement_transfer {
	const char *name;
	struct statement *st; /* borrowed; statements_add_transferred() takes over a reference */
	uint32_t shape, types; /* shape_hash and types_hash of struct client_statement */
	bool is_of_session; /* st->context is that of the client's settings, which has another number in each process */
	bool is_proven, is_told; /* is_proven: as in struct client_statement; is_told: rows is not ROWS_UNTOLD */
};
/* TIE_SERVER: returns true if only the client's server has one of its statements. TIE_PROCESS: returns true if a reply
 * about a statement is due, or a statement is too large to be stored. */
bool statements_ties(const struct exchange *x, enum feature_tie to);
/* Calls visit for each statement, in the order in which the client has prepared them, and at the end for the
 * unnamed statement. Returns 0, or -1 if there is no memory; then visit was not called. */
int statements_each(const struct exchange *x, void (*visit)(const struct statement_transfer *s, void *arg), void *arg);
/* Gives the client this statement, and takes over the reference to s->st in any case. Returns 0, or -1 if there is no
 * memory, or if the client has a statement of this name. */
int statements_add_transferred(struct exchange *x, const struct statement_transfer *s);
