/*
 * src/relay/exclusive.c - DROP DATABASE, CREATE DATABASE ... TEMPLATE, ALTER DATABASE ... RENAME: PostgreSQL runs these
 * only while nobody else is connected to that database, so pgweir's idle servers there must not be in the way.
 *
 * PostgreSQL waits 5 s for others to leave. So the statement is sent, and if it still runs LOOK_AFTER_US later, its
 * database is held (pool_hold.c) until it is answered. This happens only if the statement is certainly the one that
 * runs: it is a simple Query of its own; or it is the only Execute under way, outside of a transaction, in a request
 * that bound nothing else.
 *
 * Servers are closed only for a role that has the right to the statement. That a statement still runs does not prove
 * this: PostgreSQL locks the database before it checks rights, and may wait for that lock. So the catalog is asked
 * ahead of the statement, on the same server connection and as the same role. A role without the right causes a
 * division by zero there, which nobody is sent. If the question would become part of a transaction of the client's, it
 * is not asked, and nothing is held.
 */
#include "exchange/exchange.h"
#include "relay/exclusive.h"

#include "base/text.h"
#include "base/clock.h"
#include "net/loop.h"
#include "sql/known.h"
#include "wire/messages.h"
#include "server/server_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_AFTER_US 20000u
#define LOOKS_MAX 250u
#define STATEMENT_NAME_LEN 63 /* bytes; one with a longer name is not followed */

/* Whether the role has the right to the statement: asked once in a request. */
enum exclusive_right { RIGHT_NOT_ASKED, RIGHT_ASKED, RIGHT_PROVED };
/* The statements that this request has bound, or prepared otherwise. */
enum exclusive_bound { BOUND_NOTHING, BOUND_IT_ALONE, BOUND_OTHERS };

struct exclusive {
	struct exchange *x;
	struct event *timer;
	char database[KNOWN_NAME_MAX];
	uint64_t token; /* identifies the question that was asked last */
	char statement[STATEMENT_NAME_LEN + 1]; /* prepared under this name */
	uint32_t looks;
	uint8_t right, bound; /* in this request: enum exclusive_right, enum exclusive_bound */
	bool is_simple; /* a Query; set by exclusive_query(), cleared by exclusive_parse() */
	bool is_holding; /* the database's idle servers were closed for it; set by on_timer(), never cleared */
	bool is_template; /* of a CREATE DATABASE: others than its owner may copy it; set by note(), never cleared */
};

/*
 * Returns what kind of exclusive statement the SQL is, and writes its database; KNOWN_NOT: none, or there is more than
 * that one statement.
 */
static enum known_kind
read_database(const struct exchange *x, struct request *m, char database[static KNOWN_NAME_MAX])
{
	const struct known *k;

	if (!request_has(m, SCAN_DATABASE, 0))
		return KNOWN_NOT;
	k = request_only(x, m);
	switch ((enum known_kind)k->kind) {
	case KNOWN_DROP_DATABASE:
	case KNOWN_RENAME_DATABASE:
		snprintf(database, KNOWN_NAME_MAX, "%s", k->name);
		break;
	case KNOWN_CREATE_DATABASE: /* PostgreSQL cuts names, too */
		snprintf(database, KNOWN_NAME_MAX, "%.63s", k->value[0] != '\0' ? k->value : "template1");
		break;
	default:
		return KNOWN_NOT;
	}
	return (enum known_kind)k->kind;
}

/* --- does the role have the right? --- */

#define QUESTION_NAME "pgweir_may" /* not the unnamed statement: that is the client's */
#define OWNER                                                                                                          \
	MESSAGE_OURS                                                                                                   \
	"SELECT 1 OPERATOR(pg_catalog./) pg_catalog.count(*) FROM pg_catalog.pg_database d, pg_catalog.pg_roles r"     \
	" WHERE d.datname OPERATOR(pg_catalog.=) $1 AND r.rolname OPERATOR(pg_catalog.=) current_user"                 \
	" AND (r.rolsuper OR pg_catalog.pg_has_role(d.datdba, 'USAGE')"

static void
put_question(const struct exclusive *s, struct buf *b)
{
	static const char owner[] = OWNER ")\0\0", creator[] = OWNER " OR d.datistemplate AND r.rolcreatedb)\0\0";
	const char *database = s->database;

	message_parse(b, QUESTION_NAME, s->is_template ? creator : owner,
		      s->is_template ? sizeof(creator) : sizeof(owner));
	message_bind_text(b, QUESTION_NAME, &database, 1);
	message_execute(b);
	message_sync(b);
	message_close_statement(b, QUESTION_NAME);
	message_sync(b);
}

/* Returns true if nothing that the client has sent is under way, and no transaction of its is open. */
static bool
is_alone(const struct server *srv)
{
	const struct ledger *l = &srv->ledger;

	for (uint32_t i = 0; i < l->count; i++) {
		const struct owed *o = ledger_at(l, i);

		if (o->to == OWED_TO_CLIENT || o->to == OWED_TO_STATEMENT)
			return false;
	}
	return srv->tx == 'I' && srv->is_synced;
}

/*
 * Sends the question ahead of the statement; once in a request, since a message that is held comes here again.
 */
static enum feature_step
exclusive_ask(struct exclusive *s)
{
	struct exchange *x = s->x;
	struct server *srv = x->srv;
	struct buf b = { 0 };

	if (s->right != RIGHT_NOT_ASKED || !is_alone(srv))
		return STEP_FORWARD;
	s->right = RIGHT_ASKED;
	s->token = ++x->env->last_token;
	put_question(s, &b);
	ledger_push_run(&srv->ledger, OWED_TO_FEATURE, (void *)(uintptr_t)s->token);
	server_owe_sync(srv, OWED_TO_FEATURE);
	ledger_push(&srv->ledger, OWED_CLOSE, OWED_TO_FEATURE, NULL);
	server_owe_sync(srv, OWED_TO_FEATURE);
	outbox_put(&x->env->to_server, &b);
	return STEP_FORWARD;
}

void
exclusive_settled(struct exchange *x, const struct owed *o, enum owed_end how)
{
	struct exclusive *s = exchange_exclusive(x);

	if (s != NULL && (uintptr_t)o->ref == (uintptr_t)s->token)
		s->right = how == OWED_ANSWERED ? RIGHT_PROVED : RIGHT_ASKED;
}

/* --- while it runs --- */

void
exclusive_free(struct exchange *x)
{
	struct exclusive *s = exchange_exclusive(x);

	if (s == NULL)
		return;
	if (s->is_holding)
		x->env->on_exclusive(x->env->owner, x, NULL);
	event_free(s->timer);
	free(s);
	x->rare->exclusive = NULL;
}

/*
 * Returns true if one Execute and the Sync behind it are all that can take time. PostgreSQL holds back its replies to
 * the messages before, so these may still be in the ledger.
 */
static bool
is_one_execute(const struct ledger *l)
{
	uint32_t executes = 0;

	for (uint32_t i = 0; i < l->count; i++) {
		const struct owed *o = ledger_at(l, i);

		if (o->to != OWED_TO_CLIENT && o->to != OWED_TO_STATEMENT)
			return false;
		executes += o->kind == OWED_EXECUTE;
		if (o->kind == OWED_QUERY || o->kind == OWED_FUNCTION || (o->kind == OWED_SYNC && i + 1 < l->count))
			return false;
	}
	return executes == 1;
}

/* Returns true if PostgreSQL works on the statement now, and certainly on nothing else. */
static bool
is_running(const struct exclusive *s)
{
	const struct server *srv = s->x->srv;
	const struct owed *o = srv == NULL ? NULL : ledger_head(&srv->ledger);

	if (o == NULL || srv->tx != 'I')
		return false;
	if (s->is_simple)
		return o->kind == OWED_QUERY && o->to == OWED_TO_CLIENT && srv->ledger.count == 1;
	return s->bound == BOUND_IT_ALONE && is_one_execute(&srv->ledger);
}

static void
look_later(struct exclusive *s)
{
	timer_start(s->timer, LOOK_AFTER_US);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct exclusive *s = arg;
	struct exchange *x = s->x;
	unsigned held;

	(void)fd;
	(void)what;
	*x->env->now_us = clock_now_us();
	if (!is_running(s)) {
		if (s->looks++ < LOOKS_MAX)
			look_later(s);
		return;
	}
	if (s->right != RIGHT_PROVED)
		return;
	held = x->env->on_exclusive(x->env->owner, x, s->database);
	s->is_holding = s->is_holding || (held & POOLS_HELD) != 0;
	if ((held & POOLS_HELD_LATER) != 0 && s->looks++ < LOOKS_MAX)
		look_later(s);
}

static struct exclusive *
note(struct exchange *x, struct request *m)
{
	char database[KNOWN_NAME_MAX];
	enum known_kind kind = read_database(x, m, database);
	struct exclusive *s;

	if (kind == KNOWN_NOT)
		return NULL;
	s = exchange_exclusive(x);
	if (s != NULL && s->right != RIGHT_NOT_ASKED && !s->is_holding &&
	    s->is_template == (kind == KNOWN_CREATE_DATABASE) && strcmp(s->database, database) == 0)
		return s;
	exclusive_free(x);
	s = exchange_rare(x) == NULL ? NULL : calloc(1, sizeof(*s));
	if (s == NULL || (s->timer = event_new(x->env->base, -1, 0, on_timer, s)) == NULL) {
		free(s);
		return NULL; /* the statement may fail, as it would with any other pooler */
	}
	s->x = x;
	s->is_template = kind == KNOWN_CREATE_DATABASE;
	memcpy(s->database, database, sizeof(s->database));
	x->rare->exclusive = s;
	return s;
}

enum feature_step
exclusive_query(struct exchange *x, struct request *m)
{
	struct exclusive *s = note(x, m);

	if (s == NULL)
		return STEP_FORWARD;
	s->is_simple = true;
	look_later(s);
	return exclusive_ask(s);
}

enum feature_step
exclusive_parse(struct exchange *x, struct request *m)
{
	const char *name = m->parse.name;
	struct exclusive *s = strlen(name) <= STATEMENT_NAME_LEN ? note(x, m) : NULL;

	if (s != NULL && copy_string(s->statement, sizeof(s->statement), name)) {
		s->is_simple = false;
		/* The messages before it in this request were not examined. */
		s->bound = x->srv->is_synced ? BOUND_NOTHING : BOUND_OTHERS;
		return exclusive_ask(s);
	}
	s = exchange_exclusive(x);
	if (s == NULL || s->is_simple)
		return STEP_FORWARD;
	if (strcmp(name, s->statement) == 0)
		exclusive_free(x); /* the name is another statement's now */
	else
		s->bound = BOUND_OTHERS;
	return STEP_FORWARD;
}

enum feature_step
exclusive_bind(struct exchange *x, struct request *m)
{
	struct exclusive *s = exchange_exclusive(x);

	if (s == NULL || s->is_simple)
		return STEP_FORWARD;
	if (strcmp(m->names.statement, s->statement) != 0) {
		s->bound = BOUND_OTHERS;
		return STEP_FORWARD;
	}
	if (s->bound == BOUND_NOTHING)
		s->bound = BOUND_IT_ALONE;
	s->looks = 0;
	look_later(s);
	return exclusive_ask(s);
}

void
exclusive_request_done(struct exchange *x, const struct owed *ended)
{
	struct exclusive *s = exchange_exclusive(x);

	/* Any other simple Query may have given the name to another statement: by SQL PREPARE, in session mode. */
	if (s->is_simple || s->is_holding || ended->kind != OWED_SYNC) {
		exclusive_free(x);
		return;
	}
	/* The statement was only prepared so far, or it ended quickly; it may be run again. */
	s->right = RIGHT_NOT_ASKED;
	s->bound = BOUND_NOTHING;
	event_del(s->timer);
}
