/*
 * src/state/observe.h - records the session state that SQL may leave on a client's server, before the SQL is sent.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/* A row of relay/features.c. If m->have < m->total, the rest of the Query comes by state_text(). Returns STEP_FORWARD;
 * STEP_SENT if m->instead is to be sent in place of m, and the client gets only the first m->shown_count
 * CommandCompletes; STEP_HOLD; or STEP_FAILED. */
enum feature_step state_query(struct exchange *x, struct request *m);
/* Returns STEP_FORWARD; STEP_HOLD; STEP_FAILED; or STEP_SENT if m->instead, SQL that PostgreSQL refuses in a failed
 * transaction, is to be sent in place of m. */
enum feature_step state_query_of_sequences(struct exchange *x, struct request *m);
enum feature_step state_bind_of_sequences(struct exchange *x, struct request *m);
/* If the SQL of this Parse may meet values or plans that other clients have left on the server, sends a DISCARD ahead
 * of the Sync group that the Parse begins. (Within the group, the client's first Execute would no longer be the group's
 * first.) Returns STEP_FORWARD or STEP_HOLD. */
enum feature_step state_parse_ahead(struct exchange *x, struct request *m);
/* Returns true if a Parse whose SQL has flags or a risk must be seen by state_parse_ahead(). */
static inline bool
state_must_look_ahead(const struct exchange *x)
{
	const struct server *srv = x->srv;

	return srv->is_synced && ((srv->sequences_of != 0 && srv->sequences_of != x->waiter.id) ||
				  srv->plans_of != NULL || srv->loan.has_foreign_plans);
}
enum feature_step state_bind(struct exchange *x, struct request *m);
/* For the fast lane: returns true if the client's next message need not wait for anything that is recorded or in
 * progress here, and can't change any of it. */
bool state_is_quiet(const struct exchange *x);
/* Returns true if earlier SQL may have changed, unseen, the settings under which PostgreSQL reads SQL, so pgweir may
 * read the next SQL otherwise than PostgreSQL does. */
bool state_may_misread(const struct exchange *x);
/* Call when plain SQL (struct sql_traits) with these flags is about to run; the SQL must not have to wait for
 * sequences. */
void state_plain_query(struct exchange *x, uint32_t flags);
void state_plain_bind(struct exchange *x, uint32_t flags);

/* Call with each later part of a message's body, if x->session is set: scans the part if the SQL comes in pieces. */
void state_text(struct exchange *x, const uint8_t *bytes, size_t len, bool is_end);
/* Call for a Parse that is sent as it is. Records its flags for all later Binds, because pgweir will not know which of
 * such Parses a Bind runs. */
enum feature_step state_passed_parse(struct exchange *x, const char *sql, size_t have, size_t len);
/* Like state_passed_parse(), in session mode, where only the audit needs the Parse. */
enum feature_step state_audit_parse(struct exchange *x, struct request *m); /* returns STEP_FORWARD */
enum feature_step state_before_execute(struct exchange *x, struct request *m);
void state_after_execute(struct exchange *x, const char *portal);
void state_function_call(struct exchange *x);
bool state_holds(const struct exchange *x); /* returns true if nothing may be sent now */
/* Call when nothing is owed and a message that runs something comes next. Returns true if that message must wait: a
 * DISCARD ALL has run in the same request, and pgweir has sent a Sync, which ends that request. */
bool state_ends_discard(struct exchange *x);
/* Returns true if SQL may have reset the client's startup values; then PostgreSQL must be asked before the client's
 * next request is sent. */
bool state_must_ask_first(const struct exchange *x);

/* --- context.c: the settings under which PostgreSQL reads SQL, and so the clients that may share a prepared statement
 * --- */
/* Writes to *context the context (gucs_context()) of the settings under which PostgreSQL reads this SQL, or 0 if no
 * setting matters. v: the traits of the SQL, with the hints of a Parse. Returns false if the SQL must not be shared
 * with other clients at all. */
bool state_statement_context(const struct exchange *x, const struct sql_traits *v, uint32_t *context);
/* Returns true if PostgreSQL certainly reads SQL that is sent now under the settings in the client's GUC set. */
bool state_reads_as_gucs(const struct exchange *x);
/* Handles a Query or Bind: after a SET LOCAL of a setting that matters to *context, no statement is shared until the
 * transaction has ended. Returns STEP_FORWARD. */
enum feature_step state_note_local(struct exchange *x, struct request *m);
