/*
 * src/exchange/exchange.h - struct exchange: a client as the relay and its features (statements, session state, LISTEN,
 * ...) see it. An exchange borrows one server after another for its client.
 *
 *   client_state.c   which step may follow which in the life of a client
 *   exchange.c       takes the steps, sends to the client, and calls the client's owner
 *   pending_input.c  keeps bytes that were read and can't be handled yet
 *
 * Owns:    the client's socket, the input that was read but not handled, and a reference to the client's gucs.
 * Borrows: a server (srv) from its pool, between pool_borrow() and pool_return().
 * Always:  srv != NULL exactly while this exchange is that server's borrower. srv is NULL while the client waits in
 *          the pool's queue. An exchange with is_closing gets no further bytes and asks for no server. The memory of
 *          a closed exchange is valid until the loop's next turn.
 */
#pragma once

#include "base/buf.h"
#include "base/counters.h"
#include "base/fail.h"
#include "log/log.h"
#include "base/request_report.h"
#include "config/config.h"
#include "exchange/client_state.h"
#include "net/loop.h"
#include "net/outbox.h"
#include "net/stream.h"
#include "pool/pool_set.h"
#include "session/gucs.h"
#include "session/statement_store.h"
#include "sql/known.h"
#include "sql/scan_cache.h"

#include <assert.h>
#include <sys/queue.h>

struct exchange;
struct client_statements; /* statements/statements_state.h: made at the first Parse */
struct client_session; /* state/state_state.h: made at the first SQL that may leave something in the session */
struct client_listen; /* listen/listen_state.h: made at the first LISTEN, or SQL that may notify a listening client */
struct client_reads; /* relay/reads.h: made with reads = marked, at the first request */
struct commit_doubt; /* commit_check/commit_doubt.c */
struct client_cancel; /* client/cancel.c */
struct request; /* exchange/request.h */
struct audit; /* session/audit.h */
struct auth_queries; /* lookup/auth_query.h */

/* A feature's result for a message. */
enum feature_step {
	STEP_FORWARD, /* send the message as it is */
	STEP_REPLACED, /* other bytes go in place of the message, or of its beginning: see each function */
	STEP_HOLD, /* the message must wait until the earlier messages are answered */
	STEP_FAILED /* there is no memory */
};

/* The things to which a feature may tie a client: see NAME_ties() in relay/features.h. */
enum feature_tie {
	TIE_SERVER, /* the client's server, because only this server has something that the client needs later */
	TIE_REQUEST, /* the client's request, because this request can't be relayed again to another server */
	TIE_PROCESS /* this process, because a client record does not hold all of the feature's state */
};

/* The state of the client's transaction block, besides srv->tx. */
enum exchange_block {
	EXCHANGE_ORDINARY, /* no block is open, or the block is on the primary */
	EXCHANGE_ON_STANDBY, /* no block is open, and the client's server belongs to a standby */
	EXCHANGE_BEGUN, /* the block is on a standby, and all its answered SQL can be run again: relay/reads_block.c */
	EXCHANGE_SHOWN, /* the block is on a standby, and the client has seen an answer that binds it to that standby */
	EXCHANGE_BEGIN_DUE, /* pgweir has answered the BEGIN, and sends it to the server that the client gets next */
	EXCHANGE_ROLLED_BACK, /* the block was lost with its server, and the client has not ended the block yet */
	/* after EXCHANGE_BEGIN_DUE, no server was lent for a statement, and the client has not ended the block yet */
	EXCHANGE_FAILED
};

/* Tells if pgweir reads from the client. */
enum exchange_reading {
	EXCHANGE_READS,
	EXCHANGE_STALLED, /* pgweir does not read until queues have room again: relay_unstall() */
	/* the client moves between processes: this process neither reads nor sends (client_record_begin_reading()) */
	EXCHANGE_IN_TRANSFER
};

#define DONE_MAX 64 /* the most requests of one batch that exchange_env.done holds */
#define EXCHANGE_PENDING_MAX ((uint32_t)128 << 10) /* the most bytes that are read ahead while the client waits */

/* A request whose last reply is in the outbox. The duration is known only once that reply was sent. */
struct done_request {
	uint32_t statements; /* how many statements the request had */
	uint8_t canceled_by; /* enum canceler */
	bool has_text; /* srv->loan.text is this request's own SQL; set by report_done(), never cleared */
};

/* Kept input that is being handled. `bytes` is NULL if there is none, or if exchange_keep() has taken it back. */
struct handled_input {
	uint8_t *bytes;
	uint32_t len, cap;
};

/* Calls to the client, its login and the console, whose headers exchange/ may not include. None of these functions is
 * called for a closed exchange. */
struct exchange_ops {
	/* Closes the client. Sends *why as FATAL first, unless why is NULL. logged: the reason for the log; NULL if the
	 * client left by itself. */
	void (*close)(struct exchange *x, const struct fail *why, const struct fail *logged);
	void (*peer_text)(const struct exchange *x, char *out, size_t out_cap); /* writes "10.0.0.7:51514" or "unix" */
	void (*console_message)(struct exchange *x, uint8_t type, const uint8_t *body, size_t len); /* for CL_CONSOLE */
	/* Called when the client's SQL cancels a PID that no backend has. If a client that x may cancel has this
	 * client_pid, begins to cancel that client's request, and returns true. */
	bool (*cancel_client_of_pid)(struct exchange *x, uint32_t pid);
	/* Handles or keeps all these bytes, which the client has sent. */
	void (*handle_bytes)(struct exchange *x, const uint8_t *bytes, size_t len);
	void (*try_release)(struct exchange *x); /* gives the server back if x needs it no longer */
	/* Returns the client's statement of this name ("" for the unnamed statement), or NULL if it is unknown. */
	struct statement *(*statement_of)(const struct exchange *x, const char *name);
	/* The next five functions are for logins. login_(not_)granted() is called when the pool has lent or refused a
	 * server, login_server_...() when the server that applies the startup settings has answered or was lost. */
	void (*login_granted)(struct exchange *x, struct server *srv);
	void (*login_not_granted)(struct exchange *x, const struct fail *why, enum request_failure kind);
	void (*login_server_error)(struct exchange *x, const struct error_fields *e);
	void (*login_server_done)(struct exchange *x);
	void (*login_server_lost)(struct exchange *x, const struct fail *why);
	void (*timed_out)(struct exchange *x, const struct fail *why); /* called when pool_timeout has passed */
	void (*released)(struct exchange *x); /* called while env->is_moving, when x has given its server back */
	/* Called while EXCHANGE_IN_TRANSFER, when the listener has begun to listen to a channel for the client, has
	 * failed to do so, or has caught up for the client. */
	void (*takeover_progress)(struct exchange *x);
};

/* All that the exchanges of one loop share; owned by struct client_env. */
struct exchange_env {
	const struct exchange_ops *ops;
	struct event_base *base;
	struct deferred_frees *deferred_frees;
	struct log *log;
	struct config *config; /* the present configuration; a reload replaces it */
	uint64_t *now_us; /* the loop's time, which its callbacks set */
	struct outbox to_client, to_server; /* empty between callbacks */
	struct done_request done[DONE_MAX]; /* requests whose last replies the present batch has */
	unsigned done_count;
	struct handled_input handled;
	struct pool_set *pools;
	struct statement_store *statements;
	struct scan_cache scanned; /* a cache of the scans of simple Queries */
	struct known_text known; /* the statements in the SQL of the request known_of: see request_known() */
	const struct request *known_of; /* only compared with the present request, never followed */
	struct guc_store *guc_store;
	struct audit *audit;
	struct auth_queries *auth_queries;
	struct process_counters *counters;
	TAILQ_HEAD(lingering_servers, server) lingering; /* state/linger.c */
	struct timer linger_timer;
	TAILQ_HEAD(catching_clients, client_reads) catching; /* relay/reads_wait.c: the clients in CL_CATCHING_UP */
	struct timer catch_timer;
	struct reads_subscription
	    *subscribers; /* relay/reads_wait.c: the clusters whose hosts' answers this loop gets */
	size_t name_bytes; /* the total length of all clients' statement names */
	uint64_t last_token; /* the last client_statements.token; its highest bits are the worker's number */
	uint64_t sample_state; /* state of the random numbers that choose requests for the slow-query log */
	uint32_t requests_begun; /* chooses the requests for which the clock is read after each batch: report.c */
	uint32_t blocks_without_server; /* how often a block was without a server since the last clients_tick() */
	uint64_t event_threshold_us; /* report.c looks at requests that take longer, for the log and late timeouts */
	/* The sample of requests that is entered in `queries`: slow requests, all of the next queries_before_sampling,
	 * then one in queries_one_in. If queries_one_in is 0, no request is. queries_skipped: how many requests were
	 * skipped since one was last entered. clients_tick() sets the other two fields. */
	uint32_t queries_before_sampling, queries_one_in, queries_skipped;
	uint64_t hash_seed; /* random: for tables whose keys clients choose */
	bool is_closed; /* during SHUTDOWN, new clients may only log in to the console */
	bool is_draining; /* clients can't begin new transactions */
	bool keeps_idle_clients; /* while is_draining, clients without a server stay until the process ends */
	bool is_moving; /* clients move to another process as they become idle */
	const struct server *ending; /* the server that ends while its clients are closed; else NULL */
	bool is_suspended; /* by SUSPEND: nothing is read from clients or from servers that clients use */
	void *owner; /* the first argument of the callbacks below */
	/* Called when a statement needs a database to itself. Calls pool_set_vacate() on all workers. */
	void (*on_exclusive)(void *owner, struct pool_target *asking, const char *database, const char *user);
	/* Called on any thread when a host of a cluster has answered, so reads_on_cluster_reading() is due. */
	void (*on_cluster_reading)(void *owner);
	struct query_table *queries; /* telemetry/query_table.h: statistics of requests that ended */
	/* Called for requests that were slow, sampled for the log, canceled, refused, lost or given up. */
	void (*on_report)(void *owner, const struct request_report *report);
};

/* State that few clients ever need. Allocated at first use, and kept to the client's end. */
struct exchange_rare {
	struct client_cancel *cancels; /* CancelRequests for this client; see client/cancel.c */
	struct commit_doubt *doubt; /* what is known of the client's COMMIT while CL_IN_DOUBT; else NULL */
	char *user; /* the user that the client logged in as; NULL if that user is pool->user */
	struct client_reads *reads; /* NULL until the client first needs a server with reads = marked */
	/* the block's BEGIN while EXCHANGE_BEGIN_DUE, if exchange.begin_modes is 0; owned by the code that sets it */
	const char *begin;
	uint32_t replayed_request; /* the number of the last request that was relayed again: relay/resend.c */
	uint32_t replay_count; /* how often replayed_request was relayed again */
	uint8_t canceled_by; /* enum canceler: where the last cancel came from, for report_take_canceler() */
	uint32_t canceled_request; /* the number of the request that the last cancel was sent for */
	/* server_losses.total at the first replay of replayed_request, including the loss that caused the replay */
	uint32_t losses_at_first_replay;
	/* For relay/reject.c: while the client's block is lost or has failed, the portal that was last bound to a
	 * statement that may end the block. */
	struct {
		uint8_t kind; /* enum known_kind; KNOWN_NOT if there is no such portal */
		char name[KNOWN_NAME_MAX], savepoint[KNOWN_NAME_MAX];
	} exit_portal;
};

/* A bit in exchange.begin_modes, besides the modes: the block has failed, so it must fail on its new server, too. */
#define EXCHANGE_BEGIN_FAILED 16u

struct exchange {
	struct stream stream; /* must be first: see stream_ops */
	struct exchange_env *env;
	struct pool *pool; /* set once the client has proved its identity */
	const struct scope_settings *settings; /* the pool's settings, or those of the login name; owned by the pool */
	struct server *srv;
	struct policy_waiter waiter; /* the client's place in the pool's queue; also has the client's id */
	struct gucs *gucs; /* the client's present settings */
	struct gucs *startup; /* during the login, what the client has sent; later, what RESET ALL returns to */
	struct client_statements *statements;
	struct client_session *session;
	struct client_listen *listen;
	struct exchange_rare *rare; /* nearly always NULL */
	uint8_t *pending; /* bytes that were read but not handled: an unfinished message, or messages that wait */
	uint32_t pending_len, pending_cap;
	uint32_t body_left; /* bytes that are still to come of the message that is being forwarded or dropped */
	uint32_t client_pid; /* the backend PID that the client was told (BackendKeyData); 0 if no key was sent yet */
	uint32_t client_secret; /* the secret for client_pid, or the secret's first 4 bytes (client/cancel_keys.c) */
	uint32_t requests_done; /* number of requests that a server has answered */
	uint64_t request_us; /* when the first byte of the oldest unanswered request was read */
	uint64_t tx_started_us; /* when the client's transaction began; 0 if none is open or beginning */
	/* bits 1 << enum pin_reason: the reasons why the client keeps its server */
	uint16_t pins;
	/* relay/fast.c reads the fields from `state` on before all others, so these fields stand side by side. */
	uint8_t state; /* enum client_state; written only by exchange_step() */
	uint8_t block; /* enum exchange_block; written only by exchange_set_block() */
	/* while CL_REJECTING: 'S' or 'Q', the type of the message (Sync or Query) that ends the rejected request */
	uint8_t rejecting_to;
	uint8_t reading : 2; /* enum exchange_reading */
	/* while EXCHANGE_BEGIN_DUE: the BEGIN's modes, as in known_statement.modes; 0 if rare->begin has the BEGIN */
	uint8_t begin_modes : 5;
	uint8_t sequence_questions : 2; /* how often the client asked for currval() or the like; 3 means 3 or more */
	/* The client keeps its server to the end. Set by login_welcome.c and login_replication.c, never cleared. */
	bool is_session : 1;
	/* The rest of the message (body_left bytes) is dropped. Set by send.c and reject.c, cleared by send.c. */
	bool is_body_dropped : 1;
	bool is_body_data : 1; /* the rest of the message is CopyData, which gets no reply; set and cleared by send.c */
	bool is_closing : 1; /* no more input or output; set by client_close_as(), never cleared */
	/* The client's bytes are being walked, so its server must not be given back. Set and cleared by walk_batch() */
	bool is_in_relay : 1;
	/* Settings were sent ahead of the present message. Set by set_gucs(), cleared by requests.c and fast.c. */
	bool has_sent_gucs : 1;
	/* The client was shown something of the primary's outside of an answer, such as a notification. Set by
	 * listen/queue.c, reject.c, client_record.c and reads.c, cleared by reads.c. */
	bool has_seen_primary : 1;
	bool has_run : 1; /* something to run was sent; set by fast.c, requests.c and send.c, never cleared */
	uint8_t replication : 2; /* enum startup_replication; is_session is set, too, unless replication is NONE */
};

/* Returns true if the client believes that it is within a transaction block. A block that is EXCHANGE_BEGIN_DUE,
 * EXCHANGE_ROLLED_BACK or EXCHANGE_FAILED has no server. */
static inline bool
exchange_is_in_block(const struct exchange *x)
{
	return x->srv != NULL ? x->srv->tx != 'I' : x->block >= EXCHANGE_BEGIN_DUE;
}

/* Sets x->block. No other function does. If the client has neither a block nor a server, its transaction is over. */
static inline void
exchange_set_block(struct exchange *x, enum exchange_block to)
{
	bool is_there = x->srv != NULL && x->srv->loan.standby != 0;

	assert(to == EXCHANGE_ORDINARY || x->block < EXCHANGE_ROLLED_BACK); /* the client must end that block first */
	assert(to == EXCHANGE_ORDINARY || (to < EXCHANGE_BEGIN_DUE ? is_there : x->srv == NULL));
	if (to >= EXCHANGE_BEGIN_DUE)
		x->env->blocks_without_server++;
	else if (x->srv == NULL)
		x->tx_started_us = 0;
	x->block = (uint8_t)to;
}

/* Returns the client that t belongs to. */
static inline struct exchange *
exchange_of_waiter(const struct policy_waiter *t)
{
	return (struct exchange *)((uintptr_t)t - offsetof(struct exchange, waiter));
}

/* Returns true if pgweir has begun the client's block on srv for the present request (relay/begin.h), so the client has
 * seen no answer from within the block yet. */
static inline bool
exchange_is_begun_ahead(const struct exchange *x, const struct server *srv)
{
	return srv->loan.begun_for != 0 && srv->loan.begun_for == x->requests_done + 1;
}

/* Returns true if srv, the client's server, has no transaction, or only what may be run again on another server. */
static inline bool
exchange_is_replayable(const struct exchange *x, const struct server *srv)
{
	return srv->tx == 'I' || x->block == EXCHANGE_BEGUN || exchange_is_begun_ahead(x, srv);
}

/* Returns true if srv, the client's server, belongs to a standby, and the request may go to the primary instead,
 * because nothing that the client was shown binds its block to the standby. */
static inline bool
exchange_can_leave_standby(const struct exchange *x, const struct server *srv)
{
	return srv->loan.standby != 0 && x->block != EXCHANGE_SHOWN;
}

/* exchange.c */
/* Sets x->state to the state that follows after ev, and logs the step at level debug. No other function writes
 * x->state. If ev must not happen in the present state, logs a bug of pgweir, ends debug builds, and leaves x->state as
 * it is. */
void exchange_step(struct exchange *x, enum client_event ev);
/* Stops reading from the client until exchange_unstall(). */
void exchange_stall(struct exchange *x);
/* Reads again from a stalled x if x's own queue has room. Call when x's server has room, or has gone. */
void exchange_unstall(struct exchange *x);

/* Writes to *why the error that tells the client that its transaction was lost with its server. reason: what is known
 * of the transaction's COMMIT, for the error's detail. */
void exchange_fail_rolled_back(struct fail *why, const char *reason);

struct exchange_rare *
exchange_get_or_create_rare(struct exchange *x); /* allocates x->rare if needed; NULL if there is no memory */
/* Records the client's user, if that user is not pool->user. Returns 0, or -1 if there is no memory. */
int exchange_set_user(struct exchange *x, const char *user);

static inline struct commit_doubt *
exchange_doubt(const struct exchange *x)
{
	return x->rare == NULL ? NULL : x->rare->doubt;
}

/* Returns true if relay/ reads the client's input: see client_state_is_relayed(). */
static inline bool
exchange_is_relayed(const struct exchange *x)
{
	return client_state_is_relayed((enum client_state)x->state);
}

/* Closes the client. If why is not NULL, sends *why as FATAL first, and logs it. */
static inline void
exchange_close(struct exchange *x, const struct fail *why)
{
	x->env->ops->close(x, why, why);
}

/* Returns true if the client keeps its server after its transaction: in session mode, for replication, and while it has
 * a pin. No caller asks for single pins, so a new pin needs only a row in PIN_REASONS. Besides, features_tie() tells if
 * the server must be kept until an answer has come or a LISTEN has ended. */
static inline bool
exchange_keeps_server(const struct exchange *x)
{
	return x->is_session || x->pins != 0;
}

/* Returns true if pgweir follows the client's session state: not in session mode, nor with session_state = allow. */
static inline bool
exchange_is_followed(const struct exchange *x)
{
	return !x->is_session && x->settings->session_state != SESSION_ALLOW;
}

/* MAY_CLOSE bool f(struct exchange *x, ...) means that f may close the client, or take its server away. If f returns
 * false, the caller must not use x->srv any more. */
#define MAY_CLOSE __attribute__((warn_unused_result))

/* Takes the result of a MAY_CLOSE function if the caller does not use x->srv afterwards. */
static inline void
exchange_ignore_result(bool has_server)
{
	(void)has_server;
}

/* Returns true if the client is open and has a server. MAY_CLOSE functions return the same value. */
static inline bool
exchange_has_server(const struct exchange *x)
{
	return !x->is_closing && x->srv != NULL;
}

/* Call if there is no memory for work that can't be left out. Closes the client and its server. */
void exchange_out_of_memory(struct exchange *x) __attribute__((cold));
/* Call if there is no memory for a reply, or for a fact about the session. Nothing more is sent to the client, and the
 * loop closes the client and its server later, so callbacks of the ledger may call this, too. */
static inline void
exchange_break_later(struct exchange *x)
{
	if (x->srv != NULL)
		server_condemn(x->srv, SERVER_IN_DOUBT);
	stream_set_broken(&x->stream);
}

/* Sends the bytes of b to the client. If b is broken (no memory), spoils the exchange. */
void exchange_send(struct exchange *x, const struct buf *b);
/* Appends a reply of pgweir's to the batch for the client. */
void exchange_answer(struct exchange *x, const void *bytes, size_t len);
/* Calls exchange_answer() with the bytes of b, and frees b. If b is broken, spoils the exchange. */
static inline void
exchange_answer_buf(struct exchange *x, struct buf *b)
{
	if (buf_ok(b))
		exchange_answer(x, b->bytes, b->len);
	else
		exchange_break_later(x);
	buf_fini(b);
}

/* Sends the other peer's batch that is still in o, logs this bug of pgweir, and begins a batch for `to`. */
void exchange_repair_batch(struct exchange_env *env, struct outbox *o, struct stream *to) __attribute__((cold));

/* Begins a batch for the peer `to` in o, one of the loop's outboxes, unless o has that peer's batch already. */
static inline void
exchange_begin_batch(struct exchange_env *env, struct outbox *o, struct stream *to)
{
	if (o->to == NULL)
		o->to = to;
	else if (o->to != to)
		exchange_repair_batch(env, o, to);
}
const char *exchange_user(const struct exchange *x); /* never NULL */
const char *exchange_application(const struct exchange *x); /* never NULL */

/* pending_input.c */
/* Appends bytes that can't be handled now to the pending input. Returns 0, or -1 if there is no memory. */
int exchange_keep(struct exchange *x, const uint8_t *bytes, size_t len);
/* Passes the pending input to handle(), which must keep the bytes that it does not use (exchange_keep()). During a
 * login, wipes the bytes afterwards, because a password may be among them. */
void exchange_handle_pending(struct exchange *x, void (*handle)(struct exchange *x, const uint8_t *bytes, size_t len));
/* Returns true if the client waits and its kept input has a Terminate, so the client will send nothing more. */
bool exchange_has_pending_terminate(const struct exchange *x);
void exchange_free_input(struct exchange *x); /* wipes the input first, because it may hold a password */
