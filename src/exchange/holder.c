#include "exchange/holder.h"
#include "base/clock.h"
#include "base/own_settings.h"
#include "policy/policy_shared.h"
#include "server/server.h"

#include <inttypes.h>
#include <stdio.h>

/* how long PostgreSQL's answer that a process blocks others is used, if the process is no server of this worker's */
#define OUTSIDE_ANSWER_US (10 * US_PER_S)

const char *
holder_word(enum server_use use, bool is_session)
{
	static const char *const words[SERVER_USES] = { [USE_RUNNING] = "running",
							[USE_CLIENT] = "waiting for the client",
							[USE_IDLE] = "idle in transaction",
							[USE_KEPT] = "pinned" };

	return use == USE_KEPT && is_session ? "idle in session" : words[use];
}

const struct server *
holder_next(const struct pool *pool, const struct server *before)
{
	const struct server *srv = before != NULL ? TAILQ_NEXT(before, all) : NULL;
	struct pool *e = before != NULL ? pool_of(before) : NULL;

	for (;;) {
		for (; srv != NULL; srv = TAILQ_NEXT(srv, all))
			if (pool_server_is_lent(srv))
				return srv;
		do
			e = pool_use_next_active(pool->set, e);
		while (e != NULL && !policy_may_get_place_of(pool->policy, e->policy));
		if (e == NULL)
			return NULL;
		srv = TAILQ_FIRST(&e->servers);
	}
}

bool
holder_is_stuck(const struct server *srv, uint64_t before_us, uint64_t *since_us)
{
	const struct exchange *x = srv->borrower;
	enum server_use use = pool_use_of(srv, since_us);

	return use != USE_RUNNING && *since_us <= before_us && (use != USE_KEPT || (!x->is_session && x->pins != 0));
}

void
holder_write_remedy(const struct server *srv, uint64_t now_us, char *out, size_t cap)
{
	const struct exchange *x = srv->borrower;
	uint64_t id = x->waiter.id, since_us;
	enum server_use use = pool_use_of(srv, &since_us);
	struct duration since = duration_format(now_us > since_us ? now_us - since_us : 0);
	bool is_unread = stream_is_full(&x->stream);
	const char *does =
	    use == USE_IDLE ? "'s transaction, idle"
	    : use == USE_CLIENT
		? is_unread ? ", which has not read its result" : ", which has not sent the rest of its request"
	    : x->pins == 1u << PIN_ASKED_FOR ? ", which asked by SET " OWN_PIN " to keep its server, as it does"
					     : ", which has kept its server between transactions (SHOW PINS)";

	if (use == USE_RUNNING)
		snprintf(out, cap,
			 "wait for what client %" PRIu64 " runs, or end it (KILL_CLIENT %" PRIu64
			 " in the pgweir console); query_timeout limits it",
			 id, id);
	else
		snprintf(out, cap,
			 "end client %" PRIu64 "%s for %s (KILL_CLIENT %" PRIu64 " in the pgweir console), or set %s",
			 id, does, since.text, id,
			 use == USE_KEPT		  ? "client_idle_timeout"
			 : use == USE_CLIENT && is_unread ? "query_timeout"
							  : "idle_transaction_timeout");
}

void
holder_write_remedy_outside(uint32_t pid, char *out, size_t cap)
{
	if (pid == 0)
		snprintf(out, cap, "end the prepared transaction that has the lock: see pg_prepared_xacts");
	else
		snprintf(out, cap,
			 "see in pg_stat_activity whose process %" PRIu32
			 " is, which has a lock that others wait for; pg_terminate_backend(%" PRIu32 ") ends it",
			 pid, pid);
}

static bool
is_blocked(const struct server *srv)
{
	uint64_t since_us;

	return pool_use_of(srv, &since_us) == USE_RUNNING && srv->loan.seen_blocked_us > since_us;
}

/* Returns this worker's server whose process has this PID on the host at this address; NULL if there is none. */
static const struct server *
find_server(const struct pool_set *set, uint32_t pid, const char *address)
{
	const struct server *srv;

	for (const struct pool *e = pool_use_next_active(set, NULL); e != NULL; e = pool_use_next_active(set, e))
		TAILQ_FOREACH(srv, &e->servers, all)
			if (srv->pid == pid && strcmp(srv->address, address) == 0)
				return srv;
	return NULL;
}

const char *
holder_write_root_remedy(const struct pool *pool, uint64_t now_us, char out[FAIL_TEXT_MAX])
{
	const struct server *srv = NULL, *blocked = NULL, *root;
	uint64_t since_us;
	uint32_t lead = 0;

	/* This is a majority vote: if more than half of the blocked servers wait for one root, so does `blocked`. */
	while ((srv = holder_next(pool, srv)) != NULL) {
		if (!is_blocked(srv))
			continue;
		blocked = lead == 0 ? srv : blocked;
		lead += srv->loan.root_pid == blocked->loan.root_pid ? 1 : -1u;
	}
	out[0] = '\0';
	if (blocked == NULL)
		return out;
	root = find_server(pool->set, blocked->loan.root_pid, blocked->address);
	if (root != NULL && pool_server_is_lent(root) && !is_blocked(root) &&
	    (pool_use_of(root, &since_us), since_us < blocked->loan.seen_blocked_us))
		holder_write_remedy(root, now_us, out, FAIL_TEXT_MAX);
	else if (root == NULL && now_us - blocked->loan.seen_blocked_us < OUTSIDE_ANSWER_US)
		holder_write_remedy_outside(blocked->loan.root_pid, out, FAIL_TEXT_MAX);
	return out;
}

/* Returns the greatest length of the queue since moved_us, when a connection was last lent or last came to rest within
 * its loan. The greatest length counts, because clients whose requests have timed out since then still need
 * connections. waiting: the length now. */
static uint32_t
note_longest_queue(struct pool_stall *stall, uint64_t moved_us, uint32_t waiting)
{
	if (stall->moved_us == moved_us && stall->waiting > waiting)
		return stall->waiting;
	*stall = (struct pool_stall){ moved_us, waiting };
	return waiting;
}

const char *
holder_explain_self_deadlock(const struct exchange *x, uint64_t before_us, char out[FAIL_TEXT_MAX])
{
	uint32_t held = 0, waiting = policy_queue_length(x->pool->policy) + (x->waiter.waits == WAITS_NOT);
	const struct server *srv = NULL;
	char own[80], other[80];
	uint64_t since_us, moved_us = 0;
	size_t len;

	out[0] = '\0';
	x->env->ops->peer_text(x, own, sizeof(own));
	len = strrchr(own, ':') != NULL ? (size_t)(strrchr(own, ':') - own) : sizeof(own); /* without the port */
	while ((srv = holder_next(x->pool, srv)) != NULL) {
		if (pool_use_of(srv, &since_us) == USE_RUNNING || since_us > before_us)
			return out;
		moved_us = since_us > moved_us ? since_us : moved_us;
		x->env->ops->peer_text(srv->borrower, other, sizeof(other));
		held += strncmp(own, other, len) == 0 &&
			strcmp(exchange_application(x), exchange_application(srv->borrower)) == 0;
	}
	waiting = note_longest_queue(&x->pool->stall, moved_us, waiting);
	/* Each process that holds a connection and needs one more has a request that waits. */
	if (held > 1 && waiting >= held)
		snprintf(out, FAIL_TEXT_MAX,
			 "its own application at the same address holds %" PRIu32 " connections, waits for others "
			 "meanwhile, and nobody moves. If each of %" PRIu32 " processes needs 2 at a time, %" PRIu32
			 " connections (pool_size + max_overflow) cannot lock, and fewer can",
			 held, waiting, waiting + 1);
	return out;
}
