/*
 * src/relay/query_timeout.h - a client that has passed a time limit: its error, and the cancel of its query.
 *
 * A query that has passed query_timeout is cancelled, and the client gets PostgreSQL's error for that in pgweir's words
 * (query_timeout_answer). Until the cancel has ended, the client is not read, and its messages that wait are not sent,
 * so the cancel can't hit a later request. A request that PostgreSQL already has could be hit: the query may end by
 * itself just then, and PostgreSQL before 18 signals twice. Therefore, while a request of a client could be cancelled,
 * no later request of that client is sent.
 */
#pragma once

#include "exchange/exchange.h"

#include "config/config.h"

enum late { LATE_NOT, LATE_QUERY, LATE_IDLE, LATE_TRANSACTION, LATE_PROBE, LATE_OURS, LATE_STANDBY, LATE_ENDED };

/* Returns the name of the setting that has this limit. late must be LATE_QUERY, LATE_IDLE or LATE_TRANSACTION. */
const char *late_setting(enum late late);
/* Returns true if the client's next request on its server may have to wait: see query_timeout_holds(). */
static inline bool
query_timeout_may_hold(const struct exchange *x)
{
	return x->srv->is_synced && x->srv->ledger.count > 0 && x->settings->query_timeout_us > 0;
}

/* Returns true if a message of this type waits until the previous request is answered. x may have no server. */
bool query_timeout_holds(const struct exchange *x, uint8_t type);
/* Writes to *why the error for the limit `late`, which was passed after lasted_us. */
void late_fail(const struct exchange *x, enum late late, uint64_t lasted_us, struct fail *why);
/* Returns true with *why set if the client has waited for a server longer than query_timeout, which ends the wait as in
 * PgBouncer. */
bool query_timeout_ends_wait(const struct exchange *x, struct fail *why);
/* Records that the client's query, which began at since_us, is being cancelled; since_us is 0 for a late probe of its
 * session. */
void query_timeout_begin(struct exchange *x, uint64_t since_us);
/*
 * Returns true if a query of srv's borrower, or a probe, is being cancelled for being late. srv may be NULL. The
 * client's next bytes may be the Sync of the late request, so the client must be read once nothing is owed.
 */
static inline bool
query_timeout_is_cancelling(const struct server *srv)
{
	return srv != NULL && srv->loan.cancelled_us != 0 &&
	       ((srv->loan.late_since_us != 0 && srv->ledger.count > 0) || srv->cancel != NULL);
}
/*
 * Logs a bug if e, PostgreSQL's error for a client's request, can only come from a cancel that pgweir has sent for a
 * request of its own. (A pg_cancel_backend() of another session within that second looks the same.)
 */
void query_timeout_check_cancel(const struct exchange *x, const struct error_fields *e);
/* Returns true if query_timeout has caused PostgreSQL's error; the client was sent an error in pgweir's words then. */
bool query_timeout_answer(struct exchange *x);
