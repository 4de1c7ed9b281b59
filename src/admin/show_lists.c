/*
 * src/admin/show_lists.c - small commands: LISTS, STATE, MEM, VERSION, HELP, PREPARED, WORKERS, METRICS, and the
 * commands that never have rows. SHOW PEERS is in show_peers.c.
 */
#include "admin/show.h"
#include "config/compat.h"
#include "client/clients.h"

#include <stdlib.h>

/* --- LISTS --- */

SHOW_ROW(list, (TEXT, list) (INT4, items));

static void
count_clients(const struct show_env *env, uint64_t *used, uint64_t *login)
{
	const struct client *c;

	*used = *login = 0;
	for (c = clients_walk(env->host->client_envs, NULL); c != NULL; c = clients_walk(env->host->client_envs, c)) {
		if (client_state_is_login((enum client_state)c->x.state))
			++*login;
		else if (c->x.state != CL_CANCEL)
			++*used;
	}
}

/* Returns how many rows another command would show. */
static uint64_t
count_rows(const struct show_env *env, const struct show *show)
{
	struct buf scratch = { 0 };
	struct rows rows = { .columns = show->columns, .column_count = show->column_count, .out = &scratch };

	show->fill(env, &rows);
	buf_fini(&scratch);
	return rows.count;
}

SHOW(show_lists, list_columns, OF_ALL)
{
	uint64_t used, login, pools = 0;

	count_clients(env, &used, &login);
	for (struct pool *pool = show_next_pool(env, NULL); pool != NULL; pool = show_next_pool(env, pool))
		pools += pool->main == NULL && show_next_shard(env, pool, NULL) == pool;
	const struct list_row lists[] = {
		{ "databases", count_rows(env, &show_databases) },
		{ "users", count_rows(env, &show_users) },
		{ "peers", count_rows(env, &show_peers) },
		{ "pools", pools },
		{ "peer_pools", count_rows(env, &show_peer_pools) },
		{ "free_clients", 0 },
		{ "used_clients", used },
		{ "login_clients", login },
		{ "free_servers", 0 },
		{ "used_servers", show_count_servers(env) },
		{ "dns_names", 0 },
		{ "dns_zones", 0 },
		{ "dns_queries", 0 },
		{ "dns_pending", 0 },
	};
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		rows_add(rows, &lists[i]);
}

/* --- STATE --- */

SHOW_ROW(state, (TEXT, key) (TEXT, value));

SHOW(show_state, state_columns, OF_MAIN_WORKER)
{
	bool is_paused = pool_set_is_paused(env->clients->x.pools), is_suspended = env->clients->x.is_suspended,
	     is_ending = env->host->is_shutting_down(env->host->w);
	char predecessor[700];

	rows_add(rows, &(struct state_row){ "active", !is_paused && !is_suspended && !is_ending ? "yes" : "no" });
	rows_add(rows, &(struct state_row){ "paused", is_paused ? "yes" : "no" });
	if (!compat_does(env->clients->x.config, COMPAT_HAS_NO_SUSPEND))
		rows_add(rows, &(struct state_row){ "suspended", is_suspended ? "yes" : "no" });
	rows_add(rows, &(struct state_row){ "shutting_down", is_ending ? "yes" : "no" });
	if (env->host->describe_predecessor(env->host->w, predecessor, sizeof(predecessor)))
		rows_add(rows, &(struct state_row){ "predecessor", predecessor });
}

/* --- MEM --- */

SHOW_ROW(memory, (TEXT, name) (INT4, size) (INT4, used) (INT4, free) (INT4, memtotal));

/* The memory of sets of session settings (images) is not known, only their number. */
SHOW(show_mem, memory_columns, OF_ALL)
{
	uint64_t used, login, servers = show_count_servers(env), statements = 0, bytes = 0, gucs = 0;
	uint64_t texts = 0, text_bytes = 0;

	count_clients(env, &used, &login);
	used += login;
	for (struct client_env *const *of = env->host->client_envs; *of != NULL; of++) {
		statements += statement_store_count((*of)->x.statements);
		bytes += statement_store_bytes((*of)->x.statements);
		gucs += guc_store_count((*of)->x.guc_store);
		texts += (*of)->x.scanned.entry_count;
		text_bytes += (*of)->x.scanned.bytes + (*of)->x.scanned.exact_bytes;
	}
	rows_add(rows, &(struct memory_row){ "clients", sizeof(struct client), used, 0, used * sizeof(struct client) });
	rows_add(rows,
		 &(struct memory_row){ "servers", sizeof(struct server), servers, 0, servers * sizeof(struct server) });
	rows_add(rows, &(struct memory_row){ "statements", sizeof(struct statement), statements, 0, bytes });
	rows_add(rows, &(struct memory_row){ "texts", sizeof(struct scanned_sql), texts, 0, text_bytes });
	rows_add(rows, &(struct memory_row){ "images", 0, gucs, 0, 0 });
}

/* --- VERSION, HELP --- */

static const struct column version_columns[] = { { "version", COLUMN_TEXT } };

/* The version is "PgBouncer" and numbers, nothing else: pgbouncer_fdw casts the text after the last point to a number.
 * pgweir's own version is in SELECT version(). */
SHOW(show_version, version_columns, OF_MAIN_WORKER)
{
	bool is_old = compat_is_1_25(env->clients->x.config);

	rows_add(rows, &(struct show_text){ is_old ? "PgBouncer " COMPAT_VERSION_OLD : "PgBouncer " COMPAT_VERSION });
}

SHOW_ROW(help, (TEXT, command) (TEXT, what) (TEXT, example));

SHOW(show_help, help_columns, OF_MAIN_WORKER)
{
	const struct command_row *row;

	for (size_t i = 0; (row = command_row(i)) != NULL; i++)
		if (row->example != NULL)
			rows_add(rows, &(struct help_row){ row->phrase, row->what, row->example });
}

/* --- PREPARED --- */

/* held is the number of references to the statement: names that clients gave it, and work in progress on servers. With
 * 0, the statement is only cached, for clients that may come back. Each worker has its own copy of a statement, with
 * the same name: held and bytes are sums. */
SHOW_ROW(prepared, (TEXT, name) (INT8, statement_id) (INT4, held) (INT4, bytes) (TEXT, query));

static void
add_prepared(const struct statement *st, uint32_t held, void *arg)
{
	struct prepared_row **next = arg;

	*(*next)++ = (struct prepared_row){ st->name, st->id, held, st->len, (const char *)st->bytes };
}

static int
by_id(const void *a, const void *b)
{
	const struct prepared_row *left = a, *right = b;

	return (left->statement_id > right->statement_id) - (left->statement_id < right->statement_id);
}

SHOW(show_prepared, prepared_columns, OF_ALL)
{
	struct prepared_row *list, *next;
	size_t most = 0;

	for (struct client_env *const *of = env->host->client_envs; *of != NULL; of++)
		most += statement_store_count((*of)->x.statements);
	next = list = rows_alloc_scratch(rows, most + 1, sizeof(*list));
	if (list == NULL)
		return;
	for (struct client_env *const *of = env->host->client_envs; *of != NULL; of++)
		statement_store_each((*of)->x.statements, add_prepared, &next);
	qsort(list, (size_t)(next - list), sizeof(*list), by_id);
	for (struct prepared_row *row = list; row != next; row++) {
		if (row + 1 == next || row[1].statement_id != row->statement_id) {
			rows_add(rows, row);
			continue;
		}
		row[1].held += row->held;
		row[1].bytes += row->bytes;
	}
	free(list);
}

/* --- WORKERS --- */

SHOW_ROW(workers, (INT4, worker) (TEXT, state) (INT4, clients) (INT4, servers) (INT4, cpu_percent) (INT8, turns)
	(INT8, tick_age_ms) (INT8, oldest_note_ms));

static void
add_worker(const struct worker_report *w, void *arg)
{
	rows_add(arg, &(struct workers_row){ w->worker, w->state, w->clients, w->servers, w->cpu_percent, w->turns,
					     w->tick_age_us / 1000, w->oldest_note_us / 1000 });
}

SHOW(show_workers, workers_columns, OF_MAIN_WORKER)
{
	env->host->workers_each(env->host->w, add_worker, rows);
}

/* --- METRICS --- */

SHOW_ROW(metric, (TEXT, name) (TEXT, type) (TEXT, labels) (TEXT, value) (TEXT, help));

static void
add_metric(const struct metric_sample *m, void *arg)
{
	rows_add(arg, &(struct metric_row){ m->name, m->type, m->labels, m->value, m->help });
}

SHOW(show_metrics, metric_columns, OF_ALL)
{
	struct snapshot *s = env->host->snapshot(env->host->w);

	metrics_each_sample(s, add_metric, rows);
	snapshot_free(s);
}

/* --- commands of PgBouncer for which pgweir has no rows --- */

SHOW_ROW(dns_hosts, (TEXT, hostname) (INT8, ttl) (TEXT, addrs));
SHOW_ROW(dns_zones, (TEXT, zonename) (INT8, serial) (INT4, count));
const struct show show_dns_hosts = { SHOW_COLUMNS(dns_hosts_columns), NULL, OF_MAIN_WORKER };
const struct show show_dns_zones = { SHOW_COLUMNS(dns_zones_columns), NULL, OF_MAIN_WORKER };
