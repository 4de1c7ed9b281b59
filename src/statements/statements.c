/*
 * src/statements/statements.c - prepared statements of the protocol, across servers.
 *
 * A client's named statement is a pointer into the shared store (statement_store.h); on servers the statement has the
 * store's name. If a server has a statement already, pgweir answers the client's Parse itself, in its turn; otherwise
 * pgweir sends a Parse ahead of Bind and Describe. pgweir answers Close: the statement stays on the server for other
 * clients.
 *
 * A message with a duplicate or unknown name is sent in a form that PostgreSQL itself refuses: only then does
 * PostgreSQL skip to Sync and abort the transaction. The error is rewritten to have the client's name. Refusals of
 * pgweir's own are made the same way.
 */
#include "exchange/report.h"
#include "state/compiled.h"
#include "state/observe.h"
#include "state/linger.h"
#include "statements/keep.h"
#include "statements/unnamed.h"
#include "statements/statements_state.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <string.h>

bool
statements_pass_through(const struct exchange *x)
{
	return x->is_session || (x->srv != NULL && x->srv->ledger.intake != INTAKE_ALL);
}

/* Writes a Bind of the unnamed portal, or a Describe, with another name, up to the end of the names. names_len: the
 * bytes of the names in `message`; name_len: the bytes of the new name, with its terminator. */
static inline void
put_renamed_in_one_piece(struct exchange *x, const uint8_t *message, size_t names_len, const char *name,
			 size_t name_len)
{
	uint8_t *out = outbox_room(&x->env->to_server, FRAME_HEAD_LEN + 1 + name_len);

	if (out == NULL)
		return;
	out[0] = message[0];
	wire_set_u32(out + 1, (uint32_t)(wire_u32(message + 1) + 1 + name_len - names_len));
	out[FRAME_HEAD_LEN] = message[FRAME_HEAD_LEN]; /* the terminator of the unnamed portal, or the kind */
	memcpy(out + FRAME_HEAD_LEN + 1, name, name_len);
}

/* Writes a Bind with its portal, or a Describe (portal is NULL), up to and including the statement's new name, which is
 * prefix + name. */
static void
put_renamed(struct exchange *x, const uint8_t *message, size_t names_len, const char *portal, const char *prefix,
	    size_t prefix_len, const char *name)
{
	/* a Describe has its kind, one byte, in place of a portal */
	size_t portal_len = portal == NULL || portal[0] == '\0' ? 1 : strlen(portal) + 1;
	size_t name_len = strlen(name) + 1;
	uint32_t body_len = wire_u32(message + 1) - 4;
	uint32_t len = (uint32_t)(4 + portal_len + prefix_len + name_len + (body_len - names_len));
	uint8_t head[FRAME_HEAD_LEN];

	if (prefix_len == 0 && portal_len == 1 && name_len <= STATEMENT_NAME_MAX) {
		put_renamed_in_one_piece(x, message, names_len, name, name_len);
		return;
	}
	head[0] = message[0];
	wire_set_u32(head + 1, len);
	outbox_copy(&x->env->to_server, head, FRAME_HEAD_LEN);
	outbox_copy(&x->env->to_server, message + FRAME_HEAD_LEN, portal_len);
	outbox_copy(&x->env->to_server, prefix, prefix_len);
	outbox_copy(&x->env->to_server, name, name_len);
}

void
statements_put_parse(struct exchange *x, const char *name, struct statement *st)
{
	size_t name_len = strlen(name) + 1;
	uint8_t head[FRAME_HEAD_LEN] = { 'P' };

	/* Even a Parse may run code: PostgreSQL checks a constant of a domain's type against the domain. */
	state_note_run(x, state_risk_of(x, st));
	wire_set_u32(head + 1, (uint32_t)(4 + name_len + st->len));
	outbox_copy(&x->env->to_server, head, sizeof(head));
	outbox_copy(&x->env->to_server, name, name_len);
	outbox_copy(&x->env->to_server, st->bytes, st->len);
	x->pool->database->counters.server_parses += *name != '\0';
}

static void
close_on_server(struct exchange *x, uint64_t id)
{
	struct server *srv = x->srv;
	struct buf b = { 0 };
	char name[STATEMENT_NAME_MAX];
	bool is_counted = server_statements_note_close(&srv->statements, id, x->statements->sync_no);

	statement_name_of(x->env->statements, id, name);
	message_close_statement(&b, name);
	ledger_push(&srv->ledger, OWED_CLOSE, OWED_TO_STATEMENT, is_counted ? statements_ref_of_id(id) : NULL);
	outbox_put(&x->env->to_server, &b);
}

void
statement_make_room(struct exchange *x, const struct statement *st)
{
	struct server *srv = x->srv;
	uint64_t id;

	/* The server may have another statement under this name: an outdated one, or one that pgweir does not know of.
	 * The Parse would then fail, so a Close is sent first. */
	close_on_server(x, st->id);
	while (srv->statements.count >= x->pool->settings.prepared_statements &&
	       server_statements_find_lru(&srv->statements, &id)) {
		close_on_server(x, id);
		x->pool->database->counters.statement_evictions++;
	}
}

enum statement_presence
statement_presence_of(struct exchange *x, const struct statement *st)
{
	return server_statements_use(&x->srv->statements, st->id, x->statements->sync_no);
}

bool
statement_is_read_otherwise(const struct exchange *x, const struct client_statement *n)
{
	const struct statement *st = n->st;

	if (statement_is_pending(n) || !statement_is_shared(st))
		return false;
	if (x->srv->loan.has_local_parse_settings)
		return true;
	return st->context == 0 ? gucs_affect_plans(x->gucs) : gucs_context(x->gucs) != st->context;
}

/* If the client's settings or role are no longer those under which the statement is shared, the client's name refers to
 * another statement from now on. Returns 0, or -1 if there is no memory. */
static int
fit_context(struct exchange *x, struct client_statement *n)
{
	struct statement *st = n->st;
	const struct sql_traits *v = statement_parse_traits(st);
	uint32_t context;
	bool is_shared;

	if (!statement_is_shared(st))
		return 0;
	is_shared = state_statement_context(x, v, &context);
	if (is_shared && context == st->context)
		return 0;
	n->st = is_shared ? statement_get_or_create(x->pool->home, st->bytes, st->len, st->query_len, context)
			  : statement_new_unshared(x->pool->home, st->bytes, st->len, st->query_len);
	if (n->st == NULL) {
		n->st = st;
		return -1;
	}
	statement_take_traits(n->st, v);
	statement_unref(st);
	return 0;
}

__attribute__((noinline)) enum feature_step
statement_prepare_there(struct exchange *x, struct statement *st)
{
	struct server *srv = x->srv;

	x->pool->database->counters.statement_misses++;
	srv->loan.kept.state = KEPT_IMPOSSIBLE; /* a statement that is prepared now can't be outdated */
	statement_make_room(x, st);
	if (server_statements_note_parse(&srv->statements, st->id, x->statements->sync_no) < 0)
		return STEP_FAILED;
	ledger_push(&srv->ledger, OWED_PARSE, OWED_TO_STATEMENT, statements_ref_of_id(st->id));
	statements_put_parse(x, st->name, st);
	return STEP_REPLACED;
}

enum feature_step
statement_ensure(struct exchange *x, struct client_statement *n)
{
	enum statement_presence presence;

	loan_keep_request(&x->srv->loan);
	if (statement_is_read_otherwise(x, n) || (presence = statement_presence_of(x, n->st)) == STATEMENT_ABSENT) {
		if (fit_context(x, n) < 0)
			return STEP_FAILED;
		presence = statement_presence_of(x, n->st);
	}
	switch (presence) {
	case STATEMENT_THERE:
		x->pool->database->counters.statement_hits++;
		return STEP_REPLACED;
	case STATEMENT_UNSURE:
		return STEP_HOLD;
	case STATEMENT_ABSENT:
		break;
	}
	return statement_prepare_there(x, n->st);
}

bool
statements_is_taken(const struct exchange *x, const char *name)
{
	return name[0] != '\0' && client_statement_find(x, name) != NULL;
}

bool
statements_need_server(const struct exchange *x)
{
	const struct client_statements *s = x->statements;

	return (s != NULL && s->oversize_count > 0) || (x->srv != NULL && x->srv->loan.must_keep_unnamed);
}

static enum feature_step
forward_if_replaced(enum feature_step step)
{
	return step == STEP_REPLACED ? STEP_FORWARD : step;
}

/* Sends a Bind with a name that PostgreSQL does not know: `what` (UNKNOWN_NAME...), followed by `name`. */
static enum feature_step
bind_to_unknown_name(struct exchange *x, const uint8_t *message, const struct bind_names *b, const char *what,
		     const char *name)
{
	char prefix[STATEMENT_NAME_MAX];

	statement_special_name(x->env->statements, what, prefix);
	ledger_push(&x->srv->ledger, OWED_BIND, OWED_TO_CLIENT, NULL);
	put_renamed(x, message, b->len, b->portal, prefix, strlen(prefix), name);
	return STEP_REPLACED;
}

/* Enters in the ledger a Bind that is about to be sent. */
static inline void
push_bind(struct exchange *x, struct client_statement *n)
{
	x->pool->database->counters.binds++;
	client_statement_push(x, OWED_BIND, OWED_TO_CLIENT, n);
	report_statement(x->srv, n->st);
}

static enum feature_step
bind_named(struct exchange *x, struct request *m)
{
	struct client_statement *n = m->named;
	enum feature_step step = statement_ensure(x, n);

	if (step != STEP_REPLACED)
		return step;
	m->statement = n->st; /* n->st may be another statement now, with the same SQL */
	m->traits = statement_traits(n->st);
	push_bind(x, n);
	put_renamed(x, m->message, m->names.len, m->names.portal, "", 0, n->st->name);
	return STEP_REPLACED;
}

__attribute__((always_inline)) static inline enum feature_step
bind_there(struct exchange *x, struct request *m)
{
	const struct statement *st = m->named->st;

	loan_keep_request(&x->srv->loan);
	x->pool->database->counters.statement_hits++;
	push_bind(x, m->named);
	if (m->names.portal[0] == '\0')
		put_renamed_in_one_piece(x, m->message, m->names.len, st->name, (size_t)st->name_len + 1);
	else
		put_renamed(x, m->message, m->names.len, m->names.portal, "", 0, st->name);
	return STEP_REPLACED;
}

__attribute__((noinline)) static enum feature_step
find_named(struct exchange *x, const char *name, struct request *m)
{
	struct client_statement *n = client_statement_find(x, name);

	if (client_statement_is_unsettled(x, n) || (n != NULL && n->describing == DESCRIBING_ANEW))
		return STEP_HOLD;
	if (n != NULL && client_statement_refresh(x, n) < 0)
		return STEP_FAILED;
	m->named = n;
	m->statement = n == NULL ? NULL : n->st;
	return STEP_FORWARD;
}

/* Finds the statement of a Bind or Describe. Returns STEP_FORWARD with m->named, m->statement, m->traits and m->risk
 * set; STEP_HOLD; or STEP_FAILED. */
__attribute__((always_inline)) static inline enum feature_step
find_referred(struct exchange *x, const char *name, struct request *m)
{
	struct statement *st;
	enum feature_step step;

	if (m->is_found)
		return STEP_FORWARD;
	m->named = NULL;
	m->statement = x->statements == NULL ? NULL : x->statements->unnamed;
	if (name[0] != '\0') {
		if ((step = find_named(x, name, m)) != STEP_FORWARD)
			return step;
	} else if (x->statements != NULL && statements_has_kept(x->statements)) {
		if ((step = statements_find_kept(x, m, &m->named)) != STEP_FORWARD)
			return step;
		m->statement = m->named != NULL ? m->named->st : m->statement;
	}
	st = m->statement;
	m->traits = st == NULL ? NULL : statement_traits(st);
	m->risk = st == NULL ? state_risk_of_unknown_sql(x) : state_risk_of(x, st);
	m->is_found = true;
	return STEP_FORWARD;
}

enum feature_step
statements_find_bound(struct exchange *x, struct request *m)
{
	return find_referred(x, m->names.statement, m);
}

enum feature_step
statements_bind(struct exchange *x, struct request *m)
{
	const struct bind_names *b = &m->names;
	struct client_statement *n = m->named;
	enum feature_step step;

	m->skip_len = FRAME_HEAD_LEN + b->len;
	if (n == NULL && b->statement[0] == '\0')
		return forward_if_replaced(unnamed_bind(x));
	if (n == NULL || statement_is_closing(n)) /* PostgreSQL answers with the right error */
		return statements_name_is_ours(x, b->statement)
			   ? bind_to_unknown_name(x, m->message, b, UNKNOWN_NAME, b->statement)
			   : STEP_FORWARD;
	if (statement_is_oversize(n))
		return STEP_FORWARD;
	step = row_shape_verify(x, n, b->portal, m->message + FRAME_HEAD_LEN, request_body_len(m),
				m->message + m->total, m->have < m->total ? 0 : m->have - m->total);
	if (step == STEP_FORWARD) {
		n->described_id = 0; /* by the next Bind the rows may be the old ones again */
		return bind_to_unknown_name(x, m->message, b, UNKNOWN_NAME_CHANGED, "");
	}
	return step != STEP_REPLACED ? step : bind_named(x, m);
}

__attribute__((always_inline)) static inline bool
is_plain_bind(const struct request *m)
{
	return m->traits != NULL && m->traits->is_plain && (m->risk & STATE_SEQUENCES) == 0 &&
	       (m->named == NULL || !statement_is_closing(m->named));
}

inline enum feature_step
statements_bind_plain(struct exchange *x, struct request *m)
{
	struct client_statement *n;
	enum feature_step step = find_referred(x, m->names.statement, m);
	uint32_t flags;

	if (step != STEP_FORWARD)
		return step;
	n = m->named;
	if (!is_plain_bind(m))
		return STEP_FORWARD;
	flags = m->traits->flags;
	if (flags != 0 && state_waits_for_sequences(x, flags))
		return STEP_HOLD;
	if (x->srv->is_synced)
		report_request_begins(x, x->srv);
	if (flags != 0)
		state_observe_plain_bind(x, flags);
	m->skip_len = n == NULL ? 0 : FRAME_HEAD_LEN + m->names.len;
	/* The common case: the server has the statement, with the rows that the client was told, prepared under the
	 * client's settings. */
	if (n != NULL && row_shape_is_told(n) && !statement_is_read_otherwise(x, n) &&
	    statement_presence_of(x, n->st) == STATEMENT_THERE)
		return bind_there(x, m);
	if (n == NULL || statement_is_unnamed(n))
		x->statements->unnamed_binds++;
	step = n == NULL ? unnamed_ensure(x)
			 : row_shape_verify(x, n, m->names.portal, m->message + FRAME_HEAD_LEN,
					    m->total - FRAME_HEAD_LEN, m->message + m->total, m->have - m->total);
	if (step != STEP_REPLACED)
		return step;
	if (n != NULL)
		return bind_named(x, m);
	ledger_push(&x->srv->ledger, OWED_BIND, OWED_TO_CLIENT, NULL);
	return STEP_REPLACED;
}

bool
statements_describe_is_slow(const struct exchange *x)
{
	return x->statements != NULL && x->statements->to_describe != NULL;
}

/* Handles the Describe of a portal. If the portal was bound just before, and the Describe shows the client rows that it
 * does not know yet, the Describe is entered in the ledger for the statement of the Bind. */
static enum feature_step
describe_portal(struct exchange *x, const uint8_t *message, size_t len)
{
	struct client_statement *n = x->statements == NULL ? NULL : x->statements->to_describe;

	if (n == NULL)
		return STEP_FORWARD;
	x->statements->to_describe = NULL;
	if (x->statements->to_describe_sync_no != x->statements->sync_no) {
		client_statement_unref(n);
		return STEP_FORWARD;
	}
	row_shape_note_described(n);
	client_statement_push(x, OWED_DESCRIBE_PORTAL, OWED_TO_CLIENT, n);
	client_statement_unref(n);
	outbox_ref(&x->env->to_server, message, len);
	return STEP_REPLACED;
}

void
statement_put_close_and_parse(struct exchange *x, const char *name, const void *sql, size_t len)
{
	struct buf b = { 0 };

	buf_room(&b, 2 * (FRAME_HEAD_LEN + strlen(name) + 1) + 1 + len); /* growing would leave holes in the heap */
	message_close_statement(&b, name);
	message_parse(&b, name, sql, len);
	ledger_push(&x->srv->ledger, OWED_CLOSE, OWED_TO_STATEMENT, NULL);
	ledger_push(&x->srv->ledger, OWED_PARSE, OWED_TO_STATEMENT, NULL);
	outbox_put(&x->env->to_server, &b);
}

void
statement_parse_anew(struct exchange *x, struct statement *st, char name[static STATEMENT_NAME_MAX])
{
	state_note_run(x, state_risk_of(x, st)); /* as in statements_put_parse() */
	statement_special_name(x->env->statements, PLACEHOLDER, name);
	statement_put_close_and_parse(x, name, st->bytes, st->len);
	x->pool->database->counters.server_parses++;
}

/* Makes PostgreSQL parse the SQL once more, and describe the new statement to the client. */
static void
describe_anew(struct exchange *x, struct client_statement *n, const uint8_t *message, size_t len)
{
	char name[STATEMENT_NAME_MAX];

	statement_parse_anew(x, n->st, name);
	client_statement_push(x, OWED_DESCRIBE_STATEMENT, OWED_TO_CLIENT, n);
	put_renamed(x, message, len - FRAME_HEAD_LEN, NULL, "", 0, name);
	x->srv->loan.kept.state = KEPT_IMPOSSIBLE;
	row_shape_note_described(n);
	n->describing = DESCRIBING_ANEW;
}

static enum feature_step
describe_named(struct exchange *x, struct client_statement *n, const uint8_t *message, size_t len)
{
	enum feature_step step;

	/* pgweir answered the Parse, and this is the client's first Describe: the statement on the server was parsed
	 * for another client some time ago, and PostgreSQL might choose other types for its open parameters now. */
	if (!statement_is_unnamed(n) && !n->is_proven && n->rows == ROWS_UNTOLD && n->sent_or_told_id == 0 &&
	    statement_has_open_types(n->st) && statement_presence_of(x, n->st) == STATEMENT_THERE &&
	    x->srv->tx != 'E') {
		describe_anew(x, n, message, len);
		return STEP_REPLACED;
	}
	step = statement_ensure(x, n);
	if (step != STEP_REPLACED)
		return step;
	row_shape_note_described(n);
	client_statement_push(x, OWED_DESCRIBE_STATEMENT, OWED_TO_CLIENT, n);
	if (x->statements->swallows_types)
		ledger_swallow_types(&x->srv->ledger);
	x->statements->swallows_types = false;
	put_renamed(x, message, len - FRAME_HEAD_LEN, NULL, "", 0, n->st->name);
	return STEP_REPLACED;
}

enum feature_step
statements_find_described(struct exchange *x, struct request *m)
{
	return m->target == 'P' ? STEP_FORWARD : find_referred(x, m->name, m);
}

enum feature_step
statements_describe(struct exchange *x, struct request *m)
{
	char prefix[STATEMENT_NAME_MAX];
	struct client_statement *n = m->named;

	if (m->target == 'P')
		return describe_portal(x, m->message, m->total);
	if (n == NULL && m->name[0] == '\0')
		return forward_if_replaced(unnamed_ensure(x));
	if (n != NULL && !statement_is_closing(n))
		return statement_is_oversize(n) ? STEP_FORWARD : describe_named(x, n, m->message, m->total);
	if (!statements_name_is_ours(x, m->name))
		return STEP_FORWARD;
	ledger_push(&x->srv->ledger, OWED_DESCRIBE_STATEMENT, OWED_TO_CLIENT, NULL);
	statement_special_name(x->env->statements, UNKNOWN_NAME, prefix);
	put_renamed(x, m->message, m->total - FRAME_HEAD_LEN, NULL, prefix, strlen(prefix), m->name);
	return STEP_REPLACED;
}

enum feature_step
statements_close(struct exchange *x, struct request *m)
{
	struct client_statement *n;
	bool is_oversize;

	if (m->target == 'P')
		return STEP_FORWARD;
	if (m->name[0] == '\0') {
		if (statements_get_or_create(x) == NULL)
			return STEP_FAILED;
		unnamed_close(x, OWED_TO_CLIENT);
		return STEP_REPLACED;
	}
	n = client_statement_find(x, m->name);
	if (client_statement_is_unsettled(x, n))
		return STEP_HOLD;
	is_oversize = n != NULL && statement_is_oversize(n); /* if so, the server has n under the client's own name */
	if (n == NULL || statement_is_closing(n)) {
		/* A name that is unknown here, and does not look like pgweir's, may have been made by SQL PREPARE. */
		if (n == NULL ? !statements_name_is_ours(x, m->name) : is_oversize)
			return STEP_FORWARD;
		ledger_push(&x->srv->ledger, OWED_LOCAL_CLOSE, OWED_TO_CLIENT, NULL);
		return STEP_REPLACED;
	}
	client_statement_step(n, NAME_CLOSE_SENT);
	n->sync_no = x->statements->sync_no;
	client_statement_push(x, is_oversize ? OWED_CLOSE : OWED_LOCAL_CLOSE, OWED_TO_CLIENT, n);
	if (is_oversize)
		outbox_ref(&x->env->to_server, m->message, m->total);
	return STEP_REPLACED;
}

void
statements_note_sync(struct exchange *x)
{
	if (x->statements != NULL)
		x->statements->sync_no++;
}

void
statements_request_done(struct exchange *x)
{
	struct client_statements *s = x->statements;

	if (s == NULL)
		return;
	if (s->deallocating_count > 0)
		statements_condemn_if_not_deallocated(x);
	s->is_clearing = false; /* if DISCARD ALL or DEALLOCATE ALL has succeeded, this was cleared before */
	if (s->unnamed_binds == 1 && x->settings->keep_plans)
		statements_measure(x);
	s->unnamed_binds = 0;
}

bool
statements_close_without_server(struct exchange *x, const uint8_t *message, size_t len)
{
	const char *name;
	uint8_t kind;
	struct client_statement *n;

	if (!fields_read_target(message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN, &kind, &name))
		return false;
	if (x->statements == NULL || kind == 'P')
		return true;
	if (name[0] == '\0')
		statements_forget_unnamed(x);
	else if ((n = client_statement_find(x, name)) != NULL)
		client_statement_leave(x->statements, n);
	return true;
}
