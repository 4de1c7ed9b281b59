/*
 * src/statements/statements_transfer.h - moves the statements of a client to another process, between two requests.
 */
#pragma once

#include "exchange/exchange.h"

/* A statement of a client; name is "" for the unnamed one. */
struct statement_transfer {
	const char *name;
	struct statement *st; /* borrowed */
	uint32_t shape, types; /* as in struct client_statement */
	bool is_of_session; /* st is shared under the client's present settings (statement.context) */
	bool is_proven, is_told; /* as in struct client_statement; the client was told the rows */
};
/* Returns true if the client's statements tie it to its server (TIE_SERVER), which alone has one of them, or to this
 * process (TIE_PROCESS), because a reply about a statement is due, or a statement is too large to be stored. */
bool statements_ties(const struct exchange *x, enum feature_tie to);
/* Calls row for each statement, in the order in which the client has prepared them, and at the end for the unnamed
 * statement. Returns 0, or -1 if there is no memory; then row was not called. */
int statements_each(const struct exchange *x, void (*row)(const struct statement_transfer *s, void *arg), void *arg);
/* Gives the client this statement, and takes over the reference to s->st in any case. Returns 0, or -1 if there is no
 * memory, or if the client has a statement of this name. */
int statements_add_transferred(struct exchange *x, const struct statement_transfer *s);
