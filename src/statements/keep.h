/*
 * src/statements/keep.h - for keep_plans = on: if clients prepare the same unnamed statement again and again, pgweir
 * prepares it once on each server, under a name.
 *
 * PostgreSQL parses, analyzes and plans an unnamed statement anew at each Parse. If the same SQL comes again within a
 * minute, pgweir prepares it on the server under a name (session/statement_store.h) instead. If the server has the
 * statement under that name already, pgweir answers the Parse itself. In Binds and Describes of the unnamed statement,
 * pgweir replaces the empty name with that name. For the client, the statement is still the unnamed one (unnamed.c), so
 * a message that replaces or drops the unnamed statement ends the use of the name. If SQL fails or is slower under its
 * name, pgweir sends it without a name for a time.
 */
#pragma once

#include "exchange/exchange.h"
#include "statements/statements_state.h"

/*
 * Handles a complete Parse of the unnamed statement, whose SQL is plain. The client has a server. st: the stored
 * statement of this SQL. risk: the result of state_risk_of(). Returns STEP_REPLACED if the Parse is in the ledger and
 * must not be sent; then the caller's reference to st was taken over. Returns STEP_FORWARD if the Parse must be sent as
 * it is; then only statistics and caches in st have changed. Returns STEP_FAILED if there is no memory.
 */
enum feature_step statements_handle_kept_parse(struct exchange *x, struct statement *st, unsigned risk);
/*
 * Call for a client without a server, if its unnamed Parse of st may be sent ahead to srv together with a Bind. Returns
 * the statement, borrowed, whose name the Bind must use, because srv has it under that name; or NULL if the Parse must
 * be sent as it is. Sets *will_be_prepared to true if nothing should be sent ahead, because
 * statements_handle_kept_parse() will prepare the statement on srv when it is the client's turn.
 */
struct statement *statements_find_kept_ahead(struct exchange *x, struct server *srv, struct statement *st,
					     bool *will_be_prepared);
/* Call when a request with one Bind of x's unnamed statement was answered. Records how long the request took. */
void statements_measure(struct exchange *x);
/* Call when a notice has come from srv. If one of the first two replies that srv owes is for a Parse of an unnamed
 * statement, the notice is about that Parse. The Parse's SQL then gets no name from now on, because PostgreSQL must
 * send the notice to each client that sends the Parse. */
void statements_note_parse_notice(struct server *srv);
/*
 * Call when a use of n has failed with this SQLSTATE, and the client was sent no part of the answer. Returns true if
 * the use may succeed without the name that x's unnamed statement has on servers. Then the SQL gets no name for 10 s,
 * and the caller must run the request once more.
 */
bool statements_suspend_name(struct exchange *x, const struct client_statement *n, const char *sqlstate);
/*
 * Call when a Bind of x's unnamed statement has succeeded, and an Execute has then failed with this SQLSTATE. Returns
 * true if the statement was used under its name, and PostgreSQL's generic plan may have caused the error. Then the SQL
 * gets no name for ten minutes; the next time for twenty, and so on. In transaction blocks, where a request can't run
 * again, the SQL gets no name as long as pgweir stores the statement.
 */
bool statements_doubt_plan(struct exchange *x, const char *sqlstate);
/* Returns true if the bytes are one Bind of the unnamed statement, then Describes and Executes, then a Sync, and are
 * short enough to be copied, so the request can run again. */
bool statements_may_run_again(const uint8_t *bytes, size_t len);
/* Returns true if the client's unnamed statement has a name on servers. */
static inline bool
statements_has_kept(const struct client_statements *s)
{
	return s->kept != NULL && s->kept_token == s->token;
}

/* Decides if m, a Bind or Describe of the client's unnamed statement, must use the name that the statement has on
 * servers. Returns STEP_FORWARD, with *n set to the statement if so, or to NULL if not; STEP_HOLD if m must first wait
 * for a reply; STEP_FAILED if there is no memory. */
enum feature_step statements_find_kept(struct exchange *x, const struct request *m, struct client_statement **n);
