/*
 * src/exchange/exchange.h - the dialogue of one client with the servers it borrows: all that the relay and its features
 * (statements, session state, LISTEN) see of a client.
 *
 *   client_state.c  which step may follow which in the life of a client
 *   exchange.c      the steps it takes, what is sent to it, and the way up
 *   pending_input.c bytes that were read and can't be handled yet
 *
 * Owns:    the client's socket, what was read but not handled, its settings (gucs).
 * Borrows: a server (srv) from its pool, between pool_borrow() and pool_return().
 * Always:  srv != NULL exactly while this exchange is that server's borrower; while its waiter waits, srv is NULL; an
 *          exchange that is_closing gets no further bytes and asks for no server; memory lives until the next turn.
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
#include "sql/scan_memory.h"

#include <assert.h>
#include <sys/queue.h>

struct exchange;
struct client_statements; /* statements/statements_state.h: from the first Parse */
struct client_session; /* state/state_state.h: from the first SQL that may leave something in the session */
struct client_listen; /* listen/listen_state.h: from the first LISTEN */
struct client_reads; /* relay/reads.h: from the first request, with reads = marked */
struct commit_doubt; /* commit_check/commit_doubt.c */
struct client_cancel; /* client/cancel.c */
struct request; /* exchange/request.h */
struct audit; /* session/audit.h */
struct auth_queries; /* lookup/auth_query.h */

/* A feature's verdict on a message. */
enum feature_step {
	STEP_FORWARD, /* send it as it is */
	STEP_SENT, /* what is to be sent is in the outbox */
	STEP_HOLD, /* it must wait until the earlier messages are answered */
	STEP_FAILED /* no memory */
};

/* Something of a feature's ties a client to this: NAME_ties() of relay/features.h. */
enum feature_tie {
	TIE_SERVER, /* its server, which has something that no other has, between two requests */
	TIE_REQUEST, /* its request, which can't be relayed again to another server */
	TIE_PROCESS /* this process: the client's record does not hold all of it */
};

/* The client's transaction block, as far as its server's word, srv->tx, does not tell. */
enum exchange_block {
	EXCHANGE_NO_BLOCK, /* there is none, or it is the primary's */
	EXCHANGE_THERE, /* none, but the client's server is a standby's */
	EXCHANGE_BEGUN, /* on a standby; nothing was answered but its BEGIN, and what leaves with it: takes_local() */
	EXCHANGE_SHOWN, /* on a standby; something was */
	EXCHANGE_DUE, /* it is begun for its client, and not yet on the server that the client gets next */
	EXCHANGE_ROLLED_BACK, /* with its server, and its client has not ended it yet */
	EXCHANGE_FAILED /* it was due, its next statement got no server, and its client has not ended it yet */
};

/* Whether its client is read. */
enum exchange_reading {
	EXCHANGE_READS,
	EXCHANGE_STALLED, /* not until what is on its way has become less: relay_unstall() */
	EXCHANGE_IN_TRANSFER /* it moves between processes: not read here, nor sent to; client_record_begin_reading() */
};

#define DONE_MAX 64
#define EXCHANGE_PENDING_MAX ((uint32_t)128 << 10) /* bytes read ahead while its client waits */

/* A request whose last reply is on its way; measured once it is sent. */
struct done_request {
	uint32_t statements;
	uint8_t canceled_by; /* enum canceler */
	bool has_text; /* srv->loan.text is its own; set by report_done(), never cleared */
};

/* Input that waited and is being handled; bytes: NULL if there is none, or if exchange_keep() has taken it back. */
struct handled_input {
	uint8_t *bytes;
	uint32_t len, cap;
};

/* Calls to the client, its login or the console, which stand further left. Only for an exchange that is not closed. */
struct exchange_ops {
	/* Closes the client; why: sent as FATAL first, unless NULL. logged: the log's reason; NULL: it left. */
	void (*close)(struct exchange *x, const struct fail *why, const struct fail *logged);
	void (*peer_text)(const struct exchange *x, char *out, size_t out_cap); /* "10.0.0.7:51514" or "unix" */
	void (*console_message)(struct exchange *x, uint8_t type, const uint8_t *body, size_t len); /* CL_CONSOLE */
	/* SQL cancels a PID that no process has. Returns true if that is a client's (client_pid) that x may cancel. */
	bool (*no_such_pid)(struct exchange *x, uint32_t pid);
	/* Handles or keeps all of these bytes of the client's; sees whether its server can be given back. */
	void (*bytes)(struct exchange *x, const uint8_t *bytes, size_t len);
	void (*try_release)(struct exchange *x);
	/* Finds what the client calls by this name, "" for the unnamed one; NULL: unknown. */
	struct statement *(*statement_of)(const struct exchange *x, const char *name);
	/* While CL_WELCOME: the pool's answer, and the server's replies to the startup settings. */
	void (*login_granted)(struct exchange *x, struct server *srv);
	void (*login_refused)(struct exchange *x, const struct fail *why, enum request_failure kind);
	void (*login_server_error)(struct exchange *x, const struct error_fields *e);
	void (*login_server_done)(struct exchange *x);
	void (*login_server_lost)(struct exchange *x, const struct fail *why);
	void (*timed_out)(struct exchange *x, const struct fail *why); /* it has waited for pool_timeout in vain */
	void (*released)(struct exchange *x); /* while env->is_moving: it has given its server back */
	/* While EXCHANGE_IN_TRANSFER: the listener listens to a channel of it, or can't, or has caught up for it. */
	void (*transfer_progress)(struct exchange *x);
};

/* Shared by all exchanges of one loop; owned by struct client_env. */
struct exchange_env {
	const struct exchange_ops *ops;
	struct event_base *base;
	struct deferred_frees *deferred_frees;
	struct log *log;
	struct config *config; /* the present one; a reload replaces it */
	uint64_t *now_us;
	struct outbox to_client, to_server; /* empty between callbacks */
	struct done_request done[DONE_MAX]; /* requests of the batch under way */
	unsigned done_count;
	struct handled_input handled;
	struct pool_set *pools;
	struct statement_store *statements;
	struct scan_memory scanned; /* simple Queries */
	struct known_text known; /* of the SQL of known_of: request_known() */
	const struct request *known_of; /* only compared */
	struct guc_store *guc_store;
	struct audit *audit;
	struct auth_queries *auth_queries;
	struct process_counters *counters;
	TAILQ_HEAD(lingering_servers, server) lingering; /* state/linger.c */
	struct timer linger_timer;
	TAILQ_HEAD(catching_clients, client_reads) catching; /* relay/reads_wait.c: they are CL_CATCHING */
	struct timer catch_timer;
	struct reads_subscriber *subscribers;
	size_t name_bytes; /* of the statement names of all clients */
	uint64_t last_token; /* the highest bits are the number of the worker: no two workers give the same */
	uint64_t sample_state;
	uint32_t requests_begun;
	uint32_t blocks_without_server; /* at least so many were open since clients_tick() has counted them */
	uint64_t looked_at_us; /* requests that last so long may concern the log of slow ones, or be late
				  (report_config()) */
	/* Which go to queries: this many still, then one in queries_each; 0: none. clients_tick() sets them. */
	uint32_t queries_left, queries_each, queries_skipped;
	uint64_t hash_seed; /* random: for tables whose keys clients choose */
	bool is_closed; /* SHUTDOWN: no new clients but in the console */
	bool is_draining; /* nor new transactions */
	bool is_gentle; /* draining as PgBouncer does: a client that needs no server may stay to the end */
	bool is_moving; /* clients move to another process as they become idle */
	const struct server *ending; /* who is closed now ends with this one; else NULL */
	bool is_suspended; /* SUSPEND: nothing is read from clients, and from the servers they use */
	void *owner;
	/* A statement needs a database for itself: pool_set_vacate() on all workers. */
	void (*on_exclusive)(void *owner, struct pool_target *asking, const char *database, const char *user);
	/* On any thread: reads_on_reading() is due on this loop. */
	void (*on_reading)(void *owner);
	struct query_table *queries; /* telemetry/query_table.h: of requests that ended, however they did */
	void (*on_report)(void *owner, const struct request_report *report); /* slow, refused, lost or given up */
};

/* State that few clients ever need: made at first use, and kept to the end. */
struct exchange_rare {
	struct client_cancel *cancels; /* those that are for it; see client/cancel.c */
	struct commit_doubt *doubt; /* CL_IN_DOUBT: its COMMIT; else NULL */
	char *user; /* whom it logged in as; NULL: pool->user */
	struct client_reads *reads; /* NULL: it has needed no server with reads = marked */
	const char *begin; /* EXCHANGE_DUE: what begins its block, if exchange.begin is 0; whoever set it owns it */
	uint32_t replayed_request; /* the number of the request that was relayed again last: relay/resend.c */
	uint32_t replay_count; /* how often that was */
	uint8_t canceled_by; /* enum canceler: who asked for the last cancel; report_canceler() takes it */
	uint32_t canceled_request; /* the number of the request that it was sent for */
	uint32_t losses_then; /* server_losses.total when it was relayed again first, the loss of its server included */
	/* The last portal that was bound to what ends a transaction, since that was lost, or has failed:
	 * relay/reject.c. */
	struct {
		uint8_t kind; /* enum known_kind; KNOWN_NOT: there is none */
		char name[KNOWN_NAME_MAX], savepoint[KNOWN_NAME_MAX];
	} exit;
};

/* exchange.begin, with a mode: the block has failed, and must do so on its server. */
#define EXCHANGE_BEGIN_FAILED 16u

struct exchange {
	struct stream stream; /* must be first: see stream_ops */
	struct exchange_env *env;
	struct pool *pool; /* set once the client has proved who it is */
	const struct scope_settings *settings; /* those of its pool, or of the name it logged in as: the pool's */
	struct server *srv;
	struct policy_waiter waiter; /* has the client's id, too. is_wait_logged: for wait_notify */
	struct gucs *gucs, *startup; /* startup: as it was after the login */
	struct client_statements *statements;
	struct client_session *session;
	struct client_listen *listen;
	struct exchange_rare *rare; /* NULL, nearly always */
	uint8_t *pending; /* read but not handled: an unfinished message, or what waits for a server */
	uint32_t pending_len, pending_cap;
	uint32_t body_left; /* of the message being forwarded or dropped */
	uint32_t client_pid; /* the backend PID that the client was told (BackendKeyData); 0: no key yet */
	uint32_t client_secret; /* and the key's secret: all of it, or its first 4 bytes (client/cancel_keys.c) */
	uint32_t requests_done; /* requests that a server has answered */
	uint64_t request_us; /* when the first byte of the oldest unanswered request was read */
	uint64_t tx_started_us; /* when its transaction began, on whichever server; 0: none is open, or under way */
	uint16_t pins; /* 1 << enum pin_reason: why it keeps its server between transactions */
	/* The fast lane reads these first, so they stand side by side. */
	uint8_t state; /* enum client_state: exchange_step() is its only writer */
	uint8_t block; /* enum exchange_block: exchange_set_block() */
	uint8_t rejecting_to; /* CL_REJECTING: what ends the request, 'Q' (its own end) or 'S' (a Sync) */
	uint8_t reading : 2; /* enum exchange_reading */
	uint8_t begin : 5; /* EXCHANGE_DUE: its modes, of known_modes; 0: rare->begin has it */
	uint8_t sequence_questions : 2; /* how often it has asked for currval() or its like; 3: or more */
	/* Keeps its server to the end (pool_mode). Set by login_welcome.c and login_replication.c, never cleared. */
	bool is_session : 1;
	/* The rest of the message, body_left, is dropped. Set by send.c and reject.c, cleared by send.c. */
	bool is_body_dropped : 1;
	bool is_body_data : 1; /* ... is of a CopyData, for which nothing is owed. Set and cleared by send.c. */
	bool is_closing : 1; /* no more is read, or sent to it; set by client_close_as(), never cleared */
	/* While its bytes are walked: the server must not be given back. Set and cleared by walk_batch(). */
	bool is_in_relay : 1;
	/* Settings were replayed for the message at hand. Set by catch_up(), cleared by requests.c and fast.c. */
	bool has_caught_up : 1;
	/* The client was shown something of the primary's without asking. Set by listen/queue.c, reject.c and
	 * client_record.c, cleared by reads.c. */
	bool has_seen_primary : 1;
	bool has_run : 1; /* it has sent something to be run; set by fast.c, requests.c and send.c, never cleared */
	uint8_t replication : 2; /* enum startup_replication; not NONE: is_session too */
};

/* Returns true if its client is within a transaction block, as far as that knows; DUE and what stands behind it have no
 * server. */
static inline bool
exchange_is_in_block(const struct exchange *x)
{
	return x->srv != NULL ? x->srv->tx != 'I' : x->block >= EXCHANGE_DUE;
}

/* The only writer of x->block. A transaction that has neither a block nor a server is over. */
static inline void
exchange_set_block(struct exchange *x, enum exchange_block to)
{
	bool is_there = x->srv != NULL && x->srv->loan.standby != 0;

	assert(to == EXCHANGE_NO_BLOCK || x->block < EXCHANGE_ROLLED_BACK); /* its client has to end it first */
	assert(to == EXCHANGE_NO_BLOCK || (to < EXCHANGE_DUE ? is_there : x->srv == NULL));
	if (to >= EXCHANGE_DUE)
		x->env->blocks_without_server++;
	else if (x->srv == NULL)
		x->tx_started_us = 0;
	x->block = (uint8_t)to;
}

/* Returns the client whose place in the queue this is. */
static inline struct exchange *
exchange_of_waiter(const struct policy_waiter *t)
{
	return (struct exchange *)((uintptr_t)t - offsetof(struct exchange, waiter));
}

/* Returns true if the block of the client's was begun on srv ahead of the request under way (relay/begin.h): the client
 * was shown nothing of it yet. */
static inline bool
exchange_is_begun_ahead(const struct exchange *x, const struct server *srv)
{
	return srv->loan.begun_for != 0 && srv->loan.begun_for == x->requests_done + 1;
}

/* Returns true if nothing of the client's transaction is on srv, its server, but a BEGIN that may be run again. */
static inline bool
exchange_is_at_rest(const struct exchange *x, const struct server *srv)
{
	return srv->tx == 'I' || x->block == EXCHANGE_BEGUN || exchange_is_begun_ahead(x, srv);
}

/* Returns true if srv, the client's, is of a standby pool of its pool (loan.standby), and it was shown nothing of its
 * block: the primary may be asked instead. */
static inline bool
exchange_may_leave(const struct exchange *x, const struct server *srv)
{
	return srv->loan.standby != 0 && x->block != EXCHANGE_SHOWN;
}

/* exchange.c */
/*
 * The next step in the life of its client, logged at level debug: the only writer of x->state. A step that must not
 * happen (client_state.c) is our bug: it is logged, ends debug builds, and is not taken.
 */
void exchange_step(struct exchange *x, enum client_event ev);

/* Writes the client's error to why: its transaction was lost with its server; reason: how that is known. */
void exchange_rolled_back(struct fail *why, const char *reason);

struct exchange_rare *exchange_rare(struct exchange *x); /* made if need be; NULL without memory */
/* Notes whom the client has logged in as, if that is not pool->user. Returns 0, or -1 without memory. */
int exchange_set_user(struct exchange *x, const char *user);

static inline struct commit_doubt *
exchange_doubt(const struct exchange *x)
{
	return x->rare == NULL ? NULL : x->rare->doubt;
}

/* Returns true if relay/ reads the client's input: see client_state_is_ready(). */
static inline bool
exchange_is_ready(const struct exchange *x)
{
	return client_state_is_ready((enum client_state)x->state);
}

static inline void
exchange_close(struct exchange *x, const struct fail *why)
{
	x->env->ops->close(x, why, why);
}

/* Returns true in transaction or statement mode, if session_state is not allow: its session is followed. */
static inline bool
exchange_is_followed(const struct exchange *x)
{
	return !x->is_session && x->settings->session_state != SESSION_ALLOW;
}

/*
 * MAY_CLOSE bool f(struct exchange *x, ...): f may close the client, or take its server away. If f returns false, its
 * caller must not follow x->srv any more.
 */
#define MAY_CLOSE __attribute__((warn_unused_result))

/* Says at a call of a MAY_CLOSE function that its caller does not follow x->srv after the call. */
static inline void
exchange_left(bool has_server)
{
	(void)has_server;
}

/* Returns what a MAY_CLOSE function returns. */
static inline bool
exchange_has_server(const struct exchange *x)
{
	return !x->is_closing && x->srv != NULL;
}

/* There is no memory for something that must be done: closes the client and its server. */
void exchange_out_of_memory(struct exchange *x) __attribute__((cold));
/*
 * There is no memory for a reply, or for a fact about its session: nothing more is sent to the client, and the loop
 * closes it with its server, after the caller has returned. For callbacks of the ledger, too.
 */
static inline void
exchange_spoil(struct exchange *x)
{
	if (x->srv != NULL)
		server_condemn(x->srv, SERVER_IN_DOUBT);
	stream_broke(&x->stream);
}

/* Sends bytes that were built. If b has failed (no memory), spoils the exchange. */
void exchange_send(struct exchange *x, const struct buf *b);
/* Puts a reply of pgweir's in the batch for the client, behind what is there. */
void exchange_answer(struct exchange *x, const void *bytes, size_t len);
/* The same with what was built, which is freed; spoils the exchange if b has failed. */
static inline void
exchange_answer_buf(struct exchange *x, struct buf *b)
{
	if (buf_ok(b))
		exchange_answer(x, b->bytes, b->len);
	else
		exchange_spoil(x);
	buf_fini(b);
}

void exchange_begin_batch_slowly(struct exchange_env *env, struct outbox *o, struct stream *to) __attribute__((cold));

/* Begins a batch for this peer in one of the loop's outboxes, or continues it. */
static inline void
exchange_begin_batch(struct exchange_env *env, struct outbox *o, struct stream *to)
{
	if (o->to == NULL)
		o->to = to;
	else if (o->to != to)
		exchange_begin_batch_slowly(env, o, to);
}
const char *exchange_user(const struct exchange *x); /* never NULL */
const char *exchange_application(const struct exchange *x); /* never NULL */

/* pending_input.c */
/* Keeps bytes that can't be handled now, behind those that wait. Returns 0, or -1: no memory. */
int exchange_keep(struct exchange *x, const uint8_t *bytes, size_t len);
/*
 * Hands the waiting bytes to handle(), which keeps what it does not use. They are wiped if the client logs in: there
 * may be a password among them.
 */
void exchange_replay(struct exchange *x, void (*handle)(struct exchange *x, const uint8_t *bytes, size_t len));
/* Returns true if there is a Terminate in the input that waits for something else; the client has gone, or may have
 * closed its sending side alone. */
bool exchange_is_terminated(const struct exchange *x);
void exchange_free_input(struct exchange *x); /* wiped: it may hold a password */
