/*
 * src/statements/keep.h - keep_plans = on: an unnamed statement that clients prepare again and again is prepared once
 * on each server.
 *
 * PostgreSQL parses, analyzes and plans an unnamed statement anew at each Parse. If the same SQL comes again within a
 * minute, pgweir prepares it on the server under a name (session/statement_store.h) instead. If the server has that
 * name already, pgweir answers the Parse itself. In Binds and Describes of the unnamed statement, pgweir puts the name.
 * For the client, the statement is still its unnamed one (unnamed.c): a message that replaces or drops the unnamed
 * statement ends the use of the name. SQL that fails or is slower under its name is prepared without a name again.
 */
#pragma once

#include "exchange/exchange.h"
#include "statements/statements_state.h"

/*
 * Handles a complete Parse of the unnamed statement with plain SQL, st, from a client with a server. Returns STEP_SENT
 * if the Parse is in the ledger and must not be sent; then the reference to st is taken over. Returns STEP_FORWARD,
 * with nothing but st's statistics changed, if the Parse must be sent as it is; STEP_FAILED without memory. risk: the
 * result of state_risk_of().
 */
enum feature_step statements_keep(struct exchange *x, struct statement *st, unsigned risk);
/*
 * Call for a client without a server, whose unnamed Parse of st, followed by a Bind, may be sent ahead to srv. Returns
 * the statement, borrowed, that srv has under its name and the Bind is to use; or NULL if the Parse must be sent as it
 * is. Sets *is_first to true if statements_keep() will prepare the statement on srv when it is the client's turn; then
 * nothing should be sent ahead.
 */
struct statement *statements_find_kept_ahead(struct exchange *x, struct server *srv, struct statement *st,
					     bool *is_first);
/* Call when a request of x's with one Bind of its unnamed statement was answered. Records how long the request took. */
void statements_measure(struct exchange *x);
/* Call when a notice has come for the Parse at the head of srv's ledger. If that is a Parse of an unnamed statement,
 * its SQL gets no name on servers from now on, because PostgreSQL must send each client the notice. */
void statements_parse_noticed(struct server *srv);
/*
 * Call when a use of n has failed with this SQLSTATE, and the client was sent no part of the answer. If n is x's
 * unnamed statement under its name, and the use may succeed without the name, returns true: the caller then runs the
 * request once more, without the name, and for 10 s n's SQL gets no name.
 */
bool statements_doubt(struct exchange *x, const struct client_statement *n, const char *sqlstate);
/*
 * Call when a Bind of x's unnamed statement has succeeded, and its use has failed later with this SQLSTATE. If the
 * statement was used under its name, and PostgreSQL's generic plan may have caused the error, returns true, and the
 * statement is used without the name. Its SQL gets no name for ten minutes; after the next such error for twenty, and
 * so on. In transaction blocks, where a request can't be run again, the SQL gets no name as long as it is stored.
 */
bool statements_doubt_plan(struct exchange *x, const char *sqlstate);
/* Returns true if the bytes are a request that may be run again: one Bind of the unnamed statement, Describes and
 * Executes, and a Sync, together not too long. */
bool statements_may_run_again(const uint8_t *bytes, size_t len);
/* Returns true if the client's unnamed statement has a name on servers. */
static inline bool
statements_has_kept(const struct client_statements *s)
{
	return s->kept != NULL && s->kept_token == s->token;
}

/* Decides, for a Bind or Describe m of the client's unnamed statement, which has a name on servers, whether m is to use
 * the name. Returns STEP_FORWARD with *n set to the statement if so, or with *n set to NULL if not; STEP_HOLD if m must
 * wait for a reply that decides; STEP_FAILED without memory. */
enum feature_step statements_find_kept(struct exchange *x, const struct request *m, struct client_statement **n);
