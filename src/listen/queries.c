/*
 * src/listen/queries.c - finds messages that are a LISTEN or UNLISTEN, and makes the messages sent in their place; see
 * listen.h.
 *
 * A LISTEN is sent as an UNLISTEN, so the tag of the server's reply does not show which of the two it answers; nor does
 * the tag ROLLBACK show a ROLLBACK TO. So for each statement that matters to x->listen, a struct listen_effect records
 * what the client has sent. The first effect of the present request tells which statement such a tag is for.
 *
 * A LISTEN within a savepoint is sent unchanged to the borrowed server, and the client keeps that server. So PostgreSQL
 * itself undoes the LISTEN when the savepoint is rolled back.
 */
#include "listen/listen_state.h"
#include "sql/traits.h"
#include "wire/fields.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>

/* bytes of a LISTEN. A longer LISTEN is sent unchanged; the probe finds it (seal/probe.c), and pins the client */
#define LISTEN_SQL_MAX 4096u

/* Unless the intake is INTAKE_ALL, the server ignores a message or takes it for COPY data, so no LISTEN is run. */
bool
listen_passes_unchanged(const struct exchange *x)
{
	return !exchange_is_relayed(x) || !exchange_is_followed(x) ||
	       (x->srv != NULL && x->srv->ledger.intake != INTAKE_ALL);
}

bool
listen_is_in_savepoint(const struct exchange *x)
{
	return x->srv != NULL && x->srv->loan.has_savepoint && (x->srv->tx != 'I' || x->srv->ledger.count > 0);
}

static bool
may_be_listen(const struct request *m)
{
	return request_begins_with(m, WORD_LISTEN) || request_begins_with(m, WORD_UNLISTEN);
}

/* If the SQL consists of LISTEN and UNLISTEN statements only, with at least one LISTEN, returns their number;
 * known_next_statement() then gives them one by one. Otherwise, or if the SQL must be sent unchanged, returns 0. */
static unsigned
read_listens(const struct exchange *x, const struct request *m, struct known_reader *r)
{
	bool has_listen = false;
	unsigned count = 0;
	struct known_reader begin;
	struct known_statement k;

	if (!may_be_listen(m) || m->sql_len > LISTEN_SQL_MAX || listen_is_in_savepoint(x))
		return 0;
	known_begin(r, gucs_scan_options(x->gucs), m->sql, m->sql_len);
	for (begin = *r; known_next_statement(r, &k); count++) {
		if (k.kind != KNOWN_LISTEN && k.kind != KNOWN_UNLISTEN && k.kind != KNOWN_UNLISTEN_ALL)
			return 0;
		has_listen = has_listen || k.kind == KNOWN_LISTEN;
	}
	if (!has_listen || !known_is_whole(r))
		return 0;
	*r = begin;
	return count;
}

/* Returns true if the SQL may end or change subscriptions of this client: see effect_kind_of() and queue_effects(). */
static bool
may_have_effects(const struct exchange *x, const struct request *m)
{
	return x->listen != NULL && x->listen->table != NULL &&
	       request_has(m, SCAN_SAVEPOINT | SCAN_LISTEN, SCAN_HINT_ENDS);
}

/* Returns the kind of an UNLISTEN or ROLLBACK TO; KNOWN_END for each end of a transaction; else KNOWN_NOT. */
static enum known_kind
effect_kind_of(const struct known_statement *k)
{
	if (k->kind == KNOWN_UNLISTEN || k->kind == KNOWN_UNLISTEN_ALL || k->kind == KNOWN_ROLLBACK_TO)
		return (enum known_kind)k->kind;
	return k->kind >= KNOWN_COMMIT && k->kind <= KNOWN_END ? KNOWN_END : KNOWN_NOT;
}

/* Returns the kind of the statement that m binds, with *name set to its channel. The statement has the SQL of the Parse
 * that was sent to the server, in which an UNLISTEN may have replaced a LISTEN. */
static enum known_kind
kind_of_bound(const struct exchange *x, struct request *m, const char **name)
{
	const struct statement *st = m->statement;
	const struct known_statement *k;

	if (st == NULL || (!may_be_listen(m) && !may_have_effects(x, m)))
		return KNOWN_NOT;
	k = request_single_known(x, m);
	*name = k->name;
	if (k->kind == KNOWN_UNLISTEN && listen_text_is_substitute((const char *)st->bytes, st->query_len))
		return KNOWN_LISTEN;
	return effect_kind_of(k); /* a LISTEN that was not replaced was prepared on a server that the client keeps */
}

static enum listen_gate
await_channel(struct exchange *x, const char *channel)
{
	struct subscription *sub = subscription_get_or_create(x, channel);

	if (sub == NULL)
		return LISTEN_FAILED;
	if (sub->listener_state != LISTENER_ASKED)
		return LISTEN_GO;
	x->listen->awaited = sub;
	exchange_step(x, CE_AWAIT_LISTENER);
	return LISTEN_WAIT;
}

/* Asks the listener for all channels at once. The message is handled again when the last channel has been answered. */
static enum listen_gate
await_all(struct exchange *x, struct known_reader *r)
{
	enum listen_gate all = LISTEN_GO;
	struct known_statement k;

	while (known_next_statement(r, &k)) {
		enum listen_gate one = k.kind == KNOWN_LISTEN ? await_channel(x, k.name) : LISTEN_GO;

		if (one == LISTEN_FAILED)
			return LISTEN_FAILED;
		if (one == LISTEN_WAIT)
			all = LISTEN_WAIT;
	}
	return all;
}

static struct listen_portal *
find_portal(const struct client_listen *l, const char *name)
{
	struct listen_portal *p;

	TAILQ_FOREACH(p, &l->portals, link)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

static const struct listen_portal *
find_executed_portal(const struct exchange *x, const struct request *m)
{
	const char *name = (const char *)m->message + FRAME_HEAD_LEN;

	return x->listen == NULL || memchr(name, 0, request_body_len(m)) == NULL ? NULL : find_portal(x->listen, name);
}

/* Each message in a transaction that has run LISTEN may commit the transaction. Notifications from before the commit
 * are not for this client. So before the message is sent, makes the listener catch up if it has not done so; then all
 * notifications that come later are for the client. Returns true if the message must wait for this. */
static bool
begin_catch_up_if_due(struct exchange *x, const struct request *m)
{
	struct client_listen *l = x->listen;

	if (l == NULL || !l->has_pending_change || l->has_caught_up || m->type == 'P' || x->srv == NULL ||
	    x->srv->ledger.count > 0 || x->srv->tx != 'T' || !notify_catch_up(&l->subscriber))
		return false;
	l->awaited = NULL;
	exchange_step(x, CE_AWAIT_LISTENER);
	return true;
}

enum listen_gate
listen_gate_message(struct exchange *x, struct request *m)
{
	const struct listen_portal *p;
	struct known_reader r;
	unsigned count;

	if (listen_passes_unchanged(x) || (m->type != 'E' && m->total > LISTEN_SQL_MAX) ||
	    (m->type == 'P' && x->srv != NULL))
		return LISTEN_GO;
	if (m->type == 'E' &&
	    (x->listen == NULL || (TAILQ_EMPTY(&x->listen->portals) && !x->listen->has_pending_change)))
		return LISTEN_GO;
	if (begin_catch_up_if_due(x, m))
		return LISTEN_WAIT;
	if (m->type == 'E') {
		p = find_executed_portal(x, m);
		return p != NULL && p->kind == KNOWN_LISTEN ? await_channel(x, p->channel) : LISTEN_GO;
	}
	/* Even a Parse waits for the listener, although it could be sent at once, because an Execute that waited later
	 * would keep a server lent meanwhile. */
	count = read_listens(x, m, &r);
	return count == 0 || (m->type == 'P' && count > 1) ? LISTEN_GO : await_all(x, &r);
}

/* Adds an effect of the message that is about to be sent. Returns NULL without memory or a subscription. */
static struct listen_effect *
queue_effect(struct exchange *x, enum known_kind kind, const char name[static KNOWN_NAME_MAX])
{
	struct client_listen *l = listen_get_or_create(x);
	struct listen_effect *e = l == NULL ? NULL : calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->kind = (uint8_t)kind;
	memcpy(e->name, name, sizeof(e->name));
	if (kind == KNOWN_LISTEN) {
		e->sub = subscription_get_or_create(x, name);
		if (e->sub == NULL) {
			free(e);
			return NULL;
		}
		e->is_refused = e->sub->listener_state == LISTENER_REFUSED;
		e->sub->refs++;
	}
	e->request_number = ledger_count_requests_sent(&x->srv->ledger);
	TAILQ_INSERT_TAIL(&l->effects, e, link);
	return e;
}

void
listen_end_effect(struct client_listen *l, struct listen_effect *e)
{
	TAILQ_REMOVE(&l->effects, e, link);
	if (e->sub != NULL)
		subscription_unref(e->sub);
	free(e);
}

/* Adds an effect for each statement that is sent unchanged; the tags will come in the same order. A client without
 * subscriptions needs no effects. */
static enum feature_step
queue_effects(struct exchange *x, const struct request *m)
{
	struct known_reader r;
	struct known_statement k;

	if (!may_have_effects(x, m) || listen_passes_unchanged(x))
		return STEP_FORWARD;
	for (known_begin(&r, gucs_scan_options(x->gucs), m->sql, m->sql_len); known_next_statement(&r, &k);)
		if (effect_kind_of(&k) != KNOWN_NOT && queue_effect(x, effect_kind_of(&k), k.name) == NULL)
			return STEP_FAILED;
	return STEP_FORWARD;
}

/* Writes the SQL that is sent in place of m's. Several statements are written anew from the channels' names; a single
 * statement keeps its spelling. */
static int
substitute(struct exchange *x, const struct request *m, struct known_reader *r, bool is_single, struct buf *sql)
{
	struct known_statement k;

	while (known_next_statement(r, &k)) {
		struct listen_effect *e = queue_effect(x, (enum known_kind)k.kind, k.name);

		if (e == NULL)
			return -1;
		if (e->is_refused)
			buf_printf(sql, "EXECUTE " LISTEN_REFUSED);
		else if (is_single)
			return listen_text_substitute(m->sql, m->sql_len, sql) ? 0 : -1;
		else if (k.kind == KNOWN_UNLISTEN_ALL)
			buf_printf(sql, "UNLISTEN *");
		else {
			buf_printf(sql, "UNLISTEN ");
			guc_put_identifier(sql, k.name, false);
		}
		buf_printf(sql, "; ");
	}
	return 0;
}

enum feature_step
listen_query(struct exchange *x, struct request *m)
{
	struct known_reader reader;
	unsigned count = listen_passes_unchanged(x) ? 0 : read_listens(x, m, &reader);
	struct buf sql = { 0 };
	int r;

	if (count == 0)
		return queue_effects(x, m);
	r = substitute(x, m, &reader, count == 1, &sql);
	buf_put_u8(&sql, 0);
	if (r == 0 && buf_ok(&sql))
		message_put(&m->instead, 'Q', sql.bytes, sql.len);
	if (!buf_ok(&sql) || !buf_ok(&m->instead))
		r = -1;
	buf_fini(&sql);
	return r < 0 ? STEP_FAILED : STEP_REPLACED;
}

/* Replaces the message in m by the one in m->instead. */
static bool
use_replacement(struct request *m)
{
	m->message = m->instead.bytes;
	m->total = m->have = m->instead.len;
	if (!buf_ok(&m->instead) ||
	    !fields_read_parse(m->message + FRAME_HEAD_LEN, m->total - FRAME_HEAD_LEN, &m->parse))
		return false;
	m->sql = (const char *)m->parse.rest;
	m->sql_len = m->parse.query_len;
	traits_set_for_all_options(&m->parse_traits, m->sql, m->sql_len);
	traits_add_parse_hints(&m->parse_traits, m->sql, m->sql_len);
	m->traits = &m->parse_traits;
	m->is_taken_apart = false;
	return true;
}

enum feature_step
listen_parse(struct exchange *x, struct request *m)
{
	const struct parse_fields *f = &m->parse;
	struct buf rest = { 0 };
	enum feature_step step = STEP_FAILED;

	if (!request_begins_with(m, WORD_LISTEN) || listen_passes_unchanged(x) || m->sql_len > LISTEN_SQL_MAX ||
	    listen_is_in_savepoint(x) || request_single_known(x, m)->kind != KNOWN_LISTEN ||
	    !listen_text_substitute(m->sql, m->sql_len, &rest))
		return STEP_FORWARD;
	buf_put(&rest, f->rest + f->query_len, f->rest_len - f->query_len);
	if (buf_ok(&rest)) {
		message_parse(&m->instead, f->name, rest.bytes, rest.len);
		step = use_replacement(m) ? STEP_FORWARD : STEP_FAILED;
	}
	buf_fini(&rest);
	return step;
}

static void
drop_portal(struct client_listen *l, struct listen_portal *p)
{
	TAILQ_REMOVE(&l->portals, p, link);
	free(p);
}

enum feature_step
listen_bind(struct exchange *x, struct request *m)
{
	const char *channel;
	enum known_kind kind = kind_of_bound(x, m, &channel);
	const char *portal = m->names.portal;
	struct client_listen *l = x->listen;
	struct listen_portal *p;
	size_t len;

	if (l != NULL && m->statement != NULL && (p = find_portal(l, portal)) != NULL)
		drop_portal(l, p);
	if (kind == KNOWN_NOT)
		return STEP_FORWARD;
	len = strlen(portal) + 1;
	if ((l = listen_get_or_create(x)) == NULL || (p = calloc(1, sizeof(*p) + len)) == NULL)
		return STEP_FAILED;
	p->kind = (uint8_t)kind;
	memcpy(p->channel, channel, sizeof(p->channel));
	memcpy(p->name, portal, len);
	TAILQ_INSERT_TAIL(&l->portals, p, link);
	return STEP_FORWARD;
}

enum feature_step
listen_execute(struct exchange *x, struct request *m)
{
	/* an Execute of a portal that does not exist */
	static const char refused[] = "E\0\0\0\x17" LISTEN_REFUSED "\0\0\0\0";
	const struct listen_portal *p;
	struct listen_effect *e;

	_Static_assert(sizeof(refused) == 5 + sizeof(LISTEN_REFUSED) + 4, "its length is as it says");
	if (m->have < m->total || listen_passes_unchanged(x) || (p = find_executed_portal(x, m)) == NULL)
		return STEP_FORWARD;
	if ((e = queue_effect(x, (enum known_kind)p->kind, p->channel)) == NULL)
		return STEP_FAILED;
	if (!e->is_refused)
		return STEP_FORWARD;
	outbox_copy(&x->env->to_server, refused, sizeof(refused));
	return STEP_REPLACED;
}

void
listen_drop_portals(struct client_listen *l)
{
	struct listen_portal *p;

	while ((p = TAILQ_FIRST(&l->portals)) != NULL)
		drop_portal(l, p);
}

/* --- pg_listening_channels() --- */

/*
 * pg_listening_channels() returns the channels that its server listens to. So pgweir sends the server a LISTEN for each
 * of the client's channels before SQL that calls this function; the server listens until it is returned and sealed.
 * Within a transaction pgweir does not do this, because there a LISTEN takes effect only at the end. Notifications that
 * the server sends meanwhile are not passed on, because the listener delivers them (listen_notification()).
 */
enum feature_step
listen_before_sql(struct exchange *x, struct request *m)
{
	struct client_listen *l = x->listen;
	struct server *srv = x->srv;
	struct buf sql = { 0 }, message = { 0 };

	srv->loan.has_savepoint = srv->loan.has_savepoint || request_has(m, SCAN_SAVEPOINT, 0);
	if (l == NULL || l->active_count == 0 || !srv->is_synced || listen_passes_unchanged(x) ||
	    !request_has(m, 0, SCAN_HINT_CHANNELS) || (x->pins & 1u << PIN_LISTEN) ||
	    (srv->loan.settled_flags & SCAN_LISTEN) != 0)
		return STEP_FORWARD;
	if (srv->ledger.count > 0)
		return STEP_HOLD;
	if (srv->tx != 'I')
		return STEP_FORWARD;
	srv->loan.kept.state = KEPT_IMPOSSIBLE;
	srv->loan.settled_flags |= SCAN_LISTEN; /* so that the server is sealed when it is returned */
	for (const struct subscription *sub = l->table; sub != NULL; sub = sub->hh.next) {
		if (!sub->is_active)
			continue;
		buf_printf(&sql, "LISTEN ");
		guc_put_identifier(&sql, sub->name, false);
		buf_put_u8(&sql, ';');
	}
	buf_put_u8(&sql, 0);
	message_put(&message, 'Q', sql.bytes, sql.len);
	message.is_broken = message.is_broken || !buf_ok(&sql);
	buf_fini(&sql);
	server_owe_query(srv, OWED_TO_FEATURE);
	outbox_put(&x->env->to_server, &message);
	return STEP_FORWARD;
}
