/*
 * src/state/context.c - which clients may share a prepared statement with the same SQL.
 *
 * PostgreSQL reads literals when it parses: '01/02/2020' under DateStyle, '12:00' under TimeZone, 'a\\b' under
 * standard_conforming_strings. SQL with literals is shared only by clients that agree in these settings. What 'now' or
 * 'today' means is decided at the Parse, too, and which columns EXECUTE and FETCH have: such SQL is not shared. The
 * role (role, session_authorization) decides what may be looked up and computed at the Parse: it matters for all SQL,
 * as do settings that make other constants when PostgreSQL plans (image_plans_otherwise).
 * Nothing is shared within a transaction that sets anything of this kind; nor is SQL with literals that follows
 * anything that may have run the database's code, if that may set settings: pgweir can't see what it sets. (PostgreSQL
 * 15 crashes at a Describe of a FETCH if its cursor existed at the Parse and does not exist any more.)
 */
#include "state/state_state.h"
#include "state/state.h"

#include "sql/signal_text.h"
#include "sql/sql_token.h"

#include <stdio.h>
#include <string.h>

/* What its requests have set, and those that are under way may set. */
static bool
is_setting(const struct exchange *x)
{
	const struct client_session *s = x->session;

	if (x->srv == NULL)
		return false;
	if (x->srv->loan.has_local_settings || (x->srv->loan.suspicion & SCAN_SETTING) != 0)
		return true;
	for (unsigned i = 0; s != NULL && i < s->effect_count; i++)
		if (s->effects[i].kind <= EFFECT_RESET_ALL)
			return true;
	return false;
}

bool
session_is_in_flux(const struct exchange *x)
{
	return x->srv != NULL && (is_setting(x) || (x->session != NULL && (x->session->parts & STATE_SETTINGS) != 0));
}

bool
session_knows_reading(const struct exchange *x, const struct sql_verdict *v)
{
	bool is_told_all = x->srv == NULL || x->srv->ledger.count == 0;

	return (v->hints & (VERDICT_LITERALS | VERDICT_NULL)) != 0 && (is_told_all || !is_setting(x));
}

bool
session_reads_as(const struct exchange *x, const struct image *reading)
{
	return image_reading(x->image) == reading && !session_is_in_flux(x) && !x->srv->loan.has_run_code;
}

bool
session_acts_as_image(const struct exchange *x)
{
	return exchange_is_followed(x) && x->srv != NULL && !session_is_in_flux(x) && !x->srv->loan.has_run_code &&
	       (x->srv->loan.suspicion & SCAN_ANY_SETTING) == 0;
}

/*
 * Returns true for SET LOCAL of a setting that matters, or SESSION AUTHORIZATION, TIME ZONE or XML OPTION. *path is set
 * for one that functions are compiled under.
 */
static bool
sets_locally(const char *sql, size_t len, bool *path)
{
	bool is_found = false;
	struct sql_lexer lexer;
	struct sql_token t, before = { 0 };
	char name[64];

	sql_lexer_init(&lexer, sql, len);
	for (t = sql_next(&lexer); t.kind != SQL_END && t.kind != SQL_UNTERMINATED; t = sql_next(&lexer)) {
		if (!sql_is_word(&before, "set", 3) || !sql_is_word(&t, "local", 5)) {
			before = t;
			continue;
		}
		before = t = sql_next(&lexer);
		snprintf(name, sizeof(name), "%.*s", (int)(t.len < sizeof(name) ? t.len : 0), t.at);
		if (t.kind == SQL_QUOTED || image_is_of_context(name) || sql_is_word(&t, "session", 7) ||
		    sql_is_word(&t, "time", 4) || sql_is_word(&t, "xml", 3))
			is_found = true;
		if (t.kind == SQL_QUOTED || image_is_of_compiling(name) || sql_is_word(&t, "session", 7) ||
		    sql_is_word(&t, "schema", 6) || sql_is_word(&t, "plpgsql", 7))
			*path = true;
	}
	return is_found;
}

void
session_note_local(struct exchange *x, const struct request *m)
{
	const char *sql = m->sql;
	size_t len = m->sql_len;

	if (m->statement != NULL) {
		sql = (const char *)m->statement->bytes;
		len = m->statement->query_len;
	}
	if (request_has(m, 0, SCAN_HINT_LOCAL) && sql != NULL && sets_locally(sql, len, &x->srv->loan.has_changed_path))
		x->srv->loan.has_local_settings = true;
}

/* What runs next may be code of the database that sets, unseen, what parsing depends on: its SQL is worth a look. */
static bool
may_set_unseen(const struct exchange *x)
{
	const struct loan *l = &x->srv->loan;

	return !l->has_run_code && exchange_is_followed(x) &&
	       (l->has_changed_code || (pool_entry_code_parts(x->entry, *x->env->now_us) & STATE_SETTINGS) != 0);
}

/* BEGIN and SET run no code, nor do PostgreSQL's own functions that signal. */
static bool
runs_code(const struct exchange *x, enum sql_word first, const char *sql, size_t len)
{
	struct known_text text;

	if (first == WORD_SELECT && signal_text_read(sql, len) != SIGNAL_TEXT_NOT)
		return false;
	if ((first != WORD_BEGIN && first != WORD_START_TRANSACTION && first != WORD_SET) ||
	    !known_parse(&text, image_scan_options(x->image), sql, len) || !text.is_all)
		return true;
	for (unsigned i = 0; i < text.count; i++)
		if (text.statements[i].kind != KNOWN_BEGIN && text.statements[i].kind != KNOWN_SET &&
		    text.statements[i].kind != KNOWN_LOCAL)
			return true;
	return false;
}

inline void
session_note_run(struct exchange *x, enum sql_word first, const char *sql, size_t len)
{
	x->srv->loan.has_run = true;
	if (may_set_unseen(x))
		x->srv->loan.has_run_code = runs_code(x, first, sql, len);
	if (session_may_compile(x))
		x->srv->loan.has_called = session_calls_functions(x, sql, len);
}

__attribute__((noinline)) static bool
statement_runs_code(const struct exchange *x, struct statement *st)
{
	return st == NULL ||
	       runs_code(x, (enum sql_word)statement_verdict(st)->first, (const char *)st->bytes, st->query_len);
}

inline void
session_note_run_of(struct exchange *x, struct statement *st)
{
	x->srv->loan.has_run = true;
	if (may_set_unseen(x))
		x->srv->loan.has_run_code = statement_runs_code(x, st);
	if (session_may_compile(x))
		x->srv->loan.has_called =
		    st == NULL || session_calls_functions(x, (const char *)st->bytes, st->query_len);
}

/* EXECUTE and FETCH: which columns they have is decided when they are parsed. */
static bool
depends_on_session(const struct sql_verdict *v)
{
	return (v->flags & SCAN_EXECUTE) != 0 || v->first == WORD_FETCH;
}

bool
session_statement_context(const struct exchange *x, const struct sql_verdict *v, uint32_t *context)
{
	*context = 0;
	if (session_is_in_flux(x) || depends_on_session(v))
		return false;
	if (x->srv != NULL && x->srv->loan.has_run_code && (v->hints & (VERDICT_LITERALS | VERDICT_NULL)) != 0)
		return false;
	if ((v->hints & VERDICT_LITERALS) == 0 && !image_plans_otherwise(x->image))
		return true;
	*context = image_context(x->image);
	return *context != IMAGE_CONTEXT_NONE && (v->hints & VERDICT_MOMENT) == 0;
}
