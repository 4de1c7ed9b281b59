/*
 * src/state/state.h - the session state that a client's requests leave on a server, in transaction mode: functions to
 * call between requests, and when requests are answered. See state_state.h. Functions to call before SQL is sent are in
 * observe.h, compiled.h and linger.h.
 */
#pragma once

#include "exchange/exchange.h"

void state_free(struct exchange *x);
/*
 * Appends to b the messages that run this SQL (Parse, Bind, Execute), and enters them in the ledger. to, ref: for the
 * ledger entry of the Execute. The messages use the unnamed statement, or STATEMENT_PLACEHOLDER if the client's unnamed
 * statement must stay (loan.must_keep_unnamed). Within a request or a transaction they use a portal with a name, and
 * close it: the client may have bound the unnamed portal; and if it has not, an Execute of the unnamed portal by the
 * client must still fail.
 */
void state_run(struct exchange *x, struct buf *b, const char *sql, enum owed_to to, void *ref);

/* --- commit.c: the end of a transaction: may the server be given back, and with what state? --- */
/* Call when a transaction has ended. If no effect, suspicion or probe is left, forgets the settings from before it. */
void state_transaction_over(struct exchange *x);
/* Call when nothing is owed and no transaction is open. Returns true if the server may be given back; false if a probe
 * is in progress, or if the client is pinned or lingers. has_long_statement: true to pin the client, because only this
 * server has its statement. */
MAY_CLOSE bool state_settle(struct exchange *x, bool has_long_statement);
/* returns true if x is pinned, or has left state on srv that is not settled yet */
bool state_is_dirty(const struct exchange *x, const struct server *srv);
bool state_is_tainted(const struct exchange *x); /* true after LOAD: the client's server can't be washed */
/* Returns the parts (enum state_part) that must be washed off the client's server before another client gets it. */
unsigned state_parts_to_wash(struct exchange *x);
/* Sends SQL ahead that turns the server's GUC set into the client's. Returns 0, or -1 without memory. */
int state_replay(struct exchange *x);
/* call when the server has reported this client_encoding */
void state_encoding_changed(struct exchange *x, const char *encoding);
/* call when the client's SQL may be in this encoding: sets is_unread if pgweir can't read such SQL */
void state_note_encoding(struct exchange *x, const char *encoding);

/* --- ask.c: the rows of the probe, a query that asks a server which session state it has --- */
void state_probe_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
void state_probe_failed(struct exchange *x);
void state_probe_done(struct server *srv);
/* Returns true if a probe of the client's session is in progress, and was not cancelled. */
bool state_may_cancel_probe(const struct exchange *x);
void state_probe_cancelled(struct exchange *x); /* call when a cancel was sent for the probe */

/* --- pins.c: why a client keeps its server between transactions, and what follows if that server is lost --- */
/* returns true if the client's next request is answered with the FATAL error *why */
bool state_is_refused(const struct exchange *x, struct fail *why);
/* returns true if the client is pinned; with TIE_PROCESS also if its session has state outside its GUC set */
bool state_ties(const struct exchange *x, enum feature_tie to);
/* Call when a server was lost that had settings of the client's: the client's next request will be answered with *why,
 * as FATAL. Returns 0, or -1 without memory. */
int state_lose(struct exchange *x, const struct fail *why);
/* call when the client's server was lost before it has executed the recorded effects, which are forgotten */
void state_forget_request(struct exchange *x);
/* Returns true if the client has asked, by SET pgweir.pin, to keep the server that it has or gets next. With reads =
 * marked, if a client on a standby asks, it keeps the server of the primary that it gets next. */
bool state_asks_for_pin(const struct exchange *x);
/* writes the names of the client's pins to `out` ("temp_table, cursor", or ""), and returns `out` */
const char *state_pin_reasons(const struct exchange *x, char *out, size_t out_cap);

/* --- reset.c: RESET, DISCARD ALL and rollbacks, which bring back earlier values; and the end of a request --- */
void state_discarded(struct exchange *x); /* call at the CommandComplete of DISCARD ALL */
void state_request_failed(struct exchange *x); /* call for an error that is the client's */
void state_request_done(struct exchange *x);
bool state_hides_parameter(const struct exchange *x, const char *name);
/* Call when a transaction was rolled back. Restores the reported settings of `before`, the client's GUC set from before
 * the transaction; does nothing if `before` is NULL. */
void state_undo_reports(struct exchange *x, const struct gucs *before);
