/*
 * src/commit_check/commit_check.h - the setting commit_check: finds out what became of a COMMIT that is *in doubt*,
 * because the connection to PostgreSQL was lost between the COMMIT and its answer. pgweir asks the primary whether the
 * transaction was committed, and tells the client.
 *
 *   commit_check.c  asks the server for the transaction's *mark* (struct commit_mark), by which the primary can
 *                   identify the transaction later; follows the COMMIT until it is answered
 *   commit_doubt.c  the steps after a server was lost before it answered a COMMIT
 *
 * Callers call most of these functions only if commit_check is on and the SQL may end a transaction (see loan.commit).
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"
#include "sql/scan.h"

/* With commit_check on, SQL with these hints takes the slow lane (relay/README.md), where features see it. */
#define COMMIT_CHECK_HINTS (SCAN_HINT_ENDS | SCAN_HINT_NOTIFY)

/* Called when a client with commit_check on has got a server: asks which cluster the server is in, if not known. */
void commit_check_got_server(struct exchange *x);
/* Returns true if this Bind must take the slow lane: its statement is a BEGIN, or may do more than read. */
bool commit_check_may_concern_bind(struct exchange *x, struct request *m);
/* Does the same for a Query. scan: the scan of the Query's SQL under the client's settings. */
bool commit_check_may_concern_query(const struct exchange *x, const struct scan *scan, const char *sql, size_t len);
void commit_check_note_function_call(struct exchange *x); /* call when a FunctionCall is about to be sent */
/* Returns true if a COMMIT is on its way, and a message of this type must wait until all replies have come. If all
 * replies have come, sets loan.commit.phase to COMMIT_NOT. */
bool commit_check_must_hold(struct exchange *x, uint8_t type);

/* Rows of relay/features.c. commit_check_before_*() ask for the transaction's mark before a COMMIT is sent, and return
 * STEP_HOLD while an earlier question is not answered. commit_check_note_query(), _bind() and _execute() note that the
 * COMMIT, or SQL that may have an effect, is about to be sent. */
enum feature_step commit_check_before_query(struct exchange *x, struct request *m);
enum feature_step commit_check_before_parse(struct exchange *x, struct request *m);
enum feature_step commit_check_before_bind(struct exchange *x, struct request *m);
enum feature_step commit_check_note_query(struct exchange *x, struct request *m);
enum feature_step commit_check_note_bind(struct exchange *x, struct request *m);
enum feature_step commit_check_note_execute(struct exchange *x, struct request *m);

/* Called for an error of the COMMIT, or of a message before it, while loan.commit.phase is not COMMIT_NOT. */
void commit_check_error(struct exchange *x);
void commit_check_completed(struct exchange *x, struct tag tag); /* called while loan.commit.is_on */
void commit_check_request_done(struct exchange *x); /* called while loan.commit.is_on */
/* Called while loan.commit.is_on, before pgweir records a setting that PostgreSQL reports. Keeps the settings from
 * before the transaction: if the connection is lost and the transaction rolls back, PostgreSQL can't report them. */
void commit_check_keep_settings(struct exchange *x);
/* Asks for the transaction's mark. Called while the question is MARK_DUE, after the client was sent its replies. */
void commit_check_ask(struct exchange *x);

/* Callbacks of server_ops, for the answers to questions for a mark or a cluster. */
void commit_check_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
void commit_check_question_done(struct server *srv, const struct owed *ended);
/* Called when an error came in place of the answer's row. Returns true if this error has made the transaction fail, so
 * the server can't be used any more. */
bool commit_check_failed(struct server *srv, const char *sqlstate);

/* --- commit_doubt.c --- */
/* Returns true if a COMMIT was sent to srv, which the client is losing, and not all replies to the COMMIT have come. */
bool commit_check_is_in_doubt(const struct exchange *x, const struct server *srv);
/* Called when srv was lost with its COMMIT in doubt, and the client has no server any more. Answers the client now, or
 * when the transaction's fate is known. Returns false if there is no memory. is_session_lost: true if the client's
 * session is lost, too; the client is then closed after the answer, with the error `shown`. */
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
