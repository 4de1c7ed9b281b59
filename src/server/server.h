/*
 * src/server/server.h - one connection to PostgreSQL: dialing, login, lending, pings, reset, closing.
 *
 * Replies:  server_replies.c reads the replies and matches each of them with the ledger (wire/ledger.h). Replies owed
 *           to the borrower are passed to server_ops.pass, many at a time; replies owed to pgweir are dropped; and a
 *           reply that is not owed ends the connection.
 * Requests: a caller that sends a message enters it in srv->ledger first, then writes it to srv->stream.
 *
 * Owns:    its socket, ledger, statements, GUC set.
 * Borrows: env; target, which outlives the server; owner (the pool) and borrower (the client), both opaque here.
 * Always:  borrower is NULL unless the state is LENT; a server that violated the protocol is never used again; after
 *          server_close() no callback comes, and the memory lives until the loop's next turn.
 */
#pragma once

#include "auth/scram.h"
#include "auth/users.h"
#include "config/config.h"
#include "config/upstream.h"
#include "net/dial.h"
#include "net/loop.h"
#include "net/stream.h"
#include "server/loan.h"
#include "server/passwords.h"
#include "server/server_statements.h"
#include "session/gucs.h"
#include "seal/seal.h"
#include "wire/fields.h"
#include "wire/ledger.h"

#include <sys/queue.h>

/* The states of a server connection; server_state.c has the table of its transitions. */
enum server_state {
	SV_NONE,
	SV_DIALING,
	SV_LOGIN,
	SV_IDLE,
	SV_PINGING,
	SV_LENT,
	SV_RESET,
	SV_IN_TRANSFER, /* moving to another worker */
	SV_ENDING,
	SV_DEAD,
	SV_STATES
};
enum server_event {
	SE_CONNECTED,
	SE_NEXT_HOST,
	SE_LOGGED_IN,
	SE_LEND,
	SE_GIVE_BACK,
	SE_ASK_PING,
	SE_ANSWERED_PING,
	SE_BORROWER_GONE,
	SE_CLEAN,
	SE_DEPART,
	SE_ARRIVE,
	SE_TERMINATE,
	SE_LOST,
	SE_EVENTS
};
/* Returns the next state, or SV_NONE if the event must not happen in this state. */
enum server_state server_state_next(enum server_state from, enum server_event ev);
const char *server_state_name(enum server_state s);

struct server;
struct hosts; /* server/hosts.h */
struct delegator; /* auth/delegation.h */

/* Callbacks to the borrower. pass and request_done are called only while srv has a borrower. In the other callbacks,
 * srv->borrower is NULL if the borrower has gone. */
struct server_ops {
	/* Messages for the borrower have come; the first and the last may be incomplete. The bytes stay valid until
	 * batch_end. */
	void (*pass)(struct server *srv, const uint8_t *bytes, size_t len);
	/* The ReadyForQuery of a borrower's request has come; srv->tx is set. Return true to swallow the ReadyForQuery,
	 * because the client will be sent one later. Return true only if srv->loan.passes_replies_early is set: then
	 * all earlier replies were passed already. */
	bool (*request_done)(struct server *srv, const struct owed *ended);
	void (*settled)(struct server *srv, const struct owed *o, enum owed_end how); /* see ledger.h */
	void (*answer_local)(struct server *srv, const struct owed *o); /* see ledger.h */
	/* A message of this type ('t', 'T' or 'n') answers a Describe whose ledger entry o has a ref. o is not settled
	 * yet. is_whole: body is complete. */
	void (*described)(struct server *srv, const struct owed *o, uint8_t type, const uint8_t *body, size_t len,
			  bool is_whole);
	/* An ErrorResponse has come. fields: read from the whole message, or from the beginning of a large one.
	 * is_owed: a reply was due. to: the purpose of the message whose reply was due. Return true to swallow the
	 * error, because the borrower was answered in another way. */
	bool (*error)(struct server *srv, const struct error_fields *fields, enum owed_to to, bool is_owed,
		      const uint8_t *message, size_t len);
	/* Called before error() when a message of the borrower's has failed. is_unshown: the request's replies begin
	 * with BindComplete, and none of them was passed yet. Return true if the request will be run again: then the
	 * error is dropped, and so are the request's replies that were not passed yet. May be NULL. */
	bool (*decide_rerun)(struct server *srv, const struct error_fields *fields, bool is_unshown);
	/* A CommandComplete for the borrower has come; a terminator follows the len bytes of `tag`. Return true to
	 * swallow the message, because the borrower has its answer already; allowed for an UNLISTEN only. */
	bool (*complete)(struct server *srv, const char *tag, size_t len);
	/* A ParameterStatus has come. is_passed: it is for the borrower. Return true to swallow it. */
	bool (*parameter)(struct server *srv, const char *name, const char *value, bool is_passed);
	/* A row of the answer to a question of OWED_TO_COMMIT has come. is_whole: body is complete. */
	void (*commit_row)(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
	/* The ReadyForQuery of a question of OWED_TO_COMMIT has come; ended->statements says which question it was. */
	void (*commit_answered)(struct server *srv, const struct owed *ended);
	/* The ReadyForQuery of a request of pgweir's own, other than a probe or OWED_TO_COMMIT, has come. After
	 * OWED_TO_REPLAY, loan.replay is REPLAY_DONE if the standby has replayed the position. */
	void (*own_done)(struct server *srv, enum owed_to to);
	/* A row of the probe's answer has come. is_whole: body is complete. */
	void (*probe_row)(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
	void (*probe_done)(struct server *srv); /* the ReadyForQuery of the probe has come */
	/* PostgreSQL warns the borrower that there is no process with this PID to signal. If the PID is one that pgweir
	 * has given to a client, cancel that client's request and return true. Then the warning is swallowed, and the
	 * `false` in the next row, which is the result of pg_cancel_backend(), becomes `true`. */
	bool (*no_such_pid)(struct server *srv, uint32_t pid);
	/* A notice has come in answer to the Parse at the head of the ledger. */
	void (*parse_noticed)(struct server *srv);
	/* A standby warns of an immediate shutdown, or of another backend's crash, and will close the connection next.
	 * Return true to swallow the warning. */
	bool (*ending)(struct server *srv, const struct error_fields *fields);
	/* A whole NotificationResponse has come. Return true to swallow it. */
	bool (*notification)(struct server *srv, const uint8_t *message, size_t len);
	/* All bytes that were read are handled. Sends the replies that were passed, and may return srv to the pool. */
	void (*batch_end)(struct server *srv);
	/* srv is ending, so the borrower must not use it any more. Called only while LENT. */
	void (*lost)(struct server *srv, const struct fail *why);
	void (*drained)(struct server *srv); /* srv's send queue has room again; called only while LENT */
};

/* Callbacks to the server's owner, the pool. */
struct server_owner_ops {
	void (*ready)(struct server *srv); /* the server has logged in, and is IDLE */
	/* A host, but not the last one to try, did not accept the connection; the next host is tried. May be NULL. */
	void (*host_failed)(struct server *srv, enum connect_failure kind, const struct fail *why);
	/* The server could not log in. is_fatal: attempts are useless until something changes. closed() follows. */
	void (*failed)(struct server *srv, enum connect_failure kind, bool is_fatal, const struct fail *why);
	void (*pinged)(struct server *srv, bool ok); /* the answer to server_ping() has come; the server is IDLE */
	/* The reset has washed everything. Return false to let the reset end. Return true to hold the server: then each
	 * server_reset_next() calls hold_if_due again, until hold_if_due returns false or the reset's deadline is over.
	 * To send PostgreSQL a query while the server is held, set *question, which is NULL before the call, to a text
	 * that outlives srv. After the answer, server_reset_next() is called. */
	bool (*hold_if_due)(struct server *srv, const char **question);
	/* Called during a reset, when a transaction that the borrower has left unfinished is over. */
	void (*abandoned_transaction_over)(struct server *srv);
	void (*clean)(struct server *srv); /* the reset is over; the server is IDLE, and may be lent again */
	/* The server has ended while it was not lent; closed() follows. */
	void (*gone)(struct server *srv, const struct fail *why);
	/* A row of the answer to the owner's query has come. is_whole: body is complete. */
	void (*answer_row)(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
	/* The answer to the owner's query is over. ok: the query has succeeded. Return the next query, or NULL. */
	const char *(*answered)(struct server *srv, bool ok);
	/* PostgreSQL has closed the connection while pgweir does not read from it, because the borrower takes no more
	 * bytes at present. May be NULL. */
	void (*peer_closed)(struct server *srv);
	/* The last callback for each server, however the server ended; srv->conn is the owner's again. */
	void (*closed)(struct server *srv);
};

#define SERVER_ADDRESS_MAX 280

/* Connections that were lost within a second. The log has a line for each of the first connections, and one line for
 * all others. */
struct server_losses {
	uint64_t since_us; /* when the first of these connections was lost; 0 if none was lost */
	uint32_t count; /* lost connections */
	uint32_t harmful_count; /* how many of these connections had a request or transaction, which failed with them */
	uint32_t total; /* lost connections since the process began; wraps around */
	struct fail why; /* why the last connection was lost */
	char address[SERVER_ADDRESS_MAX]; /* the address of the last connection */
};

/* Shared by all servers. */
struct server_env {
	struct event_base *base;
	struct dialer *dialer;
	struct deferred_frees *deferred_frees;
	struct helpers *helpers;
	struct jobs *jobs; /* the jobs of the main worker (net/jobs.h); NULL if no server logs in by tokens */
	struct inbox *inbox; /* the worker's inbox, to which threads send their results */
	/* true if there are several workers; then `inbox` is read between two events of a turn, too. Set by
	 * worker_fill_envs(), never cleared. */
	bool has_other_workers;
	struct tls_scratch *tls_scratch;
	struct log *log;
	struct guc_store *guc_store;
	uint8_t *read_buffer; /* shared by all servers of the loop; read_cap + SERVER_CARRY_MAX bytes */
	size_t read_cap; /* the most bytes that are read at once */
	uint64_t *now_us; /* the time of this turn of the loop; each callback of the loop sets it first */
	const struct server_ops *ops;
	const struct server_owner_ops *owner_ops;
	struct process_counters *counters;
	struct passwords *passwords; /* the passwords that a password_command has printed */
	struct hosts *hosts; /* the hosts that do not answer (server/hosts.h); NULL if such hosts are not avoided */
	struct server_losses *losses;
	struct server_cancelling **cancelling; /* points to the head of the list of all CancelRequests under way */
};

/* Says where to connect, as which user, and how. Lives longer than the servers that were made with it. */
struct server_target {
	const struct upstream *upstream;
	const char *user, *database; /* their names in PostgreSQL */
	const char *password; /* in plain text, or NULL */
	const char *md5_secret; /* "md5...", or NULL */
	/* a command that prints the password, in place of password and md5_secret; or NULL */
	const char *password_command;
	uint64_t password_lifetime_us; /* how long a password that the command has printed may be used */
	struct scram_keys *keys; /* learnt from a client, or derived from the password at a login; shared */
	struct delegator *delegator; /* makes the tokens of a login; NULL if pgweir's own credentials make them */
	uint64_t connect_timeout_us; /* for dialling one host and logging in there; 0 if there is no limit */
	const char *replication; /* the value of the startup parameter "replication", or NULL */
	struct tls_context *tls; /* NULL if TLS is not wanted */
	enum { SERVER_TLS_OPTIONAL, SERVER_TLS_REQUIRED, SERVER_TLS_DIRECT /* without an SSLRequest */ } tls_use;
	enum channel_binding channel_binding;
	/* sent in the startup packet after the upstream's settings, and so override those; may be NULL */
	const struct gucs *settings;
	/* when a WARNING at a login was last logged; NULL if such warnings are not logged */
	_Atomic uint64_t *warned_us;
};

/* Says whether the server may be lent again. An unfit server is closed when its borrower returns it. server_condemn()
 * is the only writer. */
enum server_fitness {
	SERVER_FIT,
	SERVER_IN_DOUBT, /* pgweir does not know the state of the session, or whether a cancel may still come */
	SERVER_MISPLACED /* the server is no longer what target_session_attrs wants */
};

/* The role of a server that is the console of PgBouncer or pgweir: a console has no session state, and takes only
 * simple queries. */
#define SERVER_CONSOLE 'c'

struct server_cancelling; /* opaque: server_cancel.c; one CancelRequest under way */

/* Says what a reset must do besides ending the borrower's request and transaction. */
struct reset_order {
	/* true if DISCARD ALL is to be run, which drops pgweir's own statements, too; set by pool_clean(), cleared by
	 * discard_all() */
	bool has_discard_all;
	/* what to wash: a set of STATE_WASHABLE and enum wash (seal/seal.h); with STATE_BACKEND, the owner closes srv
	 * after the reset */
	unsigned parts;
	uint64_t seed; /* a random number, if parts has STATE_SEED */
	char fdw_schema[SEAL_SCHEMA_MAX]; /* for seal_put(), if parts has STATE_REMOTE */
};

/* Says whether a reset must still cancel a request that the borrower has left running: see server_reset_next(). */
enum reset_cancel {
	RESET_CANCEL_DUE,
	/* pgweir's own request, which runs before the borrower's, was cancelled; the borrower's is still to be
	 * cancelled */
	RESET_CANCEL_OURS,
	RESET_CANCEL_NOT_DUE
};

/* The last step that the reset has sent, if the answer to this step matters. */
enum reset_step {
	RESET_STEP_OTHER,
	RESET_STEP_COUNT, /* a Query that counts the prepared statements, too */
	RESET_STEP_MAY_FAIL_08003, /* SQL that closes a session on another server, and may fail with 08003 */
	RESET_STEP_HELD /* nothing was sent, because everything is washed, but the owner holds the server */
};

/* The work of cleaning up after a borrower: see server_reset.c. */
struct server_reset {
	struct reset_order todo; /* the part of the order that is still to be sent */
	/* the borrower has returned the server, with nothing under way; set and cleared by server_reset() */
	bool was_returned_at_rest;
	/* dblink or postgres_fdw was found; set by server_reset_take_row(), cleared by server_reset() */
	bool has_remote;
	uint8_t step; /* enum reset_step */
	/* after RESET_STEP_COUNT: how many statements made by Parse messages the server has */
	uint64_t statements_found;
	struct buf names; /* names of the statements to deallocate, each terminated */
	struct buf remote; /* SQL that closes sessions on other servers: seal_put_for_row() */
	uint8_t cancel; /* enum reset_cancel */
	uint64_t since_us, deadline_us; /* when the reset began, and when it must be over */
	uint64_t
	    held_since_us; /* when the owner began to hold the server, to wait for an answer; 0 if it is not held */
};

/* Says whether server.cluster, the answer to cluster_question (session/commit_fate.h), is known. */
enum cluster_ask_state {
	CLUSTER_NOT_ASKED,
	CLUSTER_ASKED,
	CLUSTER_KNOWN,
	CLUSTER_STANDBY, /* the server is a standby; it is asked again when it is promoted */
	CLUSTER_SILENT /* the server can't answer: it is too old, or its user may not ask */
};

/* The state of the query to a server that no client has: a ping, or a query of the owner's. */
enum server_question_state {
	QUESTION_PING, /* an empty query */
	QUESTION_CHECK, /* ping_query */
	QUESTION_PING_ANSWERED, /* the empty query was answered, except for its ReadyForQuery */
	QUESTION_OF_OWNER,
	QUESTION_OF_OWNER_FAILED /* the owner's query has failed */
};

/* The phases of TLS, which comes before the login: see server_tls_start.c. */
enum server_tls_phase {
	STP_NONE,
	STP_ASKED, /* an SSLRequest was sent */
	STP_REFUSED_WITH_ERROR, /* the SSLRequest was answered by an ErrorResponse, which the login handles */
	STP_SHAKING_HANDS,
	STP_DONE,
	STP_GIVEN_UP /* TLS has failed, but is only preferred, so the host is dialed again without TLS */
};

/* Says which line of the log tells why the server has ended. */
enum server_end_log_line {
	END_LOG_LINE_OF_ITS_OWN,
	END_LOG_LINE_OF_BORROWER, /* the line about the borrower, which has ended together with the server */
	END_LOG_LINE_OF_MANY /* the line of server_losses_log(), which gives only a number of servers */
};

/* Says whether the upstream's connect_query must be run again. */
enum server_connect_query {
	CONNECT_QUERY_IN_FORCE,
	CONNECT_QUERY_DUE, /* settings were reset, perhaps some that connect_query has set */
	CONNECT_QUERY_BAD /* the query has failed at the login, and would fail again */
};

/* The most bytes of an incomplete message that are kept (server.carry). */
#define SERVER_CARRY_MAX ((uint32_t)64 << 10)
#define SERVER_OWED_MAX 8u /* see server.owed */

struct server {
	struct stream stream; /* must be first: see stream_ops */
	struct policy_conn *conn; /* the owner's record of this server, which the owner allocates */
	struct deferred_entry deferred;
	const struct server_env *env;
	const struct server_target *target;
	void *owner, *borrower;
	enum server_state state;
	uint8_t tx; /* the transaction status in the last ReadyForQuery: I, T, E */
	/* true if the last message that was sent ends a request, so ReadyForQuery will be the last reply. Set by
	 * server.c, server_replies.c, server_reset.c, send.c and fast.c, cleared by send.c and fast.c. */
	bool is_synced;
	uint8_t fitness; /* enum server_fitness */
	uint8_t question_state; /* enum server_question_state of the last query */
	uint8_t connect_query; /* enum server_connect_query */
	/* the text of PostgreSQL's FATAL error that the borrower was sent; NULL if there was none, or no memory */
	char *last_words;
	char last_sqlstate[6]; /* the SQLSTATE of that error */
	uint8_t end_log_line; /* enum server_end_log_line */
	/* true if a reply was due to the borrower when the server ended; set by server_free_parts(), never cleared */
	bool was_owing;
	/* true if PostgreSQL has answered the startup packet with anything but "starting up" or "shutting down". Set by
	 * server_login.c, cleared by redial(). */
	bool has_answered_startup;
	/* true if `owed` must not be filled again, because PostgreSQL's FATAL error has removed replies from the
	 * ledger. Set and cleared by loss_handle_error(). */
	bool is_owed_final;
	/* enum owed_kind of the replies owed to the borrower, in order; valid if owed_count <= SERVER_OWED_MAX */
	uint8_t owed[SERVER_OWED_MAX];
	size_t owed_count; /* how many replies were owed to the borrower when `owed` was filled */
	uint8_t role; /* 0 if unknown, 'p' for a primary, 's' for a standby, or SERVER_CONSOLE */
	struct loan loan;
	struct ledger ledger;
	struct gucs *gucs; /* a reference: the settings of the session after all messages that were sent */
	struct server_statements statements;
	struct cluster_mark cluster; /* set where COMMITs are checked (commit_check/commit_check.c); else zeroed */
	uint8_t cluster_ask_state; /* enum cluster_ask_state */
#define SEQUENCES_OF_MANY UINT64_MAX
	/* the id of the client whose values currval() and lastval() return here; SEQUENCES_OF_MANY if several clients
	 * may have left values; 0 if there are none */
	uint64_t sequences_of;
	uint64_t random_known_to; /* the id of the client that may know the next values of random(); or 0 */
	bool is_discarding_sequences; /* DISCARD SEQUENCES was sent and not answered yet; set and cleared by linger.c */
	bool is_lingering; /* the borrower keeps the server for a moment; set and cleared by linger.c */
	TAILQ_ENTRY(server) lingering;
	/* the token of the client whose unnamed statement the server has: client_statements.token
	 * (statements/statements_state.h); 0 if not known */
	uint64_t unnamed_owner;
	/* true if the error that is being handled is 22021: PostgreSQL can't convert a text to its own encoding. Set
	 * and cleared by note_error(). */
	bool has_encoding_error;
	/* --- the bytes being received --- */
	/* the rest of the present message is dropped; set and cleared by server_replies.c */
	bool is_body_swallowed;
	/* how many bytes at the beginning of `carry` were matched with the ledger already, but not passed to the
	 * borrower yet */
	uint32_t ledgered_len;
	struct buf carry; /* an incomplete message; or messages that wait for others: see hold_error_for_report() */
	/* --- identity --- */
	uint64_t id;
	uint32_t pid; /* the backend's PID */
	uint8_t key[256]; /* the secret key for CancelRequests */
	uint16_t key_len;
	struct sockaddr_storage peer;
	socklen_t peer_len;
	size_t host_index; /* the index of the server's host in target->upstream */
	size_t hosts_passed; /* how many hosts were tried or skipped so far; host_count if no other will be tried */
	char address[SERVER_ADDRESS_MAX]; /* host:port as configured */
	/* the CancelRequest under way, or NULL; until it is over, the server must not be lent to another client */
	struct server_cancelling *cancel;
	/* when a cancel of pgweir's own request was last under way; 0 if the last cancel was for a client's request */
	uint64_t own_cancel_us;
	/* --- until the server is ready --- */
	struct dial *dial;
	uint64_t dialled_us; /* when dialing this host began; connect_timeout_us counts from then */
	struct password_ask ask; /* waits for password_command, before the server dials */
	/* the output of password_command, wiped after the login; NULL if target has the password */
	struct server_secret *secret;
	enum server_tls_phase tls_phase;
	struct server_login *login;
	struct event *login_timer;
	/* --- other --- */
	struct server_reset reset;
	/* a reference to the GUC set under which the server's plans of the database's code were made; NULL if there are
	 * no such plans */
	struct gucs *plan_gucs;
	/* On a standby, if clients read from standbys: the number of the last reading (policy/cluster_view.h) that had
	 * begun when the server logged in. */
	uint64_t reading;
	/* On the primary, if clients read from standbys: cluster_view.history when the server logged in, or a special
	 * value (HISTORY_..., in pool/standby_pools.h); 0 until the primary is known. */
	uint32_t history;
	uint64_t created_us; /* when server_new() was called */
	uint64_t bytes_in, bytes_out; /* since the connection was made */
	TAILQ_ENTRY(server) all; /* in the owner's list */
};

/* The output of a password_command, for one login, and the keys derived from it. Both are wiped. */
struct server_secret {
	struct scram_keys keys;
	char password[];
};

/*
 * Makes a server, and begins to dial. Returns NULL if out of memory. conn: becomes srv->conn. turn: a number that the
 * caller increments with each call; if hosts are to take turns, turn modulo their number is the index of the first host
 * to try. only: the only host of target->upstream->hosts to try; NULL to try all.
 */
struct server *server_new(const struct server_env *env, const struct server_target *target, struct policy_conn *conn,
			  void *owner, uint64_t id, uint32_t turn, const struct upstream_host *only, uint64_t now_us);
/* In server_dial.c. Writes the host's address to out: "db1:5432", or the path of a Unix socket. */
void server_host_address(const struct upstream_host *host, char out[static SERVER_ADDRESS_MAX]);
/* Closes the server at once, with Terminate if it is idle. Calls ops.settled and owner_ops.closed before it returns. */
void server_close(struct server *srv);
/*
 * Ends the server. If the server is not IDLE, closes it at once. If it is IDLE, sends Terminate, and closes it after
 * SERVER_TERMINATE_US, or once PostgreSQL has closed its side and so no longer counts the session. server_close() and
 * server_fail() end this wait.
 */
#define SERVER_TERMINATE_US (500 * US_PER_MS)
void server_terminate(struct server *srv, uint64_t now_us);
/* Returns true if the server has been RESET or ENDING for too long (reset.deadline_us). */
bool server_is_late(const struct server *srv, uint64_t now_us);
/* Returns PgBouncer's words for why a connection could not be made. */
const char *server_pgbouncer_failure_text(enum connect_failure kind);
/* Returns the fields that the server's log lines have in common. The result borrows the server's texts, and *why. */
struct log_about server_about(const struct server *srv, const char *event, const struct fail *why);
/* Ends the server after a failure: calls ops.lost (if LENT) or owner_ops.gone, logs the failure, and closes the server.
 * If the server is ENDING, only closes it; if it is IN_TRANSFER, only makes it unfit, so the other worker closes it. */
void server_fail(struct server *srv, const struct fail *why) __attribute__((cold));
/* Keeps PostgreSQL's FATAL error e, which the borrower was sent, for server_get_last_words(). */
void server_keep_last_words(struct server *srv, const struct error_fields *e);
/* Returns true, with *why set, if the borrower was sent PostgreSQL's reason for ending the session. srv may be NULL. */
bool server_get_last_words(const struct server *srv, struct fail *why);
/* Logs how many servers were lost, once a second has passed since the first loss, if some losses have no log line of
 * their own. Call this often. */
void server_losses_log(const struct server_env *env, uint64_t now_us);
/* Does the rest of server_step() when something is to be logged. If `to` is SV_NONE, logs a bug and returns -1.
 * Otherwise logs the step for debugging, takes it, and returns 0. */
int server_step_logged(struct server *srv, enum server_event ev, enum server_state to) __attribute__((cold));

/* Changes srv->state as server_state_next() says for this event. After server_new(), only this function and
 * server_step_logged() change srv->state. Returns 0, or -1 for a bug of pgweir's, which is logged. */
static inline int
server_step(struct server *srv, enum server_event ev)
{
	enum server_state to = server_state_next(srv->state, ev);

	if (to == SV_NONE || log_is_enabled(srv->env->log, LOG_LEVEL_DEBUG))
		return server_step_logged(srv, ev, to);
	srv->state = to;
	return 0;
}

/* Makes the server unfit, for good. If it is unfit already, the worse fitness counts. */
static inline void
server_condemn(struct server *srv, enum server_fitness fitness)
{
	if (srv->fitness < fitness)
		srv->fitness = (uint8_t)fitness;
}

/* Lends an IDLE server to borrower; the loan begins. Returns 0, or -1 for a bug of pgweir's, which is logged. */
int server_lend(struct server *srv, void *borrower, uint64_t now_us);
/* Pings an IDLE server; owner_ops.pinged follows. With QUESTION_PING, sql is empty. With QUESTION_CHECK, sql is a query
 * whose rows are ignored. With QUESTION_OF_OWNER, sql is a query of the owner's that serves as a ping, too:
 * owner_ops.answer_row and owner_ops.answered are called first. */
void server_ping(struct server *srv, enum server_question_state question, const char *sql);
/*
 * Takes a LENT server from its borrower, which has gone or returns the server, and cleans it (server_reset.c): cancels
 * the request that runs, swallows the replies, rolls back an open transaction, and does what *order says. Then calls
 * owner_ops.clean. After a failure, calls owner_ops.gone and closes the server.
 */
void server_reset(struct server *srv, const struct reset_order *order, uint64_t now_us);
/* Takes the next step of a reset. Call this while RESET, when no reply is owed any more, or when the owner may no
 * longer need to hold the server. */
void server_reset_next(struct server *srv);
/* Removes from srv->gucs all settings that PostgreSQL does not report. Call this when these settings were reset, or
 * will be reset before anything else is sent. Returns 0, or -1 if out of memory. */
int server_forget_unreported(struct server *srv);
/* Writes whole messages. Returns 0, or -1 if out of memory; then the next read ends the server. */
int server_write(struct server *srv, const void *bytes, size_t len);
/* In server_login.c. Returns the read-only parameters (server_version ...) that PostgreSQL reports at the login, as a
 * GUC set (borrowed); NULL after the login. */
const struct gucs *server_login_parameters(const struct server *srv);

/* --- server_gucs.c: settings of a server, and messages of pgweir's own. --- */
/* Enters a simple Query of pgweir's own into the ledger, and notes that the Query drops the unnamed statement. */
void server_owe_query(struct server *srv, enum owed_to to);
/* Writes the messages in b, which are in the ledger already, and frees b. Returns 0; or -1 if b or the ledger has run
 * out of memory, or if server_write() fails. */
int server_send(struct server *srv, struct buf *b);
/* Returns true if the server's plans are like plans that are made under this GUC set. */
bool server_plans_suit(const struct server *srv, struct gucs *gucs);
/*
 * Appends to out the messages that change the server's settings to `to`, with a Sync, and enters the messages in the
 * ledger. The caller sends them, and sets srv->gucs to `to`, at once or when PostgreSQL has accepted the settings. For
 * `always` and is_guarded, see gucs_put_changes().
 */
void server_put_gucs(struct server *srv, const struct gucs *to, const struct gucs *always, bool is_guarded,
		     struct buf *out);
/*
 * Appends to out the messages that seed random() anew, because another borrower may know its next values, and enters
 * the messages in the ledger. The caller sends them. seed: a random number.
 */
void server_put_seed(struct server *srv, uint64_t seed, struct buf *out);
/* Enters a Sync of pgweir's own, which the caller sends now, into the ledger. */
void server_owe_sync(struct server *srv, enum owed_to to);

/* --- server_cancel.c: cancels the request that runs on a server. --- */
/* is_confirmed: PostgreSQL has sent the signal. why: the reason that pgweir could not connect, or NULL. */
typedef void (*server_cancel_done)(bool is_confirmed, const char *why, void *arg);

/*
 * Sends a CancelRequest for the server's present request, on another connection. When PostgreSQL closes that
 * connection, it has sent the signal; if it does not close the connection within timeout_us, srv becomes
 * SERVER_IN_DOUBT. done() is called once, later. Pass NULL for `done` if the request is pgweir's own, or belongs to a
 * client that has gone; then srv is closed if the cancel is not confirmed. Returns 0, or -1 if the cancel can't begin,
 * or if another cancel is under way.
 */
int server_cancel(struct server *srv, uint64_t timeout_us, server_cancel_done done, void *arg);

/* Says which client of another process is to be cancelled: the address of that process, and the client's PID and key
 * there; all borrowed. */
struct server_cancel_place {
	const char *host;
	uint16_t port;
	uint32_t pid;
	const uint8_t *key;
	size_t key_len; /* at most 256 */
};
/* Sends a CancelRequest to *at, without TLS. timeout_us, done and the result: as for server_cancel(). */
int server_cancel_elsewhere(const struct server_env *env, const struct server_cancel_place *at, uint64_t timeout_us,
			    server_cancel_done done, void *arg);
void server_cancel_abandon(const struct server_env *env); /* call at exit: gives up all cancels that are under way */
