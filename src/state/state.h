/*
 * src/state/state.h - functions about the session state that a client's requests leave on a server in transaction mode
 * (see state_state.h). These functions are called between requests, and when requests are answered. The functions to
 * call before SQL is sent are in observe.h, compiled.h and linger.h.
 */
#pragma once

#include "exchange/exchange.h"

void state_free(struct exchange *x);
/*
 * Appends to b the messages that run this SQL (Parse, Bind, Execute), and enters them in the ledger. to, ref: for the
 * ledger entry of the Execute. The messages use the unnamed statement, or STATEMENT_PLACEHOLDER if the client's unnamed
 * statement must stay (loan.must_keep_unnamed). Within a request or a transaction, the messages use and close a named
 * portal, because the unnamed portal belongs to the client, which may still run it.
 */
void state_put_sql(struct exchange *x, struct buf *b, const char *sql, enum owed_to to, void *ref);

/* --- commit.c: decides at the end of a transaction if the server may be given back, and with what state --- */
/* Call after a transaction. If no effect, suspicion or probe is left, forgets client_session.before. */
void state_forget_old_gucs_if_clean(struct exchange *x);
/* Call when nothing is owed and no transaction is open. Returns true if the server may be given back. Otherwise a probe
 * was sent, or the client keeps its server, has lost its server, or was closed. has_long_statement: true to pin the
 * client, because only this server has one of the client's statements. */
MAY_CLOSE bool state_settle(struct exchange *x, bool has_long_statement);
/* returns true if x is pinned, a probe is in progress, or effects or suspicions on srv are not settled yet */
bool state_is_dirty(const struct exchange *x, const struct server *srv);
bool state_is_tainted(const struct exchange *x); /* returns true after LOAD: the client's server can't be washed */
/* Returns the parts (enum state_part) that must be washed off the client's server before another client gets it. */
unsigned state_parts_to_wash(struct exchange *x);
/* Sends SQL that gives the server the client's GUC set. Returns 0, or -1 if there is no memory. */
int state_send_client_gucs(struct exchange *x);
/* call when the server has reported this client_encoding */
void state_note_encoding_change(struct exchange *x, const char *encoding);
/* call when the client's SQL may be in this encoding: sets is_unscannable if pgweir can't read such SQL */
void state_note_encoding(struct exchange *x, const char *encoding);

/* --- ask.c: the answer to the probe, a query that asks a server which session state it has --- */
void state_probe_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
void state_probe_failed(struct exchange *x); /* call when an error has come in place of the probe's rows */
void state_probe_done(struct server *srv); /* call at the end of the answer: updates the GUC sets and the pins */
/* Returns true if a probe of the client's session is in progress, and no cancel was sent for it. */
bool state_may_cancel_probe(const struct exchange *x);
void state_note_probe_cancel(struct exchange *x); /* call when a cancel was sent for the probe */

/* --- pins.c: pins, the reasons why a client keeps its server between transactions --- */
/* if the client's next request must be answered with a FATAL error, sets *why and returns true */
bool state_is_refused(const struct exchange *x, struct fail *why);
/* returns true if the client is pinned; with TIE_PROCESS, also if pgweir has recorded more than the client's GUC set */
bool state_ties(const struct exchange *x, enum feature_tie to);
/* Call when a server with session state of the client's was lost: the client's next request will be answered with *why,
 * as FATAL. Returns 0, or -1 if there is no memory. */
int state_refuse_next_request(struct exchange *x, const struct fail *why);
/* call when the client's server was lost before it ran the request: forgets the request's effects */
void state_forget_request(struct exchange *x);
/* Returns true if the client has asked, by SET pgweir.pin, to keep its present or next server. With reads = marked,
 * returns false while the client has a standby's server. */
bool state_asks_for_pin(const struct exchange *x);
/* writes the names of the client's pins, such as "temp_table, cursor", to `out`; returns `out` */
const char *state_pin_reasons(const struct exchange *x, char *out, size_t out_cap);

/* --- reset.c: RESET, DISCARD ALL and rollbacks, which bring back earlier values of settings --- */
void state_note_discard_all(struct exchange *x); /* call at the CommandComplete of DISCARD ALL */
void state_request_failed(struct exchange *x); /* call when a message of the client's has failed */
void state_request_done(struct exchange *x); /* call at each ReadyForQuery; ends the DISCARD ALL, if there was one */
/* Returns true if the client must not be told the value of this parameter. */
bool state_hides_parameter(const struct exchange *x, const char *name);
/* Call when a transaction was rolled back. Restores the reported settings of `before`, the client's GUC set before the
 * transaction, and tells the client. `before` is NULL if the transaction has changed no such setting. */
void state_undo_reports(struct exchange *x, const struct gucs *before);
