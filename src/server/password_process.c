/* src/server/password_process.c - see passwords.h. */
#include "server/passwords.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUT_MAX 16384
#define ERR_MAX 512
#define READS_MAX 64 /* reads in a turn of the loop, so a command that writes without end does not hold up the loop */
#define TIMEOUT_US (30 * US_PER_S)
#define OURS 4 /* variables that pgweir adds to the environment */
#define VARIABLE_MAX ((size_t)512)

struct password_process {
	pid_t pid; /* also its process group */
	int out, err;
	uint64_t deadline_us;
	bool is_late;
	size_t out_len, err_len;
	char out_bytes[OUT_MAX + 1], err_bytes[ERR_MAX + 1]; /* wiped when the process is freed */
};

/* Returns the environment for the command: the variables in `ours`, then the variables of pgweir's own environment,
 * except for those in hidden[]. The caller frees the array. Returns NULL if out of memory. */
static char **
make_environment(char ours[OURS][VARIABLE_MAX])
{
	static const char *const hidden[] = { "PGHOST=", "PGPORT=", "PGUSER=", "PGDATABASE=", "PGPASSWORD=", NULL };
	size_t count = 0, n = 0;
	char **made;

	while (environ[count] != NULL)
		count++;
	made = calloc(count + OURS + 1, sizeof(*made));
	for (size_t i = 0; i < OURS && made != NULL; i++)
		made[n++] = ours[i];
	for (size_t i = 0; i < count && made != NULL; i++) {
		bool is_hidden = false;

		for (size_t j = 0; hidden[j] != NULL; j++)
			is_hidden |= strncmp(environ[i], hidden[j], strlen(hidden[j])) == 0;
		if (!is_hidden)
			made[n++] = environ[i];
	}
	return made;
}

/* Starts the command in a shell, which inherits only `out` and `err`, and no signal settings. */
static int
spawn(const char *command, int out, int err, char **environment, pid_t *pid)
{
	char *argv[] = { (char *)"/bin/sh", (char *)"-c", (char *)(uintptr_t)command, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t all, none;
	int r;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);
	/* If an action fails (no memory), nothing runs: the password could go to pgweir's own output. */
	if ((r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)) == 0 &&
	    (r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO)) == 0 &&
	    (r = posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO)) == 0)
		r = posix_spawn(pid, argv[0], &actions, &attributes, argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return r;
}

static int
spawn_for(const struct password_request *request, int out, int err, pid_t *pid)
{
	char ours[OURS][VARIABLE_MAX], **environment = make_environment(ours);
	int r;

	snprintf(ours[0], VARIABLE_MAX, "PGHOST=%s", request->host);
	snprintf(ours[1], VARIABLE_MAX, "PGPORT=%u", request->port);
	snprintf(ours[2], VARIABLE_MAX, "PGUSER=%s", request->user);
	snprintf(ours[3], VARIABLE_MAX, "PGDATABASE=%s", request->database);
	r = environment == NULL ? ENOMEM : spawn(request->command, out, err, environment, pid);
	free(environment);
	return r;
}

static void
process_free(struct password_process *process)
{
	close(process->out);
	close(process->err);
	OPENSSL_cleanse(process, sizeof(*process));
	free(process);
}

struct password_process *
password_process_new(const struct password_request *request, uint64_t now_us, struct fail *why)
{
	struct password_process *process = calloc(1, sizeof(*process));
	int out[2], err[2], r;
	pid_t pid = 0;

	if (process == NULL || pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0) {
		fail_set(why, errno == ENOMEM ? "53200" : "53000", "could not create a pipe: %s", strerror(errno));
		free(process);
		return NULL;
	}
	if (pipe2(err, O_CLOEXEC | O_NONBLOCK) < 0) {
		fail_set(why, "53000", "could not create a pipe: %s", strerror(errno));
		close(out[0]);
		close(out[1]);
		free(process);
		return NULL;
	}
	/* Only the command writes to the pipes, and commands expect writes to block. */
	fcntl(out[1], F_SETFL, 0);
	fcntl(err[1], F_SETFL, 0);
	r = spawn_for(request, out[1], err[1], &pid);
	close(out[1]);
	close(err[1]);
	process->out = out[0];
	process->err = err[0];
	if (r != 0) {
		process_free(process);
		fail_set(why, r == ENOMEM ? "53200" : "58000", "could not run /bin/sh: %s", strerror(r));
		return NULL;
	}
	process->pid = pid;
	process->deadline_us = now_us + TIMEOUT_US;
	return process;
}

/* Reads the output that has come, in READS_MAX reads at most. Output after the first `cap` bytes is dropped, so the
 * command is not held up; *len is then cap + 1. */
static void
drain(int fd, char *bytes, size_t cap, size_t *len)
{
	char rest[512];

	for (int i = 0; i < READS_MAX; i++) {
		bool is_full = *len >= cap;
		ssize_t n = is_full ? read(fd, rest, sizeof(rest)) : read(fd, bytes + *len, cap - *len);

		if (n <= 0)
			break;
		*len = is_full ? cap + 1 : *len + (size_t)n;
	}
	OPENSSL_cleanse(rest, sizeof(rest));
}

/* Sets *why. Only the log may show the detail, the first line of the error output, which may contain a secret. */
static int
put_failure(struct password_process *process, struct fail *why, const char *what, int number)
{
	process->err_bytes[process->err_len < ERR_MAX ? process->err_len : ERR_MAX] = '\0';
	process->err_bytes[strcspn(process->err_bytes, "\r\n")] = '\0';
	for (char *at = process->err_bytes; *at != '\0'; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';
	fail_set(why, "08001", "%s %d", what, number);
	if (process->err_bytes[0] != '\0')
		fail_detail(why, "%.120s", process->err_bytes);
	return fail_hint(why, "Run it by hand as pgweir's user, with PGHOST, PGPORT, PGUSER and PGDATABASE set.");
}

static int
conclude(struct password_process *process, int status, char **password, struct fail *why)
{
	char *line = process->out_bytes;
	size_t len = strcspn(line, "\r\n");

	if (process->is_late)
		return fail_set(why, "08001", "it took longer than %d s", (int)(TIMEOUT_US / US_PER_S));
	if (WIFSIGNALED(status))
		return put_failure(process, why, "it was terminated by signal", WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return put_failure(process, why, "exit status", WEXITSTATUS(status));
	/* The first line is the password. */
	if (process->out_len > OUT_MAX)
		return fail_set(why, "08001", "it printed more than %d bytes", OUT_MAX);
	if (len == 0)
		return fail_set(why, "08001", "it printed no password");
	if (strlen(line) != process->out_len)
		return fail_set(why, "08001", "it printed a zero byte");
	*password = strndup(line, len);
	return *password != NULL ? 1 : fail_memory(why, "the password");
}

int
password_process_poll(struct password_process *process, uint64_t now_us, char **password, struct fail *why)
{
	int status = 0, r;
	pid_t gone = waitpid(process->pid, &status, WNOHANG);
	int error = errno;

	drain(process->out, process->out_bytes, OUT_MAX, &process->out_len);
	drain(process->err, process->err_bytes, ERR_MAX, &process->err_len);
	if (gone == 0) {
		if (now_us >= process->deadline_us) {
			process->is_late = true;
			kill(-process->pid, SIGKILL);
		}
		return 0;
	}
	/* Without an exit status, the output is not used: the command may have failed. */
	r = gone < 0 ? fail_set(why, "58000", "its exit status is not known: %s", strerror(error))
		     : conclude(process, status, password, why);
	process_free(process);
	return r;
}

void
password_process_kill(struct password_process *process)
{
	int status;

	kill(-process->pid, SIGKILL);
	waitpid(process->pid, &status, 0);
	process_free(process);
}
