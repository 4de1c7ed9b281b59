/*
 * src/statements/expose.c - prepares a client's statements on its server under the client's own names: for SQL that
 * reads pg_prepared_statements, and for SQL EXECUTE of one of them, or for several such statements and DEALLOCATEs in
 * one Query. See statements/statements_state.h.
 *
 * Ahead of such SQL the server is made to look as if it were the client's alone: statements with pgweir's names are
 * closed, and the client's statements are prepared under its names, in the order in which the client prepared them. A
 * statement that can't be prepared any more is missing there; in a transaction, a savepoint keeps that error from
 * aborting it. All of this is sent in requests of pgweir's own (except that EXECUTE may come behind a Flush). When the
 * request is answered, and before anything else is sent, these names are closed again. A Query behind a Flush waits
 * until that is done.
 *
 * Bind and Describe use the statements with pgweir's names as ever. Only statements that read the view themselves are
 * used under the client's name, lest the client finds pgweir's.
 */
#include "statements/expose.h"
#include "state/state.h"
#include "statements/statements.h"
#include "statements/statements_state.h"
#include "statements/names.h"

#include "sql/known.h"
#include "sql/verdict.h"
#include "wire/messages.h"
#include "server/server_image.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 1000u /* statements that are prepared for one request */

/* Returns true for SQL that reads the view, or the function behind it. */
static bool
reads_catalog(const struct sql_verdict *v)
{
	return (v->hints & SCAN_HINT_STATEMENTS) != 0;
}

bool
statements_is_exposed(const struct exchange *x, const struct client_statement *n)
{
	return x->statements->exposed == EXPOSED_ALL && n->is_exposed && reads_catalog(statement_verdict(n->st));
}

static bool
executes(const struct known *k)
{
	return k->kind == KNOWN_EXECUTE || k->kind == KNOWN_EXECUTE_ANY;
}

/*
 * Finds the statement of the protocol that the SQL runs by EXECUTE; NULL: none. Returns STEP_HOLD if it is not known
 * yet whether there is one.
 */
static enum feature_step
executed(const struct exchange *x, struct request *m, struct client_statement **found)
{
	const struct known *k;
	struct client_statement *n;

	*found = NULL;
	if (x->statements->count == 0 || !executes(k = request_only(x, m)))
		return STEP_FORWARD;
	n = client_statement_find(x, k->name);
	if (client_statement_is_unsettled(x, n))
		return STEP_HOLD;
	if (n != NULL && !statement_is_closing(n) && !statement_is_oversize(n) && !statements_name_is_ours(x, n->name))
		*found = n;
	return STEP_FORWARD;
}

static void
put_sync(struct exchange *x, enum owed_to to, struct buf *b)
{
	message_sync(b);
	server_owe_sync(x->srv, to);
}

/* Closes all statements with pgweir's names on the server. */
static void
close_ours(struct exchange *x, struct buf *b)
{
	struct server *srv = x->srv;
	uint64_t id = 0;
	char name[STATEMENT_NAME_MAX];

	statement_special_name(x->env->statements, PLACEHOLDER, name);
	message_close_statement(b, name);
	ledger_push(&srv->ledger, OWED_CLOSE, OWED_TO_FEATURE, NULL);
	while (server_statements_next(&srv->statements, &id)) {
		server_statements_closing(&srv->statements, id, x->statements->sync_no);
		statement_name_of(x->env->statements, id, name);
		message_close_statement(b, name);
		ledger_push(&srv->ledger, OWED_CLOSE, OWED_TO_STATEMENT, statements_ref_of_id(id));
	}
	put_sync(x, OWED_TO_FEATURE, b);
}

static int
earlier_first(const void *a, const void *b)
{
	const struct client_statement *const *x = a, *const *y = b;
	uint32_t distance = (*x)->order - (*y)->order; /* it may have wrapped around */

	return distance == 0 ? 0 : distance < UINT32_MAX / 2 ? 1 : -1;
}

/* Returns the statements to prepare, in order; the array is the caller's. Oversize ones are there already. */
static struct client_statement **
shown_of(struct exchange *x, size_t *count)
{
	struct client_statements *s = x->statements;
	struct client_statement **all = calloc(s->count + 1u, sizeof(struct client_statement *));

	*count = 0;
	for (uint32_t i = 0; all != NULL && i < s->slot_count; i++) {
		struct client_statement *n = s->slots[i];

		if (n == NULL)
			continue;
		n->is_exposed =
		    n->state == NAME_THERE && !statement_is_oversize(n) && !statements_name_is_ours(x, n->name);
		if (n->is_exposed)
			all[(*count)++] = n;
	}
	if (*count > 0)
		qsort(all, *count, sizeof(struct client_statement *), earlier_first);
	for (; *count > SHOWN_MAX; --*count)
		all[*count - 1]->is_exposed = false;
	return all;
}

/* A LISTEN is one again: who runs it by EXECUTE listens on this server, and the view shows what the client has sent. */
static void
put_own(struct exchange *x, const struct client_statement *n, enum owed_to to, struct buf *b)
{
	const struct statement *st = n->st;
	struct buf rest = { 0 };

	if (!listen_text_restore((const char *)st->bytes, st->query_len, &rest))
		buf_put(&rest, st->bytes, st->query_len);
	buf_put(&rest, st->bytes + st->query_len, st->len - st->query_len);
	message_parse(b, n->name, rest.bytes, rest.len);
	b->is_broken = b->is_broken || !buf_ok(&rest);
	buf_fini(&rest);
	x->pool->database->counters.server_parses++;
	ledger_push(&x->srv->ledger, OWED_PARSE, to, NULL);
}

/* Sends each in a request of its own, so that one that can't be prepared doesn't keep others from it. */
static void
put_all(struct exchange *x, struct client_statement *const *all, size_t count, struct buf *b)
{
	bool is_in_transaction = x->srv->tx == 'T' && count > 0;

	if (is_in_transaction)
		state_run(x, b, "SAVEPOINT " STATE_SAVEPOINT, OWED_TO_FEATURE, NULL);
	for (size_t i = 0; i < count; i++) {
		put_own(x, all[i], OWED_TO_FEATURE, b);
		put_sync(x, OWED_TO_FEATURE, b);
		if (is_in_transaction)
			state_run(x, b, "ROLLBACK TO SAVEPOINT " STATE_SAVEPOINT, OWED_TO_FEATURE, NULL);
	}
	if (is_in_transaction)
		state_run(x, b, "RELEASE SAVEPOINT " STATE_SAVEPOINT, OWED_TO_FEATURE, NULL);
	if (is_in_transaction)
		put_sync(x, OWED_TO_FEATURE, b);
}

void
expose_undo_later(struct client_statements *s, const char *name)
{
	buf_put_str(&s->undoing, name);
	if (s->exposed == EXPOSED_NONE)
		s->exposed = EXPOSED_SOME;
}

static enum feature_step
make_all(struct exchange *x, struct buf *b)
{
	struct client_statements *s = x->statements;
	size_t count;
	struct client_statement **all = shown_of(x, &count);

	if (all == NULL)
		return STEP_FAILED;
	close_ours(x, b);
	put_all(x, all, count, b);
	for (size_t i = 0; i < count; i++)
		expose_undo_later(s, all[i]->name);
	s->exposed = EXPOSED_ALL;
	free(all);
	return STEP_FORWARD;
}

/*
 * If this Parse fails, the client gets its error in place of that of the EXECUTE. Behind a Flush it is part of the
 * client's own request: there its error goes to the client at once.
 */
static void
make_one(struct exchange *x, const struct client_statement *n, struct buf *b)
{
	expose_undo_later(x->statements, n->name);
	put_own(x, n, x->srv->is_synced ? OWED_TO_PREPARE : OWED_TO_STATEMENT, b);
	if (x->srv->is_synced)
		put_sync(x, OWED_TO_PREPARE, b);
}

/* --- several statements in one Query --- */

/* The statements of the protocol that a Query calls by EXECUTE or DEALLOCATE. */
struct calls {
	struct exchange *x;
	struct buf *b; /* NULL: they are only counted */
	unsigned count;
	bool has_prepare; /* of the same name: nobody may close that */
};

static void
see_call(struct calls *c, const struct known *call)
{
	struct exchange *x = c->x;
	bool is_execute = executes(call);
	struct client_statement *n = client_statement_find(x, call->name);

	c->has_prepare |= call->kind == KNOWN_PREPARE && n != NULL;
	if (!is_execute && call->kind != KNOWN_DEALLOCATE)
		return;
	if (n != NULL && (statement_is_closing(n) || statement_is_oversize(n) || statements_name_is_ours(x, n->name)))
		n = NULL;
	if (c->b != NULL && !is_execute)
		buf_put(&x->statements->dropping, n != NULL ? n->name : "", n != NULL ? strlen(n->name) + 1 : 1);
	if (n == NULL)
		return;
	c->count++;
	if (c->b == NULL) {
		n->is_exposed = false;
		return;
	}
	if (n->is_exposed)
		return; /* it is there for an earlier one */
	n->is_exposed = true;
	if (is_execute) {
		make_one(x, n, c->b);
		return;
	}
	expose_undo_later(x->statements, n->name);
	message_parse(c->b, n->name, "\0\0\0", 3); /* an empty one: it can be prepared at any time */
	ledger_push(&x->srv->ledger, OWED_PARSE, OWED_TO_FEATURE, NULL);
	put_sync(x, OWED_TO_FEATURE, c->b);
}

static void
each_call(struct calls *c, const struct request *m)
{
	struct known_reader r;
	struct known k;

	for (known_begin(&r, image_scan_options(c->x->image), m->sql, m->sql_len); known_step(&r, &k);)
		see_call(c, &k);
}

/* Returns true for a Query that calls statements of the protocol among others. */
static bool
calls_several(struct exchange *x, const struct request *m)
{
	struct calls c = { .x = x };
	struct known k;

	if (m->type != 'Q' || (m->verdict->flags & (SCAN_EXECUTE | SCAN_PREPARE)) == 0 || x->statements == NULL ||
	    x->statements->count == 0 || !x->srv->is_synced || known_deallocation(&k, m->sql, m->sql_len) != KNOWN_NOT)
		return false;
	each_call(&c, m);
	return c.count > 0 && !c.has_prepare;
}

static enum feature_step
make_called(struct exchange *x, const struct request *m, struct buf *b)
{
	struct calls c = { .x = x, .b = b };

	buf_fini(&x->statements->dropping);
	x->statements->dropped = 0;
	each_call(&c, m);
	return buf_ok(&x->statements->dropping) ? STEP_FORWARD : STEP_FAILED;
}

static bool
is_possible(const struct exchange *x, bool is_catalog_read)
{
	return !statements_pass_through(x) && exchange_is_followed(x) && x->pool->settings.prepared_statements > 0 &&
	       (x->srv->is_synced || !is_catalog_read);
}

enum feature_step
statements_expose(struct exchange *x, struct request *m)
{
	struct buf b = { 0 };
	struct client_statement *n = NULL;
	enum feature_step step;
	bool is_catalog_read, is_several;

	if (m->verdict == NULL ||
	    (!reads_catalog(m->verdict) && (m->verdict->flags & (SCAN_EXECUTE | SCAN_PREPARE)) == 0))
		return STEP_FORWARD;
	is_catalog_read = reads_catalog(m->verdict);
	if ((!is_catalog_read && x->statements == NULL) || !is_possible(x, is_catalog_read))
		return STEP_FORWARD;
	if (statements_own(x) == NULL)
		return STEP_FAILED;
	if (x->statements->exposed != EXPOSED_NONE)
		return STEP_FORWARD;
	is_several = !is_catalog_read && calls_several(x, m);
	if (!is_catalog_read && !is_several && (m->verdict->flags & SCAN_EXECUTE) != 0 &&
	    (step = executed(x, m, &n)) != STEP_FORWARD)
		return step;
	if (n == NULL && !is_catalog_read && !is_several)
		return STEP_FORWARD;
	if (x->srv->ledger.count > 0)
		return STEP_HOLD;
	if (x->srv->tx == 'E')
		return STEP_FORWARD;
	step = STEP_FORWARD;
	x->srv->loan.kept.state = KEPT_NOT;
	if (n != NULL)
		make_one(x, n, &b);
	else
		step = is_several ? make_called(x, m, &b) : make_all(x, &b);
	outbox_put(&x->env->to_server, &b);
	if (step == STEP_FAILED)
		return STEP_FAILED;
	return request_goes_behind(x, m);
}

void
expose_parse(struct exchange *x, struct client_statement *n)
{
	n->is_exposed = true;
	expose_undo_later(x->statements, n->name);
	client_statement_push(x, OWED_PARSE, OWED_TO_CLIENT, n);
	statements_put_parse(x, n->name, n->st);
}

bool
expose_takes(const struct exchange *x, struct statement *st)
{
	return x->statements->exposed == EXPOSED_ALL && reads_catalog(statement_verdict(st));
}

void
expose_close(struct exchange *x, const char *name)
{
	struct buf b = { 0 };

	message_close_statement(&b, name);
	ledger_push(&x->srv->ledger, OWED_CLOSE, OWED_TO_FEATURE, NULL);
	outbox_put(&x->env->to_server, &b);
}

/* But not what the client has prepared since under such a name, if the server has that under the client's own. */
static void
put_undoing(struct exchange *x, struct buf *b)
{
	const struct buf *undoing = &x->statements->undoing;

	for (size_t at = 0; at < undoing->len;) {
		const char *name = (const char *)undoing->bytes + at;
		const struct client_statement *n = client_statement_find(x, name);

		at += strlen(name) + 1;
		if (n != NULL && statement_is_oversize(n))
			continue;
		message_close_statement(b, name);
		ledger_push(&x->srv->ledger, OWED_CLOSE, OWED_TO_FEATURE, NULL);
	}
	if (x->srv->ledger.count > 0)
		put_sync(x, OWED_TO_FEATURE, b);
}

static enum feature_step
undo(struct exchange *x, bool is_at_end)
{
	struct client_statements *s = x->statements;
	struct buf closes = { 0 };
	bool is_sent;

	if (x->srv->ledger.count > 0)
		return STEP_HOLD;
	if (!buf_ok(&s->undoing))
		return STEP_FAILED;
	put_undoing(x, &closes);
	buf_fini(&s->undoing);
	s->exposed = EXPOSED_NONE;
	is_sent = closes.len > 0;
	if (!is_at_end)
		outbox_put(&x->env->to_server, &closes);
	else if (server_send(x->srv, &closes) < 0)
		return STEP_FAILED;
	return is_sent ? STEP_SENT : STEP_FORWARD;
}

enum feature_step
statements_undo(struct exchange *x, bool is_at_end)
{
	return x->statements != NULL && x->statements->exposed != EXPOSED_NONE && x->srv->is_synced ? undo(x, is_at_end)
												    : STEP_FORWARD;
}

bool
statements_are_exposed(const struct exchange *x)
{
	return x->statements != NULL && (x->statements->exposed != EXPOSED_NONE || x->statements->deallocating != NULL);
}
