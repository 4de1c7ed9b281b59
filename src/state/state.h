/*
 * src/state/state.h - what a client's requests leave in the session, in transaction mode: functions that are
 * called when requests are answered. See state_state.h; functions called before SQL is sent are in observe.h,
 * compiled.h and linger.h.
 */
#pragma once

#include "exchange/exchange.h"

void state_free(struct exchange *x);
/*
 * Enters into the ledger, and appends to b, a run of this SQL as the unnamed statement, or as the placeholder if the
 * client's unnamed statement must stay (loan.is_unnamed_kept); ref is that of its Execute.
 * Within a request, and within a transaction, the portal has a name and is closed: the client's unnamed portal may be
 * bound, and if there is none, PostgreSQL must say so.
 */
void state_run(struct exchange *x, struct buf *b, const char *sql, enum owed_to to, void *ref);

/* --- commit.c: the end of a transaction: may the server be given back, and with what state? --- */
/* Call when a transaction that has set something has ended. If nothing remains to be settled, forgets the previous
 * settings. */
void state_transaction_over(struct exchange *x);
/*
 * Call when nothing is owed and no transaction is open. Returns true if the server may be given back; false if
 * something is in progress, or the client is pinned. has_long_statement pins the client: only this server has that
 * statement.
 */
MAY_CLOSE bool state_may_release(struct exchange *x, bool has_long_statement);
bool state_is_dirty(const struct exchange *x,
		    const struct server *srv); /* srv must be washed before another client gets it */
bool state_is_tainted(const struct exchange *x); /* the client's server can't be washed (LOAD): it must be closed */
/* enum state_part: the parts to wash off the client's server before another client gets it */
unsigned state_seal(struct exchange *x);
/* Sends SQL that turns the server's GUC set into the client's, ahead of the next message. Returns 0, or -1 without
 * memory. */
int state_replay(struct exchange *x);
void state_encoding_changed(struct exchange *x, const char *encoding); /* when the server has reported encoding */
void state_note_encoding(struct exchange *x, const char *encoding); /* when encoding may be in force for some SQL */

/* --- ask.c: the answer of a server that was asked which state is left in the session --- */
void state_probe_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
void state_probe_failed(struct exchange *x);
void state_probe_done(struct server *srv);
/* Returns true if a probe of the client's session is in progress, and was not cancelled. */
bool state_may_cancel_probe(const struct exchange *x);
void state_probe_cancelled(struct exchange *x); /* the probe's unknown findings pin the client to its server */

/* --- pins.c: why a client keeps its server between transactions, and the consequences of losing that server --- */
/* returns true if the client's next request is answered with the FATAL error *why */
bool state_is_refused(const struct exchange *x, struct fail *why);
bool state_ties(const struct exchange *x,
		enum feature_tie to); /* TIE_PROCESS: the client's GUC set does not hold all of its session */
/* Call when the server is lost, and settings with it: the client's next request is answered with why, as FATAL. Returns
 * 0, or -1 without memory. */
int state_lose(struct exchange *x, const struct fail *why);
/* call when the client's server is lost without having executed the recorded effects */
void state_forget_request(struct exchange *x);
/* Returns true if the client has asked to keep the server that it has, or gets next: SET pgweir.pin. */
bool state_asks_for_pin(const struct exchange *x);
/* writes to out, and returns it: "temp_table, cursor", or "" */
const char *state_pin_reasons(const struct exchange *x, char *out, size_t out_cap);

/* --- reset.c: RESET, DISCARD ALL and rollbacks: the client's startup values; and the end of a request --- */
void state_discarded(struct exchange *x); /* call at the CommandComplete of DISCARD ALL */
void state_request_failed(struct exchange *x); /* call for an error that is the client's */
void state_request_done(struct exchange *x);
bool state_hides_parameter(const struct exchange *x, const char *name);
/* Call when a rolled-back transaction had changed reported settings: restores those of before. before is NULL if none
 * had changed. */
void state_undo_reports(struct exchange *x, const struct gucs *before);
