/*
 * src/relay/forbid.h - refuses SQL that the setting `refuse` of a database or user forbids (sql/forbidden.h).
 *
 * In place of forbidden SQL, pgweir sends a word that is no SQL, and rewrites PostgreSQL's error on the way back. So a
 * transaction, a pipeline or the rest of a batch fails as after any other error, and a Parse leaves no statement. A
 * message that is too long to be read is refused, too.
 */
#pragma once

#include "base/counters.h"
#include "exchange/exchange.h"
#include "exchange/request.h"

/* Returns the rule that forbids this SQL, or FORBIDDEN_NOTHING. Call only for a client for which `refuse` is set.
 * is_query: true for the SQL of a Query, false for the SQL of a Parse. */
enum forbidden forbid_find_rule(const struct exchange *x, bool is_query, const char *sql, size_t len);
/* m is a Query or Parse that is refused. Builds in m->instead the message to send in its place, and makes m describe
 * that message. Returns false if there is no memory. */
bool forbid_replace(struct request *m);

/* Returns the rule by which the SQL was refused, if forbid_replace() has caused the error e; else FORBIDDEN_NOTHING. */
enum forbidden forbid_of_error(const struct error_fields *e);
/* Sends the client the error for the rule `what`, and counts the refusal. Returns false for FORBIDDEN_NOTHING. */
bool forbid_answer(struct exchange *x, enum forbidden what);
