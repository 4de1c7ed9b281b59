/*
 * src/state/compiled.h - tells which session state SQL may change through the database's own code (functions, and views
 * or triggers that call functions), and records the GUC set under which a server has made plans of that code.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/* Returns the *risk* of the statement st (seal/seal.h), which is mainly the session state that the database's code may
 * change, unseen by pgweir, when st runs. */
unsigned state_risk_of(const struct exchange *x, struct statement *st);
/* Returns true if st certainly does nothing but read. */
bool state_is_read_only(const struct exchange *x, struct statement *st);
unsigned state_risk_of_unknown_sql(const struct exchange *x); /* like state_risk_of(), for unknown SQL */
void state_note_run(struct exchange *x, unsigned risk); /* call when SQL with this risk is about to run */
/* Call when x has borrowed a server on which all SQL of x has this risk. Notes the risk; drops unsuitable plans. */
void state_add_risk(struct exchange *x, unsigned risk);
unsigned state_risk_of_loan(struct exchange *x); /* returns the risk of all SQL that x has run on its server */
/* Call when a command has completed. Notes a change of the database's code if the tag (loan.tag) shows one. */
void state_note_code_change(struct exchange *x);
/* Call when x loses or leaves its server. If pgweir does not follow x's state, assumes that unanswered SQL has changed
 * code. */
void state_assume_unseen_code(struct exchange *x);
/* Call when a transaction has ended. Reports its changes of code to the pool, unless they were certainly undone. */
void state_end_code_changes(struct exchange *x, bool is_committed);
/* Returns true if this SQL, or later SQL of x on the same server, may use plans that other clients have caused. */
bool state_needs_plans(const struct exchange *x, const char *sql, size_t len, unsigned risk);
/* Returns true if plans on x's server may differ from the plans that x's own SQL would get. */
bool state_plans_may_differ(const struct exchange *x);
/* Call when x has just borrowed a server that may have another client's plans, or a seed of random() that another
 * client knows. needs_plans: the result of state_needs_plans() for the SQL that x will run on the server. */
void state_prepare_shared_server(struct exchange *x, bool needs_plans);
/* Call when SQL changes a setting on which plans depend (gucs_context()). If the server has plans, pgweir keeps each
 * later request of the loan from using other clients' plans. */
void state_begin_context_change(struct exchange *x);
/* Returns true if x's server must be given back before the next request, which needs another server. */
bool state_must_run_elsewhere(const struct exchange *x);
/* A row of relay/features.c. Returns STEP_HOLD if m must wait until x's server is given back, because m must not run on
 * this server; or until earlier messages are answered, because other clients' plans must then be dropped ahead of m.
 * After dropping plans, returns the result of request_hold_behind_ours(). Otherwise returns STEP_FORWARD. */
enum feature_step state_avoid_foreign_plans(struct exchange *x, struct request *m);
