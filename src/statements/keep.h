/*
 * src/statements/keep.h - keep_plans = on: what clients prepare unnamed again and again is prepared once on each
 * server.
 *
 * PostgreSQL parses, analyses and plans an unnamed statement anew at each Parse. A text that comes again within a
 * minute is given the store's name on the server instead; pgweir answers a Parse of it where the server has it, and
 * Bind and Describe of "" go to that name. For its client it remains the unnamed statement (unnamed.c): whatever
 * replaces or drops that ends this, too, and where a text must not be kept any more, it is prepared unnamed as always.
 */
#pragma once

#include "exchange/exchange.h"
#include "statements/statements_state.h"

/*
 * A whole Parse of st, unnamed and plain, of a client with a server. SENT: it is entered in the ledger, in place of the
 * message, and the reference to st is taken; FORWARD: it is to be sent as it lies, with nothing changed; FAILED: no
 * memory. risk: state_risk_of().
 */
enum feature_step statements_keep(struct exchange *x, struct statement *st, unsigned risk);
/*
 * The same for a client without a server, whose Parse, with a Bind behind it, may go ahead to srv: returns the
 * statement that srv has, borrowed; NULL: the Parse goes as it lies. *is_first: srv is to prepare it when it is the
 * client's turn, so that nothing should go ahead.
 */
struct statement *statements_keep_ahead(struct exchange *x, struct server *srv, struct statement *st, bool *is_first);
/* A request of x's, with one Bind of its unnamed statement, was answered: notes how long that took. */
void statements_measure(struct exchange *x);
/*
 * A use of n has failed with this SQLSTATE, without anything shown. Returns true if n is x's unnamed statement, and
 * would perhaps not have failed without a name: from now on it has none, and its text for 10 s. It is to be run once
 * more.
 */
bool statements_may_doubt(struct exchange *x, const struct client_statement *n, const char *sqlstate);
/* Returns true if the client's unnamed statement has a name on servers. */
static inline bool
statements_has_kept(const struct client_statements *s)
{
	return s->kept != NULL && s->kept_token == s->token;
}

/* Returns that statement, ready for use as one with a name, in *n; NULL: PostgreSQL's unnamed one is to be used. HOLD:
 * a reply must tell first which statement it is; FAILED: no memory; else FORWARD. */
enum feature_step statements_find_kept(struct exchange *x, struct client_statement **n);
