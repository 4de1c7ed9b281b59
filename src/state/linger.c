/*
 * src/state/linger.c - currval() and lastval() want the connection that ran nextval(); see state/state_state.h.
 *
 * What a sequence gave last is known to one backend only, and nearly every INSERT into a table with a serial column
 * changes it: to pin for that would be the end of pooling. So a client that inserts (without RETURNING) or names a
 * sequence keeps its connection until 200 ms after that, between transactions, as long as nobody is in line for one: it
 * lingers. Nobody is kept waiting for a currval() that may come: whoever finds no connection gets that of the one who
 * lingers.
 *
 * That one lets go of it a turn of the loop later: what this sets off is another client's work, and has no place within
 * the packet of the client that asked.
 *
 * No client gets to see another's value: ahead of the first SQL of a client that may touch a sequence, or read one, the
 * connection forgets those of others, and PostgreSQL reports that there is none. In a database that has no sequence,
 * SQL that only writes touches none, and costs nothing.
 *
 * What makes it forget shares the fate of what it stands ahead of, up to the Sync: both run, or both are skipped. So
 * SQL behind an unanswered request waits: that may leave a failed transaction, which refuses to forget, and whether
 * anything was forgotten within it is not known.
 */
#include "state/state_state.h"
#include "relay/relay.h"
#include "state/state.h"

#include "base/clock.h"

#include <string.h>

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
		x = TAILQ_FIRST(&env->lingering); /* whatever that has set off */
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
 * What the backend remembers of sequences is another client's. No Sync of its own is needed, which would cost as much
 * as the rest: it never fails, and no rollback takes it back.
 */
static int
discard_sequences(struct exchange *x)
{
	struct buf b = { 0 };
	int r;

	session_put_run(&b, "DISCARD SEQUENCES");
	x->srv->unnamed_of = 0;
	x->srv->is_discarding = true;
	r = ledger_push_run(&x->srv->ledger, OWED_TO_IMAGE, x->srv);
	if (r == 0 && buf_ok(&b))
		outbox_copy(&x->env->to_server, b.bytes, b.len);
	else
		r = -1;
	buf_fini(&b);
	return r;
}

void
session_discard_settled(struct server *srv, enum owed_end how)
{
	srv->is_discarding = false;
	if (how != OWED_ANSWERED)
		srv->sequences_of = SEQUENCES_OF_MANY;
}

/*
 * SQL that only writes, in a database without sequences; unless this transaction may have made the first one. Should
 * the catalogs be behind: it reads nothing, and whoever reads later is not the owner of what this has left.
 */
static bool
writes_without_sequences(const struct exchange *x, uint32_t flags)
{
	const struct loan *loan = &x->srv->loan;

	return (flags & ~(uint32_t)(SCAN_INSERT | SCAN_WRITES)) == 0 && loan->suspicion == 0 &&
	       !loan->has_changed_code && !pool_entry_has_sequences(x->entry, *x->env->now_us);
}

/* But for a ROLLBACK of the extended protocol, whose Sync is still to come. */
static bool
is_failed(const struct server *srv)
{
	return srv->tx == 'E' && (srv->ledger.answered == 0 || strcmp(srv->loan.tag, "ROLLBACK") != 0);
}

static bool
is_behind_request(const struct ledger *l)
{
	for (uint32_t i = 0; i < l->count; i++) {
		const struct owed *o = &l->ring[(l->head + i) & (l->cap - 1)];

		if (o->to == OWED_TO_CLIENT &&
		    (o->kind == OWED_QUERY || o->kind == OWED_FUNCTION || o->kind == OWED_SYNC))
			return true;
	}
	return false;
}

/* SQL that session_used_sequence() is called for. */
#define SCAN_READS_SEQUENCES (SCAN_SEQUENCES | SCAN_CODE | SCAN_EXECUTE)

/* May it read what another client's SQL has left, unless that is forgotten first? */
static bool
needs_discard(const struct exchange *x, uint32_t flags)
{
	uint64_t of = x->srv->sequences_of;

	return of != 0 && of != x->id && (flags & SCAN_READS_SEQUENCES) != 0 && session_is_followed(x) &&
	       !writes_without_sequences(x, flags);
}

bool
session_waits_for_sequences(const struct exchange *x, uint32_t flags)
{
	const struct server *srv = x->srv;
	const struct ledger *l = &srv->ledger;

	if (l->count == 0 || l->is_copy_open)
		return false;
	if (srv->is_discarding && srv->sequences_of == x->id && (flags & SCAN_READS_SEQUENCES) != 0)
		return is_behind_request(l);
	return needs_discard(x, flags) && (srv->tx == 'E' || is_behind_request(l));
}

bool
session_must_not_read_sequences(const struct exchange *x, uint32_t flags)
{
	const struct server *srv = x->srv;

	return is_failed(srv) && !srv->ledger.is_skipping &&
	       needs_discard(x, flags & (SCAN_SEQUENCE | SCAN_CODE | SCAN_EXECUTE));
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
	if (of == x->id || is_failed(srv) || !session_is_followed(x))
		return 0;
	srv->sequences_of = x->id;
	return of == 0 ? 0 : discard_sequences(x);
}

/* Triggers, defaults in a COPY, ...: what ran may have touched a sequence though nothing showed it. */
void
session_leaves_sequences(struct exchange *x)
{
	struct server *srv = x->srv;

	if (srv->loan.has_run && srv->sequences_of != x->id)
		srv->sequences_of = SEQUENCES_OF_MANY;
}
