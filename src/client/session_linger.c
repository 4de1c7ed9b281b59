/*
 * src/client/session_linger.c - currval() and lastval() want the connection that ran nextval(); see session.h.
 *
 * What a sequence gave last is known to one backend only, and nearly every INSERT into a table with a serial column
 * changes it: to pin for that would be the end of pooling. So a client that uses sequences keeps its connection for a
 * moment after its transaction, as long as nobody else wants one: it lingers. Whoever asks for a connection when none
 * is idle gets that of the one who lingers.
 *
 * A client whose first word on a connection is currval() or lastval() does not get to see another's value: the
 * connection forgets them first, and PostgreSQL says that there is none.
 */
#include "client/session.h"

#include "base/clock.h"
#include "wire/messages.h"

#define LINGER_US (200 * US_PER_MS)
#define SEEN_FOR_US (3600 * US_PER_S) /* what one client of the pool does, others may be about to do */

static bool
may_linger(struct client *c)
{
	struct client_session *s = c->session;
	uint64_t now = *c->env->now_us;
	bool is_lastval_pool = c->entry->lastval_us != 0 && now - c->entry->lastval_us < SEEN_FOR_US;
	struct pool_counts counts;

	if (s != NULL && s->is_let_go)
		return false;
	if (!is_lastval_pool && (s == NULL || s->sequence_us == 0))
		return false;
	if (s == NULL && (s = session_own(c)) == NULL)
		return false;
	/* Since its last request, or since it last named a sequence: whichever is later counts. */
	if (now - (is_lastval_pool ? c->srv->last_done_us : s->sequence_us) >= LINGER_US)
		return false;
	pool_get_counts(c->entry->policy, &counts);
	return counts.waiting == 0;
}

void
session_stop_lingering(struct client *c)
{
	struct client_session *s = c->session;

	if (s == NULL || !s->is_lingering)
		return;
	TAILQ_REMOVE(&c->env->lingering, s, lingering);
	s->is_lingering = false;
}

bool
session_lingers(struct client *c)
{
	struct client_session *s;

	if (!may_linger(c)) {
		session_stop_lingering(c);
		return false;
	}
	s = c->session;
	if (!s->is_lingering) {
		s->is_lingering = true;
		s->client = c;
		TAILQ_INSERT_TAIL(&c->env->lingering, s, lingering);
	}
	return true;
}

static void
let_go(struct client_session *s)
{
	struct client *c = s->client;

	session_stop_lingering(c);
	s->sequence_us = 0;
	s->is_let_go = true;
	relay_try_release(c);
	s->is_let_go = false;
}

void
session_yield(struct client_env *env, struct pool_entry *entry)
{
	struct pool_counts counts;
	struct client_session *s;

	pool_get_counts(entry->policy, &counts);
	if (counts.idle > 0 || counts.lent + counts.opening + counts.pinging < entry->settings.pool_size)
		return;
	TAILQ_FOREACH(s, &env->lingering, lingering)
	if (s->client->entry == entry && s->client->srv->ledger.count == 0) {
		let_go(s);
		return;
	}
}

void
session_linger_tick(struct client_env *env)
{
	struct client_session *s, *next;

	for (s = TAILQ_FIRST(&env->lingering); s != NULL; s = next) {
		next = TAILQ_NEXT(s, lingering);
		if (!may_linger(s->client)) {
			let_go(s);
			next = TAILQ_FIRST(&env->lingering); /* whatever that has set off */
		}
	}
}

/* What the backend remembers of sequences is another client's. */
static int
discard_sequences(struct client *c)
{
	struct ledger *l = &c->srv->ledger;
	bool is_alone = c->srv->is_synced;
	struct buf b = { 0 };
	int r = 0;

	session_put_run(&b, "DISCARD SEQUENCES");
	c->srv->unnamed_of = 0;
	if (ledger_push(l, OWED_PARSE, OWED_TO_IMAGE, NULL) < 0 || ledger_push(l, OWED_BIND, OWED_TO_IMAGE, NULL) < 0 ||
	    ledger_push(l, OWED_EXECUTE, OWED_TO_IMAGE, NULL) < 0)
		r = -1;
	if (is_alone && r == 0) {
		message_sync(&b);
		r = ledger_push_request(l, OWED_SYNC, OWED_TO_IMAGE,
					&(struct owed_request){ .started_us = *c->env->now_us });
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
	struct client_session *s = session_own(c);
	struct server *srv = c->srv;

	if (s == NULL)
		return -1;
	s->sequence_us = *c->env->now_us;
	if (!(flags & SCAN_SEQUENCE))
		return 0;
	c->entry->lastval_us = s->sequence_us;
	return srv->previous_id == c->id || srv->has_run || srv->tx != 'I' ? 0 : discard_sequences(c);
}
