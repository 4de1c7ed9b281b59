/* src/os/spawn.c - runs the program once more, as another process. */
#include "os/os.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHILD_FD 3
#define OWN_VARIABLE_MAX 128
#define OWN_FILE "/proc/self/exe"

static bool
is_own_file(const char *path)
{
	struct stat at, own;

	return stat(path, &at) == 0 && stat(OWN_FILE, &own) == 0 && at.st_dev == own.st_dev && at.st_ino == own.st_ino;
}

/* Returns true if the search for name in PATH, as by execvp(3), ends at this process's own file. */
static bool
is_found_in_path(const char *name)
{
	const char *path = getenv("PATH");
	char file[PATH_MAX];

	for (size_t len; path != NULL; path = path[len] == ':' ? path + len + 1 : NULL) {
		len = strcspn(path, ":");
		snprintf(file, sizeof(file), "%.*s%s%s", (int)len, path, len > 0 ? "/" : "", name);
		if (access(file, X_OK) == 0)
			return is_own_file(file);
	}
	return false;
}

const char *
os_find_program(const char *argv0, char *room, size_t room_size)
{
	ssize_t len;

	if (strchr(argv0, '/') != NULL ? access(argv0, X_OK) == 0 : is_found_in_path(argv0))
		return argv0;
	len = readlink(OWN_FILE, room, room_size);
	if (len <= 0 || (size_t)len >= room_size)
		return argv0;
	room[len] = '\0';
	return room;
}

/* Sets *out to the signals that do not stop pgweir, but would end a process that has no handlers yet. */
static void
fill_early_signals(sigset_t *out)
{
	sigemptyset(out);
	sigaddset(out, SIGHUP);
	sigaddset(out, SIGUSR1);
	sigaddset(out, SIGUSR2);
}

void
os_unblock_signals(void)
{
	sigset_t early;

	fill_early_signals(&early);
	sigprocmask(SIG_UNBLOCK, &early, NULL);
}

/* Returns a copy of this process's environment in which `variable` has only the value in own ("variable=..."). Returns
 * NULL if there is no memory. */
static char **
make_environment(const char *variable, char *own)
{
	extern char **environ;
	size_t count = 0, kept = 0, len = strlen(variable);
	char **made;

	while (environ[count] != NULL)
		count++;
	made = calloc(count + 2, sizeof(*made));
	if (made == NULL)
		return NULL;
	for (size_t i = 0; i < count; i++)
		if (strncmp(environ[i], variable, len) != 0 || environ[i][len] != '=')
			made[kept++] = environ[i];
	made[kept] = own;
	return made;
}

/* Uses posix_spawn(), which does between fork and exec only what is safe in a process with threads. */
pid_t
os_spawn(const char *program, char *const *argv, int fd, const char *variable, struct fail *why)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char own[OWN_VARIABLE_MAX], **environment = make_environment(variable, own);
	sigset_t early, all;
	pid_t pid = -1;
	int error;

	fill_early_signals(&early);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	error = posix_spawn_file_actions_adddup2(&actions, fd, CHILD_FD);
	posix_spawnattr_setsigmask(&attributes, &early);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (error == 0 && environment == NULL)
		error = ENOMEM;
	snprintf(own, sizeof(own), "%s=%d:%ld", variable, CHILD_FD, (long)getpid());
	if (error == 0)
		error = posix_spawnp(&pid, program, &actions, &attributes, argv, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	free(environment);
	if (error == 0)
		return pid;
	fail_set(why, "58000", "could not start %s: %s", program, strerror(error));
	return -1;
}
