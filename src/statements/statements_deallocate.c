/*
 * src/statements/statements_deallocate.c - SQL that deallocates statements of the protocol: PDO, DBD::Pg, Rails, Sequel
 * and psycopg 3 send it.
 *
 * If a Query is a single DEALLOCATE, pgweir answers the Query itself, and removes the names from its table. If the SQL
 * is one of several statements (psqlODBC frees a plan between SAVEPOINT and RELEASE), or comes by the extended
 * protocol, the server gets the SQL unchanged. Before that, pgweir prepares an empty statement on the server under the
 * client's own name, for the SQL to deallocate. All earlier messages are answered by then. Every later message that
 * concerns names waits for the reply.
 *
 * pgweir also answers an UNLISTEN in a transaction block by a client that has never listened.
 */
#include "statements/statements_state.h"
#include "statements/unnamed.h"
#include "sql/known.h"
#include "sql/sql_token.h"
#include "sql/sql_words.h"
#include "wire/messages.h"

#include <assert.h>
#include <string.h>

/* Returns true if the client's server may have statements of the client's that the table lacks, because they were made
 * by SQL or are too long to be stored. */
static bool
may_have_others(const struct exchange *x)
{
	const uint32_t makes_some = SCAN_PREPARE | SCAN_CODE | SCAN_EXECUTE | SCAN_FUNCTION;

	return statements_need_server(x) || (x->pins & 1u << PIN_STATEMENT) != 0 ||
	       (x->srv != NULL && (x->srv->loan.suspected & makes_some) != 0);
}

/*
 * Returns true if m is an UNLISTEN by a client that has never listened. Such an UNLISTEN does nothing, but if the
 * server has listened for another client before, PostgreSQL would refuse PREPARE TRANSACTION after it. Returns false if
 * SQL may have listened unnoticed, in this transaction or before.
 */
static bool
unlistens_nothing(const struct exchange *x, const struct request *m)
{
	const struct server *srv = x->srv;

	return request_begins_with(m, WORD_UNLISTEN) && srv != NULL && x->listen == NULL && exchange_is_followed(x) &&
	       x->pins == 0 && (srv->loan.suspected & SCAN_PROBED) == 0;
}

/* Removes from the client's table of names the statements that this SQL deallocates. Returns the SQL's command tag, or
 * NULL if the server must get the SQL. */
static const char *
take_out_names(struct exchange *x, const struct request *m)
{
	struct client_statement *n;
	struct known_statement k;
	enum known_kind kind = known_single_statement(&k, gucs_scan_options(x->gucs), m->sql, m->sql_len);

	/* PostgreSQL refuses some words without quotes. */
	if ((kind == KNOWN_DEALLOCATE || kind == KNOWN_UNLISTEN) &&
	    (sql_name_find(k.name, strlen(k.name)) & (SQL_RESERVED | SQL_TYPE_FUNC)) != 0)
		return NULL;
	switch (kind) {
	case KNOWN_DEALLOCATE:
		n = client_statement_find(x, k.name);
		if (n == NULL || statement_is_oversize(n))
			return NULL;
		client_statement_leave(x->statements, n);
		return "DEALLOCATE";
	case KNOWN_DEALLOCATE_ALL:
		if (may_have_others(x) || !exchange_is_followed(x))
			return NULL;
		if (x->statements != NULL)
			statements_clear_names(x->statements);
		return "DEALLOCATE ALL";
	case KNOWN_UNLISTEN:
		if (strlen(k.name) >= 63) /* PostgreSQL may send a notice that the name is too long */
			return NULL;
		/* fall through */
	case KNOWN_UNLISTEN_ALL:
		return x->srv->tx == 'T' ? "UNLISTEN" : NULL; /* outside of a block, the server may run it */
	default:
		return NULL;
	}
}

/*
 * Runs a Query of pgweir's own when pgweir answers a client's Query in a transaction. On the server, the client's Query
 * would have had two effects, which pgweir's Query has in its place: any Query drops the unnamed portal, and a
 * DEALLOCATE takes a snapshot, after which PostgreSQL refuses to change the isolation level. (SHOW takes no snapshot.)
 */
static void
run_in_place_of_query(struct exchange *x, bool takes_snapshot)
{
	struct buf b = { 0 };

	message_query(&b, takes_snapshot ? "SELECT " MESSAGE_OURS "1" : "SHOW " MESSAGE_OURS "transaction_isolation");
	server_owe_query(x->srv, OWED_TO_FEATURE);
	outbox_put(&x->env->to_server, &b);
}

enum feature_step
statements_deallocate_here(struct exchange *x, const struct request *m)
{
	struct server *srv = x->srv;
	struct buf b = { 0 };
	const char *tag;

	if ((!request_begins_with(m, WORD_DEALLOCATE) && !unlistens_nothing(x, m)) || statements_pass_through(x) ||
	    x->pool->settings.prepared_statements == 0)
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
		srv->unnamed_owner = 0; /* the server still has an unnamed statement, but now it is no client's */
	if (srv != NULL && srv->tx == 'T')
		run_in_place_of_query(x, tag[0] == 'D');
	message_complete(&b, tag);
	message_ready(&b, srv != NULL ? srv->tx : 'I');
	exchange_answer_buf(x, &b);
	return STEP_REPLACED;
}

/* Condemns the server if it may still have the empty statements, because another client could use their names. */
void
statements_condemn_if_not_deallocated(struct exchange *x)
{
	struct client_statements *s = x->statements;

	for (; s->deallocating_count > 0; statements_deallocating_pop(s))
		if (s->deallocating[0] != NULL && !statement_is_oversize(s->deallocating[0]))
			server_condemn(x->srv, SERVER_IN_DOUBT);
}

void
statements_deallocating_pop(struct client_statements *s)
{
	assert(s->deallocating_count > 0 && s->deallocating_count <= DEALLOCATING_MAX);
	client_statement_unref(s->deallocating[0]);
	s->deallocating_count--;
	memmove(s->deallocating, s->deallocating + 1, s->deallocating_count * sizeof(struct client_statement *));
}

/* Returns the client's statement of this name. Returns NULL if the table has none, or if one of the `count` statements
 * in `before` is the same. */
static struct client_statement *
find_for_sql(struct exchange *x, const char *name, struct client_statement *const *before, unsigned count)
{
	struct client_statement *n = client_statement_find(x, name);

	if (statements_name_is_ours(x, name)) {
		/* The SQL may deallocate a statement of another client; with this flag, the wash will find out. */
		x->srv->loan.suspected |= SCAN_PREPARE;
		return NULL;
	}
	for (unsigned i = 0; i < count && n != NULL; i++)
		if (before[i] == n) /* an earlier DEALLOCATE in the SQL names the same statement */
			return NULL;
	return n;
}

/* Prepares an empty statement on the server for each statement that the SQL, which is about to run, deallocates. `all`:
 * these statements in the SQL's order, with NULL for names that the client's table lacks. */
static enum feature_step
put_dummies(struct exchange *x, struct client_statement **all, unsigned count)
{
	struct client_statements *s = x->statements;

	if (s->deallocating_count == count && memcmp(s->deallocating, all, count * sizeof(*all)) == 0)
		return STEP_FORWARD; /* done already: another feature has held the same message since */
	if (x->srv->ledger.count > 0)
		return STEP_HOLD;
	/* In a failed transaction, the SQL will fail. After messages without a Sync, that is not certain. */
	if (x->srv->tx == 'E' && x->srv->is_synced)
		return STEP_FORWARD;
	statements_condemn_if_not_deallocated(x);
	memcpy(s->deallocating, all, count * sizeof(*all));
	s->deallocating_count = (uint8_t)count;
	for (unsigned i = 0; i < count; i++) {
		if (all[i] == NULL)
			continue;
		all[i]->refs++;
		if (!statement_is_oversize(all[i])) /* the server has an oversize statement under that name */
			statement_put_close_and_parse(x, all[i]->name, "\0\0",
						      3); /* neither its Close nor its Parse can fail */
	}
	return STEP_FORWARD;
}

/* Prepares the server for SQL that is about to run there and may deallocate statements. */
static enum feature_step
prepare_for(struct exchange *x, const char *sql, size_t len)
{
	struct client_statement *all[DEALLOCATING_MAX];
	struct known_reader r;
	struct known_statement k;
	unsigned count = 0, found = 0;
	bool is_clearing = false;

	if (statements_get_or_create(x) == NULL)
		return STEP_FAILED;
	known_begin(&r, gucs_scan_options(x->gucs), sql, len);
	while (count < DEALLOCATING_MAX && known_next_statement(&r, &k)) {
		is_clearing = is_clearing || k.kind == KNOWN_DEALLOCATE_ALL || k.kind == KNOWN_DISCARD_ALL;
		if (k.kind != KNOWN_DEALLOCATE)
			continue;
		all[count] = find_for_sql(x, k.name, all, count);
		found += all[count++] != NULL;
	}
	if (is_clearing) { /* later messages have to wait for the result */
		if (x->srv->ledger.count > 0 && !x->statements->is_clearing)
			return STEP_HOLD;
		x->statements->is_clearing = true;
	}
	return found > 0 ? put_dummies(x, all, count) : STEP_FORWARD;
}

enum feature_step
statements_deallocate_query(struct exchange *x, struct request *m)
{
	return request_has(m, SCAN_PREPARE, 0) ? prepare_for(x, m->sql, m->sql_len) : STEP_FORWARD;
}

enum feature_step
statements_deallocate_bind(struct exchange *x, struct request *m)
{
	const struct statement *st = m->statement;

	return st != NULL && m->traits->first == WORD_DEALLOCATE
		   ? prepare_for(x, (const char *)st->bytes, st->query_len)
		   : STEP_FORWARD;
}

/* Returns how many names a DROP ... IF EXISTS has if it is the only statement; else 0. */
static uint32_t
count_dropped(const char *sql, size_t len)
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

/* Counts the names of a DROP. Counts none if the reply to an earlier message is owed, because a notice could belong to
 * that reply. */
enum feature_step
statements_note_drop(struct exchange *x, struct request *m)
{
	struct loan *loan = &x->srv->loan;

	loan->skips = 0;
	loan->drops =
	    request_begins_with(m, WORD_DROP) && x->srv->ledger.count == 0 ? count_dropped(m->sql, m->sql_len) : 0;
	return STEP_FORWARD;
}

void
statements_deallocated(struct exchange *x, bool is_all)
{
	struct client_statements *s = x->statements;

	/* statements that are being parsed now stay, because they come after this DEALLOCATE ALL */
	if (is_all)
		server_statements_forget_all(&x->srv->statements);
	if (s != NULL && is_all) {
		s->is_clearing = false;
		statements_clear_names(s);
	} else if (s != NULL && s->deallocating_count > 0) {
		if (s->deallocating[0] != NULL)
			client_statement_leave(s, s->deallocating[0]);
		statements_deallocating_pop(s);
	}
}
