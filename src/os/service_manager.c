/*
 * src/os/service_manager.c - talks with systemd: reports READY=1, RELOADING=1, STOPPING=1 and WATCHDOG=1
 * (sd_notify(3): one datagram to the socket named by NOTIFY_SOCKET; libsystemd sends it, if pgweir was built with it),
 * and finds out which sockets it has passed and how often it wants to hear of us.
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

/* A variable that names this process, or nobody. */
static bool
is_for_us(const char *variable)
{
	const char *pid = getenv(variable);

	return pid == NULL || atol(pid) == (long)getpid();
}

uint64_t
os_watchdog_us(void)
{
	const char *us = getenv("WATCHDOG_USEC");

	if (us == NULL || !is_for_us("WATCHDOG_PID"))
		return 0;
	unsetenv("WATCHDOG_PID");
	return strtoull(us, NULL, 10);
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
