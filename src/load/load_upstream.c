/*
 * src/load/load_upstream.c - pgweir --upstream: a configuration for one upstream, without a file.
 *
 * Clients log in with the same user and password as pgweir does, wherever these are found. Without a password there is
 * nothing to check, so clients are trusted; they can connect over loopback only.
 */
#include "base/alloc.h"
#include "base/text.h"
#include "config/config_value.h"
#include "config/upstream.h"
#include "load/load_state.h"

#include <pwd.h>

static bool
is_set(const char *text)
{
	return text != NULL && *text != '\0';
}

static char *
passfile_path(void)
{
	const char *path = getenv("PGPASSFILE"), *home = getenv("HOME");

	if (is_set(path))
		return xstrdup(path);
	return is_set(home) ? xasprintf("%s/.pgpass", home) : NULL;
}

/* Returns the password of the first host for which the passfile has one. libpq would look up each host separately, but
 * pgweir uses one user and password for all hosts. */
static char *
password_from_passfile(const struct upstream *up, const char *user, const struct problem_sink *sink)
{
	char *path = passfile_path(), *password = NULL, port[8];
	struct fail why = { 0 };

	for (size_t i = 0; path != NULL && password == NULL && why.text[0] == '\0' && i < up->host_count; i++) {
		const struct passfile_query query = {
			/* For its default directory of Unix sockets (one of these two), libpq looks up localhost. */
			.host = strcmp(up->hosts[i].host, "/var/run/postgresql") == 0 ||
					strcmp(up->hosts[i].host, "/tmp") == 0
				    ? "localhost"
				    : up->hosts[i].host,
			.port = port,
			.dbname = *up->dbname != '\0' ? up->dbname : user,
			.user = user,
		};

		snprintf(port, sizeof(port), "%u", up->hosts[i].port);
		password = passfile_find(path, &query, &why);
	}
	if (why.text[0] != '\0')
		problem_warning(sink, 0, "%s", why.text);
	free(path);
	return password;
}

/* Completes user and password. If there is no password, takes the user only from the URI or PGUSER. */
static void
find_credentials(struct upstream *up, const struct problem_sink *sink)
{
	const char *env_user = getenv("PGUSER"), *env_password = getenv("PGPASSWORD"), *user = up->user;
	char *password = NULL, *name;
	const struct passwd *me;
	bool is_guess = false;

	if (!is_set(user) && is_set(env_user) && strlen(env_user) <= CONFIG_NAME_MAX)
		user = env_user;
	if (!is_set(user)) {
		/* libpq's default is the name of the user that runs the process. */
		me = getpwuid(geteuid());
		user = me != NULL && is_set(me->pw_name) && strlen(me->pw_name) <= CONFIG_NAME_MAX ? me->pw_name : "";
		is_guess = true;
	}
	if (is_set(up->password))
		password = xstrdup(up->password);
	else if (is_set(env_password))
		password = xstrdup(env_password);
	else if (is_set(user))
		password = password_from_passfile(up, user, sink);
	name = xstrdup(is_guess && password == NULL ? "" : user);
	if (password == NULL)
		password = xstrdup("");
	free(up->user);
	up->user = name;
	secret_free(up->password);
	up->password = password;
}

static void
set_key(struct config *config, const char *section, const char *name, const char *value)
{
	const struct config_key *key = config_key_find(section, name);

	if (key_store(key, key_base(key, config), value, "/", NULL) < 0)
		abort(); /* all values are valid */
	config->origins->lines[config_key_row(key)] = LINE_COMMAND;
}

static void
replace_text(char **text, const char *with)
{
	secret_free(*text);
	*text = xstrdup(with);
}

/* Sets how clients log in: with the upstream's user and password or, if there is no password, as any user. */
static void
set_login(struct config *config, const struct upstream *up)
{
	bool has_password = *up->password != '\0';
	struct buf name = { 0 };

	set_key(config, "auth", "users_file", "");
	set_key(config, "auth", "method", has_password ? "scram-sha-256" : "trust");
	if (!has_password)
		return;
	value_put_name(&name, up->user);
	set_key(config, "auth", "admin_users", value_put_end(&name));
	replace_text(&config->single_user, up->user);
	replace_text(&config->single_password, up->password);
	buf_fini(&name);
}

struct config *
load_upstream(const char *uri, struct config_problems *problems)
{
	const struct problem_sink sink = { .problems = problems, .file = "--upstream" };
	struct config *config = NULL;
	struct fail why = { 0 };
	struct upstream *up = upstream_parse(uri, false, &why);

	if (up == NULL) {
		problem_error(&sink, 0, "%s%s%s", why.text, why.hint[0] != '\0' ? ". " : "", why.hint);
		return NULL;
	}
	if (strcmp(up->dbname, "pgweir") == 0 || strcmp(up->dbname, "pgbouncer") == 0) {
		problem_error(&sink, 0, "the database name \"%s\" is reserved for the console", up->dbname);
		upstream_free(up);
		return NULL;
	}
	find_credentials(up, &sink);
	if (!value_is_plain(up->user)) {
		problem_error(&sink, 0, "PGUSER must not contain control characters");
		upstream_free(up);
		return NULL;
	}
	config = config_new("");
	/* config takes ownership of up. */
	config->databases = xcalloc(1, sizeof(*config->databases));
	config->databases->origin = xcalloc(1, sizeof(*config->databases->origin));
	snprintf(config->databases->name, sizeof(config->databases->name), "%s",
		 *up->dbname != '\0' ? up->dbname : "*");
	config->databases->upstream = up;
	config->databases->origin->line = config->databases->origin->upstream_line = LINE_COMMAND;
	config->database_count = 1;
	set_login(config, up);
	load_check_loops(config, &sink);
	return config;
}
