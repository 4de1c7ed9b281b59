/*
 * src/config/config_keys.c - the one table of settings.
 *
 * The names and defaults are the ones people know from conf/pgweir.ini; a row is its section, its name, its name in
 * [database NAME] and [user NAME] sections, type, default, bounds, unit, whether a reload changes it, field, words,
 * help.
 */
#include "config/config_keys.h"

#include <assert.h>
#include <string.h>

#define MS UINT64_C(1000)
#define S (1000 * MS)
#define MIN (60 * S)
#define H (60 * MIN)
#define D (24 * H)
#define KIB UINT64_C(1024)
#define GIB (KIB * KIB * KIB)

static const char *const pool_modes[] = { "session", "transaction", "statement", NULL };
static const char *const session_states[] = { "track", "pin", "warn", "error", "isolate", "allow", NULL };
static const char *const auth_methods[] = { "scram-sha-256", "md5", "cert", "trust", "hba", NULL };
static const char *const tls_modes[] = { "off", "prefer", "require", "verify-ca", "verify-full", NULL };
static const char *const tls_versions[] = { "1.2", "1.3", NULL };
static const char *const tls_negotiations[] = { "postgres", "direct", NULL };
static const char *const log_formats[] = { "text", "json", "logfmt", NULL };
static const char *const log_levels[] = { "error", "warning", "info", "debug", NULL };
static const char *const log_places[] = { "stderr", "syslog", NULL };
static const char *const slow_formats[] = { "json", "logfmt", "postgres", NULL };
static const char *const slow_texts[] = { "normalized", "full", "none", NULL };
static const char *const slow_places[] = { "stderr", NULL };
static const char *const ca_places[] = { "system", NULL };
static const char *const off[] = { "off", NULL };

#define FIELD(name) offsetof(struct config, name)
/* A setting that databases and users may have of their own: same_name, or name_there if it is called otherwise. */
#define SHARED(name) offsetof(struct config, defaults.name)
#define NOT_THERE NULL
#define FIXED false
#define RELOADS true
#define NO_BOUNDS 0, 0, ""

/* clang-format off */
static const struct config_key keys[] = {
	{ "pgweir", "listen", NOT_THERE, KEY_LISTENS, "127.0.0.1:6432", NO_BOUNDS, FIXED, FIELD(listens), NULL,
	  "where clients connect: address:port, [IPv6]:port, *:port or unix:/path; may be given several times" },
	{ "pgweir", "pool_mode", "pool_mode", KEY_WORD, "transaction", NO_BOUNDS, RELOADS, SHARED(pool_mode), pool_modes,
	  "how long a client keeps a server connection" },
	{ "pgweir", "session_state", "session_state", KEY_WORD, "track", NO_BOUNDS, RELOADS, SHARED(session_state),
	  session_states, "what happens in transaction mode to session state that can't be moved to another server" },
	{ "pgweir", "max_client_connections", NOT_THERE, KEY_COUNT, "1000", 1, 1000000, "connections", RELOADS,
	  FIELD(max_client_connections), NULL, "more clients are refused" },
	{ "pgweir", "max_server_connections", NOT_THERE, KEY_COUNT, "0", 0, 1000000, "connections", RELOADS,
	  FIELD(max_server_connections), NULL, "over all pools; 0: no limit beyond the pools' own" },
	{ "pgweir", "listen_backlog", NOT_THERE, KEY_COUNT, "1024", 1, 65535, "connections", FIXED,
	  FIELD(listen_backlog), NULL, "connections the kernel holds until they are accepted" },
	{ "pgweir", "pid_file", NOT_THERE, KEY_PATH, "", NO_BOUNDS, FIXED, FIELD(pid_file), NULL,
	  "the process id is written here; empty: nowhere" },
	{ "pgweir", "run_as", NOT_THERE, KEY_TEXT, "", NO_BOUNDS, FIXED, FIELD(run_as), NULL,
	  "the system user to become after a start as root; empty: none, and the log warns of it" },
	{ "pgweir", "handshake_threads", NOT_THERE, KEY_COUNT, "2", 1, 64, "threads", FIXED, FIELD(handshake_threads), NULL,
	  "for TLS handshakes and the derivation of keys from passwords, beside the loop that serves queries" },
	{ "pgweir", "tenants", NOT_THERE, KEY_NAMES, "", NO_BOUNDS, RELOADS, FIELD(tenants), NULL,
	  "where clients name their tenant: user (name.tenant), options (reference=tenant), sni; empty: nowhere" },
	{ "pgweir", "tenant_domain", NOT_THERE, KEY_TEXT, "", NO_BOUNDS, RELOADS, FIELD(tenant_domain), NULL,
	  "for sni: the names are TENANT.tenant_domain; empty: the tenant is the first part of any name" },

	{ "pool", "pool_size", "pool_size", KEY_COUNT, "20", 1, 100000, "connections", RELOADS, SHARED(pool_size), NULL,
	  "server connections kept open for each pair of database and user" },
	{ "pool", "max_overflow", "max_overflow", KEY_COUNT, "10", 0, 100000, "connections", RELOADS,
	  SHARED(max_overflow), NULL, "more under load; a pool never has more than pool_size + max_overflow" },
	{ "pool", "overflow_linger", "overflow_linger", KEY_TIME, "10s", 0, 1 * D, "", RELOADS, SHARED(overflow_linger_us),
	  NULL, "how long an overflow connection stays idle before it is closed; 0s: closed at once" },
	{ "pool", "pool_timeout", "pool_timeout", KEY_TIME, "30s", 0, 1 * D, "", RELOADS, SHARED(pool_timeout_us), NULL,
	  "how long a client waits for a server connection before it gets an error; 0s: forever" },
	{ "pool", "pool_recycle", "pool_recycle", KEY_TIME, "1h", 0, 365 * D, "", RELOADS, SHARED(pool_recycle_us), NULL,
	  "server connections older than this (+-10 %) are closed when idle; 0s: never" },
	{ "pool", "pool_pre_ping", "pool_pre_ping", KEY_SWITCH, "on", NO_BOUNDS, RELOADS, SHARED(pool_pre_ping), NULL,
	  "tests a server connection that was idle before it is lent" },
	{ "pool", "pool_pre_ping_idle", "pool_pre_ping_idle", KEY_TIME, "5s", 0, 1 * D, "", RELOADS,
	  SHARED(pool_pre_ping_idle_us), NULL, "only if idle for longer than this; 0s: before each lending" },
	{ "pool", "ping_interval", "ping_interval", KEY_TIME, "30s", 0, 1 * D, "", RELOADS, SHARED(ping_interval_us), NULL,
	  "idle server connections are pinged this often; 0s: not at all" },
	{ "pool", "pool_lifo", "pool_lifo", KEY_SWITCH, "on", NO_BOUNDS, RELOADS, SHARED(pool_lifo), NULL,
	  "lends the connection used last, so that a surplus ages out; off: the one idle longest" },
	{ "pool", "min_idle", "min_idle", KEY_COUNT, "0", 0, 100000, "connections", RELOADS, SHARED(min_idle), NULL,
	  "idle server connections kept ready, once the pool was used" },
	{ "pool", "idle_timeout", "idle_timeout", KEY_TIME, "10min", 0, 365 * D, "", RELOADS, SHARED(idle_timeout_us), NULL,
	  "server connections idle for longer are closed; 0s: never" },
	{ "pool", "prepared_statements", "prepared_statements", KEY_COUNT, "500", 0, 100000, "statements", RELOADS,
	  SHARED(prepared_statements), NULL, "kept per server connection, the least used go first; 0: passed through, for pool_mode = session" },
	{ "pool", "max_statement_size", "max_statement_size", KEY_SIZE, "1MiB", 1, 1 * GIB, "", RELOADS,
	  SHARED(max_statement_size), NULL, "longer texts of prepared statements are passed through, not kept" },
	{ "pool", "prepared_statements_memory", NOT_THERE, KEY_SIZE, "1GiB", 1 * KIB, 1024 * GIB, "", RELOADS,
	  FIELD(prepared_statements_memory), NULL,
	  "for names and SQL of all clients' prepared statements, a quarter of it for one client; more are refused" },
	{ "pool", "statement_ignore_comments", "statement_ignore_comments", KEY_SWITCH, "off", NO_BOUNDS, RELOADS,
	  SHARED(statement_ignore_comments), NULL,
	  "prepared statements that differ in a trailing /*key='value'*/ comment are one, prepared without it" },

	{ "timeouts", "connect_timeout", "connect_timeout", KEY_TIME, "5s", 1 * MS, 1 * H, "", RELOADS,
	  SHARED(connect_timeout_us), NULL, "for connecting and logging in to PostgreSQL, each host" },
	{ "timeouts", "login_timeout", NOT_THERE, KEY_TIME, "30s", 1 * MS, 1 * H, "", RELOADS, FIELD(login_timeout_us), NULL,
	  "for a client's whole login" },
	{ "timeouts", "query_timeout", "query_timeout", KEY_TIME, "0s", 0, 365 * D, "", RELOADS, SHARED(query_timeout_us),
	  NULL, "a query that runs longer is cancelled; 0s: none" },
	{ "timeouts", "transaction_timeout", "transaction_timeout", KEY_TIME, "0s", 0, 365 * D, "", RELOADS,
	  SHARED(transaction_timeout_us), NULL, "a transaction may last this long; 0s: any time" },
	{ "timeouts", "idle_transaction_timeout", "idle_transaction_timeout", KEY_TIME, "0s", 0, 365 * D, "", RELOADS,
	  SHARED(idle_transaction_timeout_us), NULL, "a client may be silent inside a transaction this long; 0s: any time" },
	{ "timeouts", "client_idle_timeout", "client_idle_timeout", KEY_TIME, "0s", 0, 365 * D, "", RELOADS,
	  SHARED(client_idle_timeout_us), NULL, "a client may be silent outside of transactions this long; 0s: any time" },
	{ "timeouts", "shutdown_timeout", NOT_THERE, KEY_TIME, "30s", 0, 1 * D, "", RELOADS, FIELD(shutdown_timeout_us),
	  NULL, "SIGTERM: transactions may finish for this long, then all is closed" },
	{ "timeouts", "shutdown_delay", NOT_THERE, KEY_TIME, "0s", 0, 1 * H, "", RELOADS, FIELD(shutdown_delay_us), NULL,
	  "SIGTERM: /readyz returns 503 this long before the listeners close" },

	{ "auth", "method", NOT_THERE, KEY_WORD, "scram-sha-256", NO_BOUNDS, RELOADS, FIELD(auth_method), auth_methods,
	  "how clients prove who they are; trust only on loopback and Unix sockets" },
	{ "auth", "users_file", NOT_THERE, KEY_PATH, "/etc/pgweir/users.txt", NO_BOUNDS, RELOADS, FIELD(users_file), NULL,
	  "names and secrets, as in PgBouncer's userlist.txt" },
	{ "auth", "hba_file", NOT_THERE, KEY_PATH, "", NO_BOUNDS, RELOADS, FIELD(hba_file), NULL,
	  "rules for method = hba, as in pg_hba.conf" },
	{ "auth", "ident_file", NOT_THERE, KEY_PATH, "", NO_BOUNDS, RELOADS, FIELD(ident_file), NULL,
	  "names for hba_file, as in pg_ident.conf" },
	{ "auth", "auth_query", "auth_query", KEY_TEXT, "off", NO_BOUNDS, RELOADS, SHARED(auth_query), NULL,
	  "asks PostgreSQL for the secrets of users that are not in users_file: off, builtin or SQL with $1" },
	{ "auth", "auth_user", "auth_user", KEY_TEXT, "", NO_BOUNDS, RELOADS, SHARED(auth_user), NULL,
	  "runs auth_query; its secret is in users_file" },
	{ "auth", "auth_database", "auth_database", KEY_TEXT, "", NO_BOUNDS, RELOADS, SHARED(auth_database), NULL,
	  "the database that auth_query runs in, as PostgreSQL calls it; empty: the one asked for" },
	{ "auth", "auth_query_ttl", NOT_THERE, KEY_TIME, "10s", 0, 1 * D, "", RELOADS, FIELD(auth_query_ttl_us), NULL,
	  "how long an answer of auth_query is used again; 0s: never" },
	{ "auth", "scram_iterations", NOT_THERE, KEY_COUNT, "4096", 4096, 1000000, "iterations", RELOADS,
	  FIELD(scram_iterations), NULL, "of the SCRAM secrets made from plain passwords in users_file" },
	{ "auth", "admin_users", NOT_THERE, KEY_NAMES, "", NO_BOUNDS, RELOADS, FIELD(admin_users), NULL,
	  "may change things in the console; separated by commas" },
	{ "auth", "stats_users", NOT_THERE, KEY_NAMES, "", NO_BOUNDS, RELOADS, FIELD(stats_users), NULL,
	  "may only SHOW in the console; separated by commas" },

	{ "tls_client", "mode", NOT_THERE, KEY_WORD, "prefer", NO_BOUNDS, RELOADS, FIELD(tls_mode), tls_modes,
	  "TLS with clients; prefer without a certificate is off; verify-full: their certificate must name the user" },
	{ "tls_client", "certificate_file", NOT_THERE, KEY_PATHS, "", NO_BOUNDS, RELOADS, FIELD(tls_certificate_file), NULL,
	  "pgweir's certificate and its chain, PEM; several with commas: the client's SNI chooses, else the first" },
	{ "tls_client", "key_file", NOT_THERE, KEY_PATHS, "", NO_BOUNDS, RELOADS, FIELD(tls_key_file), NULL,
	  "its private key, PEM; as many as certificates" },
	{ "tls_client", "ca_file", NOT_THERE, KEY_PATH, "", NO_BOUNDS, RELOADS, FIELD(tls_ca_file), NULL,
	  "who signs the clients' certificates, PEM" },
	{ "tls_client", "crl_file", NOT_THERE, KEY_PATH, "", NO_BOUNDS, RELOADS, FIELD(tls_crl_file), NULL,
	  "clients' certificates that are revoked, PEM" },
	{ "tls_client", "min_version", NOT_THERE, KEY_WORD_TEXT, "1.2", NO_BOUNDS, RELOADS, FIELD(tls_min_version),
	  tls_versions, "older versions of TLS are refused" },
	{ "tls_client", "ciphers", NOT_THERE, KEY_TEXT, "HIGH:!aNULL:!MD5:!3DES:!kRSA", NO_BOUNDS, RELOADS,
	  FIELD(tls_ciphers), NULL, "of TLS 1.2, as OpenSSL writes them" },

	{ "tls_server", "mode", "server_tls_mode", KEY_WORD, "prefer", NO_BOUNDS, RELOADS, SHARED(server_tls_mode),
	  tls_modes, "TLS with PostgreSQL; sslmode in upstream wins" },
	{ "tls_server", "ca_file", "server_tls_ca_file", KEY_PATH, "system", NO_BOUNDS, RELOADS,
	  SHARED(server_tls_ca_file), ca_places, "who signs PostgreSQL's certificate, PEM; sslrootcert in upstream wins" },
	{ "tls_server", "certificate_file", "server_tls_certificate_file", KEY_PATH, "", NO_BOUNDS, RELOADS,
	  SHARED(server_tls_certificate_file), NULL, "the certificate shown to PostgreSQL, PEM; sslcert in upstream wins" },
	{ "tls_server", "key_file", "server_tls_key_file", KEY_PATH, "", NO_BOUNDS, RELOADS, SHARED(server_tls_key_file),
	  NULL, "its private key, PEM; sslkey in upstream wins" },
	{ "tls_server", "negotiation", "server_tls_negotiation", KEY_WORD_TEXT, "postgres", NO_BOUNDS, RELOADS,
	  SHARED(server_tls_negotiation), tls_negotiations,
	  "direct: TLS from the first byte (PostgreSQL 17); sslnegotiation in upstream wins" },

	{ "limits", "max_db_client_connections", "max_db_client_connections", KEY_COUNT, "0", 0, 1000000, "connections",
	  RELOADS, SHARED(max_db_client_connections), NULL, "of each database, or tenant; 0: no limit" },
	{ "limits", "max_user_client_connections", "max_user_client_connections", KEY_COUNT, "0", 0, 1000000,
	  "connections", RELOADS, SHARED(max_user_client_connections), NULL, "of each user; 0: no limit" },
	{ "limits", "max_address_client_connections", NOT_THERE, KEY_COUNT, "0", 0, 1000000, "connections", RELOADS,
	  FIELD(max_address_client_connections), NULL, "from each address, logging in or logged in; 0: no limit" },
	{ "limits", "db_login_rate", "db_login_rate", KEY_COUNT, "0", 0, 1000000, "logins", RELOADS, SHARED(db_login_rate),
	  NULL, "per second, to each database, or tenant; 0: no limit" },
	{ "limits", "user_login_rate", "user_login_rate", KEY_COUNT, "0", 0, 1000000, "logins", RELOADS,
	  SHARED(user_login_rate), NULL, "per second, of each user; 0: no limit" },
	{ "limits", "address_login_rate", NOT_THERE, KEY_COUNT, "0", 0, 1000000, "logins", RELOADS,
	  FIELD(address_login_rate), NULL, "per second, from each address; 0: no limit" },
	{ "limits", "login_failure_delay", NOT_THERE, KEY_TIME, "100ms", 0, 1 * H, "", RELOADS,
	  FIELD(login_failure_delay_us), NULL,
	  "a wrong password is answered after this, twice as late for each further one from the same address" },
	{ "limits", "login_failure_delay_max", NOT_THERE, KEY_TIME, "5s", 0, 1 * H, "", RELOADS,
	  FIELD(login_failure_delay_max_us), NULL, "but not later than this" },

	{ "log", "destination", NOT_THERE, KEY_PATH, "stderr", NO_BOUNDS, RELOADS, FIELD(log_destination), log_places,
	  "where the log goes; SIGHUP reopens a file" },
	{ "log", "format", NOT_THERE, KEY_WORD, "text", NO_BOUNDS, RELOADS, FIELD(log_format), log_formats,
	  "how a line looks" },
	{ "log", "level", NOT_THERE, KEY_WORD, "info", NO_BOUNDS, RELOADS, FIELD(log_level), log_levels,
	  "messages of this level and worse are written" },
	{ "log", "connections", NOT_THERE, KEY_SWITCH, "off", NO_BOUNDS, RELOADS, FIELD(log_connections), NULL,
	  "a line for each login and each disconnect of a client" },

	{ "slow_query", "threshold", "slow_query_threshold", KEY_TIME, "100ms", 0, 365 * D, "", RELOADS,
	  SHARED(slow_query_threshold_us), off, "requests that take longer are logged; 0ms: all" },
	{ "slow_query", "file", NOT_THERE, KEY_PATH, "stderr", NO_BOUNDS, RELOADS, FIELD(slow_file), slow_places,
	  "where the slow-query log goes; SIGHUP reopens a file" },
	{ "slow_query", "format", NOT_THERE, KEY_WORD, "json", NO_BOUNDS, RELOADS, FIELD(slow_format), slow_formats,
	  "how a line looks; postgres is for pgBadger" },
	{ "slow_query", "text", NOT_THERE, KEY_WORD, "normalized", NO_BOUNDS, RELOADS, FIELD(slow_text), slow_texts,
	  "the query's SQL: without its literals, as it is, or not at all" },
	{ "slow_query", "parameters", NOT_THERE, KEY_SWITCH, "off", NO_BOUNDS, RELOADS, FIELD(slow_parameters), NULL,
	  "the values bound to $1, $2, ..." },
	{ "slow_query", "sample_threshold", NOT_THERE, KEY_TIME, "off", 0, 365 * D, "", RELOADS,
	  FIELD(slow_sample_threshold_us), off, "of requests between this and threshold, sample_rate are logged" },
	{ "slow_query", "sample_rate", NOT_THERE, KEY_FRACTION, "0.01", NO_BOUNDS, RELOADS, FIELD(slow_sample_rate), NULL,
	  "1 is all of them" },
	{ "slow_query", "max_lines_per_second", NOT_THERE, KEY_COUNT, "200", 0, 100000, "lines", RELOADS,
	  FIELD(slow_max_lines_per_second), NULL, "what is more is counted, not written; 0: no limit" },
	{ "slow_query", "table_size", NOT_THERE, KEY_COUNT, "1000", 0, 100000, "statements", RELOADS,
	  FIELD(slow_table_size), NULL, "remembered for SHOW QUERIES" },

	{ "http", "listen", NOT_THERE, KEY_HTTP_LISTEN, "127.0.0.1:9930", NO_BOUNDS, FIXED, FIELD(http_listen), off,
	  "where /metrics, /healthz and /readyz are served" },
	{ "http", "auth_file", NOT_THERE, KEY_PATH, "", NO_BOUNDS, RELOADS, FIELD(http_auth_file), NULL,
	  "who may see the pages" },
	{ "http", "metrics_max_pools", NOT_THERE, KEY_COUNT, "200", 0, 100000, "pools", RELOADS,
	  FIELD(http_metrics_max_pools), NULL, "metrics of the others are summed up as _other" },
	{ "http", "user_histograms", NOT_THERE, KEY_SWITCH, "off", NO_BOUNDS, RELOADS, FIELD(http_user_histograms), NULL,
	  "histograms per user, not only per database" },
};
/* clang-format on */

enum { KEY_ROWS = sizeof(keys) / sizeof(keys[0]) };
static_assert(KEY_ROWS <= CONFIG_KEYS_MAX, "CONFIG_KEYS_MAX is too small");

const struct config_key *
config_key(size_t i)
{
	return i < KEY_ROWS ? &keys[i] : NULL;
}

size_t
config_key_row(const struct config_key *key)
{
	return (size_t)(key - keys);
}

bool
key_is_for_databases(const struct config_key *key)
{
	return strcmp(key->section, "tls_server") == 0 || strcmp(key->section, "auth") == 0 ||
	       (strcmp(key->section, "limits") == 0 && strncmp(key->name, "max_db_", 7) == 0) ||
	       strcmp(key->name, "db_login_rate") == 0;
}

bool
key_is_for_users(const struct config_key *key)
{
	return strcmp(key->name, "max_user_client_connections") == 0 || strcmp(key->name, "user_login_rate") == 0;
}

const struct config_key *
config_scope_key(size_t i)
{
	for (size_t row = 0; row < KEY_ROWS; row++)
		if (keys[row].scope_name != NULL && i-- == 0)
			return &keys[row];
	return NULL;
}

const struct config_key *
config_key_find(const char *section, const char *name)
{
	for (size_t row = 0; row < KEY_ROWS; row++)
		if (strcmp(keys[row].section, section) == 0 && strcmp(keys[row].name, name) == 0)
			return &keys[row];
	return NULL;
}

const struct config_key *
config_scope_key_find(const char *scope_name, size_t *bit)
{
	*bit = 0;
	for (size_t row = 0; row < KEY_ROWS; row++) {
		if (keys[row].scope_name == NULL)
			continue;
		if (strcmp(keys[row].scope_name, scope_name) == 0)
			return &keys[row];
		++*bit;
	}
	return NULL;
}

bool
config_has_section(const char *section)
{
	for (size_t row = 0; row < KEY_ROWS; row++)
		if (strcmp(keys[row].section, section) == 0)
			return true;
	return false;
}

const char *
pool_mode_name(enum pool_mode mode)
{
	return pool_modes[mode];
}

const char *
session_state_name(enum session_state_mode mode)
{
	return session_states[mode];
}
