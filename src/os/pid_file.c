/* src/os/pid_file.c - the file that has the process's PID. */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Writes a temporary file and renames it, so that no reader gets half a PID. If the user may not create files in the
 * directory, writes to the existing file. Returns 0, or -1 with errno set. */
static int
make_pid_file(const char *path)
{
	char temporary[PATH_MAX];
	int fd;
	bool is_written, is_in_place;

	if (snprintf(temporary, sizeof(temporary), "%s~", path) >= (int)sizeof(temporary)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	is_in_place = fd < 0 && errno == EACCES && getuid() != 0;
	/* the user of run_as may write the file, which root has made, but may not add files to the directory */
	if (is_in_place)
		fd = open(path, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	is_written = dprintf(fd, "%ld\n", (long)getpid()) > 0;
	if (close(fd) != 0 || !is_written)
		return -1;
	return is_in_place ? 0 : rename(temporary, path);
}

/* With run_as, root writes the file only if the user of run_as can't. A user who can't create files there can't have
 * put a symbolic link there, either. */
int
os_write_pid_file(const struct config *config, struct fail *why)
{
	const char *path = config->pid_file;
	int r, error;

	if (path[0] == '\0')
		return 0;
	if (os_act_as_user(config, why) < 0)
		return -1;
	r = make_pid_file(path);
	error = errno;
	if (os_act_as_root(config) && r < 0 && error == EACCES) {
		r = make_pid_file(path);
		error = errno;
	}
	if (r < 0)
		return fail_set(why, "58000", "could not write pid_file %s: %s", path, strerror(error));
	return 0;
}

/* If the user of run_as may write but not remove the file, the file is left empty, so that no tool takes the PID in it
 * for that of a live process. */
void
os_remove_pid_file(const struct config *config, struct log *log)
{
	const char *path = config->pid_file;

	if (unlink(path) < 0 && truncate(path, 0) < 0 && errno != ENOENT)
		log_warning(log, "could not remove pid_file %s: %s", path, strerror(errno));
}
