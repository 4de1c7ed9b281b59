/* src/net/bind_mode.c - see listener.h. */
#include "net/listener.h"

#include <sys/socket.h>

int
bind_with_mode(int fd, const struct sockaddr_un *at, mode_t mode)
{
	mode_t before = umask(0);
	int r = fchmod(fd, mode) < 0 ? -1 : bind(fd, (const struct sockaddr *)at, sizeof(*at));

	umask(before);
	return r;
}
