/*
 * src/statements/row_shape.c - checks that a statement's rows are still those that a client knows.
 *
 * PostgreSQL refuses a plan whose rows have changed ("cached plan must not change result type"), because a client that
 * does not describe its statement each time would read the new rows as if they were the old ones. If pgweir prepares
 * the statement again, on another server or after DDL, that server does not know the old rows. So the client's Bind
 * waits until pgweir's own Describe has shown that the rows are those that the client knows. If they are not, the
 * client gets PostgreSQL's error, as it would have without pgweir, and its next Bind waits in the same way. Clients
 * that describe the portal in the same request (libpq, node-postgres, pgx) get the new rows, and do not wait.
 *
 * If a Describe returns other rows than an earlier one under the same id, a table was altered without pgweir noticing:
 * the statement gets a new id, so all clients that rely on the old rows are checked again.
 */
#include "statements/statements_state.h"
#include "wire/frame.h"

#include <assert.h>
#include <string.h>

#define SHAPE_UNKNOWN 0u /* never counts as equal to a shape, not even to SHAPE_UNKNOWN */
#define SHAPE_NO_ROWS 2u /* for a statement without rows */

static bool
is_description_current(const struct client_statement *n)
{
	return n->described_id == short_id(n->st);
}

void
row_shape_note_described(struct client_statement *n)
{
	n->described_id = short_id(n->st);
}

static bool
is_describe_of(const char *portal, const uint8_t *next, size_t next_len)
{
	size_t portal_len = strlen(portal) + 1, total = FRAME_HEAD_LEN + 1 + portal_len;

	return next_len >= total && next[0] == 'D' && wire_u32(next + 1) == total - 1 && next[FRAME_HEAD_LEN] == 'P' &&
	       memcmp(next + FRAME_HEAD_LEN + 1, portal, portal_len) == 0;
}

/* Sends a Describe of n. If n's rows have changed before, the old rows may be back, and the statement on the server may
 * be outdated; so PostgreSQL parses the SQL once more, and describes the new statement. */
static enum feature_step
send_describe(struct exchange *x, struct client_statement *n)
{
	uint8_t head[FRAME_HEAD_LEN + 1] = { 'D' };
	char placeholder[STATEMENT_NAME_MAX];
	const char *name = placeholder;
	enum feature_step step = statement_ensure(x, n);

	if (step != STEP_REPLACED)
		return step;
	if (n->rows == ROWS_CHANGED)
		statement_parse_anew(x, n->st, placeholder);
	else
		name = n->st->name;
	wire_set_u32(head + 1, (uint32_t)(6 + strlen(name)));
	head[FRAME_HEAD_LEN] = 'S';
	outbox_copy(&x->env->to_server, head, sizeof(head));
	outbox_copy(&x->env->to_server, name, strlen(name) + 1);
	row_shape_note_described(n);
	n->describing = DESCRIBING_TO_PROVE;
	client_statement_push(x, OWED_DESCRIBE_STATEMENT, OWED_TO_STATEMENT, n);
	return STEP_HOLD;
}

/* Handles a Bind where the server may have the statement with other rows than the client was told. */
__attribute__((noinline)) static enum feature_step
prove_if_doubtful(struct exchange *x, struct client_statement *n, bool is_there, const char *portal,
		  const uint8_t *bind, size_t bind_len, const uint8_t *next, size_t next_len)
{
	struct client_statements *s = x->statements;

	if (n->types_hash == 0 && is_describe_of(portal, next, next_len) &&
	    fields_count_result_formats(bind, bind_len) <= 1) {
		/* The next Describe names the portal, not the statement, so describe_portal() needs the statement of
		 * this Bind. */
		client_statement_unref(s->to_describe);
		n->refs++;
		s->to_describe = n;
		s->to_describe_sync_no = s->sync_no;
		return STEP_REPLACED;
	}
	if (n->describing >= DESCRIBING_TO_PROVE)
		return STEP_HOLD;
	if (n->rows == ROWS_UNTOLD || statement_is_pending(n))
		return STEP_REPLACED;
	return n->rows == ROWS_CHANGED && is_description_current(n) && is_there ? STEP_FORWARD : send_describe(x, n);
}

enum feature_step
row_shape_verify(struct exchange *x, struct client_statement *n, const char *portal, const uint8_t *bind,
		 size_t bind_len, const uint8_t *next, size_t next_len)
{
	bool is_there = statement_presence_of(x, n->st) != STATEMENT_ABSENT;

	if ((is_there && row_shape_is_told(n)) || (statement_is_unnamed(n) && n->rows == ROWS_UNTOLD))
		return STEP_REPLACED;
	return prove_if_doubtful(x, n, is_there, portal, bind, bind_len, next, next_len);
}

/*
 * Handles a ParameterDescription. When a statement is renewed, it declares the types that are built into PostgreSQL, so
 * these stay as the client knows them. Types that the database defines may have been dropped and created again; values
 * that the client sends may not fit the new types.
 */
static void
handle_described_types(const struct server *srv, const struct owed *o, struct client_statement *n, const uint8_t *body,
		       size_t len)
{
	uint32_t types = fields_hash_user_types(body, len, STATEMENT_FIRST_USER_TYPE);

	if (n->describing == DESCRIBING_ANEW && srv->borrower != NULL && !statement_check_types(n->st, body, len)) {
		client_statement_renew(srv->borrower, n, true); /* statements on servers are outdated */
		row_shape_note_described(n);
	}
	if (srv->loan.ddl == DDL_NONE && is_description_current(n) && !statement_is_unnamed(n))
		statement_learn_types(n->st, body, len);
	if (o->to != OWED_TO_STATEMENT)
		n->types_hash = types;
	else if (n->types_hash != 0 && types != n->types_hash)
		n->describing = DESCRIBING_OTHER_TYPES;
}

void
statements_described(struct server *srv, const struct owed *o, uint8_t type, const uint8_t *body, size_t len,
		     bool is_whole)
{
	struct client_statement *n = o->ref;
	uint32_t shape = SHAPE_NO_ROWS;

	if (((uintptr_t)o->ref & REF_MASK) != REF_NAMED || n->st == NULL)
		return;
	if (type == 't') {
		if (is_whole)
			handle_described_types(srv, o, n, body, len);
		return;
	}
	if (type == 'T')
		shape = is_whole ? fields_hash_description(body, len) : SHAPE_UNKNOWN;
	if (srv->loan.ddl == DDL_NONE && is_description_current(n) && !statement_agree_on_shape(n->st, shape))
		statement_renew(n->st);
	if (o->to != OWED_TO_STATEMENT) {
		n->shape_hash = shape;
		n->rows = ROWS_TOLD;
	} else {
		assert(n->rows != ROWS_UNTOLD);
		n->rows = n->describing == DESCRIBING_OTHER_TYPES || shape == SHAPE_UNKNOWN || shape != n->shape_hash
			      ? ROWS_CHANGED
			      : ROWS_TOLD;
		if (n->rows == ROWS_CHANGED)
			row_shape_note_described(n); /* a new id from statement_renew() needs no Describe */
	}
	n->sent_or_told_id = n->rows == ROWS_TOLD && is_description_current(n) ? short_id(n->st) : 0;
}
