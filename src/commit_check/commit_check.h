/*
 * src/commit_check/commit_check.h - resolves COMMITs that are in doubt (commit_check = on). If the connection to
 * PostgreSQL is lost between a COMMIT and its answer, the primary is asked what became of the transaction, and the
 * client gets the answer.
 *
 *   commit_check.c  asks for the transaction's mark (struct commit_mark: it identifies the transaction later); follows
 *                   the COMMIT until it is answered
 *   commit_doubt.c  the server of a COMMIT is lost before the answer
 *
 * While commit_check is off, or for other SQL, callers skip most of these functions: see loan.commit.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"
#include "sql/scan.h"

/* SQL with these hints takes the slow lane if commit_check is on. */
#define COMMIT_CHECK_HINTS (SCAN_HINT_ENDS | SCAN_HINT_NOTIFY)

/* Called when a client with commit_check on has got a server: asks the server, once, to which cluster it belongs. */
void commit_check_linked(struct exchange *x);
/* Returns true if the statement of this Bind may be a COMMIT, a BEGIN or a NOTIFY: it must take the slow lane. */
bool commit_check_may_concern(struct exchange *x, struct request *m);
/* Called while a COMMIT is on its way. Returns true if this message must wait until the COMMIT is answered. */
bool commit_check_holds(struct exchange *x, uint8_t type);

/* Rows of relay/features.c. commit_check_before_*() ask for the transaction's mark ahead of a COMMIT, and return
 * STEP_HOLD if an earlier question for the mark is not answered yet. commit_check_note_query(), _bind() and _execute()
 * note that the COMMIT is about to be sent. */
enum feature_step commit_check_before_query(struct exchange *x, struct request *m);
enum feature_step commit_check_before_parse(struct exchange *x, struct request *m);
enum feature_step commit_check_before_bind(struct exchange *x, struct request *m);
enum feature_step commit_check_note_query(struct exchange *x, struct request *m);
enum feature_step commit_check_note_bind(struct exchange *x, struct request *m);
enum feature_step commit_check_note_execute(struct exchange *x, struct request *m);

/* Called when an error for the client has come while a COMMIT is on its way: either the COMMIT's own error, or the
 * error of an earlier message, after which PostgreSQL may skip the COMMIT. */
void commit_check_error(struct exchange *x);
void commit_check_completed(struct exchange *x, struct tag tag); /* called while loan.commit.is_on */
void commit_check_request_done(struct exchange *x); /* called while loan.commit.is_on */
/* Called while loan.commit.is_on, before pgweir takes over a setting that PostgreSQL reports. Keeps the settings from
 * before the transaction, because PostgreSQL can't report them any more if the loss of the connection rolls the
 * transaction back. */
void commit_check_keep_settings(struct exchange *x);
/* Asks for the transaction's mark. Called when MARK_DUE, after the client was sent its replies. */
void commit_check_ask(struct exchange *x);

/* Callbacks of server_ops, for the answers to the questions. */
void commit_check_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
void commit_check_question_done(struct server *srv, const struct owed *ended);
/* Called when an error came instead of the row. Returns true if the error has ended the transaction, so the server
 * can't be used any more. */
bool commit_check_failed(struct server *srv, const char *sqlstate);

/* --- commit_doubt.c --- */
/* Returns true if the client's server is being lost with a COMMIT that was sent and not answered. */
bool commit_check_is_in_doubt(const struct exchange *x, const struct server *srv);
/* Called when srv was lost with its COMMIT in doubt, and the client has no server any more. Answers the client now, or
 * when the transaction's fate is known; returns false without memory. With `is_session_lost` the client's session is
 * lost as well, and the client is closed with the error `shown` after the answer. */
bool commit_check_lost(struct exchange *x, struct server *srv, const struct fail *shown, bool is_session_lost);
void commit_check_free(struct exchange *x); /* called when the client is closed */

static inline bool
commit_check_is_quiet(const struct exchange *x)
{
	return x->srv == NULL || x->srv->loan.commit.phase == COMMIT_NOT;
}

static inline bool
commit_check_ties(const struct exchange *x, enum feature_tie to)
{
	return to == TIE_PROCESS && (exchange_doubt(x) != NULL || x->block >= EXCHANGE_ROLLED_BACK);
}
