/* src/net/bind_mode.c - see listener.h. */
#include "net/listener.h"

#include <errno.h>
#include <unistd.h>

void
listener_remove_stale(const struct sockaddr_un *un)
{
	struct stat st;
	int fd;

	if (lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)un, sizeof(*un)) < 0 && errno == ECONNREFUSED)
		unlink(un->sun_path);
	close(fd);
}

int
bind_with_mode(int fd, const struct sockaddr_un *at, mode_t mode)
{
	mode_t before = umask(0);
	int r = fchmod(fd, mode) < 0 ? -1 : bind(fd, (const struct sockaddr *)at, sizeof(*at));
	umask(before);
	return r;
}
