/*
 * src/state/observe.h - SQL that is about to be sent, of a client with a server: what it may leave in the session.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/*
 * Rows of relay/features.c. If m->have < m->total, the rest of a Query follows by state_text(). Return FORWARD; SENT:
 * m->instead is to be sent in its place, and the client gets only its first m->shown CommandCompletes; HOLD; or FAILED.
 */
enum feature_step state_query(struct exchange *x, struct request *m);
/* FORWARD; HOLD; SENT: m->instead is what PostgreSQL refuses in a failed transaction. FAILED. */
enum feature_step state_query_of_sequences(struct exchange *x, struct request *m);
enum feature_step state_bind_of_sequences(struct exchange *x, struct request *m);
/*
 * Forgets what other clients have left on the server and the SQL of this Parse may meet, ahead of the Sync group that
 * the Parse begins: within the group, the client's first Execute would not be the first one. FORWARD, or HOLD.
 */
enum feature_step state_parse_ahead(struct exchange *x, struct request *m);
/* Returns true if SQL that has flags or a risk must be seen by state_parse_ahead(). */
static inline bool
state_must_look_ahead(const struct exchange *x)
{
	const struct server *srv = x->srv;

	return srv->is_synced && ((srv->sequences_of != 0 && srv->sequences_of != x->waiter.id) ||
				  srv->plans_of != NULL || srv->loan.is_unsuited);
}
enum feature_step state_bind(struct exchange *x, struct request *m);
/* The fast lane. True: nothing is noted or under way for this client that its next message must wait for or change. */
bool state_is_quiet(const struct exchange *x);
/* Returns true if earlier SQL may change how PostgreSQL reads the next, whether that SQL shows it or not. */
bool state_reads_anyhow(const struct exchange *x);
/* Plain SQL with these flags is about to run, which need not wait for sequences. */
void state_plain_query(struct exchange *x, uint32_t flags);
void state_plain_bind(struct exchange *x, uint32_t flags);

/* The next part of a message's body, of a client that has a session: scanned if it is SQL that comes in pieces. */
void state_text(struct exchange *x, const uint8_t *bytes, size_t len, bool is_end);
/* A Parse that is sent as it is: which of such Parses is run later is not known. */
enum feature_step state_passed_parse(struct exchange *x, const char *sql, size_t have, size_t len);
/* The same in session mode, where only the audit needs it. */
enum feature_step state_audit_parse(struct exchange *x, struct request *m); /* FORWARD */
enum feature_step state_before_execute(struct exchange *x, struct request *m);
void state_after_execute(struct exchange *x, const char *portal);
void state_function_call(struct exchange *x);
bool state_holds(const struct exchange *x); /* returns true if nothing may be sent now */
/* Nothing is owed, and a message that runs something comes next. Returns true if it must wait: a DISCARD ALL has run in
 * the same request, and is ended by a Sync of pgweir's, which was sent. */
bool state_ends_discard(struct exchange *x);
/* SQL may have reset what the client began with: PostgreSQL is asked before the client's next request is sent. */
bool state_must_ask_first(const struct exchange *x);

/* --- context.c: what PostgreSQL reads SQL under: which clients may share a prepared statement --- */
/*
 * Writes to *context which settings PostgreSQL reads this SQL under, if any matter; v has the hints of
 * a Parse. Returns false if the SQL must not be shared with other clients at all.
 */
bool state_statement_context(const struct exchange *x, const struct sql_traits *v, uint32_t *context);
/* Returns true if what is sent now is surely read under the settings in the client's GUC set. */
bool state_reads_as_gucs(const struct exchange *x);
/* A Query or Bind. If it has SET LOCAL of such settings, nothing is shared until its transaction is over. FORWARD. */
enum feature_step state_note_local(struct exchange *x, struct request *m);
