/*
 * src/listen/server_listen.c - where the borrowed server itself must listen, for PostgreSQL to give the right answer;
 * see listen.h.
 *
 *   PREPARE TRANSACTION       is refused in a transaction that has run LISTEN: a real LISTEN is sent ahead of it.
 *   pg_listening_channels()   returns what the server listens to: it is made to listen to all of the client's channels,
 *                             until it is returned and sealed. Not within a transaction block, where a LISTEN takes
 *                             effect at the end only.
 *
 * Notifications from the server are not passed meanwhile: the listener delivers them (listen_notification).
 */
#include "listen/listen_state.h"
#include "listen/listen.h"
#include "session/image_changes.h"
#include "wire/messages.h"

/* Sends LISTEN for all channels that the client listens to, or (is_pending) will when its transaction commits. */
static void
put_listens(const struct client_listen *l, bool is_pending, struct buf *sql)
{
	for (const struct subscription *m = l->table; m != NULL; m = m->hh.next) {
		if (is_pending ? m->pending_change == KNOWN_NOT : !m->is_active)
			continue;
		buf_printf(sql, "LISTEN ");
		image_put_identifier(sql, m->name, false);
		buf_put_u8(sql, ';');
	}
	buf_put_u8(sql, 0);
}

static void
listen_really(struct exchange *x, bool is_pending)
{
	struct buf sql = { 0 }, message = { 0 };

	put_listens(x->listen, is_pending, &sql);
	message_put(&message, 'Q', sql.bytes, sql.len);
	message.is_broken = message.is_broken || !buf_ok(&sql);
	buf_fini(&sql);
	server_owe_query(x->srv, OWED_TO_FEATURE);
	outbox_put(&x->env->to_server, &message);
}

enum feature_step
listen_before_sql(struct exchange *x, struct request *m)
{
	struct client_listen *l = x->listen;
	struct server *srv = x->srv;
	bool is_prepare;

	if (l == NULL || l->table == NULL || !srv->is_synced || listen_is_not_ours(x))
		return STEP_FORWARD;
	is_prepare = request_begins_with(m, WORD_PREPARE) && !request_has(m, SCAN_PREPARE, 0);
	if (!is_prepare && (l->active_count == 0 || l->is_shown || (x->pins & 1u << PIN_LISTEN) ||
			    !request_has(m, 0, SCAN_HINT_CHANNELS)))
		return STEP_FORWARD;
	if (srv->ledger.count > 0)
		return STEP_HOLD;
	if (srv->tx != (is_prepare ? 'T' : 'I') || (is_prepare && !l->has_pending_change))
		return STEP_FORWARD;
	srv->loan.kept.state = KEPT_NOT;
	if (is_prepare)
		srv->loan.suspected |= SCAN_LISTEN; /* in case PostgreSQL does not refuse it */
	else {
		srv->loan.settled |= SCAN_LISTEN; /* so that it is sealed when it is returned */
		l->is_shown = true;
	}
	listen_really(x, is_prepare);
	return STEP_FORWARD;
}
