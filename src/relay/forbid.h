/*
 * src/relay/forbid.h - the setting refuse: SQL that a database's or user's policy forbids (sql/forbidden.h).
 *
 * PostgreSQL gets, in place of the message, a word that it can't read, and its error is rewritten on its way back: so a
 * transaction, a pipeline and what comes behind in a batch fail as by any error of the client's, and a Parse leaves no
 * statement behind. A message too long to be looked at is refused, too.
 */
#pragma once

#include "base/counters.h"
#include "exchange/exchange.h"
#include "exchange/request.h"

/* Only for a client whose settings have refuse. is_query: it is a Query, else a Parse. */
enum forbidden forbid_find(const struct exchange *x, bool is_query, const char *sql, size_t len);
/* Makes m, a Query or Parse that is refused, the message that is sent instead: m->instead. Returns false without
 * memory. */
bool forbid_replace(struct request *m);

/* Returns what was refused if that is the cause of PostgreSQL's error, else FORBIDDEN_NOTHING. */
enum forbidden forbid_of_error(const struct error_fields *e);
/* Sends the client that error, and counts it. Returns true; false: nothing was refused. */
bool forbid_answer(struct exchange *x, enum forbidden what);
