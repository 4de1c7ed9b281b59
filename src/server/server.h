/*
 * src/server/server.h - one connection to PostgreSQL: dialling, login, lending, pings, reset, closing.
 *
 *   Replies:  server_replies.c reads them and matches each message with the ledger. Replies owed to the borrower are
 *             passed to server_ops.pass in runs, those owed to pgweir are swallowed, and any other message ends the
 *             connection.
 *   Requests: whoever sends one enters it in srv->ledger first, then writes to srv->stream.
 *
 * Owns:   its socket, ledger, statements, GUC set.
 * Borrows: env; target (outlives it); owner (the pool's entry) and borrower, both opaque here.
 * Always: borrower is set exactly while LENT; a server that violated the protocol is never used again; after
 * server_close no callback comes, and the memory lives until the loop's next turn.
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

/* The life of a server connection: server_state.c has the table of its steps. */
enum server_state {
	SV_NONE,
	SV_DIALING,
	SV_LOGIN,
	SV_IDLE,
	SV_PINGING,
	SV_LENT,
	SV_RESET,
	SV_IN_TRANSFER, /* on its way to another worker */
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

/* The callbacks to the borrower, which may be NULL (it has gone) in all but pass and request_done. */
struct server_ops {
	/* A run of whole or partial messages for the borrower; bytes stay valid until batch_end. */
	void (*pass)(struct server *srv, const uint8_t *bytes, size_t len);
	/*
	 * The ReadyForQuery of a borrower's request has come; srv->tx is set. If srv->loan.announces_ready, everything
	 * before it was passed already; return true to swallow it (the borrower will send it itself). Otherwise it is
	 * passed with the next run, and the result is ignored.
	 */
	bool (*request_done)(struct server *srv, const struct owed *ended);
	void (*settled)(struct server *srv, const struct owed *o, enum owed_end how); /* see ledger.h */
	void (*local)(struct server *srv, const struct owed *o);
	/* A 't', 'T' or 'n' answers a Describe with a ref; o is not settled yet. is_whole: body is all of it. */
	void (*described)(struct server *srv, const struct owed *o, uint8_t type, const uint8_t *body, size_t len,
			  bool is_whole);
	/* An ErrorResponse has come; message is all of it, or the beginning of a large one; is_owed: a reply was due.
	 * Return true to swallow it: the borrower was answered in another way. */
	bool (*error)(struct server *srv, const struct error_fields *fields, enum owed_to to, bool is_owed,
		      const uint8_t *message, size_t len);
	/* A CommandComplete for the borrower; a terminator follows tag's len bytes. Return true (only for an UNLISTEN)
	 * to swallow it: the borrower has its answer. */
	bool (*complete)(struct server *srv, const char *tag, size_t len);
	/* A ParameterStatus. Return true to swallow it. */
	bool (*parameter)(struct server *srv, const char *name, const char *value, bool is_passed);
	/* A row that answers OWED_TO_COMMIT's question; then its ReadyForQuery: the question was ended->statements. */
	void (*commit_row)(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
	void (*commit_asked)(struct server *srv, const struct owed *ended);
	/* The standby has answered OWED_TO_REPLAY's question; loan.replay is DONE, or it has not replayed that. */
	void (*replayed)(struct server *srv);
	/* A row of the probe; is_whole: body is all of it. probe_done follows with its ReadyForQuery. */
	void (*probe_row)(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
	void (*probe_done)(struct server *srv);
	/* PostgreSQL warns the borrower that there is no process with this PID to signal. Return true if a client that
	 * was sent it is cancelled: the warning is then swallowed, and the result false after it becomes true. */
	bool (*no_such_pid)(struct server *srv, uint32_t pid);
	/* A warning of an immediate shutdown, or of a crash beside it: nothing but the end of srv follows. Return true
	 * to swallow it. Only of a standby. */
	bool (*ending)(struct server *srv, const struct error_fields *fields);
	/* A whole NotificationResponse. Return true to swallow it. */
	bool (*notification)(struct server *srv, const uint8_t *message, size_t len);
	void (*batch_end)(struct server *srv); /* all that was read is handled: sends the replies, may return srv */
	/* srv is ending, and the borrower must forget it. Only while LENT. */
	void (*lost)(struct server *srv, const struct fail *why);
	void (*drained)(struct server *srv); /* its queue has room again; only while LENT */
};

/* The callbacks to its owner, the pool. */
struct server_owner_ops {
	void (*ready)(struct server *srv);
	/* A host of several did not want us; the next one is tried. May be NULL. */
	void (*host_failed)(struct server *srv, enum connect_failure kind, const struct fail *why);
	/* The server never became ready. is_fatal: trying again is useless until something changes. closed follows. */
	void (*failed)(struct server *srv, enum connect_failure kind, bool is_fatal, const struct fail *why);
	void (*pinged)(struct server *srv, bool ok);
	/* All is washed. Return true to hold it until server_reset_next() finds it free, or its deadline is over; with
	 * *question set (it is NULL, and outlives srv), that is sent, and its answer is the next time to tell. */
	bool (*holds)(struct server *srv, const char **question);
	void (*unseen)(struct server *srv); /* in a reset: a transaction of the borrower that has gone is over */
	void (*clean)(struct server *srv); /* the reset is over, and it may be returned */
	void (*gone)(struct server *srv, const struct fail *why); /* ended while not lent; closed follows */
	/* The rows of the owner's question (is_whole: body is all of it); at its end returns the next one, or NULL. */
	void (*answer_row)(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
	const char *(*answered)(struct server *srv, bool ok);
	/* PostgreSQL has ended a server whose borrower takes no more of it at present. May be NULL. */
	void (*ended)(struct server *srv);
	/* The last callback for each server, however it ended; srv->conn is the owner's again. */
	void (*closed)(struct server *srv);
};

#define SERVER_ADDRESS_MAX 280

/* Connections that were lost within a second. The log has the first ones, and then one line for all others. */
struct server_losses {
	uint64_t since_us; /* 0: none */
	uint32_t count, cost; /* cost: how many had a request or a transaction that failed */
	uint32_t total; /* since the start; wraps around */
	struct fail why; /* of the last one */
	char address[SERVER_ADDRESS_MAX];
};

/* Shared by all servers. */
struct server_env {
	struct event_base *base;
	struct dialer *dialer;
	struct deferred_frees *deferred_frees;
	struct helpers *helpers;
	struct jobs *jobs; /* net/jobs.h; the main worker's. NULL: none logs in by tokens */
	struct inbox *inbox;
	/* There are several workers: inbox is read between two events. Set by worker_fill_envs(), never cleared. */
	bool has_others;
	struct tls_scratch *tls_scratch;
	struct log *log;
	struct guc_store *guc_store;
	uint8_t *read_buffer; /* the loop's own, read_cap + SERVER_CARRY_MAX bytes */
	size_t read_cap; /* how many bytes are read at once */
	uint64_t *now_us; /* the time of this turn of the loop; each callback from the loop sets it */
	const struct server_ops *ops;
	const struct server_owner_ops *owner_ops;
	struct process_counters *counters;
	struct passwords *passwords; /* of password_command */
	struct hosts *hosts; /* server/hosts.h; NULL: every host is always due */
	struct server_losses *losses;
	struct server_cancelling **cancelling; /* the head of a list of all CancelRequests under way */
};

/* Where to connect, as which user and how; one per pool. Outlives its servers. */
struct server_target {
	const struct upstream *upstream;
	const char *user, *database; /* the names in PostgreSQL */
	const char *password; /* plain text, or NULL */
	const char *md5_secret; /* "md5..." or NULL */
	const char *password_command; /* prints the password, instead of these; or NULL */
	uint64_t password_lifetime_us;
	struct scram_keys *keys; /* learnt from a client or derived from the password; may be filled in here */
	struct delegation *delegation; /* tokens are made by what is there; NULL: by what is pgweir's own */
	uint64_t connect_timeout_us; /* for dialling and login together */
	const char *replication; /* the value of the startup parameter, or NULL */
	struct tls_context *tls; /* NULL: no TLS is wanted */
	enum { SERVER_TLS_OPTIONAL, SERVER_TLS_REQUIRED, SERVER_TLS_DIRECT /* without an SSLRequest */ } tls_use;
	enum channel_binding channel_binding;
	const struct gucs *settings; /* sent in the startup packet, over the upstream's; may be NULL */
	_Atomic uint64_t *warned_us; /* when a WARNING at a login was logged last; NULL: none is */
};

/* Whether it may be lent again, or is closed instead of returned: server_condemn() is the only writer. */
enum server_fitness {
	SERVER_FIT,
	SERVER_IN_DOUBT, /* its state is not known */
	SERVER_MISPLACED /* it is no more what target_session_attrs wants */
};

/* A server's role if it is PgBouncer's console, or pgweir's, which has no session state and simple queries only. */
#define SERVER_CONSOLE 'c'

struct server_cancelling; /* opaque: server_cancel.c; one CancelRequest under way */

/* Says what a reset is to do; zeroed, it only rolls back an open transaction. */
struct reset_order {
	/* Runs DISCARD ALL, which drops our own statements, too. Set by pool_clean(), cleared by discard_all(). */
	bool is_discarding;
	/* Parts of STATE_WASHABLE and WASH_... (seal/seal.h) to wash. With STATE_BACKEND, the owner closes it. */
	unsigned parts;
	uint64_t seed; /* a random number, with STATE_SEED */
	char fdw_schema[SEAL_SCHEMA_MAX]; /* with STATE_REMOTE: see seal_put */
};

/* The cancel of what the borrower has left running: server_reset_next(). */
enum reset_cancel {
	RESET_CANCEL_DUE,
	RESET_CANCEL_OURS, /* a request of pgweir's own ahead of it was cancelled; it is still to be */
	RESET_CANCEL_NOT_DUE
};

/* The step of the reset that was sent last, if its answer matters. */
enum reset_sent {
	RESET_SENT_OTHER,
	RESET_SENT_COUNT, /* it counts the statements */
	RESET_SENT_LAST_REMOTE, /* it closes the last session on another server, and may fail with 08003 */
	RESET_IS_HELD /* nothing: all is washed, but the owner holds it */
};

/* Cleaning up after a borrower: server_reset.c. */
struct server_reset {
	struct reset_order todo; /* what was sent is removed from it */
	bool is_seal; /* the borrower returned it, with nothing under way; set and cleared by server_reset() */
	uint8_t sent; /* enum reset_sent */
	uint64_t statements_found; /* after RESET_SENT_COUNT: so many of the protocol's */
	struct buf names; /* the statements to deallocate, each terminated */
	struct buf remote; /* what closes sessions on other servers: seal_put_remote() */
	uint8_t cancel; /* enum reset_cancel */
	uint64_t since_us, deadline_us;
	uint64_t asked_us; /* since when the owner holds it, for an answer; 0: it does not */
};

/* Whether the cluster that a server belongs to is known. */
enum cluster_state {
	CLUSTER_NOT_ASKED,
	CLUSTER_ASKED,
	CLUSTER_KNOWN,
	CLUSTER_STANDBY, /* it may be promoted: then it is asked again */
	CLUSTER_SILENT /* it can't tell: too old, or its user has not the right to ask */
};

/* The question to an idle server: the ping, or one of the owner's. */
enum server_question {
	QUESTION_PING, /* an empty query */
	QUESTION_CHECK, /* ping_query */
	QUESTION_PING_ANSWERED, /* but for its ReadyForQuery */
	QUESTION_OF_OWNER,
	QUESTION_REFUSED /* the owner's has failed */
};

/* TLS comes before the login: server_tls_start.c. */
enum server_tls_phase {
	STP_NONE,
	STP_ASKED,
	STP_REFUSED_WITH_ERROR,
	STP_SHAKING_HANDS,
	STP_DONE,
	STP_GIVEN_UP /* it has failed where it is only preferred: the host is dialled again without it */
};

/* Which line of the log says why it has ended. */
enum server_end_line {
	END_LINE_OF_ITS_OWN,
	END_LINE_OF_BORROWER, /* who ended with it */
	END_LINE_OF_MANY /* server_losses_tell() gives only their number */
};

/* Whether the upstream's connect_query is to be run again. */
enum server_connect_query {
	CONNECT_QUERY_IN_FORCE,
	CONNECT_QUERY_DUE, /* settings were reset */
	CONNECT_QUERY_BAD /* it has failed at the login, and would again */
};

#define SERVER_CARRY_MAX ((uint32_t)64 << 10) /* bytes of an unfinished message that are kept to be looked into */
#define SERVER_OWED_MAX 8u

struct server {
	struct stream stream; /* must be first: see stream_ops */
	struct policy_conn *conn; /* the pool's part, allocated by the owner */
	struct grave grave;
	const struct server_env *env;
	const struct server_target *target;
	void *owner, *borrower;
	enum server_state state;
	uint8_t tx; /* transaction status of the last ReadyForQuery: I, T, E */
	/* The last message sent ends a request: ReadyForQuery will follow. Set by server.c, send.c, server_replies.c
	 * and server_reset.c, cleared by send.c and fast.c. */
	bool is_synced;
	uint8_t fitness; /* enum server_fitness */
	uint8_t question; /* enum server_question: the last one */
	uint8_t connect_query; /* enum server_connect_query */
	char *last_words; /* the message of the FATAL that its borrower was sent; NULL: none, or no memory */
	char last_sqlstate[6]; /* of the same */
	uint8_t end_line; /* enum server_end_line */
	bool was_owing; /* something was owed to the borrower when it ended; set by server_let_go(), never cleared */
	/* PostgreSQL has answered the startup packet, and is neither starting up nor shutting down. Set by
	 * server_login.c, cleared by redial(). */
	bool is_there;
	/* The list below was made before its FATAL skipped some of it. Set and cleared by loss_takes_error(). */
	bool is_owed_listed;
	uint8_t owed[SERVER_OWED_MAX]; /* enum owed_kind, in order, ... */
	size_t owed_count; /* ... if it was no more than fits */
	uint8_t role; /* 0 unknown, 'p' primary, 's' standby, or SERVER_CONSOLE */
	struct loan loan;
	struct ledger ledger;
	struct gucs *gucs;
	struct server_statements statements;
	struct cluster_mark cluster; /* where COMMITs are checked (commit_check/commit_check.c); else zeroed */
	uint8_t cluster_state; /* enum cluster_state */
#define SEQUENCES_OF_MANY UINT64_MAX
	uint64_t sequences_of; /* the client whose sequence values the backend remembers: its id, OF_MANY, or 0 */
	uint64_t seed_of; /* the client who may know the state of random(): its id, or 0 */
	bool is_discarding; /* DISCARD SEQUENCES was sent and not answered yet; set and cleared by linger.c */
	bool is_lingering; /* its borrower keeps it for a moment; set and cleared by linger.c */
	TAILQ_ENTRY(server) lingering;
	uint64_t unnamed_owner; /* the token of its unnamed statement's state (statements.c); 0: unknown */
	/* The error that is handled is 22021, of a text that can't be converted. Set and cleared by note_error(). */
	bool is_misread;
	/* input */
	bool is_body_swallowed; /* the rest of that is swallowed; set and cleared by server_replies.c */
	uint32_t walked; /* how many bytes of the carry the ledger has taken, and the borrower has not got */
	struct buf carry; /* an unfinished message, or an error that waits for a report: awaits_report() */
	/* identity */
	uint64_t id;
	uint32_t pid;
	uint8_t key[256];
	uint16_t key_len;
	struct sockaddr_storage peer;
	socklen_t peer_len;
	size_t host_index, hosts_passed; /* its host in target->upstream; how many have had their turn */
	char address[SERVER_ADDRESS_MAX]; /* host:port as configured */
	struct server_cancelling *cancel; /* a cancel is under way: it must not be lent to another client */
	/* When a cancel of pgweir's own request was last under way here; 0 if the last cancel was a client's. */
	uint64_t own_cancel_us;
	/* before it is ready */
	struct dial *dial;
	uint64_t dialled_us; /* when it began with this host: connect_timeout counts from then */
	struct password_ask ask; /* while password_command runs, before it dials */
	struct server_secret *secret; /* what that printed; wiped after the login. NULL: see target */
	enum server_tls_phase tls_phase;
	struct server_login *login;
	struct event *login_timer;
	struct server_reset reset;
	/* A reference: whose settings its plans of the database's code were made under; NULL: it has none. */
	struct gucs *plans_of;
	/* Where clients read from standbys (pool/cluster.h), as it had logged in: of a standby, the last reading that
	 * had begun; of the primary, the history, 0 while nobody knew who that is. */
	uint64_t reading;
	uint32_t history;
	uint64_t connected_us;
	uint64_t bytes_in, bytes_out; /* since connect */
	TAILQ_ENTRY(server) all; /* in the owner's list */
};

/* The output of a password_command, for one login, and the keys derived from it. Wiped. */
struct server_secret {
	struct scram_keys keys;
	char password[];
};

/* Begins to dial. NULL without memory. conn: the pool's part; srv->conn gives it back. turn: a number that grows; where
 * hosts take turns it says which is first. only: the one of target->upstream->hosts to try; NULL: each. */
struct server *server_new(const struct server_env *env, const struct server_target *target, struct policy_conn *conn,
			  void *owner, uint64_t id, uint32_t turn, const struct upstream_host *only, uint64_t now_us);
/* server_dial.c: "db1:5432", or the path of a Unix socket. */
void server_host_address(const struct upstream_host *host, char out[static SERVER_ADDRESS_MAX]);
/* Closes at once, with Terminate if idle; calls ops.settled and owner_ops.closed from within. */
void server_close(struct server *srv);
/* Closes it after Terminate, if it is idle: when PostgreSQL has closed its side, and so does not count the session any
 * more, or SERVER_END_US later; otherwise at once. server_close() and server_fail() end the wait. */
#define SERVER_END_US (500 * US_PER_MS)
void server_end(struct server *srv, uint64_t now_us);
bool server_is_late(const struct server *srv, uint64_t now_us); /* it is RESET or ENDING, and has had its time */
/* Returns PgBouncer's word for why a connection could not be made. */
const char *server_failure_word(enum connect_failure kind);
/* Returns what the server's lines in the log are about; borrows its texts, and why. */
struct log_about server_about(const struct server *srv, const char *event, const struct fail *why);
/* Ends it after a failure: logs *why, calls ops or owner_ops as its state demands, closes. */
void server_fail(struct server *srv, const struct fail *why) __attribute__((cold));
/* Keeps the FATAL that the borrower was sent: PostgreSQL ends the session. */
void server_keep_last_words(struct server *srv, const struct error_fields *e);
/* Returns true if PostgreSQL has told the borrower why it ends the session: sets *why to that. srv may be NULL. */
bool server_last_words(const struct server *srv, struct fail *why);
/* Logs how many were lost besides those that have lines of their own, once the second is over. Call it often. */
void server_losses_tell(const struct server_env *env, uint64_t now_us);
/* The part of server_step() for what is logged: a step in the debug log, a bug in any. */
int server_step_aloud(struct server *srv, enum server_event ev, enum server_state to) __attribute__((cold));

/* The only writer of srv->state. Returns 0, or -1 for a bug of pgweir's, which is logged. */
static inline int
server_step(struct server *srv, enum server_event ev)
{
	enum server_state to = server_state_next(srv->state, ev);

	if (to == SV_NONE || log_enabled(srv->env->log, LOG_LEVEL_DEBUG))
		return server_step_aloud(srv, ev, to);
	srv->state = to;
	return 0;
}

/* For good, and the worst counts. */
static inline void
server_condemn(struct server *srv, enum server_fitness fitness)
{
	if (srv->fitness < fitness)
		srv->fitness = (uint8_t)fitness;
}

/* Lends an IDLE server to borrower; the loan begins. Returns 0, or -1 for a bug of pgweir's, which is logged. */
int server_lend(struct server *srv, void *borrower, uint64_t now_us);
/* Pings an IDLE server: owner_ops.pinged follows. sql: empty (QUESTION_PING); a query whose rows are ignored
 * (QUESTION_CHECK); or one of the owner's that does it as well (QUESTION_OF_OWNER): owner_ops.answer_row and answered
 * come first. */
void server_ping(struct server *srv, enum server_question question, const char *sql);
/*
 * The borrower of a LENT server has gone or returned it (server_reset.c): clears borrower, cancels whatever runs,
 * swallows its replies, rolls back an open transaction, and does what order says. Then it calls owner_ops.clean, or
 * gone on failure. An error only costs this connection, which no client has meanwhile.
 */
void server_reset(struct server *srv, const struct reset_order *order, uint64_t now_us);
void server_reset_next(struct server *srv); /* nothing is owed any more while RESET, or the owner holds it no more */
/* DISCARD ALL has run, or will first: forgets settings and SQL-prepared statements. Returns 0, or -1: no memory. */
int server_forget_session(struct server *srv);
/* Writes one complete batch. Returns 0, or -1 without memory: then the next read ends the server. */
int server_write(struct server *srv, const void *bytes, size_t len);
/* server_gucs.c */
/* Enters a simple Query of pgweir's own into the ledger: it drops the unnamed statement. */
void server_owe_query(struct server *srv, enum owed_to to);
/* Writes what was built in b and entered in the ledger, and frees b. Returns 0, or -1: no memory, as server_write(). */
int server_send(struct server *srv, struct buf *b);

/* Returns the read-only parameters of the login (server_version ...) as a GUC set; the caller's reference. */
const struct gucs *server_welcome(const struct server *srv);

/* --- server_gucs.c: settings of a server, and those that its plans were made under --- */
/* Returns true if the plans there are as this GUC set would have them made. */
bool server_plans_suit(const struct server *srv, struct gucs *gucs);
/* Turns the server's settings into these: appends the messages, with a Sync, to out, and enters them in the ledger. The
 * caller sends them, and sets srv->gucs if the server will have it. always, is_guarded: see gucs_put_changes. */
void server_put_gucs(struct server *srv, const struct gucs *to, const struct gucs *always, bool is_guarded,
		     struct buf *out);
/* The same for random(), which begins anew: another borrower may know its next values. seed: a random number. */
void server_put_seed(struct server *srv, uint64_t seed, struct buf *out);
/* Enters a Sync of our own, which is sent now. */
void server_owe_sync(struct server *srv, enum owed_to to);

/* --- server_cancel.c: cancels what runs on a server --- */
/* why: that it could not connect; NULL: it could. */
typedef void (*server_cancel_done)(bool is_confirmed, const char *why, void *arg);

/*
 * Sends a CancelRequest for its present request, on a connection of its own, and waits until PostgreSQL closes that:
 * then the signal was sent. If that is not confirmed in time, srv is condemned. done is called once, later; it is NULL
 * if a request of pgweir's own is cancelled, or that of a client that has gone: then srv ends if the cancel is not
 * confirmed in time. Returns 0, or -1 if it can't begin or another cancel is under way.
 */
int server_cancel(struct server *srv, uint64_t timeout_us, server_cancel_done done, void *arg);

/* A process that has the client which a cancel request is for, and the key; borrowed. */
struct server_cancel_place {
	const char *host;
	uint16_t port;
	uint32_t pid;
	const uint8_t *key;
	size_t key_len; /* at most 256 */
};
/* The same for a client of another process, without TLS. */
int server_cancel_elsewhere(const struct server_env *env, const struct server_cancel_place *at, uint64_t timeout_us,
			    server_cancel_done done, void *arg);
void server_cancel_abandon(const struct server_env *env); /* at exit: gives up all cancels under way */
