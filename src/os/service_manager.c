/*
 * src/os/service_manager.c - reports READY=1, RELOADING=1 and STOPPING=1 to systemd (sd_notify(3)): one datagram to the
 * socket named by NOTIFY_SOCKET. libsystemd sends it, if pgweir was built with it.
 */
#include "process/process_state.h"

#include "build.h"

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#endif

void
weir_notify(const char *state)
{
#ifdef HAVE_LIBSYSTEMD
	sd_notify(0, state);
#else
	(void)state;
#endif
}
