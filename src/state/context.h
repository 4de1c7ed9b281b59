/*
 * src/state/context.h - what PostgreSQL reads SQL under: which clients may share a prepared statement.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/*
 * Writes to *context which settings PostgreSQL reads this SQL under, if any matter; v has the hints of
 * a Parse. Returns false if the SQL must not be shared with other clients at all.
 */
bool state_statement_context(const struct exchange *x, const struct sql_verdict *v, uint32_t *context);
/* Returns true if what is sent now is surely read under the settings in the client's image. */
bool state_reads_as_image(const struct exchange *x);
/* A Query or Bind. If it has SET LOCAL of such settings, nothing is shared until its transaction is over. FORWARD. */
enum feature_step state_note_local(struct exchange *x, struct request *m);
