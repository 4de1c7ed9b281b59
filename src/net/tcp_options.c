#include "net/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* Sets an option; if value is 0, leaves the system's own value. */
static void
set(int fd, int level, int name, uint32_t value)
{
	int n = (int)value;

	if (n > 0)
		setsockopt(fd, level, name, &n, sizeof(n));
}

void
tcp_options_set(const struct tcp_options *options, int fd)
{
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, options->user_timeout_ms);
	if (!options->is_kept_alive)
		return;
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, options->probe_count);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, options->idle_s);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, options->interval_s);
}

/* With TCP_DEFER_ACCEPT, the kernel delays the accept until the client, which sends first, has sent a packet. The
 * packet is then read right after the accept, without another turn of the loop. */
void
tcp_options_set_listening(const struct tcp_options *options, int fd)
{
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set(fd, SOL_SOCKET, SO_REUSEPORT, options->is_port_shared ? 1 : 0);
	set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, options->defer_accept_s);
	tcp_options_set(options, fd);
}

void
tcp_options_set_defaults(int fd)
{
	static const int names[] = { TCP_USER_TIMEOUT, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_DEFER_ACCEPT };
	int fresh = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), n = 0;
	socklen_t len = sizeof(n);

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &n, len);
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &n, len);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (getsockopt(fresh, IPPROTO_TCP, names[i], &n, &len) == 0)
			setsockopt(fd, IPPROTO_TCP, names[i], &n, len);
	if (fresh >= 0)
		close(fresh);
}
