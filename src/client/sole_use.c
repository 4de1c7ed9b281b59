/*
 * src/client/sole_use.c - DROP DATABASE, CREATE DATABASE ... TEMPLATE, ALTER DATABASE ... RENAME: statements PostgreSQL
 * runs only while nobody else is connected to that database. Our idle servers there must not be in the way.
 *
 * PostgreSQL waits 5 s for others to leave, and refuses at once who may not do it. So the statement is sent, and if it
 * still runs LOOK_AFTER_US later, its database is held (pool_hold.c) until it is answered: servers are closed for those
 * only who have the right to have them closed. What runs must be that statement for certain: a simple Query that is
 * nothing else; or the only Execute under way, outside of a transaction, where nothing but that statement was bound.
 */
#include "client/client.h"

#include "base/clock.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LOOK_AFTER_US 20000u
#define LOOKS_MAX 250u
#define NAME_MAX_LEN 63 /* bytes; PostgreSQL's NAMEDATALEN - 1, and what statements may be called to be followed */

struct sole_use {
	struct client *c;
	struct event *timer;
	char database[NAME_MAX_LEN + 1];
	char statement[NAME_MAX_LEN + 1]; /* prepared under this name */
	uint32_t looks;
	bool is_simple, is_holding;
	bool is_bound, is_other; /* in this request: it was bound; something else was prepared or bound */
};

/* --- which database --- */

struct word {
	char kind; /* 'w' a word, folded; 'q' quoted; 0 the end; else the character */
	char text[NAME_MAX_LEN + 1]; /* cut, as PostgreSQL does */
};

static const char *
skip_blank(const char *p, const char *end)
{
	while (p < end) {
		if (isspace((unsigned char)*p))
			p++;
		else if (end - p > 1 && p[0] == '-' && p[1] == '-')
			while (p < end && *p != '\n')
				p++;
		else if (end - p > 1 && p[0] == '/' && p[1] == '*') {
			unsigned depth = 1;

			for (p += 2; p < end && depth > 0; p++)
				if (end - p > 1 && p[0] == '/' && p[1] == '*')
					depth++, p++;
				else if (end - p > 1 && p[0] == '*' && p[1] == '/')
					depth--, p++;
		} else
			break;
	}
	return p;
}

static bool
is_word_char(char ch)
{
	return isalnum((unsigned char)ch) || ch == '_' || ch == '$' || (unsigned char)ch >= 0x80;
}

static const char *
next_word(const char *p, const char *end, struct word *w)
{
	size_t len = 0;

	p = skip_blank(p, end);
	w->kind = p < end ? *p : '\0';
	if (w->kind == '"' || w->kind == '\'') {
		char quote = *p++;

		w->kind = 'q';
		for (; p < end && (*p != quote || (end - p > 1 && p[1] == quote)); p++) {
			p += *p == quote;
			if (len < NAME_MAX_LEN)
				w->text[len++] = *p;
		}
		p += p < end;
	} else if (p < end && is_word_char(*p)) {
		w->kind = 'w';
		for (; p < end && is_word_char(*p); p++)
			if (len < NAME_MAX_LEN)
				w->text[len++] = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
	} else
		p += p < end;
	w->text[len] = '\0';
	return p;
}

static bool
is_word(const struct word *w, const char *text)
{
	return w->kind == 'w' && strcmp(w->text, text) == 0;
}

/* The word behind the last of these; NULL if they do not stand there. */
static const char *
expect(const char *p, const char *end, const char *first, const char *second)
{
	struct word w;

	p = next_word(p, end, &w);
	if (!is_word(&w, first))
		return NULL;
	p = next_word(p, end, &w);
	return is_word(&w, second) ? p : NULL;
}

/* TEMPLATE's name among the options; template1 if it is not there. False: more than one statement. */
static bool
find_template(const char *p, const char *end, char *name)
{
	struct word w;

	strcpy(name, "template1");
	while ((p = next_word(p, end, &w)), w.kind != '\0') {
		if (w.kind == ';')
			return skip_blank(p, end) == end;
		if (!is_word(&w, "template"))
			continue;
		p = next_word(p, end, &w);
		if (w.kind == '=')
			p = next_word(p, end, &w);
		if (w.kind != 'w' && w.kind != 'q')
			return false;
		if (!is_word(&w, "default"))
			strcpy(name, w.text);
	}
	return true;
}

/* Nothing but the rest of one statement. */
static bool
is_last(const char *p, const char *end)
{
	struct word w;

	do
		p = next_word(p, end, &w);
	while (w.kind != '\0' && w.kind != ';');
	return skip_blank(p, end) == end;
}

static bool
parse_database(const char *p, const char *end, char *name)
{
	struct word verb, w;
	const char *after;

	p = next_word(p, end, &verb);
	p = next_word(p, end, &w);
	if (!is_word(&w, "database"))
		return false;
	if (is_word(&verb, "drop") && (after = expect(p, end, "if", "exists")) != NULL)
		p = after;
	p = next_word(p, end, &w);
	if (w.kind != 'w' && w.kind != 'q')
		return false;
	if (is_word(&verb, "create"))
		return find_template(p, end, name);
	strcpy(name, w.text);
	if (is_word(&verb, "alter"))
		return (p = expect(p, end, "rename", "to")) != NULL && is_last(p, end);
	return is_word(&verb, "drop") && is_last(p, end);
}

/* Nearly all texts end here at their first letter or two. */
static bool
is_candidate(const char *p, const char *end)
{
	p = skip_blank(p, end);
	return end - p > 14 &&
	       (strncasecmp(p, "dr", 2) == 0 || strncasecmp(p, "cr", 2) == 0 || strncasecmp(p, "al", 2) == 0);
}

/* --- while it runs --- */

void
sole_use_forget(struct client *c)
{
	struct sole_use *s = c->sole_use;

	if (s == NULL)
		return;
	if (s->is_holding)
		pool_set_release_database(c->env->pools, c->id, *c->env->now_us);
	event_free(s->timer);
	free(s);
	c->sole_use = NULL;
}

/* One Execute, and the Sync behind it, are all that takes time: PostgreSQL keeps its answers to what stands before. */
static bool
is_one_execute(const struct ledger *l)
{
	uint32_t executes = 0;

	for (uint32_t i = 0; i < l->count; i++) {
		const struct owed *o = &l->ring[(l->head + i) & (l->cap - 1)];

		if (o->to != OWED_TO_CLIENT && o->to != OWED_TO_STATEMENT)
			return false;
		executes += o->kind == OWED_EXECUTE;
		if (o->kind == OWED_QUERY || o->kind == OWED_FUNCTION || (o->kind == OWED_SYNC && i + 1 < l->count))
			return false;
	}
	return executes == 1;
}

/* Does PostgreSQL work on it now, and for certain on nothing else? */
static bool
is_running(const struct sole_use *s)
{
	const struct server *srv = s->c->srv;
	const struct owed *o = srv == NULL ? NULL : ledger_head(&srv->ledger);

	if (o == NULL || srv->tx != 'I')
		return false;
	if (s->is_simple)
		return o->kind == OWED_QUERY && o->to == OWED_TO_CLIENT && srv->ledger.count == 1;
	return s->is_bound && !s->is_other && is_one_execute(&srv->ledger);
}

static void
look_later(struct sole_use *s)
{
	struct timeval tv = { 0, LOOK_AFTER_US };

	event_add(s->timer, &tv);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct sole_use *s = arg;
	struct client *c = s->c;

	(void)fd;
	(void)what;
	*c->env->now_us = clock_now_us();
	if (!is_running(s)) {
		if (s->looks++ < LOOKS_MAX)
			look_later(s);
		return;
	}
	log_info(c->env->log, "client %llu: idle connections to \"%s\" are closed for a statement that needs it alone",
		 (unsigned long long)c->id, s->database);
	s->is_holding = true;
	pool_set_hold_database(c->entry, s->database, c->id, *c->env->now_us);
}

static struct sole_use *
note(struct client *c, const char *sql, size_t len)
{
	char database[NAME_MAX_LEN + 1];
	struct sole_use *s;

	if (!is_candidate(sql, sql + len) || !parse_database(sql, sql + len, database))
		return NULL;
	sole_use_forget(c);
	s = calloc(1, sizeof(*s));
	if (s == NULL || (s->timer = event_new(c->env->base, -1, 0, on_timer, s)) == NULL) {
		free(s);
		return NULL; /* then it may fail as it would beside any other pooler */
	}
	s->c = c;
	strcpy(s->database, database);
	c->sole_use = s;
	return s;
}

void
sole_use_query(struct client *c, const char *sql, size_t len)
{
	struct sole_use *s = note(c, sql, len);

	if (s == NULL)
		return;
	s->is_simple = true;
	look_later(s);
}

void
sole_use_parse(struct client *c, const char *name, const char *sql, size_t len)
{
	struct sole_use *s = strlen(name) <= NAME_MAX_LEN ? note(c, sql, len) : NULL;

	if (s != NULL) {
		strcpy(s->statement, name);
		s->is_other = !c->srv->is_synced; /* nobody looked at what stands before it in this request */
		return;
	}
	s = c->sole_use;
	if (s == NULL || s->is_simple)
		return;
	if (strcmp(name, s->statement) == 0)
		sole_use_forget(c); /* the name is another statement's now */
	else
		s->is_other = true;
}

void
sole_use_bind(struct client *c, const char *name)
{
	struct sole_use *s = c->sole_use;

	if (s->is_simple)
		return;
	if (strcmp(name, s->statement) != 0) {
		s->is_other = true;
		return;
	}
	s->is_bound = true;
	s->looks = 0;
	look_later(s);
}

void
sole_use_request_done(struct client *c, const struct owed *ended)
{
	struct sole_use *s = c->sole_use;

	/* Behind any other simple Query its name may be another statement's: SQL's PREPARE in session mode. */
	if (s->is_simple || s->is_holding || ended->kind != OWED_SYNC) {
		sole_use_forget(c);
		return;
	}
	/* It was only prepared, so far; or was done in no time, but may be run again. */
	s->is_bound = s->is_other = false;
	event_del(s->timer);
}
