/*
 * src/state/context.c - which clients may share a prepared statement with the same SQL.
 *
 * PostgreSQL reads literals when it parses: '01/02/2020' under DateStyle, '12:00' under TimeZone, 'a\\b' under
 * standard_conforming_strings. SQL with literals is shared only by clients that agree in these settings. What 'now' or
 * 'today' means is decided at the Parse, too, and which columns EXECUTE and FETCH have: such SQL is not shared. The
 * role (role, session_authorization) decides what may be looked up and computed at the Parse: it matters for all SQL.
 * Nothing is shared within a transaction that sets anything of this kind; nor is SQL with literals that follows
 * anything that may have run the database's code, if that may set settings: pgweir can't see what it sets. (PostgreSQL
 * 15 crashes at a Describe of a FETCH if its cursor existed at the Parse and does not exist any more.)
 */
#include "state/state_state.h"
#include "state/state.h"
#include "base/mentions.h"

#include "sql/sql_token.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Returns true for quoted and dollar-quoted literals; $1 is a parameter. */
static bool
has_literal(const char *sql, size_t len)
{
	const char *end = sql + len;

	if (memchr(sql, '\'', len) != NULL)
		return true;
	while ((sql = memchr(sql, '$', (size_t)(end - sql))) != NULL)
		if (++sql < end && !isdigit((unsigned char)*sql))
			return true;
	return false;
}

/* Input of date and time types that stands for the time at which it is read. */
static bool
names_moment(const char *sql, size_t len)
{
	static const char *const words[] = { "now", "today", "tomorrow", "yesterday" };
	const char *end = sql + len;

	while ((sql = memchr(sql, '\'', (size_t)(end - sql))) != NULL) {
		for (sql++; sql < end && isspace((unsigned char)*sql); sql++)
			;
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if ((size_t)(end - sql) >= strlen(words[i]) &&
			    strncasecmp(sql, words[i], strlen(words[i])) == 0)
				return true;
		if (sql == end)
			return false;
	}
	return false;
}

/* Finds the first word of the SQL, behind white space; a comment counts as a word. */
static bool
may_execute(const char *sql, size_t len)
{
	while (len > 0 && isspace((unsigned char)*sql)) {
		sql++;
		len--;
	}
	return len > 0 && memchr("eEcC/-;(", *sql, 8) != NULL;
}

static bool
executes(const struct exchange *x, const char *sql, size_t len)
{
	struct scan scan;

	return may_execute(sql, len) && (scan_text(&scan, image_scan_options(x->image), sql, len) & SCAN_EXECUTE) != 0;
}

static bool
fetches(const char *sql, size_t len)
{
	struct sql_lexer lexer;
	struct sql_token token;

	sql_lexer_init(&lexer, sql, len);
	do
		token = sql_next(&lexer);
	while (token.kind == SQL_PUNCT && *token.at == ';');
	return sql_is_word(&token, "fetch", 5);
}

/* x = NULL, with or without parentheses: transform_null_equals turns it into IS NULL. */
static bool
compares_with_null(const char *sql, size_t len)
{
	struct sql_lexer lexer;
	struct sql_token t, before = { 0 };

	sql_lexer_init(&lexer, sql, len);
	for (t = sql_next(&lexer); t.kind != SQL_END && t.kind != SQL_UNTERMINATED; t = sql_next(&lexer)) {
		const struct sql_token *other = sql_is_word(&t, "null", 4)	  ? &before
						: sql_is_word(&before, "null", 4) ? &t
										  : NULL;

		if (other != NULL && other->kind == SQL_OPERATOR && other->len == 1 && *other->at == '=')
			return true;
		if (t.kind != SQL_PUNCT || (*t.at != '(' && *t.at != ')'))
			before = t;
	}
	return false;
}

static bool
acts_as_another(const struct image *img)
{
	return image_get(img, "role") != NULL || image_get(img, "session_authorization") != NULL ||
	       image_get(img, "row_security") != NULL || image_get(img, "transform_null_equals") != NULL ||
	       image_cuts_floats(img);
}

bool
session_is_in_flux(const struct exchange *x)
{
	const struct client_session *s = x->session;

	if (x->srv == NULL)
		return false;
	if (x->srv->loan.has_local_settings || (x->srv->loan.suspicion & SCAN_SETTING) != 0)
		return true;
	if (s != NULL && (s->parts & STATE_SETTINGS) != 0)
		return true;
	for (unsigned i = 0; s != NULL && i < s->effect_count; i++)
		if (s->effects[i].kind <= EFFECT_RESET_ALL)
			return true;
	return false;
}

bool
session_reads_as(const struct exchange *x, const struct image *reading)
{
	return image_reading(x->image) == reading && !session_is_in_flux(x) && !x->srv->loan.has_run_code;
}

static bool
has_word(struct sql_lexer *lexer, const char *word, size_t word_len)
{
	struct sql_token t;

	do
		t = sql_next(lexer);
	while (t.kind != SQL_END && t.kind != SQL_UNTERMINATED && !sql_is_word(&t, word, word_len));
	return sql_is_word(&t, word, word_len);
}

bool
session_is_read_when_parsed(const char *sql, size_t len)
{
	static const char *const words[] = { "select", "insert", "update", "delete",  "merge",	"values",
					     "with",   "table",	 "call",   "explain", "declare" };
	struct sql_lexer lexer;
	struct sql_token t;

	if (memchr(sql, '\\', len) != NULL)
		return true;
	sql_lexer_init(&lexer, sql, len);
	do
		t = sql_next(&lexer);
	while (t.kind == SQL_PUNCT && (*t.at == ';' || *t.at == '('));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (sql_is_word(&t, words[i], strlen(words[i])))
			return true;
	return sql_is_word(&t, "create", 6) && has_word(&lexer, "as", 2); /* CREATE TABLE AS */
}

/* A statement of this SQL may begin with SET: the first one, or one behind a semicolon. */
static bool
may_set(const char *sql, size_t len)
{
	size_t at = 0;

	while (at < len && isspace((unsigned char)sql[at]))
		at++;
	return len - at > 8 &&
	       (memchr(sql + at, ';', len - at) != NULL || memchr("-/", sql[at], 2) != NULL ||
		((sql[at] | 0x20) == 's' && (sql[at + 1] | 0x20) == 'e' && (sql[at + 2] | 0x20) == 't'));
}

/* Returns true for SET LOCAL of a setting that matters, or SESSION AUTHORIZATION, TIME ZONE or XML OPTION. */
static bool
sets_locally(const char *sql, size_t len)
{
	struct sql_lexer lexer;
	struct sql_token t, before = { 0 };
	char name[64];

	if (!may_set(sql, len) || !text_mentions(sql, len, "local"))
		return false;
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
			return true;
	}
	return false;
}

void
session_note_local(struct exchange *x, const char *sql, size_t len)
{
	if (sets_locally(sql, len))
		x->srv->loan.has_local_settings = true;
}

void
session_note_local_of(struct exchange *x, struct statement *st)
{
	if (st == NULL)
		return;
	if (st->sets_locally == STATEMENT_UNKNOWN)
		st->sets_locally =
		    sets_locally((const char *)st->bytes, st->query_len) ? STATEMENT_DOES : STATEMENT_DOES_NOT;
	if (st->sets_locally == STATEMENT_DOES)
		x->srv->loan.has_local_settings = true;
}

bool
session_may_set_unseen(const struct exchange *x)
{
	const struct loan *l = &x->srv->loan;

	return !l->has_run_code && session_is_followed(x) &&
	       (l->has_changed_code || (pool_entry_code_parts(x->entry, *x->env->now_us) & STATE_SETTINGS) != 0);
}

/* BEGIN and SET run no code. */
static bool
runs_code(const struct exchange *x, const char *sql, size_t len)
{
	struct known_text text;

	if (sql == NULL || !known_parse(&text, image_scan_options(x->image), sql, len) || !text.is_all)
		return true;
	for (unsigned i = 0; i < text.count; i++)
		if (text.statements[i].kind != KNOWN_BEGIN && text.statements[i].kind != KNOWN_SET &&
		    text.statements[i].kind != KNOWN_LOCAL)
			return true;
	return false;
}

void
session_note_run(struct exchange *x, const char *sql, size_t len)
{
	x->srv->loan.has_run = true;
	if (session_may_set_unseen(x))
		x->srv->loan.has_run_code = runs_code(x, sql, len);
}

bool
session_statement_context(const struct exchange *x, const char *sql, size_t len, uint32_t *context)
{
	*context = 0;
	if (session_is_in_flux(x) || executes(x, sql, len) || fetches(sql, len))
		return false;
	if (x->srv != NULL && x->srv->loan.has_run_code && (has_literal(sql, len) || compares_with_null(sql, len)))
		return false;
	if (!has_literal(sql, len) && !acts_as_another(x->image))
		return true;
	*context = image_context(x->image);
	return *context != IMAGE_CONTEXT_NONE && !names_moment(sql, len);
}
