/*
 * src/modules/pgbouncer_ini/bouncer_combine.c - PgBouncer's settings that together become one setting of pgweir, and
 * pgweir's settings for behavior that every PgBouncer has.
 */
#include "modules/pgbouncer_ini/pgbouncer_ini.h"
#include "base/alloc.h"
#include "base/text.h"

#include <arpa/inet.h>

/* Emits pgweir's setting [section] key, made from PgBouncer's setting `name`. Does nothing if this build has no such
 * setting of pgweir. */
static void
emit_setting(struct bouncer *b, const char *name, const char *section, const char *key, const char *value)
{
	char *from = xasprintf("%s = %s", name, bouncer_value(b, name));

	if (config_key_find(section, key) != NULL)
		bouncer_emit(b, bouncer_line_number(b, name), from, section, key, value);
	free(from);
}

/* Emits a path. bouncer_convert() can't fail here, because any path is accepted. */
static void
emit_path(struct bouncer *b, const char *name, const char *section, const char *key)
{
	struct buf value = { 0 };
	struct fail why;

	bouncer_convert(bouncer_key_find(name), bouncer_value(b, name), &value, &why);
	emit_setting(b, name, section, key, value_put_end(&value));
	buf_fini(&value);
}

/* --- where to listen ------------------------------------------------------------------------------------------ */

static void
emit_listen(struct bouncer *b, const char *address, const char *port)
{
	struct in6_addr v6;
	char *listen = xasprintf(inet_pton(AF_INET6, address, &v6) == 1 ? "[%s]:%s" : "%s:%s", address, port);

	emit_setting(b, "listen_addr", "pgweir", "listen", listen);
	free(listen);
}

static void
combine_listen(struct bouncer *b)
{
	const char *port = bouncer_value(b, "listen_port"), *dir = bouncer_value(b, "unix_socket_dir");
	unsigned line = bouncer_line_number(b, "unix_socket_dir");
	const char *list = bouncer_value(b, "listen_addr");
	char *path;

	while (*list != '\0') {
		size_t len = strcspn(list, ","), rest = len;
		const char *at = list;
		char *address;

		trim_blanks(&at, &len);
		address = xstrndup(at, len);
		if (strcmp(address, "*") == 0) {
			emit_listen(b, "0.0.0.0", port);
			emit_listen(b, "::", port);
		} else if (strcmp(address, "localhost") == 0) {
			emit_listen(b, "127.0.0.1", port);
			emit_listen(b, "::1", port);
		} else if (len > 0)
			emit_listen(b, address, port);
		free(address);
		list += rest + (list[rest] == ',');
	}
	if (*dir == '@')
		bouncer_note(b, line, "unix_socket_dir = %s: pgweir has no abstract sockets", dir);
	else if (*dir != '\0') {
		path = xasprintf("unix:%s/.s.PGSQL.%s", dir, port);
		emit_setting(b, "unix_socket_dir", "pgweir", "listen", path);
		free(path);
	} else if (*bouncer_value(b, "listen_addr") == '\0')
		problem_error(b->sink, line, "with listen_addr and unix_socket_dir empty nobody can connect");
}

/* --- the log -------------------------------------------------------------------------------------------------- */

static void
combine_log(struct bouncer *b)
{
	bool is_syslog = atoi(bouncer_value(b, "syslog")) != 0;
	char interval[24];

	if (*bouncer_value(b, "logfile") != '\0') {
		emit_path(b, "logfile", "log", "destination");
		if (is_syslog)
			bouncer_note(b, bouncer_line_number(b, "syslog"), "syslog: the log goes to logfile only");
	} else
		emit_setting(b, is_syslog ? "syslog" : "logfile", "log", "destination",
			     is_syslog ? "syslog" : "stderr");
	emit_setting(b, "verbose", "log", "level", atoi(bouncer_value(b, "verbose")) > 0 ? "debug" : "info");
	snprintf(interval, sizeof(interval), "%ds",
		 atoi(bouncer_value(b, "log_stats")) != 0 ? atoi(bouncer_value(b, "stats_period")) : 0);
	emit_setting(b, "stats_period", "log", "stats_interval", interval);
}

/* --- logins --------------------------------------------------------------------------------------------------- */

/* PgBouncer always has an auth_query, but runs it only if there is an auth_user, and as that user. */
static void
combine_auth(struct bouncer *b)
{
	const char *user = bouncer_value(b, "auth_user");

	/* "any" lets all users in, "trust" only those in auth_file; with compat = pgbouncer, pgweir does the same. */
	if (strcasecmp(bouncer_value(b, "auth_type"), "any") == 0) {
		emit_setting(b, "auth_type", "auth", "users_file", "");
		if (bouncer_is_set(b, "auth_file"))
			bouncer_note(b, bouncer_line_number(b, "auth_file"),
				     "auth_file: not read, as auth_type = any authenticates nobody");
		if (*bouncer_value(b, "stats_users") == '\0')
			problem_warning(
			    b->sink, bouncer_line_number(b, "auth_type"),
			    "with auth_type = any PgBouncer shows its console to everybody, pgweir to those "
			    "in admin_users and stats_users: name in stats_users who else may look");
	} else
		emit_path(b, "auth_file", "auth", "users_file");
	if (strcasecmp(bouncer_value(b, "auth_type"), "pam") == 0)
		emit_setting(b, "auth_type", "auth", "pam_service", "pgbouncer");
	if (strcmp(bouncer_value(b, "auth_dbname"), "pgbouncer") == 0)
		problem_error(b->sink, bouncer_line_number(b, "auth_dbname"),
			      "cannot use the reserved \"pgbouncer\" database as an auth_dbname");
	if (*user == '\0') {
		if (bouncer_is_set(b, "auth_query"))
			bouncer_note(b, bouncer_line_number(b, "auth_query"),
				     "auth_query: for the databases that have an auth_user");
	} else {
		emit_setting(b, "auth_user", "auth", "auth_user", user);
		emit_setting(b, "auth_query", "auth", "auth_query", bouncer_value(b, "auth_query"));
	}
}

/* Returns min_version for protocols: "secure", "all" or a list of versions. The result is "1.3" only for a list with
 * tlsv1.3 and without tlsv1.2. */
static const char *
oldest_version(const char *protocols)
{
	return strstr(protocols, "tlsv1.3") != NULL && strstr(protocols, "tlsv1.2") == NULL ? "1.3" : "1.2";
}

/* If clients can't use TLS, leaves out TLS files, because PgBouncer does not open them, so they need not exist. */
static void
combine_tls(struct bouncer *b)
{
	static const char *const words[] = { "default", "secure", "normal", "fast", "all", "compat", "legacy", "" };
	const char *ciphers = bouncer_value(b, "client_tls_ciphers");
	bool is_word = false;

	if (*bouncer_value(b, "server_tls_ca_file") != '\0')
		emit_path(b, "server_tls_ca_file", "tls_server", "ca_file");
	emit_setting(b, "server_tls_protocols", "tls_server", "min_version",
		     oldest_version(bouncer_value(b, "server_tls_protocols")));
	if (strcasecmp(bouncer_value(b, "client_tls_sslmode"), "disable") == 0)
		return;
	emit_path(b, "client_tls_cert_file", "tls_client", "certificate_file");
	emit_path(b, "client_tls_key_file", "tls_client", "key_file");
	emit_path(b, "client_tls_ca_file", "tls_client", "ca_file");
	emit_setting(b, "client_tls_protocols", "tls_client", "min_version",
		     oldest_version(bouncer_value(b, "client_tls_protocols")));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		is_word |= strcmp(words[i], ciphers) == 0;
	if (!is_word)
		emit_setting(b, "client_tls_ciphers", "tls_client", "ciphers", ciphers);
}

static void
combine_check_query(struct bouncer *b)
{
	const char *query = bouncer_value(b, "server_check_query");

	emit_setting(b, "server_check_query", "pool", "pool_pre_ping", *query != '\0' ? "on" : "off");
	if (*query != '\0' && strcmp(query, "<empty>") != 0)
		emit_setting(b, "server_check_query", "pool", "ping_query", query);
}

/* --- behavior for which PgBouncer has no setting -------------------------------------------------------------- */

static void
add_constants(struct bouncer *b)
{
	static const char *const constants[][4] = {
		{ "pgweir", "compat", "pgbouncer", "errors and log lines in PgBouncer's words" },
		{ "log", "format", "pgbouncer", "lines as PgBouncer's" },
		{ "pool", "ping_interval", "0s", "PgBouncer pings before lending only" },
		{ "pool", "on_outage", "wait", "PgBouncer's clients wait for a PostgreSQL that cannot be reached" },
		{ "timeouts", "shutdown_timeout", "1d", "PgBouncer waits for its clients" },
		{ "auth", "auth_query_ttl", "0s", "PgBouncer asks at each login" },
		{ "slow_query", "threshold", "off", "PgBouncer has no slow-query log" },
		{ "http", "listen", "off", "PgBouncer has no metrics; for them: listen = 127.0.0.1:9930" },
	};

	for (size_t i = 0; i < sizeof(constants) / sizeof(constants[0]); i++)
		bouncer_emit(b, LINE_PGBOUNCER_DEFAULT, constants[i][3], constants[i][0], constants[i][1],
			     constants[i][2]);
}

void
bouncer_combine(struct bouncer *b)
{
	combine_listen(b);
	combine_log(b);
	combine_auth(b);
	combine_tls(b);
	combine_check_query(b);
	add_constants(b);
	bouncer_emit_peers(b);
}
