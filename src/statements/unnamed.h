/* src/statements/unnamed.h - the client's unnamed statement. */
#pragma once

#include "exchange/exchange.h"
#include "server/server.h"
#include "wire/fields.h"

/* Returns the statement of a Parse, with a reference for the caller. Returns NULL unless the Parse is of the unnamed
 * statement, and its SQL is plain (sql_traits.is_plain) and may be stored. body: the body of the complete Parse. */
struct statement *statements_get_plain_unnamed(struct exchange *x, const uint8_t *body, size_t len);
/* Enters in the ledger a Parse that is about to be sent unchanged, and makes st the unnamed statement. Takes over the
 * reference to st. risk: the result of state_risk_of(). */
void statements_take_unnamed(struct exchange *x, struct statement *st, unsigned risk);
/* Does what statements_note_unnamed_dropped() does, for a client that has statements. */
void statements_note_unnamed_dropped_of(struct exchange *x, const char *sql, size_t len);
/*
 * Call before a simple Query is sent: notes that the Query drops the unnamed statement, unless PostgreSQL refuses the
 * Query's text before it drops anything. sql is NULL if the Query is pgweir's own, or incomplete.
 */
static inline void
statements_note_unnamed_dropped(struct exchange *x, const char *sql, size_t len)
{
	if (x->statements != NULL)
		statements_note_unnamed_dropped_of(x, sql, len);
	else
		x->srv->unnamed_owner = 0; /* another client's unnamed statement is dropped there, too */
}
/*
 * Forgets the client's unnamed statement. No change of the statement may be in progress. Call this for a simple Query
 * or an unnamed Parse even if no server gets the message, because PostgreSQL drops the unnamed statement even when it
 * refuses such a message. Call this also if the server is lost.
 */
void statements_forget_unnamed(struct exchange *x);

/* --- for the other files of this folder --- */
/* Makes sure that the server's unnamed statement is the client's; if the client has none, that the server has none. */
enum feature_step unnamed_ensure(struct exchange *x);
enum feature_step unnamed_bind(struct exchange *x); /* does the same for a Bind that is sent next */
/* Handles a Parse of the unnamed statement. message: the whole Parse, of len bytes. */
enum feature_step unnamed_parse(struct exchange *x, const struct parse_fields *f, const uint8_t *message, size_t len);
/* Enters in the ledger an unnamed Parse that is oversize. */
void unnamed_parse_oversize(struct exchange *x);
/* Sends a Close of the unnamed statement. x->statements must not be NULL. */
void unnamed_close(struct exchange *x, enum owed_to to);
/* Notes that pgweir itself answers a Parse that makes st the unnamed statement. Takes over the reference to st. */
void unnamed_note_answered_parse(struct exchange *x, struct statement *st);
/* Handles the end of a message about the unnamed statement: see statements_settled(). */
void unnamed_settled(struct server *srv, const struct owed *o, struct statement *st, bool is_oversize,
		     enum owed_end how);
