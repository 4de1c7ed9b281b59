/*
 * src/exchange/report.h - what requests cost: counted, and perhaps logged.
 */
#pragma once

#include "base/request_report.h"
#include "exchange/exchange.h"

void report_config(struct exchange_env *env); /* env->config is another one */
void report_lent(struct exchange *x, uint64_t waited_us); /* the wait for a server is over */
void report_done(struct exchange *x, struct server *srv, const struct owed *ended); /* before its replies are sent */
void report_transaction(struct exchange *x, enum transaction_end end); /* it is over */
void report_flushed(struct exchange *x, struct server *srv); /* after the batch was sent */
/* Bytes of the client's were handled and sent: len of them. */
void report_sent(struct exchange *x, struct server *srv, size_t len);
void report_drained(struct exchange *x, struct server *srv); /* client or server has taken what waited for it */
/*
 * Returns since when the client owes the next byte, of what it has begun on its server: of a request, or of a
 * transaction between two; 0: it does not, or is to read.
 */
uint64_t report_idle_since(const struct exchange *x);
/* Takes who has canceled the client's request, as an error of PostgreSQL's or pgweir's says: for people, no decision.
 */
enum canceler report_canceler(struct exchange *x, const struct error_fields *e);
void report_error(struct pool *pool, enum error_origin origin, const char *sqlstate);
/*
 * Reports a request, or a transaction idled in, that has ended without PostgreSQL's answer: the counters, the
 * slow-query log and SHOW QUERIES learn that here, whatever the reason. event: its name in the log; NULL: that of kind.
 */
void report_failure(struct exchange *x, const struct fail *why, enum request_failure kind, const char *event);
/* The client leaves, or is closed for why (NULL: it left). Returns true if a request was under way: it has failed. */
bool report_given_up(struct exchange *x, const struct fail *why);
/* Notes how long it stood in the queue, and counts that, unless it was served, as report_lent() counts that.
 * connect_us: how much of it PostgreSQL owed, at most. */
void report_waited(struct exchange *x, uint64_t connect_us, enum wait_outcome outcome);
/* Returns how the session reads strings, for what shows its SQL (enum scan_option). */
unsigned report_sql_options(const struct exchange *x);
/* Returns the SQL of a request that has no server yet, from the input that waits or the statement that it names, and
 * its *len; NULL: not known. Valid until the client's next message. */
const char *report_waiting_text(const struct exchange *x, size_t *len);
/*
 * Returns the fingerprint of SQL that lies here whole, for report_text(). 0: it is too long, or depends on settings;
 * then it is made when the request is over.
 */
uint64_t report_fingerprint(const char *sql, size_t len);
/* The same of SQL like what is kept, which keeps it. */
static inline uint64_t
report_fingerprint_of(struct scanned_sql *kept, const char *sql, size_t len)
{
	if (len >= REQUEST_TEXT_MAX)
		return 0;
	if (kept->fingerprint == 0)
		kept->fingerprint = report_fingerprint(sql, len);
	return kept->fingerprint;
}

/* The same of a statement's SQL, if it ran twice. */
static inline uint64_t
report_statement_fingerprint(const struct statement *st)
{
	return st->fingerprint == STATEMENT_RAN_ONCE ? 0 : st->fingerprint;
}

/* For report_text() and report_statement(): the first SQL of a request. A statement keeps its fingerprint. */
void report_first_text(struct server *srv, const uint8_t *sql, size_t len, size_t total, bool is_simple);
void report_first_statement(struct server *srv, struct statement *st);

/*
 * SQL of the request under way: len bytes of total have come. The first SQL stands for all of the request, and for
 * requests that were pipelined behind it.
 */
static inline void
report_text(struct server *srv, const uint8_t *sql, size_t len, size_t total, bool is_simple)
{
	if (srv->loan.text_len == 0)
		report_first_text(srv, sql, len, total, is_simple);
}

/* The same for the SQL of a statement. */
static inline void
report_statement(struct server *srv, struct statement *st)
{
	if (srv->loan.text_len == 0)
		report_first_statement(srv, st);
}

/* Keeps the beginning of a Bind's body, if parameters are to be logged. */
void report_bind(struct exchange *x, const uint8_t *body, size_t len);
void report_request_begins(struct exchange *x, struct server *srv);
