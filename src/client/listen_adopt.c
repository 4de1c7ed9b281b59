/*
 * src/client/listen_adopt.c - a LISTEN that nobody foresaw; see listen.h.
 *
 * From a server that listens to the hub, so that nothing is lost, doubled or overtaken: when the hub listens too, the
 * server is told to notify a channel of this client's own. Both hear that in its place among all others: what comes
 * before it is taken from the server, what comes after it from the hub.
 */
#include "client/listen_state.h"

#include "wire/messages.h"

#include <stdio.h>
#include <string.h>

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

void
listen_server_marked(struct client_listen *l)
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

void
listen_adopted(struct client *c, const struct fail *why)
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
	l->marker = membership_want(c, name);
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

	if (begin_adoption(c) < 0 || (m = membership_want(c, channel)) == NULL)
		return -1;
	if (m->is_active && m->is_heard)
		return 0; /* the hub's word is enough */
	membership_set_active(c->listen, m, true);
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
	listen_server_marked(l); /* if it never came: nothing more comes from there */
}
