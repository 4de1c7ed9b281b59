/*
 * src/statements/deallocate.c - SQL that deallocates statements of the protocol: PHP, Perl, psycopg 3 and pgx send it.
 *
 * The server gets it with the server's name of the statement. It is sent alone: everything before it is answered, and
 * every message that concerns names waits for its reply.
 */
#include "statements/statements_state.h"
#include "statements/statements.h"

#include "sql/deallocate.h"
#include "sql/sql_token.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <stdio.h>
#include <string.h>

static void
put_empty(struct exchange *x, const char *name)
{
	uint8_t head[FRAME_HEAD_LEN] = { 'P' };
	size_t name_len = strlen(name) + 1;

	wire_set_u32(head + 1, (uint32_t)(4 + name_len + 3));
	outbox_copy(&x->env->to_server, head, sizeof(head));
	outbox_copy(&x->env->to_server, name, name_len);
	outbox_copy(&x->env->to_server, "\0\0\0", 3);
}

static void
deallocating(struct client_statements *s, struct client_statement *n)
{
	if (s->deallocating != NULL)
		client_statement_unref(s->deallocating);
	n->refs++;
	s->deallocating = n;
}

/* Writes the SQL for n; NULL: a statement that does not exist, with a name like those of pgweir. -1: no memory. */
static int
put_deallocate(struct exchange *x, struct client_statement *n, const char *name, struct buf *sql)
{
	char before[STATEMENT_NAME_MAX], unknown[STATEMENT_NAME_MAX + DEALLOCATE_NAME_MAX];

	if (n != NULL && client_statement_refresh(x, n) < 0)
		return -1;
	statements_special_name(x, UNKNOWN_NAME, before);
	snprintf(unknown, sizeof(unknown), "%s%s", before, name);
	buf_printf(sql, "DEALLOCATE ");
	image_put_identifier(sql, n == NULL ? unknown : n->st->name, false);
	buf_put_u8(sql, 0);
	return buf_ok(sql) ? 0 : -1;
}

/* n is about to be deallocated: the server must have it. Returns false: no memory. */
static bool
begin(struct exchange *x, struct client_statement *n)
{
	if (statement_presence_of(x, n->st) != STATEMENT_THERE &&
	    !server_statements_is_outdated(&x->srv->statements, n->st->id)) {
		/* An empty statement will do, and can be made even in a failed transaction. */
		if (ledger_push(&x->srv->ledger, OWED_PARSE, OWED_TO_STATEMENT, NULL) < 0)
			return false;
		put_empty(x, n->st->name);
		x->statements->is_empty_made = true;
	}
	deallocating(x->statements, n);
	return true;
}

/* DONE: sql must be sent in its place. FORWARD: it concerns no statement of pgweir's, or all of them. */
static enum statement_step
deallocate_step(struct exchange *x, const struct request *m, struct buf *sql)
{
	char name[DEALLOCATE_NAME_MAX];
	enum deallocate_kind kind;
	struct client_statements *s;
	struct client_statement *n;

	if (!request_begins_with(m, WORD_DEALLOCATE) && !request_begins_with(m, WORD_DISCARD))
		return STATEMENT_FORWARD;
	kind = deallocate_parse(m->sql, m->sql_len, name);
	if (kind == DEALLOCATE_NONE)
		return STATEMENT_FORWARD;
	if (x->srv->ledger.count > 0)
		return STATEMENT_HOLD;
	if ((s = statements_own(x)) == NULL)
		return STATEMENT_FAILED;
	if (kind == DEALLOCATE_ALL) {
		s->is_clearing = true;
		return STATEMENT_FORWARD;
	}
	n = client_statement_find(x, name);
	if (n == NULL && !statements_name_is_ours(x, name))
		return STATEMENT_FORWARD; /* made by SQL PREPARE, or unknown */
	if (n != NULL && n->is_oversize) {
		deallocating(s, n);
		return STATEMENT_FORWARD; /* the server has it under the client's own name */
	}
	if (put_deallocate(x, n, name, sql) < 0)
		return STATEMENT_FAILED;
	return n == NULL || begin(x, n) ? STATEMENT_DONE : STATEMENT_FAILED;
}

static enum statement_step
parse_instead(struct exchange *x, const char *name, struct buf *sql)
{
	struct buf message = { 0 };
	enum statement_step step = STATEMENT_FAILED;
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

enum statement_step
statements_deallocate_parse(struct exchange *x, struct request *m)
{
	struct buf sql = { 0 };
	enum statement_step step = deallocate_step(x, m, &sql);

	if (step == STATEMENT_DONE)
		step = parse_instead(x, m->parse.name, &sql);
	buf_fini(&sql);
	return step;
}

static struct client_statement *
find_on_servers(const struct client_statements *s, const char *name)
{
	for (uint32_t i = 0; i < s->slot_count; i++)
		if (s->slots[i] != NULL && s->slots[i]->st != NULL && strcmp(s->slots[i]->st->name, name) == 0)
			return s->slots[i];
	return NULL;
}

enum statement_step
statements_deallocate_bind(struct exchange *x, struct request *m)
{
	char name[DEALLOCATE_NAME_MAX];
	struct client_statement *n;

	if (m->statement == NULL || m->verdict->first != WORD_DEALLOCATE || x->statements->deallocating != NULL ||
	    deallocate_parse((const char *)m->statement->bytes, m->statement->query_len, name) != DEALLOCATE_NAME ||
	    (n = find_on_servers(x->statements, name)) == NULL)
		return STATEMENT_FORWARD;
	if (x->srv->ledger.count > 0)
		return STATEMENT_HOLD;
	return begin(x, n) ? STATEMENT_FORWARD : STATEMENT_FAILED;
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
void
statements_note_drop(struct exchange *x, const struct request *m)
{
	struct loan *loan = &x->srv->loan;

	loan->skips = 0;
	loan->drops =
	    request_begins_with(m, WORD_DROP) && x->srv->ledger.count == 0 ? names_dropped(m->sql, m->sql_len) : 0;
}

enum statement_step
statements_deallocate_query(struct exchange *x, struct request *m)
{
	struct buf sql = { 0 };
	enum statement_step step = deallocate_step(x, m, &sql);

	if (step == STATEMENT_DONE) {
		message_put(&m->instead, 'Q', sql.bytes, sql.len);
		if (!buf_ok(&m->instead))
			step = STATEMENT_FAILED;
	}
	buf_fini(&sql);
	return step;
}

void
statements_deallocated(struct exchange *x)
{
	struct client_statements *s = x->statements;

	if (s == NULL || s->deallocating == NULL)
		return;
	if (!s->deallocating->is_oversize)
		server_statements_forget(&x->srv->statements, s->deallocating->st->id);
	client_statement_leave(s, s->deallocating);
	client_statement_unref(s->deallocating);
	s->deallocating = NULL;
	s->is_empty_made = false;
}

void
statements_request_done(struct exchange *x)
{
	struct client_statements *s = x->statements;

	if (s == NULL)
		return;
	if (s->deallocating != NULL) { /* it failed */
		client_statement_unref(s->deallocating);
		s->deallocating = NULL;
		x->srv->is_closing = x->srv->is_closing || s->is_empty_made;
		s->is_empty_made = false;
	}
	s->is_clearing = false; /* it failed */
}

void
statements_deallocated_all(struct exchange *x)
{
	struct client_statements *s = x->statements;

	/* It was not foreseen (the second statement of a Query): statements that are being parsed now come after it. */
	server_statements_forget_all(&x->srv->statements);
	if (s == NULL)
		return;
	s->is_clearing = false;
	statements_clear_names(s);
}
