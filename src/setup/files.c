/*
 * src/setup/files.c - loads the files that a configuration names: users_file, certificates and keys; setup/rules.c
 * loads hba_file and ident_file. Mistakes in these files are reported like mistakes in the configuration.
 */
#include "setup/setup.h"
#include "config/compat.h"
#include "config/config_state.h"
#include "config/config_value.h"
#include "load/load.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void
note_user_problem(bool is_error, const char *text, void *arg)
{
	const struct problem_sink sink = { .problems = arg };

	problem_add(&sink, is_error, 0, "%s", text);
}

static bool
needs_passwords(const struct config *config)
{
	return config->auth_method == AUTH_SCRAM_SHA_256 || config->auth_method == AUTH_MD5 ||
	       config->auth_method == AUTH_PASSWORD;
}

/* Loads a file of users. If needs_secrets, users with an empty secret are mistakes, too. */
static struct users *
load_users_file(const struct config *config, const char *path, bool needs_secrets, struct config_problems *problems)
{
	const struct problem_sink sink = { .problems = problems };
	size_t errors_before = problems->error_count;
	struct fail why;
	bool is_lenient = compat_does(config, COMPAT_STARTS_WITH_MISTAKES);
	struct users *users = users_load(path, is_lenient, note_user_problem, problems, &why);

	if (users == NULL && problems->error_count == errors_before) /* the file could not be read at all */
		problem_error(&sink, 0, "%s", why.text);
	users_check(users, path, needs_secrets, is_lenient, note_user_problem, problems);
	if (problems->error_count == errors_before)
		return users;
	users_unref(users);
	return NULL;
}

/* --- names that users_file lacks --- */

static void
on_user(const char *name, void *arg)
{
	nearest_try(arg, name, NULL);
}

static bool
is_user_of_upstream(const struct config *config, const char *name)
{
	for (struct config_section s = { 0 }; config_next_section(config, &s);)
		if (s.scope->upstream != NULL && strcmp(s.scope->upstream->user, name) == 0)
			return true;
	return false;
}

static void
warn_of_unknown_user(const struct problem_sink *sink, const struct users *users, unsigned line, const char *what,
		     const char *name)
{
	struct nearest near = nearest_to(name);
	struct user_secret secret;

	if (users_find(users, name, &secret))
		return;
	users_each(users, on_user, &near);
	problem_warning(sink, line, "%s: users_file has no \"%.63s\"%s%s%s", what, name,
			near.name != NULL ? "; did you mean \"" : "", near.name != NULL ? near.name : "",
			near.name != NULL ? "\"?" : "");
}

static void
warn_of_unknown_users(const struct config *config, const char *key, char *const *names, const struct users *users,
		      const struct problem_sink *sink)
{
	unsigned line = config_line_of(config, "auth", key);

	for (; *names != NULL; names++)
		warn_of_unknown_user(sink, users, line, key, *names);
}

/* Warns of names that users_file lacks, and of an empty users_file. Does nothing unless users_file must have all users,
 * because the method needs passwords and there is no auth_query. */
static void
check_names(const struct config *config, const struct users *users, struct config_problems *problems)
{
	const struct problem_sink sink = { .problems = problems,
					   .file = config->path,
					   .source = config->origins->source,
					   .words = config_words(config) };
	char what[CONFIG_NAME_MAX + 16];

	if (config_has_auth_query(config) || !needs_passwords(config))
		return;
	if (users_count(users) == 0) {
		problem_warning(&sink, 0, "users_file = %.256s: it is empty, so no client can log in",
				config->users_file);
		return;
	}
	warn_of_unknown_users(config, "admin_users", config->admin_users, users, &sink);
	warn_of_unknown_users(config, "stats_users", config->stats_users, users, &sink);
	for (size_t i = 0; i < config->user_count; i++) {
		const char *name = config->users[i].name;

		if (is_user_of_upstream(config, name))
			continue;
		snprintf(what, sizeof(what), "[user %s]", name);
		warn_of_unknown_user(&sink, users, config->users[i].origin->line, what, name);
	}
}

/* Warns if none of upstream, users_file and password_command has a password for a fleet connection, which is pgweir's
 * own connection to a PostgreSQL with a budget. No client takes part in that login, so a SCRAM verifier is not enough.
 */
static void
check_budget_logins(const struct config *config, const struct users *users, struct config_problems *problems)
{
	const struct problem_sink sink = { .problems = problems,
					   .file = config->path,
					   .source = config->origins->source };
	const char *last = "";

	for (struct config_section s = { 0 }; config_next_section(config, &s);) {
		struct scope_settings settings;
		const char *user = load_budget_user(config, &s, &settings);
		struct user_secret secret = { .kind = SECRET_NONE };

		if (user == NULL || strcmp(user, last) == 0 || settings.password_command[0] != '\0' ||
		    (s.scope->upstream->password[0] != '\0' && strcmp(user, s.scope->upstream->user) == 0))
			continue;
		last = user;
		users_find(users, user, &secret);
		if (secret.kind == SECRET_SCRAM || secret.kind == SECRET_NONE)
			problem_warning(
			    &sink, s.origin->upstream_line,
			    "budget: users_file has %s for \"%.63s\", the user of pgweir's own connection%s",
			    secret.kind == SECRET_NONE ? "no secret" : "a SCRAM verifier", user,
			    secret.kind == SECRET_NONE ? "" : ": it needs the password, plain or md5");
	}
}

static struct users *
load_users(const struct config *config, struct config_problems *problems)
{
	const struct problem_sink sink = { .problems = problems };
	struct users *users;

	if (config->single_user[0] != '\0') {
		users = users_new_single(config->single_user, config->single_password);
		if (users == NULL)
			problem_error(&sink, 0, "out of memory");
		return users;
	}
	/* A missing file is a mistake only with scram-sha-256 or md5, and not with COMPAT_STARTS_WITH_MISTAKES. */
	if (config->users_file[0] == '\0' ||
	    ((compat_does(config, COMPAT_STARTS_WITH_MISTAKES) ||
	      (config->auth_method != AUTH_SCRAM_SHA_256 && config->auth_method != AUTH_MD5)) &&
	     access(config->users_file, F_OK) < 0))
		return NULL;
	users = load_users_file(config, config->users_file, needs_passwords(config), problems);
	if (users != NULL)
		check_names(config, users, problems);
	return users;
}

/* Returns the line of the setting in [tls_client] whose value this error quotes; 0 if it quotes none. */
static unsigned
line_of_quoted_value(const struct config *config, const char *text)
{
	const struct {
		const char *key, *value;
	} settings[] = { { "key_file", config->tls_key_file }, { "certificate_file", config->tls_certificate_file },
			 { "ca_file", config->tls_ca_file },   { "crl_file", config->tls_crl_file },
			 { "ciphers", config->tls_ciphers },   { "tls13_ciphers", config->tls13_ciphers } };

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (settings[i].value[0] != '\0' && strstr(text, settings[i].value) != NULL)
			return config_line_of(config, "tls_client", settings[i].key);
	return 0;
}

int
setup_load_files(const struct config *config, struct setup_files *out, struct config_problems *problems)
{
	size_t errors_before = problems->error_count;
	bool uses_compat_words = compat_does(config, COMPAT_USES_THEIR_WORDS);
	const struct problem_sink sink = { .problems = problems,
					   .file = uses_compat_words	     ? NULL
						   : config->path[0] != '\0' ? config->path
									     : "--upstream",
					   .source = config->origins->source,
					   .words = config_words(config) };
	struct fail why;

	*out = (struct setup_files){ .users = load_users(config, problems) };
	check_budget_logins(config, out->users, problems);
	/* The metrics thread reads this file when the thread starts; this load only reports problems. */
	if (config->http_enabled && config->http_auth_file[0] != '\0')
		users_unref(load_users_file(config, config->http_auth_file, true, problems));
	setup_load_rules(config, &out->hba, &out->ident, problems);
	if (setup_load_tls(config, &out->tls, &why) < 0)
		problem_add_fail(&sink, uses_compat_words ? 0 : line_of_quoted_value(config, why.text),
				 uses_compat_words ? "TLS setup failed" : "[tls_client]", &why);
	if (setup_load_http_tls(config, &out->http_tls, &why) < 0)
		problem_add_fail(&sink, config_line_of(config, "http", "tls_cert_file"), "[http]", &why);
	if ((out->server_tls = tls_store_new(config, &why)) == NULL)
		problem_add_fail(&sink, 0, uses_compat_words ? "TLS setup failed" : "TLS with PostgreSQL", &why);
	return problems->error_count == errors_before ? 0 : -1;
}

void
setup_files_fini(struct setup_files *files)
{
	users_unref(files->users);
	tls_context_unref(files->tls);
	tls_context_unref(files->http_tls);
	tls_store_unref(files->server_tls);
	hba_unref(files->hba);
	ident_unref(files->ident);
}

int
setup_check_files(const struct config *config, struct config_problems *problems)
{
	struct setup_files files;
	int r = setup_load_files(config, &files, problems);

	setup_files_fini(&files);
	return r;
}

int
setup_load_tls(const struct config *c, struct tls_context **out, struct fail *why)
{
	struct tls_accept_settings s = { .certificate_files = c->tls_certificate_file,
					 .key_files = c->tls_key_file,
					 .ca_file = c->tls_ca_file,
					 .crl_file = c->tls_crl_file,
					 .min_version = c->tls_min_version,
					 .ciphers = c->tls_ciphers,
					 .tls13_ciphers = c->tls13_ciphers,
					 .client_certificate_mode = c->tls_ca_file[0] == '\0'	  ? TLS_NOT_ASKED_FOR
								    : c->tls_mode < TLS_VERIFY_CA ? TLS_ASKED_FOR
												  : TLS_NEEDED };

	*out = NULL;
	if (c->tls_mode == TLS_OFF || c->tls_certificate_file[0] == '\0')
		return 0;
	*out = tls_context_for_accept(&s, why);
	return *out == NULL ? -1 : 0;
}

int
setup_load_http_tls(const struct config *c, struct tls_context **out, struct fail *why)
{
	struct tls_accept_settings s = { .certificate_files = c->http_tls_cert_file,
					 .key_files = c->http_tls_key_file,
					 .ca_file = c->http_tls_client_ca_file,
					 .client_certificate_mode =
					     c->http_tls_client_ca_file[0] == '\0' ? TLS_NOT_ASKED_FOR : TLS_NEEDED,
					 .protocol = "\x8http/1.1" };

	*out = NULL;
	if (!c->http_enabled || c->http_tls_cert_file[0] == '\0')
		return 0;
	*out = tls_context_for_accept(&s, why);
	return *out == NULL ? -1 : 0;
}
