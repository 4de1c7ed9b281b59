/*
 * src/relay/retry.c - sends a request once more, unnoticed by the client, if its plan was outdated.
 *
 * After an ALTER TABLE, PostgreSQL answers the next Bind of an earlier prepared statement with the error "cached plan
 * must not change result type". Outside a transaction nothing has happened by then, and nothing was answered. So pgweir
 * swallows the error, and gives the statement a new name. When a Sync after the error has been answered, the request is
 * relayed again, from a copy, as if it came from the client now.
 *
 * The request is sent again only if the client does not know the old columns, or if a Describe in the same request will
 * show it the new columns. Otherwise the client gets the error, which drivers handle (asyncpg and JDBC prepare again).
 *
 * The same is done if the server has lost the statement because SQL deallocated it where no scan could see that. A
 * function that runs during the Bind can raise the same error although the server has the statement. Then the second
 * Parse is harmless, because a Close goes ahead of it.
 *
 * If pgweir has answered a client's Parse, the first use of that statement may fail with any error of PostgreSQL's
 * parser, because PostgreSQL parses an outdated statement again. The client must not get such an error, so that first
 * use is sent once more, too.
 *
 * With keep_plans, a use may also fail after its Bind, because PostgreSQL's generic plan may evaluate what a plan for
 * the given values leaves out. The transaction was then rolled back. If the client was shown nothing, the request is
 * sent once more, as an unnamed statement.
 */
#include "statements/keep.h"
#include "statements/statements_state.h"
#include "relay/resend.h"
#include "wire/frame.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_MAX 16384u /* bytes of a request of which a copy is kept; clients get the errors of larger requests */

bool
retry_copy(struct kept_request *k, const uint8_t *end)
{
	bool is_copied = resend_add(&k->copy, k->from, (size_t)(end - k->from), KEPT_MAX);

	if (!is_copied)
		k->state = KEPT_IMPOSSIBLE;
	k->from = NULL;
	return is_copied;
}

void
retry_keep(struct exchange *x, const uint8_t *message, size_t len, bool is_sent)
{
	struct kept_request *k = &x->srv->loan.kept;
	uint8_t type = message[0];

	if (k->state == KEPT_SO_FAR) {
		if (k->from == NULL)
			k->from = message;
		if (x->body_left > 0 || type == 'd' || type == 'c' || type == 'f')
			k->state = KEPT_IMPOSSIBLE;
		if (type == 'S' && retry_copy(k, message + len) && k->state == KEPT_SO_FAR)
			k->state = KEPT_WHOLE;
		else if (type == 'Q' || type == 'F')
			k->state = KEPT_NOTHING;
	} else if (type == 'S' || type == 'Q' || type == 'F')
		k->state = KEPT_NOTHING;
	else if (is_sent)
		k->state = KEPT_IMPOSSIBLE;
}

/*
 * Returns true if the reply will show the client the statement's columns: the request begins with a Describe, or with a
 * Bind and the Describe of its portal. Returns false if the Bind has formats for several columns, because the client
 * then relies on the columns that it knows.
 */
static bool
describes_columns(const struct request_copy *k)
{
	const char *portal, *other, *statement;
	struct frame first, next;
	size_t len, names_len;
	uint8_t kind;

	if (frame_parse(k->bytes, k->len, &first) != FRAME_OK)
		return false;
	if (first.type == 'D')
		return true;
	len = FRAME_HEAD_LEN + (size_t)first.body_len;
	if (frame_parse(k->bytes + len, k->len - len, &next) != FRAME_OK || next.type != 'D')
		return false;
	return fields_read_bind(k->bytes + FRAME_HEAD_LEN, first.body_len, &portal, &statement, &names_len) &&
	       fields_count_result_formats(k->bytes + FRAME_HEAD_LEN, first.body_len) <= 1 &&
	       fields_read_target(k->bytes + len + FRAME_HEAD_LEN, next.body_len, &kind, &other) && kind == 'P' &&
	       strcmp(portal, other) == 0;
}

/* Returns true if the plan is outdated, or refers to a dropped object. No text that is compared here is ever
 * translated. */
static bool
is_outdated(const struct error_fields *e)
{
	if (e->sqlstate == NULL)
		return false;
	if (fields_error_is_of(e, "0A000", "RevalidateCachedQuery"))
		return true;
	return strcmp(e->sqlstate, "XX000") == 0 && e->message != NULL &&
	       strstr(e->message, "cache lookup failed") != NULL;
}

/* Returns true if PostgreSQL says that it does not have this statement of pgweir's. */
static bool
is_gone(const struct exchange *x, const struct statement *st, const struct error_fields *e)
{
	const char *prefix = statement_store_prefix(x->env->statements), *at;

	return fields_error_is_of(e, "26000", "FetchPreparedStatement") && e->message != NULL && st != NULL &&
	       (at = strstr(e->message, prefix)) != NULL && strtoull(at + strlen(prefix), NULL, 10) == st->id;
}

/*
 * Makes sure that a Sync follows the error, and that its reply is swallowed. If the client has sent its Sync, that Sync
 * serves. If not, the client has sent a Flush and waits (as asyncpg does to prepare): pgweir sends a Sync, and the
 * client's later Sync belongs to the retry. Returns false if neither is possible.
 */
static bool
take_sync(struct exchange *x)
{
	struct server *srv = x->srv;

	if (srv->loan.kept.state == KEPT_WHOLE)
		return ledger_swallow_ready(&srv->ledger);
	if (srv->ledger.count > 0)
		return false;
	ledger_push_request(&srv->ledger, OWED_SYNC, OWED_TO_STATEMENT,
			    &(struct owed_request){ .started_us = x->request_us });
	server_write(srv, "S\0\0\0\4", 5);
	statements_note_sync(x);
	return true;
}

/* Returns true if the request can be sent once more, because the client was shown no reply to it and expects no certain
 * columns. Then take_sync() was called. lacks_statement: true if the server does not have the statement, so the error
 * is not about its columns. */
static bool
try_begin_retry(struct exchange *x, const struct client_statement *n, bool lacks_statement)
{
	const struct kept_request *kept = &x->srv->loan.kept;

	return (kept->state == KEPT_WHOLE || kept->state == KEPT_SO_FAR) && x->srv->tx == 'I' &&
	       x->srv->ledger.answered == 0 && x->body_left == 0 &&
	       (lacks_statement || n->rows == ROWS_UNTOLD || describes_columns(&kept->copy)) && take_sync(x);
}

/* Returns true if a new Parse might make n succeed: pgweir, not PostgreSQL, has answered the Parse of n. */
static bool
is_doubtful(struct exchange *x, const struct client_statement *n, const struct error_fields *e)
{
	if (statement_is_unnamed(n))
		return statements_suspend_name(x, n, e->sqlstate);
	/* Errors of PostgreSQL's parser are of class 42: syntax, access rules, undefined names. */
	return !n->is_proven && e->sqlstate != NULL && strncmp(e->sqlstate, "42", 2) == 0;
}

bool
retry_begin(struct exchange *x, const struct error_fields *e)
{
	struct client_statements *s = x->statements;
	bool is_old = is_outdated(e), lacks_statement, is_again, is_describe;
	struct client_statement *n;

	if (s == NULL || s->failed_use == FAILED_NO_USE)
		return false;
	is_describe = s->failed_use == FAILED_DESCRIBE;
	s->failed_use = FAILED_NO_USE;
	n = s->failed;
	lacks_statement = is_gone(x, n->st, e);
	if (lacks_statement)
		server_statements_outdate_one(&x->srv->statements, n->st->id);
	if (n->st == NULL || (!lacks_statement && !is_old && !is_doubtful(x, n, e)))
		return false;
	is_again = try_begin_retry(x, n, lacks_statement);
	if (!lacks_statement && (is_old || is_again))
		client_statement_renew(x, n, n->rows == ROWS_UNTOLD && !is_describe);
	if (!is_again)
		return false;
	s->swallows_types = !lacks_statement && is_describe;
	exchange_step(x, CE_RETRY);
	x->pool->database->counters.statement_reruns++;
	return true;
}

bool
retry_begin_after_bind(struct exchange *x, const struct error_fields *e, bool is_unshown)
{
	const struct client_statements *s = x->statements;
	const struct kept_request *k = &x->srv->loan.kept;

	if (s == NULL || s->failed_use != FAILED_NO_USE || k->state != KEPT_WHOLE ||
	    !statements_may_run_again(k->copy.bytes, k->copy.len) || !statements_doubt_plan(x, e->sqlstate) ||
	    !is_unshown || x->srv->tx != 'I' || !take_sync(x))
		return false;
	exchange_step(x, CE_RETRY);
	x->pool->database->counters.statement_reruns++;
	return true;
}

bool
retry_now(struct exchange *x)
{
	struct kept_request *k = &x->srv->loan.kept;

	exchange_step(x, CE_ANSWERED);
	k->state = KEPT_IMPOSSIBLE; /* once is enough */
	return resend_now(x, &k->copy);
}
