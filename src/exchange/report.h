/*
 * src/exchange/report.h - measures and counts what requests cost, and reports the costs to logs and SHOW QUERIES.
 */
#pragma once

#include "base/request_report.h"
#include "exchange/exchange.h"

void report_configure(struct exchange_env *env); /* call after env->config was replaced */
void report_lent(struct exchange *x, uint64_t waited_us); /* call when a server was lent after this wait */
/* call before the replies that end a request are sent */
void report_done(struct exchange *x, struct server *srv, const struct owed *ended);
void report_transaction(struct exchange *x, enum transaction_end end); /* call when a transaction has ended */
/* Counts the client's open transaction, if there is one, as lost. srv: the client's server, which the caller takes away
 * afterwards; NULL if the client has no server. */
void report_transaction_lost(struct exchange *x, struct server *srv);
void report_flushed(struct exchange *x, struct server *srv); /* call when replies were passed to the client */
/* Call after len bytes of the client were handled and sent to the server. */
void report_sent_to_server(struct exchange *x, struct server *srv, size_t len);
/* Call when the client or the server has taken all bytes that were queued for it. */
void report_drained(struct exchange *x, struct server *srv);
/* Returns when pgweir began to wait for the client to send the rest of its request, or the next request of its
 * transaction. Returns 0 if pgweir does not wait for the client, or if the client must read replies first. */
uint64_t report_idle_since(const struct exchange *x);
/* Guesses the origin of the cancel that ended the client's request, from the error *e (PostgreSQL's or pgweir's). If
 * the recorded CancelRequest was the cancel, forgets the record. The result is only shown to people. */
enum canceler report_take_canceler(struct exchange *x, const struct error_fields *e);
void report_count_error(struct pool *pool, enum error_origin origin, const char *sqlstate); /* counts the error */
/* Reports a request, or an idle time within a transaction, that has ended without PostgreSQL's answer, to the counters
 * and the slow-query log. A request is reported to SHOW QUERIES as well. why: the error that has ended it. event: the
 * name of this end in the log; NULL for the name of the canceler or of `kind`. */
void report_failure(struct exchange *x, const struct fail *why, enum request_failure kind, const char *event);
/* Call when the client leaves (why is NULL), or is closed with the error *why. If a request was in progress, counts it
 * as failed, and returns true. */
bool report_given_up(struct exchange *x, const struct fail *why);
/* Records how long the client waited in the queue; at most connect_us of that time count as PHASE_CONNECT. Adds this
 * time to the pool's sum, and unless `outcome` is WAIT_SERVED (see report_lent()), to the database's histogram, too. */
void report_waited(struct exchange *x, uint64_t connect_us, enum wait_outcome outcome);
/* Returns a set of enum scan_option, for code that shows the session's SQL. */
unsigned report_sql_options(const struct exchange *x);
/* Returns the SQL of a request that has no server yet, and sets *len to its length. The SQL is in the kept input, or in
 * the statement that the request names. Returns NULL if the SQL is unknown. Valid until the client's next message. */
const char *report_waiting_text(const struct exchange *x, size_t *len);
/* Returns the fingerprint of complete SQL, which is the same for all SQL that differs only in values. Returns 0 if the
 * SQL is too long, or if it has a backslash, whose meaning depends on settings. The caller then computes it later. */
uint64_t report_fingerprint(const char *sql, size_t len);
/* Like report_fingerprint(), for SQL whose scan is cached in *kept, where the fingerprint is cached, too. */
static inline uint64_t
report_fingerprint_of(struct scanned_sql *kept, const char *sql, size_t len)
{
	if (len >= REQUEST_TEXT_MAX)
		return 0;
	if (kept->fingerprint == 0)
		kept->fingerprint = report_fingerprint(sql, len);
	return kept->fingerprint;
}

/* Returns the cached fingerprint of a statement's SQL; 0 if the SQL has not run twice, or if report_fingerprint()
 * returns 0 for it. */
static inline uint64_t
report_statement_fingerprint(const struct statement *st)
{
	return st->fingerprint == STATEMENT_RAN_ONCE ? 0 : st->fingerprint;
}

/* Does what report_text() does. Call only if no SQL is recorded yet. */
void report_first_text(struct server *srv, const uint8_t *sql, size_t len, size_t total, bool is_simple);
/* Does what report_statement() does, and caches the fingerprint in *st. Call only if no SQL is recorded yet. */
void report_first_statement(struct server *srv, struct statement *st);

/* Records the SQL of the present request, unless SQL is recorded already, because the first SQL stands for the whole
 * request, and for requests that were pipelined after it. len: how many of the `total` bytes have come. */
static inline void
report_text(struct server *srv, const uint8_t *sql, size_t len, size_t total, bool is_simple)
{
	if (srv->loan.text_len == 0)
		report_first_text(srv, sql, len, total, is_simple);
}

/* Like report_text(), for the SQL of a statement. */
static inline void
report_statement(struct server *srv, struct statement *st)
{
	if (srv->loan.text_len == 0)
		report_first_statement(srv, st);
}

/* Keeps the beginning of the request's first Bind's body if the slow-query log must show parameters. */
void report_bind(struct exchange *x, const uint8_t *body, size_t len);
void report_request_begins(struct exchange *x, struct server *srv); /* call when a request's first bytes have come */
