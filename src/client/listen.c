/* src/client/listen.c - waiting for the hub, and what the answers of servers mean: see listen.h. */
#include "client/listen_state.h"

#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>

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

void
listen_answered(struct notify_member *member, const struct fail *why)
{
	struct membership *m = (struct membership *)member;
	struct client *c = m->c;
	struct client_listen *l = c->listen;

	m->is_heard = why == NULL;
	if (why != NULL)
		membership_refuse(m, why);
	if (m->is_awaited) {
		m->is_awaited = false;
		listen_adopted(c, why);
	} else if (why != NULL && m->is_active)
		membership_lost(c, m);
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
	membership_refuse(l->awaited, &why);
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
		listen_wish_none(l);
	else if (is_listen)
		membership_wish(l, e->m, KNOWN_LISTEN);
	else {
		struct membership *m = membership_find(l, e->name);

		if (m != NULL)
			membership_wish(l, m, KNOWN_UNLISTEN);
	}
	listen_end_effect(l, e);
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
		listen_commit(c);
		l->has_savepoint = false;
	} else if (strcmp(tag, "ROLLBACK") == 0) {
		if (l->has_savepoint)
			l->is_rolled_back = true; /* what follows tells whether to a savepoint */
		else
			listen_roll_back(l);
	} else if (strcmp(tag, "BEGIN") == 0 || strcmp(tag, "START TRANSACTION") == 0) {
		if (l->is_rolled_back)
			listen_roll_back(l);
		l->is_rolled_back = l->has_savepoint = false;
	} else if (strcmp(tag, "SAVEPOINT") == 0)
		l->has_savepoint = true;
	else if (strcmp(tag, "DISCARD ALL") == 0)
		listen_wish_none(l);
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
		  e->message != NULL && strstr(e->message, "\"" LISTEN_REFUSED "\"") != NULL;
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
			listen_end_effect(l, e); /* it failed, or was skipped */
		else
			e->ahead--;
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
		listen_roll_back(l);
	else
		listen_commit(c);
	if (c->is_closing)
		return false;
	l->has_error = l->is_rolled_back = l->has_savepoint = false;
	if (c->srv->ledger.count == 0) {
		listen_drop_portals(l);
		listen_sweep(l);
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
	m = membership_find(c->listen, channel);
	if (m != NULL && m == c->listen->marker) {
		listen_server_marked(c->listen);
		return true;
	}
	if (m == NULL || !m->is_active || !m->is_heard)
		return false;
	return !m->is_adopted || c->listen->has_server_marked; /* then it comes from the hub */
}
