/* src/os/spawn.c - runs the program once more, as the successor of this process. */
#include "process/process_state.h"
#include "restart/handover.h"

#include "base/alloc.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUCCESSOR_FD 3

/* Returns this process's environment, with the variable for the successor. The caller frees the array and its last. */
static char **
make_environment(void)
{
	extern char **environ;
	size_t count = 0, kept = 0;
	char **made;

	while (environ[count] != NULL)
		count++;
	made = xcalloc(count + 2, sizeof(*made));
	for (size_t i = 0; i < count; i++)
		if (strncmp(environ[i], HANDOVER_VARIABLE "=", sizeof(HANDOVER_VARIABLE)) != 0)
			made[kept++] = environ[i];
	made[kept] = xasprintf("%s=%d:%ld", HANDOVER_VARIABLE, SUCCESSOR_FD, (long)getpid());
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
weir_spawn(char *const *argv, int fd, struct fail *why)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char **environment = make_environment();
	sigset_t early, all;
	pid_t pid = -1;
	int error;

	weir_early_signals(&early);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	error = posix_spawn_file_actions_adddup2(&actions, fd, SUCCESSOR_FD);
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
