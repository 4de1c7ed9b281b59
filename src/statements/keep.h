/*
 * src/statements/keep.h - keep_plans = on: an unnamed statement that clients prepare again and again is prepared once
 * on each server, under a name.
 *
 * PostgreSQL parses, analyzes and plans an unnamed statement anew at each Parse. If the same SQL comes again within a
 * minute, pgweir prepares it on the server under a name (session/statement_store.h) instead. If the server has that
 * name already, pgweir answers the Parse itself. In Binds and Describes of the unnamed statement, pgweir replaces the
 * empty name with this name. For the client, the statement is still the unnamed one (unnamed.c): a message that
 * replaces or drops the unnamed statement ends the use of the name. SQL that fails or is slower under its name is sent
 * without a name again, for a time.
 */
#pragma once

#include "exchange/exchange.h"
#include "statements/statements_state.h"

/*
 * Handles a complete Parse of the unnamed statement, whose SQL is plain. The client has a server. st: the stored
 * statement of this SQL. risk: the result of state_risk_of(). Returns STEP_SENT if the Parse is in the ledger and must
 * not be sent; then the reference to st is taken over. Returns STEP_FORWARD if the Parse must be sent as it is; then
 * only st's statistics have changed. Returns STEP_FAILED if there is no memory.
 */
enum feature_step statements_keep(struct exchange *x, struct statement *st, unsigned risk);
/*
 * Call for a client without a server, if an unnamed Parse of st and a Bind may be sent ahead to srv. If srv has the
 * statement under a name, the Bind must use that name: returns the statement, borrowed. Returns NULL if the Parse must
 * be sent as it is. Sets *will_be_prepared to true if statements_keep() will prepare the statement on srv when it is
 * the client's turn; then nothing should be sent ahead.
 */
struct statement *statements_find_kept_ahead(struct exchange *x, struct server *srv, struct statement *st,
					     bool *will_be_prepared);
/* Call when a request with one Bind of x's unnamed statement was answered. Records how long the request took. */
void statements_measure(struct exchange *x);
/* Call when a notice has come from srv. If srv's ledger begins with a Parse of an unnamed statement (after pgweir's own
 * named Parse, if there is one), the notice is about that Parse: its SQL gets no name from now on, because PostgreSQL
 * must send each client the notice. */
void statements_note_parse_notice(struct server *srv);
/*
 * Call when a use of n has failed with this SQLSTATE, and the client was sent no part of the answer. Returns true if n
 * is x's unnamed statement under its name, and the use may succeed without the name. Then n's SQL gets no name for 10
 * s, and the caller must run the request once more, without the name.
 */
bool statements_doubt(struct exchange *x, const struct client_statement *n, const char *sqlstate);
/*
 * Call when a Bind of x's unnamed statement has succeeded, and an Execute has then failed with this SQLSTATE. Returns
 * true if the statement was used under its name, and PostgreSQL's generic plan may have caused the error. Then its SQL
 * gets no name for ten minutes; after the next such error for twenty, and so on. In transaction blocks, where a request
 * can't be run again, the SQL gets no name as long as pgweir stores the SQL.
 */
bool statements_doubt_plan(struct exchange *x, const char *sqlstate);
/* Returns true if the bytes are one Bind of the unnamed statement, then Describes and Executes, then a Sync, and are
 * few enough for the request to be run again. */
bool statements_may_run_again(const uint8_t *bytes, size_t len);
/* Returns true if the client's unnamed statement has a name on servers. */
static inline bool
statements_has_kept(const struct client_statements *s)
{
	return s->kept != NULL && s->kept_token == s->token;
}

/* Decides if m, a Bind or Describe of the client's unnamed statement, is to use the name that the statement has on
 * servers. Returns STEP_FORWARD with *n set to the statement if so, or to NULL if not; STEP_HOLD if m must wait for a
 * reply that decides; STEP_FAILED if there is no memory. */
enum feature_step statements_find_kept(struct exchange *x, const struct request *m, struct client_statement **n);
