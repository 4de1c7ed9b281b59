/*
 * src/config/config.h - the configuration: an immutable, reference-counted value.
 *
 * load_config() (load/load.h) makes a config from a file. A reload loads a new config beside the old one; holders of
 * the old one keep it until config_unref.
 *
 * Keys, defaults, units, bounds and help live in one table, config_keys.c.
 *
 * Owns:   all its texts and upstreams; config_unref wipes the secrets among them.
 * Always: a config that load_config() has returned is complete and within bounds, and never changes.
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
#define CONFIG_COUNT_AUTO 0 /* "auto": pgweir computes the number (workers) */
#define CONFIG_WORKERS_MAX 16
#define CONFIG_TIME_OFF UINT64_MAX /* "off", for times that may be switched off (slow_query_threshold) */

enum pool_mode { POOL_MODE_SESSION, POOL_MODE_TRANSACTION, POOL_MODE_STATEMENT };
/* The settings of compat; only compat.h reads these values. */
enum config_compat { COMPAT_NONE, COMPAT_PGBOUNCER, COMPAT_PGBOUNCER_1_25, COMPAT_PGBOUNCER_NEXT };
enum session_state_mode { SESSION_TRACK, SESSION_PIN, SESSION_WARN, SESSION_ERROR, SESSION_ISOLATE, SESSION_ALLOW };
enum auth_method {
	AUTH_SCRAM_SHA_256,
	AUTH_MD5,
	AUTH_CERT,
	AUTH_TRUST,
	AUTH_HBA,
	AUTH_PASSWORD, /* a clear-text password, as in the methods that follow */
	AUTH_MODULES_FIRST, /* methods of auth_modules[], in their order */
	AUTH_PEER = AUTH_MODULES_FIRST + AUTH_MODULE_COUNT /* in an HBA file only */
};
/* Returns true if an external party checks the passwords (auth/auth_module.h). */
static inline bool
config_is_external(enum auth_method method)
{
	return method > AUTH_PASSWORD && method != AUTH_PEER;
}
enum query_stats { QUERY_STATS_OFF, QUERY_STATS_SAMPLED, QUERY_STATS_ON };
enum slow_text { SLOW_TEXT_NORMALIZED, SLOW_TEXT_FULL, SLOW_TEXT_NONE };
/* TLS_ALLOW means the same as TLS_PREFER, and exists because PgBouncer and libpq have both words. */
enum tls_mode { TLS_OFF, TLS_ALLOW, TLS_PREFER, TLS_REQUIRE, TLS_VERIFY_CA, TLS_VERIFY_FULL };

enum budget_mode { BUDGET_OFF, BUDGET_ADVISE, BUDGET_ON };
enum delegation_mode { DELEGATION_OFF, DELEGATION_ON };
enum begin_mode { BEGIN_SENT, BEGIN_DEFERRED };
enum reads_mode { READS_PRIMARY, READS_PREFER_STANDBY, READS_MARKED };

/* Settings for all pools, per database or per user; the user's value takes precedence over the database's. */
struct scope_settings {
	enum pool_mode pool_mode;
	enum session_state_mode session_state;
	enum begin_mode begin; /* relay/begin.h */
	uint32_t forbidden; /* the setting `refuse`: a set of FORBIDDEN_BIT() (sql/forbidden.h) */
	uint32_t pool_size, max_overflow, min_idle; /* connections */
	uint32_t max_pipeline; /* see pipeline/pipeline.h; 1 if off */
	uint64_t max_pipeline_wait_us;
	uint64_t overflow_delay_us, overflow_linger_us, pool_timeout_us, pool_recycle_us;
	enum outage_mode on_outage;
	uint64_t outage_hold_us; /* 0 means forever */
	enum reads_mode reads; /* pool/cluster.h */
	uint64_t reads_max_lag_us, reads_wait_us;
	bool pool_pre_ping, pool_lifo;
	uint64_t pool_pre_ping_idle_us, ping_interval_us, idle_timeout_us;
	uint32_t prepared_statements;
	size_t max_statement_size; /* bytes */
	bool statement_ignore_comments, keep_plans;
	bool commit_check;
	uint64_t commit_check_timeout_us;
	uint64_t connect_timeout_us, query_timeout_us, transaction_timeout_us, idle_transaction_timeout_us;
	uint64_t client_idle_timeout_us; /* 0 if there is none */
	uint64_t slow_query_threshold_us; /* CONFIG_TIME_OFF if no query is logged */
	/* The settings from here on are for databases only, and those called max_user_... and user_... for users only.
	 * Strings belong to the config; a copy of the settings borrows them, so it needs a reference to the config. */
	uint32_t max_db_client_connections, max_user_client_connections; /* 0 if there is no limit */
	uint32_t max_db_connections, max_user_connections; /* server connections */
	enum budget_mode budget; /* dedicated/fleet.h */
	uint32_t budget_connections; /* CONFIG_COUNT_AUTO if it is computed from max_connections */
	char *budget_users, *budget_database, *cluster_user; /* names in budget_users are separated by ", " */
	uint32_t share_weight, share_min; /* the pool's share of the budget, and of max_server_connections */
	uint32_t db_login_rate, user_login_rate; /* logins per second; 0 if there is no limit */
	enum tls_mode server_tls_mode;
	char *server_tls_ca_file, *server_tls_certificate_file, *server_tls_key_file, *server_tls_negotiation,
	    *server_tls_min_version;
	/* command that prints the password for PostgreSQL, for databases and users; empty if there is none */
	char *password_command;
	uint64_t password_lifetime_us;
	enum delegation_mode delegation; /* auth/delegation.h */
	/* code that leaves nothing in a session, as the operator declares: value_harmless_code() */
	char *harmless_code;
	char *auth_query, *auth_user, *auth_database; /* auth_query: "off", "builtin" or SQL with $1 */
};

/* A [database NAME], [tenant NAME] or [user NAME] section. */
struct config_scope {
	char name[CONFIG_NAME_MAX + 1]; /* "*" for any database or tenant not listed */
	uint64_t set; /* bit i is set if this section sets config_scope_key(i) */
	struct scope_settings settings; /* only fields whose bit in `set` is 1 have a value */
	struct upstream *upstream; /* databases and tenants only; owned by the config */
	struct scope_origin *origin; /* config_origin.h; owned by the config */
};

/* An address to listen on. */
struct config_listen {
	char text[128]; /* as written: "127.0.0.1:6432", "[::]:6432", "unix:/run/pgweir/.s.PGSQL.6432" */
	char host[112]; /* numeric IPv4/IPv6 address, or the socket's path */
	uint16_t port; /* 0 for a Unix socket */
};

static inline bool
config_listen_is_unix(const struct config_listen *listen)
{
	return listen->host[0] == '/';
}

struct config {
	/* [pgweir] */
	struct config_listen *listens;
	size_t listen_count;
	uint32_t max_client_connections, max_server_connections, listen_backlog;
	char *pid_file; /* strings are never NULL, and empty if not set */
	char *resolv_conf; /* /etc/resolv.conf if empty */
	char *unix_socket_mode, *unix_socket_group; /* octal digits; a group's name */
	char *run_as; /* the user to become after a start as root */
	uint32_t handshake_threads;
	uint32_t workers; /* number of event loops; CONFIG_COUNT_AUTO for one per processor */
	enum config_compat compat;
	char **ignored_startup_parameters, **track_extra_parameters;
	/* where the name of a client's tenant may come from: "user", "options", "sni"; NULL-terminated */
	char **tenant_sources;
	/* "10.0.0.0/8", "unix": sources whose connections begin with a PROXY header; NULL-terminated */
	char **proxy_protocol;
	bool application_name_add_host;
	char *login_notify_message;
	char *zone; /* the zone that this process is in; empty if not known */
	uint32_t peer_id; /* 0 if there are no peers */
	char *peers; /* "2=10.0.0.7:6432, 3=[::1]:6432, 4=/run/other:6432" */
	char *tenant_domain; /* in SNI, the domain after the tenant and a dot; any domain if empty */
	/* [pool], [timeouts], pool_mode, session_state, slow_query_threshold: the defaults of databases and users */
	struct scope_settings defaults;
	char *ping_query; /* if empty, the ping is an empty query */
	uint64_t wait_notify_us; /* 0 if clients get no notice that they wait */
	uint64_t pool_idle_timeout_us; /* 0 if pools are never freed */
	bool server_fast_close;
	size_t prepared_statements_memory, prepared_statements_cache; /* bytes */
	uint64_t login_timeout_us, shutdown_timeout_us, shutdown_delay_us, restart_timeout_us;
	/* [tcp] */
	bool tcp_reuse_port, tcp_keepalive;
	uint64_t tcp_defer_accept_us, tcp_keepalive_idle_us, tcp_keepalive_interval_us, tcp_user_timeout_us;
	uint32_t tcp_keepalive_count;
	/* [auth] */
	enum auth_method auth_method;
	char *users_file, *hba_file, *ident_file;
	uint64_t external_timeout_us; /* for the methods of auth_modules[] */
	uint64_t auth_query_ttl_us;
	uint32_t scram_iterations; /* for verifiers made from plain passwords */
	char **admin_users, **stats_users; /* NULL-terminated */
	/* [tls_client]; [tls_server] is in defaults. To choose a certificate by SNI, the certificates and keys are
	 * lists of files separated by ", ", with one key per certificate */
	enum tls_mode tls_mode;
	char *tls_certificate_file, *tls_key_file, *tls_ca_file, *tls_crl_file, *tls_min_version, *tls_ciphers,
	    *tls13_ciphers;
	/* [limits] */
	uint32_t max_address_client_connections, address_login_rate; /* 0 if there is no limit */
	size_t max_memory; /* bytes; 0 if there is no limit */
	char **exempt_addresses; /* "10.0.0.0/8": networks without limits on addresses; NULL-terminated */
	uint64_t login_failure_delay_us, login_failure_delay_max_us;
	/* [log] */
	char *log_destination;
	enum log_format log_format;
	enum log_level log_level;
	bool log_connections;
	uint64_t log_stats_interval_us; /* 0 if there is no such line */
	uint64_t log_long_transaction_us, log_idle_transaction_us; /* 0 if not logged */
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
	/* values of modules' settings, by enum module_value_number; the last one is unused */
	union {
		char *text; /* for KEY_TEXT, KEY_SECRET, KEY_PATH */
		unsigned word;
		uint32_t count;
	} module_values[MODULE_VALUE_COUNT + 1];
	/* [database ...], [tenant ...], [user ...] */
	struct config_scope *databases, *tenant_scopes, *users;
	size_t database_count, tenant_count, user_count;
	/* origin of the configuration */
	char *path; /* empty if there is no file (--upstream) */
	bool has_password; /* the file contains a password */
	char **secret_files; /* other files with passwords, named by ${file:...} */
	size_t secret_file_count;
	/* For --upstream: the only user known without a users_file. Empty otherwise. */
	char *single_user, *single_password;
	struct config_origin *origins; /* opaque: for config_dump and SHOW CONFIG */
	atomic_uint refs;
};

/* A value that takes precedence over the file's: see load_config(). */
struct config_override {
	const char *name, *value;
};
/* Sets a setting from the command line in a fresh config; a reload reads only the file. Returns 0, or -1 with *why
 * set. */
int config_override(struct config *config, const char *section, const char *name, const char *value, struct fail *why);
struct config *config_ref(struct config *config);
void config_unref(struct config *config); /* wipes secrets; does nothing if config is NULL */

/* Returns true if clients may name a tenant in `where` ("user", "options", "sni"), or in any of these if `where` is
 * NULL. A tenant's database is called "tenant/database" everywhere, and its users "user.tenant". While tenants are
 * switched on, no other database has a name of this form. */
bool config_allows_tenants_in(const struct config *config, const char *where);
/* Returns the length of the tenant's name in "tenant/database", or 0 if the database is not a tenant's. */
size_t config_tenant_len(const struct config *config, const char *database);
/* Returns true if user is "user.tenant", and that tenant is configured or [tenant *] allows any. */
bool config_user_is_of_tenant(const struct config *config, const char *user);
/* Returns the section of the tenant or database, else the section of "*", or NULL. */
const struct config_scope *config_find_database(const struct config *config, const char *name);
/* returns NULL if there is none */
const struct config_scope *config_find_user(const struct config *config, const char *name);
/* Computes the settings of a database and a user. The user's take precedence over the database's, and these over the
 * defaults. Both may be NULL. */
void config_effective(const struct config *config, const struct config_scope *database, const struct config_scope *user,
		      struct scope_settings *out);
/* Overwrites settings with those that are set in a section; scope may be NULL. */
void config_overlay(const struct config_scope *scope, struct scope_settings *settings);
/* Returns true if a startup parameter of this name, in any case of letters, is ignored. is_in_options says that it came
 * in "options". */
bool config_ignores_parameter(const struct config *config, const char *name, bool is_in_options);
/* returns true if auth_query is on in general, or for any database or tenant */
bool config_has_auth_query(const struct config *config);
bool config_is_foreign(const struct config *config); /* returns true if the file has another program's format */
bool config_is_admin(const struct config *config, const char *user);
bool config_is_stats_user(const struct config *config, const char *user); /* returns true for admins, too */
/* Returns the configured database or tenant whose name is nearest, for "did you mean"; or NULL. */
const char *config_suggest_database(const struct config *config, const char *name);

/* --- config_peers.c --- */

/* A process among those that share the port (the setting peers). */
struct config_peer {
	uint32_t id;
	char host[112]; /* a name, a numeric address or a directory */
	uint16_t port;
};
/* Reads the first peer of the list at *at, and moves *at after it. Returns 1; 0 at the end of the list; or -1 with *why
 * set if the text is not a peer. */
int config_next_peer(const char **at, struct config_peer *out, struct fail *why);
bool config_find_peer(const struct config *config, uint32_t id, struct config_peer *out);

/* --- config_problems.c --- */

/* Every problem of one load, in order of line. A zeroed list is empty. */
struct config_problems {
	struct config_problem {
		bool is_error; /* an error, else a warning */
		unsigned line; /* 0 if there is none */
		char *text; /* "pgweir.ini:14: error: unknown setting ..." */
	} * list;
	size_t count, error_count;
};
/* Copies a problem's text without "error: " or "warning: ", for output that says this in another way. */
void config_problem_plain(const struct config_problem *problem, char *out, size_t size);
void config_problems_fini(struct config_problems *problems);
void config_problems_cut(struct config_problems *problems, size_t count); /* keeps only the first count problems */

/* --- config_each.c --- */

/* Walks all keys for SHOW CONFIG and --dump-config; secrets come as "***". */
struct config_row {
	const char *section, *key, *value, *default_value, *unit, *help;
	/* the value with its secret, if value has *** for that; never to be shown. NULL if value is complete */
	const char *hidden;
	/* the text as written in the file, for a value that may not fit on a line; NULL if not known, or if it holds a
	 * secret */
	const char *raw;
	const char *origin; /* "default", "pgweir.ini:14", "command line" */
	const char *pending; /* the file's value, if only a restart will put it in force; else NULL */
	bool is_reloadable;
};
void config_each(const struct config *config, void (*row)(const struct config_row *row, void *arg), void *arg);
/* Returns the value in force of the setting in this row of the table of another program's format. Returns NULL if the
 * file is in pgweir's own format. */
const char *config_foreign_value(const struct config *config, size_t row);

/* --- config_dump.c, config_schema.c --- */

void config_dump(const struct config *config, FILE *to); /* prints an ini file that loads to the same value */
void config_print_schema(FILE *to); /* the table of keys as a JSON Schema */

/* --- config_diff.c --- */

/* Called by a reload, before fresh is used: for each setting that only a restart changes, replaces fresh's value by the
 * value in force, and keeps fresh's value as config_row.pending. */
void config_keep_fixed(struct config *fresh, const struct config *in_force);
/* Calls change() with a text for each change that a reload makes ("pool.pool_size: 20 -> 30", "database app: added",
 * "... (pending restart)"), sorted by name. The text for a password only says that it has changed. */
void config_diff(const struct config *old, const struct config *fresh, void (*change)(const char *text, void *arg),
		 void *arg);

/* --- config_keys.c --- */

const char *pool_mode_name(enum pool_mode mode);

/* --- upstream_tls.c: how servers of a database use TLS. libpq's keywords in upstream take precedence over the
 * database's settings, and these over [tls_server]. The words mean what they mean in libpq ("SSL Support", 34.19). */
enum channel_binding { CHANNEL_BINDING_DISABLE, CHANNEL_BINDING_PREFER, CHANNEL_BINDING_REQUIRE };

/* Strings are borrowed from upstream and settings, and empty if not set. */
struct server_tls {
	enum tls_mode mode;
	const char *ca_file, *certificate_file, *key_file, *min_version;
	bool is_direct, sends_sni;
	enum channel_binding channel_binding;
};

/* Returns 0, or -1 with *why set (F0000) if settings contradict each other; out is filled even then. */
int server_tls_resolve(const struct upstream *upstream, const struct scope_settings *settings, struct server_tls *out,
		       struct fail *why);
/* Returns all settings as one string, by which they can be compared; or NULL without memory. The caller frees it. */
char *server_tls_text(const struct server_tls *tls);
