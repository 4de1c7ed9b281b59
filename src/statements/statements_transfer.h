/*
 * src/statements/statements_transfer.h - statements of a client that moves to another process, between two requests.
 */
#pragma once

#include "exchange/exchange.h"

/* A named statement, or the unnamed one (name ""), as its client knows it. */
struct statement_transfer {
	const char *name;
	struct statement *st; /* borrowed */
	uint32_t shape, types; /* of the rows and parameters that the client was told */
	bool is_of_session; /* st->context is the context of the client's present settings */
	/* is_proven: see struct client_statement; is_told: row_shape_is_told() returned true */
	bool is_proven, is_told;
};
/* Returns true if statements tie the client. TIE_SERVER: only its server has one of them. TIE_PROCESS: a reply about a
 * statement is due, or pgweir does not store all of them. */
bool statements_ties(const struct exchange *x, enum feature_tie to);
/* Calls row for each statement, in the order in which the client has prepared them, and last for the unnamed statement.
 * Returns 0, or -1 without memory; then row was not called. */
int statements_each(const struct exchange *x, void (*row)(const struct statement_transfer *s, void *arg), void *arg);
/* Gives a statement to a client that has none of this name; takes s->st. Returns 0, or -1 if there is no memory or the
 * client has the name. */
int statements_take(struct exchange *x, const struct statement_transfer *s);
