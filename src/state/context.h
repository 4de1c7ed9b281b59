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
/* Returns true if this SQL has something that is read under settings. */
bool state_needs_reading(const struct sql_verdict *v);
/*
 * Returns true if it has, and the client's image may lack the settings that it is read under: they are set by what is
 * not answered yet. Else the image has them as far as anybody can know: those that matter most are reported.
 */
bool state_hides_reading(const struct exchange *x, const struct sql_verdict *v);
/* The request that is being sent may change what SQL is read under. */
void state_note_reading(struct exchange *x);
/* Returns true if requests under way decide what it is read under: its Parse is held until they are answered. */
bool state_awaits_reading(const struct exchange *x, const struct sql_verdict *v);
/* Returns true if the client's requests have set something that is not settled, or those under way may. */
bool state_is_unsettled(const struct exchange *x);
/* Returns true if what is sent now is surely read under the settings in the client's image. */
bool state_reads_as_image(const struct exchange *x);
bool state_reads_as(const struct exchange *x, const struct image *reading); /* its server has that, for sure */
/* A Query or Bind. If it has SET LOCAL of such settings, nothing is shared until its transaction is over. FORWARD. */
enum feature_step state_note_local(struct exchange *x, struct request *m);
