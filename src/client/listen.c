/* src/client/listen.c - statements that listen, what becomes of them, and the memberships they amount to: see listen.h.
 */
#include "client/listen_state.h"

#include "session/listen_text.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WHOLE_MAX 4096u /* bytes of a message that is looked into */
#define REFUSED "pgweir_refused" /* nothing has this name: what is asked of it fails */

/* --- memberships --- */

struct client_listen *
listen_own(struct client *c)
{
	struct client_listen *l = c->listen;

	if (l != NULL || (l = calloc(1, sizeof(*l))) == NULL)
		return l;
	l->c = c;
	l->is_swept = true;
	TAILQ_INIT(&l->effects);
	TAILQ_INIT(&l->portals);
	c->listen = l;
	if (c->srv != NULL)
		listen_linked(c, c->srv);
	return l;
}

void
listen_linked(struct client *c, struct server *srv)
{
	srv->announces_ready = c->listen != NULL;
	srv->notify_hub = NULL;
}

static struct membership *
find(const struct client_listen *l, const char *name)
{
	struct membership *m;

	HASH_FIND(hh, l->table, name, (unsigned)strlen(name), m);
	return m;
}

static void
refuse(struct membership *m, const struct fail *why)
{
	m->is_refused = true;
	if (m->why == NULL && (m->why = malloc(sizeof(*m->why))) == NULL)
		return;
	*m->why = *why;
}

static int
join(struct client *c, struct membership *m)
{
	struct client_listen *l = c->listen;
	const char *encoding = image_get(c->image, "client_encoding");
	struct fail why;

	if (HASH_COUNT(l->table) > LISTEN_CHANNELS_MAX) {
		fail_set(&why, "54000", "a client may listen to %d channels through pgweir at most",
			 LISTEN_CHANNELS_MAX);
		refuse(m, &why);
		return 0;
	}
	if (l->ear.hub == NULL &&
	    notify_attach(c->entry, encoding == NULL ? "" : encoding, &l->ear, &listen_ear_ops) < 0)
		return -1;
	return notify_join(&l->ear, &m->member, m->name);
}

static void
membership_free(struct membership *m)
{
	struct client_listen *l = m->c->listen;

	notify_leave(&m->member);
	listen_drop_early(l, m);
	l->active_count -= m->is_active;
	HASH_DELETE(hh, l->table, m);
	free(m->why);
	free(m);
}

/* The one of this name; if there is none, the hub is asked to listen. NULL: no memory. */
static struct membership *
want(struct client *c, const char *name)
{
	struct client_listen *l = listen_own(c);
	struct membership *m;

	if (l == NULL)
		return NULL;
	if ((m = find(l, name)) != NULL)
		return m;
	/* Beyond the limit each is refused, but in a transaction that has failed they could come for ever. */
	if (HASH_COUNT(l->table) > 2 * LISTEN_CHANNELS_MAX || (m = calloc(1, sizeof(*m))) == NULL)
		return NULL;
	m->c = c;
	strcpy(m->name, name);
	HASH_ADD_STR(l->table, name, m);
	l->is_swept = false;
	if (join(c, m) == 0)
		return m;
	membership_free(m);
	return NULL;
}

/* Those that nothing speaks for any more. */
static void
sweep(struct client_listen *l)
{
	struct membership *m, *next;

	if (l->is_swept)
		return;
	l->is_swept = true;
	HASH_ITER(hh, l->table, m, next)
	if (!m->is_active && m->refs == 0 && m->wanted == KNOWN_NOT && l->awaited != m)
		membership_free(m);
	listen_detach_idle(l);
}

void
listen_detach_idle(struct client_listen *l)
{
	if (l->table == NULL && l->ear.waits == 0 && l->sending == SENDING_NOT)
		notify_detach(&l->ear);
}

static void
membership_unref(struct membership *m)
{
	m->refs--;
	m->c->listen->is_swept = false;
}

static void
want_state(struct client_listen *l, struct membership *m, enum known_kind kind)
{
	m->wanted = (uint8_t)kind;
	l->has_wanted = true;
	l->is_swept = false;
}

static void
want_all_unlistened(struct client_listen *l)
{
	for (struct membership *m = l->table; m != NULL; m = m->hh.next)
		if (m->is_active || m->wanted != KNOWN_NOT)
			want_state(l, m, KNOWN_UNLISTEN);
}

/* Another notification than those that wait was lost for good: the client must know, and cannot be told but so. */
static void
cannot_listen(struct client *c, const struct membership *m)
{
	struct fail why;

	fail_set(&why, m->why == NULL ? "08006" : m->why->sqlstate, "pgweir can't listen to \"%s\" any more: %s",
		 m->name, m->why == NULL ? "out of memory" : m->why->text);
	if (c->srv != NULL)
		c->srv->is_closing = true;
	client_close(c, &why);
}

static void
set_active(struct client_listen *l, struct membership *m, bool is_active)
{
	if (m->is_active != is_active)
		l->active_count += is_active ? 1u : (uint32_t)-1;
	m->is_active = is_active;
	if (is_active)
		listen_keep_early(l, m);
	else {
		listen_drop_early(l, m);
		listen_drop_queued(l, m->name);
	}
}

static void
commit(struct client *c)
{
	struct client_listen *l = c->listen;
	const struct membership *refused = NULL;

	if (!l->has_wanted)
		return;
	l->has_wanted = false;
	for (struct membership *m = l->table; m != NULL; m = m->hh.next) {
		uint8_t wanted = m->wanted;

		m->wanted = KNOWN_NOT;
		if (wanted != KNOWN_NOT)
			set_active(l, m, wanted == KNOWN_LISTEN);
		if (m->is_active && m->is_refused)
			refused = m;
	}
	if (refused != NULL)
		cannot_listen(c, refused);
}

static void
roll_back(struct client_listen *l)
{
	if (!l->has_wanted)
		return;
	l->has_wanted = false;
	for (struct membership *m = l->table; m != NULL; m = m->hh.next) {
		m->wanted = KNOWN_NOT;
		if (m->refs == 0)
			listen_drop_early(l, m);
	}
}

/* --- statements --- */

/* Messages that the server will ignore, or take for a part of a COPY, say nothing. */
bool
listen_is_not_ours(const struct client *c)
{
	return c->state != CL_READY || !session_is_followed(c) ||
	       (c->srv != NULL && (c->srv->ledger.is_skipping || c->srv->ledger.is_copy_open));
}

static enum known_kind
kind_of(const struct client *c, const char *sql, size_t len, char name[static KNOWN_NAME_MAX])
{
	struct known_text text;
	const struct known *k = &text.statements[0];

	if (!listen_text_may_be(sql, len) || !known_parse(&text, image_scan_options(c->image), sql, len) ||
	    text.count != 1)
		return KNOWN_NOT;
	if (k->kind != KNOWN_LISTEN && k->kind != KNOWN_UNLISTEN && k->kind != KNOWN_UNLISTEN_ALL)
		return KNOWN_NOT;
	if (k->kind != KNOWN_UNLISTEN_ALL)
		memcpy(name, k->name, KNOWN_NAME_MAX);
	return (enum known_kind)k->kind;
}

static enum known_kind
kind_of_query(const struct client *c, const uint8_t *message, size_t len, char name[static KNOWN_NAME_MAX])
{
	if (len > WHOLE_MAX || len <= FRAME_HEAD_LEN || message[len - 1] != 0)
		return KNOWN_NOT;
	return kind_of(c, (const char *)message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN - 1, name);
}

/* As its Parse was sent: a LISTEN is a substitute already. Looked into once. */
static enum known_kind
kind_of_statement(const struct client *c, struct statement *st, char name[static KNOWN_NAME_MAX])
{
	enum known_kind kind;

	if (st->listens == STATEMENT_DOES_NOT)
		return KNOWN_NOT;
	kind = st->query_len > WHOLE_MAX ? KNOWN_NOT : kind_of(c, (const char *)st->bytes, st->query_len, name);
	if (kind == KNOWN_LISTEN)
		kind = KNOWN_NOT; /* it was never substituted: it is one of a server of the client's own */
	st->listens = kind == KNOWN_NOT ? STATEMENT_DOES_NOT : STATEMENT_DOES;
	if (kind == KNOWN_UNLISTEN && listen_text_is_substitute((const char *)st->bytes, st->query_len))
		kind = KNOWN_LISTEN;
	return kind;
}

static enum listen_look
await(struct client *c, const char *channel)
{
	struct membership *m = want(c, channel);

	if (m == NULL)
		return LISTEN_FAILED;
	if (m->is_heard || m->is_refused)
		return LISTEN_GO;
	c->listen->awaited = m;
	c->listen->is_waiting = true;
	return LISTEN_WAIT;
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
executed(const struct client *c, const uint8_t *message, size_t len)
{
	const char *name = (const char *)message + FRAME_HEAD_LEN;

	if (c->listen == NULL || memchr(name, 0, len - FRAME_HEAD_LEN) == NULL)
		return NULL;
	return find_portal(c->listen, name);
}

static enum listen_look
look_into(struct client *c, const uint8_t *message, size_t total)
{
	char name[KNOWN_NAME_MAX];
	const struct listen_portal *p;
	struct parse_fields f;

	switch (message[0]) {
	case 'Q':
		return kind_of_query(c, message, total, name) == KNOWN_LISTEN ? await(c, name) : LISTEN_GO;
	case 'P': /* only so that the hub listens already when it is executed, and no server is held for that time */
		if (!fields_parse(message + FRAME_HEAD_LEN, total - FRAME_HEAD_LEN, &f) ||
		    kind_of(c, (const char *)f.rest, f.query_len, name) != KNOWN_LISTEN)
			return LISTEN_GO;
		return await(c, name);
	default:
		p = executed(c, message, total);
		return p != NULL && p->kind == KNOWN_LISTEN ? await(c, p->channel) : LISTEN_GO;
	}
}

/*
 * In a transaction that has said LISTEN, each message may commit it. What was notified before that is not for it: the
 * hub is to have heard all of that first.
 */
static bool
must_catch_up(struct client *c, const uint8_t *message)
{
	struct client_listen *l = c->listen;

	if (l == NULL || !l->has_wanted || l->is_fresh || message[0] == 'P' || c->srv == NULL ||
	    c->srv->ledger.count > 0 || c->srv->tx != 'T' || !notify_catch_up(&l->ear))
		return false;
	l->awaited = NULL;
	l->is_waiting = true;
	return true;
}

enum listen_look
listen_look(struct client *c, const uint8_t *message, size_t have, size_t total)
{
	if (listen_is_not_ours(c) || total > WHOLE_MAX)
		return LISTEN_GO;
	if (message[0] == 'P' && c->srv != NULL)
		return LISTEN_GO;
	if (message[0] == 'E' && (c->listen == NULL || (TAILQ_EMPTY(&c->listen->portals) && !c->listen->has_wanted)))
		return LISTEN_GO;
	if (have < total)
		return LISTEN_MORE;
	return must_catch_up(c, message) ? LISTEN_WAIT : look_into(c, message, total);
}

static uint32_t
requests_owed(const struct ledger *ledger)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < ledger->count; i++) {
		const struct owed *o = &ledger->ring[(ledger->head + i) & (ledger->cap - 1)];

		count += o->to == OWED_TO_CLIENT &&
			 (o->kind == OWED_QUERY || o->kind == OWED_FUNCTION || o->kind == OWED_SYNC);
	}
	return count;
}

/* -1: no memory. */
static struct listen_effect *
expect(struct client *c, enum known_kind kind, const char *name)
{
	struct client_listen *l = listen_own(c);
	struct listen_effect *e = l == NULL ? NULL : calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->kind = (uint8_t)kind;
	if (kind != KNOWN_UNLISTEN_ALL)
		strcpy(e->name, name);
	if (kind == KNOWN_LISTEN) {
		e->m = want(c, name);
		if (e->m == NULL) {
			free(e);
			return NULL;
		}
		e->is_refused = e->m->is_refused;
		e->m->refs++;
	}
	e->ahead = requests_owed(&c->srv->ledger);
	TAILQ_INSERT_TAIL(&l->effects, e, link);
	return e;
}

static void
end_effect(struct client_listen *l, struct listen_effect *e)
{
	TAILQ_REMOVE(&l->effects, e, link);
	if (e->m != NULL)
		membership_unref(e->m);
	free(e);
}

static const char *
find_unlisten(const char *at, const char *end)
{
	static const size_t word_len = sizeof("UNLISTEN") - 1;

	for (; (size_t)(end - at) >= word_len; at++)
		if ((*at == 'u' || *at == 'U') && strncasecmp(at, "UNLISTEN", word_len) == 0)
			return at;
	return NULL;
}

/* UNLISTENs among other statements run as they are; their tags will come in this order. */
static int
expect_unlistens(struct client *c, const char *sql, size_t len)
{
	const char *end = sql + len, *at = sql;
	char name[KNOWN_NAME_MAX];

	while ((at = find_unlisten(at, end)) != NULL) {
		const char *stop = memchr(at, ';', (size_t)(end - at));
		size_t n = (size_t)((stop == NULL ? end : stop) - at);
		enum known_kind kind = kind_of(c, at, n, name);

		if (kind != KNOWN_NOT && expect(c, kind, name) == NULL)
			return -1;
		at += n;
	}
	return 0;
}

enum statement_step
listen_query(struct client *c, const uint8_t *message, size_t len)
{
	char name[KNOWN_NAME_MAX];
	enum known_kind kind = listen_is_not_ours(c) ? KNOWN_NOT : kind_of_query(c, message, len, name);
	struct buf sql = { 0 }, b = { 0 };
	struct listen_effect *e;

	if (kind == KNOWN_NOT && c->listen != NULL && c->listen->table != NULL && len <= WHOLE_MAX &&
	    !listen_is_not_ours(c))
		return expect_unlistens(c, (const char *)message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN - 1) < 0
			   ? STATEMENT_FAILED
			   : STATEMENT_FORWARD;
	if (kind == KNOWN_NOT)
		return STATEMENT_FORWARD;
	if ((e = expect(c, kind, name)) == NULL)
		return STATEMENT_FAILED;
	if (kind != KNOWN_LISTEN)
		return STATEMENT_FORWARD;
	if (statements_simple_query(c) == STATEMENT_FAILED)
		return STATEMENT_FAILED;
	if (e->is_refused)
		buf_printf(&sql, "EXECUTE " REFUSED);
	else if (!listen_text_substitute((const char *)message + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN - 1, &sql))
		sql.is_broken = true;
	buf_put_u8(&sql, 0);
	if (buf_ok(&sql))
		message_put(&b, 'Q', sql.bytes, sql.len);
	if (!buf_ok(&sql) || !buf_ok(&b)) {
		buf_fini(&sql);
		buf_fini(&b);
		return STATEMENT_FAILED;
	}
	outbox_copy(&c->env->to_server, b.bytes, b.len);
	buf_fini(&sql);
	buf_fini(&b);
	return STATEMENT_DONE;
}

bool
listen_parse(struct client *c, const struct parse_fields *f, struct buf *message)
{
	const char *sql = (const char *)f->rest;
	char name[KNOWN_NAME_MAX];
	struct buf rest = { 0 };

	if (listen_is_not_ours(c) || f->query_len > WHOLE_MAX || kind_of(c, sql, f->query_len, name) != KNOWN_LISTEN ||
	    !listen_text_substitute(sql, f->query_len, &rest))
		return false;
	buf_put(&rest, f->rest + f->query_len, f->rest_len - f->query_len);
	if (buf_ok(&rest))
		message_parse(message, f->name, rest.bytes, rest.len);
	else
		message->is_broken = true;
	buf_fini(&rest);
	return true;
}

int
listen_bound(struct client *c, const char *portal, struct statement *st)
{
	char channel[KNOWN_NAME_MAX] = "";
	enum known_kind kind = st == NULL ? KNOWN_NOT : kind_of_statement(c, st, channel);
	struct client_listen *l = c->listen;
	struct listen_portal *p;
	size_t len;

	if (l != NULL && (p = find_portal(l, portal)) != NULL) {
		TAILQ_REMOVE(&l->portals, p, link);
		free(p);
	}
	if (kind == KNOWN_NOT)
		return 0;
	len = strlen(portal) + 1;
	if ((l = listen_own(c)) == NULL || (p = calloc(1, sizeof(*p) + len)) == NULL)
		return -1;
	p->kind = (uint8_t)kind;
	memcpy(p->channel, channel, sizeof(channel));
	memcpy(p->name, portal, len);
	TAILQ_INSERT_TAIL(&l->portals, p, link);
	return 0;
}

enum statement_step
listen_execute(struct client *c, const uint8_t *message, size_t len)
{
	static const char refused[] = "E\0\0\0\x17" REFUSED "\0\0\0\0"; /* a portal nobody has bound */
	const struct listen_portal *p = listen_is_not_ours(c) ? NULL : executed(c, message, len);
	struct listen_effect *e;

	_Static_assert(sizeof(refused) == 5 + sizeof(REFUSED) + 4, "its length is as it says");
	if (p == NULL)
		return STATEMENT_FORWARD;
	if ((e = expect(c, (enum known_kind)p->kind, p->channel)) == NULL)
		return STATEMENT_FAILED;
	if (!e->is_refused)
		return STATEMENT_FORWARD;
	outbox_copy(&c->env->to_server, refused, sizeof(refused));
	return STATEMENT_DONE;
}

/* --- waiting for the hub --- */

bool
listen_is_waiting(const struct client *c)
{
	return c->listen != NULL && (c->listen->is_waiting || c->listen->is_ready_kept || c->listen->is_doomed);
}

void
listen_resume(struct client *c)
{
	uint8_t *whole = c->pending;
	size_t len = c->pending_len;

	c->listen->is_waiting = false;
	c->listen->awaited = NULL;
	c->pending = NULL;
	c->pending_len = c->pending_cap = 0;
	if (!c->is_stalled)
		stream_set_reading(&c->stream, true);
	if (len > 0)
		relay_bytes(c, whole, len);
	free(whole);
}

/* --- adoption --- */

/*
 * From a server that listens to the hub, so that nothing is lost, doubled or overtaken: when the hub listens too, the
 * server is told to notify a channel of this client's own. Both hear that in its place among all others: what comes
 * before it is taken from the server, what comes after it from the hub.
 */
static void
send_probe_query(struct client *c, const struct buf *sql)
{
	struct server *srv = c->srv;
	struct buf b = { 0 };

	if (buf_ok(sql))
		message_put(&b, 'Q', sql->bytes, sql->len);
	srv->unnamed_of = 0;
	if (buf_ok(sql) && buf_ok(&b) &&
	    ledger_push_request(&srv->ledger, OWED_QUERY, OWED_TO_PROBE,
				&(struct owed_request){ .started_us = *c->env->now_us }) == 0)
		server_write(srv, b.bytes, b.len);
	else
		relay_out_of_memory(c);
	buf_fini(&b);
}

static void
hand_over(struct client *c)
{
	struct client_listen *l = c->listen;
	struct buf sql = { 0 };

	l->is_unlistening = true;
	buf_printf(&sql, "LISTEN \"%s\"; NOTIFY \"%s\"", l->marker->name, l->marker->name);
	buf_put_u8(&sql, 0);
	send_probe_query(c, &sql);
	sql.len = 0;
	buf_put_str(&sql, "UNLISTEN *"); /* not in the same transaction: it would not hear its own */
	if (!c->is_closing)
		send_probe_query(c, &sql);
	buf_fini(&sql);
}

/* It hears on its own server, and keeps that. */
static void
pin(struct client *c)
{
	c->listen->is_pinned = true;
	session_pin(c, PIN_LISTEN);
}

static void
drop_marker(struct client_listen *l)
{
	if (l->marker != NULL)
		membership_unref(l->marker);
	l->marker = NULL;
}

void
listen_hub_marked(struct client_listen *l)
{
	l->has_hub_marked = true;
	if (l->has_server_marked)
		listen_end_adoption(l);
}

static void
server_marked(struct client_listen *l)
{
	l->has_server_marked = true;
	if (l->has_hub_marked)
		listen_end_adoption(l);
}

void
listen_end_adoption(struct client_listen *l)
{
	for (struct membership *m = l->table; m != NULL; m = m->hh.next) {
		if (m->is_adopted)
			listen_keep_early(l, m);
		m->is_adopted = false;
	}
	drop_marker(l);
}

static void
adopted(struct client *c, const struct fail *why)
{
	struct client_listen *l = c->listen;

	l->adopting--;
	if (why != NULL && !l->is_pinned)
		pin(c);
	if (!c->is_closing && l->adopting == 0)
		relay_try_release(c);
}

static int
begin_adoption(struct client *c)
{
	struct client_listen *l = listen_own(c);
	char name[KNOWN_NAME_MAX];

	if (l == NULL)
		return -1;
	l->is_pinned = l->has_hub_marked = l->has_server_marked = false;
	l->is_server_listening = true;
	if (l->marker != NULL)
		return 0;
	snprintf(name, sizeof(name), "pgweir_%llx_%llx", (unsigned long long)c->id,
		 (unsigned long long)++c->env->last_token);
	l->marker = want(c, name);
	if (l->marker == NULL)
		return -1;
	l->marker->refs++;
	l->marker->is_awaited = true;
	l->adopting++;
	return 0;
}

int
listen_adopt(struct client *c, const char *channel)
{
	struct membership *m;

	if (begin_adoption(c) < 0 || (m = want(c, channel)) == NULL)
		return -1;
	if (m->is_active && m->is_heard)
		return 0; /* the hub's word is enough */
	set_active(c->listen, m, true);
	m->is_adopted = true;
	if (m->is_refused || c->listen->marker->is_refused)
		pin(c);
	else if (!m->is_heard && !m->is_awaited) {
		m->is_awaited = true;
		c->listen->adopting++;
	}
	return 0;
}

bool
listen_is_adopting(const struct client *c)
{
	return c->listen != NULL && c->listen->is_server_listening;
}

bool
listen_holds_server(struct client *c)
{
	struct client_listen *l = c->listen;

	if (l != NULL && listen_pid_holds(c))
		return true;
	if (l == NULL || !l->is_server_listening || l->is_pinned)
		return false;
	if (l->adopting == 0 && !l->is_unlistening)
		hand_over(c);
	return true;
}

void
listen_server_unlistened(struct client *c)
{
	struct client_listen *l = c->listen;

	if (l == NULL || !l->is_unlistening || c->srv->ledger.count > 0)
		return;
	l->is_unlistening = l->is_server_listening = false;
	server_marked(l); /* if it never came: nothing more comes from there */
}

void
listen_answered(struct notify_member *member, const struct fail *why)
{
	struct membership *m = (struct membership *)member;
	struct client *c = m->c;
	struct client_listen *l = c->listen;

	m->is_heard = why == NULL;
	if (why != NULL)
		refuse(m, why);
	if (m->is_awaited) {
		m->is_awaited = false;
		adopted(c, why);
	} else if (why != NULL && m->is_active)
		cannot_listen(c, m);
	if (!c->is_closing && l->is_waiting && l->awaited == m)
		listen_resume(c);
}

void
listen_cancel(struct client *c)
{
	struct client_listen *l = c->listen;
	struct fail why;

	if (l == NULL || !l->is_waiting || l->awaited == NULL)
		return;
	fail_set(&why, "57014", "canceling statement due to user request");
	notify_leave(&l->awaited->member);
	refuse(l->awaited, &why);
	listen_resume(c);
}

/* --- replies --- */

static bool
unlistened(struct client *c)
{
	struct client_listen *l = c->listen;
	struct listen_effect *e = TAILQ_FIRST(&l->effects);
	bool is_listen;
	struct buf b = { 0 };

	if (e == NULL || e->ahead > 0 || e->is_refused)
		return false; /* one of several in a text */
	is_listen = e->kind == KNOWN_LISTEN;
	if (e->kind == KNOWN_UNLISTEN_ALL)
		want_all_unlistened(l);
	else if (is_listen)
		want_state(l, e->m, KNOWN_LISTEN);
	else {
		struct membership *m = find(l, e->name);

		if (m != NULL)
			want_state(l, m, KNOWN_UNLISTEN);
	}
	end_effect(l, e);
	if (!is_listen)
		return false;
	message_complete(&b, "LISTEN");
	if (buf_ok(&b))
		relay_answer(c, b.bytes, b.len);
	else
		relay_out_of_memory(c);
	buf_fini(&b);
	return true;
}

bool
listen_complete(struct client *c, const char *tag)
{
	struct client_listen *l = c->listen;

	if (l == NULL)
		return false;
	if (strcmp(tag, "UNLISTEN") == 0)
		return unlistened(c);
	if (strcmp(tag, "COMMIT") == 0) {
		commit(c);
		l->has_savepoint = false;
	} else if (strcmp(tag, "ROLLBACK") == 0) {
		if (l->has_savepoint)
			l->is_rolled_back = true; /* what follows tells whether to a savepoint */
		else
			roll_back(l);
	} else if (strcmp(tag, "BEGIN") == 0 || strcmp(tag, "START TRANSACTION") == 0) {
		if (l->is_rolled_back)
			roll_back(l);
		l->is_rolled_back = l->has_savepoint = false;
	} else if (strcmp(tag, "SAVEPOINT") == 0)
		l->has_savepoint = true;
	else if (strcmp(tag, "DISCARD ALL") == 0)
		want_all_unlistened(l);
	return false;
}

bool
listen_error(struct client *c, const struct error_fields *e)
{
	struct client_listen *l = c->listen;
	const struct listen_effect *effect;
	struct buf b = { 0 };
	bool is_ours;

	if (l == NULL)
		return false;
	l->has_error = true;
	effect = TAILQ_FIRST(&l->effects);
	is_ours = effect != NULL && effect->ahead == 0 && effect->is_refused && effect->m->why != NULL &&
		  e->message != NULL && strstr(e->message, "\"" REFUSED "\"") != NULL;
	if (!is_ours)
		return false;
	report_error(c->entry, EO_PROXY, effect->m->why->sqlstate);
	message_error(&b, "ERROR", effect->m->why);
	if (buf_ok(&b))
		relay_answer(c, b.bytes, b.len);
	else
		relay_out_of_memory(c);
	buf_fini(&b);
	return true;
}

static void
end_effects(struct client_listen *l)
{
	struct listen_effect *e, *next;

	for (e = TAILQ_FIRST(&l->effects); e != NULL; e = next) {
		next = TAILQ_NEXT(e, link);
		if (e->ahead == 0)
			end_effect(l, e); /* it failed, or was skipped */
		else
			e->ahead--;
	}
}

static void
drop_portals(struct client_listen *l)
{
	struct listen_portal *p;

	while ((p = TAILQ_FIRST(&l->portals)) != NULL) {
		TAILQ_REMOVE(&l->portals, p, link);
		free(p);
	}
}

bool
listen_request_done(struct client *c)
{
	struct client_listen *l = c->listen;

	if (l == NULL)
		return false;
	end_effects(l);
	l->is_fresh = false;
	if (c->srv->tx != 'I') {
		l->has_error = l->is_rolled_back = false;
		return false;
	}
	if (l->has_error || l->is_rolled_back)
		roll_back(l);
	else
		commit(c);
	if (c->is_closing)
		return false;
	l->has_error = l->is_rolled_back = l->has_savepoint = false;
	if (c->srv->ledger.count == 0) {
		drop_portals(l);
		sweep(l);
	}
	return listen_keep_ready(c);
}

/* A server of a client that shares the pool's listens only to what its own statements asked for unforeseen. */
bool
listen_notification(struct client *c, const uint8_t *message, size_t len)
{
	const char *channel = (const char *)message + 9;
	const struct membership *m;

	if (c->listen == NULL || len <= 9 || memchr(channel, 0, len - 9) == NULL)
		return false;
	m = find(c->listen, channel);
	if (m != NULL && m == c->listen->marker) {
		server_marked(c->listen);
		return true;
	}
	if (m == NULL || !m->is_active || !m->is_heard)
		return false;
	return !m->is_adopted || c->listen->has_server_marked; /* then it comes from the hub */
}

void
listen_free(struct client *c)
{
	struct client_listen *l = c->listen;

	if (l == NULL)
		return;
	while (!TAILQ_EMPTY(&l->effects))
		end_effect(l, TAILQ_FIRST(&l->effects));
	drop_portals(l);
	while (l->table != NULL)
		membership_free(l->table);
	notify_detach(&l->ear);
	listen_queue_fini(l);
	l->is_waiting = l->is_ready_kept = false;
	l->awaited = l->marker = NULL;
}
