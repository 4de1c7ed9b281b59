/*
 * src/admin/show_holders.c - SHOW HOLDERS has a row for each server connection that a client holds: what the client
 * does there and for how long, and how many clients wait for a connection meanwhile. If the server waits for a lock in
 * PostgreSQL, the row also names the processes that hold the lock, and the process at the root of the chain. SHOW
 * BLOCKERS has only the holders for which others wait; the holder that blocks most comes first.
 */
#include "admin/show.h"
#include "exchange/holder.h"
#include "exchange/report.h"
#include "policy/policy_shared.h"
#include "state/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_MAX 32 /* how many blockers of a chain are followed */

/* --- which clients hold servers, and which wait for which --- */

/* Returns true if a logged-in client holds the server. The client may be a replication client. */
static bool
is_held(const struct server *srv)
{
	const struct client *c = srv->borrower;

	return srv->state == SV_LENT && pool_server_is_lent(srv) && c->x.srv == srv && exchange_is_relayed(&c->x);
}

static int
by_age(const void *a, const void *b)
{
	const struct server *one = ((const struct holding *)a)->srv, *other = ((const struct holding *)b)->srv;

	if (one->loan.lent_us != other->loan.lent_us)
		return one->loan.lent_us < other->loan.lent_us ? -1 : 1;
	return one->id < other->id ? -1 : one->id > other->id;
}

static struct holding *
find_holding(struct holding *list, const char *address, uint32_t pid)
{
	for (struct holding *h = list; h->srv != NULL; h++)
		if (h->srv->pid == pid && strcmp(h->srv->address, address) == 0)
			return h;
	return NULL;
}

/* Does what blocking_get_blockers() does, but looks through the answers of all workers. */
static int
find_blockers(const struct show_env *env, const char *address, uint32_t pid, uint32_t pids[BLOCKING_PIDS_MAX])
{
	int n = -1;

	for (struct client_env *const *of = env->host->client_envs; *of != NULL && n < 0; of++)
		n = blocking_get_blockers((*of)->blocking, address, pid, pids, env->now_us);
	return n;
}

/* Follows the chain of first blockers from the waiter to its end, which becomes the waiter's root. Counts the waiter in
 * `blocks` of each holding on the way. Links of the chain may be processes that are not pgweir's. */
static void
follow_chain(const struct show_env *env, struct holding *list, struct holding *waiter)
{
	const char *address = waiter->srv->address;
	uint32_t pids[BLOCKING_PIDS_MAX];
	int n = waiter->blocker_count;

	memcpy(pids, waiter->blockers, sizeof(pids));
	waiter->last_waiter = waiter;
	for (int i = 0; i < CHAIN_MAX && n > 0; i++) {
		struct holding *h = find_holding(list, address, pids[0]);

		waiter->root = h;
		waiter->root_pid = pids[0];
		if (h != NULL && h->last_waiter == waiter) /* a deadlock, which PostgreSQL ends */
			return;
		if (h != NULL) {
			h->last_waiter = waiter;
			h->blocks++;
		}
		n = find_blockers(env, address, pids[0], pids);
	}
}

static void
add_holding(const struct show_env *env, const struct pool *pool, const struct server *srv, struct holding *h)
{
	*h = (struct holding){ .pool = pool, .srv = srv, .waiting = pool->index };
	h->use = pool_use_of(srv, &h->since_us);
	h->blocker_count = h->use == USE_RUNNING ? find_blockers(env, srv->address, srv->pid, h->blockers) : 0;
}

/* Stores in pool->index of each pool how many clients wait for the places of that pool's connections. Returns false
 * without memory. */
static bool
count_waiting(const struct show_env *env, struct rows *rows)
{
	struct pool **by_queue = show_sorted_pools(env, rows, true);
	struct policy_counts counts;

	if (by_queue == NULL)
		return false;
	for (struct pool *pool = show_next_pool(env, NULL); pool != NULL; pool = show_next_pool(env, pool)) {
		pool->index = 0;
		for (struct pool **w = by_queue; !TAILQ_EMPTY(&pool->servers) && *w != NULL; w++) {
			policy_get_counts((*w)->policy, &counts);
			if (counts.waiting == 0)
				break;
			pool->index += policy_may_get_place_of((*w)->policy, pool->policy) ? counts.waiting : 0;
		}
	}
	free(by_queue);
	return true;
}

struct holding *
show_holdings(const struct show_env *env, struct rows *rows)
{
	struct holding *list = NULL;
	const struct server *srv;
	size_t n = 0;

	if (!count_waiting(env, rows) ||
	    (list = rows_alloc_scratch(rows, show_count_servers(env) + 1, sizeof(*list))) == NULL)
		return NULL;
	for (const struct pool *pool = show_next_pool(env, NULL); pool != NULL; pool = show_next_pool(env, pool))
		TAILQ_FOREACH(srv, &pool->servers, all)
			if (is_held(srv))
				add_holding(env, pool, srv, &list[n++]);
	qsort(list, n, sizeof(*list), by_age);
	for (size_t i = 0; i < n; i++)
		follow_chain(env, list, &list[i]);
	return list;
}

/* --- in words --- */

const char *
show_write_use(const struct holding *h, char out[SHOW_USE_MAX])
{
	const struct client *c = h->srv->borrower;
	char reasons[160];

	if (h->use != USE_KEPT)
		snprintf(out, SHOW_USE_MAX, "%s%s", holder_word(h->use, false),
			 h->use == USE_IDLE && h->srv->tx == 'E' ? " (aborted)" : "");
	else if (c->x.pins != 0)
		snprintf(out, SHOW_USE_MAX, "pinned: %s", state_pin_reasons(&c->x, reasons, sizeof(reasons)));
	else
		snprintf(out, SHOW_USE_MAX, c->x.is_session ? "session" : "finishing");
	return out;
}

uint64_t
show_write_query(const struct server *srv, char out[SHOW_QUERY_MAX])
{
	const struct loan *loan = &srv->loan;
	const struct client *c = srv->borrower;

	out[0] = '\0';
	return loan->text_len > 0 ? fingerprint_normalize((const char *)loan->text, loan->text_len,
							  report_sql_options(&c->x), out, SHOW_QUERY_MAX)
				  : 0;
}

/* Appends the client of h and the PID; if h is NULL, appends the PID alone. PID 0 stands for a prepared transaction. */
static int
write_process(const struct holding *h, uint32_t pid, const char *before, char *out, size_t cap)
{
	if (h != NULL)
		return snprintf(out, cap, "%sclient %" PRIu64 " (PID %" PRIu32 ")", before,
				client_of(h->srv->borrower)->x.waiter.id, pid);
	return pid != 0 ? snprintf(out, cap, "%sPID %" PRIu32, before, pid)
			: snprintf(out, cap, "%sa prepared transaction", before);
}

const char *
show_write_blockers(struct holding *list, const struct holding *h, char out[SHOW_BLOCKED_MAX])
{
	size_t len = 0;

	out[0] = '\0';
	for (int i = 0; i < h->blocker_count && len < SHOW_BLOCKED_MAX; i++)
		len += (size_t)write_process(find_holding(list, h->srv->address, h->blockers[i]), h->blockers[i],
					     i > 0 ? ", " : "", out + len, SHOW_BLOCKED_MAX - len);
	return h->blocker_count < 0 ? NULL : out;
}

const char *
show_write_root(const struct holding *h, char out[SHOW_ROOT_MAX])
{
	out[0] = '\0';
	if (h->blocker_count > 0)
		write_process(h->root, h->root_pid, "", out, SHOW_ROOT_MAX);
	return out;
}

/* --- rows --- */

SHOW_ROW(holder, (TEXT, database) (TEXT, user) (TEXT, application_name) (INT8, client_id) (TEXT, addr) (INT4, port)
	(TEXT, state) (INT8, state_ms) (INT8, xact_ms) (INT8, held_ms) (INT8, waiting) (INT4, server_pid)
	(INT8, server_id) (TEXT, backend) (HASH, fingerprint) (TEXT, query) (TEXT, blocked_by) (TEXT, root)
	(INT8, blocks) (INT4, ahead));

static void
add_holder(const struct show_env *env, struct holding *list, const struct holding *h, struct rows *rows)
{
	const struct server *srv = h->srv;
	const struct client *c = srv->borrower;
	char addr[SHOW_ADDRESS_MAX] = "unix", query[SHOW_QUERY_MAX], blocked[SHOW_BLOCKED_MAX];
	char root[SHOW_ROOT_MAX], state[SHOW_USE_MAX];
	struct holder_row row = { .client_id = c->x.waiter.id };

	SHOW_WHO(&row, c, addr);
	row.state = show_write_use(h, state);
	row.state_ms = show_age_us(env->now_us, h->since_us) / 1000;
	row.xact_ms = show_age_us(env->now_us, c->x.tx_started_us) / 1000;
	row.held_ms = show_age_us(env->now_us, srv->loan.lent_us) / 1000;
	row.waiting = h->waiting;
	row.server_pid = srv->pid;
	row.server_id = srv->id;
	row.backend = srv->address;
	row.fingerprint = show_write_query(srv, query);
	row.query = row.fingerprint != 0 ? query : NULL;
	row.blocked_by = show_write_blockers(list, h, blocked);
	row.root = show_write_root(h, root);
	row.blocks = h->blocks;
	row.ahead = srv->conn->ahead_count;
	rows_add(rows, &row);
}

SHOW(show_holders, holder_columns, OF_ALL_WITH_BLOCKERS)
{
	struct holding *list = show_holdings(env, rows);

	for (const struct holding *h = list; h != NULL && h->srv != NULL; h++)
		add_holder(env, list, h, rows);
	free(list);
}

/* Orders by the number of clients that are blocked, the largest first. */
static int
by_blocks(const void *a, const void *b)
{
	const struct holding *one = *(struct holding *const *)a, *other = *(struct holding *const *)b;

	return one->blocks != other->blocks ? (one->blocks > other->blocks ? -1 : 1) : by_age(one, other);
}

SHOW(show_blockers, holder_columns, OF_ALL_WITH_BLOCKERS)
{
	struct holding *list = show_holdings(env, rows);
	struct holding **sorted = rows_alloc_scratch(rows, show_count_servers(env) + 1, sizeof(*sorted));
	size_t n = 0;

	for (struct holding *h = list; h != NULL && sorted != NULL && h->srv != NULL; h++)
		if (h->blocks > 0 || h->waiting > 0)
			sorted[n++] = h;
	if (n > 0)
		qsort(sorted, n, sizeof(*sorted), by_blocks);
	for (size_t i = 0; i < n; i++)
		add_holder(env, list, sorted[i], rows);
	free(sorted);
	free(list);
}
