/*
 * src/admin/show_holders.c - SHOW HOLDERS: who has each server connection, what it does there, for how long, and how
 * many wait for one meanwhile, who holds the lock that it waits for within PostgreSQL, and who is at the root of that;
 * SHOW BLOCKERS: those of them that others wait for, the one with most behind it first.
 */
#include "admin/show.h"
#include "dedicated/questions.h"
#include "exchange/report.h"
#include "state/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_MAX 32 /* clients that wait for each other */

struct holder_row {
	const char *database, *user, *application_name, *addr, *state, *backend, *fingerprint, *query, *blocked_by;
	const char *root;
	uint64_t blocks;
	uint64_t client_id, port, state_ms, xact_ms, held_ms, waiting, server_pid, server_id;
};

#define COLUMNS_OF struct holder_row
COLUMNS(holders, TEXT(database), TEXT(user), TEXT(application_name), INT8(client_id), TEXT(addr), INT4(port),
	TEXT(state), INT8(state_ms), INT8(xact_ms), INT8(held_ms), INT8(waiting), INT4(server_pid), INT8(server_id),
	TEXT(backend), TEXT(fingerprint), TEXT(query), TEXT(blocked_by), TEXT(root), INT8(blocks));

void
show_holder_state(const struct client *c, struct holder_state *out)
{
	const struct server *srv = c->x.srv;
	char reasons[160];

	memset(out, 0, sizeof(*out));
	if (client_is_served(c, &out->since_us)) {
		bool is_clients = srv->loan.clock.since_us != 0 && srv->loan.clock.debtor == PHASE_CLIENT_WRITE;

		out->is_running = !is_clients;
		snprintf(out->text, sizeof(out->text), is_clients ? "waits for the client" : "running");
		return;
	}
	if (srv->tx != 'I') {
		snprintf(out->text, sizeof(out->text), "idle in transaction%s", srv->tx == 'E' ? " (aborted)" : "");
		out->since_us = srv->loan.idle_in_tx_us;
		return;
	}
	if (c->x.pins != 0)
		snprintf(out->text, sizeof(out->text), "pinned: %s",
			 state_pin_reasons(&c->x, reasons, sizeof(reasons)));
	else
		snprintf(out->text, sizeof(out->text), c->x.is_session ? "session" : "finishing");
	out->since_us = srv->loan.last_done_us > srv->loan.lent_us ? srv->loan.last_done_us : srv->loan.lent_us;
}

uint64_t
show_holder_query(const struct show_env *env, const struct server *srv, char out[SHOW_QUERY_MAX], bool *has_text)
{
	const struct loan *loan = &srv->loan;
	const struct client *c = srv->borrower;

	out[0] = '\0';
	*has_text = loan->text_len > 0;
	return *has_text ? env->host->normalize((const char *)loan->text, loan->text_len, report_sql_options(&c->x),
						out, SHOW_QUERY_MAX)
			 : 0;
}

/* Returns the client whose server has this PID on the same host, or NULL. */
static const struct client *
find_client(const struct show_env *env, const char *address, uint32_t pid)
{
	const struct server *srv;

	for (const struct pool *e = show_next_pool(env, NULL); e != NULL; e = show_next_pool(env, e))
		TAILQ_FOREACH(srv, &e->servers, all)
			if (srv->pid == pid && strcmp(srv->address, address) == 0 && show_is_held(srv))
				return srv->borrower;
	return NULL;
}

/* As blocking_of(), of a server of any worker's. */
static int
find_blockers(const struct show_env *env, const struct server *srv, uint32_t pids[BLOCKING_PIDS_MAX])
{
	int count = -1;

	for (struct client_env *const *of = env->host->crew; *of != NULL && count < 0; of++)
		count = blocking_of((*of)->blocking, srv, pids, env->now_us);
	return count;
}

/* Names the client of a process, or that process, if it is no client of pgweir's; 0: a prepared transaction. */
static int
put_process(const struct client *c, uint32_t pid, const char *before, char *out, size_t cap)
{
	if (c != NULL)
		return snprintf(out, cap, "%sclient %" PRIu64 " (PID %" PRIu32 ")", before, c->x.ticket.id, pid);
	return pid != 0 ? snprintf(out, cap, "%sPID %" PRIu32, before, pid)
			: snprintf(out, cap, "%sa prepared transaction", before);
}

const char *
show_blocked_by(const struct show_env *env, const struct server *srv, char out[SHOW_BLOCKED_MAX])
{
	uint32_t pids[BLOCKING_PIDS_MAX];
	int count = find_blockers(env, srv, pids);
	size_t len = 0;

	out[0] = '\0';
	for (int i = 0; i < count && len < SHOW_BLOCKED_MAX; i++) {
		int n = put_process(find_client(env, srv->address, pids[i]), pids[i], i > 0 ? ", " : "", out + len,
				    SHOW_BLOCKED_MAX - len);

		len += n > 0 ? (size_t)n : 0;
	}
	return count < 0 ? NULL : out;
}

static void
add_holder(const struct show_env *env, const struct holding *h, struct rows *rows)
{
	const struct pool *e = h->pool;
	const struct server *srv = h->srv;
	const struct client *c = srv->borrower;
	char addr[SHOW_ADDRESS_MAX] = "unix", fingerprint[20], query[SHOW_QUERY_MAX], blocked[SHOW_BLOCKED_MAX];
	char root[SHOW_ROOT_MAX];
	struct holder_row row = { .database = e->database->name, .addr = addr };
	struct holder_state state;
	struct policy_counts counts;
	bool has_text;

	show_holder_state(c, &state);
	show_count_parts(env, pool_main(e), &counts);
	row.user = exchange_user(&c->x);
	row.application_name = exchange_application(&c->x);
	row.client_id = c->x.ticket.id;
	row.port = c->is_unix ? 0 : show_address(&c->peer.any, addr);
	row.state = state.text;
	row.state_ms = show_age_us(env->now_us, state.since_us) / 1000;
	row.xact_ms = show_age_us(env->now_us, srv->loan.tx_started_us) / 1000;
	row.held_ms = show_age_us(env->now_us, srv->loan.lent_us) / 1000;
	row.waiting = counts.waiting;
	row.server_pid = srv->pid;
	row.server_id = srv->id;
	row.backend = srv->address;
	snprintf(fingerprint, sizeof(fingerprint), "%016" PRIx64, show_holder_query(env, srv, query, &has_text));
	row.fingerprint = has_text ? fingerprint : NULL;
	row.query = has_text ? query : NULL;
	row.blocked_by = state.is_running ? show_blocked_by(env, srv, blocked) : "";
	row.root = show_root(h, root);
	row.blocks = h->blocks;
	rows_add(rows, &row);
}

/* A server for replication is in no pool, and while a client logs in its server is nobody's yet. */
bool
show_is_held(const struct server *srv)
{
	const struct client *c = srv->borrower;

	return srv->state == SV_LENT && c != NULL && c->x.srv == srv && exchange_is_ready(&c->x);
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

/* Goes from who waits to who is in its way, as long as that one waits, too. */
static void
find_root(const struct show_env *env, struct holding *list, struct holding *waiter)
{
	uint32_t pids[BLOCKING_PIDS_MAX];
	struct holding *h = waiter;

	for (int i = 0; i < CHAIN_MAX && find_blockers(env, h->srv, pids) > 0; i++) {
		waiter->is_blocked = true;
		h = find_holding(list, h->srv->address, pids[0]);
		waiter->root = h;
		waiter->root_pid = pids[0];
		if (h == NULL || h == waiter) /* outside, or a deadlock, which PostgreSQL ends */
			return;
		h->blocks++;
	}
}

struct holding *
show_holdings(const struct show_env *env, struct rows *rows)
{
	struct holding *list = rows_scratch(rows, show_count_servers(env) + 1, sizeof(*list));
	const struct server *srv;
	size_t n = 0;

	if (list == NULL)
		return NULL;
	for (const struct pool *e = show_next_pool(env, NULL); e != NULL; e = show_next_pool(env, e))
		TAILQ_FOREACH(srv, &e->servers, all)
			if (show_is_held(srv))
				list[n++] = (struct holding){ .pool = e, .srv = srv };
	qsort(list, n, sizeof(*list), by_age);
	for (size_t i = 0; i < n; i++)
		find_root(env, list, &list[i]);
	return list;
}

const char *
show_root(const struct holding *h, char out[SHOW_ROOT_MAX])
{
	if (!h->is_blocked)
		return "";
	put_process(h->root != NULL ? h->root->srv->borrower : NULL, h->root_pid, "", out, SHOW_ROOT_MAX);
	return out;
}

static void
fill_holders(const struct show_env *env, struct rows *rows)
{
	struct holding *list = show_holdings(env, rows);

	for (const struct holding *h = list; h != NULL && h->srv != NULL; h++)
		add_holder(env, h, rows);
	free(list);
}

const struct show show_holders = { SHOW_COLUMNS(holders_columns), 0, fill_holders, false };

/* --- those that others wait for --- */

/* Orders by the number of servers that are blocked, the largest first. */
static int
by_blocks(const void *a, const void *b)
{
	uint64_t one = ((const struct holding *)a)->blocks, other = ((const struct holding *)b)->blocks;

	return one != other ? (one > other ? -1 : 1) : by_age(a, b);
}

static void
fill_blockers(const struct show_env *env, struct rows *rows)
{
	struct holding *list = show_holdings(env, rows), *sorted;
	size_t n = 0;

	while (list != NULL && list[n].srv != NULL)
		n++;
	sorted = rows_scratch(rows, n + 1, sizeof(*sorted)); /* roots point into the list */
	if (list == NULL || sorted == NULL) {
		free(sorted);
		free(list);
		return;
	}
	memcpy(sorted, list, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_blocks);
	for (size_t i = 0; i < n; i++) {
		struct policy_counts counts;

		show_count_parts(env, sorted[i].pool, &counts);
		if (sorted[i].blocks > 0 || counts.waiting > 0)
			add_holder(env, &sorted[i], rows);
	}
	free(sorted);
	free(list);
}

const struct show show_blockers = { SHOW_COLUMNS(holders_columns), 0, fill_blockers, false };
