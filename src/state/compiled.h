/*
 * src/state/compiled.h - what code SQL may reach, and whom a server is tied to by that code.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/* Each returns the parts of the session (enum state_part) that code of the database could touch unseen. */
unsigned state_risk_of(const struct exchange *x, struct statement *st);
unsigned state_risk_of_all(const struct exchange *x); /* SQL that is unknown */
void state_note_run(struct exchange *x, unsigned risk); /* SQL with this risk is about to run */
unsigned state_risk_of_loan(struct exchange *x); /* enum state_part: of all that its loan ran */
/* Returns what of its server's ties matters to this SQL, and to all that the client runs there (of RISK_COMPILED). */
unsigned state_needs(const struct exchange *x, const char *sql, size_t len, unsigned risk);
/* The plans on its server may be other ones than it would have made. */
bool state_differs_in_plans(const struct exchange *x);
/*
 * x has just borrowed a server that needs_match: it is tied to a context, or another client may know the state of its
 * random(). needs: state_needs() of what it will run there.
 */
void state_meets_ties(struct exchange *x, unsigned needs);
/* A setting of the context is under way: from here on each request is looked at that could meet plans of others. */
void state_leaves_context(struct exchange *x);
/* Returns true if x's server must be given back first: the request needs another one. */
bool state_must_run_elsewhere(const struct exchange *x);
/* A row of relay/features.c: HOLD if this is not for the server that x has, which is given back first. */
enum feature_step state_run_elsewhere(struct exchange *x, struct request *m);
