/*
 * src/statements/statements_deallocate.c - SQL that deallocates statements of the protocol: PDO, DBD::Pg, Rails, Sequel
 * and psycopg 3 send it.
 *
 * A Query that is nothing else is answered here, from the table of names. Of the extended protocol the server gets it
 * as it is: an empty statement is prepared there under the client's own name first, for the SQL to deallocate.
 * Everything before it is answered then, and every message that concerns names waits for its reply.
 */
#include "statements/statements_state.h"
#include "statements/unnamed.h"

#include "sql/known.h"
#include "sql/sql_token.h"
#include "wire/messages.h"

/* Returns true if its server may have statements that the table lacks: made by SQL, or too long to be stored. */
static bool
has_others(const struct exchange *x)
{
	const uint32_t makes_some = SCAN_PREPARE | SCAN_CODE | SCAN_EXECUTE | SCAN_FUNCTION;

	return statements_hold_server(x) || (x->pins & 1u << PIN_STATEMENT) != 0 ||
	       (x->srv != NULL && (x->srv->loan.suspected & makes_some) != 0);
}

/* Takes out of the table what this SQL deallocates. Returns its tag; NULL: it concerns the server. */
static const char *
take_out_names(struct exchange *x, const struct request *m)
{
	struct client_statement *n;
	struct known k;

	switch (known_only(&k, image_scan_options(x->image), m->sql, m->sql_len)) {
	case KNOWN_DEALLOCATE:
		n = client_statement_find(x, k.name);
		if (n == NULL || statement_is_oversize(n))
			return NULL;
		client_statement_leave(x->statements, n);
		return "DEALLOCATE";
	case KNOWN_DEALLOCATE_ALL:
		if (has_others(x) || !exchange_is_followed(x))
			return NULL;
		if (x->statements != NULL)
			statements_clear_names(x->statements);
		return "DEALLOCATE ALL";
	default:
		return NULL;
	}
}

enum feature_step
statements_deallocate_here(struct exchange *x, const struct request *m)
{
	struct server *srv = x->srv;
	struct buf b = { 0 };
	const char *tag;

	if (!request_begins_with(m, WORD_DEALLOCATE) || statements_pass_through(x) ||
	    x->pool->settings.prepared_statements == 0 || x->commit == EXCHANGE_ROLLED_BACK)
		return STEP_FORWARD;
	if (srv != NULL && srv->ledger.count > 0)
		return STEP_HOLD;
	if (srv != NULL && (srv->tx == 'E' || !srv->is_synced))
		return STEP_FORWARD;
	tag = take_out_names(x, m);
	if (tag == NULL)
		return STEP_FORWARD;
	statements_forget_unnamed(x);
	if (srv != NULL)
		srv->unnamed_owner = 0; /* there it is still */
	message_complete(&b, tag);
	message_ready(&b, srv != NULL ? srv->tx : 'I');
	exchange_answer_buf(x, &b);
	return STEP_SENT;
}

/* The server may have the empty statement still, which nobody else must meet. */
void
statements_not_deallocated(struct exchange *x)
{
	struct client_statement *n = x->statements->deallocating;

	if (!statement_is_oversize(n))
		server_condemn(x->srv, SERVER_IN_DOUBT);
	client_statement_unref(n);
	x->statements->deallocating = NULL;
}

/* Handles SQL that is about to run on the server. */
static enum feature_step
deallocate(struct exchange *x, const char *sql, size_t len)
{
	struct client_statement *n;
	struct known k;
	enum known_kind kind = known_deallocation(&k, sql, len);

	if (kind == KNOWN_NOT)
		return STEP_FORWARD;
	if (statements_own(x) == NULL)
		return STEP_FAILED;
	if (kind == KNOWN_DEALLOCATE_ALL) { /* what is sent from now on has to wait for the result */
		if (x->srv->ledger.count > 0 && !x->statements->is_clearing)
			return STEP_HOLD;
		x->statements->is_clearing = true;
		return STEP_FORWARD;
	}
	n = client_statement_find(x, k.name);
	if (statements_name_is_ours(x, k.name)) { /* of another client, perhaps: the wash will miss it */
		x->srv->loan.suspected |= SCAN_PREPARE;
		return STEP_FORWARD;
	}
	if (n == NULL || n == x->statements->deallocating) /* the latter: another feature has held this Bind since */
		return STEP_FORWARD;
	if (x->srv->ledger.count > 0)
		return STEP_HOLD;
	if (x->srv->tx == 'E' && x->srv->is_synced) /* else an answer lacks its Sync, and that may be over */
		return STEP_FORWARD;
	if (x->statements->deallocating != NULL)
		statements_not_deallocated(x);
	n->refs++;
	x->statements->deallocating = n;
	if (!statement_is_oversize(n)) /* else the server has it under the client's own name */
		statement_put_dummy(x, n->name, "\0\0", 3); /* neither Close nor Parse can fail */
	return STEP_FORWARD;
}

enum feature_step
statements_deallocate_query(struct exchange *x, struct request *m)
{
	bool may_be = request_begins_with(m, WORD_DEALLOCATE) || request_begins_with(m, WORD_DISCARD);

	return may_be ? deallocate(x, m->sql, m->sql_len) : STEP_FORWARD;
}

enum feature_step
statements_deallocate_bind(struct exchange *x, struct request *m)
{
	const struct statement *st = m->statement;

	return st != NULL && m->verdict->first == WORD_DEALLOCATE
		   ? deallocate(x, (const char *)st->bytes, st->query_len)
		   : STEP_FORWARD;
}

/* Returns how many names a DROP ... IF EXISTS has if it is the only statement; else 0. */
static uint32_t
names_dropped(const char *sql, size_t len)
{
	struct sql_lexer lexer;
	struct sql_token t, before = { 0 };
	uint32_t count = 0, depth = 0;

	sql_lexer_init(&lexer, sql, len);
	t = sql_next(&lexer);
	if (!sql_is_word(&t, "drop", 4))
		return 0;
	for (t = sql_next(&lexer); t.kind != SQL_END && t.kind != SQL_UNTERMINATED; t = sql_next(&lexer)) {
		if (count == 0 && sql_is_word(&before, "if", 2) && sql_is_word(&t, "exists", 6))
			count = 1;
		before = t;
		if (t.kind != SQL_PUNCT)
			continue;
		if (*t.at == ';')
			return sql_next(&lexer).kind == SQL_END ? count : 0;
		depth += *t.at == '(';
		depth -= *t.at == ')' && depth > 0;
		count += *t.at == ',' && depth == 0 && count > 0;
	}
	return t.kind == SQL_END ? count : 0;
}

/* Only if nothing is pipelined before it: else it would not be known which request a notice belongs to. */
enum feature_step
statements_note_drop(struct exchange *x, struct request *m)
{
	struct loan *loan = &x->srv->loan;

	loan->skips = 0;
	loan->drops =
	    request_begins_with(m, WORD_DROP) && x->srv->ledger.count == 0 ? names_dropped(m->sql, m->sql_len) : 0;
	return STEP_FORWARD;
}

void
statements_deallocated(struct exchange *x, bool is_all)
{
	struct client_statements *s = x->statements;

	if (is_all) /* those that are being parsed now come after one that was not foreseen (second in a Query) */
		server_statements_forget_all(&x->srv->statements);
	if (s != NULL && is_all) {
		s->is_clearing = false;
		statements_clear_names(s);
	} else if (s != NULL && s->deallocating != NULL) {
		client_statement_leave(s, s->deallocating);
		client_statement_unref(s->deallocating);
		s->deallocating = NULL;
	}
}
