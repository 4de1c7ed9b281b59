/*
 * src/state/linger.c - currval() and lastval() need the connection that ran nextval(); see state/state_state.h.
 *
 * Only one backend knows what a sequence returned last, and nearly every INSERT into a table with a serial column
 * changes that: if this pinned, there would be no pooling. So a client that inserts (without RETURNING) or names a
 * sequence keeps its connection between transactions, for 200 ms and as long as nobody waits for one: it lingers. No
 * client has to wait because of a currval() that may come: a client that finds no free connection gets that of one that
 * lingers.
 *
 * The lingering client releases its connection a turn of the loop later: the release sets off another client's work,
 * which must not happen while the waiting client's batch is being handled.
 *
 * No client can see another's value: ahead of a client's first SQL that may use or read a sequence, the connection
 * forgets the values of others, and PostgreSQL reports that there is none. In a database without sequences, SQL that
 * only writes uses none, and costs nothing.
 */
#include "state/state_state.h"
#include "relay/relay.h"
#include "state/state.h"

#include "base/clock.h"

#define LINGER_US (200 * US_PER_MS)

static bool
may_linger(const struct exchange *x)
{
	return *x->env->now_us - x->sequence_us < LINGER_US && !pool_is_wanted(x->entry->policy);
}

void
session_stop_lingering(struct exchange *x)
{
	if (!x->is_lingering)
		return;
	TAILQ_REMOVE(&x->env->lingering, x, lingering);
	x->is_lingering = false;
}

bool
session_lingers(struct exchange *x)
{
	if (!may_linger(x)) {
		session_stop_lingering(x);
		return false;
	}
	if (!x->is_lingering)
		TAILQ_INSERT_TAIL(&x->env->lingering, x, lingering);
	x->is_lingering = true;
	return true;
}

void
session_yield(struct exchange_env *env)
{
	if (!TAILQ_EMPTY(&env->lingering))
		event_active(env->linger_timer, EV_TIMEOUT, 0);
}

void
session_linger_tick(struct exchange_env *env)
{
	struct exchange *x = TAILQ_FIRST(&env->lingering);

	while (x != NULL) {
		if (may_linger(x)) {
			x = TAILQ_NEXT(x, lingering);
			continue;
		}
		session_stop_lingering(x);
		relay_try_release(x);
		x = TAILQ_FIRST(&env->lingering); /* the release may have changed the list */
	}
}

static void
on_linger_timer(evutil_socket_t fd, short what, void *arg)
{
	struct exchange_env *env = arg;

	(void)fd;
	(void)what;
	*env->now_us = clock_now_us();
	session_linger_tick(env);
}

int
session_linger_init(struct exchange_env *env)
{
	TAILQ_INIT(&env->lingering);
	env->linger_timer = event_new(env->base, -1, 0, on_linger_timer, env);
	return env->linger_timer == NULL ? -1 : 0;
}

/*
 * The backend remembers sequences of another client: sends DISCARD SEQUENCES. It needs no Sync of its own, which would
 * double its cost: it never fails, and no rollback undoes it.
 */
static int
discard_sequences(struct exchange *x)
{
	struct buf b = { 0 };
	int r;

	session_put_run(&b, "DISCARD SEQUENCES");
	x->srv->unnamed_of = 0;
	r = ledger_push_run(&x->srv->ledger, OWED_TO_IMAGE, NULL);
	if (r == 0 && buf_ok(&b))
		outbox_copy(&x->env->to_server, b.bytes, b.len);
	else
		r = -1;
	buf_fini(&b);
	return r;
}

/*
 * Returns true for SQL that only writes, in a database without sequences, unless this transaction may have created the
 * first one. If the catalogs were asked too long ago, nothing is lost: this SQL reads no value, and a client that reads
 * one later does not own what this SQL has left.
 */
static bool
writes_without_sequences(const struct exchange *x, uint32_t flags)
{
	const struct loan *loan = &x->srv->loan;

	return (flags & ~(uint32_t)(SCAN_INSERT | SCAN_WRITES)) == 0 && loan->suspicion == 0 &&
	       !loan->has_changed_code && !pool_entry_has_sequences(x->entry, *x->env->now_us);
}

int
session_used_sequence(struct exchange *x, uint32_t flags)
{
	struct server *srv = x->srv;
	uint64_t of = srv->sequences_of;

	if (of != x->id && writes_without_sequences(x, flags))
		return 0;
	if (flags & (SCAN_SEQUENCE | SCAN_NEXTVAL | SCAN_INSERT))
		x->sequence_us = *x->env->now_us;
	if (of == x->id || srv->tx == 'E' || !session_is_followed(x))
		return 0;
	srv->sequences_of = x->id;
	return of == 0 ? 0 : discard_sequences(x);
}

/* SQL may have used a sequence although it doesn't show it: by triggers, by defaults in a COPY, ... */
void
session_leaves_sequences(struct exchange *x)
{
	struct server *srv = x->srv;

	if (srv->loan.has_run && srv->sequences_of != x->id)
		srv->sequences_of = SEQUENCES_OF_MANY;
}
