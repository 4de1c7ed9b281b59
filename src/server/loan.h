/*
 * src/server/loan.h - the part of a server connection that belongs to its present borrower.
 *
 * A loan begins when the pool lends the server (server_lend), and ends when the server is returned, reset or closed.
 *
 * Owns:    its buffers (text, bind, kept, sent), which the next loan uses again, and a reference to commit.before.
 * Borrows: notify_listener, a pointer that is compared and never followed.
 * Always:  nothing but the buffers outlives the loan: only loan_begin() forgets what the last borrower has left here.
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
	KEPT_IMPOSSIBLE
};

/* A copy of bytes from the borrower that may have to be relayed again: see relay/resend.h. */
struct request_copy {
	uint8_t *bytes;
	uint32_t len, cap;
};

/* The borrower's request as it came, in case it fails because of an outdated plan (relay/retry.c). */
struct kept_request {
	struct request_copy copy;
	uint8_t state; /* enum kept_state */
	const uint8_t *from; /* while a batch is walked: the beginning of the part that is not copied yet */
};

enum sent_state {
	SENT_WHOLE, /* the copy is complete */
	SENT_CUT, /* bytes are missing from the copy: it was too long, or the client kept the server after an answer */
	SENT_ANSWERED /* the borrower was sent an answer to a message of the copy */
};

/* A copy of everything sent since the server last owed no reply, in case it is not executed (relay/resend.c). */
struct sent_copy {
	struct request_copy copy;
	uint32_t named_before; /* statements_named_count() when the copy began */
	uint8_t state; /* enum sent_state */
	/* the loan had requests before those of the copy; set by resend_begin(), cleared by loan_begin() */
	bool has_earlier_requests;
	/* how many Parses and Closes at the beginning of the copy were answered by pgweir itself */
	uint16_t local_count;
};

/* Measures the request under way: which side (enum phase) owes the next byte, since when, and for how long each side
 * has owed bytes. See exchange/report.c. */
struct phase_clock {
	uint64_t since_us; /* 0 if no request is under way */
	uint64_t us[PHASE_COUNT];
	uint8_t debtor; /* enum phase */
	bool is_timed; /* every change of debtor in this request is timed; set and cleared by start_clock() */
	/* Bytes were passed to the client since the last send. Set by replies.c, cleared by report.c, resend_begin()
	 * and loan_begin(). */
	bool has_passed;
	/* Some of the request's replies were sent to the client. Set by report.c, cleared by report.c and loan_begin().
	 */
	bool is_flowing;
};

/* How far the borrower's COMMIT has come, where COMMITs are checked: see commit_check/commit_check.c. */
enum commit_phase {
	COMMIT_NOT,
	COMMIT_ASKED, /* pgweir has asked for the transaction's mark (struct commit_mark), before the COMMIT */
	COMMIT_BOUND, /* the COMMIT is bound to the unnamed portal */
	COMMIT_SENT,
	COMMIT_ANSWERED, /* the COMMIT's own reply has come; its ReadyForQuery is still due */
	COMMIT_SKIPPED /* an error before the COMMIT has skipped it; its ReadyForQuery is still due */
};

/* The progress of the question for the open transaction's mark (struct commit_mark), which is asked after the
 * transaction's first write. */
enum mark_question {
	MARK_NOT_ASKED,
	MARK_DUE, /* the question is sent when the replies are sent */
	MARK_ASKED, /* the answer is due */
	MARK_AWAITED, /* the answer is due, and the COMMIT is held until it comes */
	MARK_ANSWERED /* the answer has come, and the COMMIT is still held */
};

/* The answer to the question before the COMMIT. */
enum commit_outlook { OUTLOOK_OPEN, OUTLOOK_READ_ONLY, OUTLOOK_FAILED };
/* How the COMMIT is run: in a Query, or as an unnamed or named statement. */
enum commit_form { COMMIT_IN_QUERY, COMMIT_OF_UNNAMED, COMMIT_OF_NAMED };

/* The effect on the transaction block of the messages since the last Sync, whether they were answered or not. */
enum commit_block { BLOCK_AS_BEFORE, BLOCK_BEGUN, BLOCK_ENDED };

struct loan_commit {
	struct commit_mark mark; /* of the open transaction */
	/* The borrower's GUC set before it changed a reported setting; NULL if it has changed no such setting. */
	struct gucs *before;
	uint8_t phase; /* enum commit_phase */
	uint8_t question; /* enum mark_question: set_question() */
	uint8_t outlook; /* enum commit_outlook */
	uint8_t form, kind; /* of the COMMIT: enum commit_form, enum known_kind */
	uint8_t block; /* enum commit_block */
	/* enum loan_undone: the worst result since PostgreSQL last reported settings, at ReadyForQuery */
	uint8_t undone;
	uint8_t begun; /* enum commit_block: BLOCK_BEGUN if a BEGIN was answered since the last ReadyForQuery */
	bool is_on; /* COMMITs of this loan are checked; set and cleared by commit_check.c */
	/* A question has failed, so the transaction has, too. Set by commit_check.c, cleared by loan_begin(). */
	bool is_broken;
	/* The transaction has done something that its number may not show: NOTIFY, postgres_fdw. Set and cleared by
	 * commit_check.c. */
	bool has_more;
};

/* Says whether the borrower has run a statement after which it may call currval(), or has called currval(). */
enum followed_by { FOLLOWED_BY_NOTHING, FOLLOWED_BY_CURRVAL_MAYBE, FOLLOWED_BY_CURRVAL };

/* The facts that decide whether the borrower keeps the server for a currval(): see state/linger.c. */
struct loan_followed {
	uint8_t by; /* enum followed_by */
	uint32_t requests_before; /* the borrower's requests_done when it ran the statement that `by` is about */
	uint32_t requests_then; /* the borrower's requests_done when it last had nothing under way */
	/* the request (requests_done + 1) that found no values of its sequences on this server */
	uint32_t without_values;
	uint64_t since_us; /* since when the borrower has had nothing under way */
	uint32_t questions; /* calls of currval() since the last statement that `by` is about */
	uint32_t rounds; /* statements that `by` is about, while other clients waited */
};

/* Says whether the open transaction has run CREATE, ALTER or DROP, and whether that affects the plans of others. */
enum loan_ddl { DDL_NONE, DDL_DONE, DDL_CHANGES_PLANS };
/* Says whether the open transaction, by its command tags, has changed the code of the database (CODE_CHANGED), or made
 * functions (CODE_MADE), which may keep state in a backend that nothing resets. */
enum loan_code { CODE_AS_BEFORE, CODE_CHANGED, CODE_MADE };
/* Says which of the borrower's messages wait until all messages that pgweir itself has sent before them are answered.
 */
enum loan_behind {
	NOTHING_BEHIND,
	QUERY_BEHIND_OURS, /* a Query, because pgweir's messages are part of its request */
	ALL_BEHIND_SETTINGS, /* all messages, because they must not run if pgweir's settings fail */
	/* as ALL_BEHIND_SETTINGS; the server's GUC set becomes the borrower's when the settings are answered */
	ALL_BEHIND_REFUSED_SETTINGS
};
/* Says whether the standby has replayed the position that the borrower must not miss: relay/reads_replayed.c. */
enum loan_replay { REPLAY_NOT_ASKED, REPLAY_ASKED, REPLAY_DONE, REPLAY_LATE };
/* Says whether SQL of the loan sets something for one transaction only, and whether that belongs to the context
 * (session/gucs.h).
 */
enum loan_local { LOCAL_NOTHING, LOCAL_SETTING, LOCAL_CONTEXT };

/* Says whether the server is closed because code of the database may have left something there. */
enum loan_blame { BLAME_NOBODY, BLAME_CODE, BLAME_OTHERS };

/* The end of the server, as far as PostgreSQL has announced it. */
enum loan_end {
	LOAN_GOES_ON,
	LOAN_UNBEGUN, /* PostgreSQL has begun none of the messages that it has not answered */
	LOAN_NOT_EXECUTED, /* the messages in `sent` may be relayed again: see relay/loss.c */
	LOAN_END_TOLD /* the borrower was sent PostgreSQL's own FATAL */
};
/* The worst result of the loan's SQL since it was last settled: see loan_note_undone(). */
enum loan_undone { UNDONE_NOTHING, UNDONE_TRANSACTION, UNDONE_FAILED };

struct loan {
	uint8_t end; /* enum loan_end; written by loan_set_end() */
	uint8_t undone; /* enum loan_undone */
	/* The server's unnamed statement is the borrower's, was not bound yet, and pgweir could not make it again. Set
	 * and cleared by unnamed.c. */
	bool must_keep_unnamed;
	/* A savepoint may be open. Set by listen_before_sql() and complete_rarer(), cleared by loan_begin(). */
	bool has_savepoint;
	/* 0 if the server is from the client's pool; if it is from a host's standby pool, 1 + the host's place in the
	 * upstream. Set by standby_pools.c. */
	uint8_t standby;
	uint8_t replay; /* enum loan_replay */
	bool has_run; /* the borrower has sent something that runs; set by state_note_run(), cleared by loan_begin() */
	/* see server_ops.request_done; set by listen_linked() and reset.c, cleared by loan_begin() */
	bool announces_ready;
	uint8_t local; /* enum loan_local */
	/* The following fields matter when the transaction is over. They are side by side and aligned, because every
	 * request reads them. */
	uint8_t ddl; /* enum loan_ddl */
	uint8_t code; /* enum loan_code */
	uint8_t route; /* enum read_route; ROUTE_OFF if reads do not concern the loan */
	/* Settings that affect parsing were set for this transaction alone. Set by notes.c and context.c, cleared by
	 * end_ddl(). */
	bool has_local_settings;
	/* TAG_CHANGES_ROLES, TAG_CHANGES_DEFAULTS: what the loan has changed; other sessions see the change at once, or
	 * after the transaction */
	uint16_t changes;
	/* Code of the database ran, which may have changed roles or defaults. Set by compiled.c, notes.c and ask.c,
	 * cleared by ask.c. */
	bool has_run_code;
	/* The server has plans that were made under another context than the borrower's. The loan goes on because the
	 * SQL that the borrower runs does not depend on plans. Set by compiled.c, cleared by loan_begin(). */
	bool has_foreign_plans;
	uint8_t behind; /* enum loan_behind; beside has_foreign_plans, as both are read for each message */
	/* SQL whose meaning depends on the context ran under another context than the client's own. Set by note_risk(),
	 * cleared by loan_begin(). */
	bool is_mixed;
	/* The server has no plans of other clients any more. Set by compiled.c, cleared by loan_begin(). */
	bool has_own_plans;
	uint8_t blame; /* enum loan_blame; see pool_code_blame() */
	/* If has_local_settings is set only because of SET LOCAL search_path, the context under which statements are
	 * shared; else 0. */
	uint32_t local_context;
	bool next_row_is_true; /* see server_ops.no_such_pid; set and cleared by server_replies.c */
	/* A request of pgweir's own was cancelled since the last cancel was sent. Set by loss_takes_error(), cleared by
	 * send_cancel(). */
	bool is_ours_cancelled;
	uint32_t drops; /* number of names in the DROP ... IF EXISTS that runs alone */
	uint32_t skips; /* number of notices that reported a missing object */
	uint32_t statements_run; /* statements of the request that is being sent */
	uint32_t begun_for; /* number of the request before which pgweir began the block: see relay/begin.h */
	struct loan_followed followed;
	uint32_t risk; /* enum state_part: of all SQL that ran */
	uint32_t suspected; /* enum scan_flag of the SQL that ran since the loan began, or since it was last settled */
	uint32_t settled; /* enum scan_flag of all SQL that was settled since the loan began */
	uint32_t notify_as; /* the PID with which notify_listener passes on this server's notifications */
	/* compared, never followed; NULL if the PID of notifications is left as it is */
	const void *notify_listener;
	uint64_t lent_us, sent_us;
	/* when its last request was done, or when a later byte was passed to or from its borrower */
	uint64_t last_done_us;
	uint64_t unread_us; /* when the server was last seen to wait for its client to read; 0 if never */
	/* The next three fields are for probe_unread_backend() in client_timeouts.c. */
	uint64_t silent_us; /* since when server.bytes_in has been silent_bytes */
	uint64_t silent_bytes;
	uint64_t asked_us; /* when the last question was sent */
	/* The next two fields are for relay/query_timeout.h. */
	uint64_t late_since_us; /* when the late query began */
	uint64_t cancelled_us; /* when that query was cancelled */
	uint64_t told_us; /* client_timeouts.c: when the borrower was last told that its request still runs */
	/* dedicated/blocking.c asks PostgreSQL which servers wait for a lock. blocked_us: when the last question was
	 * sent whose answer lists this server. */
	uint64_t blocked_us;
	uint32_t root_pid; /* the process at the root of the chain of blockers; 0 for a prepared transaction */
	/* The following fields, up to commit, are about the request under way. */
	uint64_t bytes_to_client, bytes_from_client;
	uint64_t fingerprint; /* fingerprint of text, set together with it; 0 if it is not known */
	uint32_t bind_len, text_len;
	bool is_text_cut; /* text is only a beginning; set by report_first_text(), cleared by loan_begin_request() */
	/* text belongs to a request that is over. Set by report_done(), cleared by loan_begin_request(). */
	bool is_text_spent;
	uint8_t canceled_by; /* enum canceler of the last error, until report_done() takes it */
	uint8_t plan; /* enum plan_choice of its last statement */
	bool is_simple; /* text is of a Query; set by report_first_text(), cleared by loan_begin_request() */
	struct tag tag; /* the command in tag_text */
	char sqlstate[6]; /* of the last error */
	struct loan_commit commit;
	struct phase_clock clock; /* if no request is under way, since_us and us are zero */
	char tag_text[32]; /* of the last CommandComplete */
	/* The buffers, from here on, outlive the loan; their content does not. */
	uint8_t *text; /* the first REQUEST_TEXT_MAX bytes of the request's SQL; allocated at first use */
	/* the first REQUEST_BIND_MAX bytes of the request's first Bind's body, if wanted; allocated at first use */
	uint8_t *bind;
	struct kept_request kept;
	struct sent_copy sent;
};

/* Forgets the last loan, but keeps its buffers for this one. *l was zeroed when its server was made. */
void loan_begin(struct loan *l, uint64_t now_us);
/* Forgets the previous request, except its times. */
static inline void
loan_begin_request(struct loan *l)
{
	memset(&l->bytes_to_client, 0, offsetof(struct loan, commit) - offsetof(struct loan, bytes_to_client));
	l->tag_text[0] = '\0';
}

/* Returns since when no request is under way. Valid only while no request is under way. */
static inline uint64_t
loan_rests_since(const struct loan *l)
{
	return l->last_done_us > l->lent_us ? l->last_done_us : l->lent_us;
}

/* The only writer of l->end. LOAN_END_TOLD stays, whatever PostgreSQL sends afterwards. */
static inline void
loan_set_end(struct loan *l, enum loan_end end)
{
	/* the loan's messages are being relayed again */
	assert(l->end != LOAN_NOT_EXECUTED || end == LOAN_NOT_EXECUTED);
	if (l->end != LOAN_END_TOLD)
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
void loan_fini(struct loan *l); /* frees its buffers */
