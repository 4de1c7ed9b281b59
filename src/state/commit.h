/*
 * src/state/commit.h - the transaction is over: may the server be given back, and as what?
 */
#pragma once

#include "exchange/exchange.h"

/* A transaction that has set something is over. If nothing is to be settled, what the settings were is forgotten. */
void state_transaction_over(struct exchange *x);
/*
 * Nothing is owed, no transaction is open. Returns true if the server may be given back; false if something is under
 * way, or the client is pinned, as it is while it has a long statement: one that is on this server alone.
 */
bool state_may_release(struct exchange *x, bool has_long_statement);
bool state_is_dirty(const struct exchange *x); /* its server must be cleaned before another client gets it */
bool state_is_tainted(const struct exchange *x); /* its server can't be cleaned (LOAD): it must be closed */
unsigned state_seal(struct exchange *x); /* enum state_part: washed off its server before another gets it */
/* Sends what turns the server's image into the client's, ahead of the next message. Returns 0, or -1: no memory. */
int state_replay(struct exchange *x);
void state_encoding_changed(struct exchange *x, const char *encoding); /* the server has reported it */
void state_note_encoding(struct exchange *x, const char *encoding); /* it may be in force for some SQL */
