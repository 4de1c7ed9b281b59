/*
 * src/statements/stand_in.c - what PostgreSQL would say of a statement that this server lacks, and could not analyse
 * now. See statements/statements_state.h.
 *
 * On one connection a statement is analysed once, by its Parse. After that PostgreSQL tells its parameters, and that it
 * has no rows, whether or not its tables can be found now; and a Bind in a failed transaction is refused for its number
 * of parameters first, and for the transaction then (postgres.c, exec_describe_statement_message and
 * exec_bind_message). An empty statement with the same parameters, which can be prepared at any time, is answered like
 * that.
 */
#include "statements/statements_state.h"
#include "statements/names.h"

#include "sql/sql_token.h"
#include "wire/frame.h"

#include <stdlib.h>

#define PARAMETERS_MAX 65535u

/* PostgreSQL has as many as are declared, or as the SQL has. */
static unsigned
count_parameters(const struct statement *st)
{
	unsigned long count = wire_u16(st->bytes + st->query_len + 1), n;
	struct sql_lexer lexer;
	struct sql_token t;

	sql_lexer_init(&lexer, (const char *)st->bytes, st->query_len);
	for (t = sql_next(&lexer); t.kind != SQL_END && t.kind != SQL_UNTERMINATED; t = sql_next(&lexer))
		if (t.kind == SQL_PARAM && (n = strtoul(t.at + 1, NULL, 10)) <= PARAMETERS_MAX && n > count)
			count = n;
	return (unsigned)count;
}

/* Writes the empty statement's SQL and the types, as in a Parse: those learnt, or as many that are open. */
static void
put_empty(const struct statement *st, struct buf *b)
{
	size_t len;
	const uint8_t *types = statement_learnt_types(st, &len);
	unsigned count;

	buf_put_u8(b, 0);
	if (types != NULL) {
		buf_put(b, types, len);
		return;
	}
	count = count_parameters(st);
	buf_put_u16(b, (uint16_t)count);
	for (unsigned i = 0; i < count; i++)
		buf_put_u32(b, 0);
}

static bool
is_rowless(const struct client_statement *n)
{
	size_t len;

	return (n->rows != ROWS_UNTOLD ? n->shape : n->st->shape) == SHAPE_NO_ROWS &&
	       statement_learnt_types(n->st, &len) != NULL;
}

/* PostgreSQL has said that the transaction has failed, and nothing that might end it was sent since. */
static bool
has_failed(const struct exchange *x)
{
	return x->srv->tx == 'E' && x->srv->is_synced && x->srv->ledger.count == 0;
}

enum feature_step
stand_in_describe(struct exchange *x, struct client_statement *n, const uint8_t *message, size_t len)
{
	bool is_failed = has_failed(x), is_other = statement_is_read_otherwise(x, n);
	struct buf empty = { 0 };

	if (statement_is_pending(n) || !is_rowless(n) || (!is_failed && !is_other && statement_is_shared(n->st)) ||
	    (!is_other && statement_presence_of(x, n->st) != STATEMENT_ABSENT))
		return STEP_FORWARD;
	put_empty(n->st, &empty);
	if (!buf_ok(&empty))
		return STEP_FAILED;
	statement_describe_dummy(x, n, empty.bytes, empty.len, message, len);
	buf_fini(&empty);
	return STEP_SENT;
}

enum feature_step
stand_in_bind(struct exchange *x, struct request *m)
{
	struct client_statement *n = m->named;
	char name[STATEMENT_NAME_MAX];
	struct buf empty = { 0 };

	if (!has_failed(x) || statement_is_pending(n) || (m->verdict->hints & SCAN_HINT_ENDS) != 0 ||
	    statement_presence_of(x, n->st) != STATEMENT_ABSENT)
		return STEP_FORWARD;
	put_empty(n->st, &empty);
	if (!buf_ok(&empty))
		return STEP_FAILED;
	statement_special_name(x->env->statements, PLACEHOLDER, name);
	statement_put_dummy(x, empty.bytes, empty.len);
	statement_bind_as(x, m, n, name);
	buf_fini(&empty);
	return STEP_SENT;
}
