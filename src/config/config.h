/*
 * src/config/config.h - the configuration: an immutable, reference-counted value.
 *
 *   load_config() (load/load.h) makes one of a file. A reload loads a new value beside the old one; whoever holds the
 *   old one keeps it until config_unref.
 *
 * Keys, defaults, units, bounds and help live in one table, config_keys.c.
 *
 * Owns:   all its texts and upstreams; config_unref wipes the secrets among them.
 * Always: a config that a load has returned is complete and within bounds, and nobody changes it any more.
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
#define CONFIG_DATABASE_MAX (2 * CONFIG_NAME_MAX + 1) /* of "tenant/database", and of "user.tenant" */
#define CONFIG_COUNT_AUTO 0 /* "auto" where a number may be found out (workers) */
#define CONFIG_WORKERS_MAX 16
#define CONFIG_TIME_OFF UINT64_MAX /* "off" where a time may be switched off (slow_query_threshold) */

enum pool_mode { POOL_MODE_SESSION, POOL_MODE_TRANSACTION, POOL_MODE_STATEMENT };
/* compat.h alone asks for these. */
enum config_compat { COMPAT_NONE, COMPAT_PGBOUNCER, COMPAT_PGBOUNCER_1_25, COMPAT_PGBOUNCER_NEXT };
enum session_state_mode { SESSION_TRACK, SESSION_PIN, SESSION_WARN, SESSION_ERROR, SESSION_ISOLATE, SESSION_ALLOW };
enum auth_method {
	AUTH_SCRAM_SHA_256,
	AUTH_MD5,
	AUTH_CERT,
	AUTH_TRUST,
	AUTH_HBA,
	AUTH_PASSWORD, /* in the clear, as with the next ones */
	AUTH_MODULES_FIRST, /* those of auth_modules[], in their order */
	AUTH_PEER = AUTH_MODULES_FIRST + AUTH_MODULE_COUNT /* in an HBA file only */
};
/* Returns true if somebody else judges the passwords (auth/auth_module.h). */
static inline bool
config_is_external(enum auth_method method)
{
	return method > AUTH_PASSWORD && method != AUTH_PEER;
}
enum query_stats { QUERY_STATS_OFF, QUERY_STATS_SAMPLED, QUERY_STATS_ON };
enum slow_text { SLOW_TEXT_NORMALIZED, SLOW_TEXT_FULL, SLOW_TEXT_NONE };
/* TLS_ALLOW is as TLS_PREFER: PgBouncer and libpq have both words. */
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
	uint32_t forbidden; /* refuse: FORBIDDEN_BIT() of each: sql/forbidden.h */
	uint32_t pool_size, max_overflow, min_idle; /* connections */
	uint32_t max_pipeline; /* pipeline/pipeline.h; 1: off */
	uint64_t max_pipeline_wait_us;
	uint64_t overflow_delay_us, overflow_linger_us, pool_timeout_us, pool_recycle_us;
	enum outage_mode on_outage;
	uint64_t outage_hold_us; /* 0: forever */
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
	uint64_t client_idle_timeout_us; /* the timeouts: 0 is none */
	uint64_t slow_query_threshold_us; /* CONFIG_TIME_OFF: never */
	/*
	 * The rest is for databases only (max_user_...: for users). Strings belong to the config and are
	 * only borrowed by a copy: read them while the config is held.
	 */
	uint32_t max_db_client_connections, max_user_client_connections; /* 0: no limit */
	uint32_t max_db_connections, max_user_connections; /* of servers */
	enum budget_mode budget; /* dedicated/fleet.h */
	uint32_t budget_connections; /* CONFIG_COUNT_AUTO: from max_connections */
	char *budget_users, *budget_database, *cluster_user; /* budget_users: names with ", " between */
	uint32_t share_weight, share_min; /* the pool's claim under these, and under max_server_connections */
	uint32_t db_login_rate, user_login_rate; /* logins per second; 0: no limit */
	enum tls_mode server_tls_mode;
	char *server_tls_ca_file, *server_tls_certificate_file, *server_tls_key_file, *server_tls_negotiation,
	    *server_tls_min_version;
	char *password_command; /* prints the password for PostgreSQL; empty: none. Databases and users */
	uint64_t password_lifetime_us;
	enum delegation_mode delegation; /* auth/delegation.h */
	char *harmless_code; /* value_code() */
	char *auth_query, *auth_user, *auth_database; /* auth_query: "off", "builtin" or SQL with $1 */
};

/* A [database NAME], [tenant NAME] or [user NAME] section. */
struct config_scope {
	char name[CONFIG_NAME_MAX + 1]; /* "*" for any database or tenant not listed */
	uint64_t set; /* bit i: row i of the scope's keys was set here (config_keys.c numbers them) */
	struct scope_settings settings; /* only fields whose bit is set mean something */
	struct upstream *upstream; /* databases and tenants only; owned by the config */
	struct scope_origin *origin; /* config_origin.h; likewise */
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
	char *pid_file; /* strings are never NULL; empty is unset */
	char *resolv_conf; /* empty: /etc/resolv.conf */
	char *unix_socket_mode, *unix_socket_group; /* octal digits; a group's name */
	char *run_as; /* the user to become after a start as root */
	uint32_t handshake_threads;
	uint32_t workers; /* event loops; CONFIG_COUNT_AUTO: one for each processor */
	enum config_compat compat;
	char **ignored_startup_parameters, **track_extra_parameters;
	char **tenants; /* where a tenant may be named: "user", "options", "sni"; NULL-terminated */
	char **proxy_protocol; /* "10.0.0.0/8", "unix": whence connections begin with a PROXY header; NULL-terminated */
	bool application_name_add_host;
	char *login_notify_message;
	char *zone; /* which this process is in; empty: not known */
	uint32_t peer_id; /* 0: no peers */
	char *peers; /* "2=10.0.0.7:6432, 3=[::1]:6432, 4=/run/other:6432" */
	char *tenant_domain; /* SNI: what follows the tenant and a dot; empty: anything */
	/* [pool], [timeouts], pool_mode, session_state, slow_query_threshold: what databases and users start from */
	struct scope_settings defaults;
	char *ping_query; /* empty: an empty query */
	uint64_t wait_notify_us; /* 0: nobody is told that he waits */
	uint64_t pool_idle_timeout_us; /* 0: pools are never freed */
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
	uint64_t external_timeout_us; /* for those of auth_modules[] */
	uint64_t auth_query_ttl_us;
	uint32_t scram_iterations; /* for verifiers made from plain passwords */
	char **admin_users, **stats_users; /* NULL-terminated */
	/* [tls_client]; [tls_server] is in defaults. Files by SNI: lists with ", " between, a key for each certificate
	 */
	enum tls_mode tls_mode;
	char *tls_certificate_file, *tls_key_file, *tls_ca_file, *tls_crl_file, *tls_min_version, *tls_ciphers,
	    *tls13_ciphers;
	/* [limits] */
	uint32_t max_address_client_connections, address_login_rate; /* 0: no limit */
	size_t max_memory; /* bytes; 0: no limit */
	char **exempt_addresses; /* "10.0.0.0/8": no limit on addresses applies to them; NULL-terminated */
	uint64_t login_failure_delay_us, login_failure_delay_max_us;
	/* [log] */
	char *log_destination;
	enum log_format log_format;
	enum log_level log_level;
	bool log_connections;
	uint64_t log_stats_interval_us; /* 0: no such line */
	uint64_t log_long_transaction_us, log_idle_transaction_us; /* 0: not told */
	/* [slow_query]; the threshold is in defaults */
	enum slow_text slow_text;
	bool slow_parameters;
	uint64_t slow_sample_threshold_us; /* CONFIG_TIME_OFF: no sampling */
	double slow_sample_rate;
	uint32_t slow_table_size;
	enum query_stats slow_query_stats;
	/* [http] */
	struct config_listen http_listen;
	bool http_enabled;
	char *http_auth_file, *http_tls_cert_file, *http_tls_key_file, *http_tls_client_ca_file;
	uint32_t http_metrics_max_pools;
	bool http_user_histograms;
	/* of modules, by enum module_value_number; the last one is unused */
	union {
		char *text; /* of KEY_TEXT, KEY_SECRET, KEY_PATH */
		unsigned word;
		uint32_t count;
	} module_values[MODULE_VALUE_COUNT + 1];
	/* [database ...], [tenant ...], [user ...] */
	struct config_scope *databases, *tenant_scopes, *users;
	size_t database_count, tenant_count, user_count;
	/* where it came from */
	char *path; /* empty: no file (--upstream) */
	bool has_password; /* written out in that file */
	char **secret_files; /* other files with passwords, named by ${file:...} */
	size_t secret_file_count;
	/* --upstream only: the one user known without a users_file. Empty otherwise. */
	char *single_user, *single_password;
	struct config_origin *origins; /* opaque: for config_dump and SHOW CONFIG */
	atomic_uint refs;
};

/* A value for a setting that wins over the file's: see load_config(). */
struct config_override {
	const char *name, *value;
};
/* Sets a setting from the command line, in a fresh config: a reload reads the file alone. 0, or -1 with *why set. */
int config_override(struct config *config, const char *section, const char *name, const char *value, struct fail *why);
struct config *config_ref(struct config *config);
void config_unref(struct config *config); /* wipes secrets; NULL is fine */

/*
 * A tenant's database is called "tenant/database" everywhere, its users "user.tenant": no other database is called like
 * that while tenants are switched on.
 */
bool config_names_tenants(const struct config *config, const char *where); /* "user", "options", "sni"; NULL: at all */
/* Bytes of the tenant in "tenant/database"; 0: it is no tenant's. */
size_t config_tenant_len(const struct config *config, const char *database);
bool config_is_of_tenant(const struct config *config, const char *user); /* "user.tenant", of one that can be */
/* Returns the section of the tenant or database, else the one of "*", or NULL. */
const struct config_scope *config_find_database(const struct config *config, const char *name);
const struct config_scope *config_find_user(const struct config *config, const char *name); /* NULL: none */
/* Computes the settings of this pair: the defaults, then the database's, then the user's. Both may be NULL. */
void config_effective(const struct config *config, const struct config_scope *database, const struct config_scope *user,
		      struct scope_settings *out);
/* Puts what is set in a section over the settings; scope may be NULL. */
void config_overlay(const struct config_scope *scope, struct scope_settings *settings);
/* Returns true for a startup setting that isn't passed on, whatever its case. is_in_options: the word "options" has it.
 */
bool config_ignores_parameter(const struct config *config, const char *name, bool is_in_options);
bool config_has_auth_query(const struct config *config); /* for all, or for any database or tenant */
bool config_is_foreign(const struct config *config); /* its file is of another program's kind */
bool config_is_admin(const struct config *config, const char *user);
bool config_is_stats(const struct config *config, const char *user); /* admins too */
/* Returns the nearest configured database or tenant name for "did you mean", or NULL. */
const char *config_suggest_database(const struct config *config, const char *name);

/* --- config_peers.c --- */

/* A process that shares our port (peers). */
struct config_peer {
	uint32_t id;
	char host[112]; /* a name, a numeric address or a directory */
	uint16_t port;
};
/*
 * Reads the first peer of the list at *at, and moves *at behind it. Returns 1, 0 at the end of the list, or -1 with
 * *why set if it is no peer.
 */
int config_next_peer(const char **at, struct config_peer *out, struct fail *why);
bool config_find_peer(const struct config *config, uint32_t id, struct config_peer *out);

/* --- config_problems.c --- */

/* Every problem of one load, in order of line. Zeroed is empty. */
struct config_problems {
	struct config_problem {
		bool is_error; /* else a warning */
		unsigned line; /* 0: none */
		char *text; /* "pgweir.ini:14: error: unknown setting ..." */
	} * list;
	size_t count, error_count;
};
/* Copies a problem without its "error: " or "warning: ", for where that is said already. */
void config_problem_plain(const struct config_problem *problem, char *out, size_t size);
void config_problems_fini(struct config_problems *problems);
void config_problems_cut(struct config_problems *problems, size_t count); /* forgets what came after the first count */

/* --- config_each.c --- */

/* Walks all keys for SHOW CONFIG and --dump-config; secrets come as "***". */
struct config_row {
	const char *section, *key, *value, *default_value, *unit, *help;
	const char *hidden; /* what stands for *** in value: never to be shown; NULL: value is all of it */
	const char *raw; /* as written, where a line may not hold the value; NULL: not known, or it holds a secret */
	const char *origin; /* "default", "pgweir.ini:14", "command line" */
	const char *pending; /* what the file says; a restart puts it in force; NULL: nothing else */
	bool is_reloadable;
};
void config_each(const struct config *config, void (*row)(const struct config_row *row, void *arg), void *arg);
/* Returns a setting of another program's file (its row in that format) as in force; NULL: the file is pgweir's own. */
const char *config_foreign_value(const struct config *config, size_t row);

/* --- config_dump.c, config_schema.c --- */

void config_dump(const struct config *config, FILE *to); /* as an ini file that loads to the same value */
void config_print_schema(FILE *to); /* the table of keys as a JSON Schema */

/* --- config_diff.c --- */

/*
 * Settings that only a restart changes stay in fresh what they are in force; what fresh had instead is kept as pending
 * (config_row.pending). Called by a reload, before fresh is used.
 */
void config_keep_fixed(struct config *fresh, const struct config *in_force);
/*
 * Calls change() with each change of a reload, in words ("pool.pool_size: 20 -> 30", "database app: added", "...
 * (pending restart)"), in order of name. A password is only said to have changed.
 */
void config_diff(const struct config *old, const struct config *fresh, void (*change)(const char *text, void *arg),
		 void *arg);

/* --- config_keys.c --- */

const char *pool_mode_name(enum pool_mode mode);

/*
 * --- upstream_tls.c: how servers of a database use TLS: libpq's words in upstream, else [tls_server] with what the
 * database sets for itself. The words mean what they do in libpq ("SSL Support", 34.19).
 */
enum channel_binding { CHANNEL_BINDING_DISABLE, CHANNEL_BINDING_PREFER, CHANNEL_BINDING_REQUIRE };

/* Strings are borrowed from upstream and settings; empty: none. */
struct server_tls {
	enum tls_mode mode;
	const char *ca_file, *certificate_file, *key_file, *min_version;
	bool is_direct, sends_sni;
	enum channel_binding channel_binding;
};

/* Returns 0, or -1 with *why set (F0000) if settings contradict each other; out is filled even then. */
int server_tls_resolve(const struct upstream *upstream, const struct scope_settings *settings, struct server_tls *out,
		       struct fail *why);
/* Returns all of it as one string, for comparing, or NULL without memory. The caller frees it. */
char *server_tls_text(const struct server_tls *tls);
