/* src/admin/show_sockets.c - SHOW CLIENTS, SERVERS, SOCKETS, ACTIVE_SOCKETS, EXPLAIN RESTART: a row per connection. */
#include "admin/show.h"
#include "client/clients.h"
#include "statements/statements.h"
#include "base/clock.h"
#include "net/tls.h"
#include "policy/policy_ahead.h"
#include "dedicated/notify_listener.h"
#include "wire/startup.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define POINTER_MAX 24

/*
 * The columns that all four commands have. id is an int8, because 32 bits would overflow on a busy proxy after some
 * days. The column `worker` is shown only if there are several workers: dblink (pgbouncer_fdw) refuses rows with more
 * columns than its caller has declared.
 */
/* clang-format off */
#define COMMON_COLUMNS \
	(TEXT, type) (TEXT, user) (TEXT, database) (TEXT, replication) (TEXT, state) (TEXT, addr) (INT4, port) \
	(TEXT, local_addr) (INT4, local_port) (TIME, connect_time) (TIME, request_time) (INT4, wait) (INT4, wait_us) \
	(INT4, close_needed) (TEXT, ptr) (TEXT, link) (INT4, remote_pid) (TEXT, tls) (TEXT, application_name) \
	(INT4, prepared_statements) (INT8, id)
#define SOCKET_COLUMNS \
	COMMON_COLUMNS (INT4, recv_pos) (INT4, pkt_pos) (INT4, pkt_remain) (INT4, send_pos) (INT4, send_remain) \
	(INT4, pkt_avail) (INT4, send_avail) (INT4, worker)
/* clang-format on */

static const struct column common_columns[] = { ROW_COLUMNS(COMMON_COLUMNS(INT4, worker)) };
static const struct column socket_columns[] = { ROW_COLUMNS(SOCKET_COLUMNS) };

struct socket_row {
	ROW_FIELDS(SOCKET_COLUMNS)
	/* the texts to which the columns point */
	char addr_text[SHOW_ADDRESS_MAX], local_text[SHOW_ADDRESS_MAX];
	char ptr_text[POINTER_MAX], link_text[POINTER_MAX];
	char tls_text[64];
};

static uint64_t
write_local_address(int fd, char out[SHOW_ADDRESS_MAX])
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(ss);

	if (fd >= 0)
		getsockname(fd, (struct sockaddr *)&ss, &len);
	return show_address_and_port((const struct sockaddr *)&ss, out);
}

static uint64_t
peer_pid(const struct client *c)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (!c->is_unix || getsockopt(c->x.stream.fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.pid < 0)
		return 0;
	return (uint64_t)cred.pid;
}

/* Writes the client's `ptr`. PgBouncer shows an address there; pgweir makes a number from the id, so the number is
 * unique among clients and servers, and the same in all commands. */
static void
write_client_pointer(const struct client *c, char out[POINTER_MAX])
{
	snprintf(out, POINTER_MAX, "0xc%010" PRIx64, c->x.waiter.id);
}

static void
write_server_pointer(const struct server *srv, char out[POINTER_MAX])
{
	snprintf(out, POINTER_MAX, "0x5%010" PRIx64, srv->id);
}

static void
row_init(struct socket_row *row, const char *type)
{
	memset(row, 0, sizeof(*row));
	row->type = type;
	row->replication = "none";
	row->tls = "";
	row->addr = row->addr_text;
	row->local_addr = row->local_text;
	row->ptr = row->ptr_text;
	row->link = row->link_text;
}

static void
fill_stream(const struct stream *s, struct socket_row *row)
{
	if (stream_tls(s) != NULL) {
		snprintf(row->tls_text, sizeof(row->tls_text), "%s/%s", tls_version_name(stream_tls(s)),
			 tls_cipher_name(stream_tls(s)));
		row->tls = row->tls_text;
	}
	row->send_pos = s->queue != NULL ? s->queue->off : 0;
	row->send_remain = s->queue_len;
	row->send_avail = stream_queue_cap(s) - s->queue_len;
}

static const char *
client_state_text(const struct client *c)
{
	int activity = client_activity(c);

	if (c->x.state == CL_CONSOLE)
		return "active";
	if (c->x.state == CL_CANCEL)
		return "active_cancel_req";
	if (activity == CLIENT_IS_WAITING || c->x.state == CL_WELCOME_IN_LINE)
		return "waiting";
	return activity == CLIENT_IS_ACTIVE ? "active" : activity == CLIENT_IS_IDLE ? "idle" : "login";
}

/* Returns the client's server. If the client has none, returns the server to which its request was sent ahead
 * (policy_ahead.h); NULL if there is none. */
static const struct server *
find_server_of_client(const struct client *c)
{
	const struct server *srv = c->x.srv;

	if (c->x.waiter.waits == WAITS_AHEAD)
		TAILQ_FOREACH(srv, &c->x.pool->servers, all)
			if (srv->conn != NULL && policy_is_ahead(srv->conn, &c->x.waiter))
				break;
	return srv;
}

/* Returns the database that c has asked for, by the name that the console shows. */
static const char *
client_database(const struct show_env *env, const struct client *c)
{
	if (c->x.pool != NULL)
		return c->x.pool->database->name;
	if (c->x.state != CL_CONSOLE)
		return "(nodb)";
	return show_is_console_listed(env) ? "pgbouncer" : "pgweir";
}

static void
fill_client_row(const struct show_env *env, const struct client *c, struct socket_row *row)
{
	const struct server *srv = find_server_of_client(c);
	uint64_t wait_us = c->x.waiter.waits != WAITS_NOT ? show_age_us(env->now_us, c->x.waiter.since_us) : 0;

	row_init(row, "C");
	row->user = exchange_user(&c->x)[0] != '\0' ? exchange_user(&c->x) : "(nouser)";
	row->database = client_database(env, c);
	if (c->x.replication != REPLICATION_NONE)
		row->replication = c->x.replication == REPLICATION_LOGICAL ? "logical" : "physical";
	row->state = client_state_text(c);
	if (c->is_unix)
		snprintf(row->addr_text, sizeof(row->addr_text), "unix");
	else
		row->port = show_address_and_port(&c->peer.any, row->addr_text);
	row->local_port = write_local_address(c->x.stream.fd, row->local_text);
	row->connect_time = show_wall_us(env, c->connected_us);
	/* As in PgBouncer, request_time is connect_time before the first request. */
	row->request_time = show_wall_us(env, c->x.request_us > 0 ? c->x.request_us : c->connected_us);
	row->wait = wait_us / US_PER_S;
	row->wait_us = wait_us % US_PER_S;
	write_client_pointer(c, row->ptr_text);
	if (srv != NULL)
		write_server_pointer(srv, row->link_text);
	row->remote_pid = peer_pid(c);
	row->application_name = exchange_application(&c->x);
	row->prepared_statements = statements_count(&c->x);
	row->id = c->x.waiter.id;
	row->worker = c->env->number;
	row->recv_pos = row->pkt_avail = c->x.pending_len;
	row->pkt_remain = c->x.body_left;
	fill_stream(&c->x.stream, row);
}

static const char *
server_state_text(const struct server *srv)
{
	switch (srv->state) {
	case SV_LENT:
		return "active";
	case SV_IDLE:
		return srv->cancel != NULL ? "being_canceled" : "idle";
	case SV_PINGING:
	case SV_RESET:
		return srv->cancel != NULL ? "being_canceled" : "tested";
	case SV_LOGIN:
		return "login";
	case SV_ENDING:
		return "closing";
	default:
		return "new";
	}
}

static void
fill_server_row(const struct show_env *env, const struct pool *pool, const struct server *srv, struct socket_row *row)
{
	const char *application = srv->gucs != NULL ? gucs_get(srv->gucs, "application_name") : NULL;

	row_init(row, "S");
	row->user = pool->user;
	row->database = pool->database->name;
	if (srv->target != NULL && srv->target->replication != NULL)
		row->replication = strcmp(srv->target->replication, "database") == 0 ? "logical" : "physical";
	row->state = server_state_text(srv);
	row->port = show_address_and_port((const struct sockaddr *)&srv->peer, row->addr_text);
	row->local_port = write_local_address(srv->stream.fd, row->local_text);
	row->connect_time = show_wall_us(env, srv->created_us);
	row->request_time = show_wall_us(env, srv->loan.lent_us > 0 ? srv->loan.lent_us : srv->created_us);
	row->close_needed = srv->fitness != SERVER_FIT || (srv->conn != NULL && srv->conn->is_recycle_due);
	write_server_pointer(srv, row->ptr_text);
	row->remote_pid = srv->pid;
	row->application_name = application != NULL ? application : "";
	row->prepared_statements = srv->statements.count;
	row->id = srv->id;
	row->worker = show_worker_of(env, pool);
	row->recv_pos = row->pkt_avail = srv->carry.len;
	row->pkt_remain = srv->ledger.body_left;
	fill_stream(&srv->stream, row);
}

static void
add_socket(struct rows *rows, struct socket_row *row)
{
	if (rows->columns == common_columns)
		row->recv_pos = row->worker; /* common_columns has `worker` in the place of recv_pos */
	rows_add(rows, row);
}

static void
add_clients(const struct show_env *env, struct rows *rows, bool is_active_only)
{
	struct socket_row row;
	const struct client *c;

	for (c = clients_walk(env->host->client_envs, NULL); c != NULL; c = clients_walk(env->host->client_envs, c)) {
		if (is_active_only && c->x.srv == NULL && c->x.state != CL_CONSOLE)
			continue;
		fill_client_row(env, c, &row);
		add_socket(rows, &row);
	}
}

static void
add_servers(const struct show_env *env, struct rows *rows, const struct pool *pool, bool is_active_only)
{
	struct socket_row row;
	const struct server *srv;

	TAILQ_FOREACH(srv, &pool->servers, all) {
		if (is_active_only && srv->state != SV_LENT)
			continue;
		fill_server_row(env, pool, srv, &row);
		if (srv->borrower != NULL)
			write_client_pointer(srv->borrower, row.link_text);
		add_socket(rows, &row);
	}
}

/* Adds the connections that listen for all clients of a pool. */
static void
add_listeners(const struct show_env *env, struct rows *rows, const struct pool *pool)
{
	struct socket_row row;

	for (const struct notify_listener *l = pool->listeners; l != NULL; l = notify_listener_next(l)) {
		const struct server *srv = notify_listener_server(l);

		if (srv == NULL)
			continue;
		fill_server_row(env, pool, srv, &row);
		if (srv->state == SV_LENT)
			row.state = "listen";
		add_socket(rows, &row);
	}
}

static void
fill_sockets(const struct show_env *env, struct rows *rows)
{
	enum command_id id = env->command->row->id;
	bool is_active_only = id == COMMAND_SHOW_ACTIVE_SOCKETS;

	if (id != COMMAND_SHOW_SERVERS)
		add_clients(env, rows, is_active_only);
	for (struct pool *pool = show_next_pool(env, NULL); pool != NULL && id != COMMAND_SHOW_CLIENTS;
	     pool = show_next_pool(env, pool)) {
		add_servers(env, rows, pool, is_active_only);
		if (!is_active_only)
			add_listeners(env, rows, pool);
	}
}

const struct show show_clients = { SHOW_COLUMNS_AND_WORKER(common_columns), fill_sockets, OF_ALL };
const struct show show_servers = { SHOW_COLUMNS_AND_WORKER(common_columns), fill_sockets, OF_ALL };
const struct show show_sockets = { SHOW_COLUMNS_AND_WORKER(socket_columns), fill_sockets, OF_ALL };
const struct show show_active_sockets = { SHOW_COLUMNS_AND_WORKER(socket_columns), fill_sockets, OF_ALL };

/* --- EXPLAIN RESTART --- */

SHOW_ROW(mover, (INT8, client_id) (TEXT, database) (TEXT, user) (TEXT, application_name) (TEXT, addr) (INT4, port)
	(BOOL, moves) (TEXT, stays_because));

/* The clients that stay come first. */
SHOW(answer_restart, mover_columns, OF_ALL)
{
	const struct client *c;
	struct socket_row of;

	for (uint64_t moves = 0; moves <= 1; moves++)
		for (c = clients_walk(env->host->client_envs, NULL); c != NULL;
		     c = clients_walk(env->host->client_envs, c)) {
			const char *why = env->host->reason_to_stay(c);

			if ((why == NULL) != (moves == 1))
				continue;
			fill_client_row(env, c, &of);
			rows_add(rows, &(struct mover_row){ of.id, of.database, of.user, of.application_name,
							    of.addr_text, of.port, moves, why });
		}
}
