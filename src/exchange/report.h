/*
 * src/exchange/report.h - measures and counts what requests cost, and logs these costs where that is configured.
 */
#pragma once

#include "base/request_report.h"
#include "exchange/exchange.h"

void report_configure(struct exchange_env *env); /* call after env->config was replaced */
void report_lent(struct exchange *x, uint64_t waited_us); /* call when the wait for a server has ended */
/* call before the replies that end a request are sent */
void report_done(struct exchange *x, struct server *srv, const struct owed *ended);
void report_transaction(struct exchange *x, enum transaction_end end); /* call when a transaction has ended */
/* Counts the client's open transaction, if it has one, as lost. srv: the client's server, which the caller takes away
 * afterwards; NULL if the client has no server. */
void report_transaction_lost(struct exchange *x, struct server *srv);
void report_flushed(struct exchange *x, struct server *srv); /* call after the batch was sent */
/* Call after len bytes of the client were handled and sent to the server. */
void report_sent(struct exchange *x, struct server *srv, size_t len);
/* Call when the client or the server has taken the bytes that were queued for it. */
void report_drained(struct exchange *x, struct server *srv);
/*
 * Returns the time at which pgweir began to wait for the client: for the rest of a request that the client has begun,
 * or for the next request of its transaction. Returns 0 if pgweir does not wait for the client, or if the client must
 * read replies first.
 */
uint64_t report_idle_since(const struct exchange *x);
/* Guesses the origin of the cancel that ended the client's request, from the error *e (PostgreSQL's or pgweir's) and
 * from the recorded CancelRequest, which is then forgotten. The result is only shown to people. */
enum canceler report_canceler(struct exchange *x, const struct error_fields *e);
void report_error(struct pool *pool, enum error_origin origin, const char *sqlstate); /* counts the error */
/*
 * Reports a request, or an idle time within a transaction, that has ended without PostgreSQL's answer: enters each such
 * end into the counters, the slow-query log and SHOW QUERIES. event: its name in the log, or NULL for the name of
 * `kind`.
 */
void report_failure(struct exchange *x, const struct fail *why, enum request_failure kind, const char *event);
/* Call when the client leaves (why is NULL) or is closed with the error *why. If a request was in progress, counts the
 * request as failed, and returns true. */
bool report_given_up(struct exchange *x, const struct fail *why);
/* Records how long the client waited in the queue; counts that time, too, except with WAIT_SERVED: report_lent() counts
 * that. connect_us: the part of the time that counts as PHASE_CONNECT, if the whole time is not shorter. */
void report_waited(struct exchange *x, uint64_t connect_us, enum wait_outcome outcome);
/* Returns how the session reads strings (enum scan_option), for code that shows the session's SQL. */
unsigned report_sql_options(const struct exchange *x);
/* Returns the SQL of a request that has no server yet, from the kept input, or from the statement that the request
 * names; sets *len to the SQL's length. Returns NULL if the SQL is unknown. Valid until the client's next message. */
const char *report_waiting_text(const struct exchange *x, size_t *len);
/*
 * Returns the fingerprint of complete SQL, for report_text(). Returns 0 if the fingerprint can only be computed when
 * the request has ended, because the SQL is too long or depends on settings.
 */
uint64_t report_fingerprint(const char *sql, size_t len);
/* Like report_fingerprint() for SQL that matches *kept, where the fingerprint is cached. */
static inline uint64_t
report_fingerprint_of(struct scanned_sql *kept, const char *sql, size_t len)
{
	if (len >= REQUEST_TEXT_MAX)
		return 0;
	if (kept->fingerprint == 0)
		kept->fingerprint = report_fingerprint(sql, len);
	return kept->fingerprint;
}

/* Returns the cached fingerprint of a statement's SQL, or 0 if the statement has not run twice. */
static inline uint64_t
report_statement_fingerprint(const struct statement *st)
{
	return st->fingerprint == STATEMENT_RAN_ONCE ? 0 : st->fingerprint;
}

/* Does report_text() for the first SQL of a request. */
void report_first_text(struct server *srv, const uint8_t *sql, size_t len, size_t total, bool is_simple);
/* Does report_statement() for the first SQL of a request. Caches the fingerprint in *st. */
void report_first_statement(struct server *srv, struct statement *st);

/*
 * Records the SQL of the present request, unless SQL is recorded already: the first SQL stands for the whole request,
 * and for requests that were pipelined after it. len is how many bytes have come, total how many there are.
 */
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

/* Keeps the beginning of a Bind's body if the log must show parameters. */
void report_bind(struct exchange *x, const uint8_t *body, size_t len);
void report_request_begins(struct exchange *x, struct server *srv); /* call when a request's first bytes have come */
