/*
 * src/state/observe.h - records the session state that SQL may leave on a client's server, before the SQL is sent.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/* Records what a Query may leave on the server. If m->have < m->total, the caller calls state_observe_text() for the
 * rest of the Query. Returns STEP_FORWARD, STEP_HOLD or STEP_FAILED; or STEP_REPLACED if the caller must send
 * m->instead in place of m, and pass only the first m->shown_count CommandCompletes to the client. */
enum feature_step state_observe_query(struct exchange *x, struct request *m);
/* Makes sure that the SQL of a Query reads no sequence values of other clients. Returns STEP_FORWARD or STEP_HOLD; or,
 * in a failed transaction, STEP_REPLACED if the caller must replace m by m->instead, which PostgreSQL will refuse. */
enum feature_step state_query_hide_sequences(struct exchange *x, struct request *m);
/* Makes sure of the same for a Bind or Parse. Returns STEP_FORWARD or STEP_HOLD. */
enum feature_step state_bind_hide_sequences(struct exchange *x, struct request *m);
/* If the SQL of this Parse may read sequence values or use plans that other clients have left on the server, sends a
 * DISCARD ahead of the Parse. (If the DISCARD came later in the request, the client's first Execute would not be the
 * first command of its transaction.) Returns STEP_FORWARD or STEP_HOLD. */
enum feature_step state_discard_before_parse(struct exchange *x, struct request *m);
/* Returns true if a Parse needs state_discard_before_parse() when its SQL has flags or a risk. */
static inline bool
state_may_need_discard(const struct exchange *x)
{
	const struct server *srv = x->srv;

	return srv->is_synced && ((srv->sequences_of != 0 && srv->sequences_of != x->waiter.id) ||
				  srv->plan_gucs != NULL || srv->loan.has_foreign_plans);
}
/* Records what the SQL of a Bind may leave on the server. Returns STEP_FORWARD, STEP_HOLD or STEP_FAILED. */
enum feature_step state_observe_bind(struct exchange *x, struct request *m);
/* For the fast lane: returns true if this folder has recorded nothing that the client's next message might have to wait
 * for or might change, such as an effect or a probe (state_state.h). */
bool state_is_quiet(const struct exchange *x);
/* Returns true if pgweir may read the next SQL differently than PostgreSQL does, because earlier SQL may have changed
 * settings that pgweir does not know yet. */
bool state_may_misread(const struct exchange *x);
/* Audits plain SQL (struct sql_traits) of a Query, and records that SQL's use of sequences. flags: the SQL's. Call
 * before the Query is sent, if state_waits_for_sequences() returns false. */
void state_observe_plain_query(struct exchange *x, uint32_t flags);
void state_observe_plain_bind(struct exchange *x, uint32_t flags); /* does the same for a Bind, without the audit */

/* Call with each further part of a message's body, if x->session is set. Scans the part if it may have SQL. */
void state_observe_text(struct exchange *x, const uint8_t *bytes, size_t len, bool is_end);
/* Call for a Parse that is sent as it is, once `have` of the len bytes after its name have come. Records the flags of
 * its SQL for all later Binds, because pgweir can't know which of these Parses a Bind runs. */
enum feature_step state_observe_passed_parse(struct exchange *x, const char *sql, size_t have, size_t len);
/* In session mode: audits the SQL of a Parse. If the SQL is a DISCARD, records its flags as
 * state_observe_passed_parse() does. Returns STEP_FORWARD. */
enum feature_step state_audit_parse(struct exchange *x, struct request *m);
/* Call before an Execute is sent. If state_observe_bind() has kept known statements for the Execute, records what these
 * leave. Returns STEP_FORWARD, STEP_HOLD or STEP_FAILED. */
enum feature_step state_before_execute(struct exchange *x, struct request *m);
/* Call after an Execute was sent. If its SQL resets settings, sends SQL that restores the client's startup values. */
void state_after_execute(struct exchange *x, const char *portal);
void state_observe_function_call(struct exchange *x); /* records that a FunctionCall may do anything */
bool state_holds(const struct exchange *x); /* returns true if no message may be sent now */
/* Call when nothing is owed, before a message that runs something is sent. If a DISCARD ALL has run in the same
 * request, sends a Sync, which ends the request, and returns true: the message must wait for the Sync's answer. */
bool state_end_discard_request(struct exchange *x);
/* Returns true if a probe must ask for the settings before the client's next request is sent, because SQL may have
 * reset settings of the client's startup packet to the server's own values. */
bool state_must_ask_first(const struct exchange *x);

/* --- context.c: clients share a statement only if the settings under which PostgreSQL reads its SQL are equal --- */
/* Writes to *context the number (gucs_context()) of the settings under which PostgreSQL reads this SQL, or 0 if no
 * setting matters to the SQL. v: the traits of the SQL, with the hints of a Parse. Returns false if x must not share a
 * statement of this SQL with other clients. */
bool state_statement_context(const struct exchange *x, const struct sql_traits *v, uint32_t *context);
/* Returns true if it is certain that PostgreSQL reads SQL that is sent now under the settings of x->gucs. */
bool state_reads_as_gucs(const struct exchange *x);
/* Handles a Query or Bind with SET LOCAL. If the setting matters to state_statement_context(), statements are not
 * shared until the transaction has ended; a local search_path is an exception: clients of that path share them. Returns
 * STEP_FORWARD. */
enum feature_step state_note_local(struct exchange *x, struct request *m);
