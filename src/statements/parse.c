/*
 * src/statements/parse.c - Parse of a named statement. See statements/statements_state.h.
 *
 * If the server has the statement already, pgweir answers the Parse itself, in its turn. Where the transaction may have
 * failed, PostgreSQL first gets the same SQL under the name PLACEHOLDER, and refuses this SQL if it would refuse the
 * client's Parse. In place of a Parse that must fail (its name is taken, or pgweir refuses it), PostgreSQL gets a
 * message that it refuses: only then does it skip to Sync and abort the transaction.
 */
#include "state/compiled.h"
#include "state/observe.h"
#include "statements/statements_state.h"
#include "statements/statements_transfer.h"
#include "statements/unnamed.h"
#include "sql/traits.h"
#include "wire/messages.h"

#define REPLIES_SEEN 32u /* how many owed replies a Parse looks at, from the last one back */

/*
 * Handles a Parse of a name that is taken. PostgreSQL reports an error in the new SQL, or that the name is taken;
 * pgweir rewrites that error for the client. The old statement may be impossible to prepare by now (its table is gone),
 * so pgweir prepares an empty statement, for which this can't happen, under the name that the Parse has on the server
 * (PLACEHOLDER).
 */
static enum feature_step
parse_duplicate(struct exchange *x, struct client_statement *n, const struct parse_fields *f)
{
	struct buf b = { 0 };
	char name[STATEMENT_NAME_MAX];

	if (statement_is_oversize(n))
		return STEP_FORWARD;
	statement_special_name(x->env->statements, PLACEHOLDER, name);
	state_note_run(x, state_risk_of_unknown_sql(x));
	message_parse(&b, name, f->rest, f->rest_len);
	statement_put_close_and_parse(x, name, "\0\0", 3);
	client_statement_push(x, OWED_DUPLICATE, OWED_TO_CLIENT, n); /* a Parse that can only fail */
	outbox_put(&x->env->to_server, &b);
	return STEP_REPLACED;
}

static int
parse_on_server(struct exchange *x, struct client_statement *n)
{
	struct server *srv = x->srv;

	n->sent_or_told_id = short_id(n->st);
	statement_make_room(x, n->st);
	if (server_statements_note_parse(&srv->statements, n->st->id, n->sync_no) < 0)
		return -1;
	client_statement_push(x, OWED_PARSE, OWED_TO_CLIENT, n);
	statements_put_parse(x, n->st->name, n->st);
	return 0;
}

/* Returns the statement for a Parse, with a reference for the caller. With statement_ignore_comments, a shared
 * statement lacks the SQL's trailing comment. v: the traits of the SQL. */
static struct statement *
get_statement_of_parse(struct exchange *x, const struct parse_fields *f, const struct sql_traits *v)
{
	struct buf b = { 0 };
	struct statement *st = NULL;
	size_t query_len = f->query_len;
	uint32_t context;

	if (!state_statement_context(x, v, &context))
		return statement_new_unshared(x->pool->home, f->rest, f->rest_len, f->query_len);
	if (x->settings->statement_ignore_comments)
		query_len = trailing_comment_at((const char *)f->rest, f->query_len);
	if (query_len == f->query_len) {
		st = statement_get_or_create(x->pool->home, f->rest, f->rest_len, query_len, context);
		if (st != NULL)
			statement_take_traits(st, v);
		return st;
	}
	buf_put(&b, f->rest, query_len);
	buf_put(&b, f->rest + f->query_len, f->rest_len - f->query_len);
	if (buf_ok(&b))
		st = statement_get_or_create(x->pool->home, b.bytes, b.len, query_len, context);
	buf_fini(&b);
	return st;
}

/* Enters a new name of the client's in its table, and returns the entry with a reference for the caller. closed: the
 * statement that had the name before, or NULL. Takes over the reference to st. Returns NULL if there is no memory. */
static struct client_statement *
enter_new(struct exchange *x, const char *name, struct statement *st, struct client_statement *closed)
{
	struct client_statement *n = client_statement_new(x, name, st);

	if (n == NULL) {
		statement_unref(st);
		return NULL;
	}
	if (closed != NULL) /* if the Close, which was sent before, is skipped, this Parse is skipped, too */
		client_statement_leave(x->statements, closed);
	if (client_statement_enter(x->statements, n) == 0) {
		x->pool->database->counters.client_parses++;
		return n;
	}
	client_statement_unref(n);
	return NULL;
}

/* Sends a message that PostgreSQL refuses. put_refusal() replaces PostgreSQL's error by one of pgweir's own. */
static enum feature_step
refuse_parse(struct exchange *x)
{
	struct buf b = { 0 };
	char name[STATEMENT_NAME_MAX];

	statement_special_name(x->env->statements, UNKNOWN_NAME_FULL, name);
	message_bind_text(&b, "", name, NULL, 0);
	ledger_push(&x->srv->ledger, OWED_BIND, OWED_TO_CLIENT, NULL);
	outbox_put(&x->env->to_server, &b);
	return STEP_REPLACED;
}

bool
statements_may_meet_failure(const struct server *srv)
{
	const struct ledger *l = &srv->ledger;
	uint32_t seen = 0;

	while (seen < l->count && seen < REPLIES_SEEN)
		if (owed_ends_client_request(ledger_at(l, l->count - ++seen)))
			return true;
	return seen < l->count || srv->tx == 'E';
}

/* Handles a Parse of a statement that the server has. If PostgreSQL might refuse the Parse, PostgreSQL gets the SQL
 * under another name. */
static void
parse_there(struct exchange *x, struct client_statement *n)
{
	char name[STATEMENT_NAME_MAX];

	x->pool->database->counters.statement_hits++;
	if (statements_may_meet_failure(x->srv))
		statement_parse_anew(x, n->st, name);
	client_statement_push(x, OWED_LOCAL_PARSE, OWED_TO_CLIENT, n);
}

/* Handles a Parse of a free name. closed: the statement that had the name, and whose Close was sent; or NULL. */
static enum feature_step
parse_named(struct exchange *x, const struct parse_fields *f, const struct sql_traits *v,
	    struct client_statement *closed)
{
	enum statement_presence there;
	struct statement *st;
	struct client_statement *n;
	int r = 0;

	if (statements_get_or_create(x) == NULL)
		return STEP_FAILED;
	if (!statements_have_room(x, f))
		return refuse_parse(x);
	st = get_statement_of_parse(x, f, v);
	if (st == NULL)
		return STEP_FAILED;
	there = statement_presence_of(x, st);
	if (there == STATEMENT_UNSURE) {
		statement_unref(st);
		return STEP_HOLD;
	}
	n = enter_new(x, f->name, st, closed);
	if (n == NULL)
		return STEP_FAILED;
	if (there == STATEMENT_THERE)
		parse_there(x, n);
	else {
		x->pool->database->counters.statement_misses++;
		r = parse_on_server(x, n);
	}
	client_statement_unref(n);
	return r < 0 ? STEP_FAILED : STEP_REPLACED;
}

enum feature_step
statements_parse(struct exchange *x, struct request *m)
{
	const struct parse_fields *f = &m->parse;
	struct client_statement *n;

	if (f->name[0] == '\0')
		return unnamed_parse(x, f, m->message, m->total);
	if (x->pool->settings.prepared_statements == 0)
		return state_observe_passed_parse(x, (const char *)f->rest, f->query_len + 1, f->query_len + 1);
	n = client_statement_find(x, f->name);
	if (client_statement_is_unsettled(x, n))
		return STEP_HOLD;
	if (n != NULL && !statement_is_closing(n))
		return parse_duplicate(x, n, f);
	return parse_named(x, f, m->traits, n);
}

enum feature_step
statements_oversize_parse(struct exchange *x, const char *name, const char *sql, size_t have, size_t len)
{
	bool is_named = name[0] != '\0' && !statements_pass_through(x);
	struct client_statement *n = is_named ? client_statement_find(x, name) : NULL;
	struct parse_fields empty = { .name = "", .rest = (const uint8_t *)"\0\0", .rest_len = 3 };

	if (statements_get_or_create(x) == NULL)
		return STEP_FAILED;
	if (is_named && client_statement_is_unsettled(x, n))
		return STEP_HOLD;
	if (n != NULL && !statement_is_closing(n) &&
	    !statement_is_oversize(n)) /* PostgreSQL does not have this name, so it would accept the Parse */
		return parse_duplicate(x, n, &empty);
	if (state_observe_passed_parse(x, sql, have, len) ==
	    STEP_FAILED) /* this may send something ahead of the Parse */
		return STEP_FAILED;
	if (is_named && (n == NULL || statement_is_closing(n))) {
		/* The statement is too large to be stored: only this server has it, and the client keeps the server. */
		if ((n = enter_new(x, name, NULL, n)) == NULL)
			return STEP_FAILED;
		client_statement_push(x, OWED_PARSE, OWED_TO_CLIENT, n);
		client_statement_unref(n);
	} else if (is_named)
		client_statement_push(x, OWED_DUPLICATE, OWED_TO_CLIENT, n);
	else if (statements_pass_through(x))
		ledger_push(&x->srv->ledger, OWED_PARSE, OWED_TO_CLIENT, NULL);
	else
		unnamed_parse_oversize(x);
	return STEP_FORWARD;
}

/*
 * Handles a Parse without a server: in a failed transaction, or before a Sync if the same named statement was prepared
 * in this pool under the same settings. Otherwise a client that prepares, waits for the reply and then executes
 * (libpq's PQprepare) would hold a server for nothing, or wait for one.
 */
bool
statements_parse_unlinked(struct exchange *x, const struct request *m)
{
	const struct parse_fields *f = &m->parse;
	/* in a failed transaction, relay/reject.c has checked that PostgreSQL would accept this Parse */
	bool is_known_valid = x->block >= EXCHANGE_ROLLED_BACK;
	struct statement *st;
	struct client_statement *n;

	if (statements_pass_through(x) || m->traits == NULL || statements_get_or_create(x) == NULL)
		return false;
	if (f->name[0] == '\0'
		? !is_known_valid
		: x->pool->settings.prepared_statements == 0 || client_statement_find(x, f->name) != NULL ||
		      !statements_have_room(
			  x, f)) /* without room, the Parse needs a server, where it is refused in its turn */
		return false;
	st = get_statement_of_parse(x, f, m->traits);
	if (st == NULL || (!is_known_valid && (st->valid_pool != x->pool || st->valid_gucs != x->gucs))) {
		statement_unref(st);
		return false;
	}
	if (f->name[0] == '\0') {
		statements_forget_unnamed(x);
		return statements_add_transferred(x, &(struct statement_transfer){ .name = "", .st = st }) == 0;
	}
	n = enter_new(x, f->name, st, NULL);
	if (n == NULL)
		return false;
	client_statement_step(n, NAME_PARSED);
	client_statement_unref(n);
	x->pool->database->counters.statement_hits++;
	return true;
}
