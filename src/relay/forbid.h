/*
 * src/relay/forbid.h - the setting refuse: SQL that a database's or user's settings forbid (sql/forbidden.h).
 *
 * In place of a forbidden message, PostgreSQL gets a word that is no SQL. PostgreSQL's error is rewritten on the way
 * back. So a transaction, a pipeline or the rest of a batch fails as after any other error, and a Parse leaves no
 * statement. A message that is too long to be read is refused, too.
 */
#pragma once

#include "base/counters.h"
#include "exchange/exchange.h"
#include "exchange/request.h"

/* Returns which rule forbids this SQL of len bytes; FORBIDDEN_NOTHING if none does. Call only for a client for which
 * "refuse" is set. is_query: true for the SQL of a Query, false for that of a Parse. */
enum forbidden forbid_find(const struct exchange *x, bool is_query, const char *sql, size_t len);
/* For m, a refused Query or Parse: builds in m->instead the message that is sent in its place, and makes m describe
 * that message. Returns false without memory. */
bool forbid_replace(struct request *m);

/* Returns the refused kind of SQL if e is an error that forbid_replace() has caused, else FORBIDDEN_NOTHING. */
enum forbidden forbid_of_error(const struct error_fields *e);
/* Sends the client the error for `what`, and counts the refusal. Only returns false if `what` is FORBIDDEN_NOTHING. */
bool forbid_answer(struct exchange *x, enum forbidden what);
