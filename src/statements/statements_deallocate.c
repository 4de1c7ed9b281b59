/*
 * src/statements/statements_deallocate.c - SQL that deallocates statements of the protocol: PHP, Perl, psycopg 3 and
 * pgx send it.
 *
 * The server gets it as it is. An empty statement is prepared there under the client's own name first, for the SQL to
 * deallocate; the one with pgweir's name stays for others, as after a Close. The SQL is sent alone: everything before
 * it is answered, and every message that concerns names waits for its reply. If it fails, or is never run, the empty
 * statement is closed (expose.c).
 */
#include "statements/statements_deallocate.h"
#include "statements/statements_state.h"
#include "statements/names.h"

#include "sql/known.h"
#include "sql/sql_token.h"
#include "wire/frame.h"
#include "wire/messages.h"
#include "server/server_image.h"
#include "session/image_changes.h"

#include <stdio.h>
#include <string.h>

/* Returns the name to deallocate for this name of the client's: never one that is like a name of pgweir's. */
static const char *
name_there(const struct exchange *x, const char *name, char unknown[static STATEMENT_NAME_MAX + KNOWN_NAME_MAX])
{
	char before[STATEMENT_NAME_MAX];

	if (!statements_name_is_ours(x, name))
		return name;
	statement_special_name(x->env->statements, UNKNOWN_NAME, before);
	snprintf(unknown, STATEMENT_NAME_MAX + KNOWN_NAME_MAX, "%s%s", before, name);
	return unknown;
}

/* Writes the SQL for a name like those of pgweir. -1: no memory. */
static int
put_deallocate(const struct exchange *x, const char *name, struct buf *sql)
{
	char unknown[STATEMENT_NAME_MAX + KNOWN_NAME_MAX];

	buf_printf(sql, "DEALLOCATE ");
	image_put_identifier(sql, name_there(x, name, unknown), false);
	buf_put_u8(sql, 0);
	return buf_ok(sql) ? 0 : -1;
}

/* Closes what was made for a DEALLOCATE that did not happen, before anything else is sent. */
static void
not_deallocated(struct exchange *x)
{
	struct client_statements *s = x->statements;
	char unknown[STATEMENT_NAME_MAX + KNOWN_NAME_MAX];

	if (!statement_is_oversize(s->deallocating))
		expose_undo_later(s, name_there(x, s->deallocating->name, unknown));
	client_statement_unref(s->deallocating);
	s->deallocating = NULL;
}

static void
deallocating(struct exchange *x, struct client_statement *n)
{
	if (x->statements->deallocating != NULL)
		not_deallocated(x);
	n->refs++;
	x->statements->deallocating = n;
}

/*
 * n is about to be deallocated: prepares an empty statement. Neither this nor the Close before it can fail, in a
 * transaction that has failed either. Where it may, it is a request of its own.
 */
static enum feature_step
put_empty_statement(struct exchange *x, struct client_statement *n)
{
	struct ledger *l = &x->srv->ledger;
	char unknown[STATEMENT_NAME_MAX + KNOWN_NAME_MAX];
	const char *name = name_there(x, n->name, unknown);
	enum owed_to to = x->srv->is_synced ? OWED_TO_FEATURE : OWED_TO_STATEMENT;
	struct buf b = { 0 };

	message_close_statement(&b, name);
	message_parse(&b, name, "\0\0", 3);
	ledger_push(l, OWED_CLOSE, to, NULL);
	ledger_push(l, OWED_PARSE, to, NULL);
	if (x->srv->is_synced) {
		message_sync(&b);
		server_owe_sync(x->srv, to);
	}
	outbox_put(&x->env->to_server, &b);
	deallocating(x, n);
	return STEP_SENT;
}

/* In a transaction that has failed; all is answered, but an answer may lack its Sync: then that may be over. */
static bool
is_refused(const struct exchange *x)
{
	return x->srv->tx == 'E' && x->srv->is_synced;
}

/* All statements are about to be deallocated: what is sent from now on has to wait for the result. */
static enum feature_step
clearing(struct exchange *x)
{
	if (statements_own(x) == NULL)
		return STEP_FAILED;
	if (x->srv->ledger.count > 0 && !x->statements->is_clearing)
		return STEP_HOLD;
	x->statements->is_clearing = true;
	return STEP_FORWARD;
}

/*
 * Reads a message that may deallocate. FORWARD: it concerns no statement of pgweir's, or all of them, or PostgreSQL
 * will refuse it. SENT: it deallocates *n; NULL: a statement that does not exist, with a name like those of pgweir.
 */
static enum feature_step
read_deallocate(struct exchange *x, const struct request *m, struct known *k, struct client_statement **n)
{
	enum known_kind kind;

	if (!request_begins_with(m, WORD_DEALLOCATE) && !request_begins_with(m, WORD_DISCARD))
		return STEP_FORWARD;
	kind = known_deallocation(k, m->sql, m->sql_len);
	if (kind == KNOWN_NOT)
		return STEP_FORWARD;
	if (x->srv->ledger.count > 0)
		return STEP_HOLD;
	if (kind == KNOWN_DEALLOCATE_ALL)
		return clearing(x);
	if (statements_own(x) == NULL)
		return STEP_FAILED;
	*n = client_statement_find(x, k->name);
	if (is_refused(x) || (*n == NULL && !statements_name_is_ours(x, k->name)))
		return STEP_FORWARD; /* the latter is made by SQL PREPARE, or unknown */
	return STEP_SENT;
}

static enum feature_step
parse_instead(struct exchange *x, const char *name, struct buf *sql)
{
	struct buf message = { 0 };
	enum feature_step step = STEP_FAILED;
	size_t query_len = sql->len - 1;
	struct sql_verdict v;
	struct parse_fields f;

	buf_put_u16(sql, 0);
	message_parse(&message, name, sql->bytes, sql->len);
	if (buf_ok(sql) && buf_ok(&message) &&
	    fields_parse(message.bytes + FRAME_HEAD_LEN, message.len - FRAME_HEAD_LEN, &f)) {
		f.query_len = query_len;
		verdict_anyhow(&v, (const char *)f.rest, query_len);
		verdict_of_parse(&v, (const char *)f.rest, query_len);
		step = f.name[0] == '\0' ? unnamed_parse(x, &f, message.bytes, message.len)
					 : statements_parse_named(x, &f, &v, NULL);
		outbox_flush_early(&x->env->to_server);
	}
	buf_fini(&message);
	return step;
}

/* Only a name that is replaced matters yet: which statement is deallocated is found when it is run. */
enum feature_step
statements_deallocate_parse(struct exchange *x, struct request *m)
{
	struct known k;
	struct client_statement *n;
	struct buf sql = { 0 };
	enum feature_step step = read_deallocate(x, m, &k, &n);

	if (step != STEP_SENT || !statements_name_is_ours(x, k.name))
		return step == STEP_SENT ? STEP_FORWARD : step;
	step = put_deallocate(x, k.name, &sql) < 0 ? STEP_FAILED : parse_instead(x, m->parse.name, &sql);
	buf_fini(&sql);
	return step;
}

enum feature_step
statements_deallocate_bind(struct exchange *x, struct request *m)
{
	char before[STATEMENT_NAME_MAX];
	struct client_statement *n;
	enum feature_step step;
	enum known_kind kind;
	struct known k;
	size_t skip;

	if (m->statement == NULL || m->verdict->first != WORD_DEALLOCATE)
		return STEP_FORWARD;
	kind = known_deallocation(&k, (const char *)m->statement->bytes, m->statement->query_len);
	if (kind != KNOWN_DEALLOCATE)
		return kind == KNOWN_NOT ? STEP_FORWARD : clearing(x);
	statement_special_name(x->env->statements, UNKNOWN_NAME, before);
	skip = strncmp(k.name, before, strlen(before)) == 0 ? strlen(before) : 0;
	n = client_statement_find(x, k.name + skip);
	if (n == NULL || x->statements->deallocating == n) /* the latter: another feature has held this Bind since */
		return STEP_FORWARD;
	if (x->srv->ledger.count > 0)
		return STEP_HOLD;
	if (is_refused(x))
		return STEP_FORWARD;
	if (statement_is_oversize(n)) {
		deallocating(x, n);
		return STEP_FORWARD; /* the server has it under the client's own name */
	}
	step = put_empty_statement(x, n);
	return step == STEP_SENT ? STEP_FORWARD : step;
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

enum feature_step
statements_deallocate_query(struct exchange *x, struct request *m)
{
	struct known k;
	struct client_statement *n;
	struct buf sql = { 0 };
	enum feature_step step = read_deallocate(x, m, &k, &n);

	if (step != STEP_SENT)
		return step;
	if (n != NULL && statement_is_oversize(n)) {
		deallocating(x, n);
		return STEP_FORWARD; /* the server has it under the client's own name */
	}
	if (n != NULL && put_empty_statement(x, n) == STEP_FAILED)
		return STEP_FAILED;
	if (!statements_name_is_ours(x, k.name))
		message_put(&m->instead, 'Q', m->sql, m->sql_len + 1);
	else if (put_deallocate(x, k.name, &sql) == 0)
		message_put(&m->instead, 'Q', sql.bytes, sql.len);
	buf_fini(&sql);
	return m->instead.len > 0 && buf_ok(&m->instead) ? STEP_SENT : STEP_FAILED;
}

void
statements_deallocated(struct exchange *x)
{
	struct client_statements *s = x->statements;

	if (s != NULL && s->dropped < s->dropping.len) {
		const char *name = (const char *)s->dropping.bytes + s->dropped;
		struct client_statement *n = client_statement_find(x, name);

		s->dropped += strlen(name) + 1;
		if (n != NULL)
			client_statement_leave(s, n);
		return;
	}
	if (s == NULL || s->deallocating == NULL)
		return;
	client_statement_leave(s, s->deallocating);
	client_statement_unref(s->deallocating);
	s->deallocating = NULL;
}

void
statements_request_done(struct exchange *x)
{
	struct client_statements *s = x->statements;

	if (s == NULL)
		return;
	if (s->deallocating != NULL)
		not_deallocated(x); /* it failed */
	s->is_clearing = false; /* it failed */
	buf_fini(&s->dropping);
	s->dropped = 0;
}

void
statements_deallocated_all(struct exchange *x)
{
	struct client_statements *s = x->statements;

	/* An unforeseen one (the second statement of a Query): statements that are being parsed now come after it. */
	server_statements_forget_all(&x->srv->statements);
	if (s == NULL)
		return;
	s->is_clearing = false;
	statements_clear_names(s);
}
