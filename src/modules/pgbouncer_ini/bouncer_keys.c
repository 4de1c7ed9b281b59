/*
 * src/modules/pgbouncer_ini/bouncer_keys.c - all settings of PgBouncer's [pgbouncer] section and all words of
 * [databases], [users] and [peers], their defaults, and what becomes of each.
 *
 * The translation, SHOW CONFIG, advice about PgBouncer's names in a file of pgweir's, and the tables of
 * docs/pgbouncer.md are made from these tables. The settings are in the order of PgBouncer's own table (in its main
 * program), which is the order of PgBouncer's SHOW CONFIG.
 */
#include "modules/pgbouncer_ini/pgbouncer_ini.h"

#include <assert.h>
#include <string.h>

/* clang-format off */
static const char *const pool_modes[][2] = {
	{ "session", "session" }, { "transaction", "transaction" }, { "statement", "statement" }, { NULL, NULL }
};
static const char *const auth_types[][2] = {
	{ "any", "trust" }, { "trust", "trust" }, { "plain", "password" }, { "md5", "md5" }, { "cert", "cert" }, { "hba", "hba" },
	{ "scram-sha-256", "scram-sha-256" }, { "ldap", "ldap" }, { "pam", "pam" }, { NULL, NULL }
};
static const char *const sslmodes[][2] = {
	{ "disable", "off" }, { "allow", "allow" }, { "prefer", "prefer" }, { "require", "require" }, { "verify-ca", "verify-ca" },
	{ "verify-full", "verify-full" }, { NULL, NULL }
};
static const char *const inverted_switches[][2] = { { "0", "on" }, { "1", "off" }, { NULL, NULL } };

/* Columns of struct bouncer_key: fate, section, key, zero, words. */
#define TAKEN(section, key) BOUNCER_TAKEN, section, key, NULL, NULL
#define TAKEN_ZERO(section, key, zero) BOUNCER_TAKEN, section, key, zero, NULL
#define TAKEN_WORDS(section, key, words) BOUNCER_TAKEN, section, key, NULL, words
#define SPECIAL(section, key) BOUNCER_SPECIAL, section, key, NULL, NULL
#define PART(section, key) BOUNCER_PART, section, key, NULL, NULL
#define IGNORED BOUNCER_IGNORED, NULL, NULL, NULL, NULL
#define REFUSED BOUNCER_REFUSED, NULL, NULL, NULL, NULL

#define DEFAULT_QUERY \
	"SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END FROM pg_authid WHERE " \
	"rolname=$1 AND rolcanlogin"
#define SIZES "pgweir sizes its buffers itself"
#define DNS "names of hosts are looked up as resolv.conf says, for each new connection"
#define FOLLOWED "only with options among ignore_startup_parameters: else all settings of a session are followed"
#define SEALED "pgweir itself clears what a client has left in a server connection, and only what there is"
#define OPENSSL_CHOOSES "OpenSSL's own choice is used"
#define NAMED "the log and the service manager know this process as pgweir"

static const struct bouncer_key keys[] = {
	{ "admin_users", "", BOUNCER_NAMES, TAKEN("auth", "admin_users"), NULL },
	{ "application_name_add_host", "0", BOUNCER_SWITCH, TAKEN("pgweir", "application_name_add_host"), NULL },
	{ "auth_dbname", NULL, BOUNCER_TEXT, TAKEN("auth", "auth_database"),
	  "a database of the file, with its own host; users of the console are looked up there, too" },
	{ "auth_file", NULL, BOUNCER_PATH, SPECIAL("auth", "users_file"), "not read with auth_type = any" },
	{ "auth_hba_file", "", BOUNCER_PATH, TAKEN("auth", "hba_file"), NULL },
	{ "auth_ident_file", NULL, BOUNCER_PATH, TAKEN("auth", "ident_file"), NULL },
#ifdef WITH_LDAP
	{ "auth_ldap_options", NULL, BOUNCER_TEXT, TAKEN("auth", "ldap_options"), NULL },
#endif
	{ "auth_query", DEFAULT_QUERY, BOUNCER_TEXT, SPECIAL("auth", "auth_query"),
	  "where there is an auth_user; asked at each login, as there (auth_query_ttl = 0s)" },
	{ "auth_type", "md5", BOUNCER_WORD, TAKEN_WORDS("auth", "method", auth_types),
	  "plain is password; any is trust, and users_file is not read; pam has the service pgbouncer" },
	{ "auth_user", NULL, BOUNCER_TEXT, SPECIAL("auth", "auth_user"), NULL },
	{ "autodb_idle_timeout", "3600", BOUNCER_TIME, IGNORED, "databases of * are freed with their last pool" },
	{ "cancel_wait_timeout", "10", BOUNCER_TIME, IGNORED, "cancel requests wait for nothing" },
	{ "client_idle_timeout", "0", BOUNCER_TIME, TAKEN("timeouts", "client_idle_timeout"), NULL },
	{ "client_login_timeout", "60", BOUNCER_TIME, TAKEN_ZERO("timeouts", "login_timeout", "1h"), NULL },
	{ "client_tls13_ciphers", NULL, BOUNCER_TEXT, TAKEN("tls_client", "tls13_ciphers"), NULL },
	{ "client_tls_ca_file", "", BOUNCER_PATH, SPECIAL("tls_client", "ca_file"), NULL },
	{ "client_tls_cert_file", "", BOUNCER_PATH, SPECIAL("tls_client", "certificate_file"), NULL },
	{ "client_tls_ciphers", "default", BOUNCER_TEXT, SPECIAL("tls_client", "ciphers"),
	  "words such as default and secure are pgweir's own choice" },
	{ "client_tls_dheparams", "auto", BOUNCER_TEXT, IGNORED, OPENSSL_CHOOSES },
	{ "client_tls_ecdhcurve", "auto", BOUNCER_TEXT, IGNORED, OPENSSL_CHOOSES },
	{ "client_tls_key_file", "", BOUNCER_PATH, SPECIAL("tls_client", "key_file"), NULL },
	{ "client_tls_protocols", "secure", BOUNCER_TEXT, PART("tls_client", "min_version"),
	  "1.3 if it is the only one, else 1.2" },
	{ "client_tls_sslmode", "disable", BOUNCER_WORD, TAKEN_WORDS("tls_client", "mode", sslmodes), NULL },
	{ "conffile", NULL, BOUNCER_TEXT, IGNORED, "the file is named on the command line" },
	{ "default_pool_size", "20", BOUNCER_COUNT, TAKEN_ZERO("pool", "pool_size", "100000"), NULL },
	{ "disable_pqexec", "0", BOUNCER_COUNT, REFUSED, "pgweir can't refuse simple queries" },
	{ "dns_max_ttl", "15", BOUNCER_TIME, IGNORED, DNS },
	{ "dns_nxdomain_ttl", "15", BOUNCER_TIME, IGNORED, DNS },
	{ "dns_zone_check_period", "0", BOUNCER_TIME, IGNORED, DNS },
	{ "idle_transaction_timeout", "0", BOUNCER_TIME, TAKEN("timeouts", "idle_transaction_timeout"), NULL },
	{ "ignore_startup_parameters", "", BOUNCER_NAMES, TAKEN("pgweir", "ignore_startup_parameters"), NULL },
	{ "job_name", "pgbouncer", BOUNCER_TEXT, IGNORED, NAMED },
	{ "listen_addr", "", BOUNCER_TEXT, PART("pgweir", "listen"),
	  "for example listen = 127.0.0.1:6432; numeric addresses, * and localhost" },
	{ "listen_backlog", "128", BOUNCER_COUNT, TAKEN("pgweir", "listen_backlog"), NULL },
	{ "listen_port", "6432", BOUNCER_COUNT, PART("pgweir", "listen"), "for example listen = 127.0.0.1:6432" },
	{ "log_connections", "1", BOUNCER_SWITCH, TAKEN("log", "connections"), NULL },
	{ "log_disconnections", "1", BOUNCER_COUNT, IGNORED, "log.connections covers both" },
	{ "log_pooler_errors", "1", BOUNCER_COUNT, IGNORED, "errors are always logged" },
	{ "log_stats", "1", BOUNCER_SWITCH, PART("log", "stats_interval"), "0 is 0s" },
	{ "logfile", "", BOUNCER_PATH, SPECIAL("log", "destination"), "standard error gets nothing then" },
	{ "login_notify_message", "", BOUNCER_TEXT, TAKEN("pgweir", "login_notify_message"), NULL },
	{ "max_client_conn", "100", BOUNCER_COUNT, TAKEN("pgweir", "max_client_connections"), NULL },
	{ "max_db_client_connections", "0", BOUNCER_COUNT, TAKEN("limits", "max_db_client_connections"), NULL },
	{ "max_db_connections", "0", BOUNCER_COUNT, TAKEN("limits", "max_db_connections"), NULL },
	{ "max_packet_size", "2147483647", BOUNCER_COUNT, IGNORED, "messages of any size are relayed piece by piece" },
	{ "max_prepared_statements", "200", BOUNCER_COUNT, TAKEN("pool", "prepared_statements"), NULL },
	{ "max_user_client_connections", "0", BOUNCER_COUNT, TAKEN("limits", "max_user_client_connections"), NULL },
	{ "max_user_connections", "0", BOUNCER_COUNT, TAKEN("limits", "max_user_connections"), NULL },
	{ "min_pool_size", "0", BOUNCER_COUNT, TAKEN("pool", "min_idle"), NULL },
	{ "peer_id", "0", BOUNCER_COUNT, TAKEN("pgweir", "peer_id"), NULL },
	{ "pidfile", "", BOUNCER_PATH, TAKEN("pgweir", "pid_file"), NULL },
	{ "pkt_buf", "4096", BOUNCER_COUNT, IGNORED, SIZES },
	{ "pool_mode", "session", BOUNCER_WORD, TAKEN_WORDS("pgweir", "pool_mode", pool_modes), NULL },
	{ "pool_idle_timeout", "0", BOUNCER_TIME, TAKEN_ZERO("pool", "pool_idle_timeout", "10min"), NULL },
	{ "query_timeout", "0", BOUNCER_TIME, TAKEN("timeouts", "query_timeout"),
	  "with such a file it disconnects the client, as there, and the query is cancelled" },
	{ "query_wait_notify", "5", BOUNCER_TIME, TAKEN("pool", "wait_notify"), NULL },
	{ "query_wait_timeout", "120", BOUNCER_TIME, TAKEN("pool", "pool_timeout"), NULL },
	{ "reserve_pool_size", "0", BOUNCER_COUNT, TAKEN("pool", "max_overflow"), NULL },
	{ "reserve_pool_timeout", "5", BOUNCER_TIME, TAKEN("pool", "overflow_delay"), NULL },
	{ "resolv_conf", "", BOUNCER_PATH, TAKEN("pgweir", "resolv_conf"), NULL },
	{ "sbuf_loopcnt", "5", BOUNCER_COUNT, IGNORED, SIZES },
	{ "scram_iterations", "4096", BOUNCER_COUNT, TAKEN("auth", "scram_iterations"), NULL },
	{ "server_check_delay", "30", BOUNCER_TIME, TAKEN("pool", "pool_pre_ping_idle"), NULL },
	{ "server_check_query", "<empty>", BOUNCER_TEXT, PART("pool", "ping_query"), "empty is pool_pre_ping = off; asked while a connection is idle, too" },
	{ "server_connect_timeout", "15", BOUNCER_TIME, TAKEN_ZERO("timeouts", "connect_timeout", "1h"), NULL },
	{ "server_fast_close", "0", BOUNCER_SWITCH, TAKEN("pool", "server_fast_close"), NULL },
	{ "server_idle_timeout", "600", BOUNCER_TIME, TAKEN("pool", "idle_timeout"), NULL },
	{ "server_lifetime", "3600", BOUNCER_TIME, TAKEN_ZERO("pool", "pool_recycle", "1us"), NULL },
	{ "server_login_retry", "15", BOUNCER_TIME, IGNORED,
	  "after a failure pgweir tries again soon, and waits longer after each further one, up to 15 s" },
	{ "server_reset_query", "DISCARD ALL", BOUNCER_TEXT, IGNORED, SEALED },
	{ "server_reset_query_always", "0", BOUNCER_COUNT, IGNORED, SEALED },
	{ "server_round_robin", "0", BOUNCER_WORD, TAKEN_WORDS("pool", "pool_lifo", inverted_switches), NULL },
	{ "server_tls13_ciphers", NULL, BOUNCER_TEXT, IGNORED, OPENSSL_CHOOSES },
	{ "server_tls_ca_file", "", BOUNCER_PATH, SPECIAL("tls_server", "ca_file"), NULL },
	{ "server_tls_cert_file", "", BOUNCER_PATH, TAKEN("tls_server", "certificate_file"), NULL },
	{ "server_tls_ciphers", "default", BOUNCER_TEXT, IGNORED, OPENSSL_CHOOSES },
	{ "server_tls_key_file", "", BOUNCER_PATH, TAKEN("tls_server", "key_file"), NULL },
	{ "server_tls_protocols", "secure", BOUNCER_TEXT, PART("tls_server", "min_version"),
	  "1.3 if it is the only one, else 1.2" },
	{ "server_tls_sslmode", "prefer", BOUNCER_WORD, TAKEN_WORDS("tls_server", "mode", sslmodes), NULL },
	{ "service_name", NULL, BOUNCER_TEXT, IGNORED, NAMED },
	{ "so_reuseport", "0", BOUNCER_SWITCH, TAKEN("tcp", "reuse_port"), NULL },
	{ "stats_period", "60", BOUNCER_COUNT, PART("log", "stats_interval"),
	  "the averages of SHOW STATS are always over a minute" },
	{ "stats_users", "", BOUNCER_NAMES, TAKEN("auth", "stats_users"), NULL },
	{ "suspend_timeout", "10", BOUNCER_TIME, IGNORED, "for online restarts, which pgweir does otherwise" },
	{ "syslog", "0", BOUNCER_SWITCH, PART("log", "destination"),
	  "1 is destination = syslog, unless there is a logfile" },
	{ "syslog_facility", "daemon", BOUNCER_TEXT, IGNORED, NAMED },
	{ "syslog_ident", "pgbouncer", BOUNCER_TEXT, IGNORED, NAMED },
	{ "tcp_defer_accept", "1", BOUNCER_TIME, TAKEN("tcp", "defer_accept"), NULL },
	{ "tcp_keepalive", "1", BOUNCER_SWITCH, TAKEN("tcp", "keepalive"), NULL },
	{ "tcp_keepcnt", "0", BOUNCER_COUNT, TAKEN("tcp", "keepalive_count"), NULL },
	{ "tcp_keepidle", "0", BOUNCER_TIME, TAKEN("tcp", "keepalive_idle"), NULL },
	{ "tcp_keepintvl", "0", BOUNCER_TIME, TAKEN("tcp", "keepalive_interval"), NULL },
	{ "tcp_socket_buffer", "0", BOUNCER_COUNT, IGNORED, "the kernel sizes the buffers of sockets" },
	{ "tcp_user_timeout", "0", BOUNCER_MS, TAKEN("tcp", "user_timeout"), NULL },
	{ "track_extra_parameters", "IntervalStyle", BOUNCER_NAMES, TAKEN("pgweir", "track_extra_parameters"),
	  FOLLOWED },
	{ "transaction_timeout", "0", BOUNCER_TIME, TAKEN("timeouts", "transaction_timeout"), NULL },
	{ "unix_socket_dir", "/tmp", BOUNCER_TEXT, PART("pgweir", "listen"),
	  "for example listen = unix:/run/pgweir/.s.PGSQL.6432; no abstract sockets" },
	{ "unix_socket_group", "", BOUNCER_TEXT, TAKEN("pgweir", "unix_socket_group"), NULL },
	{ "unix_socket_mode", "0777", BOUNCER_TEXT, TAKEN("pgweir", "unix_socket_mode"), NULL },
	{ "user", NULL, BOUNCER_TEXT, TAKEN("pgweir", "run_as"), NULL },
	{ "verbose", "0", BOUNCER_COUNT, PART("log", "level"), "above 0 it is debug" },
};

#define IN_UPSTREAM "a word of upstream"
#define OF_LIBPQ "a word of upstream; libpq's, which PgBouncer does not have"
#define ANY_DATABASE "of a file with compat = pgbouncer: the name of a database of the file"

static const struct bouncer_word words[] = {
	{ "dbname", OF_DATABASE, WORD_UPSTREAM, NULL, IN_UPSTREAM },
	{ "host", OF_DATABASE | OF_PEER, WORD_HOSTS, NULL, "a word of upstream; without it: unix_socket_dir" },
	{ "port", OF_DATABASE | OF_PEER, WORD_HOSTS, NULL, IN_UPSTREAM },
	{ "user", OF_DATABASE, WORD_UPSTREAM, NULL, IN_UPSTREAM },
	{ "password", OF_DATABASE, WORD_UPSTREAM, NULL, IN_UPSTREAM },
	{ "auth_user", OF_DATABASE, WORD_AUTH, NULL, "auth_user" },
	{ "auth_dbname", OF_DATABASE, WORD_AUTH, NULL, "auth_database, " ANY_DATABASE },
	{ "auth_query", OF_DATABASE, WORD_AUTH, NULL, "auth_query" },
	{ "client_encoding", OF_DATABASE, WORD_UPSTREAM, NULL, IN_UPSTREAM ", sent with each connection" },
	{ "datestyle", OF_DATABASE, WORD_UPSTREAM, NULL, IN_UPSTREAM ", sent with each connection" },
	{ "timezone", OF_DATABASE, WORD_UPSTREAM, NULL, IN_UPSTREAM ", sent with each connection" },
	{ "application_name", OF_DATABASE, WORD_UPSTREAM, NULL, IN_UPSTREAM ", sent with each connection" },
	{ "load_balance_hosts", OF_DATABASE, WORD_HOSTS, NULL, "a word of upstream; several hosts take turns unless it is disable" },
	{ "connect_query", OF_DATABASE, WORD_UPSTREAM, NULL,
	  "a word of upstream; it runs on each new connection, and again after a client's settings were cleared" },
	{ "sslmode", OF_DATABASE, WORD_UPSTREAM, NULL, OF_LIBPQ },
	{ "sslrootcert", OF_DATABASE, WORD_UPSTREAM, NULL, OF_LIBPQ },
	{ "sslcert", OF_DATABASE, WORD_UPSTREAM, NULL, OF_LIBPQ },
	{ "sslkey", OF_DATABASE, WORD_UPSTREAM, NULL, OF_LIBPQ },
	{ "sslnegotiation", OF_DATABASE, WORD_UPSTREAM, NULL, OF_LIBPQ },
	{ "sslsni", OF_DATABASE, WORD_UPSTREAM, NULL, OF_LIBPQ },
	{ "channel_binding", OF_DATABASE, WORD_UPSTREAM, NULL, OF_LIBPQ },
	{ "target_session_attrs", OF_DATABASE, WORD_UPSTREAM, NULL, OF_LIBPQ },
	{ "pool_size", OF_DATABASE | OF_USER, WORD_SETTING, "default_pool_size", NULL },
	{ "pool_size", OF_PEER, WORD_HOSTS, NULL, "ignored: each cancel request has a connection of its own" },
	{ "min_pool_size", OF_DATABASE, WORD_SETTING, "min_pool_size", NULL },
	{ "reserve_pool", OF_DATABASE, WORD_SETTING, "reserve_pool_size", NULL },
	{ "reserve_pool_size", OF_DATABASE | OF_USER, WORD_SETTING, "reserve_pool_size", NULL },
	{ "max_db_connections", OF_DATABASE, WORD_SETTING, "max_db_connections", NULL },
	{ "max_db_client_connections", OF_DATABASE, WORD_SETTING, "max_db_client_connections", NULL },
	{ "max_user_connections", OF_USER, WORD_SETTING, "max_user_connections", NULL },
	{ "max_user_client_connections", OF_USER, WORD_SETTING, "max_user_client_connections", NULL },
	{ "server_lifetime", OF_DATABASE, WORD_SETTING, "server_lifetime", NULL },
	{ "query_wait_timeout", OF_DATABASE | OF_USER, WORD_SETTING, "query_wait_timeout", NULL },
	{ "pool_mode", OF_DATABASE | OF_USER, WORD_SETTING, "pool_mode", NULL },
	{ "query_timeout", OF_USER, WORD_SETTING, "query_timeout", NULL },
	{ "idle_transaction_timeout", OF_USER, WORD_SETTING, "idle_transaction_timeout", NULL },
	{ "transaction_timeout", OF_USER, WORD_SETTING, "transaction_timeout", NULL },
	{ "client_idle_timeout", OF_USER, WORD_SETTING, "client_idle_timeout", NULL },
};
/* clang-format on */

enum { KEY_ROWS = sizeof(keys) / sizeof(keys[0]) };
static_assert(KEY_ROWS <= BOUNCER_KEYS_MAX, "BOUNCER_KEYS_MAX is too small");
enum { WORD_ROWS = sizeof(words) / sizeof(words[0]) };
static_assert(WORD_ROWS <= BOUNCER_WORDS_MAX, "BOUNCER_WORDS_MAX is too small");

const struct bouncer_key *
bouncer_key_at(size_t i)
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

void
bouncer_try_keys(struct nearest *nearest)
{
	for (size_t i = 0; i < KEY_ROWS; i++)
		nearest_try(nearest, keys[i].name, NULL);
}

const struct config_key *
bouncer_key_in_pgweir(const struct bouncer_key *key)
{
	return key->section != NULL ? config_key_find(key->section, key->key) : NULL;
}

/* PgBouncer can't listen elsewhere without a restart, although pgweir can. */
bool
bouncer_key_is_changeable(const struct bouncer_key *key)
{
	const struct config_key *ours = bouncer_key_in_pgweir(key);

	return (ours == NULL || ours->is_reloadable) && strncmp(key->name, "listen_", 7) != 0 &&
	       strncmp(key->name, "unix_socket_", 12) != 0;
}

size_t
bouncer_key_row(const struct bouncer_key *key)
{
	return (size_t)(key - keys);
}

const struct bouncer_word *
bouncer_word_at(size_t i)
{
	return i < WORD_ROWS ? &words[i] : NULL;
}

const struct bouncer_word *
bouncer_word_find(const char *name, unsigned places)
{
	for (size_t i = 0; i < WORD_ROWS; i++)
		if ((words[i].places & places) != 0 && strcmp(words[i].name, name) == 0)
			return &words[i];
	return NULL;
}

size_t
bouncer_word_row(const struct bouncer_word *word)
{
	return (size_t)(word - words);
}
