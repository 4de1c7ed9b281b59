/*
 * src/telemetry/metrics.c - see metrics.h. A row of the table is a family: its name, what it says to people, and
 * where its numbers are. Most rows need no code of their own; the few that do are at its end.
 */
#include "telemetry/metrics.h"

#include "build.h"
#include "telemetry/exposition.h"
#include "telemetry/metrics_process.h"
#include "telemetry/metrics_view.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum type { COUNTER, GAUGE, HISTOGRAM };
static const char *const type_names[] = { "counter", "gauge", "histogram" };

/* Whose numbers: one sample, or one per word, for each of these. */
enum scope { OF_ALL, OF_LOOP, OF_POOL, OF_DATABASE, OF_BACKEND, OF_SYSTEM };
static const char *const scope_labels[] = { "", "worker", "database, user", "database", "backend", "" };

/* A label whose values are the indices of an array. */
struct words {
	const char *label;
	const char *const *names; /* NULL: not shown */
	size_t count;
};

/* All that a row's own code may look at. */
struct sources {
	const struct snapshot *snapshot;
	struct metrics_process system;
	struct metrics_view view;
	struct buf *to;
};

struct family {
	const char *name;
	enum type type;
	enum scope scope;
	size_t at; /* its first uint64_t, or its histogram, in the scope's struct */
	const struct words *words, *more_words; /* an array by words; [words][more_words] */
	unsigned decimals; /* 6: counted in microseconds, shown in seconds */
	bool skips_zeros; /* an array that is mostly empty */
	const struct histogram_bounds *bounds;
	void (*render)(const struct family *f, const struct sources *from); /* instead of all this */
	const char *labels; /* of render */
	const char *help;
};

#define NAMES(array) (array), sizeof(array) / sizeof((array)[0])

static const char *const state_names[PROCESS_STATES] = { "running", "paused", "draining", "stopping" };
static const char *const client_state_names[CLIENTS_STATES] = { "login", "idle", "active", "waiting", "cancel" };
static const char *const server_state_names[SERVERS_STATES] = { "idle",	 "active", "login",  "ping",
								"reset", "pinned", "cancel", "closing" };
static const char *const ok_names[] = { "ok", "failed" };
static const char *const hit_names[] = { "hit", "miss" };
static const char *const direction_names[] = { "in", "out" };
static const char *const limit_names[] = { "pool_size", "max_overflow" };
static const char *const drop_names[] = { "rate", "ring_full", "write_error" };

static const struct words client_states = { "state", NAMES(client_state_names) };
static const struct words server_states = { "state", NAMES(server_state_names) };
static const struct words results = { "result", NAMES(ok_names) };
static const struct words hits = { "result", NAMES(hit_names) };
static const struct words directions = { "direction", NAMES(direction_names) };
static const struct words limits = { "kind", NAMES(limit_names) };
static const struct words drops = { "reason", NAMES(drop_names) };
static const struct words sides = { "side", NAMES(net_side_names) };
static const struct words places = { "where", NAMES(net_side_names) };
static const struct words sides_kinds = { "kind", NAMES(net_side_names) };
static const struct words rejections = { "reason", NAMES(reject_reason_names) };
static const struct words login_results = { "result", NAMES(login_result_names) };
static const struct words methods = { "method", NAMES(login_method_names) };
static const struct words sources_of_checkout = { "source", NAMES(checkout_source_names) };
static const struct words recycle_reasons = { "reason", NAMES(recycle_reason_names) };
static const struct words pin_reasons = { "reason", NAMES(pin_reason_names) };
static const struct words failures = { "reason", NAMES(request_failure_names) };
static const struct words phases = { "phase", NAMES(phase_names) };
static const struct words kinds = { "kind", NAMES(query_kind_names) };
static const struct words ends = { "end", NAMES(transaction_end_names) };
static const struct words origins = { "origin", NAMES(error_origin_names) };
static const struct words classes = { "sqlstate_class", NAMES(error_classes) };
static const struct words connect_failures = { "reason", NAMES(connect_failure_names) };
static const struct words cancel_results = { "result", NAMES(cancel_result_names) };

#define ALL(field) .scope = OF_ALL, .at = offsetof(struct snapshot, field)
#define LOOP(field) .scope = OF_LOOP, .at = offsetof(struct snapshot, process.field)
#define POOL(field) .scope = OF_POOL, .at = offsetof(struct snapshot_pool, field)
#define DATABASE(field) .scope = OF_DATABASE, .at = offsetof(struct snapshot_database, field)
#define BACKEND(field) .scope = OF_BACKEND, .at = offsetof(struct snapshot_backend, field)
#define SYSTEM(field) .scope = OF_SYSTEM, .at = offsetof(struct metrics_process, field)

/* Fields that are shown as one array must be neighbours. */
#define NEIGHBOURS(type, a, b)                                                                                         \
	_Static_assert(offsetof(type, b) == offsetof(type, a) + sizeof(((type *)0)->a), #a " and " #b)
NEIGHBOURS(struct snapshot, process.reloads_ok, process.reloads_failed);
NEIGHBOURS(struct snapshot, process.dns_lookups_ok, process.dns_lookups_failed);
NEIGHBOURS(struct snapshot, slow_dropped_rate, slow_dropped_ring);
NEIGHBOURS(struct snapshot, slow_dropped_ring, slow_dropped_write);
NEIGHBOURS(struct snapshot, buffer_bytes_client, buffer_bytes_server);
NEIGHBOURS(struct snapshot_pool, pool_size, max_overflow);
NEIGHBOURS(struct snapshot_pool, counters.pings_ok, counters.pings_failed);
NEIGHBOURS(struct snapshot_pool, counters.resets_ok, counters.resets_failed);
NEIGHBOURS(struct snapshot_database, counters.bytes_in, counters.bytes_out);
NEIGHBOURS(struct snapshot_database, counters.statement_hits, counters.statement_misses);
NEIGHBOURS(struct snapshot_database, prepared_client, prepared_server);

static void render_build_info(const struct family *f, const struct sources *from);
static void render_state(const struct family *f, const struct sources *from);
static void render_reload_ok(const struct family *f, const struct sources *from);
static void render_clients(const struct family *f, const struct sources *from);
static void render_backend_up(const struct family *f, const struct sources *from);

/* clang-format off */
static const struct family families[] = {
	{ .name = "pgweir_build_info", .type = GAUGE, .render = render_build_info, .labels = "version, libevent, openssl",
	    .help = "Version of pgweir and of its libraries; the value is always 1." },
	{ .name = "pgweir_start_time_seconds", .type = GAUGE, ALL(start_wall_us), .decimals = 6,
	    .help = "When pgweir was started, in seconds since 1970." },
	{ .name = "pgweir_state", .type = GAUGE, .render = render_state, .labels = "state",
	    .help = "1 for the state pgweir is in: running, paused, draining or stopping." },
	{ .name = "pgweir_config_last_reload_successful", .type = GAUGE, .render = render_reload_ok, .labels = "",
	    .help = "1 if the last reload of the configuration succeeded, 0 if it was refused." },
	{ .name = "pgweir_config_last_reload_success_timestamp_seconds", .type = GAUGE, ALL(last_reload_wall_us),
	    .decimals = 6, .help = "When the configuration in use was loaded, in seconds since 1970." },
	{ .name = "pgweir_config_reloads_total", .type = COUNTER, ALL(process.reloads_ok), .words = &results,
	    .help = "Reloads of the configuration." },

	{ .name = "pgweir_client_connections", .type = GAUGE, .render = render_clients, .words = &client_states,
	    .labels = "database, user, state",
	    .help = "Client connections by state. Those that have not said who they are have no database and user." },
	{ .name = "pgweir_client_connections_limit", .type = GAUGE, ALL(clients_limit),
	    .help = "max_client_connections." },
	{ .name = "pgweir_client_connections_total", .type = COUNTER, ALL(process.client_connections),
	    .help = "Client connections accepted." },
	{ .name = "pgweir_client_connections_rejected_total", .type = COUNTER, ALL(process.rejected),
	    .words = &rejections, .help = "Client connections refused before they could ask anything." },
	{ .name = "pgweir_client_logins_total", .type = COUNTER, ALL(process.logins), .words = &login_results,
	    .more_words = &methods, .help = "Logins of clients that came to an end, good or bad." },
	{ .name = "pgweir_client_login_duration_seconds", .type = HISTOGRAM, ALL(process.login_duration),
	    .bounds = &histogram_bounds_wait, .help = "From a client's first byte to the end of its login." },
	{ .name = "pgweir_cancel_requests_total", .type = COUNTER, ALL(process.cancels), .words = &cancel_results,
	    .help = "Cancel requests of clients." },

	{ .name = "pgweir_pool_server_connections", .type = GAUGE, POOL(servers), .words = &server_states,
	    .help = "Server connections by state." },
	{ .name = "pgweir_pool_limit_connections", .type = GAUGE, POOL(pool_size), .words = &limits,
	    .help = "Limits of the pool: pool_size and max_overflow. Their sum is the most it will open." },
	{ .name = "pgweir_pool_overflow_connections", .type = GAUGE, POOL(overflow),
	    .help = "Server connections above pool_size." },
	{ .name = "pgweir_pool_waiting_clients", .type = GAUGE, POOL(waiting),
	    .help = "Clients in line for a server connection." },
	{ .name = "pgweir_pool_oldest_waiter_seconds", .type = GAUGE, POOL(oldest_waiter_us), .decimals = 6,
	    .help = "How long the first in line has waited; 0 if there is none." },
	{ .name = "pgweir_pool_waits_total", .type = COUNTER, POOL(counters.waits),
	    .help = "Requests that had to wait for a server connection." },
	{ .name = "pgweir_pool_timeouts_total", .type = COUNTER, POOL(counters.pool_timeouts),
	    .help = "Requests that got no server connection within pool_timeout." },
	{ .name = "pgweir_pool_wait_seconds", .type = HISTOGRAM, DATABASE(counters.pool_wait),
	    .bounds = &histogram_bounds_wait,
	    .help = "How long requests waited for a server connection, opening one included; 0 for most." },
	{ .name = "pgweir_pool_checkouts_total", .type = COUNTER, POOL(counters.checkouts),
	    .words = &sources_of_checkout,
	    .help = "Server connections lent to clients: an idle one, a new one, or a new one above pool_size." },
	{ .name = "pgweir_pool_recycles_total", .type = COUNTER, POOL(counters.recycles), .words = &recycle_reasons,
	    .help = "Server connections closed, and why." },
	{ .name = "pgweir_pool_pings_total", .type = COUNTER, POOL(counters.pings_ok), .words = &results,
	    .help = "Pings of idle server connections." },
	{ .name = "pgweir_pool_ping_duration_seconds", .type = HISTOGRAM, DATABASE(counters.ping_duration),
	    .bounds = &histogram_bounds_wait, .help = "How long a server took to answer a ping." },
	{ .name = "pgweir_pool_pins_total", .type = COUNTER, POOL(counters.pins), .words = &pin_reasons,
	    .skips_zeros = true, .help = "Clients that had to keep their server connection between transactions." },
	{ .name = "pgweir_pool_resets_total", .type = COUNTER, POOL(counters.resets_ok), .words = &results,
	    .help = "Server connections reset before they went back to the pool." },

	{ .name = "pgweir_client_requests_total", .type = COUNTER, DATABASE(counters.requests),
	    .help = "Requests: a simple Query, or messages up to a Sync." },
	{ .name = "pgweir_client_requests_failed_total", .type = COUNTER, DATABASE(counters.requests_failed),
	    .words = &failures, .help = "Requests that failed for a reason of pgweir's or of the way to PostgreSQL." },
	{ .name = "pgweir_query_duration_seconds", .type = HISTOGRAM, DATABASE(counters.query_duration),
	    .bounds = &histogram_bounds_query,
	    .help = "Time of requests as clients see it: first byte read to last byte of the answer written." },
	{ .name = "pgweir_transaction_duration_seconds", .type = HISTOGRAM, DATABASE(counters.transaction_duration),
	    .bounds = &histogram_bounds_query,
	    .help = "Time of transactions, what the client did between its requests included." },
	{ .name = "pgweir_server_response_seconds", .type = HISTOGRAM, DATABASE(counters.server_response),
	    .bounds = &histogram_bounds_query,
	    .help = "From the last byte of a request sent to PostgreSQL to the first byte of its answer." },
	{ .name = "pgweir_query_phase_seconds_total", .type = COUNTER, DATABASE(counters.phase_us), .words = &phases,
	    .decimals = 6,
	    .help = "Time of requests by phase: wait for a server, server, stream of the answer, client_write, proxy." },
	{ .name = "pgweir_transaction_idle_seconds_total", .type = COUNTER, DATABASE(counters.transaction_idle_us),
	    .decimals = 6, .help = "Time in which clients held a server in a transaction and asked nothing of it." },
	{ .name = "pgweir_queries_total", .type = COUNTER, DATABASE(counters.queries), .words = &kinds,
	    .help = "Requests by protocol." },
	{ .name = "pgweir_transactions_total", .type = COUNTER, DATABASE(counters.transactions), .words = &ends,
	    .help = "Transactions by how they ended; lost: with the connection of client or server." },
	{ .name = "pgweir_slow_queries_total", .type = COUNTER, DATABASE(counters.slow_queries),
	    .help = "Requests that took longer than the threshold of the slow-query log, logged or not." },
	{ .name = "pgweir_slow_log_lines_dropped_total", .type = COUNTER, ALL(slow_dropped_rate), .words = &drops,
	    .help = "Lines that are missing from the slow-query log." },
	{ .name = "pgweir_errors_total", .type = COUNTER, DATABASE(counters.errors), .words = &origins,
	    .more_words = &classes, .skips_zeros = true,
	    .help = "ErrorResponses sent to clients, PostgreSQL's own and pgweir's, by class of SQLSTATE." },
	{ .name = "pgweir_network_bytes_total", .type = COUNTER, DATABASE(counters.bytes_in), .words = &directions,
	    .more_words = &sides, .help = "Bytes to and from clients and servers, as seen from pgweir." },
	{ .name = "pgweir_prepared_statements", .type = GAUGE, DATABASE(prepared_client), .words = &places,
	    .help = "Prepared statements that clients have, and that servers have." },
	{ .name = "pgweir_prepared_statement_lookups_total", .type = COUNTER, DATABASE(counters.statement_hits),
	    .words = &hits, .help = "Prepared statements used; hit: the server had it already." },
	{ .name = "pgweir_prepared_statement_evictions_total", .type = COUNTER,
	    DATABASE(counters.statement_evictions), .help = "Prepared statements closed on a server to make room." },
	{ .name = "pgweir_prepared_statement_cache_bytes", .type = GAUGE, ALL(statement_cache_bytes),
	    .help = "Memory of the store of statement texts." },

	{ .name = "pgweir_backend_up", .type = GAUGE, .render = render_backend_up, .labels = "backend, role",
	    .help = "1 if the last connection attempt succeeded, 0 if it failed." },
	{ .name = "pgweir_backend_connect_duration_seconds", .type = HISTOGRAM, BACKEND(counters.connect_duration),
	    .bounds = &histogram_bounds_wait, .help = "Opening a server connection, login included." },
	{ .name = "pgweir_backend_connect_failures_total", .type = COUNTER, BACKEND(counters.connect_failures),
	    .words = &connect_failures, .help = "Server connections that could not be opened." },
	{ .name = "pgweir_backend_last_failure_timestamp_seconds", .type = GAUGE,
	    BACKEND(counters.last_failure_wall_us), .decimals = 6, .skips_zeros = true,
	    .help = "When opening a server connection failed last, in seconds since 1970." },

	{ .name = "pgweir_proxy_overhead_seconds", .type = HISTOGRAM, LOOP(proxy_overhead),
	    .bounds = &histogram_bounds_proxy, .help = "What pgweir itself added to a request." },
	{ .name = "pgweir_event_loop_lag_seconds", .type = HISTOGRAM, LOOP(loop_lag), .bounds = &histogram_bounds_proxy,
	    .help = "How late a timer of the event loop was." },
	{ .name = "pgweir_event_loop_iterations_total", .type = COUNTER, LOOP(loop_iterations),
	    .help = "Turns of the event loop." },
	{ .name = "pgweir_event_loop_busy_seconds_total", .type = COUNTER, LOOP(loop_busy_us), .decimals = 6,
	    .help = "Time in which the event loop did not sleep." },
	{ .name = "pgweir_buffer_memory_bytes", .type = GAUGE, ALL(buffer_bytes_client), .words = &sides_kinds,
	    .help = "Bytes that wait until a client or a server takes them." },
	{ .name = "pgweir_dns_lookups_total", .type = COUNTER, ALL(process.dns_lookups_ok), .words = &results,
	    .help = "Names of servers looked up." },
	{ .name = "pgweir_metrics_scrape_duration_seconds", .type = HISTOGRAM, ALL(scrape_duration),
	    .bounds = &histogram_bounds_proxy, .help = "Time it took to answer earlier requests for /metrics." },
	{ .name = "pgweir_metrics_pools_aggregated", .type = GAUGE, ALL(pools_aggregated),
	    .help = "Pools beyond metrics_max_pools, shown as one with database and user _other." },

	{ .name = "process_cpu_seconds_total", .type = COUNTER, SYSTEM(cpu_us), .decimals = 6,
	    .help = "Processor time, user and system." },
	{ .name = "process_resident_memory_bytes", .type = GAUGE, SYSTEM(resident_bytes), .help = "Resident memory." },
	{ .name = "process_virtual_memory_bytes", .type = GAUGE, SYSTEM(virtual_bytes), .help = "Virtual memory." },
	{ .name = "process_open_fds", .type = GAUGE, SYSTEM(open_fds), .help = "Open file descriptors." },
	{ .name = "process_max_fds", .type = GAUGE, SYSTEM(max_fds), .help = "Most file descriptors it may open." },
};
/* clang-format on */
#define FAMILY_COUNT (sizeof(families) / sizeof(families[0]))

/* --- rows that are plain numbers --- */

static void
put_value(const struct family *f, struct buf *to, const char *labels, uint64_t value)
{
	if (value != 0 || !f->skips_zeros)
		exposition_sample(to, f->name, labels, value, f->decimals);
}

static void
add_word(char labels[LABELS_MAX], const struct words *words, size_t i)
{
	labels_add(labels, words->label, words->names[i], strlen(words->names[i]));
}

static void
put_matrix_row(const struct family *f, struct buf *to, const char *labels, const uint64_t *values)
{
	for (size_t i = 0; i < f->more_words->count; i++) {
		char with_word[LABELS_MAX];

		if (f->more_words->names[i] == NULL || (values[i] == 0 && f->skips_zeros))
			continue;
		strcpy(with_word, labels);
		add_word(with_word, f->more_words, i);
		put_value(f, to, with_word, values[i]);
	}
}

static void
put_array(const struct family *f, struct buf *to, const char *labels, const uint64_t *values)
{
	size_t step = f->more_words != NULL ? f->more_words->count : 1;

	for (size_t i = 0; i < f->words->count; i++, values += step) {
		char with_word[LABELS_MAX];

		strcpy(with_word, labels);
		add_word(with_word, f->words, i);
		if (f->more_words != NULL)
			put_matrix_row(f, to, with_word, values);
		else
			put_value(f, to, with_word, *values);
	}
}

/* One of what the family's scope has: labels of its own, and the struct that holds its numbers. */
static void
put_one(const struct family *f, struct buf *to, const char *labels, const void *data)
{
	const void *at = (const char *)data + f->at;

	if (f->type == HISTOGRAM)
		exposition_histogram(to, f->name, labels, at, f->bounds);
	else if (f->words != NULL)
		put_array(f, to, labels, at);
	else
		put_value(f, to, labels, *(const uint64_t *)at);
}

static void
put_items(const struct family *f, struct buf *to, const struct metrics_items *all)
{
	for (size_t i = 0; i < all->count; i++)
		put_one(f, to, all->items[i].labels, all->items[i].data);
}

static void
put_family(const struct family *f, const struct sources *from)
{
	exposition_head(from->to, f->name, type_names[f->type], f->help);
	if (f->render != NULL) {
		f->render(f, from);
		return;
	}
	switch (f->scope) {
	case OF_ALL:
		put_one(f, from->to, "", from->snapshot);
		break;
	case OF_LOOP:
		put_one(f, from->to, "worker=\"0\"", from->snapshot);
		break;
	case OF_POOL:
		put_items(f, from->to, &from->view.pools);
		break;
	case OF_DATABASE:
		put_items(f, from->to, &from->view.databases);
		break;
	case OF_BACKEND:
		put_items(f, from->to, &from->view.backends);
		break;
	case OF_SYSTEM:
		put_one(f, from->to, "", &from->system);
		break;
	}
}

void
metrics_render(const struct snapshot *s, struct buf *to)
{
	struct sources from = { .snapshot = s, .to = to };

	metrics_process_read(&from.system);
	if (metrics_view_init(&from.view, s) < 0)
		to->is_broken = true;
	else
		for (size_t i = 0; i < FAMILY_COUNT; i++)
			put_family(&families[i], &from);
	metrics_view_fini(&from.view);
}

/* --- rows with code of their own --- */

static void
render_build_info(const struct family *f, const struct sources *from)
{
	char labels[LABELS_MAX] = "";
	const char *libevent = event_get_version(), *openssl = OpenSSL_version(OPENSSL_VERSION_STRING);

	labels_add(labels, "version", PGWEIR_VERSION, strlen(PGWEIR_VERSION));
	labels_add(labels, "libevent", libevent, strlen(libevent));
	labels_add(labels, "openssl", openssl, strlen(openssl));
	exposition_sample(from->to, f->name, labels, 1, 0);
}

static void
render_state(const struct family *f, const struct sources *from)
{
	for (size_t i = 0; i < PROCESS_STATES; i++) {
		char labels[LABELS_MAX] = "";

		labels_add(labels, "state", state_names[i], strlen(state_names[i]));
		exposition_sample(from->to, f->name, labels, i == (size_t)from->snapshot->state, 0);
	}
}

static void
render_reload_ok(const struct family *f, const struct sources *from)
{
	exposition_sample(from->to, f->name, "", from->snapshot->last_reload_ok, 0);
}

static void
render_clients(const struct family *f, const struct sources *from)
{
	exposition_sample(from->to, f->name, "state=\"login\"", from->snapshot->login_clients, 0);
	exposition_sample(from->to, f->name, "state=\"cancel\"", from->snapshot->cancel_clients, 0);
	for (size_t i = 0; i < from->view.pools.count; i++) {
		const struct snapshot_pool *p = from->view.pools.items[i].data;

		put_array(f, from->to, from->view.pools.items[i].labels, p->clients);
	}
}

/* A backend that was never tried is neither up nor down. */
static void
render_backend_up(const struct family *f, const struct sources *from)
{
	for (size_t i = 0; i < from->view.backends.count; i++) {
		const struct metrics_item *item = &from->view.backends.items[i];
		const struct snapshot_backend *b = item->data;
		char labels[LABELS_MAX];

		if (b->counters.is_up < 0)
			continue;
		strcpy(labels, item->labels);
		labels_add(labels, "role", b->role, strnlen(b->role, sizeof(b->role)));
		exposition_sample(from->to, f->name, labels, b->counters.is_up > 0, 0);
	}
}

/* --- the table for people --- */

static void
label_list(const struct family *f, char *out, size_t cap)
{
	const char *base = f->render != NULL ? f->labels : scope_labels[f->scope];
	const char *word = f->render == NULL && f->words != NULL ? f->words->label : "";
	const char *more = f->more_words != NULL ? f->more_words->label : "";

	snprintf(out, cap, "%s%s%s%s%s", base, base[0] != '\0' && word[0] != '\0' ? ", " : "", word,
		 more[0] != '\0' ? ", " : "", more);
}

void
metrics_each(void (*row)(const char *name, const char *type, const char *labels, const char *help, void *arg),
	     void *arg)
{
	for (size_t i = 0; i < FAMILY_COUNT; i++) {
		const struct family *f = &families[i];
		char labels[128];

		label_list(f, labels, sizeof(labels));
		row(f->name, type_names[f->type], labels, f->help, arg);
	}
}

static void
print_row(const char *name, const char *type, const char *labels, const char *help, void *arg)
{
	FILE *to = arg;

	fprintf(to, "| `%s` | %s | %s | %s |\n", name, type, labels, help);
}

static void
print_words(FILE *to, const char *family, const struct words *words)
{
	if (words == NULL)
		return;
	fprintf(to, "- `%s` of `%s`:", words->label, family);
	for (size_t i = 0; i < words->count && words->names[i] != NULL; i++)
		fprintf(to, "%s `%s`", i > 0 ? "," : "", words->names[i]);
	fputs("\n", to);
}

void
metrics_print_docs(FILE *to)
{
	fputs(
	    "# Metrics\n"
	    "\n"
	    "`http://127.0.0.1:9930/metrics` (`[http] listen`) serves these in Prometheus' text format. Times are in\n"
	    "seconds; counters end in `_total` and begin at 0 with the process. A histogram `x` has samples\n"
	    "`x_bucket{le=\"...\"}`, `x_sum` and `x_count`; 100 ms is a bucket's edge, so that an objective of\n"
	    "\"95 % below 100 ms\" can be read off exactly.\n"
	    "\n"
	    "`database` and `user` are what clients log in with. Pools beyond `metrics_max_pools` are added up in one\n"
	    "with database and user `_other`. No label holds an address of a client, an application name or SQL.\n"
	    "\n"
	    "| name | type | labels | what it is |\n"
	    "| --- | --- | --- | --- |\n",
	    to);
	metrics_each(print_row, to);
	fputs("\n## Values of labels\n\n", to);
	for (size_t i = 0; i < FAMILY_COUNT; i++) {
		print_words(to, families[i].name, families[i].words);
		print_words(to, families[i].name, families[i].more_words);
	}
}
