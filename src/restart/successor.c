/*
 * src/restart/successor.c - a hitless restart, in the process that goes: it starts its successor, passes its listening
 * sockets and then its clients on, and ends when none is left. What the two say to each other: restart/handover.h.
 *
 * Its clients move there (restart/moving.c). Those that can't are served here until they leave, or until
 * restart_timeout is over; then this process stops as it does at SIGTERM.
 */
#include "process/process_state.h"

#include "os/os.h"
#include "restart/link.h"
#include "restart/handover.h"
#include "restart/moving.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "wire/frame.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MAX_US (60 * US_PER_S) /* how long a successor may take to start */
#define LOST_MAX_US (2 * US_PER_S) /* how long one may live on without its link */

enum stage {
	STAGE_STARTING,
	STAGE_MOVING, /* it accepts clients, and takes over ours */
	STAGE_LOST /* its link is broken; whether it lives is not known yet */
};

struct successor {
	struct weir *w;
	struct link *link;
	struct moving *moving; /* w->moving */
	pid_t pid;
	enum stage stage;
	uint64_t since_us;
};

/* --- starting it --- */

static void on_message(void *arg, uint8_t type, const uint8_t *body, size_t len, int fd);
static void on_drained(void *arg);
static void on_closed(void *arg);
static const struct link_ops link_ops = { on_message, on_drained, on_closed };

static void
send_listener(struct successor *s, char kind, const char *host, uint16_t port, int fd)
{
	struct buf b = { 0 };

	buf_put_u8(&b, (uint8_t)kind);
	buf_put_u16(&b, port);
	buf_put_str(&b, host);
	link_send(s->link, HANDOVER_LISTENER, b.bytes, b.len, fd);
	buf_fini(&b);
}

static void
send_sql_listener(const char *host, uint16_t port, int fd, void *arg)
{
	send_listener(arg, 'S', host, port, fd);
}

static void
send_listeners(struct successor *s)
{
	struct weir *w = s->w;
	struct buf b = { 0 };

	buf_put_u32(&b, HANDOVER_VERSION);
	buf_put_u64(&b, w->counters.restarts);
	buf_put_u8(&b, listeners_are_passed(w->listeners));
	link_send(s->link, HANDOVER_HELLO, b.bytes, b.len, -1);
	buf_fini(&b);
	listeners_each(w->listeners, send_sql_listener, s);
	if (w->http != NULL)
		send_listener(s, 'H', w->config->http_listen.host, w->config->http_listen.port,
			      http_listening_fd(w->http));
	link_send(s->link, HANDOVER_LISTENERS_END, NULL, 0, -1);
}

/* Returns 0, or -1 with *why set. */
static int
may_restart(const struct weir *w, struct fail *why)
{
	if (w->successor != NULL)
		return fail_set(why, "55000", "a restart is under way already (process %ld)", (long)w->successor->pid);
	if (weir_predecessor_lives(w)) { /* else its last clients may still be on their way, and can move again */
		fail_set(why, "55000", "the last restart is not over: the process before this one still has clients");
		return fail_hint(why, "It ends when they have left, or after restart_timeout.");
	}
	if (w->is_stopping)
		return fail_set(why, "55000", "pgweir is stopping");
	if (w->clients.x.is_suspended || pool_set_is_paused(w->pools))
		return fail_set(why, "55000", "no restart while pgweir is paused or suspended: RESUME first");
	for (const struct pool_database *d = pool_set_databases(w->pools); d != NULL; d = d->next)
		if (d->is_paused || d->is_disabled)
			return fail_set(why, "55000", "no restart while database \"%s\" is %s: %s it first", d->name,
					d->is_paused ? "paused" : "disabled", d->is_paused ? "RESUME" : "ENABLE");
	if (w->argv == NULL || w->config->path[0] == '\0' || w->config->compat == COMPAT_PGBOUNCER)
		return fail_set(why, "0A000", "a restart needs a configuration file of pgweir's own");
	if (getpid() == 1)
		return fail_set(why, "0A000", "as process 1 of a container pgweir can't have a successor");
	return 0;
}

int
weir_may_hold(struct weir *w, struct fail *why)
{
	if (w->successor != NULL)
		return fail_set(why, "55000", "pgweir restarts: clients that are in process %ld would go on",
				(long)w->successor->pid);
	if (!weir_has_predecessor(w))
		return 0;
	fail_set(why, "55000", "the last restart is not over: clients in the process before this one would go on");
	return fail_hint(why, "It ends when they have left, or after restart_timeout; SIGTERM ends it sooner.");
}

int
weir_restart(struct weir *w, struct fail *why)
{
	struct successor *s;
	int ends[2];
	pid_t pid;

	if (may_restart(w, why) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return fail_set(why, "53000", "cannot make a socket pair: %s", strerror(errno));
	pid = os_spawn(w->argv, ends[1], HANDOVER_VARIABLE, why);
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return -1;
	}
	s = xcalloc(1, sizeof(*s));
	s->w = w;
	s->pid = pid;
	s->since_us = w->now_us;
	s->link = link_new(w->base, ends[0], &link_ops, s);
	w->moving = s->moving = moving_new(w, s->link, pid);
	w->successor = s;
	log_info(w->log, "restart: the successor is process %ld", (long)pid);
	send_listeners(s);
	return 0;
}

void
weir_forget_successor(struct weir *w)
{
	struct successor *s = w->successor;

	if (s == NULL)
		return;
	w->successor = NULL;
	w->moving = NULL;
	w->clients.x.is_moving = false;
	moving_free(s->moving);
	link_free(s->link);
	free(s);
}

/* --- the end --- */

/* Nobody but the console is left. */
void
weir_end_if_moved(struct weir *w)
{
	const struct successor *s = w->successor;
	const struct client *c;

	if (s == NULL || s->stage != STAGE_MOVING || w->is_ending || moving_has_crossings(s->moving))
		return;
	TAILQ_FOREACH(c, &w->clients.clients, all)
	if (c->x.state != CL_CONSOLE)
		return;
	log_info(w->log, "restart: %" PRIu32 " clients have moved to process %ld; this one ends",
		 moving_count(s->moving), (long)s->pid);
	weir_end(w);
}

/* Both processes have servers for a while: those that are not needed here make room for the other's. */
static void
make_room_for_servers(const struct successor *s)
{
	pool_set_close_unneeded(s->w->pools, !moving_is_told(s->moving), RR_RELOAD, s->w->now_us);
}

/* The successor is ready: from here on it accepts clients. */
static void
go(struct successor *s)
{
	struct weir *w = s->w;
	char state[64];

	listeners_give_away(w->listeners);
	weir_stop_http(w);
	w->has_pid_file = false; /* it is the successor's now */
	snprintf(state, sizeof(state), "MAINPID=%ld", (long)s->pid);
	os_notify(state);
	link_send(s->link, HANDOVER_GO, NULL, 0, -1);
	s->stage = STAGE_MOVING;
	s->since_us = w->now_us;
	log_info(w->log, "restart: process %ld is ready; clients move there as they become idle", (long)s->pid);
	moving_begin(s->moving);
	make_room_for_servers(s);
	weir_end_if_moved(w);
}

static void
give_up(struct successor *s, const char *why, int why_len)
{
	struct weir *w = s->w;

	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	w->counters.restarts_failed++;
	log_error(w->log, "restart: process %ld is given up: %.*s; this process goes on", (long)s->pid, why_len, why);
	weir_forget_successor(w);
}

void
weir_abandon_successor(struct weir *w)
{
	static const char stopping[] = "pgweir is stopping";

	if (w->successor != NULL && w->successor->stage == STAGE_STARTING)
		give_up(w->successor, stopping, (int)sizeof(stopping) - 1);
}

static void
on_ready(struct successor *s, const uint8_t *body, size_t len)
{
	static const char strange[] = "it speaks another version of the handover";

	if (len != 4 || wire_u32(body) != HANDOVER_VERSION)
		give_up(s, strange, (int)sizeof(strange) - 1);
	else
		go(s);
}

bool
weir_send_successor(struct weir *w, uint8_t type, const void *body, size_t len)
{
	if (w->successor == NULL || w->successor->stage != STAGE_MOVING)
		return false;
	link_send(w->successor->link, type, body, len, -1);
	return true;
}

static void
on_message(void *arg, uint8_t type, const uint8_t *body, size_t len, int fd)
{
	struct successor *s = arg;

	if (fd >= 0)
		close(fd);
	s->w->now_us = clock_now_us();
	if (type == HANDOVER_FAILED && s->stage == STAGE_STARTING)
		give_up(s, (const char *)body, (int)(len < 1000 ? len : 1000));
	else if (type == HANDOVER_READY && s->stage == STAGE_STARTING)
		on_ready(s, body, len);
	else if ((type == HANDOVER_TAKEN || type == HANDOVER_REFUSED) && s->stage == STAGE_MOVING)
		moving_on_message(s->moving, type, body, len);
	else if ((type == HANDOVER_CANCEL || type == HANDOVER_CANCELLED) && s->stage == STAGE_MOVING)
		weir_heard_cancel(s->w, type, body, len);
	else if (type == HANDOVER_STOP && len == 1 && body[0] <= SHUTDOWN_NOW)
		weir_stop(s->w, (enum shutdown_how)body[0]);
}

static void
on_drained(void *arg)
{
	struct successor *s = arg;

	s->w->now_us = clock_now_us();
	moving_on_drained(s->moving);
}

/* The successor was ready, and has died: this process listens again, if it can. */
static void
serve_again(struct weir *w)
{
	struct fail why;

	if (w->is_stopping)
		return;
	if (weir_listen_again(w, &why) < 0) {
		log_error(w->log, "restart: the successor has died, and this process can't listen again: %s", why.text);
		weir_stop(w, SHUTDOWN_CLIENTS);
		return;
	}
	log_warning(w->log, "restart: the successor has died; this process serves again");
	weir_serve(w);
}

static void
lost(struct successor *s, bool is_dead)
{
	struct weir *w = s->w;

	log_error(w->log, "restart: process %ld %s; %" PRIu32 " clients had moved there", (long)s->pid,
		  is_dead ? "has died" : "has closed its link to this one", moving_count(s->moving));
	w->counters.restarts_failed++;
	s->stage = STAGE_LOST;
	moving_take_back(s->moving, is_dead);
	weir_end_far_cancels(w);
	weir_forget_successor(w);
	if (is_dead)
		serve_again(w);
	else
		weir_stop(w, SHUTDOWN_CLIENTS); /* the successor serves */
}

static void
on_closed(void *arg)
{
	static const char died[] = "it ended before it was ready";
	struct successor *s = arg;

	s->w->now_us = clock_now_us();
	if (s->stage == STAGE_STARTING)
		give_up(s, died, (int)sizeof(died) - 1);
	else {
		s->stage = STAGE_LOST;
		s->since_us = s->w->now_us;
		moving_stop(s->moving);
		weir_successor_tick(s->w);
	}
}

void
weir_successor_tick(struct weir *w)
{
	static const char slow[] = "it was not ready in time";
	struct successor *s = w->successor;
	uint64_t since_us = s == NULL ? 0 : w->now_us - s->since_us;

	if (s == NULL)
		return;
	if (s->stage == STAGE_STARTING && since_us >= START_MAX_US)
		give_up(s, slow, (int)sizeof(slow) - 1);
	else if (s->stage == STAGE_LOST && waitpid(s->pid, NULL, WNOHANG) == s->pid)
		lost(s, true);
	else if (s->stage == STAGE_LOST && since_us >= LOST_MAX_US)
		lost(s, false);
	else if (s->stage == STAGE_MOVING && !w->is_stopping && w->config->restart_timeout_us > 0 &&
		 since_us >= w->config->restart_timeout_us) {
		log_warning(w->log, "restart_timeout is over: %u clients that could not move are disconnected",
			    w->clients.client_count);
		weir_stop(w, SHUTDOWN_SERVERS);
	} else if (s->stage == STAGE_MOVING) {
		make_room_for_servers(s);
		moving_tick(s->moving);
		weir_end_if_moved(w);
	}
}
