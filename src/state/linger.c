/*
 * src/state/linger.c - currval() and lastval() need the connection that ran nextval(); see state/state_state.h.
 *
 * Only one backend knows the last value that a client got from a sequence, and nearly every INSERT into a table with a
 * serial column changes that value. If each such INSERT pinned its client, hardly any connection would be shared. So a
 * client that inserts (without RETURNING) or names a sequence keeps its connection for a moment between transactions:
 * it lingers, for KEPT_REQUESTS requests at most (drivers may look into the catalogs before they ask). While no client
 * waits, it lingers for LINGER_US; if a client of the pool has asked for such a value within ASKED_US, it lingers for
 * as long as an idle connection is kept (a person at psql takes a while). While clients wait, a client lingers only if
 * it has asked for such a value before, if the last client that asked had the same application_name, or if the client
 * is new, because the first client that asks must be served, too. Lingering while clients wait takes at most a tenth of
 * the pool's time, except for CREDIT_US in a burst.
 *
 * An example: at 0 ms client A, which is new, inserts into orders on connection 1. At 1 ms client B waits for a server;
 * connection 1 stays with A all the same, since A's next request may be SELECT currval('orders_id_seq'). That request
 * comes at 2 ms, and connection 1 answers it. From then on pgweir expects such questions from A, and from all clients
 * with A's application_name. Client C, of another application, has never asked in its first NEW_REQUESTS requests: its
 * connection is lent to B as soon as C's transaction has ended.
 *
 * No client gets to see another client's value: ahead of a client's first SQL that may touch or read a sequence, the
 * connection forgets the values of other clients (DISCARD SEQUENCES); PostgreSQL then reports that there is no value.
 * In a database that has no sequence, SQL that only writes touches none, and costs nothing.
 *
 * SQL that needs a DISCARD SEQUENCES first waits until all earlier requests are answered. Otherwise the transaction may
 * have failed: PostgreSQL then refuses the DISCARD, but the client's SQL may leave that transaction and run.
 */
#include "state/linger.h"
#include "state/state_state.h"
#include "net/loop.h"
#include "wire/messages.h"
#include "server/server.h"

#include <string.h>
#include <xxhash.h>

#define ASKED_US ((uint64_t)3600 * US_PER_S)
#define LINGER_US (20 * US_PER_MS)
#define CHECK_AFTER_US (5 * US_PER_MS)
#define KEPT_REQUESTS 4
#define NEW_REQUESTS 8 /* this many requests of a client count as its first */
/* while other clients wait: this many uses of sequences in one loan end the lingering */
#define USES_WHILE_WANTED_MAX 8
#define CREDIT_US (200 * US_PER_MS)

/* Returns true if a client waits for x's server, clients move to another process, or the server is to be closed. */
static bool
is_server_wanted(const struct exchange *x)
{
	const struct policy *p = pool_of(x->srv)->policy;

	return policy_has_unserved_waiters(p) || x->env->is_moving ||
	       policy_keep_us(p, x->srv->conn, *x->env->now_us) == 0;
}

/* Returns true if the client has kept its server for long enough while others wait: it has asked twice for a value
 * since its last INSERT or nextval(), or has run more than USES_WHILE_WANTED_MAX of both and is not likely to ask
 * again. */
static bool
has_had_enough(const struct loan_sequence_use *f)
{
	return f->currval_calls > 1 ||
	       (f->rounds > USES_WHILE_WANTED_MAX && (f->currval_calls > 0 || f->by != FOLLOWED_BY_CURRVAL));
}

static bool
is_pool_asked(const struct exchange *x)
{
	return x->pool->sequences_asked_us != 0 && *x->env->now_us - x->pool->sequences_asked_us < ASKED_US;
}

/* Returns a hash of the application_name; 0 if the name is empty, because programs without a name have nothing in
 * common. */
static uint64_t
application_hash(const struct exchange *x)
{
	const char *name = exchange_application(x);

	return *name == '\0' ? 0 : XXH3_64bits(name, strlen(name));
}

static bool
is_known_to_ask(const struct exchange *x)
{
	return is_pool_asked(x) && (x->sequence_questions > 0 || (x->pool->sequences_asked_by != 0 &&
								  x->pool->sequences_asked_by == application_hash(x)));
}

/* Subtracts spent_us from the time for which the pool's clients may linger while others wait. Returns what is left. */
static int64_t
spend_credit(struct pool *pool, uint64_t spent_us, uint64_t now_us)
{
	struct policy_counts counts;

	policy_get_counts(pool->policy, &counts);
	pool->linger_credit_us += (int64_t)((now_us - pool->linger_credited_us) * counts.lent / 10);
	if (pool->linger_credit_us > (int64_t)CREDIT_US)
		pool->linger_credit_us = (int64_t)CREDIT_US;
	pool->linger_credited_us = now_us;
	return pool->linger_credit_us -= (int64_t)spent_us;
}

static bool
may_linger(const struct exchange *x)
{
	const struct loan_sequence_use *f = &x->srv->loan.followed;
	uint64_t now_us = *x->env->now_us, kept_us = now_us - f->since_us;

	if (x->env->is_draining || x->pool->is_orphan || x->srv->loan.has_foreign_plans ||
	    f->by == FOLLOWED_BY_NOTHING || x->srv->loan.standby != 0 ||
	    x->requests_done - f->requests_at_last_use > KEPT_REQUESTS)
		return false;
	if (is_server_wanted(x)) {
		if (has_had_enough(f) || spend_credit(x->pool, 0, now_us) <= 0 ||
		    (!is_known_to_ask(x) && x->requests_done >= NEW_REQUESTS))
			return false;
	} else if (is_pool_asked(x))
		return kept_us < policy_keep_us(pool_of(x->srv)->policy, x->srv->conn, now_us);
	return kept_us < LINGER_US;
}

void
state_stop_lingering(struct exchange *x)
{
	struct server *srv = x->srv;

	if (srv == NULL || !srv->is_lingering)
		return;
	if (is_server_wanted(x))
		spend_credit(x->pool, *x->env->now_us - srv->loan.followed.since_us, *x->env->now_us);
	TAILQ_REMOVE(&x->env->lingering, srv, lingering);
	srv->is_lingering = false;
}

static void
start_timer_if_needed(const struct exchange *x)
{
	struct exchange_env *env = x->env;

	if ((is_server_wanted(x) || !is_pool_asked(x)) && !timer_is_set(&env->linger_timer))
		timer_start(&env->linger_timer, CHECK_AFTER_US);
}

__attribute__((noinline)) bool
state_start_or_end_lingering(struct exchange *x)
{
	struct server *srv = x->srv;
	struct loan_sequence_use *f = &srv->loan.followed;

	if (f->requests_at_rest != x->requests_done) {
		if (srv->is_lingering && is_server_wanted(x) && x->request_us > f->since_us)
			spend_credit(x->pool, x->request_us - f->since_us, *x->env->now_us);
		/* Requests after the last use of a sequence, but in the same transaction, do not count. */
		if ((int32_t)(f->requests_at_rest - f->requests_at_last_use) <= 0)
			f->requests_at_last_use = x->requests_done - 1;
		f->requests_at_rest = x->requests_done;
		f->since_us = *x->env->now_us;
	}
	if (!may_linger(x)) {
		state_stop_lingering(x);
		return false;
	}
	if (!srv->is_lingering)
		TAILQ_INSERT_TAIL(&x->env->lingering, srv, lingering);
	srv->is_lingering = true;
	start_timer_if_needed(x);
	return true;
}

void
linger_return_servers_soon(struct exchange_env *env)
{
	if (!TAILQ_EMPTY(&env->lingering))
		timer_fire_soon(&env->linger_timer);
}

void
state_linger_tick(struct exchange_env *env)
{
	struct server *srv = TAILQ_FIRST(&env->lingering);

	while (srv != NULL) {
		struct exchange *x = srv->borrower;

		if (may_linger(x)) {
			start_timer_if_needed(x);
			srv = TAILQ_NEXT(srv, lingering);
			continue;
		}
		state_stop_lingering(x);
		env->ops->try_release(x);
		srv = TAILQ_FIRST(&env->lingering); /* the release may have changed the list */
	}
}

static void
on_linger_timer(void *arg)
{
	state_linger_tick(arg);
}

void
state_linger_init(struct exchange_env *env)
{
	TAILQ_INIT(&env->lingering);
	timer_init(&env->linger_timer, env->base, env->now_us, on_linger_timer, env);
}

void
state_linger_fini(struct exchange_env *env)
{
	timer_stop(&env->linger_timer);
}

void
state_discard_settled(struct server *srv, enum owed_end how)
{
	srv->is_discarding_sequences = false;
	if (how != OWED_ANSWERED)
		srv->sequences_of = SEQUENCES_OF_MANY;
}

/*
 * Returns true for SQL that only writes, in a database without sequences, unless this transaction may have created the
 * first sequence. Even if the database has got a sequence since the catalogs were last asked, no client sees another
 * client's value: this SQL reads no value, and when the server is given back, relay/release.c records that it may have
 * values of several clients, which are forgotten before a client reads one.
 */
static bool
writes_without_sequences(const struct exchange *x, uint32_t flags)
{
	const struct loan *loan = &x->srv->loan;
	/* Temporary sequences do not count as those of the database (database_code.sql). */
	bool may_have_made_sequence =
	    (loan->settled_flags & (SCAN_TEMP | SCAN_CREATE)) != 0 || (loan->risk & STATE_TEMP) != 0;

	return (flags & ~(uint32_t)(SCAN_INSERT | SCAN_DEFAULTS)) == 0 && loan->suspected == 0 &&
	       loan->code == CODE_AS_BEFORE && !may_have_made_sequence && !pool_has_sequences(x->pool, *x->env->now_us);
}

static bool
owes_end_of_client_request(const struct ledger *l)
{
	for (uint32_t i = 0; i < l->count; i++)
		if (owed_ends_client_request(ledger_at(l, i)))
			return true;
	return false;
}

/* Returns true if a DISCARD SEQUENCES must go ahead of the SQL, which may read what another client's SQL has left. */
static bool
needs_discard(const struct exchange *x, uint32_t flags)
{
	uint64_t of = x->srv->sequences_of;

	return of != 0 && of != x->waiter.id && (flags & SCAN_READS_SEQUENCES) != 0 && exchange_is_followed(x) &&
	       !writes_without_sequences(x, flags);
}

bool
state_waits_for_sequences(const struct exchange *x, uint32_t flags)
{
	const struct server *srv = x->srv;
	const struct ledger *l = &srv->ledger;

	if (l->count == 0 || l->intake == INTAKE_COPY)
		return false;
	if (srv->is_discarding_sequences && srv->sequences_of == x->waiter.id && (flags & SCAN_READS_SEQUENCES) != 0)
		return owes_end_of_client_request(l);
	return needs_discard(x, flags) && (srv->tx == 'E' || owes_end_of_client_request(l));
}

bool
state_must_not_read_sequences(const struct exchange *x, uint32_t flags)
{
	const struct server *srv = x->srv;

	return srv->tx == 'E' && srv->ledger.intake != INTAKE_SYNC &&
	       needs_discard(x, flags & (SCAN_CURRVAL | SCAN_CODE | SCAN_EXECUTE));
}

void
state_note_sequence_use(struct exchange *x, uint32_t flags)
{
	struct loan_sequence_use *f = &x->srv->loan.followed;
	bool is_question = (flags & SCAN_CURRVAL) != 0;

	if (!exchange_is_followed(x) || writes_without_sequences(x, flags))
		return;
	if (is_question && x->srv->tx == 'I') {
		x->pool->sequences_asked_us = *x->env->now_us;
		x->pool->sequences_asked_by = application_hash(x);
		if (x->sequence_questions < 3)
			x->sequence_questions++;
	}
	if (f->by != FOLLOWED_BY_CURRVAL)
		f->by = is_question ? FOLLOWED_BY_CURRVAL : FOLLOWED_BY_CURRVAL_MAYBE;
	f->currval_calls = is_question ? f->currval_calls + 1 : 0;
	f->rounds += !is_question && is_server_wanted(x);
	f->requests_at_last_use = x->requests_done;
}

void
state_prepare_sequence_use(struct exchange *x, uint32_t flags)
{
	struct server *srv = x->srv;
	uint64_t of = srv->sequences_of;

	if (of == x->waiter.id || writes_without_sequences(x, flags) || srv->tx == 'E' || !exchange_is_followed(x))
		return;
	srv->sequences_of = x->waiter.id;
	srv->loan.followed.last_clean_request = x->requests_done + 1;
	if (of != 0) {
		/* The DISCARD takes a snapshot, after which no BEGIN or SET TRANSACTION can choose an isolation level;
		 * and if the DISCARD is cancelled, PostgreSQL ignores everything up to a Sync, even a Query. So the
		 * DISCARD gets a Sync of its own, unless a request of the client's has begun. */
		srv->is_discarding_sequences = true;
		state_run_ahead(x, "DISCARD " MESSAGE_OURS "SEQUENCES", srv);
	}
}

bool
state_send_with_hint(struct exchange *x, const struct error_fields *e, const uint8_t *message, size_t len)
{
	struct buf b = { 0 };

	/* The hint is not for errors that, for example, the client's own DISCARD SEQUENCES has caused. */
	if (!exchange_is_followed(x) || x->srv->loan.followed.last_clean_request != x->requests_done + 1 ||
	    e->sqlstate == NULL || e->routine == NULL || strcmp(e->sqlstate, "55000") != 0 ||
	    (strcmp(e->routine, "currval_oid") != 0 && strcmp(e->routine, "lastval") != 0) ||
	    len != 1 + (size_t)wire_u32(message + 1))
		return false;
	message_error_with_hint(&b, message, len,
				"A pooled connection keeps such values for a moment only: use INSERT ... RETURNING.");
	exchange_answer_buf(x, &b);
	return true;
}
