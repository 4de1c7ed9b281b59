/*
 * src/setup/activation.c - socket activation: a service manager (systemd.socket(5)) listens, and passes its sockets
 * from descriptor 3 on (sd_listen_fds(3)). Clients that come while pgweir restarts wait there instead of being refused.
 */
#include "process/process_state.h"

#include "os/os.h"

static int
adopt(struct weir *w, const struct config *config, int i, int fd, struct fail *why)
{
	struct listener_settings s = weir_listener_settings(w, config);
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);

	s.adopted_fd = fd;
	s.is_held = weir_is_waiting_for_go(w);
	if (getsockname(s.adopted_fd, (struct sockaddr *)&at, &len) < 0)
		return fail_set(why, "58000", "descriptor %d, passed by the service manager, is not a socket",
				s.adopted_fd);
	s.is_unix = at.ss_family == AF_UNIX;
	w->listeners[i] = listener_new(w->base, &s, why);
	if (w->listeners[i] == NULL)
		return -1;
	log_info(w->log, "socket passed from service manager (fd %d)", s.adopted_fd);
	return 0;
}

/* Those that the process before this one got from the service manager. */
static int
adopt_passed(struct weir *w, const struct config *config, struct fail *why)
{
	int fd;

	for (int i = 0; i < WEIR_LISTENERS_MAX && (fd = weir_take_passed(w, 'S', NULL, 0)) != 0; i++)
		if (adopt(w, config, i, fd, why) < 0)
			return -1;
	return 0;
}

int
weir_adopt(struct weir *w, const struct config *config, struct fail *why)
{
	int count = os_passed_sockets();

	if (w->is_activated)
		return adopt_passed(w, config, why);
	if (count > WEIR_LISTENERS_MAX)
		return fail_set(why, "54000", "more than %d sockets were passed", WEIR_LISTENERS_MAX);
	for (int i = 0; i < count; i++)
		if (adopt(w, config, i, OS_FIRST_PASSED_FD + i, why) < 0)
			return -1;
	if (count > 0) {
		w->is_activated = true;
		log_warning(w->log, "sockets passed from service manager, listen is ignored");
	}
	return 0;
}
