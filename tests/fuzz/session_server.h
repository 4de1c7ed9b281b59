/*
 * tests/fuzz/session_server.h - a PostgreSQL in a few hundred lines, on a Unix socket, without threads: it answers both
 * protocols well enough for deep states to be reached, and misbehaves on demand.
 *
 * It repeats the tokens (session_text.h) of a request in the rows, errors and reports it answers with, and aborts if
 * what pgweir sends is no message, if one transaction sees the tokens of two clients, or if a client's statement runs
 * where another's session state is left.
 *
 *   session_server.c    connections, bytes, logins
 *   session_protocol.c  messages
 *   session_sql.c       what statements do
 *   session_state.c     what they leave in the session, seen or not
 *   session_tx.c        what of it a rollback takes back
 *   session_cluster.c   what outlives connections: transactions
 */
#pragma once

#include "session_cluster.h"
#include "session_text.h"

#include "auth/scram.h"
#include "seal/seal.h"

#include <sys/queue.h>

#define CHANNELS_MAX 12
#define REPORTS 5
#define PLAN_CONTEXT_MAX 320
#define REPORT_ENCODING 1
#define SETTINGS_MAX 32
#define SAVES_MAX 6 /* a transaction, and its savepoints */
#define CHANNEL_LEN 40

enum fake_code { CODE_TOLD, CODE_FAILS, CODE_LATE, CODE_DIES }; /* when it is asked about the database's code */
enum fake_login { LOGIN_TRUST, LOGIN_CLEAR, LOGIN_MD5, LOGIN_SCRAM, LOGIN_ERROR, LOGIN_RAW };

/* A statement or a portal. */
struct named {
	TAILQ_ENTRY(named) link;
	char *name, *text;
	char tokens[TOKENS_MAX];
	char **values; /* of a Bind; NULL-terminated */
	uint32_t rows_left;
	bool is_begun, has_written, is_sql; /* sql: a PREPARE, which text is all of */
	bool has_parameter; /* of a statement of the protocol: one, a text, in it or declared */
	uint64_t analysed; /* state_context() of its Parse, if its text has this word; what its rows show */
};
TAILQ_HEAD(named_list, named);

/* A role, a session authorization, a custom setting. */
struct fake_setting {
	char *name, *value; /* owned; in the database's encoding */
};

/* What else a client leaves in its session. */
enum trace { TRACE_TEMP, TRACE_LOCK, TRACE_CURSOR, TRACE_SQL, TRACE_LISTEN, TRACE_SEED, TRACE_BACKEND, TRACES };

/* What a rollback takes back. */
struct fake_values {
	char *reports[REPORTS]; /* present values; NULL: the default */
	struct fake_setting settings[SETTINGS_MAX];
	size_t setting_count;
	bool has_temporary, has_cursor;
};

/* Of the database's code, by a transaction. */
struct fake_code_change {
	unsigned made, dropped; /* enum state_part: what it can touch */
};

struct fake_save {
	char name[32];
	struct fake_values v, after;
	bool has_locals;
	uint8_t traces[TRACES];
	char channels[CHANNELS_MAX][CHANNEL_LEN];
	size_t notify_len, write_count;
	struct fake_code_change code;
};

struct fake_conn {
	TAILQ_ENTRY(fake_conn) link;
	struct fake *fake;
	int fd; /* -1: nobody is connected; see fake_new_alone */
	uint32_t pid;
	struct buf in, out;
	size_t out_at; /* of out, what was sent */
	bool is_started, is_authenticated, is_over; /* over: closed once out is sent */
	bool is_ready; /* it has answered all, and got nothing since */
	enum fake_login login;
	struct scram_server *scram;
	bool has_scram_begun;
	/* the session */
	uint8_t tx;
	char owner; /* whose transaction it is; 0: nobody's yet */
	uint32_t xid; /* its number; 0: it has written nothing */
	uint64_t commit_lsn; /* of the last one that was committed */
	bool is_skipping, is_copying, is_copy_simple, is_asleep, is_sleep_simple;
	bool is_copy_cancelled; /* it will notice at the next data */
	bool has_signalled; /* a CancelRequest, for the first of two times */
	bool is_signalled; /* a cancel hits what it has got and not done yet, if anything */
	bool has_lock, was_stale;
	char sleep_tokens[TOKENS_MAX]; /* of the Query or portal that sleeps, or copies */
	char *behind; /* owned: statements of a simple Query behind one that sleeps, or copies; NULL: none */
	struct fake_values v, after; /* after: once SET LOCAL is over; only with has_locals */
	char *told[REPORTS]; /* values that were reported; NULL: the default */
	bool has_locals;
	struct fake_save saves[SAVES_MAX];
	size_t save_count;
	struct buf notify; /* channels and payloads, terminated, that are sent when the transaction has committed */
	char channels[CHANNELS_MAX][CHANNEL_LEN];
	struct named_list statements, portals;
	char user[64];
	uint8_t traces[TRACES]; /* bits: of A, B, ... */
	uint8_t sequences_of; /* bits: who has used one */
	char plan_of, plan_context[PLAN_CONTEXT_MAX]; /* whose plan is kept, and made for whom; 0: none is */
	struct fake_code_change code, due; /* due: committed, and told by a reply that pgweir has not read */
	bool is_asked; /* asleep: it was asked about the database's code */
	bool was_asked; /* something, since its login */
	bool is_outdated; /* pgweir was told to use it no more */
	size_t sent_before; /* ... bytes that it had sent by then, and that were not read yet */
	/* misbehaviour */
	bool is_held, is_deaf, is_liar; /* liar: it has answered what was not asked */
	size_t piece; /* bytes sent per turn; 0: all */
	size_t cut; /* so many more bytes, then it dies; SIZE_MAX: none */
	struct buf next; /* in place of the next answer */
};
TAILQ_HEAD(fake_conn_list, fake_conn);

struct fake {
	int fd;
	struct fake_conn_list conns;
	uint32_t last_pid;
	size_t sent, sent_max; /* bytes of rows, in this run: above the maximum they are short */
	struct fake_cluster cluster;
	enum fake_login login; /* of the connections to come */
	struct buf login_raw; /* LOGIN_ERROR: the SQLSTATE; LOGIN_RAW: all they get */
	struct scram_verifier verifier;
	unsigned code; /* enum state_part: what the database's code can touch */
	enum fake_code code_answer;
	bool is_code_unknown; /* once there was no answer */
	bool has_lied; /* pgweir may believe what is not so */
	bool has_parsed; /* non-ASCII bytes of a Parse, which pgweir may repeat under another encoding */
	bool is_leaky; /* session state may follow others */
	bool tells_transfer; /* who finds something of another's there gets an error that nobody else gets */
	bool reports_at_once; /* settings, as before version 14; else ahead of ReadyForQuery */
	struct buf characters; /* session_state.c: tokens, with the bytes behind each */
	/* Returns true if pgweir has read all that c has answered; NULL: at once. */
	bool (*has_read)(const struct fake_conn *c);
	bool are_cancels_late; /* none is carried out */
	bool signals_twice; /* as PostgreSQL before 18 does for each CancelRequest, before its connection ends */
	/* Returns true if a cancel hits more than what sleeps or copies; NULL: none does. */
	bool (*hits_what_begins)(const struct fake_conn *c);
	/* Returns true if pgweir knew of all code when it lent c; NULL: it did. */
	bool (*is_code_known)(const struct fake_conn *c);
	/* Each notification, in the order of commits; NULL: nobody wants to know. */
	void (*on_notify)(struct fake *f, const char *channel, const char *payload);
	/* Each message that a connection gets, before it is answered; NULL: nobody wants to know. */
	void (*on_message)(struct fake_conn *c, uint8_t type, const uint8_t *body, size_t len);
};

int fake_listen(const char *path); /* once; the descriptor serves one fake after the other */
/* verifier: for LOGIN_SCRAM. */
void fake_init(struct fake *f, int fd, const struct scram_verifier *verifier);
void fake_fini(struct fake *f); /* those that were not accepted are gone, too */
/* Accepts, reads, answers, sends what can be sent. True: something happened. */
bool fake_turn(struct fake *f);
/* The two halves of it, for one connection at a time: it may be freed. */
bool fake_accept(struct fake *f);
bool fake_conn_turn(struct fake_conn *c);
void fake_conn_execute(struct fake_conn *c); /* what has arrived; no answer is sent */
/* A session without a connection, logged in: it is fed, and out has what it answers, to be taken by the caller. */
struct fake_conn *fake_new_alone(struct fake *f, const char *user);
void fake_feed(struct fake_conn *c, const void *bytes, size_t len);
void fake_conn_free(struct fake_conn *c);
struct fake_conn *fake_find(struct fake *f, size_t i); /* the i-th of those that are there, modulo; or NULL */
void fake_put(struct fake_conn *c, const void *bytes, size_t len); /* sent as it is, now */
void fake_behave(struct fake *f); /* all of them again, from now on */
void fake_wake(struct fake_conn *c, bool is_cancelled); /* it slept */
void fake_fail_copy(struct fake_conn *c, const char *sqlstate, const char *text); /* if it copies in */
void fake_notify(struct fake *f, uint32_t pid, const char *channel, const char *payload);

void named_free_all(struct named_list *list);
struct named *named_find(struct named_list *list, const char *name);
struct named *named_put(struct named_list *list, const char *name, const char *text); /* in place of one it has */
void named_drop(struct named_list *list, const char *name);

/* Between session_server.c and session_protocol.c; the body has two NULs behind it. */
void fake_message(struct fake_conn *c, uint8_t type, const uint8_t *body, size_t len);
void fake_password(struct fake_conn *c, const uint8_t *body, size_t len);

/* session_sql.c */
enum sql_result { SQL_DONE, SQL_FAILED, SQL_COPY_IN, SQL_SLEEPS, SQL_SUSPENDED };
/* One statement. portal: NULL for a simple one, else of the Execute, of which max rows are wanted (0: all). */
enum sql_result sql_run(struct fake_conn *c, const char *sql, const char *tokens, struct named *portal, uint32_t max);
bool sql_has_rows(const char *sql);
bool sql_is_exit(const char *sql); /* it may end a transaction that has failed */
/* An error, or a FATAL, from a routine of PostgreSQL's. */
void fake_error_of(struct fake_conn *c, const char *severity, const char *routine, const struct fail *why);
void sql_error(struct fake_conn *c, const char *sqlstate, const char *text, const char *tokens);
void sql_error_of(struct fake_conn *c, const char *sqlstate, const char *what, const char *name, const char *problem);
void sql_row_description(struct fake_conn *c);
void sql_reports(struct fake_conn *c); /* all of them, as after a login */
void sql_report_changes(struct fake_conn *c, size_t at); /* since the last report; they go to this place of c->out */
/* value NULL: back to the default. False: it is refused, and the error is told. */
bool sql_set(struct fake_conn *c, const char *name, const char *value);
void sql_forget(struct fake_conn *c); /* DISCARD ALL */
const char *sql_report_name(size_t i);
const char *sql_report(const struct fake_values *v, size_t i); /* the present value */

/* session_tx.c */
enum savepoint_verb { SAVEPOINT_MAKE, SAVEPOINT_RELEASE, SAVEPOINT_BACK };
void tx_open(struct fake_conn *c); /* fine if it is open */
void tx_end(struct fake_conn *c, bool is_commit);
bool tx_savepoint(struct fake_conn *c, enum savepoint_verb verb, const char *name); /* false: there is none */
void tx_begin_locals(struct fake_conn *c); /* settings change for the transaction alone, from now on */
void tx_set_for_good(struct fake_conn *c, void (*change)(struct fake_conn *c, const void *arg), const void *arg);
void tx_notify(struct fake_conn *c, const char *channel, const char *payload);
void tx_free(struct fake_conn *c);
void values_free(struct fake_values *v);

/* session_state.c */
unsigned state_words(const char *text); /* enum state_part: of the hidden_... in it */
const char *state_word(size_t i); /* each hidden_...; NULL: there are no more */
bool state_is_setting(const char *name);
const char *state_get(const struct fake_conn *c, const char *name);
void state_set(struct fake_conn *c, const char *name, const char *value); /* NULL: it is gone */
void state_reset_all(struct fake_conn *c, bool is_identity_too);
const char *state_encoding(const char *name); /* its proper name; NULL: unknown */
char *state_to_server(const struct fake_conn *c, const char *text); /* owned; NULL: it is not in the encoding */
void state_check_characters(struct fake *f, const char *value); /* of a setting: aborts if they have changed */
void state_check_refused(struct fake *f, const char *value); /* the same, of what is not in the encoding */
/* A statement with these tokens runs; aborts if it meets what another client has left. */
bool state_check(const struct fake_conn *c,
		 const char *tokens); /* false, if tells_transfer: there is something of another's */
void state_trace(struct fake_conn *c, enum trace trace, const char *tokens);
void state_read_sequence(const struct fake_conn *c, const char *tokens);
void state_next_sequence(struct fake_conn *c, const char *tokens);
void state_run_code(struct fake_conn *c, const char *sql, const char *tokens, bool is_opaque);
/* CREATE or DROP of code with such words. */
void state_change_code(struct fake_conn *c, const char *sql, bool is_drop);
/*
 * What its transaction has made is everybody's as soon as pgweir has read that: what others leave by it before is a
 * known limit.
 */
void state_commit_code(struct fake_conn *c);
void state_tell_code(struct fake *f); /* what pgweir has read since is everybody's now */
uint64_t state_context(const struct fake_conn *c); /* a hash of what the session reads SQL as, and as whom */
void state_put_code(struct fake_conn *c); /* the answer */
void state_forget_code(struct fake *f); /* there is none */
/* Puts its rows, but those of reported settings. Returns false if one has a letter that the client's encoding lacks. */
bool state_probe(struct fake_conn *c, const char *sql);
void state_put_prepared(struct fake_conn *c); /* the seal's question */
