/*
 * src/relay/report.h - what requests cost: counted, and perhaps logged.
 */
#ifndef PGWEIR_RELAY_REPORT_H
#define PGWEIR_RELAY_REPORT_H

#include "exchange/exchange.h"

void report_lent(struct exchange *x); /* the wait for a server is over */
void report_done(struct exchange *x, struct server *srv, const struct owed *ended); /* before its replies are sent */
void report_flushed(struct exchange *x, struct server *srv, bool is_sent); /* after the batch was sent */
void report_error(struct pool_entry *entry, enum error_origin origin, const char *sqlstate);
/* event: the name of the event in the slow-query log; NULL: that of kind. */
void report_failure(struct exchange *x, const struct fail *why, enum request_failure kind, const char *event);
void report_text(struct server *srv, const uint8_t *text, size_t len, size_t total, bool is_simple);
void report_request_begins(struct exchange *x, struct server *srv);

#endif
