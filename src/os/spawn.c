/* src/os/spawn.c - runs the program once more, as another process. */
#include "os/os.h"

#include "base/alloc.h"

#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHILD_FD 3

/* Signals that would end a process which has no handlers yet. */
static void
early_signals(sigset_t *out)
{
	sigemptyset(out);
	sigaddset(out, SIGHUP);
	sigaddset(out, SIGUSR1);
	sigaddset(out, SIGUSR2);
}

void
os_admit_signals(void)
{
	sigset_t early;

	early_signals(&early);
	sigprocmask(SIG_UNBLOCK, &early, NULL);
}

/* Returns this process's environment, with the variable for the other one. The caller frees the array and its last. */
static char **
make_environment(const char *variable)
{
	extern char **environ;
	size_t count = 0, kept = 0, len = strlen(variable);
	char **made;

	while (environ[count] != NULL)
		count++;
	made = xcalloc(count + 2, sizeof(*made));
	for (size_t i = 0; i < count; i++)
		if (strncmp(environ[i], variable, len) != 0 || environ[i][len] != '=')
			made[kept++] = environ[i];
	made[kept] = xasprintf("%s=%d:%ld", variable, CHILD_FD, (long)getpid());
	return made;
}

static void
free_environment(char **made)
{
	size_t count = 0;

	while (made[count] != NULL)
		count++;
	free(made[count - 1]);
	free(made);
}

/* There are threads: posix_spawn() does between fork and exec only what is safe then. */
pid_t
os_spawn(char *const *argv, int fd, const char *variable, struct fail *why)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char **environment = make_environment(variable);
	sigset_t early, all;
	pid_t pid = -1;
	int error;

	early_signals(&early);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	error = posix_spawn_file_actions_adddup2(&actions, fd, CHILD_FD);
	posix_spawnattr_setsigmask(&attributes, &early);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (error == 0)
		error = posix_spawnp(&pid, argv[0], &actions, &attributes, argv, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	free_environment(environment);
	if (error == 0)
		return pid;
	fail_set(why, "58000", "cannot start %s: %s", argv[0], strerror(error));
	return -1;
}
