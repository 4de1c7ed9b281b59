/*
 * src/admin/show_config.c - SHOW CONFIG and CONFIG_ERRORS.
 *
 * Tools look for PgBouncer's settings by its names, in its units (seconds, 0 and 1): those come first. Our own follow
 * as section.name, with our units.
 */
#include "admin/show.h"

#include "base/clock.h"
#include "config/config_keys.h"
#include "config/config_value.h"

#include <stdio.h>
#include <string.h>

struct config_line {
	const char *key, *value, *default_value, *changeable;
};

static const struct column config_columns[] = {
	COLUMN(TEXT, struct config_line, key),
	COLUMN(TEXT, struct config_line, value),
	COLUMN_NAMED(TEXT, struct config_line, "default", default_value),
	COLUMN(TEXT, struct config_line, changeable),
};

static const struct {
	const char *name, *section, *here;
} aliases[] = {
	{ "listen_backlog", "pgweir", "listen_backlog" },
	{ "pidfile", "pgweir", "pid_file" },
	{ "pool_mode", "pgweir", "pool_mode" },
	{ "max_client_conn", "pgweir", "max_client_connections" },
	{ "max_db_client_connections", "limits", "max_db_client_connections" },
	{ "max_user_client_connections", "limits", "max_user_client_connections" },
	{ "max_db_connections", "limits", "max_db_connections" },
	{ "max_user_connections", "limits", "max_user_connections" },
	{ "default_pool_size", "pool", "pool_size" },
	{ "min_pool_size", "pool", "min_idle" },
	{ "reserve_pool_size", "pool", "max_overflow" },
	{ "reserve_pool_timeout", "pool", "overflow_delay" },
	{ "query_wait_notify", "pool", "wait_notify" },
	{ "server_lifetime", "pool", "pool_recycle" },
	{ "server_idle_timeout", "pool", "idle_timeout" },
	{ "server_check_delay", "pool", "pool_pre_ping_idle" },
	{ "query_wait_timeout", "pool", "pool_timeout" },
	{ "max_prepared_statements", "pool", "prepared_statements" },
	{ "server_connect_timeout", "timeouts", "connect_timeout" },
	{ "client_login_timeout", "timeouts", "login_timeout" },
	{ "query_timeout", "timeouts", "query_timeout" },
	{ "transaction_timeout", "timeouts", "transaction_timeout" },
	{ "idle_transaction_timeout", "timeouts", "idle_transaction_timeout" },
	{ "client_idle_timeout", "timeouts", "client_idle_timeout" },
	{ "auth_type", "auth", "method" },
	{ "auth_file", "auth", "users_file" },
	{ "auth_hba_file", "auth", "hba_file" },
	{ "auth_ident_file", "auth", "ident_file" },
	{ "auth_query", "auth", "auth_query" },
	{ "auth_user", "auth", "auth_user" },
	{ "auth_dbname", "auth", "auth_database" },
	{ "admin_users", "auth", "admin_users" },
	{ "stats_users", "auth", "stats_users" },
	{ "client_tls_sslmode", "tls_client", "mode" },
	{ "client_tls_cert_file", "tls_client", "certificate_file" },
	{ "client_tls_key_file", "tls_client", "key_file" },
	{ "client_tls_ca_file", "tls_client", "ca_file" },
	{ "client_tls_ciphers", "tls_client", "ciphers" },
	{ "client_tls13_ciphers", "tls_client", "tls13_ciphers" },
	{ "login_notify_message", "pgweir", "login_notify_message" },
	{ "peer_id", "pgweir", "peer_id" },
	{ "server_fast_close", "pool", "server_fast_close" },
	{ "so_reuseport", "tcp", "reuse_port" },
	{ "application_name_add_host", "pgweir", "application_name_add_host" },
	{ "server_tls_sslmode", "tls_server", "mode" },
	{ "server_tls_cert_file", "tls_server", "certificate_file" },
	{ "server_tls_key_file", "tls_server", "key_file" },
	{ "server_tls_ca_file", "tls_server", "ca_file" },
	{ "logfile", "log", "destination" },
	{ "log_connections", "log", "connections" },
};

/* What PgBouncer has and pgweir has not, with the values that say so. The averages of SHOW STATS are over a minute. */
static const struct config_line absent[] = {
	{ "stats_period", "60", "60", "no" },
};

static const char *
yes_or_no(bool is)
{
	return is ? "yes" : "no";
}

/* A value as PgBouncer would write it. */
static void
put_theirs(struct buf *to, const struct config_key *key, const struct config *config)
{
	const void *field = (const char *)config + key->offset;

	if (key->type == KEY_TIME)
		buf_printf(to, "%.15g", (double)*(const uint64_t *)field / (double)US_PER_S);
	else if (key->type == KEY_SWITCH)
		buf_printf(to, "%d", *(const bool *)field ? 1 : 0);
	else
		key_put(key, key_base_of(key, config), to);
}

static void
put_their_default(struct buf *to, const struct config_key *key)
{
	struct config scratch;
	struct fail why;

	if (key->type != KEY_TIME && key->type != KEY_SWITCH) {
		buf_printf(to, "%s", key->default_value);
		return;
	}
	memset(&scratch, 0, sizeof(scratch));
	if (key_store(key, key_base(key, &scratch), key->default_value, "", &why) == 0)
		put_theirs(to, key, &scratch);
}

static void
add_alias(struct rows *rows, const struct config *config, const char *name, const struct config_key *key)
{
	struct buf value = { 0 }, fallback = { 0 };
	struct config_line line = { .key = name };

	put_theirs(&value, key, config);
	put_their_default(&fallback, key);
	line.value = put_end(&value);
	line.default_value = put_end(&fallback);
	line.changeable = yes_or_no(key->is_reloadable);
	rows_add(rows, &line);
	buf_fini(&value);
	buf_fini(&fallback);
}

/* PgBouncer has one port and a list of addresses. */
static void
add_listen(struct rows *rows, const struct config *config)
{
	struct buf hosts = { 0 };
	char port[8] = "0";

	for (size_t i = 0; i < config->listen_count; i++) {
		const struct config_listen *at = &config->listens[i];

		if (at->is_unix)
			continue;
		buf_printf(&hosts, "%s%s", hosts.len > 0 ? "," : "", at->host);
		if (strcmp(port, "0") == 0)
			snprintf(port, sizeof(port), "%u", at->port);
	}
	rows_add(rows, &(struct config_line){ "listen_addr", put_end(&hosts), "", "no" });
	rows_add(rows, &(struct config_line){ "listen_port", port, "6432", "no" });
	buf_fini(&hosts);
}

static void
add_own(const struct config_row *row, void *arg)
{
	struct rows *rows = arg;
	char key[CONFIG_NAME_MAX + 128], changeable[256];

	snprintf(key, sizeof(key), "%s.%s", row->section, row->key);
	snprintf(changeable, sizeof(changeable), "%s%s%.200s", yes_or_no(row->is_reloadable),
		 row->pending != NULL ? "; pending restart: " : "", row->pending != NULL ? row->pending : "");
	rows_add(rows, &(struct config_line){ key, row->value, row->default_value, changeable });
}

static void
fill_config(const struct show_env *env, struct rows *rows)
{
	const struct config *config = env->clients->x.config;

	add_listen(rows, config);
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		const struct config_key *key = config_key_find(aliases[i].section, aliases[i].here);

		if (key != NULL)
			add_alias(rows, config, aliases[i].name, key);
	}
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
		rows_add(rows, &absent[i]);
	config_each(config, add_own, rows);
}

const struct show show_config = { SHOW_COLUMNS(config_columns), 0, fill_config };

struct problem_row {
	const char *problem;
};

static const struct column problems_columns[] = { COLUMN(TEXT, struct problem_row, problem) };

static void
fill_config_errors(const struct show_env *env, struct rows *rows)
{
	const char *problem;

	for (size_t i = 0; (problem = env->host->config_error(env->host->w, i)) != NULL; i++)
		rows_add(rows, &(struct problem_row){ problem });
}

const struct show show_config_errors = { SHOW_COLUMNS(problems_columns), 0, fill_config_errors };
