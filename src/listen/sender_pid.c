/*
 * src/listen/sender_pid.c - notifications carry the PID by which drivers know their sender.
 *
 * PostgreSQL puts the PID of the backend that ran NOTIFY into a notification, and a client compares it with the one in
 * its BackendKeyData ("is it my own?"). In transaction mode the latter is made up by pgweir, so the hub puts that PID
 * into notifications of which it is certain who sent them:
 *
 *   SQL that notifies waits until its server is borrowed and the hub has caught up; by then, all notifications of
 *   earlier borrowers of that server have arrived. From there on, notifications with the server's PID are this
 * client's. When its transaction is over, its ReadyForQuery and its server are kept until the hub has caught up again.
 *
 * This is done only while somebody listens through pgweir. Where the SQL doesn't show that it notifies (a trigger
 * does), the notification keeps the PID of its server.
 */
#include "listen/listen_state.h"
#include "listen/listen.h"
#include "statements/statements.h"
#include "base/mentions.h"

#include "wire/fields.h"
#include "wire/frame.h"

#include <string.h>

#define TEXT_MAX ((size_t)64 << 10) /* bytes of SQL that are examined */

static bool
has_notify(const char *text, size_t len)
{
	return text_mentions(text, len < TEXT_MAX ? len : TEXT_MAX, "notify");
}

static bool
statement_notifies(struct statement *st)
{
	if (st != NULL && st->notifies == STATEMENT_UNKNOWN)
		st->notifies = has_notify((const char *)st->bytes, st->query_len) ? STATEMENT_DOES : STATEMENT_DOES_NOT;
	return st != NULL && st->notifies == STATEMENT_DOES;
}

static bool
is_notifying(const struct exchange *x, const uint8_t *message, size_t have)
{
	const char *body = (const char *)message + FRAME_HEAD_LEN, *portal, *name;
	size_t len = have - FRAME_HEAD_LEN, names_len;

	if (message[0] != 'B')
		return has_notify(body, len);
	return fields_bind(message + FRAME_HEAD_LEN, len, &portal, &name, &names_len) &&
	       statement_notifies(statements_find(x, name));
}

static void
mark(struct exchange *x)
{
	x->listen->sending = SENDING_MARKED;
	x->srv->loan.notify_hub = x->listen->ear.hub;
	x->srv->loan.notify_as = x->told_pid;
}

static void
unmark(struct exchange *x)
{
	x->listen->sending = SENDING_NOT;
	if (x->srv != NULL)
		x->srv->loan.notify_hub = NULL;
	listen_detach_idle(x->listen);
}

enum listen_look
listen_look_at_sender(struct exchange *x, const uint8_t *message, size_t have, size_t total)
{
	const char *encoding;
	struct client_listen *l;

	if (listen_is_not_ours(x) || !is_notifying(x, message, have < total ? have : total))
		return LISTEN_GO;
	if ((l = listen_own(x)) == NULL)
		return LISTEN_FAILED;
	if (x->srv->loan.notify_hub != NULL) {
		l->sending = SENDING_MARKED;
		return LISTEN_GO;
	}
	encoding = image_get(x->image, "client_encoding");
	if (l->ear.hub == NULL && !notify_visit(x->entry, encoding == NULL ? "" : encoding, &l->ear, &listen_ear_ops))
		return LISTEN_GO;
	if (!notify_catch_up(&l->ear))
		return LISTEN_GO;
	l->sending = SENDING_WAITS;
	l->awaited = NULL;
	client_step(x, CE_AWAIT);
	return LISTEN_WAIT;
}

bool
listen_holds_server(struct exchange *x)
{
	struct client_listen *l = x->listen;

	if (l == NULL)
		return false;
	if (l->sending != SENDING_MARKED)
		return l->sending != SENDING_NOT;
	if (x->state == CL_READY_DUE) { /* the hub was asked after the transaction was over */
		l->sending = SENDING_ENDS;
		return true;
	}
	if (l->ear.waits != 0)
		return true; /* before it was over: the hub is asked again after that */
	if (!notify_catch_up(&l->ear)) {
		unmark(x);
		return false;
	}
	l->sending = SENDING_ENDS;
	return true;
}

bool
listen_pid_caught_up(struct exchange *x)
{
	struct client_listen *l = x->listen;

	if (l->sending == SENDING_WAITS && x->state == CL_AWAITING) {
		mark(x);
		listen_resume(x);
		return true;
	}
	if (l->sending == SENDING_ENDS)
		unmark(x);
	return false;
}

void
listen_unlinked(struct exchange *x, struct server *srv)
{
	srv->loan.notify_hub = NULL;
	if (x->listen != NULL)
		x->listen->sending = SENDING_NOT;
}
