/*
 * src/client/session_linger.c - currval() and lastval() want the connection that ran nextval(); see session.h.
 *
 * What a sequence gave last is known to one backend only, and nearly every INSERT into a table with a serial column
 * changes it: to pin for that would be the end of pooling. So a client that inserts (without RETURNING) or names a
 * sequence keeps its connection for a moment after its transaction, as long as nobody else wants one: it lingers.
 * Whoever asks for a connection when none is idle gets that of the one who lingers.
 *
 * A moment is meant: 200 ms, or 5 ms while others wait.
 *
 * A client whose first word on a connection is currval() or lastval() does not get to see another's value: the
 * connection forgets them first, and PostgreSQL says that there is none.
 */
#include "client/session.h"

#include "base/clock.h"
#include "wire/messages.h"

#define LINGER_US (200 * US_PER_MS)
#define HOLD_US (5 * US_PER_MS)
#define HOLDS_WASTED_MAX 1000

/*
 * A client that comes back at once gets its answer even if others wait: so long it is not let go for them. In a pool
 * where a thousand such waits were for nothing nobody asks for currval(), and it is not done any more until one does.
 */
static bool
is_held(const struct client *c)
{
	return c->entry->holds_wasted < HOLDS_WASTED_MAX && *c->env->now_us - c->srv->last_done_us < HOLD_US;
}

static bool
may_linger(const struct client *c, bool *is_hold)
{
	struct pool_counts counts;

	*is_hold = false;
	if (c->is_let_go || *c->env->now_us - c->sequence_us >= LINGER_US)
		return false;
	pool_get_counts(c->entry->policy, &counts);
	if (counts.waiting <= counts.opening) /* those in line are being served */
		return true;
	*is_hold = is_held(c);
	return *is_hold;
}

void
session_stop_lingering(struct client *c)
{
	if (!c->is_lingering)
		return;
	TAILQ_REMOVE(&c->env->lingering, c, lingering);
	c->is_lingering = false;
}

static void
wake_soon(struct client_env *env)
{
	static const struct timeval hold = { 0, (suseconds_t)HOLD_US };

	if (env->linger_timer != NULL && !event_pending(env->linger_timer, EV_TIMEOUT, NULL))
		event_add(env->linger_timer, &hold);
}

bool
session_lingers(struct client *c)
{
	bool is_hold;

	if (!may_linger(c, &is_hold)) {
		session_stop_lingering(c);
		return false;
	}
	if (!c->is_lingering)
		TAILQ_INSERT_TAIL(&c->env->lingering, c, lingering);
	c->is_lingering = true;
	if (is_hold)
		wake_soon(c->env);
	return true;
}

static void
let_go(struct client *c)
{
	session_stop_lingering(c);
	if (c->entry->holds_wasted < HOLDS_WASTED_MAX)
		c->entry->holds_wasted++;
	c->is_let_go = true;
	relay_try_release(c);
	c->is_let_go = false;
}

void
session_yield(struct client_env *env, struct pool_entry *entry)
{
	struct pool_counts counts;
	struct client *c;

	pool_get_counts(entry->policy, &counts);
	if (counts.idle > 0 || counts.lent + counts.opening + counts.pinging < entry->settings.pool_size)
		return;
	TAILQ_FOREACH(c, &env->lingering, lingering)
	if (c->entry == entry && c->srv->ledger.count == 0) {
		if (is_held(c))
			wake_soon(env);
		else
			let_go(c);
		return;
	}
}

void
session_linger_tick(struct client_env *env)
{
	struct client *c, *next;
	bool is_hold, has_held = false;

	for (c = TAILQ_FIRST(&env->lingering); c != NULL; c = next) {
		next = TAILQ_NEXT(c, lingering);
		if (may_linger(c, &is_hold)) {
			has_held = has_held || is_hold;
			continue;
		}
		let_go(c);
		next = TAILQ_FIRST(&env->lingering); /* whatever that has set off */
	}
	if (has_held)
		wake_soon(env);
}

static void
on_linger_timer(evutil_socket_t fd, short what, void *arg)
{
	struct client_env *env = arg;

	(void)fd;
	(void)what;
	*env->now_us = clock_now_us();
	session_linger_tick(env);
}

int
session_linger_init(struct client_env *env)
{
	TAILQ_INIT(&env->lingering);
	env->linger_timer = event_new(env->base, -1, 0, on_linger_timer, env);
	return env->linger_timer == NULL ? -1 : 0;
}

/* What the backend remembers of sequences is another client's. */
static int
discard_sequences(struct client *c)
{
	bool is_alone = c->srv->is_synced;
	struct buf b = { 0 };
	int r;

	session_put_run(&b, "DISCARD SEQUENCES");
	c->srv->unnamed_of = 0;
	r = ledger_push_run(&c->srv->ledger, OWED_TO_IMAGE, NULL);
	if (is_alone && r == 0) {
		message_sync(&b);
		r = server_owe_sync(c->srv, OWED_TO_IMAGE);
	}
	if (r == 0 && buf_ok(&b))
		outbox_copy(&c->env->to_server, b.bytes, b.len);
	else
		r = -1;
	buf_fini(&b);
	return r;
}

int
session_used_sequence(struct client *c, uint32_t flags)
{
	const struct server *srv = c->srv;

	c->sequence_us = *c->env->now_us;
	if (flags & SCAN_SEQUENCE)
		c->entry->holds_wasted = 0;
	if (!(flags & SCAN_SEQUENCE) || srv->previous_id == c->id || srv->has_run || srv->tx != 'I')
		return 0;
	return discard_sequences(c);
}
