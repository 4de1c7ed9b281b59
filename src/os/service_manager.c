/*
 * src/os/service_manager.c - talks with systemd by libsystemd: reports READY=1, RELOADING=1, STOPPING=1 and WATCHDOG=1,
 * and finds out how many sockets were passed and how often WATCHDOG=1 is expected. A build without libsystemd does none
 * of this.
 */
#include "os/os.h"
#include "build.h"

#include <stdlib.h>

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#endif

void
os_notify(const char *state)
{
#ifdef HAVE_LIBSYSTEMD
	sd_notify(0, state);
#endif
}

uint64_t
os_take_watchdog_us(void)
{
	uint64_t us = 0;

#ifdef HAVE_LIBSYSTEMD
	if (sd_watchdog_enabled(0, &us) <= 0)
		return 0;
	unsetenv("WATCHDOG_PID");
#endif
	return us;
}

int
os_take_passed_sockets(void)
{
#ifdef HAVE_LIBSYSTEMD
	int n = sd_listen_fds(1);

	return n > 0 ? n : 0;
#else
	return 0;
#endif
}
