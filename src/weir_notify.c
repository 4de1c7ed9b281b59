/*
 * src/weir_notify.c - tells systemd how we are (sd_notify(3)): READY=1, RELOADING=1, STOPPING=1. The protocol is one
 * datagram to the socket named by NOTIFY_SOCKET; libsystemd does it where it was there at build time.
 */
#include "weir_state.h"

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
