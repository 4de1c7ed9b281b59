/*
 * src/weir_files.c - the files that a configuration names: users_file, certificates and keys, hba_file and ident_file
 * (weir_rules.c). What is wrong in them is told in the same list as what is wrong in the configuration itself.
 */
#include "weir_state.h"

#include "config/config_origin.h"
#include "config/config_state.h"

#include <unistd.h>

static void
tell_of_user(bool is_error, const char *text, void *arg)
{
	struct config_problems *problems = arg;
	const struct problem_sink sink = { .problems = problems };

	if (is_error)
		problem_error(&sink, 0, "%s", text);
	else
		problem_warning(&sink, 0, "%s", text);
}

/* Nobody needs it to log in to us. */
static bool
may_be_missing(const struct config *config)
{
	return config_is_pgbouncers(config) ||
	       (config->auth_method != AUTH_SCRAM_SHA_256 && config->auth_method != AUTH_MD5);
}

static struct users *
load_users_file(const char *path, struct config_problems *problems)
{
	const struct problem_sink sink = { .problems = problems };
	size_t errors_before = problems->error_count;
	struct fail why;
	struct users *users = users_load(path, tell_of_user, problems, &why);

	if (users == NULL && problems->error_count == errors_before) /* it could not be read at all */
		problem_error(&sink, 0, "%s", why.text);
	return users;
}

/* The metrics thread reads the file when it starts; all that matters here are its problems. */
static void
check_page_users(const struct config *config, struct config_problems *problems)
{
	if (config->http_enabled && config->http_auth_file[0] != '\0')
		users_unref(load_users_file(config->http_auth_file, problems));
}

static int
load_users(const struct config *config, struct users **out, struct config_problems *problems)
{
	const struct problem_sink sink = { .problems = problems };

	if (config->single_user[0] != '\0') {
		*out = users_single(config->single_user, config->single_password);
		if (*out == NULL)
			problem_error(&sink, 0, "no memory for users");
		return *out == NULL ? -1 : 0;
	}
	if (config->users_file[0] == '\0' || (may_be_missing(config) && access(config->users_file, F_OK) < 0))
		return 0;
	*out = load_users_file(config->users_file, problems);
	return *out == NULL ? -1 : 0;
}

static void
load_tls(const struct config *config, struct weir_files *out, struct config_problems *problems)
{
	bool is_theirs = config->compat == COMPAT_PGBOUNCER; /* tools look for its words */
	const struct problem_sink sink = { .problems = problems,
					   .file = is_theirs		     ? NULL
						   : config->path[0] != '\0' ? config->path
									     : "--upstream",
					   .source = config->origins->source,
					   .has_our_words = config_is_pgbouncers(config) };
	struct fail why;

	if (weir_load_tls(config, &out->tls, &why) < 0)
		problem_fail(&sink, 0, is_theirs ? "TLS setup failed" : "[tls_client]", &why);
	if ((out->server_tls = tls_store_new(config, &why)) == NULL)
		problem_fail(&sink, 0, is_theirs ? "TLS setup failed" : "TLS with PostgreSQL", &why);
}

int
weir_load_files(const struct config *config, struct weir_files *out, struct config_problems *problems)
{
	size_t errors_before = problems->error_count;

	*out = (struct weir_files){ 0 };
	load_users(config, &out->users, problems);
	check_page_users(config, problems);
	weir_load_rules(config, &out->hba, &out->ident, problems);
	load_tls(config, out, problems);
	return problems->error_count == errors_before ? 0 : -1;
}

void
weir_files_fini(struct weir_files *files)
{
	users_unref(files->users);
	tls_context_unref(files->tls);
	tls_store_unref(files->server_tls);
	hba_unref(files->hba);
	ident_unref(files->ident);
}

int
weir_check_files(const struct config *config, struct config_problems *problems)
{
	struct weir_files files;
	int r = weir_load_files(config, &files, problems);

	weir_files_fini(&files);
	return r;
}
