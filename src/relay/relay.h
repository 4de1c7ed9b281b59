/*
 * src/relay/relay.h - requests of clients to the servers they borrow, and the replies.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"
#include "wire/startup.h"

/* replies.c */
extern const struct server_ops relay_server_ops;
/* Something was answered: relays what a client that is CL_HELD waits with, or holds it again. */
MAY_CLOSE bool relay_resume_held(struct exchange *x);

/* completed.c */
/* server_ops.complete. Returns true if the client got something else in its place. */
bool relay_completed(struct server *srv, const char *text, size_t len);
/* A request is over, in which or before which loan.ddl or its like were set: the transaction may have ended. */
void relay_ddl_answered(struct exchange *x, struct server *srv);

/* requests.c */
/* The two parts of relay_bytes(): all up to a request that is refused, and what is kept behind that. */
void relay_batch(struct exchange *x, const uint8_t *bytes, size_t len);
void relay_what_follows(struct exchange *x);

/*
 * Handles or keeps all that the client has sent. What follows a request that was refused may be refused, too: thousands
 * of requests, so they take turns. The rest of a refused one leaves no whole head of a message (reject_bytes()).
 */
static inline void
relay_bytes(struct exchange *x, const uint8_t *bytes, size_t len)
{
	relay_batch(x, bytes, len);
	if (x->state == CL_REJECTING)
		relay_what_follows(x);
}

void relay_cancel_wait(struct exchange *x); /* a cancel request came; its request may wait for a server */
extern const struct policy_waiter_ops relay_waiters; /* of clients, for policy_worker_new() */
void relay_unstall(struct exchange *x); /* reads the client again if neither queue is full any more */

/* --- reads_replayed.c: a standby that says when it has replayed a position --- */
/* The client has a server of a standby: puts the question ahead of its request, if that has to wait for the answer. */
void relay_ask_standby(struct exchange *x);
/* The standby has answered the question. Returns true if what the client has sent behind it may be answered there. */
bool relay_standby_has_replayed(struct exchange *x);

/* --- loss.c: what the loss of a server means for the client that had borrowed it --- */
/* Returns true if the client's server should be a primary, and the client has not asked to read only. */
bool loss_needs_primary(const struct exchange *x);

/* The standby has not replayed what its borrower must not miss: the primary is asked instead. */
void loss_of_lag(struct server *srv);

/*
 * An error came for the server's borrower. Returns true if the client does not get it: the server ends by it, or has
 * been left, and relay_lost() has done what is due.
 */
bool loss_takes_error(struct server *srv, const struct error_fields *e, enum owed_to to, bool is_owed);

/* server_ops.lost: does what follows: what the client gets, and whether it stays. */
void relay_lost(struct server *srv, const struct fail *why);
/* server_ops.ending: the request is relayed again before the link breaks, or is left to that. */
bool relay_ending(struct server *srv, const struct error_fields *e);

/* release.c */
/* Gives the client's server back, if nothing keeps it. */
void relay_try_release(struct exchange *x);
/*
 * The client leaves: gives its server back, cleans it or closes it. A request that is under way has ended by that.
 * why: pgweir's reason to close it; NULL: the client has left. Returns what is lost with it, in words, or NULL.
 */
const char *relay_leave(struct exchange *x, const struct fail *why);

/* Returns true while COPY BOTH runs; false for clients without replication. */
static inline bool
relay_is_streaming(const struct exchange *x)
{
	return x->replication != REPLICATION_NONE && x->srv != NULL && x->srv->ledger.copy == COPY_BOTH;
}

/* reject.c: a request that gets no server */
/* Answers the request at the beginning of the waiting input with this error, and drops the rest of it. */
void reject_request(struct exchange *x, const struct fail *why, enum request_failure kind);
/* The same while READY or HELD, but what waits is left for exchange_replay(). RF_BACKEND_LOST: its block was lost. */
void reject_kept(struct exchange *x, const struct fail *why, enum request_failure kind);
/* relay_waiters: names the client whose transaction has been idle for longest, and since before t waits. */
struct policy_keepers reject_blame(const struct policy_waiter *t, uint64_t now_us, struct fail *why);
/* Writes to shown what this client is to be sent for why: with the names of its database and user. */
void reject_words(const struct exchange *x, const struct fail *why, struct fail *shown);
/*
 * Drops messages of the rejected request. Returns how many bytes were used. At the end of the request ReadyForQuery is
 * sent, and the client is CL_READY again.
 */
size_t reject_bytes(struct exchange *x, const uint8_t *bytes, size_t len);

/* exclusive.c: statements that need a database to themselves */
/* A client with a server is about to send this Query or Parse. Returns FORWARD. */
enum feature_step exclusive_sql(struct exchange *x, struct request *m);
