/*
 * src/config/bouncer_keys.c - all settings of PgBouncer's [pgbouncer] section, their defaults, and what becomes of
 * each.
 *
 * In the order of PgBouncer's own table (in its main program), which is the order of its SHOW CONFIG.
 */
#include "config/bouncer_state.h"

#include <assert.h>
#include <string.h>

static const char *const pool_modes[][2] = {
	{ "session", "session" }, { "transaction", "transaction" }, { "statement", "statement" }, { NULL, NULL }
};
static const char *const auth_types[][2] = { { "any", "trust" },
					     { "trust", "trust" },
					     { "plain", "password" },
					     { "md5", "md5" },
					     { "cert", "cert" },
					     { "hba", "hba" },
					     { "scram-sha-256", "scram-sha-256" },
					     { NULL, NULL } };
static const char *const sslmodes[][2] = { { "disable", "off" },
					   { "allow", "prefer" },
					   { "prefer", "prefer" },
					   { "require", "require" },
					   { "verify-ca", "verify-ca" },
					   { "verify-full", "verify-full" },
					   { NULL, NULL } };
static const char *const not_switches[][2] = { { "0", "on" }, { "1", "off" }, { NULL, NULL } };

#define NONE NULL, NULL, NULL, NULL
#define TO(section, key) section, key, NULL, NULL
#define TO_ZERO(section, key, zero) section, key, zero, NULL
#define TO_WORDS(section, key, words) section, key, NULL, words

#define DEFAULT_QUERY                                                                                                  \
	"SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END FROM pg_authid WHERE "         \
	"rolname=$1 AND rolcanlogin"
#define SIZES "pgweir sizes its buffers itself"
#define DNS "names of hosts are looked up by the system's resolver, for each new connection"
#define FOLLOWED "all settings of a session are followed, whatever PostgreSQL reports"
#define SEALED "pgweir itself clears what a client has left in a server connection, and only what there is"
#define CURVES "OpenSSL's own choice is used"
#define NAMED "the log and the service manager know this process as pgweir"

/* clang-format off */
static const struct bouncer_key keys[] = {
	{ "admin_users", "", BOUNCER_NAMES, TO("auth", "admin_users"), NULL },
	{ "application_name_add_host", "0", BOUNCER_SWITCH, TO("pgweir", "application_name_add_host"), NULL },
	{ "auth_dbname", NULL, BOUNCER_TEXT, TO("auth", "auth_database"), NULL },
	{ "auth_file", NULL, BOUNCER_COMBINED, NONE, NULL },
	{ "auth_hba_file", "", BOUNCER_PATH, TO("auth", "hba_file"), NULL },
	{ "auth_ident_file", NULL, BOUNCER_PATH, TO("auth", "ident_file"), NULL },
	{ "auth_ldap_options", NULL, BOUNCER_REFUSED, NONE, "pgweir has no LDAP authentication" },
	{ "auth_query", DEFAULT_QUERY, BOUNCER_COMBINED, NONE, NULL },
	{ "auth_type", "md5", BOUNCER_WORD, TO_WORDS("auth", "method", auth_types), NULL },
	{ "auth_user", NULL, BOUNCER_COMBINED, NONE, NULL },
	{ "autodb_idle_timeout", "3600", BOUNCER_IGNORED, NONE, "databases of * are freed with their last pool" },
	{ "cancel_wait_timeout", "10", BOUNCER_IGNORED, NONE, "cancel requests wait for nothing" },
	{ "client_idle_timeout", "0", BOUNCER_TIME, TO("timeouts", "client_idle_timeout"), NULL },
	{ "client_login_timeout", "60", BOUNCER_TIME, TO_ZERO("timeouts", "login_timeout", "1h"), NULL },
	{ "client_tls13_ciphers", NULL, BOUNCER_TEXT, TO("tls_client", "tls13_ciphers"), NULL },
	{ "client_tls_ca_file", "", BOUNCER_COMBINED, NONE, NULL },
	{ "client_tls_cert_file", "", BOUNCER_COMBINED, NONE, NULL },
	{ "client_tls_ciphers", "default", BOUNCER_COMBINED, NONE, NULL },
	{ "client_tls_dheparams", "auto", BOUNCER_IGNORED, NONE, CURVES },
	{ "client_tls_ecdhcurve", "auto", BOUNCER_IGNORED, NONE, CURVES },
	{ "client_tls_key_file", "", BOUNCER_COMBINED, NONE, NULL },
	{ "client_tls_protocols", "secure", BOUNCER_COMBINED, NONE, NULL },
	{ "client_tls_sslmode", "disable", BOUNCER_WORD, TO_WORDS("tls_client", "mode", sslmodes), NULL },
	{ "conffile", NULL, BOUNCER_IGNORED, NONE, "the file is named on the command line" },
	{ "default_pool_size", "20", BOUNCER_COUNT, TO_ZERO("pool", "pool_size", "100000"), NULL },
	{ "disable_pqexec", "0", BOUNCER_REFUSED, NONE, "pgweir can't refuse simple queries" },
	{ "dns_max_ttl", "15", BOUNCER_IGNORED, NONE, DNS },
	{ "dns_nxdomain_ttl", "15", BOUNCER_IGNORED, NONE, DNS },
	{ "dns_zone_check_period", "0", BOUNCER_IGNORED, NONE, DNS },
	{ "idle_transaction_timeout", "0", BOUNCER_TIME, TO("timeouts", "idle_transaction_timeout"), NULL },
	{ "ignore_startup_parameters", "", BOUNCER_NAMES, TO("pgweir", "ignore_startup_parameters"), NULL },
	{ "job_name", "pgbouncer", BOUNCER_IGNORED, NONE, NAMED },
	{ "listen_addr", "", BOUNCER_COMBINED, NONE, NULL },
	{ "listen_backlog", "128", BOUNCER_COUNT, TO("pgweir", "listen_backlog"), NULL },
	{ "listen_port", "6432", BOUNCER_COMBINED, NONE, NULL },
	{ "log_connections", "1", BOUNCER_SWITCH, TO("log", "connections"), NULL },
	{ "log_disconnections", "1", BOUNCER_IGNORED, NONE, "log_connections covers both" },
	{ "log_pooler_errors", "1", BOUNCER_IGNORED, NONE, "errors are always logged" },
	{ "log_stats", "1", BOUNCER_COMBINED, NONE, NULL },
	{ "logfile", "", BOUNCER_COMBINED, NONE, NULL },
	{ "login_notify_message", "", BOUNCER_TEXT, TO("pgweir", "login_notify_message"), NULL },
	{ "max_client_conn", "100", BOUNCER_COUNT, TO("pgweir", "max_client_connections"), NULL },
	{ "max_db_client_connections", "0", BOUNCER_COUNT, TO("limits", "max_db_client_connections"), NULL },
	{ "max_db_connections", "0", BOUNCER_COUNT, TO("limits", "max_db_connections"), NULL },
	{ "max_packet_size", "2147483647", BOUNCER_IGNORED, NONE, "messages of any size are relayed piece by piece" },
	{ "max_prepared_statements", "200", BOUNCER_COUNT, TO("pool", "prepared_statements"), NULL },
	{ "max_user_client_connections", "0", BOUNCER_COUNT, TO("limits", "max_user_client_connections"), NULL },
	{ "max_user_connections", "0", BOUNCER_COUNT, TO("limits", "max_user_connections"), NULL },
	{ "min_pool_size", "0", BOUNCER_COUNT, TO("pool", "min_idle"), NULL },
	{ "peer_id", "0", BOUNCER_COUNT, TO("pgweir", "peer_id"), NULL },
	{ "pidfile", "", BOUNCER_PATH, TO("pgweir", "pid_file"), NULL },
	{ "pkt_buf", "4096", BOUNCER_IGNORED, NONE, SIZES },
	{ "pool_mode", "session", BOUNCER_WORD, TO_WORDS("pgweir", "pool_mode", pool_modes), NULL },
	{ "pool_idle_timeout", "0", BOUNCER_TIME, TO_ZERO("pool", "pool_idle_timeout", "10min"), NULL },
	{ "query_timeout", "0", BOUNCER_TIME, TO("timeouts", "query_timeout"), NULL },
	{ "query_wait_notify", "5", BOUNCER_TIME, TO("pool", "wait_notify"), NULL },
	{ "query_wait_timeout", "120", BOUNCER_TIME, TO("pool", "pool_timeout"), NULL },
	{ "reserve_pool_size", "0", BOUNCER_COUNT, TO("pool", "max_overflow"), NULL },
	{ "reserve_pool_timeout", "5", BOUNCER_TIME, TO("pool", "overflow_delay"), NULL },
	{ "resolv_conf", "", BOUNCER_PATH, TO("pgweir", "resolv_conf"), NULL },
	{ "sbuf_loopcnt", "5", BOUNCER_IGNORED, NONE, SIZES },
	{ "scram_iterations", "4096", BOUNCER_COUNT, TO("auth", "scram_iterations"), NULL },
	{ "server_check_delay", "30", BOUNCER_TIME, TO("pool", "pool_pre_ping_idle"), NULL },
	{ "server_check_query", "<empty>", BOUNCER_COMBINED, NONE, NULL },
	{ "server_connect_timeout", "15", BOUNCER_TIME, TO_ZERO("timeouts", "connect_timeout", "1h"), NULL },
	{ "server_fast_close", "0", BOUNCER_SWITCH, TO("pool", "server_fast_close"), NULL },
	{ "server_idle_timeout", "600", BOUNCER_TIME, TO("pool", "idle_timeout"), NULL },
	{ "server_lifetime", "3600", BOUNCER_TIME, TO_ZERO("pool", "pool_recycle", "1us"), NULL },
	{ "server_login_retry", "15", BOUNCER_IGNORED, NONE,
	  "after a failure pgweir tries again soon, and waits longer after each further one" },
	{ "server_reset_query", "DISCARD ALL", BOUNCER_IGNORED, NONE, SEALED },
	{ "server_reset_query_always", "0", BOUNCER_IGNORED, NONE, SEALED },
	{ "server_round_robin", "0", BOUNCER_WORD, TO_WORDS("pool", "pool_lifo", not_switches), NULL },
	{ "server_tls13_ciphers", NULL, BOUNCER_IGNORED, NONE, CURVES },
	{ "server_tls_ca_file", "", BOUNCER_COMBINED, NONE, NULL },
	{ "server_tls_cert_file", "", BOUNCER_PATH, TO("tls_server", "certificate_file"), NULL },
	{ "server_tls_ciphers", "default", BOUNCER_IGNORED, NONE, CURVES },
	{ "server_tls_key_file", "", BOUNCER_PATH, TO("tls_server", "key_file"), NULL },
	{ "server_tls_protocols", "secure", BOUNCER_COMBINED, NONE, NULL },
	{ "server_tls_sslmode", "prefer", BOUNCER_WORD, TO_WORDS("tls_server", "mode", sslmodes), NULL },
	{ "service_name", NULL, BOUNCER_IGNORED, NONE, NAMED },
	{ "so_reuseport", "0", BOUNCER_SWITCH, TO("tcp", "reuse_port"), NULL },
	{ "stats_period", "60", BOUNCER_COMBINED, NONE, NULL },
	{ "stats_users", "", BOUNCER_NAMES, TO("auth", "stats_users"), NULL },
	{ "suspend_timeout", "10", BOUNCER_IGNORED, NONE, "for online restarts, which pgweir does otherwise" },
	{ "syslog", "0", BOUNCER_COMBINED, NONE, NULL },
	{ "syslog_facility", "daemon", BOUNCER_IGNORED, NONE, NAMED },
	{ "syslog_ident", "pgbouncer", BOUNCER_IGNORED, NONE, NAMED },
	{ "tcp_defer_accept", "1", BOUNCER_TIME, TO("tcp", "defer_accept"), NULL },
	{ "tcp_keepalive", "1", BOUNCER_SWITCH, TO("tcp", "keepalive"), NULL },
	{ "tcp_keepcnt", "0", BOUNCER_COUNT, TO("tcp", "keepalive_count"), NULL },
	{ "tcp_keepidle", "0", BOUNCER_TIME, TO("tcp", "keepalive_idle"), NULL },
	{ "tcp_keepintvl", "0", BOUNCER_TIME, TO("tcp", "keepalive_interval"), NULL },
	{ "tcp_socket_buffer", "0", BOUNCER_IGNORED, NONE, "the kernel sizes the buffers of sockets" },
	{ "tcp_user_timeout", "0", BOUNCER_MS, TO("tcp", "user_timeout"), NULL },
	{ "track_extra_parameters", "IntervalStyle", BOUNCER_IGNORED, NONE, FOLLOWED },
	{ "transaction_timeout", "0", BOUNCER_TIME, TO("timeouts", "transaction_timeout"), NULL },
	{ "unix_socket_dir", "/tmp", BOUNCER_COMBINED, NONE, NULL },
	{ "unix_socket_group", "", BOUNCER_TEXT, TO("pgweir", "unix_socket_group"), NULL },
	{ "unix_socket_mode", "0777", BOUNCER_TEXT, TO("pgweir", "unix_socket_mode"), NULL },
	{ "user", NULL, BOUNCER_TEXT, TO("pgweir", "run_as"), NULL },
	{ "verbose", "0", BOUNCER_COMBINED, NONE, NULL },
};
/* clang-format on */

enum { KEY_ROWS = sizeof(keys) / sizeof(keys[0]) };
static_assert(KEY_ROWS <= BOUNCER_KEYS_MAX, "BOUNCER_KEYS_MAX is too small");

const struct bouncer_key *
bouncer_key(size_t i)
{
	return i < KEY_ROWS ? &keys[i] : NULL;
}

const struct bouncer_key *
bouncer_key_find(const char *name)
{
	for (size_t i = 0; i < KEY_ROWS; i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

const struct config_key *
bouncer_key_ours(const struct bouncer_key *key)
{
	return key->section != NULL ? config_key_find(key->section, key->key) : NULL;
}

size_t
bouncer_key_row(const struct bouncer_key *key)
{
	return (size_t)(key - keys);
}
