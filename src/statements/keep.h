/*
 * src/statements/keep.h - keep_plans = on: an unnamed statement that clients prepare again and again is prepared once
 * on each server.
 *
 * PostgreSQL parses, analyzes and plans an unnamed statement anew at each Parse. pgweir prepares SQL that comes again
 * within a minute under the store's name (session/statement_store.h) instead. If a server has that name, pgweir answers
 * a Parse of the SQL itself, and puts the name into Binds and Describes of the unnamed statement. For its client the
 * statement remains the unnamed one (unnamed.c): a message that replaces or drops the unnamed statement ends the use of
 * the name, too. SQL for which the name has done harm is prepared unnamed again.
 */
#pragma once

#include "exchange/exchange.h"
#include "statements/statements_state.h"

/*
 * Handles a complete, unnamed and plain Parse of st, from a client with a server. Returns STEP_SENT if the Parse is in
 * the ledger and must not be sent; the reference to st is taken then. Returns STEP_FORWARD, with nothing changed, if
 * the Parse must be sent as it is; STEP_FAILED without memory. risk: what state_risk_of() has returned.
 */
enum feature_step statements_keep(struct exchange *x, struct statement *st, unsigned risk);
/*
 * Like statements_keep() for a client without a server, whose Parse, followed by a Bind, may go ahead to srv. Returns
 * the statement that srv has, borrowed, or NULL if the Parse must be sent as it is. Sets *is_first to true if
 * statements_keep() will prepare the statement on srv when it is the client's turn; then nothing should be sent ahead.
 */
struct statement *statements_find_kept_ahead(struct exchange *x, struct server *srv, struct statement *st,
					     bool *is_first);
/* Call when a request of x's with one Bind of its unnamed statement was answered: records how long that took. */
void statements_measure(struct exchange *x);
/* Call when a notice has come for the Parse at the head of srv's ledger. From now on, the SQL of that Parse, if it is
 * unnamed, gets no name on servers, because each client must get the notice. */
void statements_parse_noticed(struct server *srv);
/*
 * Call when a use of n has failed with this SQLSTATE, and the client was shown nothing. If n is x's unnamed statement,
 * was used under its name, and might succeed without the name, takes the name from n, gives n's SQL no name for 10 s,
 * and returns true; the caller then runs the request once more.
 */
bool statements_doubt(struct exchange *x, const struct client_statement *n, const char *sqlstate);
/*
 * Call when a Bind of x's unnamed statement has succeeded, and its use has failed later with this SQLSTATE. If the
 * statement was used under its name, and PostgreSQL's generic plan may have caused the error, takes the name from the
 * statement, and returns true. The SQL then gets no name for ten minutes, the next time for twenty, and so on. In
 * transaction blocks, where a request can't be run again, it gets no name as long as it is stored.
 */
bool statements_doubt_plan(struct exchange *x, const char *sqlstate);
/* Returns true if the bytes are a request that may be run again: it is short, and nothing in it but one Bind of the
 * unnamed statement changes anything. */
bool statements_may_run_again(const uint8_t *bytes, size_t len);
/* Returns true if the client's unnamed statement has a name on servers. */
static inline bool
statements_has_kept(const struct client_statements *s)
{
	return s->kept != NULL && s->kept_token == s->token;
}

/* Writes to *n the client's unnamed statement for use by m under its name, or NULL if PostgreSQL's unnamed statement is
 * to be used. Returns STEP_HOLD if a reply must first decide that, STEP_FAILED without memory, else STEP_FORWARD. */
enum feature_step statements_find_kept(struct exchange *x, const struct request *m, struct client_statement **n);
