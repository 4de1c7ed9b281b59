/*
 * src/server/loan.h - the part of a server connection that belongs to its present borrower.
 *
 * A loan begins when the pool lends the server (server_lend), and ends when the server is returned, reset or closed.
 *
 * Owns:    the buffers (text, bind, kept, sent), which the next loan uses again, and a reference to commit.before.
 * Borrows: notify_listener, a pointer that is compared and never followed.
 * Always:  the fields keep their values after the end of a loan, until loan_begin() clears all but the buffers for the
 *          next loan.
 */
#pragma once

#include "base/counters.h"
#include "session/commit_fate.h"
#include "wire/tag.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum kept_state {
	KEPT_NOTHING, /* nothing of the request was sent yet */
	KEPT_SO_FAR, /* all of the request that was sent so far is kept */
	KEPT_WHOLE, /* the whole request is kept, with its Sync */
	KEPT_IMPOSSIBLE /* the request is not kept: it is too long, or must not run twice */
};

/* A copy of bytes that the borrower has sent, in case the bytes must be relayed again: see relay/resend.h. */
struct request_copy {
	uint8_t *bytes;
	uint32_t len, cap;
};

/* The borrower's request as it came. A request that fails because of an outdated plan is run again (relay/retry.c). */
struct kept_request {
	struct request_copy copy;
	uint8_t state; /* enum kept_state */
	/* while a batch is handled: the first byte of the request that is not copied yet; NULL at other times */
	const uint8_t *from;
};

enum sent_state {
	SENT_WHOLE, /* the copy is complete */
	SENT_CUT, /* bytes are missing: the copy was too long, or the client kept the server after an answer */
	SENT_ANSWERED /* the borrower was sent an answer to a message of the copy */
};

/* A copy of everything that was sent since the server last owed no reply. If the server ends without executing these
 * messages, the copy is sent to another server (relay/resend.c). */
struct sent_copy {
	struct request_copy copy;
	uint32_t named_before; /* statements_last_name_number() when the copy began */
	uint8_t state; /* enum sent_state */
	/* the loan had requests before those of the copy; set by resend_begin(), cleared by loan_begin() */
	bool has_earlier_requests;
	/* how many Parses and Closes at the beginning of the copy were answered by pgweir itself */
	uint16_t local_count;
};

/* Measures how long the present request has waited for each party (enum phase). At any time, the party that owes the
 * next byte is the debtor. See exchange/report.c. */
struct phase_clock {
	uint64_t since_us; /* when us[] was last brought up to date; 0 if no request is under way */
	uint64_t us[PHASE_COUNT]; /* how long each party has been the debtor in this request */
	uint8_t debtor; /* enum phase */
	bool is_timed; /* the clock is read after each batch of this request; set and cleared by start_clock() */
	/* Bytes of the replies to the present requests were passed to the client's outbox. Set by replies.c, cleared by
	 * report.c, resend_begin() and loan_begin(). */
	bool has_passed_reply;
	/* A part of the answer was sent to the client. Set by report.c, cleared by report.c and loan_begin(). */
	bool is_flowing;
};

/* How far the borrower's COMMIT has come, where COMMITs are checked: see commit_check/commit_check.c. */
enum commit_phase {
	COMMIT_NOT, /* no COMMIT is under way */
	COMMIT_ASKED, /* pgweir has asked for the transaction's mark (struct commit_mark), before the COMMIT */
	COMMIT_BOUND, /* the COMMIT is bound to the unnamed portal */
	COMMIT_SENT,
	COMMIT_ANSWERED, /* the COMMIT's own reply has come; its ReadyForQuery is still due */
	COMMIT_SKIPPED /* an error before the COMMIT has skipped it; its ReadyForQuery is still due */
};

/* How far the question for the open transaction's mark (struct commit_mark) has come. pgweir asks this question
 * after the transaction's first write. */
enum mark_question {
	MARK_NOT_ASKED,
	MARK_DUE, /* the question will be sent when the replies so far are sent to the client */
	MARK_ASKED, /* the answer is due */
	MARK_AWAITED, /* the answer is due, and the COMMIT is held until it comes */
	MARK_ANSWERED /* the answer has come, and the COMMIT is still held */
};

/* The state of the transaction before its COMMIT is sent. OUTLOOK_READ_ONLY: the transaction has no transaction ID.
 * OUTLOOK_FAILED: the transaction has failed. OUTLOOK_OPEN: neither is known. */
enum commit_outlook { OUTLOOK_OPEN, OUTLOOK_READ_ONLY, OUTLOOK_FAILED };
/* How the COMMIT is run: in a Query, or as an unnamed or named statement. */
enum commit_form { COMMIT_IN_QUERY, COMMIT_OF_UNNAMED, COMMIT_OF_NAMED };

/* The effect that the messages since the last Sync, answered or not, have on the transaction block. */
enum block_change { BLOCK_AS_BEFORE, BLOCK_BEGUN, BLOCK_ENDED };

struct loan_commit {
	struct commit_mark mark; /* the mark of the open transaction */
	/* the GUC set before the open transaction; NULL if the transaction has changed no reported setting */
	struct gucs *before;
	uint8_t phase; /* enum commit_phase */
	uint8_t question; /* enum mark_question; written by set_question() */
	uint8_t outlook; /* enum commit_outlook */
	uint8_t form, kind; /* the COMMIT's enum commit_form and enum known_kind */
	uint8_t block; /* enum block_change */
	/* enum loan_undone: the worst result since the last ReadyForQuery. (PostgreSQL reports changed settings before
	 * each ReadyForQuery.) */
	uint8_t undone;
	uint8_t begun; /* enum block_change: BLOCK_BEGUN if a BEGIN was answered since the last ReadyForQuery */
	bool is_on; /* COMMITs of this loan are checked; set and cleared by commit_check.c */
	/* A question of pgweir's has failed, and so has the transaction. Set by commit_check.c, cleared by
	 * loan_begin(). */
	bool is_broken;
	/* The transaction may have an effect although it has no transaction ID, because of NOTIFY or postgres_fdw. Set
	 * and cleared by commit_check.c. */
	bool has_effect_without_xid;
};

/* Says whether the borrower's next request may call currval(): the borrower has run a statement that may have used a
 * sequence (FOLLOWED_BY_CURRVAL_MAYBE), or has called currval() before (FOLLOWED_BY_CURRVAL). */
enum followed_by { FOLLOWED_BY_NOTHING, FOLLOWED_BY_CURRVAL_MAYBE, FOLLOWED_BY_CURRVAL };

/* The facts that decide whether the borrower keeps the server for a currval(): see state/linger.c. */
struct loan_sequence_use {
	uint8_t by; /* enum followed_by */
	/* the borrower's requests_done (exchange.h) when it last used a sequence, or called currval() */
	uint32_t requests_at_last_use;
	uint32_t requests_at_rest; /* the borrower's requests_done when it last had nothing under way */
	/* The number (requests_done + 1) of the last request that began while the server had no sequence values of the
	 * borrower's; 0 if there was no such request. */
	uint32_t last_clean_request;
	uint64_t since_us; /* since when the borrower has had nothing under way */
	uint32_t currval_calls; /* calls of currval() since the borrower last used a sequence */
	uint32_t rounds; /* how often the borrower has used a sequence while other clients waited */
};

/* Says whether the open transaction has run CREATE, ALTER or DROP, and whether that affects other sessions' plans. */
enum loan_ddl { DDL_NONE, DDL_DONE, DDL_CHANGES_PLANS };
/* Says, according to command tags, if the open transaction has changed the code of the database (CODE_CHANGED), or has
 * made functions (CODE_MADE). Functions may keep, in a backend, state that nothing resets. */
enum loan_code { CODE_AS_BEFORE, CODE_CHANGED, CODE_MADE };
/* Says which of the borrower's messages wait until all messages that pgweir itself has sent ahead are answered. */
enum loan_behind {
	NOTHING_BEHIND,
	QUERY_BEHIND_OURS, /* a Query, because pgweir's messages are part of the same request */
	ALL_BEHIND_SETTINGS, /* all messages, because they must not run if pgweir's SET fails */
	/* as with ALL_BEHIND_SETTINGS; but the primary has refused these settings before, so the server counts as
	   having the borrower's GUC set only once the SETs have succeeded */
	ALL_BEHIND_REFUSED_SETTINGS
};
/* Says whether the standby has replayed the log up to the position that the borrower needs: relay/reads_replayed.c. */
enum loan_replay { REPLAY_NOT_ASKED, REPLAY_ASKED, REPLAY_DONE, REPLAY_LATE };
/* Says whether SQL of the loan sets something for one transaction only, and whether that setting belongs to the context
 * (gucs_context()). */
enum loan_local { LOCAL_NOTHING, LOCAL_SETTING, LOCAL_CONTEXT };

/* Says whether code of the database, or something else, left the session in a state for which the server is closed. */
enum loan_blame { BLAME_NOBODY, BLAME_CODE, BLAME_OTHERS };

/* Says whether PostgreSQL has announced that it ends the session, and what became of the borrower's messages. */
enum loan_end {
	LOAN_GOES_ON, /* PostgreSQL has announced nothing */
	LOAN_REST_UNEXECUTED, /* PostgreSQL has executed no part of the messages that it has not answered */
	LOAN_NOT_EXECUTED, /* the messages in `sent` may be relayed again: see relay/loss.c */
	LOAN_END_FATAL_SENT /* the borrower was sent PostgreSQL's own FATAL */
};
/* Says what the worst result of the loan's SQL is: a transaction was rolled back, or a statement has failed. */
enum loan_undone { UNDONE_NOTHING, UNDONE_TRANSACTION, UNDONE_FAILED };

/* SQL is settled at the end of its transaction, when pgweir works out what the SQL has left in the session: see
 * state/commit.c. */
struct loan {
	uint8_t end; /* enum loan_end; written by loan_set_end() */
	uint8_t undone; /* enum loan_undone: the worst result since SQL was last settled */
	/* The server's unnamed statement is the borrower's, was not bound yet, and can't be made again by pgweir. Set
	 * and cleared by unnamed.c. */
	bool must_keep_unnamed;
	/* A savepoint may be open. Set by listen_before_sql() and complete_with_effects(), cleared by loan_begin(). */
	bool has_savepoint;
	/* 0 if the server is from the client's pool; if it is from a host's standby pool, 1 + the host's place in the
	 * upstream. Set by standby_pools.c. */
	uint8_t standby;
	uint8_t replay; /* enum loan_replay */
	bool has_run; /* the borrower has sent something that runs; set by state_note_run() and state_audit_parse(),
			 cleared by loan_begin() */
	/* The borrower's request_done() may swallow the ReadyForQuery, so all earlier replies are passed on before
	 * request_done() is called. Set by listen_linked() and reset.c, cleared by loan_begin(). */
	bool passes_replies_early;
	uint8_t local; /* enum loan_local */
	/* The fields from here to has_local_parse_settings matter at the end of a transaction. Every request reads
	 * them, so they are side by side and aligned. */
	uint8_t ddl; /* enum loan_ddl */
	uint8_t code; /* enum loan_code */
	uint8_t route; /* enum read_route; ROUTE_OFF if the loan has no part in the routing of reads */
	/* Settings that affect parsing were set for this transaction alone. Set by notes.c and context.c, cleared by
	 * end_transaction(). */
	bool has_local_parse_settings;
	/* TAG_CHANGES_ROLES and TAG_CHANGES_DEFAULTS, if tags of the transaction had them. The changes are handled
	 * again at the transaction's end, because other sessions may see them only then. */
	uint16_t changes;
	/* Code of the database that may have changed settings has run. Set by compiled.c, notes.c and ask.c, cleared by
	 * ask.c after a probe of settings. */
	bool has_run_code;
	/* The server has plans that were made under another context than the borrower's. The loan must end before the
	 * borrower runs SQL that depends on plans. Set by compiled.c, cleared by loan_begin(). */
	bool has_foreign_plans;
	uint8_t held_behind_ours; /* enum loan_behind; next to has_foreign_plans, because each message reads both */
	/* SQL whose meaning depends on the context ran under another context than the client's own. Set by note_risk(),
	 * cleared by loan_begin(). */
	bool is_mixed;
	/* The server has no plans of other clients any more. Set by compiled.c, cleared by loan_begin(). */
	bool has_own_plans;
	uint8_t blame; /* enum loan_blame; see pool_code_blame() */
	/* The context (gucs_context()) under which the transaction's statements are shared, if search_path is all that
	 * the transaction has set by SET LOCAL; else 0. */
	uint32_t local_context;
	/* The next row is the result of a pg_cancel_backend() that pgweir has carried out, so `false` there becomes
	 * `true`. Set and cleared by server_replies.c. */
	bool next_row_is_true;
	/* A request of pgweir's own was cancelled since the last cancel was sent. Set by loss_handle_error(), cleared
	 * by send_cancel(). */
	bool is_ours_cancelled;
	uint32_t drops; /* how many names the request has if it is one DROP ... IF EXISTS; else 0 */
	uint32_t skips; /* how many notices have said that an object of this DROP does not exist */
	uint32_t statements_run; /* statements of the request that is being sent */
	/* The number (requests_done + 1) of the request before which pgweir has sent the client's BEGIN
	 * (relay/begin.h); or 0. */
	uint32_t begun_for;
	struct loan_sequence_use followed;
	uint32_t risk; /* the risk of all SQL that ran: a set of enum state_part and enum code_risk */
	uint32_t suspected; /* the flags (enum scan_flag) of SQL that ran and is not settled yet */
	uint32_t settled_flags; /* the flags (enum scan_flag) of SQL that was settled since the loan began */
	uint32_t notify_as; /* the PID with which notify_listener passes on this server's notifications */
	/* the listener that puts notify_as into notifications, only compared; NULL if they keep the server's PID */
	const void *notify_listener;
	uint64_t lent_us; /* when the loan began */
	uint64_t ping_sent_us; /* when a ping was last sent, between two loans */
	/* when the last request was done, or a later time at which a byte was passed to or from the borrower */
	uint64_t last_done_us;
	uint64_t unread_us; /* when the server was last seen waiting for its client to read; 0 if never */
	/* The next three fields are for probe_unread_backend() in client_timeouts.c, which sends a Flush to find out
	 * whether the backend has exited. */
	uint64_t silent_us; /* when bytes from the server were last noticed */
	uint64_t silent_bytes; /* server.bytes_in at silent_us */
	uint64_t asked_us; /* when a Flush was last sent */
	/* The next two fields are for relay/query_timeout.h. */
	uint64_t late_query_began_us; /* when the query that has passed query_timeout began; 0 if there is none */
	uint64_t cancelled_us; /* when a cancel, for whatever reason, last began in this loan; 0 if none did */
	uint64_t told_still_running_us; /* when client_timeouts.c last told the borrower that its request still runs */
	/* when dedicated/blocking.c last asked PostgreSQL which servers wait for a lock, and got an answer that lists
	 * this server; 0 if never */
	uint64_t seen_blocked_us;
	/* the PID at the end of the chain of waiting processes that begins with this server's; 0 if a prepared
	 * transaction is at the end */
	uint32_t root_pid;
	/* The following fields, up to commit, are about the request under way. */
	uint64_t bytes_to_client, bytes_from_client;
	uint64_t fingerprint; /* the fingerprint of text; 0 if not known */
	uint32_t bind_len, text_len; /* bytes in bind and text */
	bool is_text_cut; /* text lacks the SQL's end; set by report_first_text(), cleared by loan_begin_request() */
	/* text belongs to a request that is over. Set by report_done(), cleared by loan_begin_request(). */
	bool is_text_spent;
	uint8_t canceled_by; /* enum canceler of the last error, until report_done() clears it */
	uint8_t plan; /* enum plan_choice of the request's last statement */
	bool is_simple; /* text comes from a Query; set by report_first_text(), cleared by loan_begin_request() */
	struct tag tag; /* the command in tag_text */
	char sqlstate[6]; /* the SQLSTATE of the last error */
	struct loan_commit commit;
	struct phase_clock clock; /* if no request is under way, since_us and us are zero */
	char tag_text[32]; /* the tag of the last CommandComplete */
	/* The next loan uses the buffers below again, but not their content. */
	uint8_t *text; /* the first REQUEST_TEXT_MAX bytes of the request's SQL; allocated at first use */
	/* the body of the request's first Bind, if wanted, cut to REQUEST_BIND_MAX bytes; allocated at first use */
	uint8_t *bind;
	struct kept_request kept;
	struct sent_copy sent;
};

/* Begins a loan: clears everything but the buffers. *l was zeroed when its server was made. */
void loan_begin(struct loan *l, uint64_t now_us);
/* Clears the fields about the previous request, but not its times. */
static inline void
loan_begin_request(struct loan *l)
{
	memset(&l->bytes_to_client, 0, offsetof(struct loan, commit) - offsetof(struct loan, bytes_to_client));
	l->tag_text[0] = '\0';
}

/* Returns since when no request has been under way. Call only while none is under way. */
static inline uint64_t
loan_rests_since(const struct loan *l)
{
	return l->last_done_us > l->lent_us ? l->last_done_us : l->lent_us;
}

/* Sets l->end, and is its only writer during a loan. LOAN_END_FATAL_SENT is never replaced in the same loan. */
static inline void
loan_set_end(struct loan *l, enum loan_end end)
{
	/* once the loan's messages are being relayed again, the end stays the same */
	assert(l->end != LOAN_NOT_EXECUTED || end == LOAN_NOT_EXECUTED);
	if (l->end != LOAN_END_FATAL_SENT)
		l->end = (uint8_t)end;
}

/* Notes that a statement has failed, or that a transaction was rolled back. */
static inline void
loan_note_undone(struct loan *l, enum loan_undone undone)
{
	if (l->undone < undone)
		l->undone = (uint8_t)undone;
	if (l->commit.undone < undone)
		l->commit.undone = (uint8_t)undone;
}

/* Begins to keep a copy of the request, unless a part of the request was sent before. */
void loan_keep_request(struct loan *l);
void loan_fini(struct loan *l); /* frees the loan's buffers */
