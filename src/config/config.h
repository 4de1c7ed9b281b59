/*
 * src/config/config.h - the configuration: an immutable, reference-counted value.
 *
 * load_config() (load/load.h) makes a config from a file. A reload makes a new config. The old one lives until its last
 * holder has called config_unref().
 *
 * The table in config_keys.c has the keys of all settings, with defaults, units, bounds and help. The help explains
 * fields that have no comment here.
 *
 * Owns:   all its texts and upstreams; when the last reference goes, texts of settings and all passwords are wiped.
 * Always: a config that load_config() has returned is complete, has no value out of bounds, and never changes. Fields
 *         whose names end in _us are times in microseconds.
 */
#pragma once

#include "base/fail.h"
#include "config/upstream.h"
#include "log/log.h"
#include "modules/modules.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_NAME_MAX 63 /* bytes of a database or user name, as PostgreSQL's NAMEDATALEN - 1 */
#define CONFIG_DATABASE_MAX (2 * CONFIG_NAME_MAX + 1) /* bytes of "tenant/database", and of "user.tenant" */
#define CONFIG_COUNT_AUTO 0 /* stands for the word "auto": pgweir computes the number */
#define CONFIG_WORKERS_MAX 16
#define CONFIG_TIME_OFF UINT64_MAX /* stands for the word "off", as in slow_query_threshold */

enum pool_mode { POOL_MODE_SESSION, POOL_MODE_TRANSACTION, POOL_MODE_STATEMENT };
/* The values of the setting compat; other files ask compat_does() instead of comparing values. */
enum config_compat { COMPAT_NONE, COMPAT_PGBOUNCER, COMPAT_PGBOUNCER_1_25, COMPAT_PGBOUNCER_NEXT };
enum session_state_mode { SESSION_TRACK, SESSION_PIN, SESSION_WARN, SESSION_ERROR, SESSION_ISOLATE, SESSION_ALLOW };
enum auth_method {
	AUTH_SCRAM_SHA_256,
	AUTH_MD5,
	AUTH_CERT,
	AUTH_TRUST,
	AUTH_HBA,
	AUTH_PASSWORD, /* the client sends its password in clear text */
	AUTH_MODULES_FIRST, /* the first method of auth_modules[]; the others follow in order */
	AUTH_PEER = AUTH_MODULES_FIRST + AUTH_MODULE_COUNT /* in an HBA file only */
};
/* Returns true if a module asks another service, such as LDAP, to check the client's password or ticket
 * (auth/auth_module.h). */
static inline bool
config_is_external(enum auth_method method)
{
	return method > AUTH_PASSWORD && method != AUTH_PEER;
}
enum query_stats { QUERY_STATS_OFF, QUERY_STATS_SAMPLED, QUERY_STATS_ON };
enum slow_text { SLOW_TEXT_NORMALIZED, SLOW_TEXT_FULL, SLOW_TEXT_NONE };
/* The values are in order of strictness. TLS_ALLOW means the same as TLS_PREFER; PgBouncer and libpq have both. */
enum tls_mode { TLS_OFF, TLS_ALLOW, TLS_PREFER, TLS_REQUIRE, TLS_VERIFY_CA, TLS_VERIFY_FULL };

enum budget_mode { BUDGET_OFF, BUDGET_ADVISE, BUDGET_ON };
enum delegation_mode { DELEGATION_OFF, DELEGATION_ON };
enum begin_mode { BEGIN_SENT, BEGIN_DEFERRED };
enum reads_mode { READS_PRIMARY, READS_PREFER_STANDBY, READS_MARKED };

/* Settings that have a default, and that a database or a user may set, too. The user's value takes precedence over the
 * database's. */
struct scope_settings {
	enum pool_mode pool_mode;
	enum session_state_mode session_state;
	enum begin_mode begin; /* when a client's BEGIN is sent: at once, or with the next statement (relay/begin.h) */
	/* the setting `refuse`: the statements to refuse, as a set of FORBIDDEN_BIT() (sql/forbidden.h) */
	uint32_t forbidden;
	uint32_t pool_size, max_overflow, min_idle; /* numbers of server connections */
	uint32_t max_pipeline; /* the most requests at once on a server connection (pipeline/pipeline.h); 1 if off */
	uint64_t max_pipeline_wait_us;
	uint64_t overflow_delay_us, overflow_linger_us, pool_timeout_us, pool_recycle_us;
	enum outage_mode on_outage;
	uint64_t outage_hold_us; /* 0 means forever */
	enum reads_mode reads; /* which requests go to standbys (pool/cluster.h) */
	uint64_t reads_max_lag_us, reads_wait_us;
	bool pool_pre_ping, pool_lifo;
	uint64_t pool_pre_ping_idle_us, ping_interval_us, idle_timeout_us;
	uint32_t prepared_statements; /* the most on one server connection; 0 if statements are passed through */
	size_t max_statement_size; /* bytes */
	bool statement_ignore_comments, keep_plans;
	bool commit_check; /* if the answer to a COMMIT was lost, asks PostgreSQL how the COMMIT ended */
	uint64_t commit_check_timeout_us;
	uint64_t connect_timeout_us, query_timeout_us, transaction_timeout_us, idle_transaction_timeout_us;
	uint64_t client_idle_timeout_us; /* 0 if there is none */
	uint64_t slow_query_threshold_us; /* CONFIG_TIME_OFF if no query is logged */
	/*
	 * Most settings from here on are only for databases; max_user_... and user_... are only for users.
	 *
	 * Strings belong to the config. A copy of the settings borrows them, so the owner of a copy also holds a
	 * reference to the config.
	 */
	uint32_t max_db_client_connections, max_user_client_connections; /* 0 if there is no limit */
	uint32_t max_db_connections, max_user_connections; /* server connections; 0 if there is no limit */
	enum budget_mode budget; /* one limit on the connections of several pgweir processes (dedicated/fleet.h) */
	uint32_t budget_connections; /* the limit; CONFIG_COUNT_AUTO to compute it from PostgreSQL's max_connections */
	char *budget_users, *budget_database, *cluster_user; /* budget_users: names separated by ", " */
	/* pools under one limit get share_min connections each; the rest is divided in proportion to share_weight */
	uint32_t share_weight, share_min;
	uint32_t db_login_rate, user_login_rate; /* logins per second; 0 if there is no limit */
	enum tls_mode server_tls_mode;
	char *server_tls_ca_file, *server_tls_certificate_file, *server_tls_key_file, *server_tls_negotiation,
	    *server_tls_min_version;
	/* a command that prints the password for PostgreSQL; users may set it, too. Empty if there is none. */
	char *password_command;
	uint64_t password_lifetime_us; /* how long a password of password_command is used */
	/* whether pgweir logs in to PostgreSQL with credentials that clients delegate (auth/delegation.h) */
	enum delegation_mode delegation;
	/* functions, schemas and so on whose code changes nothing in a session, according to the operator; see
	 * value_read_harmless_code() */
	char *harmless_code;
	/* auth_query is "off", "builtin", or SQL in which $1 stands for the user */
	char *auth_query, *auth_user, *auth_database;
};

/* A [database NAME], [tenant NAME] or [user NAME] section. */
struct config_scope {
	char name[CONFIG_NAME_MAX + 1]; /* "*" stands for any database or tenant that has no section */
	uint64_t set; /* bit i is 1 if this section sets the setting config_scope_key(i) */
	struct scope_settings settings; /* a field is valid only if its bit in `set` is 1 */
	struct upstream *upstream; /* NULL for users; owned by the config */
	struct scope_origin *origin; /* the lines of the file (config_origin.h); owned by the config */
};

/* An address to listen on. */
struct config_listen {
	char text[128]; /* as written in the file: "127.0.0.1:6432", "[::]:6432", "unix:/run/pgweir/.s.PGSQL.6432" */
	char host[112]; /* a numeric IPv4 or IPv6 address, or the path of a Unix socket */
	uint16_t port; /* 0 for a Unix socket */
};

static inline bool
config_listen_is_unix(const struct config_listen *listen)
{
	return listen->host[0] == '/';
}

struct config {
	/* Strings (char *) are never NULL, and are empty if not set. Lists (char **) end with NULL. */

	/* [pgweir] */
	struct config_listen *listens;
	size_t listen_count;
	uint32_t max_client_connections, max_server_connections, listen_backlog;
	char *pid_file;
	char *resolv_conf; /* /etc/resolv.conf if empty */
	char *unix_socket_mode, *unix_socket_group; /* the mode in octal digits; the group's name */
	char *run_as; /* the system user that pgweir becomes after root has started it */
	uint32_t handshake_threads;
	uint32_t workers; /* number of event loops; CONFIG_COUNT_AUTO for one per processor */
	enum config_compat compat;
	char **ignored_startup_parameters, **track_extra_parameters;
	char **tenant_sources; /* the places where a client may name its tenant: "user", "options", "sni" */
	/* networks ("10.0.0.0/8"), or "unix", from which connections begin with a PROXY header */
	char **proxy_protocol;
	bool application_name_add_host;
	char *login_notify_message; /* a NOTICE for each client at its login; none if empty */
	char *zone; /* the zone in which this process runs; empty if not known */
	uint32_t peer_id; /* this process's number among the processes that share its port; 0 if it has no peers */
	char *peers; /* the other processes: "2=10.0.0.7:6432, 3=[::1]:6432, 4=/run/other:6432" */
	char *tenant_domain; /* the domain after TENANT in a client's SNI; if empty, any domain may follow */
	/* settings of [pool], [timeouts] and so on, for databases and users that do not set them */
	struct scope_settings defaults;
	char *ping_query; /* SQL that a ping sends; if empty, a ping is an empty query */
	uint64_t wait_notify_us; /* a client that waits this long for a server gets a notice; 0 for no notices */
	uint64_t pool_idle_timeout_us; /* 0 if pools are never freed */
	bool server_fast_close; /* lets RECONNECT and reloads end pinned and session clients, between transactions */
	size_t prepared_statements_memory, prepared_statements_cache; /* bytes */
	uint64_t login_timeout_us, shutdown_timeout_us, shutdown_delay_us, restart_timeout_us;
	/* [tcp] */
	bool tcp_reuse_port, tcp_keepalive;
	uint64_t tcp_defer_accept_us, tcp_keepalive_idle_us, tcp_keepalive_interval_us, tcp_user_timeout_us;
	uint32_t tcp_keepalive_count;
	/* [auth] */
	enum auth_method auth_method;
	char *users_file, *hba_file, *ident_file;
	uint64_t external_timeout_us; /* the most time for a login by a method of auth_modules[] */
	uint64_t auth_query_ttl_us;
	uint32_t scram_iterations; /* for verifiers that pgweir makes from plain passwords */
	char **admin_users, **stats_users;
	/* [tls_client]; [tls_server] is in defaults. tls_certificate_file and tls_key_file may list several files,
	 * separated by ", ", with one key per certificate; SNI then chooses the certificate. */
	enum tls_mode tls_mode;
	char *tls_certificate_file, *tls_key_file, *tls_ca_file, *tls_crl_file, *tls_min_version, *tls_ciphers,
	    *tls13_ciphers;
	/* [limits] */
	uint32_t max_address_client_connections, address_login_rate; /* 0 if there is no limit */
	size_t max_memory; /* bytes; 0 if there is no limit */
	char **exempt_addresses; /* networks ("10.0.0.0/8") for which the limits per address do not hold */
	uint64_t login_failure_delay_us, login_failure_delay_max_us;
	/* [log] */
	char *log_destination;
	enum log_format log_format;
	enum log_level log_level;
	bool log_connections;
	uint64_t log_stats_interval_us; /* the time between two log lines with statistics; 0 for no such lines */
	/* the time after which an open transaction, or an idle one, is logged; 0 for no such log lines */
	uint64_t log_long_transaction_us, log_idle_transaction_us;
	/* [slow_query]; the threshold is in defaults */
	enum slow_text slow_text;
	bool slow_parameters;
	uint64_t slow_sample_threshold_us; /* CONFIG_TIME_OFF if there is no sampling */
	double slow_sample_rate;
	uint32_t slow_table_size;
	enum query_stats slow_query_stats;
	/* [http] */
	struct config_listen http_listen;
	bool http_enabled;
	char *http_auth_file, *http_tls_cert_file, *http_tls_key_file, *http_tls_client_ca_file;
	uint32_t http_metrics_max_pools;
	bool http_user_histograms;
	/* values of modules' settings, indexed by enum module_value_number; the extra element keeps the array from
	 * being empty */
	union {
		char *text; /* for KEY_TEXT, KEY_SECRET, KEY_PATH */
		unsigned word; /* for KEY_WORD */
		uint32_t count; /* for KEY_COUNT */
	} module_values[MODULE_VALUE_COUNT + 1];
	/* [database ...], [tenant ...], [user ...] */
	struct config_scope *databases, *tenant_scopes, *users;
	size_t database_count, tenant_count, user_count;
	/* where the configuration came from */
	char *path; /* the file; empty if there is none (--upstream) */
	bool has_password; /* the file contains a password */
	char **secret_files; /* files that the configuration includes by ${file:...}; not NULL-terminated */
	size_t secret_file_count;
	/* with --upstream and no users_file, the only user that may log in, and its password; else both are empty */
	char *single_user, *single_password;
	struct config_origin *origins; /* the line of each value (config_origin.h) */
	atomic_uint refs;
};

/* A value from the console's SET, which takes precedence over the file's: see load_config(). */
struct config_override {
	const char *name, *value;
};
/* Sets a setting, which must exist, to its value on the command line, in a config that no other code uses yet. A reload
 * reads only the file, and so drops the value of a reloadable setting. Returns 0, or -1 with *why set. */
int config_apply_command_line(struct config *config, const char *section, const char *name, const char *value,
			      struct fail *why);
struct config *config_ref(struct config *config);
/* Gives up a reference; the last one frees the config and wipes its passwords. config may be NULL. */
void config_unref(struct config *config);

/* Returns true if clients may name a tenant in `where` ("user", "options" or "sni"). If `where` is NULL, returns true
 * if tenants are switched on, which means that clients may name a tenant in at least one of these places. All code
 * calls a tenant's databases "tenant/database", and its users "user.tenant". While tenants are switched on, names of
 * other databases contain no slash. */
bool config_may_name_tenant_in(const struct config *config, const char *where);
/* Returns the length of the tenant's name in "tenant/database", or 0 if the database is not a tenant's. */
size_t config_tenant_len(const struct config *config, const char *database);
/* Returns true if tenants are switched on, and `user` is "user.tenant", with a section for the tenant or [tenant *]. */
bool config_user_is_of_tenant(const struct config *config, const char *user);
/* Returns the section [database NAME], or [tenant NAME] if `name` is "tenant/database". If there is no such section,
 * returns [database *] or [tenant *], or NULL. */
const struct config_scope *config_find_database(const struct config *config, const char *name);
/* Returns the section [user NAME], or NULL. */
const struct config_scope *config_find_user(const struct config *config, const char *name);
/* Computes the settings for a user of a database: the user's values, then the database's, then the defaults. `database`
 * and `user` may be NULL. */
void config_compute_settings(const struct config *config, const struct config_scope *database,
			     const struct config_scope *user, struct scope_settings *out);
/* Replaces fields of *settings by the values that a section sets. scope may be NULL. */
void config_apply_scope(const struct config_scope *scope, struct scope_settings *settings);
/* Returns true if pgweir ignores a client's startup parameter of this name; upper and lower case are equal.
 * is_in_options is true for a parameter that the client sent as a part of "options". */
bool config_is_ignored_parameter(const struct config *config, const char *name, bool is_in_options);
/* Returns true if auth_query is on in config->defaults, or in the section of at least one database or tenant. */
bool config_has_auth_query(const struct config *config);
bool config_is_foreign(const struct config *config); /* returns true if the file is in another program's format */
bool config_is_admin(const struct config *config, const char *user);
bool config_is_stats_user(const struct config *config, const char *user); /* returns true for admins, too */
/* Returns the name of the configured database whose name is most similar to `name`, for "did you mean"; or NULL. If
 * `name` is "tenant/database", returns the name of a tenant. */
const char *config_suggest_database(const struct config *config, const char *name);

/* --- config_peers.c --- */

/* Another pgweir process that shares the port (the setting peers). */
struct config_peer {
	uint32_t id;
	char host[112]; /* a name, a numeric address, or the directory of a Unix socket */
	uint16_t port;
};
/* Reads the next peer from *at, which points into the text of the setting peers, and moves *at past that peer. Returns
 * 1 with *out set, 0 at the end of the text, or -1 with *why set if the text is malformed. */
int config_next_peer(const char **at, struct config_peer *out, struct fail *why);
/* Returns true with *out set if there is a peer with this id. */
bool config_find_peer(const struct config *config, uint32_t id, struct config_peer *out);

/* --- config_problems.c --- */

/* The problems of one load, in order of line. A zeroed list is empty. */
struct config_problems {
	struct config_problem {
		bool is_error; /* false for a warning */
		unsigned line; /* 0 if the problem is not about a line */
		char *text; /* "pgweir.ini:14: error: unknown setting ..." */
	} * list;
	size_t count, error_count;
};
/* Copies a problem's text without "error: " or "warning: ", for output that shows is_error in another way. */
void config_problem_plain(const struct config_problem *problem, char *out, size_t size);
void config_problems_fini(struct config_problems *problems);
void config_problems_truncate(struct config_problems *problems, size_t count); /* keeps only the first count problems */

/* --- config_each.c --- */

/* A setting and its value, as SHOW CONFIG and --dump-config need them. */
struct config_row {
	/* *value has "***" in place of a secret */
	const char *section, *key, *value, *default_value, *unit, *help;
	/* the value with its secrets, for config_dump(). NULL if there is no secret; but always set for an upstream */
	const char *hidden;
	/* the text as written in the file, for config_dump() if the value does not fit on a line. May hold a secret.
	 * NULL if the text is not known, or is that of an upstream with a password */
	const char *raw;
	const char *origin; /* "default", "pgweir.ini:14", "command line" */
	const char *pending; /* the file's new value if it needs a restart to take effect; else NULL */
	bool is_reloadable;
};
/* Calls row() for each row of the table, and then for each setting in a section of a database, tenant or user; `arg` is
 * passed to row(). */
void config_each(const struct config *config, void (*row)(const struct config_row *row, void *arg), void *arg);
/* Returns the value in force of a setting of another program, such as PgBouncer. `row` is the setting's row in the
 * table of that program's settings. Returns NULL if the value is not known, or the file is in pgweir's own format. */
const char *config_foreign_value(const struct config *config, size_t row);

/* --- config_dump.c, config_schema.c --- */

void config_dump(const struct config *config, FILE *to); /* prints an ini file of the config, with *** for passwords */
void config_print_schema(FILE *to); /* prints the table of keys as a JSON Schema */

/* --- config_diff.c --- */

/* Called by a reload, before `fresh` is used. For each setting that only a restart can change, replaces the value in
 * `fresh` by the value in force, and keeps the file's value for config_row.pending. */
void config_keep_fixed(struct config *fresh, const struct config *in_force);
/* Calls change() with a text for each change that a reload makes ("pool.pool_size: 20 -> 30", "database app: added",
 * "... (pending restart)"), sorted by name; passwords of upstreams come last. The text for a password only says that
 * the password has changed. */
void config_diff(const struct config *old, const struct config *fresh, void (*change)(const char *text, void *arg),
		 void *arg);

/* --- config_keys.c --- */

const char *pool_mode_name(enum pool_mode mode); /* "session", "transaction" or "statement" */

/* --- upstream_tls.c: how connections to PostgreSQL use TLS. A keyword of upstream (sslmode and so on) takes precedence
 * over the database's setting, and a database's setting over [tls_server]. Values mean what they mean in libpq ("SSL
 * Support", 34.19). */
enum channel_binding { CHANNEL_BINDING_DISABLE, CHANNEL_BINDING_PREFER, CHANNEL_BINDING_REQUIRE };

/* Strings are borrowed from upstream and settings, and empty if not set. */
struct server_tls {
	enum tls_mode mode;
	const char *ca_file, *certificate_file, *key_file, *min_version;
	bool is_direct, sends_sni; /* is_direct: TLS begins without an SSLRequest (sslnegotiation=direct) */
	enum channel_binding channel_binding;
};

/* Fills *out. Returns 0, or -1 with *why set (F0000) if settings contradict each other; *out is filled even then. */
int server_tls_resolve(const struct upstream *upstream, const struct scope_settings *settings, struct server_tls *out,
		       struct fail *why);
/* Returns all fields as one string, so that two server_tls can be compared; NULL if there is no memory. The caller
 * frees the string. */
char *server_tls_text(const struct server_tls *tls);
