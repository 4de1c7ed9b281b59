/*
 * src/client/statement_shape.c - what a client was told about a statement's rows, and whether it is still so.
 *
 * PostgreSQL refuses a plan whose rows have changed (cached plan must not change result type), for a client that does
 * not ask each time would take the new rows for the old. A statement that pgweir prepares anew, on another server or
 * after DDL, has no such past: so the client's Bind waits until a Describe of ours has shown that its rows are what
 * the client was told. If not, the client gets PostgreSQL's error, as it would have. Clients that describe their
 * portal in the same breath (libpq, node-postgres, pgx) are told anew and wait for nothing.
 *
 * Whoever hears of rows that are not those others heard of under the same id has found out that somebody altered a
 * table behind our back: the statement gets a new id, so that all who rely on the old rows have to look again.
 */
#include "client/statements.h"

#include "wire/frame.h"

#include <string.h>

#define SHAPE_UNKNOWN 0u /* equal to no other, not even to itself */
#define SHAPE_NO_ROWS 2u

static bool
is_current(const struct named *n)
{
	return n->asked == short_id(n->st);
}

void
shape_asked(struct named *n)
{
	n->asked = short_id(n->st);
}

static bool
is_describe_of(const char *portal, const uint8_t *next, size_t next_len)
{
	size_t portal_len = strlen(portal) + 1, total = FRAME_HEAD_LEN + 1 + portal_len;

	return next_len >= total && next[0] == 'D' && wire_u32(next + 1) == total - 1 && next[FRAME_HEAD_LEN] == 'P' &&
	       memcmp(next + FRAME_HEAD_LEN + 1, portal, portal_len) == 0;
}

/* The Describe of a portal has no name of a statement: it is known by what came just before. */
static void
expect_describe(struct client_statements *s, struct named *n)
{
	if (s->describing != NULL)
		named_unref(s->describing);
	n->refs++;
	s->describing = n;
}

static void
put_describe(struct client *c, const struct statement *st)
{
	uint8_t head[FRAME_HEAD_LEN + 1] = { 'D' };

	wire_set_u32(head + 1, 6u + st->name_len);
	head[FRAME_HEAD_LEN] = 'S';
	outbox_copy(&c->env->to_server, head, sizeof(head));
	outbox_copy(&c->env->to_server, st->name, (size_t)st->name_len + 1);
}

static enum statement_step
prove(struct client *c, struct named *n)
{
	enum statement_step step = statement_ensure(c, n->st);

	if (step != STATEMENT_DONE)
		return step;
	if (named_push(c, OWED_DESCRIBE_STATEMENT, OWED_TO_STATEMENT, n) < 0)
		return STATEMENT_FAILED;
	put_describe(c, n->st);
	shape_asked(n);
	n->is_proving = true;
	return STATEMENT_HOLD;
}

enum statement_step
shape_prove(struct client *c, struct named *n, const char *portal, const uint8_t *next, size_t next_len)
{
	bool is_known = n->is_told && n->id == short_id(n->st) && statement_presence_of(c, n->st) != STATEMENT_ABSENT;

	if (is_known && !n->is_proving)
		return STATEMENT_DONE;
	if (is_describe_of(portal, next, next_len)) {
		expect_describe(c->statements, n);
		return STATEMENT_DONE;
	}
	if (n->is_proving)
		return STATEMENT_HOLD;
	if (!n->is_told || n->is_pending)
		return STATEMENT_DONE;
	return n->is_changed && is_current(n) ? STATEMENT_FORWARD : prove(c, n);
}

static void
compare(struct named *n, uint32_t shape)
{
	if (!is_current(n) || shape == n->st->shape)
		return;
	if (n->st->shape == SHAPE_UNKNOWN)
		n->st->shape = shape;
	else
		statement_renew(n->st);
}

static void
told(struct named *n, uint32_t shape)
{
	compare(n, shape);
	n->shape = shape;
	n->is_told = true;
	n->is_changed = false;
	n->id = is_current(n) ? short_id(n->st) : 0;
}

static void
proven(struct named *n, uint32_t shape)
{
	compare(n, shape);
	n->is_changed = shape == SHAPE_UNKNOWN || shape != n->shape;
	if (n->is_changed)
		shape_asked(n); /* it may be renewed; no need to ask that one too */
	else
		n->id = is_current(n) ? short_id(n->st) : 0;
}

void
statements_described(struct server *srv, const struct owed *o, uint8_t type, const uint8_t *body, size_t len,
		     bool is_whole)
{
	struct named *n = o->ref;
	uint32_t shape = SHAPE_NO_ROWS;

	(void)srv;
	if (((uintptr_t)o->ref & REF_MASK) != REF_NAMED || n->st == NULL)
		return;
	if (type == 't') {
		if (is_whole && is_current(n))
			statement_learn_types(n->st, body, len);
		return;
	}
	if (type == 'T')
		shape = is_whole ? fields_row_shape(body, len) : SHAPE_UNKNOWN;
	if (o->to == OWED_TO_STATEMENT)
		proven(n, shape);
	else
		told(n, shape);
}
