/*
 * src/os/privileges.c - changes from root to a user with fewer rights (run_as), and hides memory from all but root.
 *
 * Everything that needs root is done before the change: ports are bound, keys and secrets are read. Logs, and the pid
 * file if possible, are opened with the new user's rights: that user may own the directories, and root must not write
 * through links that the user has put there. Files that must be written or removed later are given to that user.
 */
#include "config/config_keys.h"
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

void
os_hide_memory(void)
{
	const struct rlimit none = { 0, 0 };
	const char *wanted = getenv("PGWEIR_CORE");

	if (wanted != NULL && strcmp(wanted, "1") == 0) {
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* changing the user (run_as) has cleared this attribute */
		return;
	}
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* Returns the user that the process must become, or NULL if the process is not root or run_as names no other user. */
static const struct passwd *
user_to_be(const struct config *config)
{
	const char *name = config->run_as;
	const struct passwd *to = name[0] != '\0' && getuid() == 0 ? getpwnam(name) : NULL;

	return to != NULL && to->pw_uid != 0 ? to : NULL;
}

int
os_act_as_user(const struct config *config, struct fail *why)
{
	const struct passwd *to = user_to_be(config);

	if (to != NULL &&
	    (initgroups(to->pw_name, to->pw_gid) < 0 || setegid(to->pw_gid) < 0 || seteuid(to->pw_uid) < 0))
		return fail_set(why, "58000", "could not switch to run_as = %s: %s", to->pw_name, strerror(errno));
	return 0;
}

bool
os_act_as_root(const struct config *config)
{
	return user_to_be(config) != NULL && seteuid(0) == 0 && setegid(0) == 0;
}

/* Gives away only files that root owns and that have one name, because the new user may have put a hard link to another
 * file of root's there. */
static void
give_file(const char *path, int flags, uid_t uid, gid_t gid)
{
	int fd = path[0] == '/' ? open(path, flags | O_NOFOLLOW | O_CLOEXEC, 0640) : -1;
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode)) && st.st_uid == 0 &&
	    st.st_nlink == 1 && fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0) {
		/* setup_warn_as_user() reports the failure */
	}
	close(fd);
}

void
os_chown_logs(const struct config *config)
{
	const struct passwd *to = user_to_be(config);
	const struct config_key *key;

	for (size_t row = 0; to != NULL && (key = config_next_log(&row)) != NULL;)
		give_file(key_path(key, config), O_WRONLY | O_CREAT | O_NOCTTY | O_NONBLOCK, to->pw_uid, to->pw_gid);
}

static int
drop_rights(const struct passwd *to, struct fail *why)
{
	if (initgroups(to->pw_name, to->pw_gid) < 0 || setresgid(to->pw_gid, to->pw_gid, to->pw_gid) < 0 ||
	    setresuid(to->pw_uid, to->pw_uid, to->pw_uid) < 0)
		return fail_set(why, "58000", "could not switch to run_as = %s: %s", to->pw_name, strerror(errno));
	/* A capability that was kept would give root's rights back. */
	if (setuid(0) == 0 || seteuid(0) == 0 || (to->pw_gid != 0 && setegid(0) == 0))
		return fail_set(why, "58000", "run_as = %s: root's privileges could be regained", to->pw_name);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return 0;
}

int
os_check_user(const struct config *config, struct fail *why)
{
	const char *name = config->run_as;

	return name[0] == '\0' || getpwnam(name) != NULL
		   ? 0
		   : fail_set(why, "F0000", "run_as = %s: there is no such system user", name);
}

int
os_become_user(const struct config *config, struct log *log, struct fail *why)
{
	const char *name = config->run_as;
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
		fail_hint(&advice, "Set run_as in section [pgweir] to a user of its own.");
		log_event(log, LOG_LEVEL_WARNING, &(struct log_about){ .why = &advice }, "%s", advice.text);
	}
	if (to == NULL || to->pw_uid == 0)
		return 0;
	give_file(config->pid_file, O_PATH, to->pw_uid, to->pw_gid);
	for (size_t i = 0; i < config->listen_count; i++)
		if (config_listen_is_unix(&config->listens[i]))
			give_file(config->listens[i].host, O_PATH, to->pw_uid, to->pw_gid);
	if (drop_rights(to, why) < 0)
		return -1;
	os_hide_memory(); /* changing the user has reset PR_SET_DUMPABLE */
	return 1;
}
