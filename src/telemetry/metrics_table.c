/* src/telemetry/metrics_table.c - see metrics_state.h. */
#include "telemetry/metrics_state.h"

#define NAMES(array) (array), sizeof(array) / sizeof((array)[0])
#define WORDS(label, array) (&(const struct metric_words){ label, NAMES(array) })

static const char *const state_names[PROCESS_STATES] = { "running", "paused", "draining", "stopping" };
static const char *const client_state_names[CLIENTS_STATES] = { "login", "idle", "active", "waiting", "cancel" };
static const char *const server_state_names[SERVERS_STATES] = { "idle",	 "active", "login",  "ping",
								"reset", "pinned", "cancel", "closing" };
static const char *const ok_names[] = { "ok", "failed" };
static const char *const hit_names[] = { "hit", "miss" };
static const char *const direction_names[] = { "in", "out" };
static const char *const limit_names[] = { "pool_size", "max_overflow" };
static const char *const drop_names[] = { "rate", "ring_full", "write_error" };
static const char *const log_drop_names[] = { "ring_full", "write_error" };

static const struct metric_words results = { "result", NAMES(ok_names) };

#define ALL(field) .scope = OF_ALL, .at = offsetof(struct snapshot, field)
#define LOOP(field) .scope = OF_LOOP, .at = offsetof(struct snapshot_worker, counters.field)
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
NEIGHBOURS(struct snapshot, log_dropped_ring, log_dropped_write);
NEIGHBOURS(struct snapshot, buffer_bytes_client, buffer_bytes_server);
NEIGHBOURS(struct snapshot_pool, pool_size, max_overflow);
NEIGHBOURS(struct snapshot_pool, counters.pings_ok, counters.pings_failed);
NEIGHBOURS(struct snapshot_pool, counters.resets_ok, counters.resets_failed);
NEIGHBOURS(struct snapshot_database, counters.bytes_in, counters.bytes_out);
NEIGHBOURS(struct snapshot_database, counters.statement_hits, counters.statement_misses);
NEIGHBOURS(struct snapshot_database, prepared_client, prepared_server);

/* clang-format off */
const struct metric_family metric_families[] = {
	{ .name = "pgweir_build_info", .type = METRIC_GAUGE, .special = SPECIAL_BUILD_INFO, .other_labels = "version, libevent, openssl",
	    .help = "Version of pgweir and of its libraries; the value is always 1." },
	{ .name = "pgweir_start_time_seconds", .type = METRIC_GAUGE, ALL(start_wall_us), .decimals = 6,
	    .help = "When pgweir was started, in seconds since 1970." },
	{ .name = "pgweir_state", .type = METRIC_GAUGE, .special = SPECIAL_STATE, .words = WORDS("state", state_names),
	    .help = "1 for the present state: running, paused, draining or stopping." },
	{ .name = "pgweir_config_last_reload_successful", .type = METRIC_GAUGE, .special = SPECIAL_RELOAD_OK,
	    .help = "1 if the last reload of the configuration succeeded, 0 if it was refused." },
	{ .name = "pgweir_config_last_reload_success_timestamp_seconds", .type = METRIC_GAUGE, ALL(last_reload_wall_us),
	    .decimals = 6, .help = "When the configuration in use was loaded, in seconds since 1970." },
	{ .name = "pgweir_config_reloads_total", .type = METRIC_COUNTER, ALL(process.reloads_ok), .words = &results,
	    .help = "Reloads of the configuration." },
	{ .name = "pgweir_restarts_total", .type = METRIC_COUNTER, ALL(process.restarts),
	    .help = "Restarts in which the clients moved to a new process; counted from one process to the next." },
	{ .name = "pgweir_restart_failures_total", .type = METRIC_COUNTER, ALL(process.restarts_failed),
	    .help = "Restarts whose new process could not start, or died while clients moved." },
	{ .name = "pgweir_restart_clients_total", .type = METRIC_COUNTER, ALL(process.clients_moved),
	    .help = "Clients that this process has taken over from the one before it." },

	{ .name = "pgweir_client_connections", .type = METRIC_GAUGE, .special = SPECIAL_CLIENTS, .words = WORDS("state", client_state_names),
	    .other_labels = "database, user",
	    .help = "Client connections by state. Those that have not sent their startup packet have no database and user." },
	{ .name = "pgweir_client_connections_limit", .type = METRIC_GAUGE, ALL(clients_limit),
	    .help = "max_client_connections." },
	{ .name = "pgweir_client_connections_total", .openmetrics_name = "pgweir_client_connections_accepted_total", .type = METRIC_COUNTER, ALL(process.client_connections),
	    .help = "Client connections accepted; in OpenMetrics pgweir_client_connections_accepted_total." },
	{ .name = "pgweir_client_connections_rejected_total", .type = METRIC_COUNTER, ALL(process.rejected),
	    .words = WORDS("reason", reject_reason_names), .help = "Client connections refused before they were ready for queries." },
	{ .name = "pgweir_client_logins_total", .type = METRIC_COUNTER, ALL(process.logins), .words = WORDS("result", login_result_names),
	    .more_words = WORDS("method", login_method_names), .help = "Logins of clients, successful or failed." },
	{ .name = "pgweir_client_login_duration_seconds", .type = METRIC_HISTOGRAM, ALL(process.login_duration),
	    .bounds = &histogram_bounds_wait, .help = "Time from a client's first byte to the end of its login." },
	{ .name = "pgweir_tls_handshakes_total", .type = METRIC_COUNTER, ALL(process.tls_handshakes), .words = WORDS("side", tls_side_names),
	    .more_words = WORDS("result", tls_result_names),
	    .help = "TLS handshakes with clients and with PostgreSQL; resumed: successful, without new keys or certificates." },
	{ .name = "pgweir_tls_handshake_duration_seconds", .type = METRIC_HISTOGRAM, ALL(process.tls_handshake_duration),
	    .bounds = &histogram_bounds_wait,
	    .help = "Time from the first byte of a client's TLS handshake to its end, including network round trips." },
	{ .name = "pgweir_tls_certificate_not_after_timestamp_seconds", .type = METRIC_GAUGE,
	    ALL(process.tls_not_after_us), .decimals = 6, .skips_zeros = true,
	    .help = "When the certificate for clients (the first, if there are several) expires." },
	{ .name = "pgweir_cancel_requests_total", .type = METRIC_COUNTER, ALL(process.cancels), .words = WORDS("result", cancel_result_names),
	    .help = "Cancel requests from clients." },
	{ .name = "pgweir_auth_queries_total", .type = METRIC_COUNTER, ALL(process.auth_queries),
	    .words = WORDS("result", auth_query_result_names), .help = "Users that were looked up by auth_query, or found in its cache." },

	{ .name = "pgweir_pool_server_connections", .type = METRIC_GAUGE, POOL(servers), .words = WORDS("state", server_state_names),
	    .help = "Server connections by state." },
	{ .name = "pgweir_pool_limit_connections", .type = METRIC_GAUGE, POOL(pool_size), .words = WORDS("kind", limit_names),
	    .help = "Limits of the pool: pool_size and max_overflow. Their sum is the most it will open." },
	{ .name = "pgweir_pool_overflow_connections", .type = METRIC_GAUGE, POOL(overflow),
	    .help = "Server connections above pool_size." },
	{ .name = "pgweir_pool_waiting_clients", .type = METRIC_GAUGE, POOL(waiting),
	    .help = "Clients in line for a server connection." },
	{ .name = "pgweir_pool_oldest_waiter_seconds", .type = METRIC_GAUGE, POOL(oldest_waiter_us), .decimals = 6,
	    .help = "How long the first in line has waited; 0 if there is none." },
	{ .name = "pgweir_pool_waits_total", .type = METRIC_COUNTER, POOL(counters.waits),
	    .help = "Requests that had to wait for a server connection." },
	{ .name = "pgweir_pool_timeouts_total", .type = METRIC_COUNTER, POOL(counters.pool_timeouts),
	    .help = "Requests that got no server connection within pool_timeout." },
	{ .name = "pgweir_pool_outages_total", .type = METRIC_COUNTER, POOL(counters.outages),
	    .help = "Outages: no server connection could be opened, and none was there." },
	{ .name = "pgweir_pool_outage_seconds_total", .type = METRIC_COUNTER, POOL(counters.outage_us), .decimals = 6,
	    .help = "Time of outages, the present one included." },
	{ .name = "pgweir_pool_held_requests_total", .type = METRIC_COUNTER, POOL(counters.held),
	    .help = "Requests that waited in an outage instead of being refused at once." },
	{ .name = "pgweir_pool_replays_total", .type = METRIC_COUNTER, POOL(counters.replays),
	    .help = "Requests that a server did not execute, relayed again to another one." },
	{ .name = "pgweir_pool_wait_seconds", .type = METRIC_HISTOGRAM, DATABASE(counters.pool_wait),
	    .bounds = &histogram_bounds_wait,
	    .help = "How long requests waited for a server connection, opening one included; 0 for most." },
	{ .name = "pgweir_pool_checkouts_total", .type = METRIC_COUNTER, POOL(counters.checkouts),
	    .words = WORDS("source", checkout_source_names),
	    .help = "Server connections lent to clients: an idle one, a new one, or a new one above pool_size." },
	{ .name = "pgweir_pool_recycles_total", .type = METRIC_COUNTER, POOL(counters.recycles), .words = WORDS("reason", recycle_reason_names),
	    .help = "Server connections closed, and why." },
	{ .name = "pgweir_pool_pings_total", .type = METRIC_COUNTER, POOL(counters.pings_ok), .words = &results,
	    .help = "Pings of idle server connections." },
	{ .name = "pgweir_pool_ping_duration_seconds", .type = METRIC_HISTOGRAM, DATABASE(counters.ping_duration),
	    .bounds = &histogram_bounds_wait, .help = "How long a server took to answer a ping." },
	{ .name = "pgweir_pool_pins_total", .type = METRIC_COUNTER, POOL(counters.pins), .words = WORDS("reason", pin_reason_names),
	    .skips_zeros = true, .help = "Clients that had to keep their server connection between transactions." },
	{ .name = "pgweir_pool_listen_connections", .type = METRIC_GAUGE, POOL(listen_connections),
	    .help = "Server connections that listen for the pool's clients; not among pgweir_pool_server_connections." },
	{ .name = "pgweir_pool_listening_clients", .type = METRIC_GAUGE, POOL(listening_clients),
	    .help = "Clients that listen." },
	{ .name = "pgweir_pool_listen_channels", .type = METRIC_GAUGE, POOL(listen_channels),
	    .help = "Channels that clients listen on." },
	{ .name = "pgweir_pool_notifications_total", .type = METRIC_COUNTER, POOL(counters.notifications),
	    .help = "Notifications delivered, counted once for each client." },
	{ .name = "pgweir_pool_resets_total", .type = METRIC_COUNTER, POOL(counters.resets_ok), .words = &results,
	    .help = "Server connections that were reset before they returned to the pool." },
	{ .name = "pgweir_pool_seals_total", .type = METRIC_COUNTER, POOL(counters.seals),
	    .help = "Server connections from which session state was washed before another client got them." },

	{ .name = "pgweir_client_requests_total", .type = METRIC_COUNTER, DATABASE(counters.requests),
	    .help = "Requests: a simple Query, or messages up to a Sync." },
	{ .name = "pgweir_client_requests_failed_total", .type = METRIC_COUNTER, DATABASE(counters.requests_failed),
	    .words = WORDS("reason", request_failure_names), .help = "Requests that failed because of pgweir or its connection to PostgreSQL, or that their clients gave up: reason canceled (before a server was free), client_gone." },
	{ .name = "pgweir_query_duration_seconds", .type = METRIC_HISTOGRAM, .has_exemplars = true, DATABASE(counters.query_duration),
	    .bounds = &histogram_bounds_query,
	    .help = "Time of requests as clients see it: first byte read to last byte of the answer written." },
	{ .name = "pgweir_transaction_duration_seconds", .type = METRIC_HISTOGRAM, DATABASE(counters.transaction_duration),
	    .bounds = &histogram_bounds_query,
	    .help = "Time of transactions, including the time between a client's requests." },
	{ .name = "pgweir_server_response_seconds", .type = METRIC_HISTOGRAM, DATABASE(counters.server_response),
	    .bounds = &histogram_bounds_query,
	    .help = "How long a request waited for PostgreSQL, which owed it the next byte." },
	{ .name = "pgweir_query_phase_seconds_total", .type = METRIC_COUNTER, DATABASE(counters.phase_us), .words = WORDS("phase", phase_names),
	    .decimals = 6,
	    .help = "Time of requests by who owed the next byte: the pool (wait), PostgreSQL (connect, server, stream of "
		    "its answer), the client (client_write), pgweir (proxy)." },
	{ .name = "pgweir_transaction_idle_seconds_total", .type = METRIC_COUNTER, DATABASE(counters.transaction_idle_us),
	    .decimals = 6, .help = "Time in which clients kept a server in a transaction and sent nothing." },
	{ .name = "pgweir_queries_total", .type = METRIC_COUNTER, DATABASE(counters.queries), .words = WORDS("kind", query_kind_names),
	    .help = "Requests by protocol." },
	{ .name = "pgweir_transactions_total", .type = METRIC_COUNTER, DATABASE(counters.transactions), .words = WORDS("end", transaction_end_names),
	    .help = "Transactions by how they ended; lost: the connection of client or server ended." },
	{ .name = "pgweir_commits_checked_total", .type = METRIC_COUNTER, DATABASE(counters.commits_checked),
	    .words = WORDS("result", commit_result_names),
	    .help = "COMMITs whose server was lost before its answer, with commit_check, by what became of the transaction." },
	{ .name = "pgweir_slow_queries_total", .type = METRIC_COUNTER, DATABASE(counters.slow_queries),
	    .help = "Requests that took longer than the threshold of the slow-query log, logged or not." },
	{ .name = "pgweir_slow_log_lines_dropped_total", .type = METRIC_COUNTER, ALL(slow_dropped_rate), .words = WORDS("reason", drop_names),
	    .help = "Lines that were not written to the slow-query log." },
	{ .name = "pgweir_log_lines_dropped_total", .type = METRIC_COUNTER, ALL(log_dropped_ring), .words = WORDS("reason", log_drop_names),
	    .help = "Lines that were not written to the log: its file was too slow, or its disk full." },
	{ .name = "pgweir_errors_total", .type = METRIC_COUNTER, DATABASE(counters.errors), .words = WORDS("origin", error_origin_names),
	    .more_words = WORDS("sqlstate_class", error_classes), .skips_zeros = true,
	    .help = "ErrorResponses sent to clients, PostgreSQL's own and pgweir's, by class of SQLSTATE." },
	{ .name = "pgweir_network_bytes_total", .type = METRIC_COUNTER, DATABASE(counters.bytes_in), .words = WORDS("direction", direction_names),
	    .more_words = WORDS("side", net_side_names), .help = "Bytes to and from clients and servers, as seen from pgweir." },
	{ .name = "pgweir_prepared_statements", .type = METRIC_GAUGE, DATABASE(prepared_client), .words = WORDS("where", net_side_names),
	    .help = "Prepared statements of clients and of servers." },
	{ .name = "pgweir_prepared_statement_lookups_total", .type = METRIC_COUNTER, DATABASE(counters.statement_hits),
	    .words = WORDS("result", hit_names), .help = "Prepared statements used; hit: the server had it already." },
	{ .name = "pgweir_prepared_statement_reruns_total", .type = METRIC_COUNTER, DATABASE(counters.statement_reruns),
	    .help = "Requests that were rerun because a changed table had made their statement's plan invalid." },
	{ .name = "pgweir_session_probes_total", .type = METRIC_COUNTER, DATABASE(counters.probes),
	    .help = "Times a server was asked what SQL had changed in a client's session." },
	{ .name = "pgweir_prepared_statement_evictions_total", .type = METRIC_COUNTER,
	    DATABASE(counters.statement_evictions), .help = "Prepared statements closed on a server to make room." },
	{ .name = "pgweir_prepared_statement_cache_bytes", .type = METRIC_GAUGE, ALL(statement_cache_bytes),
	    .help = "Memory of prepared statements: their SQL, and the clients' names for them." },

	{ .name = "pgweir_backend_up", .type = METRIC_GAUGE, .special = SPECIAL_BACKEND_UP, .other_labels = "backend, role",
	    .help = "1 if PostgreSQL answered the last login there, even with a refusal; 0 if not: then it is tried once a second." },
	{ .name = "pgweir_backend_connect_duration_seconds", .type = METRIC_HISTOGRAM, BACKEND(counters.connect_duration),
	    .bounds = &histogram_bounds_wait, .help = "Time to open a server connection, login included." },
	{ .name = "pgweir_backend_connect_failures_total", .type = METRIC_COUNTER, BACKEND(counters.connect_failures),
	    .words = WORDS("reason", connect_failure_names), .help = "Server connections that could not be opened." },
	{ .name = "pgweir_backend_last_failure_timestamp_seconds", .type = METRIC_GAUGE,
	    BACKEND(counters.last_failure_wall_us), .decimals = 6, .skips_zeros = true,
	    .help = "When opening a server connection last failed, in seconds since 1970." },

	{ .name = "pgweir_proxy_overhead_seconds", .type = METRIC_HISTOGRAM, LOOP(proxy_overhead),
	    .bounds = &histogram_bounds_proxy, .help = "What pgweir itself added to a request; one in 16 is timed." },
	{ .name = "pgweir_event_loop_lag_seconds", .type = METRIC_HISTOGRAM, LOOP(loop_lag), .bounds = &histogram_bounds_proxy,
	    .help = "Delay of a timer of the event loop." },
	{ .name = "pgweir_worker_up", .type = METRIC_GAUGE, .scope = OF_LOOP, .at = offsetof(struct snapshot_worker, is_up),
	    .help = "1: the worker tells its numbers; 0: it has not done so within 200 ms, and they are its last ones." },
	{ .name = "pgweir_crossings_total", .type = METRIC_COUNTER, ALL(process.crossings), .words = WORDS("what", crossing_names),
	  .help = "Clients and server connections that went to another worker: a client once, behind its proof; a server when it was returned, or was idle, and somebody waited there." },
	{ .name = "pgweir_crossing_seconds", .type = METRIC_HISTOGRAM, ALL(process.crossing_duration),
	    .bounds = &histogram_bounds_proxy, .help = "How long server connections were on their way to another worker." },
	{ .name = "pgweir_halt_seconds", .type = METRIC_HISTOGRAM, ALL(process.halt_duration), .bounds = &histogram_bounds_proxy,
	    .help = "How long all workers stood still for a command that concerns all, waiting for the last of them included." },
	{ .name = "pgweir_event_loop_iterations_total", .type = METRIC_COUNTER, LOOP(loop_iterations),
	    .help = "Turns of the event loop." },
	{ .name = "pgweir_event_loop_busy_seconds_total", .type = METRIC_COUNTER, LOOP(loop_busy_us), .decimals = 6,
	    .help = "Processor time of the event loop: at 1 s a second it is saturated." },
	{ .name = "pgweir_buffer_memory_bytes", .type = METRIC_GAUGE, ALL(buffer_bytes_client), .words = WORDS("kind", net_side_names),
	    .help = "Memory of buffers with what waits: for a client or a server to take it, or for a server to be free." },
	{ .name = "pgweir_dns_lookups_total", .type = METRIC_COUNTER, ALL(process.dns_lookups_ok), .words = &results,
	    .help = "Names of hosts looked up; addresses need no lookup." },
	{ .name = "pgweir_metrics_scrape_duration_seconds", .type = METRIC_HISTOGRAM, ALL(scrape_duration),
	    .bounds = &histogram_bounds_proxy, .help = "Time to answer earlier requests for /metrics." },
	{ .name = "pgweir_metrics_pools_aggregated", .type = METRIC_GAUGE, ALL(pools_aggregated),
	    .help = "Pools beyond metrics_max_pools, shown as one with database and user _other." },

	{ .name = "process_start_time_seconds", .type = METRIC_GAUGE, ALL(start_wall_us), .decimals = 6,
	    .help = "When the process was started, in seconds since 1970." },
	{ .name = "process_cpu_seconds_total", .type = METRIC_COUNTER, SYSTEM(cpu_us), .decimals = 6,
	    .help = "Processor time, user and system." },
	{ .name = "process_resident_memory_bytes", .type = METRIC_GAUGE, SYSTEM(resident_bytes), .help = "Resident memory." },
	{ .name = "process_virtual_memory_bytes", .type = METRIC_GAUGE, SYSTEM(virtual_bytes), .help = "Virtual memory." },
	{ .name = "process_open_fds", .type = METRIC_GAUGE, SYSTEM(open_fds), .help = "Open file descriptors." },
	{ .name = "process_max_fds", .type = METRIC_GAUGE, SYSTEM(max_fds), .help = "The largest number of file descriptors that may be open." },
};
/* clang-format on */
const size_t metric_family_count = sizeof(metric_families) / sizeof(metric_families[0]);
