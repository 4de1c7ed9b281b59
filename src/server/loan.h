/*
 * src/server/loan.h - the part of a server connection that belongs to its present borrower.
 *
 * A loan begins when the pool lends the server (server_lend) and ends when it is returned, reset or closed.
 *
 * Owns:    its buffers (text, bind, kept, sent), which the next loan uses again, and a reference to commit.before.
 * Borrows: notify_listener, which is compared only.
 * Always:  nothing outlives the loan: loan_begin() is the one place that forgets what the last borrower left here.
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
	KEPT_SO_FAR, /* all of it that was sent so far */
	KEPT_WHOLE, /* all of it, with its Sync */
	KEPT_NOT
};

/* Bytes of the borrower's that may have to be relayed again: relay/resend.h. */
struct request_copy {
	uint8_t *bytes;
	uint32_t len, cap;
};

/* The borrower's request as it came, in case it meets an outdated plan (relay/retry.c). */
struct kept_request {
	struct request_copy copy;
	uint8_t state; /* enum kept_state */
	const uint8_t *from; /* while a batch is walked: the beginning of the part that is not copied yet */
};

enum sent_state {
	SENT_WHOLE, /* the copy has all of it */
	SENT_CUT, /* something is missing: it was too long, or followed an answer */
	SENT_ANSWERED /* the borrower was sent an answer to it */
};

/* All that was sent since nothing was owed, in case the server has not executed it (relay/resend.c). */
struct sent_copy {
	struct request_copy copy;
	uint32_t named_before; /* statements_named_count() when it began */
	uint8_t state; /* enum sent_state */
	bool is_later; /* the loan had requests before; set by resend_begin(), cleared by loan_begin() */
	uint16_t local_count; /* so many Parses and Closes at its beginning were answered, by pgweir itself */
};

/* Who owes the next byte of the request under way, since when, and what each has owed of it: exchange/report.c. */
struct phase_clock {
	uint64_t since_us; /* 0: no request is under way */
	uint64_t us[PHASE_COUNT];
	uint8_t debtor; /* enum phase */
	bool is_timed; /* its every turn is timed; set and cleared by start_clock() */
	/* Something was passed to the client since the last send. Set by replies.c, cleared by report.c,
	 * resend_begin() and loan_begin(). */
	bool has_passed;
	/* Some of that was sent to the client. Set by report.c, cleared by report.c and loan_begin(). */
	bool is_flowing;
};

/* How far the COMMIT of the borrower has come, where COMMITs are checked: commit_check/commit_check.c. */
enum commit_phase {
	COMMIT_NOT,
	COMMIT_ASKED, /* the transaction's mark was asked for, ahead of the COMMIT */
	COMMIT_BOUND, /* it is bound to the unnamed portal */
	COMMIT_SENT,
	COMMIT_ANSWERED, /* its own reply has come; its ReadyForQuery is still due */
	COMMIT_SKIPPED /* an error ahead of it has; the same */
};

/* The question about the mark of the open transaction that follows its first write. */
enum mark_question {
	MARK_NOT_ASKED,
	MARK_DUE, /* it is asked when the replies are sent */
	MARK_ASKED, /* its answer is due */
	MARK_AWAITED, /* ... and the COMMIT is held for it */
	MARK_ANSWERED /* ... it has come, and the COMMIT is still held */
};

/* How the question ahead of the COMMIT was answered. */
enum commit_outlook { OUTLOOK_OPEN, OUTLOOK_READ_ONLY, OUTLOOK_FAILED };
/* Whether a Query runs the COMMIT, or which statement. */
enum commit_form { COMMIT_IN_QUERY, COMMIT_OF_UNNAMED, COMMIT_OF_NAMED };

/* The effect on the transaction block of the messages since the last Sync, answered or not. */
enum commit_block { BLOCK_AS_BEFORE, BLOCK_BEGUN, BLOCK_ENDED };

struct loan_commit {
	struct commit_mark mark; /* of the open transaction */
	/* The borrower's, before that changed a setting that is reported; NULL: it has not. */
	struct gucs *before;
	uint8_t phase; /* enum commit_phase */
	uint8_t question; /* enum mark_question: set_question() */
	uint8_t outlook; /* enum commit_outlook */
	uint8_t form, kind; /* of the COMMIT: enum commit_form, enum known_kind */
	uint8_t block; /* enum commit_block */
	uint8_t undone; /* enum loan_undone: the worst since PostgreSQL last reported settings, at ReadyForQuery */
	uint8_t begun; /* enum commit_block: BLOCK_BEGUN if a BEGIN was answered since the last ReadyForQuery */
	bool is_on; /* COMMITs of this loan are checked; set and cleared by commit_check.c */
	/* A question has failed, and the transaction with it. Set by commit_check.c, cleared by loan_begin(). */
	bool is_broken;
	/* The number may not show all it has done: NOTIFY, postgres_fdw. Set and cleared by commit_check.c. */
	bool has_more;
};

/* Whether the borrower has run what a currval() may follow, or even one. */
enum followed_by { FOLLOWED_BY_NOTHING, FOLLOWED_BY_CURRVAL_MAYBE, FOLLOWED_BY_CURRVAL };

/* Whether the borrower keeps the server for a currval(): state/linger.c. */
struct loan_followed {
	uint8_t by; /* enum followed_by */
	/* The borrower's requests_done when that statement ran, and at since_us, when it last came to rest. */
	uint32_t requests_before, requests_then;
	uint32_t without_values; /* the request (requests_done + 1) that found no values of its sequences here */
	uint64_t since_us;
	uint32_t questions, rounds; /* behind the last such statement; such statements while others waited */
};

/* Whether the open transaction has run CREATE, ALTER or DROP, and whether that affects the plans of others. */
enum loan_ddl { DDL_NONE, DDL_DONE, DDL_CHANGES_PLANS };
/* Whether it has changed the code of the database, as tags tell, and whether by making functions that may keep in a
 * backend what nothing resets. */
enum loan_code { CODE_AS_BEFORE, CODE_CHANGED, CODE_MADE };
/* Who waits until all that pgweir has sent ahead is answered. */
enum loan_behind {
	NOTHING_BEHIND,
	QUERY_BEHIND_OURS, /* in its request, which that is a part of */
	ALL_BEHIND_SETTINGS /* where these may fail, it would run without them */
};
/* Whether the standby says that it has replayed what the borrower must not miss: relay/reads_replayed.c. */
enum loan_replay { REPLAY_NOT_ASKED, REPLAY_ASKED, REPLAY_DONE, REPLAY_LATE };
/* Whether SQL of the loan sets anything for one transaction only, and whether that is of the context. */
enum loan_local { LOCAL_NOTHING, LOCAL_SETTING, LOCAL_CONTEXT };

/* Whether its server is closed because code of the database may have left something there. */
enum loan_blame { BLAME_NOBODY, BLAME_CODE, BLAME_OTHERS };

/* The end of its server, as far as PostgreSQL has announced it. */
enum loan_end {
	LOAN_GOES_ON,
	LOAN_UNBEGUN, /* PostgreSQL has begun nothing of what it has not answered */
	LOAN_NOT_EXECUTED, /* relay/loss.c: what is in sent may be relayed again */
	LOAN_END_TOLD /* the borrower was sent PostgreSQL's own FATAL */
};
/* The worst that SQL of the loan has met since it was last settled: loan_note_undone(). */
enum loan_undone { UNDONE_NOTHING, UNDONE_TRANSACTION, UNDONE_FAILED };

struct loan {
	uint8_t end; /* enum loan_end: loan_set_end() */
	uint8_t undone; /* enum loan_undone */
	/* The unnamed statement is the borrower's, could not be made again, and was not bound yet. Set and cleared by
	 * unnamed.c. */
	bool is_unnamed_kept;
	/* A savepoint may be open. Set by listen_before_sql() and complete_rarer(), cleared by loan_begin(). */
	bool has_savepoint;
	/* 1 + the place in the upstream of the host whose standby pool has lent it; 0: the client's pool has. Set by
	 * standby_pools.c. */
	uint8_t standby;
	uint8_t replay; /* enum loan_replay */
	bool has_run; /* the borrower has sent something that runs; set by state_note_run(), cleared by loan_begin() */
	bool announces_ready; /* see server_ops.request_done; set by listen_linked() and reset.c, cleared by
				 loan_begin() */
	uint8_t local; /* enum loan_local */
	/* These matter when the transaction is over: side by side and aligned, as every request asks. */
	uint8_t ddl; /* enum loan_ddl */
	uint8_t code; /* enum loan_code */
	uint8_t route; /* enum read_route; ROUTE_OFF: reads do not concern it */
	/* Settings for parsing that hold in this transaction alone. Set by notes.c and context.c, cleared by
	 * ddl_is_over(). */
	bool has_local_settings;
	uint16_t changes; /* TAG_CHANGES_ROLES, TAG_CHANGES_DEFAULTS: others see it from now on, or when the transaction
			     is over */
	/* Code of the database ran, which may have changed such settings. Set by compiled.c, notes.c and ask.c,
	 * cleared by ask.c. */
	bool has_run_code;
	/* The server has plans of another context than the borrower's, who runs what needs none of them. Set by
	 * compiled.c, cleared by loan_begin(). */
	bool is_unsuited;
	/* SQL that has a context ran under another one than the client's own. Set by note_risk(), cleared by
	 * loan_begin(). */
	bool is_mixed;
	/* The server has no plans of others' any more. Set by compiled.c, cleared by loan_begin(). */
	bool has_own_plans;
	uint8_t blame; /* enum loan_blame: pool_code_blame() */
	/* The context that statements are shared under if has_local_settings is for a SET LOCAL search_path alone; else
	 * 0. */
	uint32_t local_context;
	uint8_t behind; /* enum loan_behind */
	bool next_row_is_true; /* see server_ops.no_such_pid; set and cleared by server_replies.c */
	/* A request of pgweir's own was, since a cancel was sent for it. Set by loss_takes_error(), cleared by
	 * send_cancel(). */
	bool is_ours_cancelled;
	uint32_t drops; /* how many names the DROP ... IF EXISTS has that runs alone */
	uint32_t skips; /* how many notices reported a missing object */
	uint32_t statements_run; /* of the request that is being sent */
	uint32_t begun_for; /* the number of the request ahead of which the block was begun: relay/begin.h */
	struct loan_followed followed;
	uint32_t risk; /* enum state_part: of all SQL that ran */
	uint32_t suspected; /* enum scan_flag of the SQL that ran since it began, or was last settled */
	uint32_t settled; /* enum scan_flag of all SQL that was settled since it began */
	/* The listener passes on this server's notifications with the PID notify_as. Only compared; NULL: unchanged. */
	uint32_t notify_as;
	const void *notify_listener;
	uint64_t lent_us, sent_us;
	uint64_t last_done_us; /* when its last request was, or a byte of its borrower's behind that moved */
	uint64_t unread_us; /* when it was last seen to wait for its client to read; 0: never */
	/* ask_after() in client_timeouts.c: since when server.bytes_in is silent_bytes; when it asked last. */
	uint64_t silent_us, silent_bytes, asked_us;
	uint64_t late_since_us, cancelled_us; /* relay/query_timeout.h: since when its query runs; its cancel */
	uint64_t told_us; /* client_timeouts.c: when its borrower was last told that its request still runs */
	/* About the request under way, down to commit. */
	uint64_t bytes_to_client, bytes_from_client;
	uint64_t fingerprint; /* of text; 0: not known. Set with it */
	uint32_t bind_len, text_len;
	bool is_text_cut; /* text has the beginning only; set by report_first_text(), cleared by loan_begin_request() */
	/* Text was that of a request that is over. Set by report_done(), cleared by loan_begin_request(). */
	bool is_text_spent;
	uint8_t canceled_by; /* enum canceler: of the last error, until report_done() takes it */
	uint8_t plan; /* enum plan_choice, of its last statement */
	bool is_simple; /* text is a Query's; set by report_first_text(), cleared by loan_begin_request() */
	struct tag tag; /* what tag_text says */
	char sqlstate[6]; /* of the last error */
	struct loan_commit commit;
	struct phase_clock clock; /* of no request: since_us and us are zero */
	char tag_text[32]; /* of the last CommandComplete */
	/* Buffers, from here on, outlive the loan; what is in them does not. */
	uint8_t *text; /* the first REQUEST_TEXT_MAX bytes of its SQL; allocated at first use */
	uint8_t *bind; /* the first REQUEST_BIND_MAX bytes of its first Bind's body, if wanted; allocated likewise */
	struct kept_request kept;
	struct sent_copy sent;
};

/* Forgets the last loan, but keeps its buffers for this one. l was zeroed when its server was made. */
void loan_begin(struct loan *l, uint64_t now_us);
/* Forgets the request before, but for its times. */
static inline void
loan_begin_request(struct loan *l)
{
	memset(&l->bytes_to_client, 0, offsetof(struct loan, commit) - offsetof(struct loan, bytes_to_client));
	l->tag_text[0] = '\0';
}

/* Returns since when nothing is under way, if that is so. */
static inline uint64_t
loan_rests_since(const struct loan *l)
{
	return l->last_done_us > l->lent_us ? l->last_done_us : l->lent_us;
}

/* The only writer of l->end. Who was told of its end knows of it, whatever PostgreSQL sends behind that. */
static inline void
loan_set_end(struct loan *l, enum loan_end end)
{
	assert(l->end != LOAN_NOT_EXECUTED || end == LOAN_NOT_EXECUTED); /* it is being relayed again */
	if (l->end != LOAN_END_TOLD)
		l->end = (uint8_t)end;
}

/* A statement has failed, or a transaction was rolled back. */
static inline void
loan_note_undone(struct loan *l, enum loan_undone undone)
{
	if (l->undone < undone)
		l->undone = (uint8_t)undone;
	if (l->commit.undone < undone)
		l->commit.undone = (uint8_t)undone;
}

/* Keeps a copy of the request from here on, if nothing of it was sent before. */
void loan_keep_request(struct loan *l);
void loan_fini(struct loan *l); /* frees its buffers */
