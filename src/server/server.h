/*
 * src/server/server.h - one connection of ours to PostgreSQL: dialled, logged in, lent, pinged, reset, closed.
 *
 *   Replies: the reading side lives here (server_replies.c). Each message is matched against the ledger; what is owed
 * to the borrower is handed to server_ops.pass in runs, what is owed to us is swallowed, anything else ends the
 * connection. Requests: who sends something enters it in srv->ledger first, then writes to srv->stream.
 *
 * Owns:   its socket, ledger, statements, image.
 * Borrows: env; target (outlives it); owner (the pool's entry) and link (the borrower), both opaque here.
 * Always: link is set exactly while LENT; a server that violated the protocol is never used again; after server_close
 *         no callback comes, and the memory lives until the loop's next turn.
 */
#ifndef PGWEIR_SERVER_SERVER_H
#define PGWEIR_SERVER_SERVER_H

#include "auth/scram.h"
#include "auth/users.h"
#include "base/counters.h"
#include "base/fail.h"
#include "base/log.h"
#include "config/server_tls.h"
#include "config/upstream.h"
#include "net/dial.h"
#include "net/graveyard.h"
#include "net/stream.h"
#include "server/loan.h"
#include "server/server_state.h"
#include "server/server_statements.h"
#include "session/image.h"
#include "session/seal.h"
#include "wire/fields.h"
#include "wire/ledger.h"

#include <sys/queue.h>

struct server;
struct workers; /* net/workers.h */
struct tls_scratch; /* net/handshake.h */

/* To whoever relays. link may be NULL in all but pass and request_done (the borrower has gone). */
struct server_ops {
	/* A run of whole or partial messages for the borrower; bytes stay until on_batch_end. */
	void (*pass)(struct server *srv, const uint8_t *bytes, size_t len);
	/*
	 * The ReadyForQuery of a request of the borrower's has come; srv->tx is set. With announces_ready all before it
	 * was passed, and true says: do not pass it, the borrower says it itself. Else it ends what is passed next.
	 */
	bool (*request_done)(struct server *srv, const struct owed *ended);
	void (*settled)(struct server *srv, const struct owed *o, enum owed_end how); /* see ledger.h */
	void (*made)(struct server *srv, const struct owed *o);
	/*
	 * A ParameterDescription, RowDescription or NoData in answer to a Describe that has a ref, before o is settled;
	 * is_whole: body is all of it.
	 */
	void (*described)(struct server *srv, const struct owed *o, uint8_t type, const uint8_t *body, size_t len,
			  bool is_whole);
	/*
	 * An ErrorResponse; message is all of it, or what has come of a large one; is_owed: something was due. True: it
	 * was answered in another way, do not pass it.
	 */
	bool (*error)(struct server *srv, const struct error_fields *fields, enum owed_to to, bool is_owed,
		      const uint8_t *message, size_t len);
	/*
	 * CommandComplete for the borrower. With srv->loan.watches_tags all that came before it was passed. True (only
	 * of an UNLISTEN): answered in another way, do not pass it.
	 */
	bool (*complete)(struct server *srv, const char *tag);
	/* ParameterStatus; true: do not pass it. */
	bool (*parameter)(struct server *srv, const char *name, const char *value, bool is_passed);
	/* A row of the probe's; is_whole: body is all of it. Then, with its ReadyForQuery, the end. */
	void (*probe_row)(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
	void (*probe_done)(struct server *srv);
	/*
	 * Its PostgreSQL has just told the borrower, in a warning, that it can't signal a process of this PID: there is
	 * none. True: something was done in its place; the warning is not passed, and the false behind it made true.
	 */
	bool (*no_such_pid)(struct server *srv, uint32_t pid);
	/* A whole NotificationResponse. True: do not pass it. */
	bool (*notification)(struct server *srv, const uint8_t *message, size_t len);
	void (*batch_end)(struct server *srv); /* all that was read is handled: send it, perhaps return srv */
	void (*lost)(struct server *srv, const struct fail *why); /* it is ending; only while LENT: unlink */
	void (*drained)(struct server *srv); /* its queue has room again; only while LENT */
};

/* To its owner, the pool. */
struct server_owner_ops {
	void (*ready)(struct server *srv);
	/* Never got ready. is_fatal: trying again is of no use before something changes. closed follows. */
	void (*failed)(struct server *srv, enum connect_failure kind, bool is_fatal, const struct fail *why);
	void (*pinged)(struct server *srv, bool ok);
	void (*clean)(struct server *srv); /* a reset is over: it may be returned */
	void (*gone)(struct server *srv, const struct fail *why); /* ended while not lent; closed follows */
	/* Rows of reset_order.question (is_whole: body is all of it), then its end. */
	void (*answer_row)(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
	void (*answered)(struct server *srv, bool ok);
	void (*closed)(
	    struct server *srv); /* the last word about each server, however it ended: srv->conn is yours again */
};

/* What all servers share. */
struct server_env {
	struct event_base *base;
	struct dialer *dialer;
	struct graveyard *graveyard;
	struct workers *workers;
	struct tls_scratch *tls_scratch;
	struct log *log;
	struct image_store *images;
	uint8_t *read_buffer; /* the loop's own, read_cap + SERVER_CARRY_MAX bytes */
	size_t read_cap; /* bytes read at once */
	uint64_t *now_us; /* the time of this turn of the loop; each callback from the loop sets it */
	const struct server_ops *ops;
	const struct server_owner_ops *owner_ops;
	struct process_counters *counters;
	struct server_cancelling **cancelling; /* the head of a list of all CancelRequests under way */
};

/* Whom to log in as, and how; one per pool. Outlives its servers. */
struct server_target {
	const struct upstream *upstream;
	const char *user, *database; /* as PostgreSQL is to know them */
	const char *password; /* plain text, or NULL */
	const char *md5_secret; /* "md5..." or NULL */
	struct scram_keys *keys; /* learnt from a client or derived from the password; may be filled in here */
	uint64_t connect_timeout_us; /* for dialling and login together */
	const char *replication; /* value of the startup parameter, or NULL */
	struct tls_context *tls; /* NULL: none is wanted */
	bool is_tls_required, is_tls_direct;
	enum channel_binding channel_binding;
	const struct image *settings; /* in the startup packet, over the upstream's; or NULL */
};

struct server_cancelling; /* opaque: server_cancel.c; one CancelRequest under way */

/* What is to be done with a server that comes back; zeroed: no more than an open transaction rolled back. */
struct reset_order {
	bool is_discarding; /* DISCARD ALL, our own statements too */
	bool is_last; /* for the owner: it is to be closed then */
	unsigned parts; /* of STATE_WASHABLE (session/seal.h): washed */
	uint64_t seed; /* a random number, with STATE_SEED */
	char fdw_schema[SEAL_SCHEMA_MAX]; /* with STATE_REMOTE: see seal_put */
	const char *question; /* SQL of the owner's, asked last: owner_ops.answer_row, answered. NULL: none. Static */
};

/* Cleaning up after a borrower: server_reset.c. */
struct server_reset {
	struct reset_order todo; /* what has been sent is taken out */
	bool is_seal; /* the borrower gave it back in good order */
	bool is_refused; /* the question */
	bool is_counting; /* statements; so many of the protocol's were found: */
	uint64_t statements_found;
	struct buf names; /* of statements to deallocate, each terminated */
	bool is_cancel_due; /* what runs for the borrower is still to be cancelled */
	bool is_ours_cancelled; /* what of ours stands ahead of that was */
	uint64_t since_us, deadline_us;
};

/* TLS comes before the login: server_tls.c. */
enum server_tls_phase { STP_NONE, STP_ASKED, STP_REFUSED_WITH_ERROR, STP_SHAKING_HANDS, STP_DONE };

#define SERVER_CARRY_MAX ((uint32_t)64 << 10) /* bytes of an unfinished message that are kept to be looked into */
#define SERVER_ADDRESS_MAX 280

struct server {
	struct stream stream;
	struct pool_conn *conn; /* the pool's part, allocated by the owner */
	struct grave grave;
	const struct server_env *env;
	const struct server_target *target;
	void *owner, *link;
	enum server_state state;
	uint8_t tx; /* transaction status of the last ReadyForQuery: I, T, E */
	bool is_synced; /* the last message sent ends a request: ReadyForQuery will follow */
	bool is_closing; /* whoever returns it must close it: it is doubtful */
	bool is_ping_answered, is_asked; /* is_asked: the ping was a question of the owner's */
	bool was_owing; /* when it ended, something was owed to the borrower */
	uint8_t role; /* 0 unknown, 'p' primary, 's' standby */
	struct loan loan;
	struct ledger ledger;
	struct image *image;
	struct server_statements statements;
#define SEQUENCES_OF_MANY UINT64_MAX
	uint64_t
	    sequences_of; /* whose values the backend remembers of sequences: a client's id, OF_MANY; 0: nobody's */
	uint64_t unnamed_of; /* token of the state its unnamed statement is in (statements.c); 0: nobody knows */
	/* input */
	uint64_t body_left; /* of the message being passed or swallowed */
	bool is_body_swallowed;
	uint8_t *carry; /* an unfinished message */
	uint32_t carry_len, carry_cap;
	/* identity */
	uint32_t id, pid;
	uint8_t key[256];
	uint16_t key_len;
	struct sockaddr_storage peer;
	socklen_t peer_len;
	size_t host_index; /* in target->upstream */
	char address[SERVER_ADDRESS_MAX]; /* host:port as configured */
	struct server_cancelling *cancel; /* under way against it: it must not be lent to another */
	/* before it is ready */
	struct dial *dial;
	enum server_tls_phase tls_phase;
	bool is_tls_given_up; /* tried in vain where it is only preferred */
	struct server_login *login;
	struct event *login_timer;
	struct server_reset reset;
	uint64_t connected_us;
	uint64_t bytes_in, bytes_out; /* since connect */
	TAILQ_ENTRY(server) all; /* the owner's */
};

/* Begins to dial. NULL: no memory. conn is the pool's part: given back as srv->conn. */
struct server *server_new(const struct server_env *env, const struct server_target *target, struct pool_conn *conn,
			  void *owner, uint32_t id, uint64_t now_us);
/* Closes at once, with Terminate if idle; owner_ops.closed is called from within, ops.settled too. */
void server_close(struct server *srv);
/* Ends it because of what it did: logs, tells ops or owner_ops as its state demands, closes. */
void server_fail(struct server *srv, const struct fail *why);
/* The only writer of srv->state. -1: our bug; logged. */
int server_step(struct server *srv, enum server_event ev);

/* IDLE: it is link's now, and the loan begins. -1: our bug; logged. */
int server_lend(struct server *srv, void *link, uint64_t now_us);
void server_ping(struct server *srv); /* IDLE; owner_ops.pinged follows */
/* The same with a question of the owner's (SQL): owner_ops.answer_row and answered come before that. */
void server_ask(struct server *srv, const char *question);
/*
 * The borrower has gone, or has given it back (server_reset.c): whatever runs is cancelled and its replies swallowed,
 * an open transaction rolled back, and what the order says is done; then owner_ops.clean, or gone if it went wrong. Any
 * error costs this connection and nobody else: no client has it meanwhile. LENT; link is cleared.
 */
void server_reset(struct server *srv, const struct reset_order *order, uint64_t now_us);
void server_reset_next(struct server *srv); /* from server_replies.c: the ledger ran empty while RESET */
void server_reset_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole); /* an answer to the seal */
/* DISCARD ALL has run, or will before anything else: what we knew of its settings and of
 * what SQL PREPARE made is void. -1: no memory. */
int server_forget_session(struct server *srv);
/*
 * Turns the settings it has into these: appends the messages, Sync and all, to out, and enters them in the ledger; the
 * caller sends them, and sets srv->image if that is what it will have. always: see image_put_changes. -1: no memory.
 */
int server_put_image(struct server *srv, const struct image *to, const struct image *always, struct buf *out);
/* A Sync of ours goes to it now. -1: no memory. */
int server_owe_sync(struct server *srv, enum owed_to to);
/* These settings, whatever it has, within the pipeline under way: no Sync. */
int server_put_settings(struct server *srv, const struct image *settings, struct buf *out);
/*
 * Sends a CancelRequest for what it is doing now, on a connection of its own, and waits until PostgreSQL closes that:
 * then the signal was sent. One that was sent, and is not confirmed in time, sets srv->is_closing. done (may be NULL)
 * is called once, later. -1: could not even begin, or another one is under way.
 */
int server_cancel(struct server *srv, uint64_t timeout_us, void (*done)(bool is_confirmed, void *arg), void *arg);
void server_cancel_forget(struct server *srv); /* srv ends: what is under way goes on without it */
void server_cancel_abandon(const struct server_env *env); /* at the very end: all that is under way is given up */

/* Writes one built batch; memory trouble ends the server. */
void server_write(struct server *srv, const void *bytes, size_t len);

/* server_tls.c: for a connection just made. 1: begun; 0: there will be none; -1 and why. */
int server_tls_begin(struct server *srv, struct fail *why);
/* The answer to our SSLRequest. 1: the login follows, in the clear; 0: wait, or an error message follows; -1 and why.
 */
int server_tls_answer(struct server *srv, const uint8_t *bytes, size_t len, struct fail *why);
/* server_dial.c: what becomes of it. */
void server_tls_done(struct server *srv, const struct fail *failed);

/*
 * server_login.c: bytes while LOGIN. -1 and why: over. What a thread does for it is given up by server_login_free; if
 * that ends badly, server_login_failed is told.
 */
struct server_login;
int server_login_begin(struct server *srv, struct fail *why);
void server_login_failed(struct server *srv, enum connect_failure kind, bool is_fatal, const struct fail *why);
/* One whole message. 1: ready now. */
enum login_step { LOGIN_GOES_ON, LOGIN_READY, LOGIN_FAILED };
enum login_step server_login_message(struct server *srv, uint8_t type, const uint8_t *body, size_t len,
				     enum connect_failure *kind, bool *is_fatal, struct fail *why);
void server_login_free(struct server_login *login);
/* What the login told: read-only reports (server_version ...) as an image; the caller's reference. */
const struct image *server_welcome(const struct server *srv);

#endif
