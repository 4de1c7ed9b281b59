/*
 * src/client/statements.c - prepared statements of the protocol, across servers.
 *
 * A client's named statement is a pointer into the shared store (statement_store.h); on servers it has the store's
 * name. Parse of what a server has already is answered by us, in its turn; Bind and Describe of what it has not are
 * preceded by a Parse of ours. Close is answered by us: the statement stays on the server for others.
 *
 * What PostgreSQL would refuse (a duplicate or unknown name) is sent so that it refuses it itself, for only then does
 * it skip to Sync and abort the transaction as it would have; its error is made to speak of the client's name. What we
 * refuse goes the same way.
 */
#include "client/listen.h"
#include "client/statements.h"

#include "session/reading.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <string.h>

bool
statements_pass_through(const struct client *c)
{
	return c->is_session || (c->srv != NULL && (c->srv->ledger.is_skipping || c->srv->ledger.is_copy_open));
}

/* What a Bind begins with. */
struct bind_names {
	const char *portal, *statement;
	size_t len; /* with terminators */
};

/* Bind (with its portal) or Describe (portal NULL) under another name; what follows the names is not written. */
static void
put_renamed(struct client *c, const uint8_t *message, size_t names_len, const char *portal, const char *before,
	    size_t before_len, const char *name)
{
	size_t portal_len = portal == NULL ? 1 : strlen(portal) + 1; /* Describe has its kind there */
	size_t name_len = before_len + strlen(name) + 1;
	uint32_t body_len = wire_u32(message + 1) - 4;
	uint8_t head[FRAME_HEAD_LEN];

	head[0] = message[0];
	wire_set_u32(head + 1, (uint32_t)(4 + portal_len + name_len + (body_len - names_len)));
	outbox_copy(&c->env->to_server, head, sizeof(head));
	outbox_copy(&c->env->to_server, message + FRAME_HEAD_LEN, portal_len);
	outbox_copy(&c->env->to_server, before, before_len);
	outbox_copy(&c->env->to_server, name, name_len - before_len);
}

void
put_parse(struct client *c, const char *name, const struct statement *st)
{
	size_t name_len = strlen(name) + 1;
	uint8_t head[FRAME_HEAD_LEN] = { 'P' };

	wire_set_u32(head + 1, (uint32_t)(4 + name_len + st->len));
	outbox_copy(&c->env->to_server, head, sizeof(head));
	outbox_copy(&c->env->to_server, name, name_len);
	outbox_copy(&c->env->to_server, st->bytes, st->len);
	c->entry->database->counters.server_parses++;
}

static int
close_on_server(struct client *c, uint64_t id)
{
	struct server *srv = c->srv;
	struct buf b = { 0 };
	char name[STATEMENT_NAME_MAX];
	int r;

	server_statements_closing(&srv->statements, id, c->statements->scope);
	statement_name_of(c->env->statements, id, name);
	message_close_statement(&b, name);
	r = buf_ok(&b) ? ledger_push(&srv->ledger, OWED_CLOSE, OWED_TO_STATEMENT, ref_of_id(id)) : -1;
	if (r == 0)
		outbox_copy(&c->env->to_server, b.bytes, b.len);
	buf_fini(&b);
	return r;
}

int
statement_evict(struct client *c)
{
	struct server *srv = c->srv;
	uint64_t id;
	int r = 0;

	while (r == 0 && srv->statements.count >= c->entry->settings.prepared_statements &&
	       server_statements_oldest(&srv->statements, &id)) {
		r = close_on_server(c, id);
		c->entry->database->counters.statement_evictions++;
	}
	return r;
}

int
statement_close_outdated(struct client *c, const struct statement *st)
{
	return server_statements_is_outdated(&c->srv->statements, st->id) ? close_on_server(c, st->id) : 0;
}

enum statement_presence
statement_presence_of(struct client *c, const struct statement *st)
{
	return server_statements_use(&c->srv->statements, st->id, c->statements->scope);
}

/* Whoever uses it may have PostgreSQL read its literals anew: the client's settings are others than when it was parsed.
 */
static bool
is_read_otherwise(const struct client *c, const struct named *n)
{
	return n->read_as != NULL && !n->is_pending && image_reading(c->image) != n->read_as;
}

/*
 * A client that reads the statement's literals, or acts, otherwise than those it shares it with gets another one under
 * that name from now on. -1: no memory.
 */
static int
fit_context(struct client *c, struct named *n)
{
	struct statement *st = n->st;
	const char *sql = (const char *)st->bytes;
	uint32_t context;
	bool is_shared;

	if (!statement_is_shared(st))
		return 0;
	is_shared = !is_read_otherwise(c, n) && session_statement_context(c, sql, st->query_len, &context);
	if (is_shared && context == st->context)
		return 0;
	n->st = is_shared ? statement_get(c->entry->home, st->bytes, st->len, st->query_len, context)
			  : statement_new_unshared(c->entry->home, st->bytes, st->len, st->query_len);
	if (n->st == NULL) {
		n->st = st;
		return -1;
	}
	statement_unref(st);
	return 0;
}

/* What follows is parsed under these settings; NULL: under the session's own again. -1: no memory. */
static int
read_under(struct client *c, const struct image *reading)
{
	struct ledger *l = &c->srv->ledger;
	struct buf b = { 0 };
	char name[STATEMENT_NAME_MAX];
	int r = -1;

	special_name(c, STAND_IN, name);
	reading_put(&b, name, reading);
	if (buf_ok(&b) && ledger_push(l, OWED_CLOSE, OWED_TO_STATEMENT, NULL) == 0 &&
	    ledger_push_run(l, OWED_TO_STATEMENT, NULL) == 0)
		r = ledger_push(l, OWED_CLOSE, OWED_TO_STATEMENT, NULL);
	if (r == 0)
		outbox_copy(&c->env->to_server, b.bytes, b.len);
	buf_fini(&b);
	return r;
}

/* Parsed on this server as it was when the client parsed it. -1: no memory. */
static int
parse_again(struct client *c, const struct named *n)
{
	struct server *srv = c->srv;
	const struct statement *st = n->st;
	bool is_other = n->read_as != NULL && srv->tx != 'E' && !session_reads_as(c, n->read_as);

	if (is_other && read_under(c, n->read_as) < 0)
		return -1;
	if (server_statements_sent(&srv->statements, st->id, c->statements->scope) < 0 ||
	    ledger_push(&srv->ledger, OWED_PARSE, OWED_TO_STATEMENT, ref_of_id(st->id)) < 0)
		return -1;
	put_parse(c, st->name, st);
	return is_other ? read_under(c, NULL) : 0;
}

enum statement_step
statement_ensure(struct client *c, struct named *n)
{
	struct server *srv = c->srv;
	const struct statement *st = n->st;

	if ((is_read_otherwise(c, n) || statement_presence_of(c, st) == STATEMENT_ABSENT) && fit_context(c, n) < 0)
		return STATEMENT_FAILED;
	st = n->st;
	switch (statement_presence_of(c, st)) {
	case STATEMENT_THERE:
		c->entry->database->counters.statement_hits++;
		return STATEMENT_DONE;
	case STATEMENT_UNSURE:
		return STATEMENT_HOLD;
	case STATEMENT_ABSENT:
		break;
	}
	c->entry->database->counters.statement_misses++;
	srv->loan.kept.state = KEPT_NOT; /* prepared just now, it is not outdated */
	if (statement_close_outdated(c, st) < 0 || statement_evict(c) < 0 || parse_again(c, n) < 0)
		return STATEMENT_FAILED;
	return STATEMENT_DONE;
}

bool
statements_hold_server(const struct client *c)
{
	const struct client_statements *s = c->statements;

	return s != NULL && (s->oversize_count > 0 || (s->is_unnamed_oversize && !s->is_oversize_bound));
}

static enum statement_step
forward_if(enum statement_step step)
{
	return step == STATEMENT_DONE ? STATEMENT_FORWARD : step;
}

/* Under a name that PostgreSQL does not know: what (STRANGER...) and, of a name that looks like ours, the name. */
static enum statement_step
bind_to_stranger(struct client *c, const uint8_t *message, const struct bind_names *b, const char *what,
		 const char *name)
{
	char before[STATEMENT_NAME_MAX];

	special_name(c, what, before);
	if (ledger_push(&c->srv->ledger, OWED_BIND, OWED_TO_CLIENT, NULL) < 0)
		return STATEMENT_FAILED;
	put_renamed(c, message, b->len, b->portal, before, strlen(before), name);
	return STATEMENT_DONE;
}

/* *name: under which the server has it, or will have it when what follows arrives there. */
static enum statement_step
ensure_named(struct client *c, struct named *n, const char **name)
{
	enum statement_step step;

	if (materialised_is(c, n)) {
		*name = n->name;
		return STATEMENT_DONE;
	}
	rerun_begins(c->srv);
	step = statement_ensure(c, n);
	*name = n->st->name;
	return step;
}

static enum statement_step
bind_named(struct client *c, struct named *n, const uint8_t *message, const struct bind_names *b)
{
	const char *name;
	enum statement_step step = ensure_named(c, n, &name);

	if (step != STATEMENT_DONE)
		return step;
	if (named_push(c, OWED_BIND, OWED_TO_CLIENT, n) < 0 || listen_bound(c, b->portal, n->st) < 0)
		return STATEMENT_FAILED;
	report_text(c->srv, n->st->bytes, n->st->query_len + 1, n->st->query_len + 1, false);
	put_renamed(c, message, b->len, b->portal, "", 0, name);
	return STATEMENT_DONE;
}

struct statement *
statements_find(const struct client *c, const char *name)
{
	const struct named *n;

	if (name[0] == '\0')
		return c->statements == NULL ? NULL : c->statements->unnamed;
	n = named_find(c, name);
	return n == NULL ? NULL : n->st;
}

enum statement_step
statements_bind(struct client *c, const uint8_t *message, size_t have, size_t total, size_t *used)
{
	size_t own_len = have < total ? have : total;
	enum statement_step step;
	const uint8_t *body = message + FRAME_HEAD_LEN;
	struct bind_names b;
	struct named *n;

	c->entry->database->counters.binds++;
	if (statements_pass_through(c) || !fields_bind(body, own_len - FRAME_HEAD_LEN, &b.portal, &b.statement, &b.len))
		return STATEMENT_FORWARD;
	*used = FRAME_HEAD_LEN + b.len;
	if (b.statement[0] == '\0') {
		session_note_local_of(c, c->statements == NULL ? NULL : c->statements->unnamed);
		step = materialise_for(c, c->statements == NULL ? NULL : c->statements->unnamed);
		if (step != STATEMENT_FORWARD)
			return step;
		step = session_bind(c, c->statements == NULL ? NULL : c->statements->unnamed, b.portal, b.statement,
				    body, own_len - FRAME_HEAD_LEN);
		if (step == STATEMENT_FORWARD)
			step = forward_if(unnamed_ensure(c));
		return step == STATEMENT_FORWARD && listen_bound(c, b.portal, c->statements->unnamed) < 0
			   ? STATEMENT_FAILED
			   : step;
	}
	n = named_find(c, b.statement);
	if (named_is_unsettled(c, n) || (n != NULL && n->is_asking_anew))
		return STATEMENT_HOLD;
	if (n != NULL && named_refresh(c, n) < 0)
		return STATEMENT_FAILED;
	if ((step = materialise_for(c, n == NULL ? NULL : n->st)) != STATEMENT_FORWARD)
		return step;
	session_note_local_of(c, n == NULL ? NULL : n->st);
	step = session_bind(c, n == NULL ? NULL : n->st, b.portal, b.statement, body, own_len - FRAME_HEAD_LEN);
	if (step != STATEMENT_FORWARD)
		return step;
	if (n == NULL || n->is_closing) /* PostgreSQL knows what to say */
		return name_is_ours(c, b.statement) ? bind_to_stranger(c, message, &b, STRANGER, b.statement)
						    : STATEMENT_FORWARD;
	if (n->is_oversize)
		return STATEMENT_FORWARD;
	if (materialised_is(c, n)) /* prepared just now, its rows are those of the view */
		return bind_named(c, n, message, &b);
	step = shape_prove(c, n, b.portal, body, own_len - FRAME_HEAD_LEN, message + total, have - own_len);
	if (step == STATEMENT_FORWARD)
		return bind_to_stranger(c, message, &b, STRANGER_CHANGED, "");
	return step != STATEMENT_DONE ? step : bind_named(c, n, message, &b);
}

/* Of the portal that was bound just before, and its client does not know the rows yet. */
static enum statement_step
describe_portal(struct client *c, const uint8_t *message, size_t len)
{
	struct named *n = c->statements == NULL ? NULL : c->statements->describing;
	int r;

	if (n == NULL)
		return STATEMENT_FORWARD;
	c->statements->describing = NULL;
	shape_asked(n);
	r = named_push(c, OWED_DESCRIBE_PORTAL, OWED_TO_CLIENT, n);
	named_unref(n);
	outbox_ref(&c->env->to_server, message, len);
	return r < 0 ? STATEMENT_FAILED : STATEMENT_DONE;
}

/*
 * Its Parse was answered by us, and this is the client's first question. What the server has was parsed by somebody
 * else some time ago: which types its open parameters have may be said otherwise now.
 */
static bool
asks_anew(struct client *c, const struct named *n)
{
	return !n->is_proven && !n->is_told && n->id == 0 && statement_has_open_types(n->st) &&
	       !materialised_is(c, n) && statement_presence_of(c, n->st) == STATEMENT_THERE;
}

/* PostgreSQL parses it once more, under a name that is nobody's, and tells the client about that. */
static enum statement_step
describe_anew(struct client *c, struct named *n, const uint8_t *message, size_t len)
{
	struct ledger *l = &c->srv->ledger;
	enum statement_step step = STATEMENT_FAILED;
	char name[STATEMENT_NAME_MAX];
	struct buf b = { 0 };

	special_name(c, STAND_IN, name);
	message_close_statement(&b, name);
	message_parse(&b, name, n->st->bytes, n->st->len);
	if (buf_ok(&b) && ledger_push(l, OWED_CLOSE, OWED_TO_STATEMENT, NULL) == 0 &&
	    ledger_push(l, OWED_PARSE, OWED_TO_STATEMENT, NULL) == 0 &&
	    named_push(c, OWED_DESCRIBE_STATEMENT, OWED_TO_CLIENT, n) == 0) {
		outbox_copy(&c->env->to_server, b.bytes, b.len);
		put_renamed(c, message, len - FRAME_HEAD_LEN, NULL, "", 0, name);
		step = STATEMENT_DONE;
	}
	buf_fini(&b);
	c->entry->database->counters.server_parses++;
	c->srv->loan.kept.state = KEPT_NOT;
	shape_asked(n);
	n->is_asking_anew = true;
	return step;
}

static enum statement_step
describe_named(struct client *c, struct named *n, const uint8_t *message, size_t len)
{
	const char *name;
	enum statement_step step;

	if (asks_anew(c, n))
		return describe_anew(c, n, message, len);
	step = ensure_named(c, n, &name);
	if (step != STATEMENT_DONE)
		return step;
	shape_asked(n);
	if (named_push(c, OWED_DESCRIBE_STATEMENT, OWED_TO_CLIENT, n) < 0)
		return STATEMENT_FAILED;
	if (c->statements->is_types_told)
		ledger_swallow_types(&c->srv->ledger);
	c->statements->is_types_told = false;
	put_renamed(c, message, len - FRAME_HEAD_LEN, NULL, "", 0, name);
	return STATEMENT_DONE;
}

enum statement_step
statements_describe(struct client *c, const uint8_t *message, size_t len)
{
	char before[STATEMENT_NAME_MAX];
	enum statement_step step;
	const char *name;
	uint8_t kind;
	struct named *n;

	if (statements_pass_through(c) || !fields_target(message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN, &kind, &name))
		return STATEMENT_FORWARD;
	if (kind == 'P')
		return describe_portal(c, message, len);
	if (name[0] == '\0') {
		step = materialise_for(c, c->statements == NULL ? NULL : c->statements->unnamed);
		if (step != STATEMENT_FORWARD)
			return step;
		step = session_describe(c, c->statements == NULL ? NULL : c->statements->unnamed, name);
		return step == STATEMENT_FORWARD ? forward_if(unnamed_ensure(c)) : step;
	}
	n = named_find(c, name);
	if (named_is_unsettled(c, n) || (n != NULL && n->is_asking_anew))
		return STATEMENT_HOLD;
	if (n != NULL && named_refresh(c, n) < 0)
		return STATEMENT_FAILED;
	if ((step = materialise_for(c, n == NULL ? NULL : n->st)) != STATEMENT_FORWARD)
		return step;
	if ((step = session_describe(c, n == NULL ? NULL : n->st, name)) != STATEMENT_FORWARD)
		return step;
	if (n == NULL || n->is_closing) {
		if (!name_is_ours(c, name))
			return STATEMENT_FORWARD;
		if (ledger_push(&c->srv->ledger, OWED_DESCRIBE_STATEMENT, OWED_TO_CLIENT, NULL) < 0)
			return STATEMENT_FAILED;
		special_name(c, STRANGER, before);
		put_renamed(c, message, len - FRAME_HEAD_LEN, NULL, before, strlen(before), name);
		return STATEMENT_DONE;
	}
	return n->is_oversize ? STATEMENT_FORWARD : describe_named(c, n, message, len);
}

/* PostgreSQL has it under the client's own name. */
static enum statement_step
close_oversize(struct client *c, struct named *n, const uint8_t *message, size_t len)
{
	n->is_closing = true;
	n->scope = c->statements->scope;
	if (named_push(c, OWED_CLOSE, OWED_TO_CLIENT, n) < 0)
		return STATEMENT_FAILED;
	outbox_ref(&c->env->to_server, message, len);
	return STATEMENT_DONE;
}

enum statement_step
statements_close(struct client *c, const uint8_t *message, size_t len)
{
	const char *name;
	uint8_t kind;
	struct named *n;

	if (statements_pass_through(c) ||
	    !fields_target(message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN, &kind, &name) || kind == 'P')
		return STATEMENT_FORWARD;
	if (name[0] == '\0')
		return unnamed_close(c, OWED_TO_CLIENT);
	n = named_find(c, name);
	if (named_is_unsettled(c, n))
		return STATEMENT_HOLD;
	if (n == NULL && !name_is_ours(c, name))
		return STATEMENT_FORWARD; /* perhaps one made by SQL PREPARE */
	if (n != NULL && n->is_oversize)
		return n->is_closing ? STATEMENT_FORWARD : close_oversize(c, n, message, len);
	if (n == NULL || n->is_closing)
		return ledger_push(&c->srv->ledger, OWED_MADE_CLOSE, OWED_TO_CLIENT, NULL) < 0 ? STATEMENT_FAILED
											       : STATEMENT_DONE;
	n->is_closing = true;
	n->scope = c->statements->scope;
	return named_push(c, OWED_MADE_CLOSE, OWED_TO_CLIENT, n) < 0 ? STATEMENT_FAILED : STATEMENT_DONE;
}

void
statements_sync(struct client *c)
{
	if (c->statements != NULL)
		c->statements->scope++;
}

bool
statements_close_unlinked(struct client *c, const uint8_t *message, size_t len)
{
	const char *name;
	uint8_t kind;
	struct named *n;

	if (!fields_target(message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN, &kind, &name))
		return false;
	if (c->statements == NULL || kind == 'P')
		return true;
	if (name[0] == '\0')
		unnamed_drop(c);
	else if ((n = named_find(c, name)) != NULL)
		named_leave(c->statements, n);
	return true;
}
