/*
 * src/load/load_check.c - checks that need the whole configuration: settings that this version can't honor, settings
 * that don't fit together, and files that are missing.
 */
#include "base/alloc.h"
#include "base/text.h"
#include "config/compat.h"
#include "config/config_value.h"
#include "load/load_state.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

struct check {
	const struct config *config;
	const struct problem_sink *sink;
};

/* These macros report a problem at the line of the setting `name`. */
#define error_at(check, section, name, ...)                                                                            \
	problem_error((check)->sink, config_line_of((check)->config, section, name), __VA_ARGS__)
#define warn_at(check, section, name, ...)                                                                             \
	problem_warning((check)->sink, config_line_of((check)->config, section, name), __VA_ARGS__)

static bool
is_bad(const struct check *check, const char *section, const char *name)
{
	return check->config->origins->is_bad[config_key_row(config_key_find(section, name))];
}

static void
check_users_file(const struct check *check)
{
	const struct config *config = check->config;
	/* PgBouncer starts without the file, though no client can then log in. */
	bool is_needed = !compat_does(config, COMPAT_STARTS_WITH_MISTAKES) &&
			 (config->auth_method == AUTH_SCRAM_SHA_256 || config->auth_method == AUTH_MD5);
	bool has_auth_query = config_has_auth_query(config);
	const char *path = config->users_file;
	unsigned line = config_line_of(check->config, "auth", "users_file");
	struct stat st;
	int error = 0;

	if (is_bad(check, "auth", "method") || is_bad(check, "auth", "users_file"))
		return;
	if (*path == '\0') {
		if (is_needed && !has_auth_query)
			problem_error(check->sink, line,
				      "users_file is empty, but clients cannot log in without secrets");
		return;
	}
	if (stat(path, &st) < 0 || euidaccess(path, R_OK) < 0)
		error = errno;
	else if (S_ISDIR(st.st_mode))
		error = EISDIR;
	if (error != 0 && is_needed)
		problem_error(check->sink, line, "users_file = %.256s: %s; write it with lines of \"name\" \"secret\"",
			      path, strerror(error));
	else if (error != 0 && line != LINE_DEFAULT)
		problem_warning(check->sink, line, "users_file = %.256s: %s", path, strerror(error));
}

/* Checks that pgweir will be able to create a file, or to append to it. */
static void
check_output_file(const struct check *check, const struct config_key *key)
{
	const char *name = key->name, *path = key_path(key, check->config);
	unsigned line = config_line_of(check->config, key->section, name);
	bool is_in_run = strncmp(path, "/run/", 5) == 0; /* systemd may make that folder when pgweir starts */
	char *folder = xstrdup(path), *slash = strrchr(folder, '/');
	struct stat st;

	if (*path == '/' && !is_bad(check, key->section, name) && slash != NULL) {
		slash[slash == folder] = '\0';
		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
			problem_error(check->sink, line, "%s = %.256s is a directory", name, path);
		else if (stat(folder, &st) < 0)
			problem_add(check->sink, !is_in_run, line, "%s = %.256s: %s: %s", name, path, folder,
				    strerror(errno));
		else if (!S_ISDIR(st.st_mode))
			problem_error(check->sink, line, "%s = %.256s: %s is not a directory", name, path, folder);
		else if (*check->config->run_as == '\0' && euidaccess(stat(path, &st) == 0 ? path : folder, W_OK) < 0)
			problem_warning(check->sink, line, "%s = %.256s: this user may not write there", name, path);
	}
	free(folder);
}

/* Checks which files are set, but does not open the files; setup/ reports further errors when it loads them. */
static void
check_tls(const struct check *check)
{
	const struct config *config = check->config;
	const struct config_key *mode = config_key_find("tls_client", "mode");
	bool has_certificate = *config->tls_certificate_file != '\0';
	struct buf word = { 0 };

	if (is_bad(check, "tls_client", "certificate_file") || is_bad(check, "tls_client", "key_file"))
		return;
	key_put(mode, config, &word);
	if (config->tls_mode >= TLS_REQUIRE && !has_certificate)
		error_at(check, "tls_client", "mode", "mode = %s needs certificate_file and key_file in [tls_client]",
			 value_put_end(&word));
	if (config->tls_mode >= TLS_VERIFY_CA && *config->tls_ca_file == '\0')
		error_at(check, "tls_client", "mode",
			 "mode = %s needs ca_file in [tls_client]: the authorities that sign the clients' certificates",
			 value_put_end(&word));
	buf_fini(&word);
	if (has_certificate != (*config->tls_key_file != '\0'))
		error_at(check, "tls_client", has_certificate ? "certificate_file" : "key_file",
			 "certificate_file and key_file must be set together");
	if (*config->tls_crl_file != '\0' && *config->tls_ca_file == '\0')
		error_at(check, "tls_client", "crl_file", "crl_file needs ca_file");
}

/* Checks that the settings that a method needs are set. setup/rules.c checks the content of hba_file. */
static void
check_method(const struct check *check)
{
	const struct config *config = check->config;
	bool has_tls = config->tls_mode != TLS_OFF && *config->tls_certificate_file && *config->tls_ca_file;

	if (config->auth_method == AUTH_HBA && !*config->hba_file && !is_bad(check, "auth", "hba_file"))
		error_at(check, "auth", "method",
			 "method = hba needs hba_file, a file of rules as in PostgreSQL's pg_hba.conf");
	if (config->auth_method == AUTH_CERT && !has_tls && !is_bad(check, "tls_client", "certificate_file") &&
	    !is_bad(check, "tls_client", "ca_file"))
		error_at(check, "auth", "method",
			 "method = cert needs TLS: set certificate_file, key_file and ca_file in [tls_client]");
}

static void
check_server_tls(const struct check *check)
{
	for (struct config_section s = { 0 }; config_next_section(check->config, &s);) {
		struct scope_settings settings;
		struct server_tls tls;
		struct fail why;

		if (s.scope->upstream == NULL)
			continue;
		config_compute_settings(check->config, s.scope, NULL, &settings);
		if (server_tls_resolve(s.scope->upstream, &settings, &tls, &why) < 0)
			problem_add_fail(check->sink, s.origin->upstream_line, "upstream", &why);
	}
}

static void
check_unix_sockets(const struct check *check)
{
	const char *mode = check->config->unix_socket_mode, *group = check->config->unix_socket_group;
	char *end;
	unsigned long n = strtoul(mode, &end, 8);

	if (*mode == '\0' || *end != '\0' || n > 0777)
		error_at(check, "pgweir", "unix_socket_mode",
			 "unix_socket_mode = %.64s: permissions are octal digits, for example 0770", mode);
	if (*group != '\0' && getgrnam(group) == NULL)
		error_at(check, "pgweir", "unix_socket_group", "unix_socket_group = %.64s: there is no such group",
			 group);
}

static void
check_http_tls(const struct check *check)
{
	const struct config *config = check->config;
	bool has_certificate = *config->http_tls_cert_file != '\0';

	if (has_certificate != (*config->http_tls_key_file != '\0'))
		error_at(check, "http", has_certificate ? "tls_cert_file" : "tls_key_file",
			 "tls_cert_file and tls_key_file must be set together");
	if (!has_certificate && *config->http_tls_client_ca_file != '\0')
		error_at(check, "http", "tls_client_ca_file",
			 "tls_client_ca_file needs tls_cert_file and tls_key_file");
}

static void
check_listens(const struct check *check)
{
	const struct config *config = check->config;
	const struct config_listen *http = &config->http_listen;
	bool starts_anyway = compat_does(config, COMPAT_STARTS_WITH_MISTAKES);

	for (size_t i = 0; i < config->listen_count; i++) {
		const struct config_listen *listen = &config->listens[i];

		if (config->auth_method == AUTH_TRUST && !listen_is_local(listen))
			problem_add(check->sink, !starts_anyway, config->origins->listen_lines[i], "listen = %s: %s",
				    listen->text,
				    starts_anyway
					? "trust is for loopback and Unix sockets only; clients from elsewhere are "
					  "refused"
					: "with method = trust in [auth] anyone who reaches this address is let "
					  "in; listen on loopback or a Unix socket, or set another method");
		if (config->http_enabled && strcmp(listen->host, http->host) == 0 && listen->port == http->port)
			error_at(check, "http", "listen", "listen = %s: [pgweir] already listens on this address",
				 http->text);
	}
	if (config->http_enabled && !listen_is_local(http) && *config->http_tls_client_ca_file == '\0')
		warn_at(check, "http", "listen",
			"listen = %s: the metrics, with the names of databases and users, are open to whoever "
			"reaches this address%s",
			http->text,
			config->http_auth_file[0] != '\0'
			    ? *config->http_tls_cert_file != '\0'
				  ? "; pages with SQL are for those in auth_file"
				  : "; pages with SQL are for those in auth_file, whose passwords travel in the clear"
			    : "; pages with SQL are closed there unless auth_file names who may see them");
}

static void
warn_min_idle(const struct check *check, const struct scope_settings *settings, unsigned line)
{
	if (settings->min_idle > settings->pool_size)
		problem_warning(check->sink, line,
				"min_idle = %u is more than pool_size = %u; no more than pool_size are kept",
				settings->min_idle, settings->pool_size);
}

/* With prepared_statements = 0, a server connection keeps a client's statements, by name, for later clients. */
static void
warn_passed_through(const struct check *check, const struct scope_settings *settings, unsigned line)
{
	if (settings->prepared_statements == 0 && settings->pool_mode != POOL_MODE_SESSION)
		problem_warning(check->sink, line,
				"prepared_statements = 0: unless pool_mode = session, clients may run each "
				"other's prepared statements");
}

static void
check_delegation(const struct check *check)
{
	for (struct config_section s = { 0 }; config_next_section(check->config, &s);) {
		struct scope_settings settings;

		config_compute_settings(check->config, s.scope, NULL, &settings);
		if (s.scope->upstream == NULL || settings.delegation == DELEGATION_OFF)
			continue;
		problem_warning(check->sink, s.origin->upstream_line,
				"gss_accept_delegation = on: pgweir can act as clients of [%s %s] wherever their "
				"tickets are good; PostgreSQL sees their principals, and %s",
				s.word, s.scope->name,
				*s.scope->upstream->user == '\0' ? "each user is for one alone"
								 : "with user= in upstream one alone can come in");
	}
}

/* Calls warn() for the defaults, and for the settings of each section that sets the key `name`. */
static void
check_scopes(const struct check *check, const char *name,
	     void (*warn)(const struct check *check, const struct scope_settings *settings, unsigned line))
{
	const struct config *config = check->config;
	struct scope_settings settings;
	size_t bit;

	warn(check, &config->defaults, config_line_of(check->config, config_scope_key_find(name, &bit)->section, name));
	for (struct config_section s = { 0 }; config_next_section(config, &s);) {
		config_compute_settings(config, s.scope, NULL, &settings);
		if (s.scope->set & UINT64_C(1) << bit)
			warn(check, &settings, s.origin->lines[bit]);
	}
}

/* Returns true if query contains $1 (not just $10). */
static bool
has_parameter(const char *query)
{
	for (const char *at = query; (at = strstr(at, "$1")) != NULL; at += 2)
		if (at[2] < '0' || at[2] > '9')
			return true;
	return false;
}

static void
check_query_text(const struct check *check, const char *query, unsigned line)
{
	if (strcmp(query, "off") != 0 && strcmp(query, "builtin") != 0 && !has_parameter(query))
		problem_add(check->sink, !compat_does(check->config, COMPAT_STARTS_WITH_MISTAKES), line,
			    "auth_query = %.64s: use off, builtin, or SQL with $1 where the name of the user belongs",
			    query);
}

static void
check_auth_query(const struct check *check)
{
	const struct config *config = check->config;
	unsigned line_of_all = config_line_of(check->config, "auth", "auth_query");
	struct scope_settings settings;
	size_t bit, user_bit;

	config_scope_key_find("auth_query", &bit);
	config_scope_key_find("auth_user", &user_bit);
	check_query_text(check, config->defaults.auth_query, line_of_all);
	for (struct config_section s = { 0 }; config_next_section(config, &s) && strcmp(s.word, "user") != 0;) {
		/* `line` is where auth_query was set: in this section, or in [auth]. */
		bool is_own = (s.scope->set & UINT64_C(1) << bit) != 0;
		unsigned line = is_own ? s.origin->lines[bit] : line_of_all;

		if (is_own)
			check_query_text(check, s.scope->settings.auth_query, line);
		config_compute_settings(config, s.scope, NULL, &settings);
		if (s.origin->lines[user_bit] != 0 && (s.scope->set & UINT64_C(1) << user_bit) == 0)
			continue; /* auth_user has no value because of an error that was reported already */
		if (strcmp(settings.auth_query, "off") != 0 && settings.auth_user[0] == '\0')
			problem_error(check->sink, line,
				      "auth_query needs an auth_user that runs it in %s %s; set it in [auth] or "
				      "[%s %s], and its secret in users_file",
				      s.word, s.scope->name, s.word, s.scope->name);
	}
}

/* --- Limits and timeouts that contradict each other. --- */

static void
warn_above(const struct check *check, const char *name, uint32_t value)
{
	uint32_t clients = check->config->max_client_connections;

	if (value > clients && clients > 0)
		warn_at(check, "limits", name, "%s = %u is never reached: max_client_connections = %u is below it",
			name, value, clients);
}

static void
warn_of_useless_limits(const struct check *check)
{
	const struct config *config = check->config;
	const struct scope_settings *all = &config->defaults;
	uint32_t servers = config->max_server_connections;

	warn_above(check, "max_db_client_connections", all->max_db_client_connections);
	warn_above(check, "max_user_client_connections", all->max_user_client_connections);
	warn_above(check, "max_address_client_connections", config->max_address_client_connections);
	if (servers > 0 && all->pool_size + all->max_overflow > servers)
		warn_at(check, "pgweir", "max_server_connections",
			"max_server_connections = %u is below pool_size + max_overflow = %u: no pool can grow "
			"to its size",
			servers, all->pool_size + all->max_overflow);
	if (config->login_failure_delay_us > config->login_failure_delay_max_us)
		warn_at(check, "limits", "login_failure_delay_max",
			"login_failure_delay_max is below login_failure_delay: the maximum applies");
}

static void
warn_timeout_order(const struct check *check, const struct scope_settings *s, unsigned line)
{
	if (s->transaction_timeout_us > 0 && s->query_timeout_us > s->transaction_timeout_us)
		problem_warning(check->sink, line, "query_timeout is never reached: transaction_timeout is below it");
}

static void
warn_pipeline(const struct check *check, const struct scope_settings *s, unsigned line)
{
	const char *with = s->pool_mode == POOL_MODE_SESSION	 ? "pool_mode = session"
			   : s->session_state == SESSION_ALLOW	 ? "session_state = allow"
			   : s->session_state == SESSION_ISOLATE ? "session_state = isolate"
			   : s->reads != READS_PRIMARY		 ? "reads on standbys"
			   : s->commit_check			 ? "commit_check = on"
			   : s->forbidden != 0			 ? "refuse"
								 : NULL;

	if (line != LINE_DEFAULT && s->max_pipeline > 1 && with != NULL)
		problem_warning(check->sink, line, "max_pipeline has no effect with %s", with);
}

static void
warn_no_effect(const struct check *check, const char *section, const char *name, bool has_effect, const char *because)
{
	unsigned line = config_line_of(check->config, section, name);

	if (!has_effect && line != LINE_DEFAULT)
		problem_warning(check->sink, line, "%s has no effect %s", name, because);
}

static void
check_no_effect(const struct check *check)
{
	const struct config *config = check->config;
	bool is_hba = config->auth_method == AUTH_HBA, has_auth_query = config_has_auth_query(config);
	bool is_sampling = config->slow_sample_threshold_us < config->defaults.slow_query_threshold_us;

	warn_no_effect(check, "auth", "hba_file", is_hba || !*config->hba_file, "without method = hba");
	warn_no_effect(check, "auth", "ident_file", is_hba || !*config->ident_file, "without method = hba");
	warn_no_effect(check, "auth", "auth_user",
		       has_auth_query || !*config->defaults.auth_user || config->defaults.budget != BUDGET_OFF ||
			   config->defaults.reads != READS_PRIMARY,
		       "without auth_query");
	warn_no_effect(check, "auth", "auth_database", has_auth_query || !*config->defaults.auth_database,
		       "without auth_query");
	warn_no_effect(check, "pgweir", "tenant_domain",
		       !*config->tenant_domain || config_may_name_tenant_in(config, "sni"), "without sni in tenants");
	warn_no_effect(check, "slow_query", "sample_threshold",
		       is_sampling || config->slow_sample_threshold_us == CONFIG_TIME_OFF,
		       "unless it is below threshold");
}

/* Checks `tenants`. Also refuses sections of databases whose names look like "tenant/database". */
static void
check_tenants(const struct check *check)
{
	static const char *const places[] = { "user", "options", "sni", NULL };
	const struct config *config = check->config;
	unsigned line = config_line_of(check->config, "pgweir", "tenants"), ignored;
	bool is_on = config_may_name_tenant_in(config, NULL);
	struct fail why;

	if (is_bad(check, "pgweir", "tenants"))
		return;
	for (char **name = config->tenant_sources; *name != NULL; name++)
		if (value_read_word(*name, places, &ignored, &why) < 0)
			problem_error(check->sink, line, "tenants = %s: must be a list of user, options and sni",
				      *name);
	if (is_on && config->tenant_count == 0)
		problem_error(check->sink, line,
			      "tenants is set, but there is no [tenant NAME] section; write [tenant *] and upstream = "
			      "host=%%{tenant}.db.internal, or leave it empty");
	if (!is_on && config->tenant_count > 0)
		problem_warning(check->sink, config->tenant_scopes[0].origin->line,
				"[tenant %s] has no effect without tenants = user, options or sni in [pgweir]",
				config->tenant_scopes[0].name);
	if (config_may_name_tenant_in(config, "sni") && !*config->tls_certificate_file)
		problem_warning(check->sink, line, "sni has no effect without certificate_file in [tls_client]");
	for (size_t i = 0; i < config->database_count; i++)
		if (config_tenant_len(config, config->databases[i].name) > 0)
			problem_error(
			    check->sink, config->databases[i].origin->line,
			    "[database %s]: while tenants is set, databases with a slash are those of tenants",
			    config->databases[i].name);
}

/* Checks a list of networks. If may_claim, peers in these networks may claim to be any client, and the list may contain
 * "unix", too. */
static void
check_networks(const struct check *check, const char *section, const char *setting, char **names, bool may_claim)
{
	struct network n;

	for (char **name = names; name != NULL && *name != NULL; name++) {
		if (may_claim && strcmp(*name, "unix") == 0)
			continue;
		if (!network_parse(*name, &n))
			error_at(check, section, setting,
				 "%s = %s: must be a list of networks, such as 10.0.0.0/8 or 2001:db8::/32%s", setting,
				 *name, may_claim ? ", and unix" : "");
		else if (may_claim && n.bits == 0)
			warn_at(check, section, setting, "%s = %s: whoever reaches pgweir may claim to be any client",
				setting, *name);
	}
}

static void
check_peers(const struct check *check)
{
	unsigned line = config_line_of(check->config, "pgweir", "peers");
	const char *at = check->config->peers;
	struct config_peer peer, first;
	struct fail why;
	int r;

	while ((r = config_next_peer(&at, &peer, &why)) > 0)
		if (config_find_peer(check->config, peer.id, &first) &&
		    (strcmp(first.host, peer.host) != 0 || first.port != peer.port))
			problem_error(check->sink, line, "peers: there are two with the peer_id %u", peer.id);
	if (r < 0)
		problem_error(check->sink, line, "peers: %s", why.text);
	if (check->config->peers[0] != '\0' && check->config->peer_id == 0)
		problem_warning(check->sink, line, "peers have no effect without a peer_id of this process");
}

/* --- An upstream that leads back to this process. --- */

static bool
is_same_place(const struct config_listen *listen, const struct upstream_host *host)
{
	char path[sizeof(host->host) + 32];

	if (*host->host == '/') {
		snprintf(path, sizeof(path), "%s/.s.PGSQL.%u", host->host, host->port);
		return config_listen_is_unix(listen) && strcmp(listen->host, path) == 0;
	}
	if (config_listen_is_unix(listen) || listen->port != host->port)
		return false;
	return strcmp(listen->host, host->host) == 0 ||
	       (text_is_loopback(host->host, strlen(host->host)) &&
		(text_is_loopback(listen->host, strlen(listen->host)) || strcmp(listen->host, "0.0.0.0") == 0 ||
		 strcmp(listen->host, "::") == 0));
}

static void
check_loop(const struct config *config, const struct problem_sink *sink, const struct upstream *up, unsigned line)
{
	for (size_t i = 0; i < up->host_count; i++)
		for (size_t j = 0; j < config->listen_count; j++)
			if (is_same_place(&config->listens[j], &up->hosts[i])) {
				problem_warning(
				    sink, line,
				    "upstream: host=%s port=%u is pgweir itself (listen = %s), not PostgreSQL",
				    up->hosts[i].host, up->hosts[i].port, config->listens[j].text);
				return;
			}
}

void
load_check_loops(const struct config *config, const struct problem_sink *sink)
{
	for (struct config_section s = { 0 }; config_next_section(config, &s);)
		if (s.scope->upstream != NULL)
			check_loop(config, sink, s.scope->upstream, s.origin->upstream_line);
}

void
load_check(const struct config *config, const struct problem_sink *sink)
{
	const struct check check = { config, sink };
	const struct config_key *key;

	if (config->http_user_histograms) /* reserved for a later version */
		error_at(&check, "http", "user_histograms", "user_histograms = on is not available in this version");
	if (*config->run_as != '\0' && getpwnam(config->run_as) == NULL)
		error_at(&check, "pgweir", "run_as", "run_as = %.64s: there is no such system user", config->run_as);
	check_unix_sockets(&check);
	check_users_file(&check);
	for (size_t row = 0; (key = config_next_log(&row)) != NULL;)
		check_output_file(&check, key);
	check_output_file(&check, config_key_find("pgweir", "pid_file"));
	check_tls(&check);
	check_server_tls(&check);
	check_method(&check);
	check_listens(&check);
	check_http_tls(&check);
	load_check_loops(config, sink);
	check_tenants(&check);
	check_networks(&check, "pgweir", "proxy_protocol", config->proxy_protocol, true);
	check_networks(&check, "limits", "exempt_addresses", config->exempt_addresses, false);
	check_peers(&check);
	check_scopes(&check, "min_idle", warn_min_idle);
	check_delegation(&check);
	check_scopes(&check, "prepared_statements", warn_passed_through);
	check_scopes(&check, "transaction_timeout", warn_timeout_order);
	check_scopes(&check, "max_pipeline", warn_pipeline);
	warn_of_useless_limits(&check);
	check_auth_query(&check);
	load_check_budget(config, sink);
	load_check_reads(config, sink);
	check_no_effect(&check);
}
