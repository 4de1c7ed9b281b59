/*
 * src/state/state.h - what a client's requests leave behind in the session, in transaction mode: what becomes of it
 * when they are answered. See state_state.h; observe.h, compiled.h and linger.h have what is called before SQL is sent.
 */
#pragma once

#include "exchange/exchange.h"

void state_free(struct exchange *x);
/*
 * Enters into the ledger, and appends to b, a run of this SQL as the unnamed statement, or as the placeholder if the
 * client's unnamed one must stay (loan.is_unnamed_kept); ref is that of its Execute.
 * Within a request, and within a transaction, the portal has a name and is closed: the client's unnamed one may be
 * bound, and if there is none, PostgreSQL must say so.
 */
void state_run(struct exchange *x, struct buf *b, const char *sql, enum owed_to to, void *ref);

/* --- commit.c: the transaction is over: may the server be given back, and as what? --- */
/* A transaction that has set something is over. If nothing is to be settled, what the settings were is forgotten. */
void state_transaction_over(struct exchange *x);
/*
 * Nothing is owed, no transaction is open. Returns true if the server may be given back; false if something is under
 * way, or the client is pinned, as it is while it has a long statement: one that is on this server alone.
 */
MAY_CLOSE bool state_may_release(struct exchange *x, bool has_long_statement);
bool state_is_dirty(const struct exchange *x,
		    const struct server *srv); /* srv must be cleaned before another gets it */
bool state_is_tainted(const struct exchange *x); /* its server can't be cleaned (LOAD): it must be closed */
unsigned state_seal(struct exchange *x); /* enum state_part: washed off its server before another gets it */
/* Sends what turns the server's GUC set into the client's, ahead of the next message. Returns 0, or -1: no memory. */
int state_replay(struct exchange *x);
void state_encoding_changed(struct exchange *x, const char *encoding); /* the server has reported it */
void state_note_encoding(struct exchange *x, const char *encoding); /* it may be in force for some SQL */

/* --- ask.c: the answer of a server that was asked what is left in the session --- */
void state_probe_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
void state_probe_failed(struct exchange *x);
void state_probe_done(struct server *srv);
/* Returns true if a probe of the client's session is under way, and was not cancelled. */
bool state_may_cancel_probe(const struct exchange *x);
void state_probe_cancelled(struct exchange *x); /* what it was to tell pins the client to its server */

/* --- pins.c: why a client keeps its server between transactions, and what the loss of that server means --- */
bool state_is_refused(const struct exchange *x, struct fail *why); /* its next request is answered with why, FATAL */
bool state_ties(const struct exchange *x,
		enum feature_tie to); /* TIE_PROCESS: not all of its session is in its GUC set */
/* The server is lost, and settings with it: the client's next request is answered with why, FATAL. -1: no memory. */
int state_lose(struct exchange *x, const struct fail *why);
void state_forget_request(struct exchange *x); /* its server is lost, and has not executed what is noted */
/* Returns true if the client has asked to keep the server that it has, or gets next: SET pgweir.pin. */
bool state_asks_for_pin(const struct exchange *x);
const char *state_pin_reasons(const struct exchange *x, char *out, size_t out_cap); /* "temp_table, cursor"; "" */

/* --- reset.c: RESET, DISCARD ALL and rollbacks: the client's startup values; and the end of a request --- */
void state_discarded(struct exchange *x); /* CommandComplete of DISCARD ALL */
void state_request_failed(struct exchange *x); /* an error that is the client's */
void state_request_done(struct exchange *x);
bool state_hides_parameter(const struct exchange *x, const char *name);
/* A transaction was rolled back that has changed reported settings: they are as before (NULL: it has not) again. */
void state_undo_reports(struct exchange *x, const struct gucs *before);
