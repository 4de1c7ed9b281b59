/*
 * src/pool/pool_transfer.c - transfers servers from one shard of a pool to the shard on another worker
 * (policy_shared.h).
 *
 * A server leaves its shard when the policy gives it up. Callers up the stack may still use the server, so its note
 * (net/inbox.h) is posted to the other worker later, when the loop runs its deferred frees. The note is in the server's
 * struct pooled, which is the same object on both sides. The other side finds its pool by the key that pools have in
 * all sets, because the pool that the server has left may be freed by then.
 *
 *   struct pooled
 *   kept        conn (the policy's: policy_shard.c), srv, may_be_lent, defaults
 *   re-pointed  pool, target, code
 *   reset       code_question_number, last_keeping_ddl, ddl_at_wash_plus_1: the server was not asked on the new worker
 *   not set     is_end_reported, is_logged; nor, as may_give() makes sure, checked_backend and is_code_late
 */
#include "pool/pool_set_state.h"
#include "base/histogram.h"
#include "server/server_transfer.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#ifdef __x86_64__
_Static_assert(sizeof(struct pooled) - sizeof(struct policy_conn) == 160,
	       "a field was added: what does it mean on another worker?");
#endif

/* A sealed shard that does not know its database's code gives no server away: the shard may learn later that the code
 * leaves state that nothing resets, and then closes all servers of its own (pool_code.c). */
static bool
may_give(struct pool *pool, struct pooled *p)
{
	const struct database_code *code = pool->code;

	return server_may_be_transferred(p->srv) && p->checked_backend == NULL && !p->is_code_late &&
	       !pool->is_orphan && (!pool->is_sealed || database_code_is_known(code, pool_set_now(pool->set)));
}

/* --- on the receiving worker --- */

/* Closes a server that can't arrive. Both pool sets may be gone. env and worker: of the worker that runs this. */
static void
lose(struct pooled *p, const struct server_env *env, struct policy_worker *worker)
{
	assert(p->pool == NULL && p->code == NULL && p->conn.state == PC_NONE);
	server_discard(p->srv, env);
	policy_shared_lost(&p->conn, worker, *env->now_us);
	pool_target_unref(p->target);
	free(p);
}

static bool
join(struct pool *pool, struct pooled *p)
{
	struct pool_target *old = p->target;

	pool_take_fresh(pool);
	if (pool->baseline == NULL) /* there was no memory: clients that log in could not be sent their parameters */
		return false;
	if (!pool_code_admit(pool, p->known_leftovers) ||
	    server_arrive(p->srv, pool->set->s.env, pool, &pool->target->server) < 0)
		return false;
	p->pool = pool;
	p->target = pool_target_ref(pool->target);
	p->code = code_store_ref(pool->code);
	pool_target_unref(old);
	p->code_question_number = 0;
	p->last_keeping_ddl = p->ddl_at_wash_plus_1 = 0;
	p->conn.is_recycle_due |= pool_defaults_check_old(pool, p);
	TAILQ_INSERT_TAIL(&pool->servers, p->srv, all);
	pool->set->server_count++;
	pool_use_activate(pool);
	return true;
}

static struct pooled *
pooled_in(struct note *n)
{
	return (struct pooled *)((char *)n - offsetof(struct pooled, note));
}

static void
on_arrival(struct note *n, void *owner, bool is_over)
{
	struct pooled *p = pooled_in(n);
	const struct server_env *env = p->to_env;
	struct pool *pool = NULL;
	const void *key;
	size_t len;

	*env->now_us = clock_now_us();
	histogram_observe_us(&env->counters->transfer_duration, &histogram_bounds_proxy,
			     *env->now_us - p->given_away_us);
	if (!is_over) {
		key = policy_shared_key(p->conn.shared, &len);
		pool = pool_set_find(p->to, key, len);
	}
	if (pool == NULL || !join(pool, p)) {
		lose(p, env, p->to_worker);
		return;
	}
	if (stream_is_readable(&p->srv->stream)) /* PostgreSQL may have ended the session: a ping comes first */
		p->conn.epoch = 0;
	if (policy_arrive(pool->policy, pool_copy_gucs_to_conn(p->srv), *env->now_us))
		return; /* conn may be freed already */
	policy_shared_lost(&p->conn, p->to_worker, *env->now_us);
	server_close(p->srv);
}

void
pool_transfer_close_stranded(const struct pool_set *set, const struct pool_set *silent)
{
	struct note_list back = STAILQ_HEAD_INITIALIZER(back);
	struct note *n;

	inbox_take_back(silent->s.env->inbox, note_has_reader, &(note_read *){ on_arrival }, &back);
	while ((n = STAILQ_FIRST(&back)) != NULL) {
		STAILQ_REMOVE_HEAD(&back, next);
		lose(pooled_in(n), set->s.env, set->s.worker);
	}
}

/* --- on the sending worker --- */

static void
depart(struct deferred_entry *g)
{
	struct server *srv = (struct server *)((char *)g - offsetof(struct server, deferred));
	struct pooled *p = pooled_of(srv->conn);
	const struct server_env *env = srv->env;

	if (server_pack(srv) < 0) {
		lose(p, env, p->from_worker);
		return;
	}
	p->note.read = on_arrival;
	inbox_post(p->to_env->inbox, &p->note);
}

bool
pool_give(void *owner, struct policy_conn *conn, struct policy_worker *to)
{
	struct pool *pool = owner;
	struct pooled *p = pooled_of(conn);
	struct pool_set *set = pool->set;
	struct pool_set *const *receiver;

	assert(conn->shared != NULL && conn->state == PC_NONE);
	if (!may_give(pool, p) || server_depart(p->srv) < 0)
		return false;
	TAILQ_REMOVE(&pool->servers, p->srv, all);
	set->server_count--;
	p->known_leftovers = pool_code_known_leftovers(pool);
	code_store_unref(&set->codes, p->code);
	p->code = NULL;
	p->from_worker = set->s.worker;
	receiver = set->s.all_sets;
	while ((*receiver)->s.worker != to)
		receiver++;
	p->to = *receiver;
	p->to_env = p->to->s.env;
	p->to_worker = to;
	p->given_away_us = clock_now_us();
	p->pool = NULL;
	set->s.env->counters
	    ->transfers[conn->idle_since_us == pool_set_now(set) ? TRANSFER_RETURNED_SERVER : TRANSFER_IDLE_SERVER]++;
	deferred_frees_add(set->s.env->deferred_frees, &p->srv->deferred, depart);
	return true;
}
