/*
 * src/relay/relay.h - relays clients' requests to the servers that they borrow, and the servers' replies.
 *
 * Owns: nothing; the client owns its exchange, and the pool its servers.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"
#include "wire/startup.h"

/* replies.c */
extern const struct server_ops relay_server_ops;
/* Call when a reply has come while x is CL_HELD: relays the messages that were held, or holds them again. */
MAY_CLOSE bool relay_resume_held(struct exchange *x);

/* completed.c */
/* server_ops.complete, for a CommandComplete with this text. Returns true if the client must not get the message. */
bool relay_completed(struct server *srv, const char *text, size_t len);
/* Call this at the end of each request while loan.ddl, loan.code or loan.has_local_parse_settings is set. Does nothing
 * while the transaction goes on. When the transaction has ended, handles what it has changed: objects, code, roles and
 * settings. */
void relay_apply_changes(struct exchange *x, struct server *srv);

/* requests.c */
/* Handles messages of the client up to the first request that is refused, and keeps all bytes after that request. */
void relay_batch(struct exchange *x, const uint8_t *bytes, size_t len);
void relay_kept_bytes(struct exchange *x); /* handles the bytes that were kept */

/*
 * Handles or keeps all of these bytes of the client. Thousands of requests may be refused one after another, so
 * relay_kept_bytes() handles them in a loop, not by recursion.
 */
static inline void
relay_bytes(struct exchange *x, const uint8_t *bytes, size_t len)
{
	relay_batch(x, bytes, len);
	if (x->state == CL_REJECTING)
		relay_kept_bytes(x);
}

/* Call for a CancelRequest. If x's request waits for a server or a host, rejects the request. */
void relay_cancel_wait(struct exchange *x);
extern const struct policy_waiter_ops relay_waiter_ops; /* for policy_worker_new() */
void relay_unstall(struct exchange *x); /* if x is EXCHANGE_STALLED and all queues have room, reads from x again */

/* --- reads_replayed.c: asks a standby to wait until it has replayed a position --- */
/* Call this for a client that has a standby's server. If the client's request must wait until the standby has replayed
 * a position, sends ahead of the request a query that ends when the standby has replayed that far, or after a
 * timeout. */
void relay_ask_standby(struct exchange *x);
/* Call when the standby has answered the query of relay_ask_standby(). Returns true if the standby has replayed the
 * position, so its reply to the client's request may be passed on. */
bool relay_check_replayed(struct exchange *x);

/* --- loss.c: decides what the loss of a server means for its borrower --- */
/* Returns true if target_session_attrs asks for a primary or a read-write server, the client's
 * default_transaction_read_only is off, and the client has no standby's server. */
bool loss_needs_primary(const struct exchange *x);

/* Call if srv's standby was too slow to replay the position that srv's borrower needs. Relays the borrower's request to
 * the primary. */
void loss_handle_lag(struct server *srv);

/*
 * Handles an error e that came from srv. is_owed: true if a reply was owed. to: the party to which the reply was owed,
 * according to the ledger. Returns true if the client must not be sent the error, because the error ends the server, or
 * because the client has left the server. In both cases relay_lost() has done all that must be done.
 */
bool loss_handle_error(struct server *srv, const struct error_fields *e, enum owed_to to, bool is_owed);

/* server_ops.lost: closes the client of the lost server, or sends it an error, or relays its request again. */
void relay_lost(struct server *srv, const struct fail *why);
/* server_ops.ending, for the warning e of a standby that will close the connection next. If the client's request can be
 * relayed to another server, does that now; otherwise relay_lost() will handle the loss. Returns true if the client
 * must not get the warning. */
bool relay_ending(struct server *srv, const struct error_fields *e);

/* release.c */
/* Gives the client's server back, unless the client still needs that server. */
void relay_try_release(struct exchange *x);
/*
 * Call when the client leaves. Gives the client's server back, or closes it. If the server has state or a request of
 * the client's, the server is cleaned before it is lent again. why: pgweir's reason for closing the client; NULL if the
 * client has left by itself. Returns a text that says what is lost with the client, or NULL.
 */
const char *relay_leave(struct exchange *x, const struct fail *why);

/* Returns true while x is a replication client that streams (COPY BOTH). */
static inline bool
relay_is_streaming(const struct exchange *x)
{
	return x->replication != REPLICATION_NONE && x->srv != NULL && x->srv->ledger.copy == COPY_BOTH;
}

/* reject.c: a request that gets no server */
/* Answers the request at the beginning of the pending input with the error *why, and drops that request. */
void reject_request(struct exchange *x, const struct fail *why, enum request_failure kind);
/* Like reject_request(), for a client that is CL_READY or CL_HELD, but leaves the pending input for
 * exchange_handle_pending(). kind: RF_BACKEND_LOST if the client's open transaction was lost with its server. */
void reject_kept_request(struct exchange *x, const struct fail *why, enum request_failure kind);
/* relay_waiter_ops.blame. A *holder* is a client with a server that t waits for. Adds to *why a hint at the first cause
 * of t's wait that is found: the application blocks itself; most holders wait for locks of one process; a holder has
 * not used its server since t began to wait. Returns counts of the holders. */
struct policy_holders reject_hint_at_holders(const struct policy_waiter *t, uint64_t now_us, struct fail *why);
/* Writes to *shown the error that this client gets for *why, with the names of its database and user. */
void reject_reword(const struct exchange *x, const struct fail *why, struct fail *shown);
/*
 * Drops messages of the rejected request. At the end of the request, sends ReadyForQuery, and makes the client CL_READY
 * again. Returns how many bytes were used.
 */
size_t reject_bytes(struct exchange *x, const uint8_t *bytes, size_t len);

/* exclusive.c: statements that need a database to themselves */
/* Call before this Query or Parse of a client with a server is sent. If the SQL needs a database to itself, has all
 * workers close their idle servers of that database. Returns STEP_FORWARD. */
enum feature_step exclusive_make_room(struct exchange *x, struct request *m);
