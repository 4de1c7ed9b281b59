/*
 * src/os/service_manager.c - talks with systemd: reports READY=1, RELOADING=1 and STOPPING=1 (sd_notify(3): one
 * datagram to the socket named by NOTIFY_SOCKET; libsystemd sends it, if pgweir was built with it), and finds out which
 * sockets it has passed.
 */
#include "os/os.h"

#include "build.h"

#include <stdlib.h>
#include <unistd.h>

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#endif

void
os_notify(const char *state)
{
#ifdef HAVE_LIBSYSTEMD
	sd_notify(0, state);
#else
	(void)state;
#endif
}

int
os_passed_sockets(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	int n = pid != NULL && count != NULL && atol(pid) == (long)getpid() ? atoi(count) : 0;

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return n;
}
