/*
 * src/config/suggest_names.c - what PgBouncer, Odyssey, PgDog and SQLAlchemy call the things we have, or why we don't.
 *
 * Names that are the same here with the same meaning are not listed.
 */
#include "config/suggest.h"

#define HERE(section, key) section, key, NULL
#define INSTEAD(note) NULL, NULL, note

#define IN_UPSTREAM INSTEAD("write it into upstream, for example upstream = host=db1 port=5432 dbname=app user=web")
#define NOT_NEEDED INSTEAD("not needed: remove it")
#define NO_SUCH INSTEAD("there is no such setting here: remove it")
#define RESET INSTEAD("not needed: pgweir itself clears what a client has left behind")
#define TLS_CLIENT(key) HERE("tls_client", key)
#define TLS_SERVER(key) HERE("tls_server", key)

/* clang-format off */
static const struct foreign_name names[] = {
	/* processes and logs */
	{ "logfile", "PgBouncer's", HERE("log", "destination") },
	{ "pidfile", "PgBouncer's", HERE("pgweir", "pid_file") },
	{ "syslog", "PgBouncer's", "log", "destination", "destination = syslog" },
	{ "syslog_ident", "PgBouncer's", NOT_NEEDED },
	{ "syslog_facility", "PgBouncer's", NOT_NEEDED },
	{ "log_connections", "PgBouncer's", HERE("log", "connections") },
	{ "log_disconnections", "PgBouncer's", HERE("log", "connections") },
	{ "log_pooler_errors", "PgBouncer's", INSTEAD("errors are always logged: remove it") },
	{ "log_stats", "PgBouncer's", "http", "listen", "where /metrics are" },
	{ "stats_period", "PgBouncer's", HERE("log", "stats_interval") },
	{ "verbose", "PgBouncer's", HERE("log", "level") },
	{ "job_name", "PgBouncer's", NOT_NEEDED },
	{ "service_name", "PgBouncer's", NOT_NEEDED },
	{ "conffile", "PgBouncer's", INSTEAD("the file is named on the command line") },
	/* listening */
	{ "listen_addr", "PgBouncer's", "pgweir", "listen", "for example listen = 127.0.0.1:6432" },
	{ "listen_port", "PgBouncer's", "pgweir", "listen", "for example listen = 127.0.0.1:6432" },
	{ "unix_socket_dir", "PgBouncer's", "pgweir", "listen", "for example listen = unix:/run/pgweir/.s.PGSQL.6432" },
	{ "unix_socket_mode", "PgBouncer's", NO_SUCH },
	{ "unix_socket_group", "PgBouncer's", NO_SUCH },
	{ "so_reuseport", "PgBouncer's", NO_SUCH },
	{ "tcp_defer_accept", "PgBouncer's", NO_SUCH },
	/* pools */
	{ "max_client_conn", "PgBouncer's", HERE("pgweir", "max_client_connections") },
	{ "default_pool_size", "PgBouncer's", HERE("pool", "pool_size") },
	{ "min_pool_size", "PgBouncer's", HERE("pool", "min_idle") },
	{ "reserve_pool_size", "PgBouncer's", HERE("pool", "max_overflow") },
	{ "reserve_pool", "PgBouncer's", HERE("pool", "max_overflow") },
	{ "reserve_pool_timeout", "PgBouncer's", HERE("pool", "overflow_delay") },
	{ "server_round_robin", "PgBouncer's", HERE("pool", "pool_lifo") },
	{ "load_balance_hosts", "PgBouncer's", NO_SUCH },
	{ "server_reset_query", "PgBouncer's", RESET },
	{ "server_reset_query_always", "PgBouncer's", RESET },
	{ "server_check_query", "PgBouncer's", HERE("pool", "pool_pre_ping") },
	{ "server_check_delay", "PgBouncer's", HERE("pool", "pool_pre_ping_idle") },
	{ "server_lifetime", "PgBouncer's", HERE("pool", "pool_recycle") },
	{ "server_idle_timeout", "PgBouncer's", HERE("pool", "idle_timeout") },
	{ "server_connect_timeout", "PgBouncer's", HERE("timeouts", "connect_timeout") },
	{ "server_login_retry", "PgBouncer's", INSTEAD("not needed: pgweir waits longer after each failure by itself") },
	{ "max_prepared_statements", "PgBouncer's", HERE("pool", "prepared_statements") },
	{ "disable_pqexec", "PgBouncer's", NOT_NEEDED },
	{ "connect_query", "PgBouncer's", NO_SUCH },
	/* who may come in */
	{ "auth_type", "PgBouncer's", HERE("auth", "method") },
	{ "auth_hba_file", "PgBouncer's", HERE("auth", "hba_file") },
	{ "auth_ident_file", "PgBouncer's", HERE("auth", "ident_file") },
	{ "auth_file", "PgBouncer's", HERE("auth", "users_file") },
	{ "auth_dbname", "PgBouncer's", HERE("auth", "auth_database") },
	{ "auth_ldap_options", "PgBouncer's", NO_SUCH },
	{ "scram_iterations", "PgBouncer's", NO_SUCH },
	/* timeouts */
	{ "client_login_timeout", "PgBouncer's", HERE("timeouts", "login_timeout") },
	{ "query_wait_timeout", "PgBouncer's", HERE("pool", "pool_timeout") },
	{ "query_wait_notify", "PgBouncer's", HERE("pool", "wait_notify") },
	{ "cancel_wait_timeout", "PgBouncer's", NOT_NEEDED },
	{ "autodb_idle_timeout", "PgBouncer's", HERE("pool", "pool_idle_timeout") },
	{ "suspend_timeout", "PgBouncer's", HERE("timeouts", "shutdown_timeout") },
	/* names of hosts, TLS, sockets */
	{ "dns_max_ttl", "PgBouncer's", NO_SUCH },
	{ "dns_nxdomain_ttl", "PgBouncer's", NO_SUCH },
	{ "dns_zone_check_period", "PgBouncer's", NO_SUCH },
	{ "resolv_conf", "PgBouncer's", NO_SUCH },
	{ "client_tls_sslmode", "PgBouncer's", TLS_CLIENT("mode") },
	{ "client_tls_key_file", "PgBouncer's", TLS_CLIENT("key_file") },
	{ "client_tls_cert_file", "PgBouncer's", TLS_CLIENT("certificate_file") },
	{ "client_tls_ca_file", "PgBouncer's", TLS_CLIENT("ca_file") },
	{ "client_tls_protocols", "PgBouncer's", TLS_CLIENT("min_version") },
	{ "client_tls_ciphers", "PgBouncer's", TLS_CLIENT("ciphers") },
	{ "client_tls13_ciphers", "PgBouncer's", TLS_CLIENT("tls13_ciphers") },
	{ "client_tls_dheparams", "PgBouncer's", NOT_NEEDED },
	{ "client_tls_ecdhcurve", "PgBouncer's", NOT_NEEDED },
	{ "server_tls_sslmode", "PgBouncer's", TLS_SERVER("mode") },
	{ "server_tls_key_file", "PgBouncer's", TLS_SERVER("key_file") },
	{ "server_tls_cert_file", "PgBouncer's", TLS_SERVER("certificate_file") },
	{ "server_tls_ca_file", "PgBouncer's", TLS_SERVER("ca_file") },
	{ "server_tls_protocols", "PgBouncer's", TLS_SERVER("min_version") },
	{ "server_tls_ciphers", "PgBouncer's", NOT_NEEDED },
	{ "server_tls13_ciphers", "PgBouncer's", NOT_NEEDED },
	{ "max_packet_size", "PgBouncer's", NOT_NEEDED },
	{ "pkt_buf", "PgBouncer's", NOT_NEEDED },
	{ "sbuf_loopcnt", "PgBouncer's", NOT_NEEDED },
	{ "track_extra_parameters", "PgBouncer's", INSTEAD("not needed: what PostgreSQL reports is followed") },
	{ "tcp_keepalive", "PgBouncer's", NO_SUCH },
	{ "tcp_keepcnt", "PgBouncer's", NO_SUCH },
	{ "tcp_keepidle", "PgBouncer's", NO_SUCH },
	{ "tcp_keepintvl", "PgBouncer's", NO_SUCH },
	{ "tcp_user_timeout", "PgBouncer's", NO_SUCH },
	{ "tcp_socket_buffer", "PgBouncer's", NO_SUCH },
	/* where PostgreSQL is */
	{ "host", "PgBouncer's", IN_UPSTREAM },
	{ "port", "PgBouncer's", IN_UPSTREAM },
	{ "dbname", "PgBouncer's", IN_UPSTREAM },
	{ "user", "PgBouncer's", IN_UPSTREAM },
	{ "password", "PgBouncer's", IN_UPSTREAM },
	{ "client_encoding", "PgBouncer's", IN_UPSTREAM },
	{ "datestyle", "PgBouncer's", IN_UPSTREAM },
	{ "timezone", "PgBouncer's", IN_UPSTREAM },
	{ "application_name", "PgBouncer's", IN_UPSTREAM },
	/* Odyssey */
	{ "client_max", "Odyssey's", HERE("pgweir", "max_client_connections") },
	{ "pool_ttl", "Odyssey's", HERE("pool", "idle_timeout") },
	{ "pool_discard", "Odyssey's", RESET },
	{ "pool_smart_discard", "Odyssey's", RESET },
	{ "pool_cancel", "Odyssey's", RESET },
	{ "pool_rollback", "Odyssey's", RESET },
	{ "pool_client_idle_timeout", "Odyssey's", HERE("timeouts", "client_idle_timeout") },
	{ "pool_idle_in_transaction_timeout", "Odyssey's", HERE("timeouts", "idle_transaction_timeout") },
	{ "pool_reserve_prepared_statement", "Odyssey's", HERE("pool", "prepared_statements") },
	{ "log_file", "Odyssey's", HERE("log", "destination") },
	{ "log_format", "Odyssey's", HERE("log", "format") },
	{ "log_debug", "Odyssey's", HERE("log", "level") },
	{ "log_session", "Odyssey's", HERE("log", "connections") },
	{ "log_query", "Odyssey's", HERE("slow_query", "threshold") },
	{ "log_to_stdout", "Odyssey's", HERE("log", "destination") },
	{ "log_syslog", "Odyssey's", HERE("log", "destination") },
	{ "promhttp_server_port", "Odyssey's", HERE("http", "listen") },
	{ "storage_db", "Odyssey's", IN_UPSTREAM },
	{ "storage_user", "Odyssey's", IN_UPSTREAM },
	{ "storage_password", "Odyssey's", IN_UPSTREAM },
	{ "graceful_shutdown_timeout_ms", "Odyssey's", HERE("timeouts", "shutdown_timeout") },
	{ "workers", "Odyssey's", NO_SUCH },
	/* PgDog */
	{ "pooler_mode", "PgDog's", HERE("pgweir", "pool_mode") },
	{ "checkout_timeout", "PgDog's", HERE("pool", "pool_timeout") },
	{ "healthcheck_interval", "PgDog's", HERE("pool", "pool_pre_ping_idle") },
	{ "idle_healthcheck_interval", "PgDog's", HERE("pool", "ping_interval") },
	{ "rollback_timeout", "PgDog's", NOT_NEEDED },
	{ "ban_timeout", "PgDog's", NOT_NEEDED },
	{ "prepared_statements_limit", "PgDog's", HERE("pool", "prepared_statements") },
	{ "openmetrics_port", "PgDog's", HERE("http", "listen") },
	{ "client_idle_in_transaction_timeout", "PgDog's", HERE("timeouts", "idle_transaction_timeout") },
	{ "query_log", "PgDog's", HERE("slow_query", "threshold") },
	{ "log_min_duration_parse", "PgDog's", HERE("slow_query", "threshold") },
	{ "tls_certificate", "PgDog's", TLS_CLIENT("certificate_file") },
	{ "tls_private_key", "PgDog's", TLS_CLIENT("key_file") },
	{ "tls_verify", "PgDog's", TLS_SERVER("mode") },
	{ "tls_server_ca_certificate", "PgDog's", TLS_SERVER("ca_file") },
	{ "passthrough_auth", "PgDog's", NOT_NEEDED },
	/* SQLAlchemy's create_engine() */
	{ "pool_use_lifo", "SQLAlchemy's", HERE("pool", "pool_lifo") },
	{ "pool_reset_on_return", "SQLAlchemy's", RESET },
	{ "recycle", "SQLAlchemy's", HERE("pool", "pool_recycle") },
	{ "pre_ping", "SQLAlchemy's", HERE("pool", "pool_pre_ping") },
	/* PostgreSQL */
	{ "log_min_duration_statement", "PostgreSQL's", HERE("slow_query", "threshold") },
	{ "log_min_duration_sample", "PostgreSQL's", HERE("slow_query", "sample_threshold") },
	{ "log_statement_sample_rate", "PostgreSQL's", HERE("slow_query", "sample_rate") },
	{ "max_connections", "PostgreSQL's", HERE("pgweir", "max_client_connections") },
	{ "listen_addresses", "PostgreSQL's", "pgweir", "listen", "for example listen = 127.0.0.1:6432" },
	{ "idle_in_transaction_session_timeout", "PostgreSQL's", HERE("timeouts", "idle_transaction_timeout") },
	{ "statement_timeout", "PostgreSQL's", HERE("timeouts", "query_timeout") },
};
/* clang-format on */

const struct foreign_name *
foreign_name(size_t i)
{
	return i < sizeof(names) / sizeof(names[0]) ? &names[i] : NULL;
}
