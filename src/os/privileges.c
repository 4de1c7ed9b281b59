/*
 * src/os/privileges.c - changes from root to a user with fewer rights (run_as), and hides our memory from all but root.
 *
 * Everything that needs root is done before: ports are bound, keys and secrets are read. Logs and the pid file are
 * opened with the new user's rights only: that user may own the directories, and root must not write through the user's
 * links. Files that must be written or removed later are given to that user. What the user won't be able to read or
 * remove is reported at once, not at the first reload.
 */
#include "process/process_state.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

void
weir_hide_memory(void)
{
	const struct rlimit none = { 0, 0 };
	const char *wanted = getenv("PGWEIR_CORE");

	if (wanted != NULL && strcmp(wanted, "1") == 0) {
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* changing the user (run_as) has cleared it */
		return;
	}
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* Returns the user that root must become, or NULL. */
static const struct passwd *
user_to_be(const struct weir *w)
{
	const char *name = w->config->run_as;
	const struct passwd *to = name[0] != '\0' && getuid() == 0 ? getpwnam(name) : NULL;

	return to != NULL && to->pw_uid != 0 ? to : NULL;
}

int
weir_act_as_user(struct weir *w, struct fail *why)
{
	const struct passwd *to = user_to_be(w);

	if (to != NULL &&
	    (initgroups(to->pw_name, to->pw_gid) < 0 || setegid(to->pw_gid) < 0 || seteuid(to->pw_uid) < 0))
		return fail_set(why, "58000", "cannot become run_as = %s: %s", to->pw_name, strerror(errno));
	return 0;
}

bool
weir_act_as_root(struct weir *w)
{
	return user_to_be(w) != NULL && seteuid(0) == 0 && setegid(0) == 0;
}

/* Gives away only files that root owns and that have one link: a link put there must not give away another file. */
static void
give(const char *path, int flags, uid_t uid, gid_t gid)
{
	int fd = path[0] == '/' ? open(path, flags | O_NOFOLLOW | O_CLOEXEC, 0640) : -1;
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode)) && st.st_uid == 0 &&
	    st.st_nlink == 1 && fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0) {
		/* warn_of_files() reports it */
	}
	close(fd);
}

static void
give_files(const struct weir *w, uid_t uid, gid_t gid)
{
	const struct config *c = w->config;

	give(c->pid_file, O_PATH, uid, gid);
	for (size_t i = 0; i < c->listen_count; i++)
		if (c->listens[i].is_unix)
			give(c->listens[i].host, O_PATH, uid, gid);
}

void
weir_give_logs(const struct weir *w)
{
	const struct passwd *to = user_to_be(w);

	if (to == NULL)
		return;
	give(w->config->log_destination, O_WRONLY | O_CREAT | O_NOCTTY | O_NONBLOCK, to->pw_uid, to->pw_gid);
	give(w->config->slow_file, O_WRONLY | O_CREAT | O_NOCTTY | O_NONBLOCK, to->pw_uid, to->pw_gid);
}

static void
warn_if_closed(const struct weir *w, const char *path, int mode, const char *consequence)
{
	if (path[0] != '\0' && access(path, mode) < 0)
		log_warning(w->log, "run_as = %s: %s: %s; %s", w->config->run_as, path, strerror(errno), consequence);
}

static void
warn_if_stuck(const struct weir *w, const char *path)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (slash == NULL || slash == path || (size_t)(slash - path) >= sizeof(directory))
		return;
	memcpy(directory, path, (size_t)(slash - path));
	directory[slash - path] = '\0';
	if (access(directory, W_OK) < 0)
		log_warning(
		    w->log,
		    "run_as = %s: %s can't be removed at the end, %s is not writable; put it into a directory that "
		    "this user owns",
		    w->config->run_as, path, directory);
}

/* Loads them: only the loading code knows which files there are. */
static void
warn_of_tls_files(const struct weir *w)
{
	struct tls_context *clients = NULL;
	struct tls_store *servers = NULL;
	struct fail why;

	if (weir_load_tls(w->config, &clients, &why) < 0 || (servers = tls_store_new(w->config, &why)) == NULL)
		log_warning(w->log, "run_as = %s: %s; a reload will fail: chgrp and chmod 640", w->config->run_as,
			    why.text);
	tls_context_unref(clients);
	tls_store_unref(servers);
}

/* Runs as the new user. */
static void
warn_of_files(const struct weir *w)
{
	const struct config *c = w->config;

	warn_if_closed(w, c->path, R_OK, "a reload will fail: chgrp and chmod 640");
	if (c->auth_method != AUTH_TRUST)
		warn_if_closed(w, c->users_file, R_OK, "a reload will fail: chgrp and chmod 640");
	if (c->auth_method == AUTH_HBA)
		warn_if_closed(w, c->hba_file, R_OK, "a reload will fail: chgrp and chmod 640");
	warn_if_closed(w, c->ident_file, R_OK, "a reload will fail: chgrp and chmod 640");
	warn_of_tls_files(w);
	if (c->log_destination[0] == '/')
		warn_if_closed(w, c->log_destination, W_OK, "it can't be opened again after a rotation");
	if (c->slow_file[0] == '/')
		warn_if_closed(w, c->slow_file, W_OK, "it can't be opened again after a rotation");
	warn_if_stuck(w, c->pid_file);
	for (size_t i = 0; i < c->listen_count; i++)
		if (c->listens[i].is_unix)
			warn_if_stuck(w, c->listens[i].host);
}

static int
drop_rights(const struct passwd *to, struct fail *why)
{
	if (initgroups(to->pw_name, to->pw_gid) < 0 || setresgid(to->pw_gid, to->pw_gid, to->pw_gid) < 0 ||
	    setresuid(to->pw_uid, to->pw_uid, to->pw_uid) < 0)
		return fail_set(why, "58000", "cannot become run_as = %s: %s", to->pw_name, strerror(errno));
	/* A capability that was kept would give root's rights back. */
	if (setuid(0) == 0 || seteuid(0) == 0 || (to->pw_gid != 0 && setegid(0) == 0))
		return fail_set(why, "58000", "run_as = %s: root's rights could be taken back", to->pw_name);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return 0;
}

int
weir_user_check(const struct weir *w, struct fail *why)
{
	const char *name = w->config->run_as;

	return getpwnam(name) != NULL ? 0 : fail_set(why, "F0000", "run_as = %s: there is no such system user", name);
}

int
weir_become(struct weir *w, struct fail *why)
{
	const char *name = w->config->run_as;
	const struct passwd *to = name[0] != '\0' ? getpwnam(name) : NULL;

	if (geteuid() != 0) {
		if (to == NULL || to->pw_uid == geteuid())
			return 0;
		fail_set(why, "58000", "run_as = %s: only root can become another user", name);
		return fail_hint(why, "Start pgweir as root or as %s, or take run_as out of section [pgweir].", name);
	}
	if (to == NULL) {
		struct fail advice;

		fail_set(&advice, "01000", "running as root");
		fail_hint(&advice, "set run_as in section [pgweir] to a user of its own");
		log_event(w->log, LOG_LEVEL_WARNING, &(struct log_about){ .why = &advice }, "%s", advice.text);
	}
	if (to == NULL || to->pw_uid == 0)
		return 0;
	give_files(w, to->pw_uid, to->pw_gid);
	if (drop_rights(to, why) < 0)
		return -1;
	weir_hide_memory(); /* changing the user has reset it */
	warn_of_files(w);
	return 0;
}
