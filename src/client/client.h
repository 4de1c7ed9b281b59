/*
 * src/client/client.h - one application connection, and its session as the application believes it to be.
 *
 *   client_login.c   from the first byte to the first ReadyForQuery, with client_auth.c and client_welcome.c
 *   relay.c          requests, to a server that is borrowed for as short as can be
 *   replies.c        and what comes back
 *   statements.h     prepared statements across servers
 *   replication.c    clients that replicate, each on a server of its own
 *   rerun.c          a request that met an outdated plan, sent once more
 *   listen.c         LISTEN, UNLISTEN; listen_queue.c: notifications
 *   session_texts.c  what requests may leave behind in the session, with session_settle.c and session_reset.c
 *   refusal.c        requests that get no server: their error, and the rest of them dropped
 *   cancel.c         CancelRequests
 *   cancel_sql.c     pg_cancel_backend() and pg_terminate_backend() of what clients were told is their PID
 *   sole_use.c       statements that need a database to themselves: our idle servers step aside
 *   report.c         what a finished request cost, counted and perhaps logged
 *
 * Owns:   its socket, what it has read but not handled, its statements, its image.
 * Borrows: a server (srv) from its pool entry, between link and unlink.
 * Always: srv != NULL exactly while a server's link is this client; while its ticket waits, srv is NULL; a client that
 *         is_closing gets no further bytes and asks for no server; memory lives until the loop's next turn.
 */
#ifndef PGWEIR_CLIENT_CLIENT_H
#define PGWEIR_CLIENT_CLIENT_H

#include "base/buf.h"
#include "base/counters.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/request_report.h"
#include "config/config.h"
#include "net/graveyard.h"
#include "net/outbox.h"
#include "net/stream.h"
#include "pool/pool_set.h"
#include "session/image.h"
#include "session/statement_store.h"

#include <netinet/in.h>
#include <sys/queue.h>

struct client;
struct client_login; /* client_login.c: while logging in */
struct client_statements; /* statements.h: from the first Parse */
struct sole_use; /* sole_use.c */
struct client_listen; /* listen.c: from the first LISTEN */
struct client_session; /* session.h: from the first text that may leave something in the session */
struct verifier_cache; /* verifier_cache.c */
struct auth_queries; /* auth_query.h */
struct audit; /* audit.h */
struct hba; /* auth/hba.h */
struct ident; /* auth/ident.h */
struct door; /* door.h */
struct door_entry; /* door_table.h */
struct long_key; /* cancel.c */
struct workers; /* net/workers.h */
struct tls_context; /* net/tls.h */
struct tls_scratch; /* net/handshake.h */

enum client_state { CL_STARTUP, CL_AUTHENTICATION, CL_WELCOME, CL_READY, CL_CONSOLE, CL_CANCEL, CL_CLOSED };

#define DONE_MAX 64

/* A request whose last reply is on its way; measured once it is sent. */
struct done_request {
	uint64_t started_us;
	uint32_t statements;
	bool is_simple, has_text; /* srv->loan.text is this request's */
};

/* What all clients of one loop share. Owned by struct weir. */
struct client_env {
	struct event_base *base;
	struct graveyard *graveyard;
	struct workers *workers;
	struct tls_scratch *tls_scratch;
	struct tls_context *tls; /* of the present configuration; NULL: clients get none */
	struct log *log;
	uint64_t *now_us;
	uint8_t *read_buffer;
	size_t read_cap;
	struct outbox to_client, to_server; /* empty between callbacks */
	struct done_request done[DONE_MAX]; /* of the batch under way */
	struct {
		uint8_t
		    *bytes; /* NULL, or what was pending with the client that is handled: client_keep takes it back */
		uint32_t len, cap;
	} handled;
	unsigned done_count;
	struct pool_set *pools;
	struct statement_store *statements;
	size_t name_bytes; /* of all clients' names of statements */
	struct image_store *images;
	struct verifier_cache *verifiers;
	struct auth_queries *auth_queries;
	struct audit *audit;
	struct door *door;
	struct config *config; /* the present ones; a reload replaces them */
	struct users *users;
	struct hba *hba; /* method = hba; else NULL */
	struct ident *ident; /* or NULL */
	uint8_t mock_secret[32];
	struct process_counters *counters;
	TAILQ_HEAD(client_list, client) clients;
	TAILQ_HEAD(client_lingerers, client) lingering; /* session_linger.c */
	struct event *linger_timer;
	uint32_t client_count, login_count,
	    cancel_count; /* of them; cancel and console connections do not count as clients */
	struct client **keyed; /* by cancel key: lists along key_next */
	uint32_t keyed_cap, keyed_count; /* cap: 0 or a power of two */
	uint32_t random[64], random_left; /* for cancel keys */
	uint64_t last_id, last_token, sample_state;
	uint64_t hash_seed; /* random: for tables whose keys clients choose */
	bool is_draining; /* SIGTERM: no new clients, no new transactions */
	bool is_client_idle_limited;
	/* Upwards. */
	void *up;
	void (*on_report)(void *up, const struct request_report *report); /* slow, refused or lost requests */
	void (*on_console)(void *up, struct client *c, uint8_t type, const uint8_t *body, size_t len);
	void (*on_console_closed)(void *up, struct client *c);
	void (*on_client_gone)(void *up); /* after each close: a drain may be over */
};

struct client {
	struct stream stream;
	struct grave grave;
	struct client_env *env;
	TAILQ_ENTRY(client) all;
	struct pool_entry *entry; /* from the right password on */
	struct server *srv;
	struct pool_ticket ticket;
	struct image *image, *startup; /* startup: as it was after the login */
	struct client_statements *statements;
	struct sole_use *sole_use; /* NULL, nearly always */
	struct client_listen *listen;
	struct client_session *session;
	struct client_cancel *cancels; /* of what it runs; see cancel.c */
	union {
		struct client_login *login;
		void *console; /* the console's own */
		struct client_cancel *cancel;
	};
	struct door_entry *address, *who; /* what it counts in: door.h; NULL: nowhere */
	char *user; /* as it logged in; NULL: entry->user */
	uint8_t *pending; /* read but not handled: an unfinished message, or what waits for a server */
	uint32_t pending_len, pending_cap;
	uint32_t body_left; /* of the message being forwarded or dropped */
	uint32_t cancel_pid, cancel_secret; /* pid 0: none yet; secret: all of it, or its beginning */
	bool has_long_key;
	union {
		struct client *key_next; /* of those with the same hash */
		struct long_key *long_key; /* holds the rest of the secret, and key_next */
	};
	uint64_t id;
	uint32_t requests_done; /* that a server has answered */
	uint64_t connected_us, request_us,
	    wait_us; /* request_us: first byte of the oldest unanswered request was read */
	uint64_t sequence_us; /* when it last ran what a currval() may follow: session_linger.c */
	TAILQ_ENTRY(client) lingering;
	uint64_t idle_since_us; /* since when it has owed us a request */
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} peer;
	uint8_t state; /* enum client_state */
	uint8_t replication; /* enum startup_replication; not NONE: is_session too */
	uint16_t pins; /* 1 << enum pin_reason: why it keeps its server between transactions */
	uint8_t refusing; /* 0, or what ends the refused request: 'Q' (its own end) or 'S' (a Sync) */
	bool is_body_dropped; /* body_left is dropped, not forwarded */
	bool is_body_scanned; /* body_left is part of a text that session_texts.c wants to see */
	bool is_unix, is_closing, is_stalled;
	bool is_unlogged; /* its login was refused, and there are too many lines of that: door_may_log */
	bool is_held; /* pending begins with a message that waits for replies to earlier ones */
	bool is_rerunning; /* its request is sent once more when the Sync behind the error is answered */
	bool is_in_relay; /* relay_from_client is running: no release in its back */
	bool has_caught_up; /* relay.c: its settings were replayed for the message at hand */
	bool is_lingering; /* session_linger.c */
	bool is_stats_only; /* console: may only SHOW */
	bool is_counted; /* in env->client_count */
	bool is_session; /* its server is its own from login to the end: pool_mode = session as it was then */
	bool has_run; /* something was sent to the server it holds */
};

/* A new connection; takes fd. peer may be a Unix address. */
void client_accept(struct client_env *env, int fd, const struct sockaddr *peer, bool is_unix);
/* Tells it (FATAL, if why is given), closes; its server is returned, reset or closed as its state demands. */
void client_close(struct client *c, const struct fail *why);
/* Sends bytes that were built; no memory closes the client. */
void client_send(struct client *c, const struct buf *b);
/* Bytes that could not be handled now: kept. -1: no memory. */
int client_keep(struct client *c, const uint8_t *bytes, size_t len);
/*
 * For a client with a server: is something of its own under way there, or held back until it may be? since_us: since
 * when, not counting its time in the line and the requests before it.
 */
bool client_is_served(const struct client *c, uint64_t *since_us);
/* "10.0.0.7:51514" or "unix". */
void client_peer_text(const struct client *c, char *out, size_t out_cap);
const char *client_user(const struct client *c);
const char *client_application(const struct client *c);
/* idle, active, waiting: for SHOW and metrics. */
enum { CLIENT_IS_LOGIN, CLIENT_IS_IDLE, CLIENT_IS_ACTIVE, CLIENT_IS_WAITING };
int client_activity(const struct client *c);
/* About every 100 ms: login, query, transaction and idle limits. */
void clients_tick(struct client_env *env, uint64_t now_us);
/* SIGTERM: those between transactions are told 57P01 and closed now, others when their transaction ends. */
void clients_drain(struct client_env *env);
struct client *client_find_id(struct client_env *env, uint64_t id);

/* client_login.c, client_welcome.c */
void login_begin(struct client *c);
/* Handles or keeps all of it; wipes bytes (which are the caller's to write to), as they may hold a password. */
void login_bytes(struct client *c, const uint8_t *bytes, size_t len);
void login_free(struct client_login *login);
/* While WELCOME: the server that was borrowed has told about the client's settings. */
void login_server_error(struct client *c, const struct error_fields *e);
void login_server_done(struct client *c);
void login_server_lost(struct client *c, const struct fail *why);
void login_refused(struct client *c, const struct fail *why, enum request_failure kind); /* by the pool */
void login_granted(struct client *c, struct server *srv);

/* replies.c */
extern const struct server_ops relay_server_ops;

/* relay.c */
void relay_bytes(struct client *c, const uint8_t *bytes, size_t len); /* handles or keeps all of it */
/* The client goes: what becomes of its server. */
void relay_leave(struct client *c);
void relay_cancel_wait(struct client *c); /* its user cancelled a request that waits for a server */
void relay_ticket(struct client *c); /* makes c->ticket ready to borrow with */
void relay_try_release(struct client *c);
/* A batch for this peer begins in one of the loop's outboxes, or goes on. */
void relay_begin(struct client_env *env, struct outbox *o, struct stream *to);
void relay_answer(struct client *c, const void *bytes, size_t len); /* a reply of ours, in its turn in the batch */
void relay_out_of_memory(struct client *c); /* closes it, and its server */
void relay_unstall(struct client *c); /* reads it again if nothing is in its way any more */

/* refusal.c */
/* The request at the front of what is pending gets this error; the rest of it is dropped; the client lives on. */
void refuse_request(struct client *c, const struct fail *why, enum request_failure kind);
/* why in the words for this client: names are added. */
void refusal_words(const struct client *c, const struct fail *why, struct fail *told);
/* Drops messages of the refused request; used bytes. May end refusing (then ReadyForQuery was sent). */
size_t refuse_bytes(struct client *c, const uint8_t *bytes, size_t len);

/* statements.c: messages of the extended protocol that name statements, for a linked client. */
enum statement_step {
	STATEMENT_FORWARD, /* send it as it is */
	STATEMENT_DONE, /* what is to be sent is in the outbox */
	STATEMENT_HOLD, /* not before what was sent earlier is answered */
	STATEMENT_FAILED /* no memory */
};
enum statement_step statements_parse(struct client *c, const uint8_t *message, size_t len);
/* Bind: message may be cut after its names, or more may follow it (have > total); *used bytes are dealt with, the rest
 * follows as it is. */
enum statement_step statements_bind(struct client *c, const uint8_t *message, size_t have, size_t total, size_t *used);
enum statement_step statements_describe(struct client *c, const uint8_t *message, size_t len);
enum statement_step statements_close(struct client *c, const uint8_t *message, size_t len);
bool statements_parse_unlinked(struct client *c, const uint8_t *message, size_t len); /* false: a server is needed */
bool statements_close_unlinked(struct client *c, const uint8_t *message, size_t len); /* false: malformed */
/* A whole simple Query: DONE if something else was sent in its place. Its ledger entry is the caller's. */
enum statement_step statements_query(struct client *c, const uint8_t *message, size_t len);
void statements_note_drop(struct client *c, const char *sql, size_t len); /* a text is about to run */
void statements_deallocated(struct client *c); /* CommandComplete of a DEALLOCATE */
void statements_request_done(struct client *c); /* ReadyForQuery */
enum statement_step statements_simple_query(struct client *c); /* before one: it will drop the unnamed statement */
void statements_sync(struct client *c); /* an error before it ends with it */
/* What a Describe of a named statement brought: see server_ops.described. */
void statements_described(struct server *srv, const struct owed *o, uint8_t type, const uint8_t *body, size_t len,
			  bool is_whole);
void statements_settled(struct server *srv, const struct owed *o, enum owed_end how);
void statements_deallocated_all(struct client *c);
/* A Parse over max_statement_size. FORWARD: entered in the ledger; DONE: drop it, another was sent; HOLD, FAILED. */
enum statement_step statements_oversize_parse(struct client *c, const char *name);
bool statements_hold_server(const struct client *c);
/*
 * Before a message, or at_end before its server goes: what was materialised there is taken away. FORWARD: there is
 * nothing, or its request is not over; DONE: it is on its way; HOLD: not before its request is answered; FAILED.
 */
enum statement_step statements_undo(struct client *c, bool is_at_end);
bool statements_are_materialised(const struct client *c);
/* An error that speaks of pgweir_<n> is to speak of the client's own name: rewritten to out; false: nothing to do. */
bool statements_rewrite_error(struct client *c, const uint8_t *message, size_t len, struct buf *out);
void statements_free(struct client *c);
struct statement *statements_find(const struct client *c, const char *name); /* "": the unnamed one; or NULL */
size_t statements_count(const struct client *c);

/* rerun.c */
/*
 * A message was dealt with: it is kept if it may have to be sent again. is_sent: something of it went to the server.
 * Messages of a batch lie one behind the other.
 */
void rerun_keep(struct client *c, const uint8_t *message, size_t len, bool is_sent);
void rerun_keep_rest(struct client *c, const uint8_t *end); /* the batch is walked up to here */
/* An error came. True: the client must not see it; rerun_now is due when nothing is owed any more. */
bool rerun_wanted(struct client *c, const struct error_fields *e);
void rerun_now(struct client *c);

void session_encoding_changed(struct client *c); /* session_settle.c: the server has reported it */
bool session_is_followed(const struct client *c); /* transaction or statement mode, and not "allow" */
/* session_texts.c: texts that are about to be sent, for a linked client. */
/*
 * A simple Query's text; have < len: the rest comes by session_text. FORWARD; DONE: another message is in the outbox in
 * its place, of which the client is shown the first *shown CommandCompletes; HOLD; FAILED.
 */
enum statement_step session_query(struct client *c, const char *sql, size_t have, size_t len, unsigned *shown);
void session_text(struct client *c, const uint8_t *bytes, size_t len, bool is_end); /* while is_body_scanned */
/* A Parse that is passed through as it is: what it may do is known no better than that. */
enum statement_step session_passed_parse(struct client *c, const char *sql, size_t have, size_t len);
/* The same in session mode, where only the audit cares. */
void session_audit_parse(struct client *c, const char *sql, size_t len);
/* The statement behind a Bind; NULL: nobody here knows it. body: of the Bind, whole if it is not longer than a text. */
enum statement_step session_bind(struct client *c, struct statement *st, const char *portal, const char *name,
				 const uint8_t *body, size_t len);
enum statement_step session_describe(struct client *c, const struct statement *st, const char *name);
enum statement_step session_before_execute(struct client *c, const char *portal);
int session_after_execute(struct client *c, const char *portal); /* -1: no memory */
int session_function_call(struct client *c); /* -1: no memory */
bool session_holds(const struct client *c); /* nothing may be sent now */

/* session_linger.c */
/* Somebody waits for a server: whoever lingers lets go of his, but from the loop, not from within this call. */
void session_yield(struct client_env *env);
int session_linger_init(struct client_env *env); /* after env->base is set. -1: no memory */
void session_linger_tick(struct client_env *env);
void session_stop_lingering(struct client *c);
void session_leaves_sequences(struct client *c); /* it gives its server back */

/*
 * session_context.c: under which of its settings PostgreSQL reads this text, if any of them matter. False: the text
 * must not be shared with other clients at all.
 */
bool session_statement_context(const struct client *c, const char *sql, size_t len, uint32_t *context);
bool session_reads_as(const struct client *c, const struct image *reading); /* that is what its server has, for sure */
/* SQL (NULL: nobody knows which) is about to run, or what a Bind of this name does. */
void session_note_run(struct client *c, const char *sql, size_t len);
void session_note_bind(struct client *c, const char *name);
/* A text is about to run: until its transaction is over, nothing is shared if it has SET LOCAL of such settings. */
void session_note_local(struct client *c, const char *sql, size_t len);
void session_note_local_of(struct client *c, struct statement *st); /* NULL is fine */

/* session_prepare.c */
/* Before a text runs (a simple Query), is parsed, bound or described: what it may use of SQL PREPARE is there. -1: no
 * memory. */
int session_ensure_prepared(struct client *c, const char *sql, size_t len, bool is_simple);
int session_ensure_named(struct client *c, const char *name); /* the same for Bind or Describe of it */
void session_prepare_settled(struct server *srv, const struct owed *o, enum owed_end how);
void session_keep_error(struct client *c, const uint8_t *message, size_t len);
bool session_tell_kept_error(struct client *c, const char *sqlstate); /* true: told in place of this one */

/* session_settle.c */
/* Nothing is owed, no transaction is open: may its server go? If not now, something is under way, or it is pinned. */
bool session_may_release(struct client *c);
bool session_is_dirty(const struct client *c); /* its server must be cleaned before another gets it */
bool session_is_refused(const struct client *c, struct fail *why); /* its next request is its last */
bool session_is_tainted(const struct client *c); /* ... and can't be */
unsigned session_seal(const struct client *c); /* enum state_part: washed off its server before another gets it */
void session_probe_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
void session_probe_failed(struct client *c);
void session_probe_done(struct server *srv);
void session_free(struct client *c);
/* What it may have set is lost with its server: its next request is its last, and answered so. -1: no memory. */
int session_lose(struct client *c, const struct fail *why);
const char *session_pin_reasons(const struct client *c, char *out, size_t out_cap); /* "temp_table, cursor"; "" */
/* Sends what turns its server's image into the client's, ahead of what follows. -1: no memory. */
int session_replay(struct client *c);
int session_catch_up(struct client *c); /* its settings only: prepared statements are its own by now */

/* session_reset.c */
void session_discarded(struct client *c); /* CommandComplete of DISCARD ALL */
void session_request_failed(struct client *c); /* an error that is the client's */
void session_request_done(struct client *c);
bool session_hides_parameter(const struct client *c, const char *name);

/* cancel.c */
#define CANCEL_PID_MADE 0x40000000u /* from here on pids are made up: no process has one of these */
void cancel_begin(struct client *c, uint32_t pid, const uint8_t *key, size_t key_len);
void cancel_free(struct client *c);
#define CANCEL_SECRET_MAX 32 /* bytes */
/* Gives it a key with this pid (0: a made-up one) and a secret of 4 bytes, or CANCEL_SECRET_MAX. -1: no memory. */
int cancel_register(struct client *c, uint32_t pid, bool is_long);
size_t cancel_secret(const struct client *c, uint8_t out[static CANCEL_SECRET_MAX]); /* its length */
void cancel_unregister(struct client *c);
struct client *cancel_find_pid(struct client_env *env, uint32_t pid); /* whom this made-up pid was told; or NULL */
/* What it runs now is cancelled (or, is_end, it is ended) soon, from the loop. -1: no memory. */
int cancel_later(struct client *target, bool is_end);

/* cancel_sql.c: see server_ops.no_such_pid */
bool cancel_no_such_pid(struct server *srv, uint32_t pid);

/* replication.c: for clients whose replication is not NONE */
bool replication_is_streaming(const struct client *c); /* also for others: false */
void replication_leave(struct client *c); /* it goes: so does its server */

/* sole_use.c: a linked client's texts, as they are sent; -1: no memory. bind, request_done: only while c->sole_use is
 * set. */
int sole_use_query(struct client *c, const char *sql, size_t len);
int sole_use_parse(struct client *c, const char *name, const char *sql, size_t len);
int sole_use_bind(struct client *c, const char *name);
void sole_use_settled(struct client *c, const struct owed *o, enum owed_end how); /* a question of its own, answered */
void sole_use_request_done(struct client *c, const struct owed *ended);
void sole_use_forget(struct client *c); /* also without */

/* report.c */
void report_lent(struct client *c); /* its wait for a server is over */
void report_done(struct client *c, struct server *srv, const struct owed *ended); /* before its replies are sent */
void report_flushed(struct client *c, struct server *srv, bool is_sent); /* after the batch was sent */
void report_error(struct pool_entry *entry, enum error_origin origin, const char *sqlstate);
/* event: the slow log's word for it; NULL: kind's. */
void report_failure(struct client *c, const struct fail *why, enum request_failure kind, const char *event);
void report_text(struct server *srv, const uint8_t *text, size_t len, size_t total, bool is_simple);
void report_request_begins(struct client *c, struct server *srv);

#endif
