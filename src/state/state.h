/*
 * src/state/state.h - what a client's requests leave behind in the session, in transaction mode: what the relay calls.
 * See state_state.h.
 */
#ifndef PGWEIR_STATE_STATE_H
#define PGWEIR_STATE_STATE_H

#include "exchange/exchange.h"
#include "exchange/request.h"
#include "sql/scan.h"

void session_encoding_changed(struct exchange *x); /* state/commit.c: the server has reported it */
/* state/observe.c: SQL that is about to be sent, of a client with a server. */
/*
 * Rows of relay/features.c. If m->have < m->total, the rest of a Query follows by session_text(). Return FORWARD; DONE:
 * m->instead is to be sent in its place, and the client gets only its first m->shown CommandCompletes; HOLD; or FAILED.
 */
enum statement_step session_query(struct exchange *x, struct request *m);
/* FORWARD; HOLD; DONE: m->instead is what PostgreSQL refuses in a failed transaction. FAILED. */
enum statement_step session_query_of_sequences(struct exchange *x, struct request *m);
enum statement_step session_bind_of_sequences(struct exchange *x, struct request *m);
enum statement_step session_bind(struct exchange *x, struct request *m);
enum statement_step session_describe(struct exchange *x, struct request *m);
/* The fast lane. True: nothing is noted or under way for this client that its next message must wait for or change. */
bool session_is_quiet(const struct exchange *x);
/* Returns true if earlier SQL may change how PostgreSQL reads the next, whether that SQL shows it or not. */
bool session_reads_anyhow(const struct exchange *x);
/* Plain SQL with these flags is about to run, which need not wait for sequences. -1: no memory. */
int session_plain_query(struct exchange *x, uint32_t flags, const char *sql, size_t len);
int session_plain_bind(struct exchange *x, uint32_t flags, const struct statement *st);

void session_text(struct exchange *x, const uint8_t *bytes, size_t len, bool is_end); /* while is_body_scanned */
/* A Parse that is sent as it is: which of such Parses is run later is not known. */
enum statement_step session_passed_parse(struct exchange *x, const char *sql, size_t have, size_t len);
/* The same in session mode, where only the audit needs it. */
void session_audit_parse(struct exchange *x, const struct sql_verdict *v);
enum statement_step session_before_execute(struct exchange *x, const char *portal);
int session_after_execute(struct exchange *x, const char *portal); /* -1: no memory */
int session_function_call(struct exchange *x); /* -1: no memory */
bool session_holds(const struct exchange *x); /* returns true if nothing may be sent now */
/* SQL may have reset what the client began with: PostgreSQL is asked before the client's next request is sent. */
bool session_must_ask_first(const struct exchange *x);

/* state/linger.c */
/* A client waits for a server: those that linger release theirs, from the loop and not from within this call. */
void session_yield(struct exchange_env *env);
void session_linger_init(struct exchange_env *env); /* after env->base is set */
void session_linger_fini(struct exchange_env *env);
void session_linger_tick(struct exchange_env *env);
void session_stop_lingering(struct exchange *x);
void session_leaves_sequences(struct exchange *x); /* it gives its server back */
/* SQL with these flags must not be sent before what was sent earlier is answered. */
bool session_waits_for_sequences(const struct exchange *x, uint32_t flags);
/* In a failed transaction: if this SQL leaves it, what it does next may read what other clients have left. */
bool session_must_not_read_sequences(const struct exchange *x, uint32_t flags);
void session_discard_settled(struct server *srv, enum owed_end how);

/*
 * state/context.c: writes to *context which settings PostgreSQL reads this SQL under, if any matter; v has the hints of
 * a Parse. Returns false if the SQL must not be shared with other clients at all.
 */
bool session_statement_context(const struct exchange *x, const struct sql_verdict *v, uint32_t *context);
/*
 * Returns true if this SQL, which is not shared, has something to read, and the client's image has the settings that
 * it is read under as far as anybody can know: those that matter most are reported.
 */
bool session_knows_reading(const struct exchange *x, const struct sql_verdict *v);
bool session_reads_as(const struct exchange *x, const struct image *reading); /* its server has that, for sure */
/*
 * Returns whether its server surely acts as the role in the client's image: no SET [LOCAL] ROLE or SESSION
 * AUTHORIZATION, and no code that may set these unseen, has run in the transaction.
 */
bool session_acts_as_image(const struct exchange *x);
/* A Query or Bind. If it has SET LOCAL of such settings, nothing is shared until its transaction is over. */
void session_note_local(struct exchange *x, const struct request *m);

/* state/prepare.c */
/*
 * SQL is about to be run (is_simple), parsed, bound or described: makes sure that the server has the SQL-prepared
 * statements it may use. FORWARD; HOLD: one was to be prepared behind messages that may have failed; FAILED.
 */
enum statement_step session_ensure_prepared(struct exchange *x, const struct sql_verdict *v, const char *sql,
					    size_t len, bool is_simple);
/* Makes known what the client has prepared by SQL. FORWARD; HOLD: the server is being asked; FAILED: no memory. */
enum statement_step session_settle_prepared(struct exchange *x);
enum statement_step session_ensure_named(struct exchange *x,
					 const char *name); /* the same for Bind or Describe of it */
/*
 * Enters into the ledger, and appends to b, a run of this SQL as the unnamed statement; ref is that of its Execute.
 * Within a request, and within a transaction, the portal has a name and is closed: the client's unnamed one may be
 * bound, and if there is none, PostgreSQL must say so. Returns -1 if there is no memory.
 */
int session_run(struct exchange *x, struct buf *b, const char *sql, enum owed_to to, void *ref);
/* A transaction was rolled back that has changed reported settings: they are as before (NULL: it has not) again. */
void session_undo_reports(struct exchange *x, const struct image *before);
void session_prepare_settled(struct server *srv, const struct owed *o, enum owed_end how);
/* The error of a PREPARE that was sent ahead of a request; until session_request_done. sqlstate: its own, or NULL. */
void session_keep_error(struct exchange *x, const char *sqlstate, const uint8_t *message, size_t len);
/* Returns true if the kept error was sent in place of this one. */
bool session_tell_kept_error(struct exchange *x, const char *sqlstate);

/* state/commit.c */
/*
 * Nothing is owed, no transaction is open. Returns true if the server may be given back; false if something is under
 * way, or the client is pinned, as it is while it has a long statement: one that is on this server alone.
 */
bool session_may_release(struct exchange *x, bool has_long_statement);
bool session_is_dirty(const struct exchange *x); /* its server must be cleaned before another client gets it */
bool session_is_tainted(const struct exchange *x); /* its server can't be cleaned (LOAD): it must be closed */
unsigned session_seal(struct exchange *x); /* enum state_part: washed off its server before another gets it */
void session_free(struct exchange *x);
/* Sends what turns the server's image into the client's, ahead of the next message. Returns 0, or -1: no memory. */
int session_replay(struct exchange *x);
int session_catch_up(struct exchange *x); /* settings only: the prepared statements there are its own */

/* state/ask.c: the answer to the probe of a server */
void session_probe_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
void session_probe_failed(struct exchange *x);
void session_probe_done(struct server *srv);

/* state/pins.c */
bool session_is_refused(const struct exchange *x, struct fail *why); /* its next request is answered with why, FATAL */
bool session_may_cross(const struct exchange *x); /* it has no server, and all of its session is in its image */
/* The server is lost, and settings with it: the client's next request is answered with why, FATAL. -1: no memory. */
int session_lose(struct exchange *x, const struct fail *why);
void session_forget_request(struct exchange *x); /* its server is lost, and has not executed what is noted */
const char *session_pin_reasons(const struct exchange *x, char *out, size_t out_cap); /* "temp_table, cursor"; "" */

/* state/compiled.c */
/* Each returns the parts of the session (enum state_part) that code of the database could touch unseen. */
unsigned session_risk_of(const struct exchange *x, struct statement *st);
unsigned session_risk_of_all(const struct exchange *x); /* SQL that is unknown */
void session_note_run(struct exchange *x, unsigned risk); /* SQL with this risk is about to run */
unsigned session_risk_of_loan(struct exchange *x); /* enum state_part: of all that its loan ran */
/* Returns what of its server's ties matters to this SQL, and to all that the client runs there (of RISK_COMPILED). */
unsigned session_needs(const struct exchange *x, const char *sql, size_t len, unsigned risk);
/* The plans on its server may be other ones than it would have made. */
bool session_differs_in_plans(const struct exchange *x);
/*
 * x has just borrowed a server that needs_match: it is tied to a context, or another client may know the state of its
 * random(). needs: session_needs() of what it will run there. -1: no
 * memory.
 */
int session_meets_ties(struct exchange *x, unsigned needs);
/* Returns true if x's server must be given back first: the request needs another one. */
bool session_must_run_elsewhere(const struct exchange *x);
/* A row of relay/features.c: HOLD if this is not for the server that x has, which is given back first. */
enum statement_step session_run_elsewhere(struct exchange *x, struct request *m);

/* state/reset.c */
void session_discarded(struct exchange *x); /* CommandComplete of DISCARD ALL */
void session_deallocated_all(struct exchange *x); /* CommandComplete of DEALLOCATE ALL */
void session_request_failed(struct exchange *x); /* an error that is the client's */
void session_request_done(struct exchange *x);
bool session_hides_parameter(const struct exchange *x, const char *name);

#endif
