/*
 * src/admin/show_holders.c - SHOW HOLDERS: who has each server connection, what it does there, for how long, and how
 * many wait for one meanwhile, and who holds the lock that it waits for within PostgreSQL; SHOW BLOCKERS: those of them
 * that others wait for, the one that holds longest first.
 */
#include "admin/show.h"
#include "state/state.h"

#include "base/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct holder_row {
	const char *database, *user, *application_name, *addr, *state, *backend, *fingerprint, *query, *blocked_by;
	uint64_t client_id, port, state_ms, xact_ms, held_ms, waiting, server_pid, server_id;
};

static const struct column holders_columns[] = {
	COLUMN(TEXT, struct holder_row, database),
	COLUMN(TEXT, struct holder_row, user),
	COLUMN(TEXT, struct holder_row, application_name),
	COLUMN(INT8, struct holder_row, client_id),
	COLUMN(TEXT, struct holder_row, addr),
	COLUMN(INT4, struct holder_row, port),
	COLUMN(TEXT, struct holder_row, state),
	COLUMN(INT8, struct holder_row, state_ms),
	COLUMN(INT8, struct holder_row, xact_ms),
	COLUMN(INT8, struct holder_row, held_ms),
	COLUMN(INT8, struct holder_row, waiting),
	COLUMN(INT4, struct holder_row, server_pid),
	COLUMN(INT8, struct holder_row, server_id),
	COLUMN(TEXT, struct holder_row, backend),
	COLUMN(TEXT, struct holder_row, fingerprint),
	COLUMN(TEXT, struct holder_row, query),
	COLUMN(TEXT, struct holder_row, blocked_by),
};

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
			 session_pin_reasons(&c->x, reasons, sizeof(reasons)));
	else
		snprintf(out->text, sizeof(out->text), c->x.is_session ? "session" : "finishing");
	out->since_us = srv->loan.last_done_us > srv->loan.lent_us ? srv->loan.last_done_us : srv->loan.lent_us;
}

uint64_t
show_holder_query(const struct show_env *env, const struct server *srv, char out[SHOW_QUERY_MAX], bool *has_text)
{
	const struct loan *loan = &srv->loan;

	out[0] = '\0';
	*has_text = loan->text_len > 0;
	return *has_text ? env->host->normalize((const char *)loan->text, loan->text_len, out, SHOW_QUERY_MAX) : 0;
}

/* Returns the client whose server has this PID on the same host, or NULL. */
static const struct client *
find_client(const struct show_env *env, const char *address, uint32_t pid)
{
	const struct server *srv;

	for (const struct pool_entry *e = pool_set_first(env->clients->x.pools); e != NULL; e = e->next)
		TAILQ_FOREACH(srv, &e->servers, all)
	if (srv->pid == pid && strcmp(srv->address, address) == 0 && show_is_held(srv))
		return srv->borrower;
	return NULL;
}

const char *
show_blocked_by(const struct show_env *env, const struct server *srv, char out[SHOW_BLOCKED_MAX])
{
	uint32_t pids[BLOCKING_PIDS_MAX];
	int count = blocking_of(env->blocking, srv, pids, env->now_us);
	size_t len = 0;

	out[0] = '\0';
	for (int i = 0; i < count && len < SHOW_BLOCKED_MAX; i++) {
		const struct client *c = find_client(env, srv->address, pids[i]);
		const char *comma = i > 0 ? ", " : "";
		int n;

		if (c != NULL)
			n = snprintf(out + len, SHOW_BLOCKED_MAX - len, "%sclient %" PRIu64 " (PID %" PRIu32 ")", comma,
				     c->x.ticket.id, pids[i]);
		else if (pids[i] != 0)
			n = snprintf(out + len, SHOW_BLOCKED_MAX - len, "%sPID %" PRIu32, comma, pids[i]);
		else
			n = snprintf(out + len, SHOW_BLOCKED_MAX - len, "%sa prepared transaction", comma);
		len += n > 0 ? (size_t)n : 0;
	}
	return count < 0 ? NULL : out;
}

static void
add_holder(const struct show_env *env, const struct pool_entry *e, const struct server *srv, struct rows *rows)
{
	const struct client *c = srv->borrower;
	char addr[SHOW_ADDRESS_MAX] = "unix", fingerprint[20], query[SHOW_QUERY_MAX], blocked[SHOW_BLOCKED_MAX];
	struct holder_row row = { .database = e->database->name, .addr = addr };
	struct holder_state state;
	struct pool_counts counts;
	bool has_text;

	show_holder_state(c, &state);
	pool_get_counts(e->policy, &counts);
	row.user = exchange_user(&c->x);
	row.application_name = exchange_application(&c->x);
	row.client_id = c->x.ticket.id;
	row.port = c->is_unix ? 0 : show_address(&c->peer.any, addr);
	row.state = state.text;
	row.state_ms = show_age_us(env->now_us, state.since_us) / 1000;
	row.xact_ms = srv->tx != 'I' ? show_age_us(env->now_us, srv->loan.tx_started_us) / 1000 : 0;
	row.held_ms = show_age_us(env->now_us, srv->loan.lent_us) / 1000;
	row.waiting = counts.waiting;
	row.server_pid = srv->pid;
	row.server_id = srv->id;
	row.backend = srv->address;
	snprintf(fingerprint, sizeof(fingerprint), "%016" PRIx64, show_holder_query(env, srv, query, &has_text));
	row.fingerprint = has_text ? fingerprint : NULL;
	row.query = has_text ? query : NULL;
	row.blocked_by = state.is_running ? show_blocked_by(env, srv, blocked) : "";
	rows_add(rows, &row);
}

/* A server for replication is in no pool, and while a client logs in its server is nobody's yet. */
bool
show_is_held(const struct server *srv)
{
	const struct client *c = srv->borrower;

	return srv->state == SV_LENT && c != NULL && c->x.srv == srv && exchange_is_ready(&c->x);
}

static void
fill_holders(const struct show_env *env, struct rows *rows)
{
	const struct server *srv;

	for (const struct pool_entry *e = pool_set_first(env->clients->x.pools); e != NULL; e = e->next)
		TAILQ_FOREACH(srv, &e->servers, all)
	if (show_is_held(srv))
		add_holder(env, e, srv, rows);
}

const struct show show_holders = { SHOW_COLUMNS(holders_columns), 0, fill_holders };

struct holding {
	const struct pool_entry *entry;
	const struct server *srv;
};

static int
by_age(const void *a, const void *b)
{
	uint64_t one = ((const struct holding *)a)->srv->loan.lent_us;
	uint64_t other = ((const struct holding *)b)->srv->loan.lent_us;

	return one < other ? -1 : one > other;
}

static size_t
find_blockers(const struct show_env *env, struct holding *out)
{
	const struct server *srv;
	struct pool_counts counts;
	size_t n = 0;

	for (const struct pool_entry *e = pool_set_first(env->clients->x.pools); e != NULL; e = e->next) {
		pool_get_counts(e->policy, &counts);
		if (counts.waiting == 0)
			continue;
		TAILQ_FOREACH(srv, &e->servers, all)
		if (show_is_held(srv))
			out[n++] = (struct holding){ e, srv };
	}
	return n;
}

static void
fill_blockers(const struct show_env *env, struct rows *rows)
{
	size_t most = pool_set_server_count(env->clients->x.pools), n;
	struct holding *found = xcalloc(most + 1, sizeof(*found));

	n = find_blockers(env, found);
	qsort(found, n, sizeof(*found), by_age);
	for (size_t i = 0; i < n; i++)
		add_holder(env, found[i].entry, found[i].srv, rows);
	free(found);
}

const struct show show_blockers = { SHOW_COLUMNS(holders_columns), 0, fill_blockers };
