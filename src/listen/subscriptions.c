/*
 * src/listen/subscriptions.c - the channels that a client listens to, or may soon listen to; see listen.h.
 *
 * A subscription begins when a LISTEN arrives, because the listener must listen before the LISTEN can be answered. An
 * answered LISTEN is a pending change: a commit makes the subscription active, a rollback drops the change.
 */
#include "listen/listen_state.h"
#include "base/text.h"

#include <assert.h>

struct client_listen *
listen_get_or_create(struct exchange *x)
{
	struct client_listen *l = x->listen;

	if (l != NULL || (l = calloc(1, sizeof(*l))) == NULL)
		return l;
	l->x = x;
	l->is_swept = true;
	TAILQ_INIT(&l->unsettled);
	TAILQ_INIT(&l->effects);
	TAILQ_INIT(&l->portals);
	x->listen = l;
	if (x->srv != NULL)
		listen_linked(x, x->srv);
	return l;
}

void
listen_linked(struct exchange *x, struct server *srv)
{
	srv->loan.passes_replies_early = x->listen != NULL;
	srv->loan.notify_listener = NULL;
}

struct subscription *
subscription_find(const struct client_listen *l, const char *name)
{
	struct subscription *sub;

	TABLE_FIND(l->x->env->hash_seed, l->table, name, strlen(name), sub);
	return sub;
}

static void
set_unsettled(struct client_listen *l, struct subscription *sub, bool is_unsettled)
{
	if (sub->is_unsettled == is_unsettled)
		return;
	sub->is_unsettled = is_unsettled;
	if (is_unsettled)
		TAILQ_INSERT_TAIL(&l->unsettled, sub, unsettled);
	else
		TAILQ_REMOVE(&l->unsettled, sub, unsettled);
}

void
subscription_set_refused(struct subscription *sub, const struct fail *why)
{
	sub->listener_state = LISTENER_REFUSED;
	if (sub->why != NULL || (sub->why = malloc(sizeof(*sub->why))) != NULL)
		*sub->why = *why;
}

static int
join_listener(struct exchange *x, struct subscription *sub)
{
	struct client_listen *l = x->listen;
	const char *encoding = gucs_get(x->gucs, "client_encoding");
	struct fail why;

	if (HASH_COUNT(l->table) > LISTEN_CHANNELS_MAX) {
		fail_set(&why, "54000", "a client may listen to at most %d channels through pgweir",
			 LISTEN_CHANNELS_MAX);
		subscription_set_refused(sub, &why);
		return 0;
	}
	if (l->subscriber.listener == NULL &&
	    notify_attach(x->pool, encoding == NULL ? "" : encoding, &l->subscriber, &listen_subscriber_ops) < 0)
		return -1;
	return notify_join(&l->subscriber, &sub->at_listener, sub->name);
}

static void
subscription_free(struct subscription *sub)
{
	struct client_listen *l = sub->x->listen;

	assert(sub->refs == 0);
	notify_leave(&sub->at_listener);
	l->is_recheck_due = true;
	assert(l->active_count >= sub->is_active);
	l->active_count -= sub->is_active;
	set_unsettled(l, sub, false);
	HASH_DELETE(hh, l->table, sub);
	free(sub->why);
	free(sub);
}

struct subscription *
subscription_get_or_create(struct exchange *x, const char *name)
{
	struct client_listen *l = listen_get_or_create(x);
	struct subscription *sub;

	if (l == NULL)
		return NULL;
	if ((sub = subscription_find(l, name)) != NULL)
		return sub;
	/* The one subscription beyond LISTEN_CHANNELS_MAX is refused, but stays until the end of the transaction. It
	 * stands for all further channels: else a client could add subscriptions forever in a failed transaction. */
	if (HASH_COUNT(l->table) > LISTEN_CHANNELS_MAX)
		return ELMT_FROM_HH(l->table->hh.tbl, l->table->hh.tbl->tail);
	if ((sub = calloc(1, sizeof(*sub))) == NULL)
		return NULL;
	sub->x = x;
	if (!copy_string(sub->name, sizeof(sub->name), name) ||
	    !TABLE_ADD(l->x->env->hash_seed, l->table, sub->name, strlen(sub->name), sub)) {
		free(sub);
		return NULL;
	}
	set_unsettled(l, sub, true);
	l->is_swept = false;
	if (join_listener(x, sub) == 0)
		return sub;
	subscription_free(sub);
	return NULL;
}

void
listen_sweep(struct client_listen *l)
{
	struct subscription *sub, *next;

	if (l->is_swept)
		return;
	l->is_swept = l->awaited == NULL; /* subscriptions that the waiting message wants are kept */
	for (sub = TAILQ_FIRST(&l->unsettled); sub != NULL; sub = next) {
		next = TAILQ_NEXT(sub, unsettled);
		if (sub->pending_change != KNOWN_NOT)
			continue;
		if (sub->is_active)
			set_unsettled(l, sub, false);
		else if (sub->refs == 0 && l->awaited == NULL)
			subscription_free(sub);
	}
	listen_detach_idle(l);
}

void
listen_detach_idle(struct client_listen *l)
{
	if (l->table == NULL && l->subscriber.waiting_in == NULL && l->sending == SENDING_NOT)
		notify_detach(&l->subscriber);
}

void
subscription_unref(struct subscription *sub)
{
	assert(sub->refs > 0);
	sub->refs--;
	sub->x->listen->is_swept = false;
	sub->x->listen->is_recheck_due = true;
}

void
subscription_note_change(struct client_listen *l, struct subscription *sub, enum known_kind kind)
{
	sub->pending_change = (uint8_t)kind;
	if (kind == KNOWN_LISTEN || !listen_is_in_savepoint(l->x))
		sub->change_after_rollback = sub->pending_change;
	set_unsettled(l, sub, true);
	l->has_pending_change = true;
	l->is_swept = false;
}

void
listen_note_unlisten_all(struct client_listen *l)
{
	for (struct subscription *sub = l->table; sub != NULL; sub = sub->hh.next)
		if (sub->is_active || sub->pending_change != KNOWN_NOT)
			subscription_note_change(l, sub, KNOWN_UNLISTEN);
}

/* Closes the client, because its notifications are lost, and there is no other way to report that. */
void
subscription_close_client(struct exchange *x, const struct subscription *sub)
{
	struct fail why;

	fail_set(&why, sub->why == NULL ? "08006" : sub->why->sqlstate, "pgweir cannot listen to \"%s\" any more: %s",
		 sub->name, sub->why == NULL ? "out of memory" : sub->why->text);
	if (x->srv != NULL)
		server_condemn(x->srv, SERVER_IN_DOUBT);
	exchange_close(x, &why);
}

void
subscription_set_active(struct client_listen *l, struct subscription *sub, bool is_active)
{
	assert(is_active || l->active_count >= sub->is_active);
	if (sub->is_active != is_active)
		l->active_count += is_active ? 1u : (uint32_t)-1;
	sub->is_active = is_active;
	l->is_recheck_due = true;
	if (!is_active)
		listen_drop_notifications(l, sub->name);
}

bool
listen_commit(struct exchange *x)
{
	struct client_listen *l = x->listen;
	const struct subscription *refused = NULL;
	struct subscription *sub;

	if (!l->has_pending_change)
		return true;
	l->has_pending_change = false;
	l->is_swept = false; /* so that listen_sweep() takes the settled subscriptions off the list */
	TAILQ_FOREACH(sub, &l->unsettled, unsettled) {
		uint8_t pending_change = sub->pending_change;

		sub->pending_change = sub->change_after_rollback = KNOWN_NOT;
		if (pending_change != KNOWN_NOT)
			subscription_set_active(l, sub, pending_change == KNOWN_LISTEN);
		if (sub->is_active && sub->listener_state == LISTENER_REFUSED)
			refused = sub;
	}
	listen_settle_uncommitted(l);
	if (refused != NULL)
		subscription_close_client(x, refused);
	return refused == NULL;
}

void
listen_roll_back(struct client_listen *l)
{
	struct subscription *sub;

	if (!l->has_pending_change)
		return;
	l->has_pending_change = false;
	l->is_recheck_due = true;
	TAILQ_FOREACH(sub, &l->unsettled, unsettled)
		sub->pending_change = sub->change_after_rollback = KNOWN_NOT;
	listen_settle_uncommitted(l);
}

/*
 * A LISTEN within a savepoint is sent unchanged (queries.c), and PostgreSQL itself rolls it back. But a LISTEN that was
 * prepared before the savepoint is replaced as usual, and is not undone here. An UNLISTEN within any savepoint is
 * undone, whichever savepoint is rolled back to. So at worst the client gets too many notifications.
 */
void
listen_roll_back_to_savepoint(struct client_listen *l)
{
	struct subscription *sub;

	l->is_recheck_due = true;
	TAILQ_FOREACH(sub, &l->unsettled, unsettled)
		sub->pending_change = sub->change_after_rollback;
}

void
listen_free(struct exchange *x)
{
	struct client_listen *l = x->listen;

	if (l == NULL)
		return;
	while (!TAILQ_EMPTY(&l->effects))
		listen_end_effect(l, TAILQ_FIRST(&l->effects));
	listen_drop_portals(l);
	while (l->table != NULL)
		subscription_free(l->table);
	notify_detach(&l->subscriber);
	listen_queue_fini(l);
	l->awaited = NULL;
}

void
listen_free_unused(struct exchange *x)
{
	struct client_listen *l = x->listen;

	if (l->table != NULL || !TAILQ_EMPTY(&l->effects) || !TAILQ_EMPTY(&l->portals) || l->queue.len > 0 ||
	    l->uncommitted.len > 0 || l->subscriber.waiting_in != NULL || l->sending != SENDING_NOT || l->is_overrun)
		return;
	listen_free(x);
	free(l);
	x->listen = NULL;
}
