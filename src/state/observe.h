/*
 * src/state/observe.h - records the session state that SQL may leave on a client's server, before the SQL is sent.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/* A row of relay/features.c. If m->have < m->total, state_text() is called for the rest of the Query. Returns
 * STEP_FORWARD; STEP_HOLD; STEP_FAILED; or STEP_SENT if the caller must send m->instead in place of m, and pass only
 * the first m->shown_count CommandCompletes to the client. */
enum feature_step state_query(struct exchange *x, struct request *m);
/* Returns STEP_FORWARD; STEP_HOLD; STEP_FAILED; or STEP_SENT if the caller must send m->instead in place of m: SQL that
 * PostgreSQL refuses in a failed transaction. */
enum feature_step state_query_of_sequences(struct exchange *x, struct request *m);
enum feature_step state_bind_of_sequences(struct exchange *x, struct request *m);
/* If the SQL of this Parse may meet sequence values or plans that other clients have left on the server, sends a
 * DISCARD ahead of the messages up to a Sync that the Parse begins. (If the DISCARD came among these messages, the
 * client's first Execute would not be the first one there.) Returns STEP_FORWARD or STEP_HOLD. */
enum feature_step state_parse_ahead(struct exchange *x, struct request *m);
/* Returns true if state_parse_ahead() must be called for a Parse whose SQL has flags or a risk. */
static inline bool
state_must_look_ahead(const struct exchange *x)
{
	const struct server *srv = x->srv;

	return srv->is_synced && ((srv->sequences_of != 0 && srv->sequences_of != x->waiter.id) ||
				  srv->plans_of != NULL || srv->loan.has_foreign_plans);
}
enum feature_step state_bind(struct exchange *x, struct request *m);
/* For the fast lane: returns true if the client's next message need not wait for any effect or probe of this folder,
 * and can't change what is recorded. */
bool state_is_quiet(const struct exchange *x);
/* Returns true if earlier SQL may have changed, unseen by pgweir, the settings under which PostgreSQL reads SQL: then
 * pgweir may read the next SQL differently than PostgreSQL does. */
bool state_may_misread(const struct exchange *x);
/* Call when plain SQL (struct sql_traits) with these flags is about to run, unless state_waits_for_sequences(). */
void state_plain_query(struct exchange *x, uint32_t flags);
void state_plain_bind(struct exchange *x, uint32_t flags);

/* Call with each further part of a message's body, if x->session is set: scans the part if the SQL comes in pieces. */
void state_text(struct exchange *x, const uint8_t *bytes, size_t len, bool is_end);
/* Call for a Parse that is sent as it is. Records the flags of its SQL for all later Binds, because pgweir can't know
 * which of these Parses a Bind runs. */
enum feature_step state_passed_parse(struct exchange *x, const char *sql, size_t have, size_t len);
/* The same as state_passed_parse(), for session mode, where only the audit needs the Parse. */
enum feature_step state_audit_parse(struct exchange *x, struct request *m); /* returns STEP_FORWARD */
enum feature_step state_before_execute(struct exchange *x, struct request *m);
void state_after_execute(struct exchange *x, const char *portal);
void state_function_call(struct exchange *x);
bool state_holds(const struct exchange *x); /* returns true if no message may be sent now */
/* Call when nothing is owed, before a message that runs something is sent. If a DISCARD ALL has run in the same
 * request, sends a Sync, which ends the request, and returns true: the message must wait for the answer. */
bool state_ends_discard(struct exchange *x);
/* Returns true if PostgreSQL must be asked for settings before the client's next request is sent, because SQL may have
 * reset the client's startup values. */
bool state_must_ask_first(const struct exchange *x);

/* --- context.c: the settings under which PostgreSQL reads SQL; statements are shared only if these are equal --- */
/* Writes to *context the number (gucs_context()) of the settings under which PostgreSQL reads this SQL, or 0 if no
 * setting matters. v: the traits of the SQL, with the hints of a Parse. Returns false if no other client may share a
 * statement of this SQL. */
bool state_statement_context(const struct exchange *x, const struct sql_traits *v, uint32_t *context);
/* Returns true if PostgreSQL certainly reads SQL that is sent now under the settings in the client's GUC set. */
bool state_reads_as_gucs(const struct exchange *x);
/* Handles a Query or Bind: after a SET LOCAL of a setting that state_statement_context() depends on, no statement is
 * shared until the transaction has ended. Returns STEP_FORWARD. */
enum feature_step state_note_local(struct exchange *x, struct request *m);
