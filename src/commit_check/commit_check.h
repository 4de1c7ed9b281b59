/*
 * src/commit_check/commit_check.h - the setting commit_check: finds out what became of a COMMIT that was lost. If the
 * connection to PostgreSQL is lost between a COMMIT and its answer (the COMMIT is *in doubt*), pgweir asks the primary
 * if the transaction was committed, and tells the client.
 *
 *   commit_check.c  asks the server for the transaction's *mark* (struct commit_mark), by which the primary can
 *                   identify the transaction later; follows the COMMIT until the COMMIT is answered
 *   commit_doubt.c  when the server of a COMMIT was lost before the answer
 *
 * Callers skip most of these functions while commit_check is off, and for other SQL: see loan.commit.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"
#include "sql/scan.h"

/* SQL with these hints takes the slow lane if commit_check is on. */
#define COMMIT_CHECK_HINTS (SCAN_HINT_ENDS | SCAN_HINT_NOTIFY)

/* Called when a client with commit_check on has got a server: asks each server once to which cluster it belongs. */
void commit_check_linked(struct exchange *x);
/* Returns true if this Bind must take the slow lane: its statement may be a COMMIT, a BEGIN or a NOTIFY. */
bool commit_check_may_concern(struct exchange *x, struct request *m);
/* Called while a COMMIT is on its way. Returns true if a message of this type must wait for the COMMIT's answer. */
bool commit_check_holds(struct exchange *x, uint8_t type);

/* Rows of relay/features.c. commit_check_before_*() ask for the transaction's mark ahead of a COMMIT, and return
 * STEP_HOLD while an earlier question for the mark is not answered. commit_check_note_query(), _bind() and _execute()
 * note that the COMMIT is about to be sent. */
enum feature_step commit_check_before_query(struct exchange *x, struct request *m);
enum feature_step commit_check_before_parse(struct exchange *x, struct request *m);
enum feature_step commit_check_before_bind(struct exchange *x, struct request *m);
enum feature_step commit_check_note_query(struct exchange *x, struct request *m);
enum feature_step commit_check_note_bind(struct exchange *x, struct request *m);
enum feature_step commit_check_note_execute(struct exchange *x, struct request *m);

/* Called when an error for the client has come while a COMMIT is on its way: the error of the COMMIT, or of an earlier
 * message, after which PostgreSQL may skip the COMMIT. */
void commit_check_error(struct exchange *x);
void commit_check_completed(struct exchange *x, struct tag tag); /* called while loan.commit.is_on */
void commit_check_request_done(struct exchange *x); /* called while loan.commit.is_on */
/* Called while loan.commit.is_on, before pgweir records a setting that PostgreSQL reports. Keeps the settings from
 * before the transaction: if the lost connection rolls it back, PostgreSQL can't report them. */
void commit_check_keep_settings(struct exchange *x);
/* Asks for the transaction's mark. Called while the question is MARK_DUE, after the client was sent its replies. */
void commit_check_ask(struct exchange *x);

/* Callbacks of server_ops, for the answers to questions for a mark or a cluster. */
void commit_check_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
void commit_check_question_done(struct server *srv, const struct owed *ended);
/* Called when an error came in place of the answer's row. Returns true if the error has ended the transaction, so the
 * server can't be used any more. */
bool commit_check_failed(struct server *srv, const char *sqlstate);

/* --- commit_doubt.c --- */
/* Returns true if the client's server is being lost with a COMMIT that was sent and not answered. */
bool commit_check_is_in_doubt(const struct exchange *x, const struct server *srv);
/* Called when srv was lost with its COMMIT in doubt, and the client has no server any more. Answers the client now, or
 * when the transaction's fate is known. Returns false without memory. is_session_lost: true if the client's session is
 * lost as well; the client is then closed with the error `shown` after the answer. */
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
