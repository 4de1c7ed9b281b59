/*
 * src/relay/query_timeout.h - the error for a client that has passed a time limit, and the cancel of its query.
 *
 * pgweir cancels a query that has passed query_timeout. PostgreSQL then reports an error, and the client gets that
 * error in pgweir's words (query_timeout_answer()). Until the cancel has ended, pgweir neither reads from the client
 * nor sends its waiting messages, so the cancel can't hit a later request. (During a COPY FROM STDIN pgweir goes on
 * reading, because PostgreSQL notices the cancel only when it gets more data.) A later request that PostgreSQL already
 * has could be hit, because the query may end just before the cancel arrives, and PostgreSQL before 18 signals twice.
 * Therefore, while a request of a client could be cancelled, pgweir sends no later request. If the client has asked for
 * the cancel, this holds from the moment that pgweir sends the cancel.
 */
#pragma once

#include "exchange/exchange.h"

#include "config/config.h"

/* The thing that has passed a time limit. */
enum late {
	LATE_NOT,
	LATE_QUERY, /* query_timeout */
	LATE_IDLE, /* idle_transaction_timeout */
	LATE_TRANSACTION, /* transaction_timeout */
	LATE_PROBE, /* a probe of the client's session (state/state_state.h) */
	LATE_OWN_REQUEST, /* another request of pgweir's own on the client's server */
	LATE_STANDBY, /* a standby's answer to a read; another host gets the request */
	/* a query whose client has sent a Terminate and closed its side of the connection: see may_be_gone() */
	LATE_CLIENT_GONE
};

/* Returns the name of the setting that has this limit. late must be LATE_QUERY, LATE_IDLE or LATE_TRANSACTION. */
const char *late_setting(enum late late);
/* A cheap test: returns false if query_timeout_delays_message() is false for all messages. x must have a server. */
static inline bool
query_timeout_may_hold(const struct exchange *x)
{
	return x->srv->is_synced && x->srv->ledger.count > 0 && x->settings->query_timeout_us > 0;
}

/* Returns true if a message of this type must wait until the previous request is answered. x may have no server. */
bool query_timeout_delays_message(const struct exchange *x, uint8_t type);
/* Writes to *why the error for the limit `late`. lasted_us: for how long the query or other state has lasted. */
void late_write_error(const struct exchange *x, enum late late, uint64_t lasted_us, struct fail *why);
/* Returns true, with *why set, if the client has waited for a server longer than query_timeout, and the configuration
 * is PgBouncer's (COMPAT_ENDS_LATE_QUERIES). Otherwise query_timeout ends no wait for a server. */
bool query_timeout_ends_wait(const struct exchange *x, struct fail *why);
/* Records that the client's query, which began at since_us, is being cancelled. Stops reading from the client, except
 * in a COPY FROM STDIN. since_us: 0 if the cancel is for a late probe, or was not caused by a limit. */
void query_timeout_note_cancel(struct exchange *x, uint64_t since_us);
/* Call when a CancelRequest for the client's query is sent, for whatever reason. Except in a COPY FROM STDIN, stops
 * reading from the client until the cancel has ended. */
void query_timeout_note_other_cancel(struct exchange *x);
/*
 * Returns true while a query of srv's borrower, or a late probe, is being cancelled: until no reply is owed and the
 * CancelRequest has ended, even if the Sync of the late request was not read from the client yet. Returns false during
 * a COPY FROM STDIN, which may have begun after the cancel. srv may be NULL.
 */
static inline bool
query_timeout_is_cancelling(const struct server *srv)
{
	return srv != NULL && srv->loan.cancelled_us != 0 && srv->ledger.intake != INTAKE_COPY &&
	       ((srv->loan.late_query_began_us != 0 && srv->ledger.count > 0) || srv->cancel != NULL);
}
/*
 * Call for an error e of PostgreSQL's for the client's request. Logs a bug if a cancel of pgweir's has hit the wrong
 * request, that is, if e says that the request was cancelled, and less than a second ago pgweir sent a cancel for a
 * request of its own on this server. (A pg_cancel_backend() by another session in that second looks the same.)
 */
void query_timeout_check_cancel(const struct exchange *x, const struct error_fields *e);
/* Call for an error of PostgreSQL's. If query_timeout has caused it, sends the client an error in pgweir's words, and
 * returns true. */
bool query_timeout_answer(struct exchange *x);
