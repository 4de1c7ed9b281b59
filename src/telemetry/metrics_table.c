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
static const char *const call_states[] = { "waiting", "running", "lost" };
static const char *const check_names[] = { "granted", "none", "failed" };
static const char *const log_drop_names[] = { "ring_full", "write_error" };

static const struct metric_words results = { "result", NAMES(ok_names) };

#define COUNTER(its_name) .name = its_name, .type = METRIC_COUNTER
#define GAUGE(its_name) .name = its_name, .type = METRIC_GAUGE
#define HISTOGRAM(its_name, its_bounds)                                                                                \
	.name = its_name, .type = METRIC_HISTOGRAM, .bounds = &histogram_bounds_##its_bounds
#define ALL(field) .scope = OF_ALL, .at = offsetof(struct snapshot, field)
#define LOOP(field) .scope = OF_LOOP, .at = offsetof(struct snapshot_worker, counters.field)
#define POOL(field) .scope = OF_POOL, .at = offsetof(struct snapshot_pool, field)
#define DATABASE(field) .scope = OF_DATABASE, .at = offsetof(struct snapshot_database, field)
#define BACKEND(field) .scope = OF_BACKEND, .at = offsetof(struct snapshot_backend, field)
#define BUDGET(field) .scope = OF_BUDGET, .at = offsetof(struct snapshot_budget, field)
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
NEIGHBOURS(struct snapshot_budget, checks_granted, checks_none);
NEIGHBOURS(struct snapshot_budget, checks_none, checks_failed);
NEIGHBOURS(struct snapshot_pool, pool_size, max_overflow);
NEIGHBOURS(struct snapshot_pool, counters.pings_ok, counters.pings_failed);
NEIGHBOURS(struct snapshot_pool, counters.resets_ok, counters.resets_failed);
NEIGHBOURS(struct snapshot_database, counters.bytes_in, counters.bytes_out);
NEIGHBOURS(struct snapshot_database, counters.statement_hits, counters.statement_misses);
NEIGHBOURS(struct snapshot_database, prepared_client, prepared_server);

/* clang-format off */
const struct metric_family metric_families[] = {
	{ GAUGE("pgweir_build_info"), .special = SPECIAL_BUILD_INFO, .other_labels = "version, libevent, openssl",
	    .help = "Version of pgweir and of its libraries; the value is always 1." },
	{ GAUGE("pgweir_start_time_seconds"), ALL(start_wall_us), .decimals = 6,
	    .help = "When pgweir was started, in seconds since 1970." },
	{ GAUGE("pgweir_state"), .special = SPECIAL_STATE, .words = WORDS("state", state_names),
	    .help = "1 for the present state: running, paused, draining or stopping." },
	{ GAUGE("pgweir_config_last_reload_successful"), ALL(last_reload_ok),
	    .help = "1 if the last reload of the configuration succeeded, 0 if it was refused." },
	{ GAUGE("pgweir_config_last_reload_success_timestamp_seconds"), ALL(last_reload_wall_us), .decimals = 6,
	    .help = "When the configuration in use was loaded, in seconds since 1970." },
	{ COUNTER("pgweir_config_reloads_total"), ALL(process.reloads_ok), .words = &results,
	    .help = "Reloads of the configuration." },
	{ COUNTER("pgweir_restarts_total"), ALL(process.restarts),
	    .help = "Restarts in which the clients moved to a new process; counted from one process to the next." },
	{ COUNTER("pgweir_restart_failures_total"), ALL(process.restarts_failed),
	    .help = "Restarts whose new process could not start, or died while clients moved." },
	{ COUNTER("pgweir_restart_clients_total"), ALL(process.clients_moved),
	    .help = "Clients that this process has taken over from the one before it." },
	{ GAUGE("pgweir_client_connections"), .special = SPECIAL_CLIENTS, .words = WORDS("state", client_state_names),
	    .other_labels = "database, user",
	    .help = "Client connections by state. Those that have not sent their startup packet have no database and user." },
	{ GAUGE("pgweir_client_connections_limit"), ALL(clients_limit), .help = "max_client_connections." },
	{ COUNTER("pgweir_client_connections_total"), .openmetrics_name = "pgweir_client_connections_accepted_total",
	    ALL(process.client_connections),
	    .help = "Client connections accepted; in OpenMetrics pgweir_client_connections_accepted_total." },
	{ COUNTER("pgweir_client_connections_rejected_total"), ALL(process.rejected), .words = WORDS("reason", reject_reason_names),
	    .help = "Client connections refused before they were ready for queries." },
	{ COUNTER("pgweir_client_logins_total"), ALL(process.logins), .words = WORDS("result", login_result_names),
	    .more_words = WORDS("method", login_method_names),
	    .help = "Logins of clients, successful or failed." },
	{ GAUGE("pgweir_external_logins"), ALL(external_calls), .words = WORDS("state", call_states),
	    .help = "Calls of LDAP servers and PAM for logins: those in line, those that run, and those that still run though their login has given them up." },
	{ HISTOGRAM("pgweir_client_login_duration_seconds", wait), ALL(process.login_duration),
	    .help = "Time from a client's first byte to the end of its login." },
	{ COUNTER("pgweir_tls_handshakes_total"), ALL(process.tls_handshakes), .words = WORDS("side", tls_side_names),
	    .more_words = WORDS("result", tls_result_names),
	    .help = "TLS handshakes with clients and with PostgreSQL; resumed: successful, without new keys or certificates." },
	{ HISTOGRAM("pgweir_tls_handshake_duration_seconds", wait), ALL(process.tls_handshake_duration),
	    .help = "Time from the first byte of a client's TLS handshake to its end, including network round trips." },
	{ GAUGE("pgweir_tls_certificate_not_after_timestamp_seconds"), ALL(process.tls_not_after_us), .decimals = 6,
	    .skips_zeros = true,
	    .help = "When the certificate for clients (the first, if there are several) expires." },
	{ COUNTER("pgweir_cancel_requests_total"), ALL(process.cancels), .words = WORDS("result", cancel_result_names),
	    .help = "Cancel requests from clients." },
	{ COUNTER("pgweir_auth_queries_total"), ALL(process.auth_queries), .words = WORDS("result", auth_query_result_names),
	    .help = "Users and roles that were looked up by auth_query, or found in its cache." },
	{ GAUGE("pgweir_pool_server_connections"), POOL(servers), .words = WORDS("state", server_state_names),
	    .help = "Server connections by state." },
	{ GAUGE("pgweir_pool_limit_connections"), POOL(pool_size), .words = WORDS("kind", limit_names),
	    .help = "Limits of the pool: pool_size and max_overflow. Their sum is the most it will open." },
	{ GAUGE("pgweir_pool_overflow_connections"), POOL(overflow), .help = "Server connections above pool_size." },
	{ GAUGE("pgweir_pool_waiting_clients"), POOL(waiting), .help = "Clients in line for a server connection." },
	{ GAUGE("pgweir_pool_oldest_waiter_seconds"), POOL(oldest_waiter_us), .decimals = 6,
	    .help = "How long the first in line has waited; 0 if there is none." },
	{ COUNTER("pgweir_pool_waits_total"), POOL(counters.waits),
	    .help = "Requests that had to wait for a server connection." },
	{ COUNTER("pgweir_pool_timeouts_total"), POOL(counters.pool_timeouts),
	    .help = "Requests that got no server connection within pool_timeout." },
	{ COUNTER("pgweir_pool_outages_total"), POOL(counters.outages),
	    .help = "Outages: no server connection could be opened, and none was there." },
	{ COUNTER("pgweir_pool_outage_seconds_total"), POOL(counters.outage_us), .decimals = 6,
	    .help = "Time of outages, the present one included." },
	{ COUNTER("pgweir_pool_held_requests_total"), POOL(counters.held),
	    .help = "Requests that waited in an outage instead of being refused at once." },
	{ COUNTER("pgweir_pool_replays_total"), POOL(counters.replays),
	    .help = "Requests that a server did not execute, relayed again to another one." },
	{ HISTOGRAM("pgweir_pool_wait_seconds", wait), DATABASE(counters.pool_wait),
	    .help = "How long requests waited for a server connection, opening one included; 0 for most." },
	{ COUNTER("pgweir_pool_checkouts_total"), POOL(counters.checkouts), .words = WORDS("source", checkout_source_names),
	    .help = "Server connections lent to clients: an idle one, a new one, or a new one above pool_size." },
	{ COUNTER("pgweir_pool_recycles_total"), POOL(counters.recycles), .words = WORDS("reason", recycle_reason_names),
	    .help = "Server connections closed, and why." },
	{ COUNTER("pgweir_pool_pings_total"), POOL(counters.pings_ok), .words = &results,
	    .help = "Pings of idle server connections." },
	{ HISTOGRAM("pgweir_pool_ping_duration_seconds", ping), DATABASE(counters.ping_duration),
	    .help = "How long a server took to answer a ping." },
	{ COUNTER("pgweir_pool_pins_total"), POOL(counters.pins), .words = WORDS("reason", pin_reason_names), .skips_zeros = true,
	    .help = "Clients that had to keep their server connection between transactions." },
	{ GAUGE("pgweir_pool_listen_connections"), POOL(listen_connections),
	    .help = "Server connections that listen for the pool's clients; not among pgweir_pool_server_connections." },
	{ GAUGE("pgweir_pool_listening_clients"), POOL(listening_clients), .help = "Clients that listen." },
	{ GAUGE("pgweir_pool_listen_channels"), POOL(listen_channels), .help = "Channels that clients listen on." },
	{ COUNTER("pgweir_pool_notifications_total"), POOL(counters.notifications),
	    .help = "Notifications delivered, counted once for each client." },
	{ COUNTER("pgweir_pool_resets_total"), POOL(counters.resets_ok), .words = &results,
	    .help = "Server connections that were reset before they returned to the pool." },
	{ COUNTER("pgweir_pool_seals_total"), POOL(counters.seals),
	    .help = "Server connections from which session state was washed before another client got them." },
	{ COUNTER("pgweir_client_requests_total"), DATABASE(counters.requests),
	    .help = "Requests: a simple Query, or messages up to a Sync." },
	{ COUNTER("pgweir_client_requests_failed_total"), DATABASE(counters.requests_failed),
	    .words = WORDS("reason", request_failure_names),
	    .help = "Requests that failed because of pgweir or its connection to PostgreSQL, or that their clients gave up: reason canceled (before a server was free), client_gone." },
	{ HISTOGRAM("pgweir_query_duration_seconds", query), .has_exemplars = true, DATABASE(counters.query_duration),
	    .help = "Time of requests as clients see it: first byte read to last byte of the answer written." },
	{ HISTOGRAM("pgweir_transaction_duration_seconds", query), DATABASE(counters.transaction_duration),
	    .help = "Time of transactions, including the time between a client's requests." },
	{ HISTOGRAM("pgweir_server_response_seconds", query), DATABASE(counters.server_response),
	    .help = "How long a request waited for PostgreSQL, which owed it the next byte." },
	{ COUNTER("pgweir_query_phase_seconds_total"), DATABASE(counters.phase_us),
	    .words = WORDS("phase", phase_names), .decimals = 6,
	    .help = "Time of requests by who owed the next byte: the pool (wait), PostgreSQL (connect, server, stream of its answer), the client (client_write), pgweir (proxy)." },
	{ COUNTER("pgweir_transaction_idle_seconds_total"), DATABASE(counters.transaction_idle_us), .decimals = 6,
	    .help = "Time in which clients kept a server in a transaction and sent nothing." },
	{ COUNTER("pgweir_queries_total"), DATABASE(counters.queries), .words = WORDS("kind", query_kind_names),
	    .help = "Requests by protocol." },
	{ COUNTER("pgweir_transactions_total"), DATABASE(counters.transactions), .words = WORDS("end", transaction_end_names),
	    .help = "Transactions by how they ended; lost: the connection of client or server ended." },
	{ COUNTER("pgweir_commits_checked_total"), DATABASE(counters.commits_checked),
	    .words = WORDS("result", commit_result_names),
	    .help = "COMMITs whose server was lost before its answer, with commit_check, by what became of the transaction." },
	{ COUNTER("pgweir_reads_total"), DATABASE(counters.reads), .words = WORDS("to", read_target_names),
	    .skips_zeros = true,
	    .help = "Loans of servers to reads that a standby might serve, by where they went." },
	{ COUNTER("pgweir_slow_queries_total"), DATABASE(counters.slow_queries),
	    .help = "Requests that took longer than the threshold of the slow-query log, logged or not." },
	{ COUNTER("pgweir_slow_log_lines_dropped_total"), ALL(slow_dropped_rate), .words = WORDS("reason", drop_names),
	    .help = "Lines that were not written to the slow-query log." },
	{ COUNTER("pgweir_log_lines_dropped_total"), ALL(log_dropped_ring), .words = WORDS("reason", log_drop_names),
	    .help = "Lines that were not written to the log: its file was too slow, or its disk full." },
	{ COUNTER("pgweir_errors_total"), DATABASE(counters.errors), .words = WORDS("origin", error_origin_names),
	    .more_words = WORDS("sqlstate_class", error_classes), .skips_zeros = true,
	    .help = "ErrorResponses sent to clients, PostgreSQL's own and pgweir's, by class of SQLSTATE." },
	{ COUNTER("pgweir_network_bytes_total"), DATABASE(counters.bytes_in),
	    .words = WORDS("direction", direction_names), .more_words = WORDS("side", net_side_names),
	    .help = "Bytes to and from clients and servers, as seen from pgweir." },
	{ GAUGE("pgweir_prepared_statements"), DATABASE(prepared_client), .words = WORDS("where", net_side_names),
	    .help = "Prepared statements of clients and of servers." },
	{ COUNTER("pgweir_prepared_statement_lookups_total"), DATABASE(counters.statement_hits),
	    .words = WORDS("result", hit_names),
	    .help = "Prepared statements used; hit: the server had it already." },
	{ COUNTER("pgweir_prepared_statement_reruns_total"), DATABASE(counters.statement_reruns),
	    .help = "Requests that were rerun because a changed table had made their statement's plan invalid." },
	{ COUNTER("pgweir_session_probes_total"), DATABASE(counters.probes),
	    .help = "Times a server was asked what SQL had changed in a client's session." },
	{ COUNTER("pgweir_prepared_statement_evictions_total"), DATABASE(counters.statement_evictions),
	    .help = "Prepared statements closed on a server to make room." },
	{ GAUGE("pgweir_prepared_statement_cache_bytes"), ALL(statement_cache_bytes),
	    .help = "Memory of prepared statements: their SQL, and the clients' names for them." },
	{ GAUGE("pgweir_backend_up"), .special = SPECIAL_BACKEND_UP, .other_labels = "backend, role",
	    .help = "1 if PostgreSQL answered the last login there, even with a refusal; 0 if not: then it is tried once a second." },
	{ HISTOGRAM("pgweir_backend_connect_duration_seconds", wait), BACKEND(counters.connect_duration),
	    .help = "Time to open a server connection, login included." },
	{ COUNTER("pgweir_backend_connect_failures_total"), BACKEND(counters.connect_failures),
	    .words = WORDS("reason", connect_failure_names),
	    .help = "Server connections that could not be opened." },
	{ GAUGE("pgweir_backend_last_failure_timestamp_seconds"), BACKEND(counters.last_failure_wall_us), .decimals = 6,
	    .skips_zeros = true,
	    .help = "When opening a server connection last failed, in seconds since 1970." },
	{ GAUGE("pgweir_host_usable"), BACKEND(is_usable),
	    .help = "1 if standbys are read from and this one may be, 0 if not: SHOW HOSTS says why. Only with reads on standbys, as the next two." },
	{ GAUGE("pgweir_host_lag_seconds"), BACKEND(lag_us), .decimals = 6,
	    .help = "How far a standby is behind: the age of the first reading of the primary's position that it has not reached." },
	{ COUNTER("pgweir_readings_total"), BACKEND(readings),
	    .help = "How often this host was asked how far it is." },
	{ GAUGE("pgweir_budget_connections"), BUDGET(limit),
	    .help = "The common limit of all pgweir processes there: budget_connections, the smallest of all. Only with a budget, as all pgweir_budget_*." },
	{ GAUGE("pgweir_budget_own_connections"), BUDGET(own_limit),
	    .help = "That limit as this process's own file has it." },
	{ GAUGE("pgweir_budget_listed"), BUDGET(listed),
	    .help = "Connections that PostgreSQL lists and the budget counts, through pgweir or not." },
	{ GAUGE("pgweir_budget_others"), BUDGET(others),
	    .help = "Those of them that no process of pgweir says it has." },
	{ GAUGE("pgweir_budget_used"), BUDGET(used),
	    .help = "Server connections of this process there, open or being opened." },
	{ GAUGE("pgweir_budget_waiting"), BUDGET(waiting),
	    .help = "Server connections that this process would open now if it might." },
	{ GAUGE("pgweir_budget_share"), BUDGET(share),
	    .help = "How many this process may have while somebody waits; absent while nobody does." },
	{ GAUGE("pgweir_budget_members"), BUDGET(members), .help = "Processes of pgweir that are seen there." },
	{ GAUGE("pgweir_budget_joined"), BUDGET(is_joined),
	    .help = "1 while the steward, which looks at PostgreSQL's list, does its work; with budget = on nothing is opened at 0." },
	{ COUNTER("pgweir_budget_checks_total"), BUDGET(checks_granted), .words = WORDS("result", check_names),
	    .help = "Looks at PostgreSQL's list under the lock; none: there was no place." },
	{ COUNTER("pgweir_budget_check_seconds_total"), BUDGET(check_us), .decimals = 6,
	    .help = "Time that these took together, the wait for the lock included." },
	{ COUNTER("pgweir_budget_over_seconds_total"), BUDGET(over_us), .decimals = 6,
	    .help = "Time in which more than the limit was listed." },
	{ HISTOGRAM("pgweir_proxy_overhead_seconds", proxy), LOOP(proxy_overhead),
	    .help = "What pgweir itself added to a request; one in 16 is timed." },
	{ HISTOGRAM("pgweir_event_loop_lag_seconds", proxy), LOOP(loop_lag),
	    .help = "Delay of a timer of the event loop." },
	{ GAUGE("pgweir_worker_up"), .scope = OF_LOOP, .at = offsetof(struct snapshot_worker, is_up),
	    .help = "1: the worker tells its numbers; 0: it has not done so within 200 ms, and they are its last ones." },
	{ COUNTER("pgweir_crossings_total"), ALL(process.crossings), .words = WORDS("what", crossing_names),
	    .help = "Clients and server connections that went to another worker: a client once, behind its proof; a server when it was returned, or was idle, and somebody waited there." },
	{ HISTOGRAM("pgweir_crossing_seconds", proxy), ALL(process.crossing_duration),
	    .help = "How long server connections were on their way to another worker." },
	{ HISTOGRAM("pgweir_halt_seconds", proxy), ALL(process.halt_duration),
	    .help = "How long all workers stood still for a command that concerns all, waiting for the last of them included." },
	{ COUNTER("pgweir_event_loop_iterations_total"), LOOP(loop_iterations), .help = "Turns of the event loop." },
	{ COUNTER("pgweir_event_loop_busy_seconds_total"), LOOP(loop_busy_us), .decimals = 6,
	    .help = "Processor time of the event loop: at 1 s a second it is saturated." },
	{ GAUGE("pgweir_buffer_memory_bytes"), ALL(buffer_bytes_client), .words = WORDS("kind", net_side_names),
	    .help = "Memory of buffers with what waits: for a client or a server to take it, or for a server to be free." },
	{ COUNTER("pgweir_dns_lookups_total"), ALL(process.dns_lookups_ok), .words = &results,
	    .help = "Names of PostgreSQL's hosts looked up; addresses need no lookup." },
	{ HISTOGRAM("pgweir_metrics_scrape_duration_seconds", proxy), ALL(scrape_duration),
	    .help = "Time to answer earlier requests for /metrics." },
	{ GAUGE("pgweir_metrics_pools_aggregated"), ALL(pools_aggregated),
	    .help = "Pools beyond metrics_max_pools, shown as one with database and user _other." },
	{ GAUGE("process_start_time_seconds"), ALL(start_wall_us), .decimals = 6,
	    .help = "When the process was started, in seconds since 1970." },
	{ COUNTER("process_cpu_seconds_total"), SYSTEM(cpu_us), .decimals = 6,
	    .help = "Processor time, user and system." },
	{ GAUGE("process_resident_memory_bytes"), SYSTEM(resident_bytes), .help = "Resident memory." },
	{ GAUGE("process_virtual_memory_bytes"), SYSTEM(virtual_bytes), .help = "Virtual memory." },
	{ GAUGE("process_open_fds"), SYSTEM(open_fds), .help = "Open file descriptors." },
	{ GAUGE("process_max_fds"), SYSTEM(max_fds),
	    .help = "The largest number of file descriptors that may be open." },
};
/* clang-format on */
const size_t metric_family_count = sizeof(metric_families) / sizeof(metric_families[0]);
