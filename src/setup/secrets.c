/*
 * src/setup/secrets.c - warns about files with secrets that other users may read: private keys, files with an
 * upstream's password, and the configuration if it contains a password. users_load() checks users_file.
 */
#include "setup/setup.h"
#include "base/file.h"
#include "config/config_state.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct warning_sink {
	void (*warn)(const char *text, void *arg);
	void *arg;
};

static void
check_file(const struct warning_sink *s, const char *path)
{
	char text[512];
	struct stat st;

	if (path[0] != '\0' && stat(path, &st) == 0 && file_is_open_to_others(&st, path, text, sizeof(text)))
		s->warn(text, s->arg);
}

/* Checks the keys for connections to PostgreSQL. Skips the previous file, because sections often share a file. */
static void
check_server_keys(const struct warning_sink *s, const struct config *config)
{
	char *last = NULL;

	for (struct config_section at = { 0 }; config_next_section(config, &at);) {
		struct scope_settings settings;
		struct server_tls tls;
		struct fail why;

		if (at.scope->upstream == NULL)
			continue;
		config_compute_settings(config, at.scope, NULL, &settings);
		if (server_tls_resolve(at.scope->upstream, &settings, &tls, &why) < 0 || tls.mode == TLS_OFF ||
		    (last != NULL && strcmp(last, tls.key_file) == 0))
			continue;
		check_file(s, tls.key_file);
		free(last);
		last = strdup(tls.key_file);
	}
	free(last);
}

/* Returns true if the configuration contains an upstream's password or a secret of an auth module. */
static bool
has_secret_inside(const struct config *config)
{
	bool has_secret = config->has_password;

	for (size_t i = 0; auth_modules[i] != NULL && !has_secret; i++)
		has_secret = auth_modules[i]->holds_secret != NULL &&
			     auth_modules[i]->holds_secret(config->module_values[i].text);
	return has_secret;
}

static void
check_files(const struct warning_sink *s, const struct config *config)
{
	if (has_secret_inside(config))
		check_file(s, config->path);
	for (size_t i = 0; i < config->secret_file_count; i++)
		check_file(s, config->secret_files[i]);
	if (config->tls_mode != TLS_OFF) {
		const char *list = config->tls_key_file; /* paths separated by ", " */
		char path[PATH_MAX];

		while (*(list += strspn(list, ", ")) != '\0') {
			size_t len = strcspn(list, ",");

			if (len < sizeof(path)) {
				memcpy(path, list, len);
				path[len] = '\0';
				check_file(s, path);
			}
			list += len;
		}
	}
	if (config->http_enabled)
		check_file(s, config->http_tls_key_file);
	check_server_keys(s, config);
}

static void
warn_in_log(const char *text, void *arg)
{
	log_warning(arg, "%s", text);
}

void
setup_warn_of_secrets(const struct config *config, struct log *log)
{
	check_files(&(struct warning_sink){ warn_in_log, log }, config);
}

static void
warn_in_problems(const char *text, void *arg)
{
	problem_warning(arg, 0, "%s", text);
}

void
setup_check_secrets(const struct config *config, struct config_problems *problems)
{
	struct problem_sink sink = { .problems = problems, /* each warning names its file */
				     .source = config->origins->source,
				     .words = config_words(config) };

	check_files(&(struct warning_sink){ warn_in_problems, &sink }, config);
}
