/*
 * src/listen/sender_pid.c - gives notifications the PID that their sender was given in BackendKeyData.
 *
 * PostgreSQL puts the PID of the backend that ran NOTIFY into a notification. A client compares this PID with the PID
 * in its BackendKeyData, to recognize its own notifications. In transaction mode, pgweir has made up the PID in
 * BackendKeyData. So where the sender is certain (src/listen/README.md, 6), the listener replaces the server's PID in
 * the notification with the PID that pgweir has made up for the sender. If the SQL doesn't show that it notifies (a
 * trigger may run NOTIFY), the server's PID stays. PIDs are replaced only while a client listens through pgweir.
 */
#include "listen/listen_state.h"

static void
end_sending(struct exchange *x)
{
	x->listen->sending = SENDING_NOT;
	if (x->srv != NULL)
		x->srv->loan.notify_listener = NULL;
	listen_detach_idle(x->listen);
}

enum listen_gate
listen_gate_sender(struct exchange *x, const struct request *m)
{
	const char *encoding;
	struct client_listen *l;

	/* SQL of which only a part has arrived (m->traits == NULL) may notify, too. */
	if (listen_passes_unchanged(x) || !(m->traits == NULL ? m->type == 'Q' : request_has(m, 0, SCAN_HINT_NOTIFY)))
		return LISTEN_GO;
	if ((l = listen_get_or_create(x)) == NULL)
		return LISTEN_FAILED;
	if (x->srv->loan.notify_listener != NULL) {
		l->sending = SENDING_KNOWN_BY_PID;
		return LISTEN_GO;
	}
	encoding = gucs_get(x->gucs, "client_encoding");
	if (l->subscriber.listener == NULL && !notify_attach_if_listening(x->pool, encoding == NULL ? "" : encoding,
									  &l->subscriber, &listen_subscriber_ops))
		return LISTEN_GO;
	if (!notify_catch_up(&l->subscriber))
		return LISTEN_GO;
	l->sending = SENDING_WAITS;
	l->awaited = NULL;
	exchange_step(x, CE_AWAIT_LISTENER);
	return LISTEN_WAIT;
}

/* Not inlined, so that listen_hold_server() stays short enough to be inlined. */
__attribute__((noinline)) static bool
hold_until_caught_up(struct exchange *x)
{
	struct client_listen *l = x->listen;

	if (l->sending != SENDING_KNOWN_BY_PID)
		return l->sending != SENDING_NOT;
	if (x->state == CL_READY_WITHHELD) { /* the listener was asked to catch up after the end of the transaction */
		l->sending = SENDING_ENDS;
		return true;
	}
	if (l->subscriber.waiting_in != NULL)
		return true; /* the listener was asked before the end of the transaction, so it must be asked again */
	if (!notify_catch_up(&l->subscriber)) {
		end_sending(x);
		return false;
	}
	l->sending = SENDING_ENDS;
	return true;
}

bool
listen_hold_server(struct exchange *x)
{
	return x->listen != NULL && hold_until_caught_up(x);
}

bool
listen_pid_on_caught_up(struct exchange *x)
{
	struct client_listen *l = x->listen;

	if (l->sending == SENDING_WAITS && x->state == CL_AWAITING_LISTENER) {
		l->sending = SENDING_KNOWN_BY_PID;
		x->srv->loan.notify_listener = l->subscriber.listener;
		x->srv->loan.notify_as = x->client_pid;
		listen_resume(x);
		return true;
	}
	if (l->sending == SENDING_ENDS)
		end_sending(x);
	return false;
}

inline void
listen_unlinked(struct exchange *x, struct server *srv)
{
	srv->loan.notify_listener = NULL;
	if (x->listen != NULL)
		x->listen->sending = SENDING_NOT;
}
