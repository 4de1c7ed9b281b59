/*
 * src/relay/query_timeout.h - a client that is over its time: what it is told, and the cancel of its query.
 *
 * A query that is over query_timeout is cancelled, and PostgreSQL's error for that is told in our words
 * (query_timeout_answer). Until the cancel is over the client is not read, and nothing of it that waits is sent, so
 * that none of its later requests is hit. A request that PostgreSQL already has could be hit: the query may end by
 * itself just then, and PostgreSQL before 18 signals twice. Therefore a request that could be cancelled is the only one
 * of its client's that PostgreSQL has.
 */
#pragma once

#include "exchange/exchange.h"

#include "config/config.h"

enum late { LATE_NOT, LATE_QUERY, LATE_IDLE, LATE_TRANSACTION, LATE_PROBE, LATE_OURS, LATE_STANDBY, LATE_ENDED };

/* Returns the name of the setting that has this limit; not for NOT and OURS. */
const char *late_setting(enum late late);
/* Returns true if the client's next request on its server may have to wait: see query_timeout_holds(). */
static inline bool
query_timeout_may_hold(const struct exchange *x)
{
	return x->srv->is_synced && x->srv->ledger.count > 0 && x->settings->query_timeout_us > 0;
}

/* Returns true if a message of this type waits until the request before it is answered. x may have no server. */
bool query_timeout_holds(const struct exchange *x, uint8_t type);
/* Fills *why: which limit (`late`) was passed, after lasted_us. */
void late_words(const struct exchange *x, enum late late, uint64_t lasted_us, struct fail *why);
/* Returns true with *why set if the client, which waits for a server, is over query_timeout by that: as in PgBouncer.
 */
bool query_timeout_ends_wait(const struct exchange *x, struct fail *why);
/* Notes that the client's query, which began at since_us, is being cancelled; 0: a late probe of its session is. */
void query_timeout_begin(struct exchange *x, uint64_t since_us);
/*
 * Returns true if a query of the server's borrower, or a probe, is being cancelled for being late. srv may be NULL. The
 * Sync of the late request may be what the client sends next: once nothing is owed, it must be read.
 */
static inline bool
query_timeout_is_cancelling(const struct server *srv)
{
	return srv != NULL && srv->loan.cancelled_us != 0 &&
	       ((srv->loan.late_since_us != 0 && srv->ledger.count > 0) || srv->cancel != NULL);
}
/*
 * Logs a bug if this error of PostgreSQL's, which a client's request gets, can only come of a cancel that pgweir has
 * sent for a request of its own. (A pg_cancel_backend() of somebody else's within that second looks the same.)
 */
void query_timeout_check_cancel(const struct exchange *x, const struct error_fields *e);
/* Returns true if PostgreSQL's error is the end of that cancel; the client has its answer then. */
bool query_timeout_answer(struct exchange *x);
