/*
 * src/setup/run_as.c - warns of files of the configuration that the user of run_as can't read, write or remove.
 * Otherwise the first reload, log rotation or shutdown would show the problem.
 */
#include "config/config_keys.h"
#include "setup/setup.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static void
warn_if_denied(const struct config *c, struct log *log, const char *path, int mode, const char *consequence)
{
	if (path[0] != '\0' && access(path, mode) < 0)
		log_warning(log, "run_as = %s: %s: %s; %s", c->run_as, path, strerror(errno), consequence);
}

static void
warn_if_unremovable(const struct config *c, struct log *log, const char *path)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (slash == NULL || slash == path || (size_t)(slash - path) >= sizeof(directory))
		return;
	memcpy(directory, path, (size_t)(slash - path));
	directory[slash - path] = '\0';
	if (access(directory, W_OK) < 0)
		log_warning(
		    log,
		    "run_as = %s: %s cannot be removed at the end, %s is not writable; put it into a directory that "
		    "this user owns",
		    c->run_as, path, directory);
}

void
setup_warn_as_user(const struct config *c, struct log *log)
{
	struct tls_context *clients = NULL, *http = NULL;
	struct tls_store *servers = NULL;
	const struct config_key *key;
	struct fail why;

	warn_if_denied(c, log, c->path, R_OK, "a reload will fail: chgrp and chmod 640");
	if (c->auth_method != AUTH_TRUST)
		warn_if_denied(c, log, c->users_file, R_OK, "a reload will fail: chgrp and chmod 640");
	if (c->auth_method == AUTH_HBA)
		warn_if_denied(c, log, c->hba_file, R_OK, "a reload will fail: chgrp and chmod 640");
	warn_if_denied(c, log, c->ident_file, R_OK, "a reload will fail: chgrp and chmod 640");
	/* Loads the files of TLS, because only the loading code knows which files there are. */
	if (setup_load_tls(c, &clients, &why) < 0 || setup_load_http_tls(c, &http, &why) < 0 ||
	    (servers = tls_store_new(c, &why)) == NULL)
		log_warning(log, "run_as = %s: %s; a reload will fail: chgrp and chmod 640", c->run_as, why.text);
	tls_context_unref(clients);
	tls_context_unref(http);
	tls_store_unref(servers);
	for (size_t row = 0; (key = config_next_log(&row)) != NULL;)
		if (key_path(key, c)[0] == '/')
			warn_if_denied(c, log, key_path(key, c), W_OK, "it cannot be opened again after a rotation");
	warn_if_unremovable(c, log, c->pid_file);
	for (size_t i = 0; i < c->listen_count; i++)
		if (config_listen_is_unix(&c->listens[i]))
			warn_if_unremovable(c, log, c->listens[i].host);
}
