/*
 * src/statements/expose.c - prepares a client's statements on its server under the client's own names: for SQL that
 * reads pg_prepared_statements, and for SQL EXECUTE of one of them. See statements/statements_state.h.
 *
 * Ahead of such SQL the server is made to look as if it were the client's alone: statements with pgweir's names are
 * closed, and the client's statements are prepared under its names, in the order in which the client prepared them. A
 * statement that can't be prepared any more is missing there; in a transaction, a savepoint keeps that error from
 * aborting it. All of this is sent in requests of pgweir's own (except that EXECUTE may come behind a Flush). When the
 * request is answered, and before anything else is sent, these names are closed again.
 *
 * Bind and Describe use the statements with pgweir's names as ever. Only statements that read the view themselves are
 * used under the client's name, lest the client finds pgweir's.
 */
#include "listen/listen.h"
#include "state/state.h"
#include "statements/statements.h"
#include "state/state_state.h"
#include "statements/statements_state.h"

#include "wire/frame.h"
#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SHOWN_MAX 1000u /* statements that are prepared for one request */
#define SAVEPOINT "\"pgweir_look\""

/* The view, and the function behind it. */
static const char view[] = "pg_prepared_statement";

/* A plain search will do: a false match only costs round trips. */
static bool
looks(const char *sql, size_t len)
{
	const char *end = sql + len, *at = sql;

	for (; (at = memchr(at, '_', (size_t)(end - at))) != NULL; at++)
		if (at - sql >= 2 && (size_t)(end - at) >= sizeof(view) - 3 &&
		    strncasecmp(at - 2, view, sizeof(view) - 1) == 0)
			return true;
	return false;
}

static bool
statement_looks(struct statement *st)
{
	if (st->looks == STATEMENT_UNKNOWN)
		st->looks = looks((const char *)st->bytes, st->query_len) ? STATEMENT_DOES : STATEMENT_DOES_NOT;
	return st->looks == STATEMENT_DOES;
}

bool
materialised_is(const struct exchange *x, const struct named *n)
{
	return x->statements->is_look && n->is_materialised && statement_looks(n->st);
}

/* Returns the statement of the protocol that the SQL runs by EXECUTE; NULL: none. */
static struct named *
executed(const struct exchange *x, const char *sql, size_t len)
{
	struct known_text text;
	struct named *n;

	if (x->statements->count == 0 || !known_parse(&text, image_scan_options(x->image), sql, len) ||
	    text.count != 1 || text.statements[0].kind != KNOWN_EXECUTE)
		return NULL;
	n = named_find(x, text.statements[0].name);
	return n == NULL || n->is_closing || n->is_oversize || name_is_ours(x, n->name) ? NULL : n;
}

static int
put_sync(struct exchange *x, enum owed_to to, struct buf *b)
{
	message_sync(b);
	return server_owe_sync(x->srv, to);
}

static int
put_run(struct exchange *x, const char *sql, struct buf *b)
{
	session_put_run(b, sql);
	x->srv->unnamed_of = 0;
	return ledger_push_run(&x->srv->ledger, OWED_TO_LOOK, NULL);
}

/* Closes all statements with pgweir's names on the server. */
static int
close_ours(struct exchange *x, struct buf *b)
{
	struct server *srv = x->srv;
	uint64_t id = 0;
	char name[STATEMENT_NAME_MAX];

	special_name(x, STAND_IN, name);
	message_close_statement(b, name);
	if (ledger_push(&srv->ledger, OWED_CLOSE, OWED_TO_LOOK, NULL) < 0)
		return -1;
	while (server_statements_next(&srv->statements, &id)) {
		server_statements_closing(&srv->statements, id, x->statements->scope);
		statement_name_of(x->env->statements, id, name);
		message_close_statement(b, name);
		if (ledger_push(&srv->ledger, OWED_CLOSE, OWED_TO_STATEMENT, ref_of_id(id)) < 0)
			return -1;
	}
	return put_sync(x, OWED_TO_LOOK, b);
}

static int
earlier_first(const void *a, const void *b)
{
	const struct named *const *x = a, *const *y = b;
	uint32_t distance = (*x)->order - (*y)->order; /* it may have wrapped around */

	return distance == 0 ? 0 : distance < UINT32_MAX / 2 ? 1 : -1;
}

/* Returns the statements to prepare, in order; the array is the caller's. Oversize ones are there already. */
static struct named **
shown_of(struct exchange *x, size_t *count)
{
	struct client_statements *s = x->statements;
	struct named **all = calloc(s->count + 1u, sizeof(struct named *));

	*count = 0;
	for (uint32_t i = 0; all != NULL && i < s->slot_count; i++) {
		struct named *n = s->slots[i];

		if (n == NULL)
			continue;
		n->is_materialised = !n->is_pending && !n->is_closing && !n->is_oversize && !name_is_ours(x, n->name);
		if (n->is_materialised)
			all[(*count)++] = n;
	}
	if (*count > 0)
		qsort(all, *count, sizeof(struct named *), earlier_first);
	for (; *count > SHOWN_MAX; --*count)
		all[*count - 1]->is_materialised = false;
	return all;
}

static int
put_own(struct exchange *x, const struct named *n, enum owed_to to, struct buf *b)
{
	message_parse(b, n->name, n->st->bytes, n->st->len);
	x->entry->database->counters.server_parses++;
	return ledger_push(&x->srv->ledger, OWED_PARSE, to, NULL);
}

/* Sends each in a request of its own, so that one that can't be prepared doesn't keep others from it. */
static int
put_all(struct exchange *x, struct named *const *all, size_t count, struct buf *b)
{
	bool is_in_transaction = x->srv->tx == 'T';
	int r = 0;

	if (count == 0)
		return 0;
	if (is_in_transaction)
		r = put_run(x, "SAVEPOINT " SAVEPOINT, b);
	for (size_t i = 0; i < count && r == 0; i++) {
		r = put_own(x, all[i], OWED_TO_LOOK, b);
		if (r == 0)
			r = put_sync(x, OWED_TO_LOOK, b);
		if (r == 0 && is_in_transaction)
			r = put_run(x, "ROLLBACK TO SAVEPOINT " SAVEPOINT, b);
	}
	if (!is_in_transaction || r < 0)
		return r;
	r = put_run(x, "RELEASE SAVEPOINT " SAVEPOINT, b);
	return r < 0 ? r : put_sync(x, OWED_TO_LOOK, b);
}

/* Notes that this name must be closed later. */
static void
undo_later(struct client_statements *s, const char *name)
{
	message_close_statement(&s->undoing, name);
	s->materialised_count++;
	s->is_materialised = true;
}

static int
make_all(struct exchange *x, struct buf *b)
{
	struct client_statements *s = x->statements;
	size_t count;
	struct named **all = shown_of(x, &count);
	int r = all == NULL ? -1 : close_ours(x, b);

	if (r == 0)
		r = put_all(x, all, count, b);
	for (size_t i = 0; i < count; i++)
		undo_later(s, all[i]->name);
	s->is_materialised = s->is_look = true;
	free(all);
	return r;
}

/*
 * If this Parse fails, the client gets its error in place of that of the EXECUTE. Behind a Flush it is part of the
 * client's own request: there its error goes to the client at once.
 */
static int
make_one(struct exchange *x, const struct named *n, struct buf *b)
{
	undo_later(x->statements, n->name);
	if (!x->srv->is_synced)
		return put_own(x, n, OWED_TO_STATEMENT, b);
	return put_own(x, n, OWED_TO_PREPARE, b) < 0 ? -1 : put_sync(x, OWED_TO_PREPARE, b);
}

static bool
is_possible(const struct exchange *x, bool is_look)
{
	return !statements_pass_through(x) && session_is_followed(x) && x->entry->settings.prepared_statements > 0 &&
	       x->srv->tx != 'E' && (x->srv->is_synced || !is_look);
}

static enum statement_step
materialise(struct exchange *x, const char *sql, size_t len, bool is_look)
{
	struct buf b = { 0 };
	struct named *n;
	int r;

	if ((!is_look && x->statements == NULL) || !is_possible(x, is_look))
		return STATEMENT_FORWARD;
	if (names_own(x) == NULL)
		return STATEMENT_FAILED;
	if (x->statements->is_materialised)
		return STATEMENT_FORWARD;
	n = is_look ? NULL : executed(x, sql, len);
	if (n == NULL && !is_look)
		return STATEMENT_FORWARD;
	if (x->srv->ledger.count > 0)
		return STATEMENT_HOLD;
	x->srv->loan.kept.state = KEPT_NOT;
	r = n == NULL ? make_all(x, &b) : make_one(x, n, &b);
	if (r == 0 && buf_ok(&b))
		outbox_copy(&x->env->to_server, b.bytes, b.len);
	else
		r = -1;
	buf_fini(&b);
	return r < 0 ? STATEMENT_FAILED : STATEMENT_FORWARD;
}

enum statement_step
statements_expose_for_sql(struct exchange *x, const char *sql, size_t len)
{
	enum statement_step step = x->listen == NULL ? STATEMENT_FORWARD : listen_before_text(x, sql, len);

	return step != STATEMENT_FORWARD ? step : materialise(x, sql, len, looks(sql, len));
}

enum statement_step
statements_expose_for(struct exchange *x, struct statement *st)
{
	bool is_look = st != NULL && statement_looks(st);
	enum statement_step step = st == NULL || x->listen == NULL
				       ? STATEMENT_FORWARD
				       : listen_before_text(x, (const char *)st->bytes, st->query_len);

	if (step != STATEMENT_FORWARD)
		return step;
	if (st == NULL || (!is_look && (st->bytes[0] | 0x20) != 'e' && st->bytes[0] > ' ' && st->bytes[0] != '/' &&
			   st->bytes[0] != '-'))
		return STATEMENT_FORWARD;
	return materialise(x, (const char *)st->bytes, st->query_len, is_look);
}

int
materialised_parse(struct exchange *x, struct named *n)
{
	n->is_materialised = true;
	undo_later(x->statements, n->name);
	if (named_push(x, OWED_PARSE, OWED_TO_CLIENT, n) < 0)
		return -1;
	put_parse(x, n->name, n->st);
	return 0;
}

bool
materialised_takes(const struct exchange *x, struct statement *st)
{
	return x->statements->is_look && statement_looks(st);
}

enum statement_step
statements_undo(struct exchange *x, bool is_at_end)
{
	struct client_statements *s = x->statements;
	struct buf closes;
	uint32_t count;
	int r = 0;

	if (s == NULL || !s->is_materialised || !x->srv->is_synced)
		return STATEMENT_FORWARD;
	if (x->srv->ledger.count > 0)
		return STATEMENT_HOLD;
	closes = s->undoing;
	count = s->materialised_count;
	memset(&s->undoing, 0, sizeof(s->undoing));
	s->materialised_count = 0;
	s->is_materialised = s->is_look = false;
	for (uint32_t i = 0; i < count && r == 0; i++)
		r = ledger_push(&x->srv->ledger, OWED_CLOSE, OWED_TO_LOOK, NULL);
	if (r == 0 && count > 0)
		r = put_sync(x, OWED_TO_LOOK, &closes);
	if (r < 0 || !buf_ok(&closes))
		r = -1;
	else if (is_at_end)
		server_write(x->srv, closes.bytes, closes.len);
	else
		outbox_copy(&x->env->to_server, closes.bytes, closes.len);
	buf_fini(&closes);
	return r < 0 ? STATEMENT_FAILED : count > 0 ? STATEMENT_DONE : STATEMENT_FORWARD;
}

bool
statements_are_materialised(const struct exchange *x)
{
	return x->statements != NULL && x->statements->is_materialised;
}
