/*
 * src/state/compiled.c - what PL/pgSQL keeps of functions in a backend, from their first run there on; see
 * state/state_state.h.
 *
 * It resolves the types of a function's variables once, under the search_path of whoever runs it first. No statement
 * makes it forget them. So where the database has a function of which this may make another one (STATE_TYPES), a server
 * is lent only to clients under whose settings all of its functions were compiled (pool_code_suits), and closed if
 * there is no other room. Constants of the statements in functions are forgotten by DISCARD PLANS, which a client of
 * other settings sends ahead (STATE_READINGS).
 */
#include "state/state.h"
#include "state/state_state.h"
#include "sql/sql_token.h"
#include "wire/messages.h"

#include <string.h>

/* Without an argument or a table: what drivers ask for when they have connected, before they set anything. */
static bool
is_plain_word(const struct sql_token *t)
{
	static const char *const words[] = { "select",
					     "version",
					     "pg_catalog",
					     "pg_backend_pid",
					     "current_user",
					     "session_user",
					     "current_schema",
					     "current_database",
					     "as",
					     "true",
					     "false",
					     "null",
					     "show",
					     "now",
					     "pg_is_in_recovery" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (sql_is_word(t, words[i], strlen(words[i])))
			return true;
	return false;
}

static bool
is_plain(const struct exchange *x, const char *sql, size_t len)
{
	const char *path = image_get(x->image, "search_path");
	struct sql_lexer lexer;
	struct sql_token t;
	bool is_show;

	if ((path != NULL && strstr(path, "pg_catalog") != NULL) || (x->srv != NULL && x->srv->loan.has_changed_path))
		return false; /* other functions may have these names */
	sql_lexer_init(&lexer, sql, len);
	t = sql_next(&lexer);
	is_show = sql_is_word(&t, "show", 4);
	for (; t.kind != SQL_END; t = sql_next(&lexer))
		if (t.kind == SQL_WORD ? !is_show && !is_plain_word(&t)
				       : t.kind != SQL_NUMBER && (t.kind != SQL_PUNCT || (is_show && *t.at == ';')))
			return false;
	return true;
}

static bool
has_none_of(const struct exchange *x, const char *sql, size_t len, unsigned kinds)
{
	struct known_text text;

	if (is_plain(x, sql, len))
		return true;
	if (!known_parse(&text, image_scan_options(x->image), sql, len) || !text.is_all)
		return false;
	for (unsigned i = 0; i < text.count; i++)
		if (kinds & 1u << text.statements[i].kind)
			return false;
	return true;
}

#define RUNS_SQL (1u << KNOWN_NOT | 1u << KNOWN_EXECUTE)

/* A COMMIT runs no trigger but for SQL before it. */
bool
session_calls_functions(const struct exchange *x, const char *sql, size_t len)
{
	return !has_none_of(x, sql, len, RUNS_SQL);
}

bool
session_runs_alone(const struct exchange *x, const char *sql, size_t len)
{
	return has_none_of(x, sql, len, RUNS_SQL | 1u << KNOWN_BEGIN | 1u << KNOWN_LOCAL);
}

bool
session_must_run_elsewhere(const struct exchange *x)
{
	return x->srv->loan.is_unsuited && x->srv->ledger.count > 0 && x->srv->tx == 'I';
}

enum statement_step
session_run_elsewhere(struct exchange *x, struct request *m)
{
	const char *sql = m->type == 'B' ? NULL : m->sql;
	size_t len = m->sql_len;

	if (!session_must_run_elsewhere(x))
		return STATEMENT_FORWARD;
	if (m->statement != NULL) {
		sql = (const char *)m->statement->bytes;
		len = m->statement->query_len;
	}
	return sql != NULL && session_runs_alone(x, sql, len) ? STATEMENT_FORWARD : STATEMENT_HOLD;
}

/*
 * PostgreSQL tells whether the backend has ever had temporary tables, unless that was undone. Then, as for SQL that may
 * undo it within, the server is closed.
 */
unsigned
session_seal_shadowed(const struct exchange *x)
{
	const struct loan *l = &x->srv->loan;
	uint32_t flags = l->shown | l->suspicion;

	if ((pool_entry_compiled(x->entry) & STATE_SHADOWED) == 0)
		return 0;
	if (flags & (SCAN_CODE | SCAN_EXECUTE))
		return STATE_BACKEND;
	return flags & SCAN_TEMP && (l->has_undone || l->has_failed || l->has_rolled_back) ? STATE_BACKEND
											   : STATE_SHADOWED;
}

static bool
is_mixed(const struct exchange *x, unsigned compiled)
{
	const struct server *srv = x->srv;
	const struct loan *l = &srv->loan;

	if (l->has_changed_path || ((l->shown | l->suspicion) & SCAN_ANY_SETTING) != 0)
		return true;
	if ((compiled & STATE_PATHS) != 0)
		return true;
	return srv->compiled.image != NULL && !image_compiles_as(srv->compiled.image, x->image);
}

void
session_leaves_compiled(struct exchange *x)
{
	struct server_compiled *c = &x->srv->compiled;
	const struct loan *l = &x->srv->loan;
	unsigned compiled = pool_entry_compiled(x->entry);

	if (!l->has_called || compiled == 0 || !exchange_is_followed(x))
		return;
	c->is_mixed = c->is_mixed || is_mixed(x, compiled);
	c->is_mixed_reading = c->is_mixed_reading || l->has_local_settings || l->has_changed_path ||
			      ((l->shown | l->suspicion) & SCAN_ANY_SETTING) != 0;
	c->of = c->of == 0 || c->of == x->ticket.id ? x->ticket.id : COMPILED_OF_MANY;
	if (c->image != x->image) {
		image_unref(c->image);
		c->image = image_ref(x->image);
	}
}

static int
renew_plans(struct exchange *x)
{
	struct server *srv = x->srv;
	struct server_compiled *c = &srv->compiled;
	struct buf b = { 0 };
	int r;

	if ((pool_entry_compiled(x->entry) & STATE_READINGS) == 0 || !exchange_is_followed(x) || c->of == x->ticket.id)
		return 0;
	if (!c->is_mixed_reading && c->image != NULL && image_reads_as(c->image, x->image))
		return 0;
	c->is_mixed_reading = false;
	server_statements_outdate(&srv->statements); /* else PostgreSQL reads their literals anew */
	r = session_run(x, &b, "DISCARD PLANS", OWED_TO_IMAGE, NULL);
	if (r == 0) {
		message_sync(&b);
		r = server_owe_sync(srv, OWED_TO_IMAGE);
	}
	if (r == 0 && buf_ok(&b))
		outbox_copy(&x->env->to_server, b.bytes, b.len);
	else
		r = -1;
	buf_fini(&b);
	return r;
}

int
session_meets_compiled(struct exchange *x)
{
	x->srv->loan.is_unsuited = exchange_is_followed(x) && !pool_entry_suits(x->srv, &x->ticket);
	return renew_plans(x);
}
