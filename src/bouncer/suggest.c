/*
 * src/bouncer/suggest.c - what Odyssey, PgDog, SQLAlchemy and PostgreSQL call the things we have, or why we
 * don't.
 *
 * Names that are the same here with the same meaning are not listed.
 */
#include "config/nearest.h"

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
	/* Odyssey */
	{ "client_max", "Odyssey's", HERE("pgweir", "max_client_connections") },
	{ "pool_ttl", "Odyssey's", HERE("pool", "idle_timeout") },
	{ "pool_discard", "Odyssey's", RESET },
	{ "pool_smart_discard", "Odyssey's", RESET },
	{ "policy_cancel", "Odyssey's", RESET },
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
