/*
 * src/server/server.h - one connection to PostgreSQL: dialing, login, lending, pings, reset, closing.
 *
 * Replies:  server_replies.c reads them and matches each message with the ledger. Replies owed to the borrower are
 *           passed to server_ops.pass in runs, replies owed to pgweir are dropped, and any other message ends the
 *           connection.
 * Requests: a caller that sends one enters it in srv->ledger first, then writes to srv->stream.
 *
 * Owns:    its socket, ledger, statements, GUC set.
 * Borrows: env; target, which outlives the server; owner (the pool's entry) and borrower, both opaque here.
 * Always:  borrower is set exactly while LENT; a server that violated the protocol is never used again; after
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
struct delegation; /* auth/delegation.h */

/* Callbacks to the borrower. In all but pass and request_done, srv->borrower may be NULL: the borrower has gone. */
struct server_ops {
	/* A run of whole or partial messages for the borrower; bytes stay valid until batch_end. */
	void (*pass)(struct server *srv, const uint8_t *bytes, size_t len);
	/* The ReadyForQuery of a borrower's request has come; srv->tx is set. If srv->loan.announces_ready is set,
	 * everything before the ReadyForQuery was passed already: return true to swallow it; the borrower will send one
	 * itself. If not, the ReadyForQuery is passed with the next run, and the result is ignored. */
	bool (*request_done)(struct server *srv, const struct owed *ended);
	void (*settled)(struct server *srv, const struct owed *o, enum owed_end how); /* see ledger.h */
	void (*answer_local)(struct server *srv, const struct owed *o); /* see ledger.h */
	/* A 't', 'T' or 'n' (`type`) answers a Describe whose ledger entry o has a ref; o is not settled yet. is_whole:
	 * body is complete. */
	void (*described)(struct server *srv, const struct owed *o, uint8_t type, const uint8_t *body, size_t len,
			  bool is_whole);
	/* An ErrorResponse has come. `fields` is from the whole message, or from the beginning of a large message. to:
	 * the owner of the reply that was due; is_owed: true if a reply was due. Return true to swallow the error
	 * because the borrower was answered in another way. */
	bool (*error)(struct server *srv, const struct error_fields *fields, enum owed_to to, bool is_owed,
		      const uint8_t *message, size_t len);
	/* Called ahead of error() when a message of the borrower's has failed. is_unshown: the request's replies begin
	 * with BindComplete, and none of them was passed yet. Return true if the request will be run again: then the
	 * error, and replies that were not passed yet, are dropped. May be NULL. */
	bool (*runs_again)(struct server *srv, const struct error_fields *fields, bool is_unshown);
	/* A CommandComplete for the borrower has come; a terminator follows the len bytes of `tag`. Return true to
	 * swallow the message, because the borrower has its answer already; allowed for an UNLISTEN only. */
	bool (*complete)(struct server *srv, const char *tag, size_t len);
	/* A ParameterStatus has come. Return true to swallow it. */
	bool (*parameter)(struct server *srv, const char *name, const char *value, bool is_passed);
	/* A row has come that answers a question of OWED_TO_COMMIT. */
	void (*commit_row)(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
	/* The ReadyForQuery of a question of OWED_TO_COMMIT has come; ended->statements says which question it was. */
	void (*commit_answered)(struct server *srv, const struct owed *ended);
	/* The ReadyForQuery of any other request of pgweir's own has come. After OWED_TO_REPLAY, loan.replay is
	 * REPLAY_DONE if the standby has replayed the position. */
	void (*own_done)(struct server *srv, enum owed_to to);
	/* A row of the probe has come; is_whole says that body is complete. probe_done follows with the
	 * ReadyForQuery. */
	void (*probe_row)(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
	void (*probe_done)(struct server *srv);
	/* PostgreSQL warns the borrower that there is no process with this PID to signal. If pgweir has given this PID
	 * to a client, cancel that client's request and return true: the warning is then swallowed, and the result
	 * false in the next row is changed to true. */
	bool (*no_such_pid)(struct server *srv, uint32_t pid);
	/* A notice has come in answer to the Parse at the head of the ledger. */
	void (*parse_noticed)(struct server *srv);
	/* PostgreSQL warns of an immediate shutdown, or of another backend's crash, and will close the connection next.
	 * Return true to swallow the warning. Called for standbys only. */
	bool (*ending)(struct server *srv, const struct error_fields *fields);
	/* A whole NotificationResponse has come. Return true to swallow it. */
	bool (*notification)(struct server *srv, const uint8_t *message, size_t len);
	/* Everything that was read is handled: sends the replies, and may return srv. */
	void (*batch_end)(struct server *srv);
	/* srv is ending, and the borrower must forget it. Called only while LENT. */
	void (*lost)(struct server *srv, const struct fail *why);
	void (*drained)(struct server *srv); /* srv's send queue has room again; called only while LENT */
};

/* Callbacks to the server's owner, the pool. */
struct server_owner_ops {
	void (*ready)(struct server *srv);
	/* A host, one of several, did not accept the connection; the next host is tried. May be NULL. */
	void (*host_failed)(struct server *srv, enum connect_failure kind, const struct fail *why);
	/* The server never became ready. is_fatal: true if another attempt is useless until something changes. closed
	 * follows. */
	void (*failed)(struct server *srv, enum connect_failure kind, bool is_fatal, const struct fail *why);
	void (*pinged)(struct server *srv, bool ok);
	/* The reset has washed everything. Return true to hold the server back: then `holds` is called again by each
	 * server_reset_next(), until `holds` returns false or the reset's deadline is over. To ask PostgreSQL a query
	 * meanwhile, set *question, which is NULL, to a text that outlives srv; server_reset_next() is called after the
	 * answer. */
	bool (*holds)(struct server *srv, const char **question);
	/* Called during a reset, when a transaction is over that the borrower had left unfinished. */
	void (*abandoned_transaction_over)(struct server *srv);
	void (*clean)(struct server *srv); /* the reset is over, and the server may be returned */
	/* the server has ended while not lent; closed follows */
	void (*gone)(struct server *srv, const struct fail *why);
	/* answer_row gets the rows of the owner's question (is_whole says that body is complete). At its end, answered
	 * returns the next question, or NULL. */
	void (*answer_row)(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
	const char *(*answered)(struct server *srv, bool ok);
	/* PostgreSQL has closed the connection while pgweir does not read from it, because the borrower takes no more
	 * bytes at present. May be NULL. */
	void (*peer_closed)(struct server *srv);
	/* The last callback for each server, however the server ended; srv->conn is the owner's again. */
	void (*closed)(struct server *srv);
};

#define SERVER_ADDRESS_MAX 280

/* Connections that were lost within a second. The log has a line for each of the first ones, and one line for all
 * others. */
struct server_losses {
	uint64_t since_us; /* when the first of these connections was lost; 0 if none was lost */
	uint32_t count; /* lost connections */
	uint32_t cost; /* lost connections with a request or transaction that failed */
	uint32_t total; /* since the start; wraps around */
	struct fail why; /* why the last one was lost */
	char address[SERVER_ADDRESS_MAX];
};

/* Shared by all servers. */
struct server_env {
	struct event_base *base;
	struct dialer *dialer;
	struct deferred_frees *deferred_frees;
	struct helpers *helpers;
	struct jobs *jobs; /* net/jobs.h; the main worker's. NULL if no server logs in by tokens */
	struct inbox *inbox; /* the worker's, to which threads send back their results */
	/* There are several workers, so `inbox` is read between two events of a turn. Set by worker_fill_envs(), never
	 * cleared. */
	bool has_other_workers;
	struct tls_scratch *tls_scratch;
	struct log *log;
	struct guc_store *guc_store;
	uint8_t *read_buffer; /* the loop's own, read_cap + SERVER_CARRY_MAX bytes */
	size_t read_cap; /* how many bytes are read at once */
	uint64_t *now_us; /* the time of this turn of the loop; each callback of the loop updates it first */
	const struct server_ops *ops;
	const struct server_owner_ops *owner_ops;
	struct process_counters *counters;
	struct passwords *passwords; /* of password_command */
	struct hosts *hosts; /* server/hosts.h; NULL if every host is always due */
	struct server_losses *losses;
	struct server_cancelling **cancelling; /* points to the head of the list of all CancelRequests under way */
};

/* Where to connect, as which user and how. There is one per pool; it outlives its servers. */
struct server_target {
	const struct upstream *upstream;
	const char *user, *database; /* the names in PostgreSQL */
	const char *password; /* in plain text, or NULL */
	const char *md5_secret; /* "md5...", or NULL */
	/* a command that prints the password, in place of password and md5_secret; or NULL */
	const char *password_command;
	uint64_t password_lifetime_us;
	struct scram_keys *keys; /* learnt from a client, or derived from the password; a login may fill them in */
	struct delegation *delegation; /* makes the tokens of a login; NULL if pgweir's own credentials make them */
	uint64_t connect_timeout_us; /* for dialling and login together */
	const char *replication; /* the value of the startup parameter, or NULL */
	struct tls_context *tls; /* NULL if TLS is not wanted */
	enum { SERVER_TLS_OPTIONAL, SERVER_TLS_REQUIRED, SERVER_TLS_DIRECT /* without an SSLRequest */ } tls_use;
	enum channel_binding channel_binding;
	/* sent in the startup packet after the upstream's settings, which they override; may be NULL */
	const struct gucs *settings;
	/* when a WARNING at a login was last logged; NULL if such warnings are not logged */
	_Atomic uint64_t *warned_us;
};

/* Says whether the server may be lent again, or is closed instead of returned. server_condemn() is the only writer. */
enum server_fitness {
	SERVER_FIT,
	SERVER_IN_DOUBT, /* the state of the server is not known */
	SERVER_MISPLACED /* the server is no longer what target_session_attrs wants */
};

/* The role of a server that is the console of PgBouncer or pgweir: a console has no session state, and takes only
 * simple queries. */
#define SERVER_CONSOLE 'c'

struct server_cancelling; /* opaque: server_cancel.c; one CancelRequest under way */

/* Says what a reset must do. If the order is zeroed, the reset only rolls back an open transaction. */
struct reset_order {
	/* Runs DISCARD ALL, which drops pgweir's own statements, too. Set by pool_clean(), cleared by discard_all(). */
	bool is_discarding;
	/* Parts of STATE_WASHABLE and WASH_... (seal/seal.h) to wash. With STATE_BACKEND, the owner closes srv. */
	unsigned parts;
	uint64_t seed; /* a random number, with STATE_SEED */
	char fdw_schema[SEAL_SCHEMA_MAX]; /* with STATE_REMOTE: see seal_put */
};

/* Which request a reset must still cancel, because the borrower has left a request running: see server_reset_next(). */
enum reset_cancel {
	RESET_CANCEL_DUE,
	/* a request of pgweir's own, ahead of the borrower's, was cancelled; the borrower's must still be cancelled */
	RESET_CANCEL_OURS,
	RESET_CANCEL_NOT_DUE
};

/* The last step of the reset that was sent, if its answer matters. */
enum reset_sent {
	RESET_SENT_OTHER,
	RESET_SENT_COUNT, /* counts the statements */
	RESET_SENT_LAST_REMOTE, /* closes the last session on another server, and may fail with 08003 */
	RESET_IS_HELD /* nothing was sent: everything is washed, but the owner holds the server */
};

/* The work of cleaning up after a borrower: see server_reset.c. */
struct server_reset {
	struct reset_order todo; /* what is left of the order: steps that were sent are removed */
	/* the borrower has returned the server, with nothing under way; set and cleared by server_reset() */
	bool was_returned;
	/* dblink or postgres_fdw was found; set by server_reset_row(), cleared by server_reset() */
	bool has_remote;
	uint8_t sent; /* enum reset_sent */
	/* after RESET_SENT_COUNT: how many statements made by Parse messages the server has */
	uint64_t statements_found;
	struct buf names; /* names of the statements to deallocate, each terminated */
	struct buf remote; /* SQL that closes sessions on other servers: seal_put_for_row() */
	uint8_t cancel; /* enum reset_cancel */
	uint64_t since_us, deadline_us;
	uint64_t asked_us; /* since when the owner has held the server back, to wait for an answer; 0 if it does not */
};

/* Says whether it is known which cluster a server belongs to. */
enum cluster_state {
	CLUSTER_NOT_ASKED,
	CLUSTER_ASKED,
	CLUSTER_KNOWN,
	CLUSTER_STANDBY, /* a standby, which is asked again because it may be promoted */
	CLUSTER_SILENT /* the server can't tell: it is too old, or its user may not ask */
};

/* The question to an idle server: the ping, or a question of the owner's. */
enum server_question {
	QUESTION_PING, /* an empty query */
	QUESTION_CHECK, /* ping_query */
	QUESTION_PING_ANSWERED, /* the ping was answered, except for its ReadyForQuery */
	QUESTION_OF_OWNER,
	QUESTION_REFUSED /* the owner's question has failed */
};

/* The phases of TLS, which comes before the login: see server_tls_start.c. */
enum server_tls_phase {
	STP_NONE,
	STP_ASKED,
	STP_REFUSED_WITH_ERROR,
	STP_SHAKING_HANDS,
	STP_DONE,
	STP_GIVEN_UP /* TLS has failed where it is only preferred: the host is dialed again without TLS */
};

/* Which line of the log says why the server has ended. */
enum server_end_line {
	END_LINE_OF_ITS_OWN,
	END_LINE_OF_BORROWER, /* the line of the borrower, which ended with the server */
	END_LINE_OF_MANY /* the line of server_losses_tell(), which gives only a number */
};

/* Says whether the upstream's connect_query must be run again. */
enum server_connect_query {
	CONNECT_QUERY_IN_FORCE,
	CONNECT_QUERY_DUE, /* settings were reset */
	CONNECT_QUERY_BAD /* the query has failed at the login, and would fail again */
};

/* bytes of an incomplete message that are kept because its content matters */
#define SERVER_CARRY_MAX ((uint32_t)64 << 10)
#define SERVER_OWED_MAX 8u

struct server {
	struct stream stream; /* must be first: see stream_ops */
	struct policy_conn *conn; /* the pool's part, allocated by the owner */
	struct deferred_entry deferred;
	const struct server_env *env;
	const struct server_target *target;
	void *owner, *borrower;
	enum server_state state;
	uint8_t tx; /* transaction status of the last ReadyForQuery: I, T, E */
	/* The last message sent ends a request: ReadyForQuery will follow. Set by server.c, server_replies.c,
	 * server_reset.c, send.c and fast.c, cleared by send.c and fast.c. */
	bool is_synced;
	uint8_t fitness; /* enum server_fitness */
	uint8_t question; /* enum server_question of the last question */
	uint8_t connect_query; /* enum server_connect_query */
	/* the message of the FATAL that the borrower was sent; NULL if there was no FATAL, or without memory */
	char *last_words;
	char last_sqlstate[6]; /* the SQLSTATE of that FATAL */
	uint8_t end_line; /* enum server_end_line */
	/* a reply was owed to the borrower when the server ended; set by server_let_go(), never cleared */
	bool was_owing;
	/* PostgreSQL has answered the startup packet, and has not said that it is starting up or shutting down. Set by
	 * server_login.c, cleared by redial(). */
	bool has_answered_startup;
	/* True if `owed` must not be filled again, because the server's FATAL has removed replies from the ledger. Set
	 * and cleared by loss_takes_error(). */
	bool is_owed_final;
	/* enum owed_kind of the replies owed to the borrower, in order; valid if owed_count <= SERVER_OWED_MAX */
	uint8_t owed[SERVER_OWED_MAX];
	size_t owed_count; /* how many replies were owed to the borrower when `owed` was filled */
	uint8_t role; /* 0 unknown, 'p' primary, 's' standby, or SERVER_CONSOLE */
	struct loan loan;
	struct ledger ledger;
	struct gucs *gucs;
	struct server_statements statements;
	struct cluster_mark cluster; /* set where COMMITs are checked (commit_check/commit_check.c); else zeroed */
	uint8_t cluster_state; /* enum cluster_state */
#define SEQUENCES_OF_MANY UINT64_MAX
	/* the client whose sequence values the backend remembers: its id, SEQUENCES_OF_MANY, or 0 */
	uint64_t sequences_of;
	uint64_t seed_of; /* the client that may know the state of random(): its id, or 0 */
	bool is_discarding; /* DISCARD SEQUENCES was sent and not answered yet; set and cleared by linger.c */
	bool is_lingering; /* the borrower keeps the server for a moment; set and cleared by linger.c */
	TAILQ_ENTRY(server) lingering;
	/* identifies the client that made the server's unnamed statement: the token of that client's struct
	 * statements_state (statements.c); 0 if not known */
	uint64_t unnamed_owner;
	/* The error that is being handled is 22021: a text can't be converted to the server's encoding. Set and cleared
	 * by note_error(). */
	bool is_misread;
	/* input */
	/* the rest of the message being received is dropped; set and cleared by server_replies.c */
	bool is_body_swallowed;
	/* the number of bytes at the beginning of `carry` that the ledger has accounted for, and that were not passed
	 * to the borrower yet */
	uint32_t ledgered_len;
	struct buf carry; /* an incomplete message, or an error that waits for a report: see awaits_report() */
	/* identity */
	uint64_t id;
	uint32_t pid;
	uint8_t key[256];
	uint16_t key_len;
	struct sockaddr_storage peer;
	socklen_t peer_len;
	size_t host_index; /* the index of its host in target->upstream */
	size_t hosts_passed; /* how many hosts had their turn before the present host */
	char address[SERVER_ADDRESS_MAX]; /* host:port as configured */
	/* a cancel is under way, or NULL; until it is over, the server must not be lent to another client */
	struct server_cancelling *cancel;
	/* when a cancel that pgweir itself has sent was last under way here; 0 if the last cancel was a client's */
	uint64_t own_cancel_us;
	/* before it is ready */
	struct dial *dial;
	uint64_t dialled_us; /* when dialing this host began: connect_timeout counts from then */
	struct password_ask ask; /* while password_command runs, before the server dials */
	/* the output of password_command, wiped after the login; NULL if target has the password */
	struct server_secret *secret;
	enum server_tls_phase tls_phase;
	struct server_login *login;
	struct event *login_timer;
	struct server_reset reset;
	/* A reference to the GUC set under which the server's plans of the database's code were made; NULL if it has no
	 * such plans. */
	struct gucs *plans_of;
	/* For clients that read from standbys (pool/cluster.h). reading: for a standby's server, the number of the last
	 * reading that had begun when the server logged in. history: for the primary's server, the cluster's history at
	 * that time, or 0 if it was not known then which host was the primary. */
	uint64_t reading;
	uint32_t history;
	uint64_t connected_us;
	uint64_t bytes_in, bytes_out; /* since connect */
	TAILQ_ENTRY(server) all; /* in the owner's list */
};

/* The output of a password_command, for one login, and the keys derived from it. Both are wiped. */
struct server_secret {
	struct scram_keys keys;
	char password[];
};

/*
 * Begins to dial. Returns NULL without memory. conn: the pool's part, kept as srv->conn. turn: a number that the caller
 * increments; where hosts take turns, turn modulo their count is the first host. only: the only host of
 * target->upstream->hosts to try, or NULL for all.
 */
struct server *server_new(const struct server_env *env, const struct server_target *target, struct policy_conn *conn,
			  void *owner, uint64_t id, uint32_t turn, const struct upstream_host *only, uint64_t now_us);
/* Writes "db1:5432", or the path of a Unix socket, to out. In server_dial.c. */
void server_host_address(const struct upstream_host *host, char out[static SERVER_ADDRESS_MAX]);
/* Closes the server at once, with Terminate if it is idle. Calls ops.settled and owner_ops.closed before it returns. */
void server_close(struct server *srv);
/*
 * Closes the server. If the server is idle, sends Terminate and waits until PostgreSQL has closed its side, so
 * PostgreSQL no longer counts the session; or until SERVER_END_US are over. If the server is not idle, closes at once.
 * server_close() and server_fail() end the wait.
 */
#define SERVER_END_US (500 * US_PER_MS)
void server_end(struct server *srv, uint64_t now_us);
/* Returns true if the server is RESET or ENDING, and its time for that is over. */
bool server_is_late(const struct server *srv, uint64_t now_us);
/* Returns PgBouncer's word for why a connection could not be made. */
const char *server_failure_word(enum connect_failure kind);
/* Returns the subject of the server's lines in the log. It borrows the server's texts, and why. */
struct log_about server_about(const struct server *srv, const char *event, const struct fail *why);
/* Ends the server after a failure: logs *why, calls ops.lost if the server is lent, else owner_ops.gone, and closes. */
void server_fail(struct server *srv, const struct fail *why) __attribute__((cold));
/* Keeps the FATAL that the borrower was sent because PostgreSQL ends the session. */
void server_keep_last_words(struct server *srv, const struct error_fields *e);
/* Returns true, with *why set, if PostgreSQL has told the borrower why it ends the session. srv may be NULL. */
bool server_last_words(const struct server *srv, struct fail *why);
/* Call this often. If a second has passed since the first loss and not all losses have log lines of their own, logs how
 * many servers were lost. */
void server_losses_tell(const struct server_env *env, uint64_t now_us);
/* The part of server_step() that logs: takes the step and logs it for debugging; or logs a bug, if `to` is SV_NONE. */
int server_step_logged(struct server *srv, enum server_event ev, enum server_state to) __attribute__((cold));

/* Takes the step from srv->state that the event causes. After server_new(), all changes of srv->state are made here and
 * in server_step_logged(). Returns 0, or -1 for a bug of pgweir's, which is logged. */
static inline int
server_step(struct server *srv, enum server_event ev)
{
	enum server_state to = server_state_next(srv->state, ev);

	if (to == SV_NONE || log_is_enabled(srv->env->log, LOG_LEVEL_DEBUG))
		return server_step_logged(srv, ev, to);
	srv->state = to;
	return 0;
}

/* Makes the server unfit, for good; the worst fitness counts. */
static inline void
server_condemn(struct server *srv, enum server_fitness fitness)
{
	if (srv->fitness < fitness)
		srv->fitness = (uint8_t)fitness;
}

/* Lends an IDLE server to borrower; the loan begins. Returns 0, or -1 for a bug of pgweir's, which is logged. */
int server_lend(struct server *srv, void *borrower, uint64_t now_us);
/*
 * Pings an IDLE server; owner_ops.pinged follows. With QUESTION_PING, sql is empty. With QUESTION_CHECK, sql is a query
 * whose rows are ignored. With QUESTION_OF_OWNER, sql is a query of the owner's that serves as a ping, too:
 * owner_ops.answer_row and answered come first.
 */
void server_ping(struct server *srv, enum server_question question, const char *sql);
/*
 * Cleans a LENT server whose borrower has gone, or has returned it (server_reset.c): clears srv->borrower, cancels the
 * request that runs, swallows its replies, rolls back an open transaction, and does what *order says. Then calls
 * owner_ops.clean, or owner_ops.gone after a failure. A failure costs only this connection, which no client has.
 */
void server_reset(struct server *srv, const struct reset_order *order, uint64_t now_us);
/* Takes the next step of a reset. Call this while RESET when no reply is owed any more, or when the owner need not hold
 * the server back any longer. */
void server_reset_next(struct server *srv);
/* Forgets the server's settings: DISCARD ALL has run, or will run first. Returns 0, or -1 without memory. */
int server_forget_session(struct server *srv);
/* Writes one complete batch. Returns 0, or -1 without memory: the next read then ends the server. */
int server_write(struct server *srv, const void *bytes, size_t len);
/* server_gucs.c: */
/* Enters a simple Query of pgweir's own into the ledger, and notes that the Query drops the unnamed statement. */
void server_owe_query(struct server *srv, enum owed_to to);
/* Writes the messages in b, which are in the ledger already, and frees b. Returns 0, or -1 as server_write() does. */
int server_send(struct server *srv, struct buf *b);

/* Returns the read-only parameters that PostgreSQL reported at the login (server_version ...) as a GUC set, borrowed;
 * NULL when the login is over. */
const struct gucs *server_login_parameters(const struct server *srv);

/* --- server_gucs.c: settings of a server, and those under which its plans were made. --- */
/* Returns true if the server's plans are the same as if they had been made under this GUC set. */
bool server_plans_suit(const struct server *srv, struct gucs *gucs);
/*
 * Appends to out the messages that turn the server's settings into these, with a Sync, and enters them in the ledger.
 * The caller sends them, and sets srv->gucs if the server will have the GUC set. always and is_guarded: see
 * gucs_put_changes().
 */
void server_put_gucs(struct server *srv, const struct gucs *to, const struct gucs *always, bool is_guarded,
		     struct buf *out);
/*
 * Appends messages that make random() begin anew from `seed`, a random number, because another borrower may know its
 * next values; enters them in the ledger. The caller sends them.
 */
void server_put_seed(struct server *srv, uint64_t seed, struct buf *out);
/* Enters a Sync of pgweir's own, which the caller sends now. */
void server_owe_sync(struct server *srv, enum owed_to to);

/* --- server_cancel.c: cancels the request that runs on a server. --- */
/* is_confirmed: true if the signal was sent. why: why pgweir could not connect; NULL if it could. */
typedef void (*server_cancel_done)(bool is_confirmed, const char *why, void *arg);

/*
 * Sends a CancelRequest for the server's present request, on a connection of its own, and waits until PostgreSQL closes
 * that connection: the signal was then sent. If PostgreSQL does not close it in time, srv is condemned. done is called
 * once, later. done is NULL if the cancelled request is pgweir's own, or that of a client that has gone; then srv ends
 * if the cancel is not confirmed in time. Returns 0, or -1 if the cancel can't begin or another one is under way.
 */
int server_cancel(struct server *srv, uint64_t timeout_us, server_cancel_done done, void *arg);

/* Where a cancel request goes: the process that has the client, and the client's key there; all borrowed. */
struct server_cancel_place {
	const char *host;
	uint16_t port;
	uint32_t pid;
	const uint8_t *key;
	size_t key_len; /* at most 256 */
};
/* Sends the CancelRequest to the process at *at, for a client of that process, without TLS. */
int server_cancel_elsewhere(const struct server_env *env, const struct server_cancel_place *at, uint64_t timeout_us,
			    server_cancel_done done, void *arg);
void server_cancel_abandon(const struct server_env *env); /* at exit: gives up all cancels under way */
