/*
 * src/state/compiled.h - what code SQL may reach, and whose plans of that code a server has.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/* Each returns the parts of the session (enum state_part) that code of the database could touch unseen. */
unsigned state_risk_of(const struct exchange *x, struct statement *st);
unsigned state_risk_of_all(const struct exchange *x); /* SQL that is unknown */
void state_note_run(struct exchange *x, unsigned risk); /* SQL with this risk is about to run */
/* All that x will run on the server that it has just borrowed has this risk, whatever is known of its names. */
void state_fear(struct exchange *x, unsigned risk);
unsigned state_risk_of_loan(struct exchange *x); /* enum state_part: of all that its loan ran */
/* A command is done, as its tag tells (loan.tag): it may have changed functions, or what calls one. */
void state_note_code(struct exchange *x);
/* Fears what x has run without being followed, and is still to be answered: it may make any code. */
void state_fear_unseen(struct exchange *x);
/* A transaction has ended: until now only this client saw what it has changed, and others do if is_done. */
void state_code_is_over(struct exchange *x, bool is_done);
/* Returns true if plans of others' may matter to this SQL, or to what the client runs on the same server behind it. */
bool state_needs_plans(const struct exchange *x, const char *sql, size_t len, unsigned risk);
/* The plans on its server may be other ones than it would have made. */
bool state_differs_in_plans(const struct exchange *x);
/*
 * x has just borrowed a server that has plans, or whose random() another client may know the state of. needs_plans:
 * state_needs_plans() of what it will run there.
 */
void state_meets_others(struct exchange *x, bool needs_plans);
/* A setting of the context is under way: from here on each request is looked at that could meet plans of others. */
void state_leaves_context(struct exchange *x);
/* Returns true if x's server must be given back first: the request needs another one. */
bool state_must_run_elsewhere(const struct exchange *x);
/* A row of relay/features.c: HOLD if this is not for the server that x has, which is given back first. */
enum feature_step state_run_elsewhere(struct exchange *x, struct request *m);
