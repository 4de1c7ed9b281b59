/*
 * src/relay/relay.h - requests of clients to the servers they borrow, and the replies.
 *
 * Owns: nothing; the client owns its exchange, and the pool its servers.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"
#include "wire/startup.h"

/* replies.c */
extern const struct server_ops relay_server_ops;
/* Call when something was answered and x is CL_HELD: relays the messages that were held, or holds them again. */
MAY_CLOSE bool relay_resume_held(struct exchange *x);

/* completed.c */
/* server_ops.complete. Returns true if the client got something else in place of the CommandComplete. */
bool relay_completed(struct server *srv, const char *text, size_t len);
/* Call this at the end of each request while loan.ddl, loan.code or loan.has_local_settings is set. Does nothing while
 * the transaction goes on; after its end, makes its DDL count. */
void relay_ddl_answered(struct exchange *x, struct server *srv);

/* requests.c */
/* Handles messages of the client until a request is refused, and keeps the bytes after that request. */
void relay_batch(struct exchange *x, const uint8_t *bytes, size_t len);
void relay_rest(struct exchange *x); /* handles the bytes that were kept */

/*
 * Handles or keeps all bytes that the client has sent. After a refused request, thousands may be refused, too, so
 * relay_rest() handles them in a loop and not by recursion.
 */
static inline void
relay_bytes(struct exchange *x, const uint8_t *bytes, size_t len)
{
	relay_batch(x, bytes, len);
	if (x->state == CL_REJECTING)
		relay_rest(x);
}

/* Call for a CancelRequest: rejects the request of x if that request waits for a server. */
void relay_cancel_wait(struct exchange *x);
extern const struct policy_waiter_ops relay_waiter_ops; /* of clients that wait, for policy_worker_new() */
void relay_unstall(struct exchange *x); /* reads the client again if neither queue is full any more */

/* --- reads_replayed.c: a standby that says when it has replayed a position --- */
/* Call this for a client that has a standby's server. If the client's request must wait until the standby has replayed
 * a position, sends a query ahead of the request that returns when the standby has replayed it. */
void relay_ask_standby(struct exchange *x);
/* Call when the standby has answered that query. Returns true if the standby has replayed the position, so its reply to
 * the client's request may be passed on. */
bool relay_standby_has_replayed(struct exchange *x);

/* --- loss.c: what the loss of a server means for the client that had borrowed it --- */
/* Returns true if the client's server should be a primary, and the client has not asked to only read. */
bool loss_needs_primary(const struct exchange *x);

/* Call when srv's standby has not replayed the position that its borrower needs in time: sends the request to the
 * primary. */
void loss_by_lag(struct server *srv);

/*
 * Handles an error that came for the server's borrower. Returns true if the client must not be sent that error: the
 * error ends the server, or the client has left the server. In both cases relay_lost() has done all that is to be done.
 */
bool loss_takes_error(struct server *srv, const struct error_fields *e, enum owed_to to, bool is_owed);

/* server_ops.lost: decides if the client stays and what it gets, and carries that out. */
void relay_lost(struct server *srv, const struct fail *why);
/* server_ops.ending: relays the request again before the connection breaks, or leaves that to relay_lost(). Returns
 * true if the client does not get PostgreSQL's FATAL. */
bool relay_ending(struct server *srv, const struct error_fields *e);

/* release.c */
/* Gives the client's server back, unless something still needs that server. */
void relay_try_release(struct exchange *x);
/*
 * Call when the client leaves: gives its server back, washes it or closes it, which ends a request in progress. why is
 * pgweir's reason for closing the client, or NULL if the client has left. Returns in words what is lost with the
 * client, or NULL.
 */
const char *relay_leave(struct exchange *x, const struct fail *why);

/* Returns true while COPY BOTH runs; false for clients without replication. */
static inline bool
relay_is_streaming(const struct exchange *x)
{
	return x->replication != REPLICATION_NONE && x->srv != NULL && x->srv->ledger.copy == COPY_BOTH;
}

/* reject.c: a request that gets no server */
/* Answers the request at the beginning of the waiting input with the error *why, and drops the rest of that request. */
void reject_request(struct exchange *x, const struct fail *why, enum request_failure kind);
/* Like reject_request() while CL_READY or CL_HELD, but leaves the waiting input for exchange_replay(). With
 * RF_BACKEND_LOST the client's block was lost. */
void reject_kept(struct exchange *x, const struct fail *why, enum request_failure kind);
/* relay_waiter_ops.blame: adds to *why the name of the client whose transaction has been idle for longest, if it was
 * idle before t began to wait. */
struct policy_holders reject_hint_at_holders(const struct policy_waiter *t, uint64_t now_us, struct fail *why);
/* Writes to *shown the error that this client gets for *why, with the names of its database and user. */
void reject_fail(const struct exchange *x, const struct fail *why, struct fail *shown);
/*
 * Drops messages of the rejected request. Returns how many bytes were used. At the end of the request, sends
 * ReadyForQuery, and the client is CL_READY again.
 */
size_t reject_bytes(struct exchange *x, const uint8_t *bytes, size_t len);

/* exclusive.c: statements that need a database to themselves */
/* Call before this Query or Parse of a client with a server is sent: if the SQL needs a database to itself, servers
 * there are closed. Returns STEP_FORWARD. */
enum feature_step exclusive_make_room(struct exchange *x, struct request *m);
