/*
 * src/relay/relay.h - requests of clients to the servers they borrow, and the replies.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/* replies.c */
extern const struct server_ops relay_server_ops;
/* Something was answered: relays what a client that is CL_HELD waits with, or holds it again. */
void relay_resume_held(struct exchange *x);

/* completed.c */
/* server_ops.complete. Returns true if the client got something else in its place. */
bool relay_completed(struct server *srv, const char *text, size_t len);
/* A request is over, in which or before which loan.ddl or its like were set: the transaction may have ended. */
void relay_ddl_answered(struct exchange *x, struct server *srv);

/* requests.c */
void relay_bytes(struct exchange *x, const uint8_t *bytes, size_t len); /* handles or keeps all of it */
void relay_cancel_wait(struct exchange *x); /* a cancel request came; its request may wait for a server */
void relay_ticket(struct exchange *x); /* makes x->ticket ready to borrow with */
void relay_unstall(struct exchange *x); /* reads the client again if neither queue is full any more */

/* --- loss.c: what the loss of a server means for the client that had borrowed it --- */
enum loss {
	LOSS_OF_NOTHING, /* nothing of the client's was there: it goes on, and notices nothing */
	LOSS_NOT_EXECUTED, /* its request has had no effect, and it was shown nothing: it is relayed again */
	LOSS_OF_COMMIT, /* its COMMIT was not answered: it is, when it is known what became of it (commit_doubt.c) */
	LOSS_ROLLED_BACK, /* a transaction was open, no request under way: what it sends next fails with 40001 */
	LOSS_OF_TRANSACTION, /* the same where COMMITs are not checked, or a session was kept there: it is told and
				closed */
	LOSS_IN_DOUBT /* a request was under way, and may have been executed and committed: it is told and closed */
};

/* Returns true if the client stays: PostgreSQL's FATAL is not for it. */
static inline bool
loss_keeps_client(enum loss loss)
{
	return loss <= LOSS_ROLLED_BACK;
}

/*
 * The one place that decides what was lost, and so what becomes of the client.
 * sqlstate is that of PostgreSQL's own last error, or pgweir's word for how the connection ended; NULL: it has none.
 * is_owing: the client was owed a reply.
 */
enum loss loss_of(struct exchange *x, const struct server *srv, const char *sqlstate, bool is_owing);

/* Returns true if the server, which should be a primary, is read-only, and its client has not asked for that. */
bool loss_of_primary(const struct exchange *x, const char *sqlstate);

/* server_ops.lost: does that: what the client gets, and whether it stays. */
void relay_lost(struct server *srv, const struct fail *why);

/* release.c */
/* Gives the client's server back, if nothing keeps it. */
void relay_try_release(struct exchange *x);
/*
 * The client leaves: gives its server back, cleans it or closes it. A request that is under way has ended by that.
 * why: pgweir's reason to close it; NULL: the client has left. Returns what is lost with it, in words, or NULL.
 */
const char *relay_leave(struct exchange *x, const struct fail *why);

/* replication.c: for clients whose replication is not NONE */
/* Returns true while COPY BOTH runs; false for other clients. */
bool replication_is_streaming(const struct exchange *x);
void replication_leave(struct exchange *x); /* the client leaves: its server is closed */

/* reject.c: a request that gets no server */
/* Answers the request at the beginning of the waiting input with this error, and drops the rest of it. */
void reject_request(struct exchange *x, const struct fail *why, enum request_failure kind);
/* Answers it with this command tag instead: a Query, or Parse, Bind, perhaps Describe, Execute and Sync, all there. */
void reject_as_done(struct exchange *x, const char *tag);
/* policy_ticket_ops: names the client whose transaction has been idle for longest, and since before t waits. */
bool reject_blame(const struct policy_ticket *t, uint64_t now_us, struct fail *why);
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
