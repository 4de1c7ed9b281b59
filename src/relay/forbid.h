/*
 * src/relay/forbid.h - the setting refuse: SQL that a database's or user's policy forbids (sql/forbidden.h).
 *
 * In place of the message, PostgreSQL gets a word that it can't parse. PostgreSQL's error is rewritten on the way back.
 * So a transaction, a pipeline or the rest of a batch fails as after any other error, and a Parse leaves no statement.
 * A message that is too long to be read is refused, too.
 */
#pragma once

#include "base/counters.h"
#include "exchange/exchange.h"
#include "exchange/request.h"

/* Returns why SQL of len bytes is forbidden, or FORBIDDEN_NOTHING. Call only for a client for which "refuse" is set.
 * is_query: true for the SQL of a Query, false for that of a Parse. */
enum forbidden forbid_find(const struct exchange *x, bool is_query, const char *sql, size_t len);
/* Builds in m->instead the message that is sent in place of m, a refused Query or Parse, and makes m that message.
 * Returns false without memory. */
bool forbid_replace(struct request *m);

/* Returns the refused kind of SQL if forbid_replace() has caused PostgreSQL's error, else FORBIDDEN_NOTHING. */
enum forbidden forbid_of_error(const struct error_fields *e);
/* Sends the client the error for `what`, and counts it. Returns false if nothing was refused. */
bool forbid_answer(struct exchange *x, enum forbidden what);
