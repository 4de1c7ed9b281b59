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
listen_own(struct exchange *x)
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
	srv->loan.announces_ready = x->listen != NULL;
	srv->loan.notify_listener = NULL;
}

struct subscription *
subscription_find(const struct client_listen *l, const char *name)
{
	struct subscription *m;

	TABLE_FIND(l->x->env->hash_seed, l->table, name, strlen(name), m);
	return m;
}

static void
set_unsettled(struct client_listen *l, struct subscription *m, bool is_unsettled)
{
	if (m->is_unsettled == is_unsettled)
		return;
	m->is_unsettled = is_unsettled;
	if (is_unsettled)
		TAILQ_INSERT_TAIL(&l->unsettled, m, unsettled);
	else
		TAILQ_REMOVE(&l->unsettled, m, unsettled);
}

void
subscription_refuse(struct subscription *m, const struct fail *why)
{
	m->listener_state = HEARING_REFUSED;
	if (m->why != NULL || (m->why = malloc(sizeof(*m->why))) != NULL)
		*m->why = *why;
}

static int
join_listener(struct exchange *x, struct subscription *m)
{
	struct client_listen *l = x->listen;
	const char *encoding = gucs_get(x->gucs, "client_encoding");
	struct fail why;

	if (HASH_COUNT(l->table) > LISTEN_CHANNELS_MAX) {
		fail_set(&why, "54000", "a client may listen to at most %d channels through pgweir",
			 LISTEN_CHANNELS_MAX);
		subscription_refuse(m, &why);
		return 0;
	}
	if (l->subscriber.listener == NULL &&
	    notify_attach(x->pool, encoding == NULL ? "" : encoding, &l->subscriber, &listen_subscriber_ops) < 0)
		return -1;
	return notify_join(&l->subscriber, &m->at_listener, m->name);
}

static void
subscription_free(struct subscription *m)
{
	struct client_listen *l = m->x->listen;

	assert(m->refs == 0);
	notify_leave(&m->at_listener);
	l->is_recheck_due = true;
	assert(l->active_count >= m->is_active);
	l->active_count -= m->is_active;
	set_unsettled(l, m, false);
	HASH_DELETE(hh, l->table, m);
	free(m->why);
	free(m);
}

struct subscription *
subscription_want(struct exchange *x, const char *name)
{
	struct client_listen *l = listen_own(x);
	struct subscription *m;

	if (l == NULL)
		return NULL;
	if ((m = subscription_find(l, name)) != NULL)
		return m;
	/* Each subscription beyond the limit is refused, but stays until the end of the transaction; so there is a
	 * second limit, without which a client could go on in a failed transaction forever. */
	if (HASH_COUNT(l->table) > 2 * LISTEN_CHANNELS_MAX || (m = calloc(1, sizeof(*m))) == NULL)
		return NULL;
	m->x = x;
	if (!copy_string(m->name, sizeof(m->name), name) ||
	    !TABLE_ADD(l->x->env->hash_seed, l->table, m->name, strlen(m->name), m)) {
		free(m);
		return NULL;
	}
	set_unsettled(l, m, true);
	l->is_swept = false;
	if (join_listener(x, m) == 0)
		return m;
	subscription_free(m);
	return NULL;
}

void
listen_sweep(struct client_listen *l)
{
	struct subscription *m, *next;

	if (l->is_swept)
		return;
	l->is_swept = l->awaited == NULL; /* subscriptions that the waiting message wants are kept */
	for (m = TAILQ_FIRST(&l->unsettled); m != NULL; m = next) {
		next = TAILQ_NEXT(m, unsettled);
		if (m->pending_change != KNOWN_NOT)
			continue;
		if (m->is_active)
			set_unsettled(l, m, false);
		else if (m->refs == 0 && l->awaited == NULL)
			subscription_free(m);
	}
	listen_detach_idle(l);
}

void
listen_detach_idle(struct client_listen *l)
{
	if (l->table == NULL && l->subscriber.waits == NULL && l->sending == SENDING_NOT)
		notify_detach(&l->subscriber);
}

void
subscription_unref(struct subscription *m)
{
	assert(m->refs > 0);
	m->refs--;
	m->x->listen->is_swept = false;
	m->x->listen->is_recheck_due = true;
}

void
subscription_change(struct client_listen *l, struct subscription *m, enum known_kind kind)
{
	m->pending_change = (uint8_t)kind;
	if (kind == KNOWN_LISTEN || !listen_is_in_savepoint(l->x))
		m->change_after_rollback = m->pending_change;
	set_unsettled(l, m, true);
	l->has_pending_change = true;
	l->is_swept = false;
}

void
listen_unlisten_all(struct client_listen *l)
{
	for (struct subscription *m = l->table; m != NULL; m = m->hh.next)
		if (m->is_active || m->pending_change != KNOWN_NOT)
			subscription_change(l, m, KNOWN_UNLISTEN);
}

/* Closes the client, because its notifications are lost, and there is no other way to report that. */
void
subscription_lost(struct exchange *x, const struct subscription *m)
{
	struct fail why;

	fail_set(&why, m->why == NULL ? "08006" : m->why->sqlstate, "pgweir cannot listen to \"%s\" any more: %s",
		 m->name, m->why == NULL ? "out of memory" : m->why->text);
	if (x->srv != NULL)
		server_condemn(x->srv, SERVER_IN_DOUBT);
	exchange_close(x, &why);
}

void
subscription_set_active(struct client_listen *l, struct subscription *m, bool is_active)
{
	assert(is_active || l->active_count >= m->is_active);
	if (m->is_active != is_active)
		l->active_count += is_active ? 1u : (uint32_t)-1;
	m->is_active = is_active;
	l->is_recheck_due = true;
	if (!is_active)
		listen_drop_channel(l, m->name);
}

bool
listen_commit(struct exchange *x)
{
	struct client_listen *l = x->listen;
	const struct subscription *refused = NULL;
	struct subscription *m;

	if (!l->has_pending_change)
		return true;
	l->has_pending_change = false;
	l->is_swept = false; /* active subscriptions without a pending change leave the list */
	TAILQ_FOREACH(m, &l->unsettled, unsettled) {
		uint8_t pending_change = m->pending_change;

		m->pending_change = m->change_after_rollback = KNOWN_NOT;
		if (pending_change != KNOWN_NOT)
			subscription_set_active(l, m, pending_change == KNOWN_LISTEN);
		if (m->is_active && m->listener_state == HEARING_REFUSED)
			refused = m;
	}
	listen_settle_uncommitted(l);
	if (refused != NULL)
		subscription_lost(x, refused);
	return refused == NULL;
}

void
listen_roll_back(struct client_listen *l)
{
	struct subscription *m;

	if (!l->has_pending_change)
		return;
	l->has_pending_change = false;
	l->is_recheck_due = true;
	TAILQ_FOREACH(m, &l->unsettled, unsettled)
		m->pending_change = m->change_after_rollback = KNOWN_NOT;
	listen_settle_uncommitted(l);
}

/*
 * A LISTEN within a savepoint is PostgreSQL's business (queries.c), except one that was prepared before the savepoint:
 * this LISTEN stays. An UNLISTEN within any savepoint is undone, whichever savepoint is rolled back to. So at worst the
 * client gets too many notifications.
 */
void
listen_roll_back_to_savepoint(struct client_listen *l)
{
	struct subscription *m;

	l->is_recheck_due = true;
	TAILQ_FOREACH(m, &l->unsettled, unsettled)
		m->pending_change = m->change_after_rollback;
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
	    l->uncommitted.len > 0 || l->subscriber.waits != NULL || l->sending != SENDING_NOT || l->is_overrun)
		return;
	listen_free(x);
	free(l);
	x->listen = NULL;
}
