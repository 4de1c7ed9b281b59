/* src/pool/pool_conns.c - the connections about which a policy decides: opens, pings and closes connections for the
 * policy, lends them to clients, washes and returns them, and reports to the policy. */
#include "pool/pool_set_state.h"
#include "policy/policy_ahead.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- operations for the policy --- */

static int
op_open(void *owner, uint64_t now_us, struct fail *why)
{
	struct pool *pool = owner;
	/* While set->health_check is set, another pool may have to open a connection, which is then no health check. */
	const struct pool_health_check *health_check =
	    pool->set->health_check != NULL && pool->set->health_check->pool == pool ? pool->set->health_check : NULL;
	struct pooled *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return fail_memory(why, "a server connection");
	p->pool = pool;
	p->target = pool_target_ref(pool->target);
	p->code = code_store_ref(pool->code);
	p->defaults.since_us = now_us;
	p->srv = server_new(pool->set->s.env, &p->target->server, &p->conn, pool, pool_set_next_id(pool->set),
			    pool_set_next_turn(pool->set),
			    health_check != NULL ? health_check->host : pool_primary_host(pool), now_us);
	if (p->srv == NULL) {
		pool_target_unref(p->target);
		code_store_unref(&pool->set->codes, p->code);
		free(p);
		return fail_memory(why, "a server connection");
	}
	p->may_be_lent = health_check == NULL || pool->target->upstream->host_count == 1;
	if (health_check != NULL) {
		p->checked_backend = health_check->to;
		p->checked_backend->running_checks++;
	}
	TAILQ_INSERT_TAIL(&pool->servers, p->srv, all);
	pool->set->server_count++;
	pool_use_activate(pool);
	policy_conn_opening(pool->policy, &p->conn, now_us);
	if (p->conn.source == CS_OVERFLOW)
		compat_log_reserve(pool);
	return 0;
}

/* why: the reason, in PgBouncer's words if there are any. */
static void
log_close(struct server *srv, const char *why)
{
	compat_log_end(srv->owner, srv, why);
	pooled_of(srv->conn)->is_logged = true;
}

static void
op_close(void *owner, struct policy_conn *conn, enum recycle_reason reason)
{
	struct pool *pool = owner;

	log_debug(pool->set->log, "server %" PRIu64 ": closed (%s)", pooled_of(conn)->srv->id,
		  recycle_reason_names[reason]);
	/* logged now, because PostgreSQL may be slow to end the session */
	log_close(pooled_of(conn)->srv, compat_recycle_word(reason));
	server_terminate(pooled_of(conn)->srv, pool_set_now(pool->set));
}

static void
ping(struct server *srv, const char *sql)
{
	server_ping(srv, *sql != '\0' ? QUESTION_CHECK : QUESTION_PING, sql);
}

static void
op_ping(void *owner, struct policy_conn *conn)
{
	struct pool *pool = owner;
	struct server *srv = pooled_of(conn)->srv;

	if (pool->main == NULL && pool->is_sealed &&
	    database_code_is_due(pooled_of(conn)->code, pool_set_now(pool->set))) {
		conn->ping_more_us = CODE_ANSWER_US;
		server_ping(srv, QUESTION_OF_OWNER, pool_code_begin_question(srv));
	} else {
		ping(srv, pool->set->config->ping_query);
	}
}

static void
op_wake(void *owner, uint64_t at_us)
{
	pool_schedule_tick(owner, at_us);
}

static const char *
op_address(void *owner, const struct policy_conn *conn)
{
	return ((const struct pooled *)conn)->srv->address;
}

const struct policy_ops pool_policy_ops = {
	op_open, op_close, op_ping, op_wake, op_address, pool_log_outage, pool_give
};

/* --- reports of servers --- */

void
pool_take_baseline(struct pool *pool, struct gucs *baseline, struct gucs *login_parameters, uint64_t since_us)
{
	if (pool->baseline == baseline && pool->login_parameters == login_parameters)
		return;
	if (pool->baseline != baseline) {
		pool_startups_forget_all(&pool->startups);
		gucs_move(&pool->baseline, gucs_ref(baseline));
	}
	gucs_move(&pool->login_parameters, gucs_ref(login_parameters));
	pool->baseline_us = since_us;
}

/* Ends the health check for which the connection was opened. Returns false if there is none, or no longer. */
static bool
end_health_check(struct pooled *p)
{
	if (p->checked_backend == NULL)
		return false;
	assert(p->checked_backend->running_checks > 0);
	p->checked_backend->running_checks--;
	p->checked_backend = NULL;
	return true;
}

static void
on_ready(struct server *srv)
{
	struct pool *pool = srv->owner;
	struct pool_backend *b = pool_backend_get_or_create(&pool->set->backends, srv->address);
	uint64_t now = pool_set_now(pool->set);
	struct gucs *login_parameters;
	bool is_new;

	if (b != NULL) {
		b->counters.connects++;
		b->counters.up_state = 1;
		b->counters.up_state_set_us = now;
		b->role = srv->role;
		histogram_observe_us(&b->counters.connect_duration, &histogram_bounds_wait, now - srv->created_us);
	}
	compat_log_open(pool, srv);
	pool_note_cluster_at_login(srv);
	/* The settings of a server that has just logged in are the defaults. */
	login_parameters = (struct gucs *)(uintptr_t)server_login_parameters(srv);
	is_new = pool->baseline != srv->gucs || pool->login_parameters != login_parameters;
	pool_take_baseline(pool, srv->gucs, login_parameters, now);
	if (is_new && pool->fresh != NULL)
		pool_fresh_report(pool->fresh, srv->gucs, login_parameters, now);
	end_health_check(pooled_of(srv->conn));
	srv->conn->is_recycle_due |=
	    !pooled_of(srv->conn)->may_be_lent || pool_defaults_check_old(pool, pooled_of(srv->conn));
	srv->conn->gucs = srv->gucs;
	policy_conn_opened(pool->policy, srv->conn, now);
}

static void
count_failure(const struct pool *pool, const struct server *srv, enum connect_failure kind)
{
	struct pool_backend *b = pool_backend_get_or_create(&pool->set->backends, srv->address);

	if (b == NULL)
		return;
	b->counters.connect_failures[kind]++;
	b->counters.last_failure_wall_us = clock_wall_us();
	b->counters.up_state = srv->has_answered_startup && kind != CF_TIMEOUT; /* most errors are answers, too */
	b->checked_us = b->counters.up_state_set_us = pool_set_now(pool->set);
}

static void
on_host_failed(struct server *srv, enum connect_failure kind, const struct fail *why)
{
	struct pool *pool = srv->owner;

	count_failure(pool, srv, kind);
	pool_log_host_failure(pool, srv, kind, why);
}

static void
on_failed(struct server *srv, enum connect_failure kind, bool is_fatal, const struct fail *why)
{
	struct pool *pool = srv->owner;
	struct policy_counts counts;

	count_failure(pool, srv, kind);
	policy_get_counts(pool->policy, &counts);
	if (end_health_check(pooled_of(srv->conn)) && (counts.waiting == 0 || !pooled_of(srv->conn)->may_be_lent)) {
		log_debug(pool->set->log, "server %" PRIu64 ": %s", srv->id, why->text);
		if (pooled_of(srv->conn)->may_be_lent)
			policy_health_check_failed(pool->policy, srv->conn, kind, is_fatal, why,
						   pool_set_now(pool->set));
		log_close(srv, server_pgbouncer_failure_text(kind));
		return; /* on_closed() will tell the policy that the connection is gone */
	}
	pool_log_failure(pool, srv, kind, why);
	pooled_of(srv->conn)->is_logged = true;
	pooled_of(srv->conn)->is_end_reported = true;
	policy_conn_failed(pool->policy, srv->conn, kind, is_fatal, why, pool_set_now(pool->set));
}

static void
on_pinged(struct server *srv, bool ok)
{
	struct pool *pool = srv->owner;
	uint64_t now = pool_set_now(pool->set);

	if (srv->question_state < QUESTION_OF_OWNER)
		histogram_observe_us(&pool->database->counters.ping_duration, &histogram_bounds_ping,
				     now - srv->loan.ping_sent_us);
	else if (ok && *pool->set->config->ping_query != '\0') { /* the owner's query does not replace ping_query */
		ping(srv, pool->set->config->ping_query);
		return;
	}
	srv->conn->gucs = srv->gucs;
	policy_ping_done(pool->policy, srv->conn, ok && !pooled_of(srv->conn)->is_code_late, now);
}

inline struct policy_conn *
pool_copy_gucs_to_conn(struct server *srv)
{
	srv->conn->gucs = srv->gucs;
	return srv->conn;
}

static void
close_dirty(struct server *srv)
{
	struct pool *pool = srv->owner;

	pool_main(pool)->counters.recycles[srv->loan.blame == BLAME_CODE ? RR_UNKNOWN_CODE : RR_DIRTY]++;
	srv->borrower = NULL;
	server_close(srv);
}

/* Notes that the client may have changed the database's code in an open transaction, or by requests whose answers it
 * has not awaited. Called before the rest of a reset, because other clients may run that code already. */
static void
note_unseen_code_change(struct server *srv)
{
	const struct loan *l = &srv->loan;
	bool may_make =
	    (l->risk & (RISK_CODE | RISK_OPAQUE)) != 0 || ((l->suspected | l->settled_flags) & SCAN_CREATE) != 0;

	if (l->code != CODE_AS_BEFORE || (srv->was_owing && may_make))
		pool_code_note_ddl(srv->owner, l->risk);
	srv->loan.code = CODE_AS_BEFORE;
}

/* If the wash has found neither dblink nor postgres_fdw, makes the washes of the next moments skip that search. */
static void
note_no_remote(struct server *srv)
{
	struct pooled *p = pooled_of(srv->conn);

	if (p->ddl_at_wash_plus_1 != 0 && !srv->reset.has_remote) {
		p->code->no_remote_us = srv->reset.since_us;
		p->code->no_remote_ddl = p->ddl_at_wash_plus_1 - 1;
	}
	p->ddl_at_wash_plus_1 = 0;
}

static void
on_clean(struct server *srv)
{
	struct pool *pool = srv->owner;

	note_unseen_code_change(srv);
	note_no_remote(srv);
	pool_main(pool)->counters.resets_ok += !srv->reset.was_returned_at_rest;
	assert(srv->state == SV_IDLE && srv->borrower == NULL);
	if ((srv->reset.todo.parts & STATE_BACKEND) != 0 || pooled_of(srv->conn)->is_code_late)
		close_dirty(srv);
	else
		policy_return_after_query(pool->policy, pool_copy_gucs_to_conn(srv), srv->reset.held_since_us,
					  pool_set_now(pool->set));
}

static void
on_gone(struct server *srv, const struct fail *why)
{
	struct pool *pool = srv->owner;
	bool is_reset = srv->state == SV_RESET;

	log_close(srv, why->pgbouncer_text[0] != '\0' ? why->pgbouncer_text : why->text);
	if (is_reset)
		pool_main(pool)->counters.resets_failed++;
	if (srv->state == SV_PINGING) {
		pool_main(pool)->counters.pings_failed++;
		pool_main(pool)->counters.recycles[RR_FAILED_PING]++;
	} else
		pool_main(pool)->counters.recycles[RR_ERROR]++;
	pooled_of(srv->conn)->is_end_reported = true;
	policy_conn_gone(pool->policy, srv->conn, !is_reset, pool_set_now(pool->set));
}

static void
on_peer_closed(struct server *srv)
{
	struct pool *pool = srv->owner;
	struct fail why = { 0 };
	const struct log_about about = server_about(srv, "server_lost", &why);

	if (pooled_of(srv->conn)->is_end_reported)
		return;
	fail_set(&why, "08006", "PostgreSQL at %s closed the connection, whose client has not read its result",
		 srv->address);
	log_event(pool->set->log, LOG_LEVEL_WARNING, &about, "server %" PRIu64 " (%s, %s/%s) ends: %s: %s", srv->id,
		  srv->address, srv->target->database, srv->target->user, why.sqlstate, why.text);
	server_condemn(srv, SERVER_IN_DOUBT);
	pool_main(pool)->counters.recycles[RR_ERROR]++;
	pooled_of(srv->conn)->is_end_reported = true;
	policy_conn_gone(pool->policy, srv->conn, true, pool_set_now(pool->set));
}

static void
on_closed(struct server *srv)
{
	struct pool *pool = srv->owner;
	struct pooled *p = pooled_of(srv->conn);

	end_health_check(p);
	pool_code_note_server_gone(srv);
	note_unseen_code_change(srv);
	if (!p->is_logged)
		log_close(srv, compat_recycle_word(RR_DIRTY));
	assert(srv->borrower == NULL && pool->set->server_count > 0);
	TAILQ_REMOVE(&pool->servers, srv, all);
	pool->set->server_count--;
	if (!p->is_end_reported)
		policy_conn_gone(pool->policy, &p->conn, false, pool_set_now(pool->set));
	pool_target_unref(p->target);
	code_store_unref(&pool->set->codes, p->code);
	free(p);
	srv->conn = NULL;
	srv->target = NULL;
}

const struct server_owner_ops pool_set_owner_ops = { on_ready,
						     on_host_failed,
						     on_failed,
						     on_pinged,
						     pool_code_hold_if_due,
						     note_unseen_code_change,
						     on_clean,
						     on_gone,
						     pool_code_take_row,
						     pool_code_answered,
						     on_peer_closed,
						     on_closed };

/* --- borrowing --- */

uint64_t
pool_count_checkouts(const struct pool *pool)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < CS_COUNT; i++)
		sum += pool->counters.checkouts[i];
	return sum;
}

struct server *
pool_granted(struct policy_conn *conn, void *borrower, uint64_t now_us)
{
	struct server *srv = pooled_of(conn)->srv;

	server_lend(srv, borrower, now_us);
	pooled_of(conn)->pool->database->counters.server_assignments++;
	return srv;
}

inline struct server *
pool_borrow(struct pool *pool, struct policy_waiter *waiter, void *borrower, uint64_t now_us)
{
	struct policy_conn *conn = policy_borrow(pool->policy, waiter, now_us);

	return conn == NULL ? NULL : pool_granted(conn, borrower, now_us);
}

/* Washes these parts, waits for an answer about the code if `decision` says so, then returns the server. If `parts` has
 * STATE_BACKEND, closes the server instead, after asking it about the code if `decision` says so: in a database whose
 * code leaves STATE_BACKEND, no server is ever idle, so there is no better server to ask. */
__attribute__((noinline)) static void
wash_and_return(struct server *srv, unsigned parts, enum code_decision decision, uint64_t now_us)
{
	struct pool *pool = srv->owner;
	const struct database_code *code = pool->code;
	struct pooled *p = pooled_of(srv->conn);
	/* true if a wash that finds no dblink proves that the database has none (a standby may lack it) */
	bool is_proof = pool->main == NULL && code == p->code && srv->role != SERVER_CONSOLE;
	struct reset_order order = { .parts = parts & (STATE_WASHABLE | WASH_PLANS | WASH_LATE_TIMEOUT | WASH_TIMERS |
						       WASH_POINT_SEED | STATE_BACKEND) };

	if (((order.parts | STATE_SEQUENCES) & STATE_WASHABLE) != STATE_WASHABLE &&
	    code->answer != NULL) /* only an answer shows that postgres_fdw alone, and not dblink, can have connected */
		memcpy(order.fdw_schema, code->answer->fdw_schema, sizeof(order.fdw_schema));
	p->ddl_at_wash_plus_1 =
	    is_proof && (order.parts & STATE_REMOTE) != 0 && order.fdw_schema[0] == '\0' ? code->ddl_count + 1 : 0;
	if ((parts & STATE_BACKEND) != 0 && decision == CODE_GO) {
		close_dirty(srv);
		return;
	}
	if ((order.parts & STATE_SEED) != 0)
		order.seed = pool_set_random(pool->set);
	assert(srv->state == SV_LENT && srv->conn->state == PC_LENT);
	pool_main(pool)->counters.seals += (order.parts & ~(unsigned)(WASH_LATE_TIMEOUT | STATE_BACKEND)) != 0;
	policy_note_washing(pool->policy, srv->conn);
	server_reset(srv, &order, now_us);
}

/* Returns true if PostgreSQL still owes replies that will be discarded: to the client that returns srv, or to a client
 * that has gone since its request was sent ahead. */
static inline bool
has_orphaned_replies(const struct server *srv)
{
	return srv->ledger.count > 0 || policy_first_ahead_is_orphaned(srv->conn);
}

/* Returns true if two things hold. The server may have run functions that were made after pgweir last read the code,
 * and nothing resets what they keep. And srv is not held for an answer: a standby is never asked (see
 * ask_about_code()), and after a failed question, the next one is far off. Returns false if the database has only ever
 * refused to answer: otherwise each of its loans would cost a connection. */
__attribute__((noinline)) static bool
may_keep_unread_code_state(const struct server *srv)
{
	const struct pool *pool = srv->owner;
	const struct database_code *code = pool->code;
	bool is_refused = code->refused_until_us != 0;

	return !database_code_has_answer_after(code, code->last_keeping_ddl) && !(is_refused && code->answer == NULL) &&
	       (pool->main != NULL || (is_refused && srv->loan.has_run));
}

__attribute__((always_inline)) inline void
pool_return(struct server *srv, unsigned parts, uint64_t now_us)
{
	struct pool *pool = srv->owner;
	struct database_code *code = pool->code;
	enum code_decision decision = CODE_GO;

	if (srv->fitness != SERVER_FIT || srv->ledger.trust != LEDGER_SYNCHRONISED) {
		close_dirty(srv);
		return;
	}
	pool->last_used_us = now_us;
	code_store_note_use(&pool->set->codes, code, pool, now_us);
	parts |= (gucs_side_effects(srv->gucs) & GUCS_LEAVES_TIMERS) != 0 ? (unsigned)WASH_TIMERS : 0u;
	if (!database_code_is_known(code, now_us + CODE_AHEAD_US) && pool->is_sealed) {
		decision = pool_code_decide(srv, parts, code->last_keeping_ddl);
		if (may_keep_unread_code_state(srv))
			parts |= STATE_BACKEND;
	}
	if (parts != 0 || decision != CODE_GO || has_orphaned_replies(srv)) {
		wash_and_return(srv, parts, decision, now_us);
		return;
	}
	srv->borrower = NULL;
	if (server_step(srv, SE_GIVE_BACK) == 0) /* last: srv may be lent again at once */
		policy_return(pool->policy, pool_copy_gucs_to_conn(srv), pool_set_now(pool->set));
}

void
pool_clean(struct server *srv, bool discard_all, unsigned parts, uint64_t now_us)
{
	struct pool *pool = srv->owner;
	struct reset_order order = { .has_discard_all = discard_all,
				     .parts = STATE_WASHABLE | (parts & (WASH_PLANS | WASH_POINT_SEED | STATE_BACKEND)),
				     .seed = pool_set_random(pool->set) };

	pooled_of(srv->conn)->ddl_at_wash_plus_1 = 0;
	server_reset(srv, &order, now_us);
}
