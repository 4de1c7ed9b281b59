/*
 * src/config/config_keys.c - the one table of settings.
 *
 * A row has the setting's section, name, name in sections of databases, tenants and users, type, default, bounds, unit,
 * field, words and help, and says whether a reload changes the setting. scripts/settings copies the help into
 * conf/pgweir.ini and docs/config.md.
 */
#include "config/config_keys.h"
#include "base/counters.h"

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
static const char *const auth_methods[] = {
	"scram-sha-256", "md5", "cert", "trust", "hba", "password", AUTH_MODULES(MODULE_WORD) NULL
};
static const char *const tls_modes[] = { "off", "allow", "prefer", "require", "verify-ca", "verify-full", NULL };
#define FORBIDDEN_WORD(value, name) name,
static const char *const forbidden[] = { FORBIDDEN_STATEMENTS(FORBIDDEN_WORD) NULL };
static const char *const off[] = { "off", NULL };

/* These macros give the setting's field, and the kinds of sections that may have a value of their own. */
#define FIELD(name) offsetof(struct config, name), KEY_FOR_NONE
#define SHARED(name) offsetof(struct config, defaults.name), KEY_FOR_BOTH
#define OF_DATABASE(name) offsetof(struct config, defaults.name), KEY_FOR_DATABASES
#define OF_USER(name) offsetof(struct config, defaults.name), KEY_FOR_USERS
#define NO_SCOPE_NAME NULL
#define FIXED false
#define RELOADS true
#define NO_BOUNDS 0, 0, ""

/* clang-format off */
#define AUTH_SETTING(name, key, type, standard, documentation) \
	{ "auth", key, NO_SCOPE_NAME, type, standard, NO_BOUNDS, RELOADS, FIELD(module_values[AUTH_MODULE_##name]), NULL, documentation },
#define MODULE_SETTING(number, section, key, type, standard, bounds, words, documentation) \
	{ section, key, NO_SCOPE_NAME, type, standard, bounds, RELOADS, FIELD(module_values[number]), words, documentation },
#define BOUNDS(min, max, unit) min, max, unit
#define WORDS(...) (const char *const[]){ __VA_ARGS__, NULL }

static const struct config_key keys[] = {
	{ "pgweir", "listen", NO_SCOPE_NAME, KEY_LISTENS, "127.0.0.1:6432", NO_BOUNDS, RELOADS, FIELD(listens), NULL,
	  "where clients connect: address:port, [IPv6]:port, *:port (all of IPv4) or unix:/path/.s.PGSQL.port; may be repeated" },
	{ "pgweir", "pool_mode", "pool_mode", KEY_WORD, "transaction", NO_BOUNDS, RELOADS, SHARED(pool_mode), pool_modes,
	  "how long a client keeps a server connection" },
	{ "pgweir", "session_state", "session_state", KEY_WORD, "track", NO_BOUNDS, RELOADS, SHARED(session_state),
	  WORDS("track", "pin", "warn", "error", "isolate", "allow"), "what happens in transaction mode to session state that can't follow the client" },
	{ "pgweir", "begin", "begin", KEY_WORD, "deferred", NO_BOUNDS, RELOADS, SHARED(begin), WORDS("sent", "deferred"),
	  "deferred: in transaction mode a plain BEGIN takes no server connection, and is sent with the transaction's first statement" },
	{ "pgweir", "refuse", "refuse", KEY_WORDS, "", NO_BOUNDS, RELOADS, SHARED(forbidden), forbidden,
	  "statements that are refused (42501) if their SQL shows them; empty: none" },
	{ "pgweir", "harmless_code", "harmless_code", KEY_CODE, "", NO_BOUNDS, RELOADS, OF_DATABASE(harmless_code), NULL,
	  "code that leaves nothing behind in a server connection: extension NAME, language NAME, function SCHEMA.NAME, schema NAME; several, separated by commas" },
	{ "pgweir", "max_client_connections", NO_SCOPE_NAME, KEY_COUNT, "1000", 1, 1000000, "connections", RELOADS,
	  FIELD(max_client_connections), NULL, "clients at a time; further ones are refused with 53300" },
	{ "pgweir", "max_server_connections", NO_SCOPE_NAME, KEY_COUNT, "0", 0, 1000000, "connections", RELOADS,
	  FIELD(max_server_connections), NULL,
	  "server connections of all pools together; 0: only the pools' own limits" },
	{ "pgweir", "listen_backlog", NO_SCOPE_NAME, KEY_COUNT, "1024", 1, 65535, "connections", FIXED,
	  FIELD(listen_backlog), NULL, "the kernel's queue of connections not yet accepted" },
	{ "pgweir", "pid_file", NO_SCOPE_NAME, KEY_PATH, "", NO_BOUNDS, FIXED, FIELD(pid_file), NULL,
	  "the file for the process ID; empty: none" },
	{ "pgweir", "resolv_conf", NO_SCOPE_NAME, KEY_PATH, "", NO_BOUNDS, RELOADS, FIELD(resolv_conf), NULL,
	  "the file that names the name servers; empty: /etc/resolv.conf" },
	{ "pgweir", "unix_socket_mode", NO_SCOPE_NAME, KEY_TEXT, "0777", NO_BOUNDS, FIXED, FIELD(unix_socket_mode), NULL,
	  "permissions of Unix sockets, in octal" },
	{ "pgweir", "unix_socket_group", NO_SCOPE_NAME, KEY_TEXT, "", NO_BOUNDS, FIXED, FIELD(unix_socket_group), NULL,
	  "their group; empty: that of the process" },
	{ "pgweir", "run_as", NO_SCOPE_NAME, KEY_TEXT, "", NO_BOUNDS, FIXED, FIELD(run_as), NULL,
	  "the system user to become if started as root; empty: stays root, with a warning" },
	{ "pgweir", "handshake_threads", NO_SCOPE_NAME, KEY_COUNT, "2", 1, 64, "threads", FIXED, FIELD(handshake_threads), NULL,
	  "threads for TLS handshakes and keys from passwords" },
	{ "pgweir", "workers", NO_SCOPE_NAME, KEY_COUNT, "1", 1, CONFIG_WORKERS_MAX, "event loops", FIXED, FIELD(workers), WORDS("auto"),
	  "event loops, each on a thread; auto: one for each processor" },
	{ "pgweir", "compat", NO_SCOPE_NAME, KEY_WORD, "none", NO_BOUNDS, RELOADS, FIELD(compat), WORDS("none", "pgbouncer", "pgbouncer_1_25", "pgbouncer_next"),
	  "pgbouncer: errors and log lines in PgBouncer's words, and its ways; pgbouncer_1_25: the older ones of 1.25; pgbouncer_next: as pgbouncer" },
	{ "pgweir", "ignore_startup_parameters", NO_SCOPE_NAME, KEY_NAMES, "", NO_BOUNDS, RELOADS,
	  FIELD(ignored_startup_parameters), NULL,
	  "startup settings of clients that are not passed on, such as extra_float_digits; options: all in options, as in PgBouncer" },
	{ "pgweir", "track_extra_parameters", NO_SCOPE_NAME, KEY_NAMES, "IntervalStyle", NO_BOUNDS, RELOADS,
	  FIELD(track_extra_parameters), NULL,
	  "with options among those: what is passed on all the same, beside application_name, client_encoding, DateStyle, standard_conforming_strings and TimeZone" },
	{ "pgweir", "tenants", NO_SCOPE_NAME, KEY_NAMES, "", NO_BOUNDS, RELOADS, FIELD(tenant_sources), NULL,
	  "where clients name their tenant: user (name.tenant), options (reference=tenant), sni; empty: nowhere" },
	{ "pgweir", "tenant_domain", NO_SCOPE_NAME, KEY_TEXT, "", NO_BOUNDS, RELOADS, FIELD(tenant_domain), NULL,
	  "for sni: server names are TENANT.tenant_domain; empty: the first part of any server name is the tenant" },
	{ "pgweir", "proxy_protocol", NO_SCOPE_NAME, KEY_NAMES, "", NO_BOUNDS, RELOADS, FIELD(proxy_protocol), NULL,
	  "networks of load balancers that send PROXY protocol headers, and unix; empty: none" },
	{ "pgweir", "application_name_add_host", NO_SCOPE_NAME, KEY_SWITCH, "off", NO_BOUNDS, RELOADS,
	  FIELD(application_name_add_host), NULL, "adds the client's address and port to its application_name at login" },
	{ "pgweir", "login_notify_message", NO_SCOPE_NAME, KEY_TEXT, "", NO_BOUNDS, RELOADS, FIELD(login_notify_message), NULL,
	  "a NOTICE for each client at login; empty: none" },
	{ "pgweir", "zone", NO_SCOPE_NAME, KEY_TEXT, "", NO_BOUNDS, RELOADS, FIELD(zone), NULL,
	  "this process's zone: reads prefer standbys that zones= in upstream has there; empty: none" },
	{ "pgweir", "peer_id", NO_SCOPE_NAME, KEY_COUNT, "0", 0, 65535, "", FIXED, FIELD(peer_id), NULL,
	  "this process's number among those that share its port; 0: it has no peers" },
	{ "pgweir", "peers", NO_SCOPE_NAME, KEY_TEXT, "", NO_BOUNDS, RELOADS, FIELD(peers), NULL,
	  "the others, as peer_id=host:port, separated by commas: cancel requests for their clients are passed on" },

	{ "pool", "pool_size", "pool_size", KEY_COUNT, "20", 1, 100000, "connections", RELOADS, SHARED(pool_size), NULL,
	  "server connections kept open for each pair of database and user" },
	{ "pool", "max_overflow", "max_overflow", KEY_COUNT, "10", 0, 100000, "connections", RELOADS,
	  SHARED(max_overflow), NULL, "further connections under load: a pool never has more than pool_size + max_overflow" },
	{ "pool", "overflow_delay", "overflow_delay", KEY_TIME, "0s", 0, 1 * D, "", RELOADS, SHARED(overflow_delay_us), NULL,
	  "overflow connections are opened for clients that have waited this long; 0s: at once" },
	{ "pool", "overflow_linger", "overflow_linger", KEY_TIME, "10s", 0, 1 * D, "", RELOADS, SHARED(overflow_linger_us),
	  NULL, "how long an overflow connection stays idle before it is closed" },
	{ "pool", "max_pipeline", "max_pipeline", KEY_COUNT, "2", 1, 8, "requests", RELOADS, SHARED(max_pipeline), NULL,
	  "in transaction mode, reads of clients that wait are sent behind what runs, up to this many requests at a time on a connection; 1: none" },
	{ "pool", "max_pipeline_wait", "max_pipeline_wait", KEY_TIME, "5ms", 0, 1 * MIN, "", RELOADS, SHARED(max_pipeline_wait_us), NULL,
	  "with max_pipeline, reads are sent only behind statements that take no longer" },
	{ "pool", "pool_timeout", "pool_timeout", KEY_TIME, "30s", 0, 1 * D, "", RELOADS, SHARED(pool_timeout_us), NULL,
	  "how long a client waits for a server connection before it gets an error; 0s: forever" },
	{ "pool", "on_outage", "on_outage", KEY_WORD, "fail", NO_BOUNDS, RELOADS, SHARED(on_outage), WORDS("fail", "wait", "hold"),
	  "while PostgreSQL can't be reached, fail refuses requests at once, wait lets them wait for pool_timeout, hold for outage_hold, and resends what was not executed" },
	{ "pool", "outage_hold", "outage_hold", KEY_TIME, "10s", 0, 1 * D, "", RELOADS, SHARED(outage_hold_us), NULL,
	  "how long requests wait with on_outage = hold; 0s: forever" },
	{ "pool", "reads", "reads", KEY_WORD, "primary", NO_BOUNDS, RELOADS, SHARED(reads), WORDS("primary", "prefer_standby", "marked"),
	  "prefer_standby sends requests to standbys; marked sends only READ ONLY transactions, to standbys that show what the client has seen" },
	{ "pool", "reads_max_lag", "reads_max_lag", KEY_TIME, "10s", 1 * MS, 1 * D, "", RELOADS, SHARED(reads_max_lag_us), NULL,
	  "standbys that are further behind are not used" },
	{ "pool", "reads_wait", "reads_wait", KEY_TIME, "10ms", 0, 1 * H, "", RELOADS, SHARED(reads_wait_us), NULL,
	  "with reads = marked, how long a standby may take to catch up before the primary answers" },
	{ "pool", "wait_notify", NO_SCOPE_NAME, KEY_TIME, "0s", 0, 1 * D, "", RELOADS, FIELD(wait_notify_us), NULL,
	  "a client that has waited this long for a server connection gets a NOTICE; 0s: never" },
	{ "pool", "server_fast_close", NO_SCOPE_NAME, KEY_SWITCH, "off", NO_BOUNDS, RELOADS, FIELD(server_fast_close), NULL,
	  "on: RECONNECT, and a reload that changes how to connect, disconnect pinned clients between transactions" },
	{ "pool", "pool_recycle", "pool_recycle", KEY_TIME, "1h", 0, 365 * D, "", RELOADS, SHARED(pool_recycle_us), NULL,
	  "server connections older than this (+-10 %) are closed when idle; 0s: never" },
	{ "pool", "pool_pre_ping", "pool_pre_ping", KEY_SWITCH, "on", NO_BOUNDS, RELOADS, SHARED(pool_pre_ping), NULL,
	  "an idle server connection is tested before it is lent" },
	{ "pool", "pool_pre_ping_idle", "pool_pre_ping_idle", KEY_TIME, "5s", 0, 1 * D, "", RELOADS,
	  SHARED(pool_pre_ping_idle_us), NULL, "pool_pre_ping tests connections idle for longer than this; 0s: before each loan" },
	{ "pool", "ping_interval", "ping_interval", KEY_TIME, "30s", 0, 1 * D, "", RELOADS, SHARED(ping_interval_us), NULL,
	  "idle server connections are pinged this often; 0s: not at all" },
	{ "pool", "ping_query", NO_SCOPE_NAME, KEY_TEXT, "", NO_BOUNDS, RELOADS, FIELD(ping_query), NULL,
	  "SQL of each ping; it must qualify names and set nothing, since settings are the last client's, and then the next one's; an error closes the connection; empty: an empty query" },
	{ "pool", "pool_lifo", "pool_lifo", KEY_SWITCH, "on", NO_BOUNDS, RELOADS, SHARED(pool_lifo), NULL,
	  "on: the most recently used connection is lent; off: the one idle longest" },
	{ "pool", "min_idle", "min_idle", KEY_COUNT, "0", 0, 100000, "connections", RELOADS, SHARED(min_idle), NULL,
	  "idle server connections kept ready once the pool was used" },
	{ "pool", "idle_timeout", "idle_timeout", KEY_TIME, "10min", 0, 365 * D, "", RELOADS, SHARED(idle_timeout_us), NULL,
	  "server connections beyond min_idle that are idle for longer are closed; 0s: never" },
	{ "pool", "pool_idle_timeout", NO_SCOPE_NAME, KEY_TIME, "10min", 0, 365 * D, "", RELOADS, FIELD(pool_idle_timeout_us), NULL,
	  "a pool without clients and server connections is freed this long after its last use; 0s: never" },
	{ "pool", "prepared_statements", "prepared_statements", KEY_COUNT, "500", 0, 100000, "statements", RELOADS,
	  SHARED(prepared_statements), NULL, "prepared statements kept on each server connection; 0: they are passed through, for pool_mode = session" },
	{ "pool", "max_statement_size", "max_statement_size", KEY_SIZE, "1MiB", 1, 1 * GIB, "", RELOADS,
	  SHARED(max_statement_size), NULL, "prepared statements with longer SQL are passed through and not kept" },
	{ "pool", "prepared_statements_memory", NO_SCOPE_NAME, KEY_SIZE, "1GiB", 1 * KIB, 1024 * GIB, "", RELOADS,
	  FIELD(prepared_statements_memory), NULL,
	  "memory for all clients' prepared statements, of which one client may use a quarter; further ones are refused" },
	{ "pool", "prepared_statements_cache", NO_SCOPE_NAME, KEY_SIZE, "16MiB", 0, 1024 * GIB, "", RELOADS,
	  FIELD(prepared_statements_cache), NULL,
	  "memory for the SQL of prepared statements that no client has any more" },
	{ "pool", "statement_ignore_comments", "statement_ignore_comments", KEY_SWITCH, "off", NO_BOUNDS, RELOADS,
	  SHARED(statement_ignore_comments), NULL,
	  "on: prepared statements that differ only in a trailing /*key='value'*/ comment are one" },
	{ "pool", "keep_plans", "keep_plans", KEY_SWITCH, "off", NO_BOUNDS, RELOADS, SHARED(keep_plans), NULL,
	  "on: statements that clients prepare unnamed again and again are prepared once on each server connection" },
	{ "pool", "commit_check", "commit_check", KEY_SWITCH, "off", NO_BOUNDS, RELOADS, SHARED(commit_check), NULL,
	  "on: when the answer to a COMMIT is lost, PostgreSQL is asked what became of the transaction" },

	{ "timeouts", "connect_timeout", "connect_timeout", KEY_TIME, "5s", 1 * MS, 1 * H, "", RELOADS,
	  SHARED(connect_timeout_us), NULL, "the limit for connecting and logging in to each host of PostgreSQL" },
	{ "timeouts", "login_timeout", NO_SCOPE_NAME, KEY_TIME, "30s", 1 * MS, 1 * H, "", RELOADS, FIELD(login_timeout_us), NULL,
	  "the limit for a client's whole login" },
	{ "timeouts", "query_timeout", "query_timeout", KEY_TIME, "0s", 0, 365 * D, "", RELOADS, SHARED(query_timeout_us),
	  NULL, "a query that runs longer is cancelled (57014), and its client goes on; 0s: none" },
	{ "timeouts", "transaction_timeout", "transaction_timeout", KEY_TIME, "0s", 0, 365 * D, "", RELOADS,
	  SHARED(transaction_timeout_us), NULL, "a client whose transaction lasts longer is disconnected; 0s: none" },
	{ "timeouts", "idle_transaction_timeout", "idle_transaction_timeout", KEY_TIME, "0s", 0, 365 * D, "", RELOADS,
	  SHARED(idle_transaction_timeout_us), NULL,
	  "a client that is silent for longer in a transaction or request is disconnected; 0s: none" },
	{ "timeouts", "commit_check_timeout", "commit_check_timeout", KEY_TIME, "30s", 1 * MS, 1 * H, "", RELOADS,
	  SHARED(commit_check_timeout_us), NULL, "how long pgweir looks for a primary that knows before the client gets 08007" },
	{ "timeouts", "client_idle_timeout", "client_idle_timeout", KEY_TIME, "0s", 0, 365 * D, "", RELOADS,
	  SHARED(client_idle_timeout_us), NULL, "a client that is silent for longer outside of transactions is disconnected; 0s: none" },
	{ "timeouts", "shutdown_timeout", NO_SCOPE_NAME, KEY_TIME, "30s", 0, 1 * D, "", RELOADS, FIELD(shutdown_timeout_us),
	  NULL, "after SIGTERM transactions may finish for this long, then everything is closed" },
	{ "timeouts", "restart_timeout", NO_SCOPE_NAME, KEY_TIME, "10min", 0, 365 * D, "", RELOADS, FIELD(restart_timeout_us),
	  NULL, "how long the old process serves clients that can't move after a restart; 0s: until they leave" },
	{ "timeouts", "shutdown_delay", NO_SCOPE_NAME, KEY_TIME, "0s", 0, 1 * H, "", RELOADS, FIELD(shutdown_delay_us), NULL,
	  "after SIGTERM /readyz returns 503 for this long before the listeners close" },

	{ "tcp", "reuse_port", NO_SCOPE_NAME, KEY_SWITCH, "off", NO_BOUNDS, FIXED, FIELD(tcp_reuse_port), NULL,
	  "on: several processes may listen on one port (SO_REUSEPORT)" },
	{ "tcp", "defer_accept", NO_SCOPE_NAME, KEY_TIME, "1s", 0, 1 * H, "", FIXED, FIELD(tcp_defer_accept_us), NULL,
	  "how long, in whole seconds, a connection waits for its first bytes before it is accepted (TCP_DEFER_ACCEPT); 0s: not at all" },
	{ "tcp", "keepalive", NO_SCOPE_NAME, KEY_SWITCH, "on", NO_BOUNDS, FIXED, FIELD(tcp_keepalive), NULL,
	  "TCP keepalive on the connections of clients and servers" },
	{ "tcp", "keepalive_idle", NO_SCOPE_NAME, KEY_TIME, "0s", 0, 1 * H, "", FIXED, FIELD(tcp_keepalive_idle_us), NULL,
	  "idle time before the first probe (TCP_KEEPIDLE); 0s, here and below: the system's default" },
	{ "tcp", "keepalive_interval", NO_SCOPE_NAME, KEY_TIME, "0s", 0, 1 * H, "", FIXED, FIELD(tcp_keepalive_interval_us), NULL,
	  "time between probes (TCP_KEEPINTVL)" },
	{ "tcp", "keepalive_count", NO_SCOPE_NAME, KEY_COUNT, "0", 0, 127, "probes", FIXED, FIELD(tcp_keepalive_count), NULL,
	  "unanswered probes before the connection is closed (TCP_KEEPCNT); 0: the system's default" },
	{ "tcp", "user_timeout", NO_SCOPE_NAME, KEY_TIME, "0s", 0, 1 * D, "", FIXED, FIELD(tcp_user_timeout_us), NULL,
	  "how long sent data may stay unacknowledged (TCP_USER_TIMEOUT)" },

	{ "auth", "method", NO_SCOPE_NAME, KEY_WORD, "scram-sha-256", NO_BOUNDS, RELOADS, FIELD(auth_method), auth_methods,
	  "how clients authenticate; trust only on loopback and Unix sockets" },
	{ "auth", "users_file", NO_SCOPE_NAME, KEY_PATH, "/etc/pgweir/users.txt", NO_BOUNDS, RELOADS, FIELD(users_file), NULL,
	  "names and secrets, as in PgBouncer's userlist.txt" },
	{ "auth", "hba_file", NO_SCOPE_NAME, KEY_PATH, "", NO_BOUNDS, RELOADS, FIELD(hba_file), NULL,
	  "rules for method = hba, as in pg_hba.conf" },
	{ "auth", "ident_file", NO_SCOPE_NAME, KEY_PATH, "", NO_BOUNDS, RELOADS, FIELD(ident_file), NULL,
	  "maps of user names for hba_file, as in pg_ident.conf" },
	AUTH_MODULES(AUTH_SETTING)
	{ "auth", "external_timeout", NO_SCOPE_NAME, KEY_TIME, "10s", 1 * MS, 1 * H, "", RELOADS, FIELD(external_timeout_us), NULL,
	  "how long a login waits for an LDAP server, PAM or GSSAPI before it is refused" },
	{ "auth", "auth_query", "auth_query", KEY_TEXT, "off", NO_BOUNDS, RELOADS, OF_DATABASE(auth_query), NULL,
	  "asks PostgreSQL for the secrets of users that are not in users_file: off, builtin or SQL with $1" },
	{ "auth", "auth_user", "auth_user", KEY_TEXT, "", NO_BOUNDS, RELOADS, OF_DATABASE(auth_user), NULL,
	  "the user that runs auth_query; its password, plain or md5, is in users_file" },
	{ "auth", "auth_database", "auth_database", KEY_TEXT, "", NO_BOUNDS, RELOADS, OF_DATABASE(auth_database), NULL,
	  "PostgreSQL's database in which auth_query runs; empty: the one that the client asks for" },
	{ "auth", "auth_query_ttl", NO_SCOPE_NAME, KEY_TIME, "10s", 0, 1 * D, "", RELOADS, FIELD(auth_query_ttl_us), NULL,
	  "how long an answer of auth_query is reused; 0s: not at all" },
	{ "auth", "password_command", "password_command", KEY_SECRET, "", NO_BOUNDS, RELOADS, SHARED(password_command), NULL,
	  "a shell command that prints the password for PostgreSQL, with PGHOST, PGPORT, PGUSER and PGDATABASE set" },
	{ "auth", "password_lifetime", "password_lifetime", KEY_TIME, "10min", 1 * S, 30 * D, "", RELOADS,
	  SHARED(password_lifetime_us), NULL, "how long a password of password_command is used; it is fetched anew shortly before" },
	{ "auth", "gss_accept_delegation", "gss_accept_delegation", KEY_WORD, "off", NO_BOUNDS, RELOADS, OF_DATABASE(delegation),
	  WORDS("off", "on"),
	  "logs in to PostgreSQL by the tickets that its clients delegate, and by nothing else; a pool is then one principal's" },
	{ "auth", "scram_iterations", NO_SCOPE_NAME, KEY_COUNT, "4096", 4096, 1000000, "iterations", RELOADS,
	  FIELD(scram_iterations), NULL, "iterations of SCRAM secrets made from plain passwords" },
	{ "auth", "admin_users", NO_SCOPE_NAME, KEY_NAMES, "", NO_BOUNDS, RELOADS, FIELD(admin_users), NULL,
	  "users who may use all console commands, separated by commas" },
	{ "auth", "stats_users", NO_SCOPE_NAME, KEY_NAMES, "", NO_BOUNDS, RELOADS, FIELD(stats_users), NULL,
	  "users who may only use SHOW in the console, separated by commas" },

	{ "tls_client", "mode", NO_SCOPE_NAME, KEY_WORD, "prefer", NO_BOUNDS, RELOADS, FIELD(tls_mode), tls_modes,
	  "TLS with clients; verify-full: the client's certificate must name the user; prefer means off without a certificate" },
	{ "tls_client", "certificate_file", NO_SCOPE_NAME, KEY_PATHS, "", NO_BOUNDS, RELOADS, FIELD(tls_certificate_file), NULL,
	  "pgweir's certificate with its chain, PEM; of several, separated by commas, the client's SNI chooses" },
	{ "tls_client", "key_file", NO_SCOPE_NAME, KEY_PATHS, "", NO_BOUNDS, RELOADS, FIELD(tls_key_file), NULL,
	  "its private key, PEM; one for each certificate" },
	{ "tls_client", "ca_file", NO_SCOPE_NAME, KEY_PATH, "", NO_BOUNDS, RELOADS, FIELD(tls_ca_file), NULL,
	  "the certificate authorities of client certificates, PEM" },
	{ "tls_client", "crl_file", NO_SCOPE_NAME, KEY_PATH, "", NO_BOUNDS, RELOADS, FIELD(tls_crl_file), NULL,
	  "revocation lists for client certificates, PEM" },
	{ "tls_client", "min_version", NO_SCOPE_NAME, KEY_WORD_TEXT, "1.2", NO_BOUNDS, RELOADS, FIELD(tls_min_version),
	  WORDS("1.2", "1.3"), "older versions of TLS are refused" },
	{ "tls_client", "ciphers", NO_SCOPE_NAME, KEY_TEXT, "HIGH:!aNULL:!MD5:!3DES:!kRSA", NO_BOUNDS, RELOADS,
	  FIELD(tls_ciphers), NULL, "ciphers for TLS 1.2, in OpenSSL's syntax" },
	{ "tls_client", "tls13_ciphers", NO_SCOPE_NAME, KEY_TEXT, "", NO_BOUNDS, RELOADS, FIELD(tls13_ciphers), NULL,
	  "cipher suites for TLS 1.3, separated by colons; empty: OpenSSL's own choice" },

	{ "tls_server", "mode", "server_tls_mode", KEY_WORD, "prefer", NO_BOUNDS, RELOADS, OF_DATABASE(server_tls_mode),
	  tls_modes, "TLS with PostgreSQL; sslmode, sslcert and so on in upstream take precedence" },
	{ "tls_server", "ca_file", "server_tls_ca_file", KEY_PATH, "system", NO_BOUNDS, RELOADS,
	  OF_DATABASE(server_tls_ca_file), WORDS("system"), "the certificate authorities of PostgreSQL's certificate, PEM" },
	{ "tls_server", "certificate_file", "server_tls_certificate_file", KEY_PATH, "", NO_BOUNDS, RELOADS,
	  OF_DATABASE(server_tls_certificate_file), NULL, "the certificate that pgweir presents to PostgreSQL, PEM" },
	{ "tls_server", "key_file", "server_tls_key_file", KEY_PATH, "", NO_BOUNDS, RELOADS, OF_DATABASE(server_tls_key_file),
	  NULL, "its private key, PEM" },
	{ "tls_server", "min_version", "server_tls_min_version", KEY_WORD_TEXT, "1.2", NO_BOUNDS, RELOADS,
	  OF_DATABASE(server_tls_min_version), WORDS("1.2", "1.3"), "older versions of TLS are not used with PostgreSQL" },
	{ "tls_server", "negotiation", "server_tls_negotiation", KEY_WORD_TEXT, "postgres", NO_BOUNDS, RELOADS,
	  OF_DATABASE(server_tls_negotiation), WORDS("postgres", "direct"),
	  "direct: TLS from the first byte (PostgreSQL 17)" },

	{ "limits", "max_db_client_connections", "max_db_client_connections", KEY_COUNT, "0", 0, 1000000, "connections",
	  RELOADS, OF_DATABASE(max_db_client_connections), NULL, "clients of each database, or tenant; 0: no limit" },
	{ "limits", "max_user_client_connections", "max_user_client_connections", KEY_COUNT, "0", 0, 1000000,
	  "connections", RELOADS, OF_USER(max_user_client_connections), NULL, "clients of each user; 0: no limit" },
	{ "limits", "max_db_connections", "max_db_connections", KEY_COUNT, "0", 0, 1000000, "connections", RELOADS,
	  OF_DATABASE(max_db_connections), NULL,
	  "server connections of each database, or tenant, in all its pools; 0: no limit" },
	{ "limits", "max_user_connections", "max_user_connections", KEY_COUNT, "0", 0, 1000000, "connections", RELOADS,
	  OF_USER(max_user_connections), NULL, "server connections of each user, in all its pools; 0: no limit" },
	{ "limits", "budget", "budget", KEY_WORD, "off", NO_BOUNDS, RELOADS, OF_DATABASE(budget), WORDS("off", "advise", "on"),
	  "a common limit of all pgweir processes before one PostgreSQL; advise: only reports what it would do" },
	{ "limits", "budget_connections", "budget_connections", KEY_COUNT, "auto", 4, 1000000, "connections", RELOADS,
	  OF_DATABASE(budget_connections), WORDS("auto"),
	  "that limit; auto: PostgreSQL's max_connections, less what is reserved there, and a tenth" },
	{ "limits", "budget_users", "budget_users", KEY_TEXT, "", NO_BOUNDS, RELOADS, OF_DATABASE(budget_users), NULL,
	  "whose connections count; empty: everybody's but superusers'. The same for all processes" },
	{ "limits", "budget_database", "budget_database", KEY_TEXT, "postgres", NO_BOUNDS, RELOADS,
	  OF_DATABASE(budget_database), NULL, "the database in which the processes meet. The same for all processes" },
	{ "limits", "cluster_user", "cluster_user", KEY_TEXT, "", NO_BOUNDS, RELOADS, OF_DATABASE(cluster_user), NULL,
	  "the role of pgweir's own connections for budget and reads, which nothing else uses; empty: the user in upstream, else auth_user. The same for all processes" },
	{ "limits", "share_weight", "share_weight", KEY_COUNT, "1", 1, 1000, "parts", RELOADS, SHARED(share_weight), NULL,
	  "under a common limit, a pool of weight 2 gets twice as many connections as one of weight 1" },
	{ "limits", "share_min", "share_min", KEY_COUNT, "0", 0, 100000, "connections", RELOADS, SHARED(share_min), NULL,
	  "connections under a common limit that a pool gets before anything is shared" },
	{ "limits", "max_address_client_connections", NO_SCOPE_NAME, KEY_COUNT, "0", 0, 1000000, "connections", RELOADS,
	  FIELD(max_address_client_connections), NULL, "connections from each address, logging in or logged in; 0: no limit" },
	{ "limits", "db_login_rate", "db_login_rate", KEY_COUNT, "0", 0, 1000000, "logins", RELOADS, OF_DATABASE(db_login_rate),
	  NULL, "logins per second to each database, or tenant; 0: no limit" },
	{ "limits", "user_login_rate", "user_login_rate", KEY_COUNT, "0", 0, 1000000, "logins", RELOADS,
	  OF_USER(user_login_rate), NULL, "logins per second of each user; 0: no limit" },
	{ "limits", "address_login_rate", NO_SCOPE_NAME, KEY_COUNT, "0", 0, 1000000, "logins", RELOADS,
	  FIELD(address_login_rate), NULL, "logins per second from each address; 0: no limit" },
	{ "limits", "max_memory", NO_SCOPE_NAME, KEY_SIZE, "0B", 0, 1024 * GIB, "", RELOADS, FIELD(max_memory), NULL,
	  "memory of the process; when nearly all is used, new clients are refused; 0B: no limit" },
	{ "limits", "exempt_addresses", NO_SCOPE_NAME, KEY_NAMES, "", NO_BOUNDS, RELOADS, FIELD(exempt_addresses), NULL,
	  "addresses and networks to which no limit on addresses applies, such as a NAT gateway" },
	{ "limits", "login_failure_delay", NO_SCOPE_NAME, KEY_TIME, "100ms", 0, 1 * H, "", RELOADS,
	  FIELD(login_failure_delay_us), NULL,
	  "the delay of the answer to a wrong password; it doubles with each further one from the same address" },
	{ "limits", "login_failure_delay_max", NO_SCOPE_NAME, KEY_TIME, "5s", 0, 1 * H, "", RELOADS,
	  FIELD(login_failure_delay_max_us), NULL, "the longest such delay" },

	{ "log", "destination", NO_SCOPE_NAME, KEY_PATH, "stderr", NO_BOUNDS, RELOADS, FIELD(log_destination), WORDS("stderr", "syslog"),
	  "where the log goes; SIGHUP reopens a file" },
	{ "log", "format", NO_SCOPE_NAME, KEY_WORD, "text", NO_BOUNDS, RELOADS, FIELD(log_format), WORDS("text", "json", "pgbouncer"),
	  "the format of a line; pgbouncer: PgBouncer's, in its words" },
	{ "log", "level", NO_SCOPE_NAME, KEY_WORD, "info", NO_BOUNDS, RELOADS, FIELD(log_level), WORDS("error", "warning", "info", "debug"),
	  "messages of this level and above are written" },
	{ "log", "connections", NO_SCOPE_NAME, KEY_SWITCH, "off", NO_BOUNDS, RELOADS, FIELD(log_connections), NULL,
	  "a line for each login and disconnect; off: only for clients that pgweir disconnects" },
	{ "log", "stats_interval", NO_SCOPE_NAME, KEY_TIME, "0s", 0, 1 * D, "", RELOADS, FIELD(log_stats_interval_us), NULL,
	  "how often a line reports the traffic per second; 0s: never" },
	{ "log", "long_transaction", NO_SCOPE_NAME, KEY_TIME, "5min", 0, 365 * D, "", RELOADS, FIELD(log_long_transaction_us),
	  NULL, "a line for a transaction that has been open for this long; 0s: none" },
	{ "log", "idle_transaction", NO_SCOPE_NAME, KEY_TIME, "1min", 0, 365 * D, "", RELOADS, FIELD(log_idle_transaction_us),
	  NULL, "a line for a client that has been silent inside a transaction for this long; 0s: none" },

	{ "slow_query", "threshold", "slow_query_threshold", KEY_TIME, "100ms", 0, 365 * D, "", RELOADS,
	  SHARED(slow_query_threshold_us), off, "requests that take longer are logged; 0ms: all; off: none" },
	MODULE_SETTINGS(MODULE_SETTING)
	{ "slow_query", "text", NO_SCOPE_NAME, KEY_WORD, "normalized", NO_BOUNDS, RELOADS, FIELD(slow_text), WORDS("normalized", "full", "none"),
	  "how the SQL is logged: without its literals, as it is, or not at all" },
	{ "slow_query", "parameters", NO_SCOPE_NAME, KEY_SWITCH, "off", NO_BOUNDS, RELOADS, FIELD(slow_parameters), NULL,
	  "logs the values bound to $1, $2, ..." },
	{ "slow_query", "sample_threshold", NO_SCOPE_NAME, KEY_TIME, "off", 0, 365 * D, "", RELOADS,
	  FIELD(slow_sample_threshold_us), off, "requests between this and threshold are sampled; off: none" },
	{ "slow_query", "sample_rate", NO_SCOPE_NAME, KEY_FRACTION, "0.01", NO_BOUNDS, RELOADS, FIELD(slow_sample_rate), NULL,
	  "the share of sampled requests that is logged; 1: all" },
	{ "slow_query", "query_stats", NO_SCOPE_NAME, KEY_WORD, "sampled", NO_BOUNDS, RELOADS, FIELD(slow_query_stats),
	  WORDS("off", "sampled", "on"), "what SHOW QUERIES counts: nothing (off), all (on), or the slow ones, 200 others a second and one in 64 beyond (sampled)" },
	{ "slow_query", "table_size", NO_SCOPE_NAME, KEY_COUNT, "1000", 0, 100000, "statements", RELOADS,
	  FIELD(slow_table_size), NULL, "how many statements are remembered for SHOW QUERIES" },

	{ "http", "listen", NO_SCOPE_NAME, KEY_HTTP_LISTEN, "127.0.0.1:9930", NO_BOUNDS, FIXED, FIELD(http_listen), off,
	  "where " HTTP_MODULES(HTTP_MODULE_WORDS) "/metrics, /healthz and /readyz are served; off: nowhere" },
	{ "http", "auth_file", NO_SCOPE_NAME, KEY_PATH, "", NO_BOUNDS, FIXED, FIELD(http_auth_file), NULL,
	  "who may see pages with SQL, as in users_file; needed beyond loopback" },
	{ "http", "tls_cert_file", NO_SCOPE_NAME, KEY_PATH, "", NO_BOUNDS, RELOADS, FIELD(http_tls_cert_file), NULL,
	  "a certificate, PEM: with it and its key, TLS (HTTPS) alone is spoken on listen" },
	{ "http", "tls_key_file", NO_SCOPE_NAME, KEY_PATH, "", NO_BOUNDS, RELOADS, FIELD(http_tls_key_file), NULL,
	  "the private key of tls_cert_file" },
	{ "http", "tls_client_ca_file", NO_SCOPE_NAME, KEY_PATH, "", NO_BOUNDS, RELOADS, FIELD(http_tls_client_ca_file), NULL,
	  "authorities of clients' certificates: who has none of them is refused" },
	{ "http", "metrics_max_pools", NO_SCOPE_NAME, KEY_COUNT, "200", 0, 100000, "pools", RELOADS,
	  FIELD(http_metrics_max_pools), NULL, "pools with metrics of their own; the others are summed up as _other" },
	{ "http", "user_histograms", NO_SCOPE_NAME, KEY_SWITCH, "off", NO_BOUNDS, RELOADS, FIELD(http_user_histograms), NULL,
	  "histograms per user, too, not only per database" },
};
/* clang-format on */

enum { KEY_ROWS = sizeof(keys) / sizeof(keys[0]) };
static_assert(KEY_ROWS <= CONFIG_KEYS_MAX, "CONFIG_KEYS_MAX is too small");

const struct config_key *
config_key_at(size_t i)
{
	return i < KEY_ROWS ? &keys[i] : NULL;
}

size_t
config_key_row(const struct config_key *key)
{
	return (size_t)(key - keys);
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
config_next_log(size_t *row)
{
	while (*row < KEY_ROWS) {
		const struct config_key *key = &keys[(*row)++];

		if (key->type == KEY_PATH && key->words != NULL && strcmp(key->words[0], "stderr") == 0)
			return key;
	}
	return NULL;
}

const char *
key_path(const struct config_key *key, const struct config *config)
{
	return *(char *const *)((const char *)config + key->offset);
}

/* max_client_connections and max_server_connections may stand in [limits], beside the other limits. */
static bool
is_also_in(const struct config_key *key, const char *section)
{
	return strcmp(section, "limits") == 0 && strcmp(key->section, "pgweir") == 0 &&
	       strncmp(key->name, "max_", 4) == 0;
}

const struct config_key *
config_key_find(const char *section, const char *name)
{
	for (size_t row = 0; row < KEY_ROWS; row++)
		if ((strcmp(keys[row].section, section) == 0 || is_also_in(&keys[row], section)) &&
		    strcmp(keys[row].name, name) == 0)
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
