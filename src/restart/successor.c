/*
 * src/restart/successor.c - a hitless restart, in the old process: the old process starts its successor, passes its
 * listening sockets and then its clients to the successor, and ends when no client is left. restart/handover.h has the
 * messages between the two.
 *
 * restart/moving.c moves the clients. Clients that can't move are served here until they leave, or until
 * restart_timeout is over; then this process stops when open transactions are finished (SHUTDOWN_WAIT_FOR_SERVERS).
 */
#include "restart/restart_state.h"
#include "os/os.h"
#include "restart/link.h"
#include "restart/handover.h"
#include "base/clock.h"
#include "client/clients.h"
#include "wire/frame.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MAX_US (60 * US_PER_S) /* how long a successor may take to start */
#define LOST_MAX_US (2 * US_PER_S) /* how long a successor may take to die after the link is lost */

enum stage {
	STAGE_STARTING,
	STAGE_MOVING, /* the successor accepts clients, and takes over ours */
	STAGE_LOST, /* the link is broken; it is not known yet whether the successor lives */
	STAGE_OVER /* in the next halt, clients on their way are read here again */
};

struct successor {
	struct restart *r;
	struct link *link;
	struct moving *moving; /* the same as r->moving */
	pid_t pid;
	enum stage stage;
	bool is_dead; /* true if the successor has died, and waitpid() has returned it */
	uint64_t since_us;
};

void
restart_forget_successor(struct restart *r)
{
	struct successor *s = r == NULL ? NULL : r->successor;

	if (s == NULL)
		return;
	if (r->host.main_env->x.is_moving) {
		/* This runs in a halt, or when no other thread is left, so no client moves meanwhile. */
		for (struct client_env *const *at = r->host.main_env->client_envs; *at != NULL; at++)
			(*at)->x.is_moving = false;
		parked_set_room(r->parked, 0, 0);
		parked_tick(r->parked, NULL);
	}
	r->successor = NULL;
	r->moving = NULL;
	moving_free(s->moving);
	link_free(s->link);
	free(s);
}

/* --- the end --- */

/* Ends this process if no client is on its way, and only the console's clients are left. */
void
restart_end_if_moved(struct restart *r)
{
	const struct successor *s = r->successor;

	if (s == NULL || s->stage != STAGE_MOVING || r->end == RESTART_ENDS || moving_has_transfers(s->moving) ||
	    clients_are_left(r->host.main_env))
		return;
	log_info(restart_env(r)->log, "restart: %s moved to process %ld; this one ends",
		 base_format_count(r->moved, "client has", "clients have").text, (long)s->pid);
	r->host.end(r->host.w);
}

/* Closes the servers of pools in which no client waits, because for a while both processes have servers, and the
 * successor's servers need room. */
static void
make_room_for_servers(const struct restart *r, struct client_env *env)
{
	pool_set_close_unneeded(env->x.pools, !r->has_reported, RR_RELOAD, *env->x.now_us);
}

void
restart_worker_tick(struct restart *r, struct client_env *env)
{
	if (!env->x.is_moving)
		return;
	parked_tick(r->parked, env);
	make_room_for_servers(r, env);
}

/* Kills a successor that can't start. why_len is the length of why in bytes, or -1 if why is terminated. */
static void
give_up(struct successor *s, const char *why, int why_len)
{
	struct restart *r = s->r;

	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	restart_env(r)->counters->restarts_failed++;
	log_error(restart_env(r)->log, "restart: gave up on process %ld: %.*s; this process continues", (long)s->pid,
		  why_len, why);
	restart_forget_successor(r);
}

/* Called when the successor is ready. Makes it accept clients in place of this process; if the workers can't be halted,
 * gives up the successor. */
static void
let_successor_serve(struct successor *s)
{
	struct restart *r = s->r;
	struct buf last_id = { 0 };
	char state[64];
	struct fail why;

	if (r->host.halt(r->host.w, &why) < 0) {
		give_up(s, why.text, -1);
		return;
	}
	listeners_stop_for_successor(r->host.listeners);
	r->host.hand_over_duties(r->host.w);
	snprintf(state, sizeof(state), "MAINPID=%ld", (long)s->pid);
	os_notify(state);
	buf_put_u64(&last_id, atomic_load(r->host.last_id));
	link_send_buf(s->link, HANDOVER_GO, &last_id, -1);
	s->stage = STAGE_MOVING;
	s->since_us = restart_now_us(r);
	log_info(restart_env(r)->log, "restart: process %ld is ready; clients move there as they become idle",
		 (long)s->pid);
	moving_begin(s->moving);
	for (struct client_env *const *at = r->host.main_env->client_envs; *at != NULL; at++)
		make_room_for_servers(r, *at);
	r->host.end_the_halt(r->host.w);
	restart_end_if_moved(r);
}

void
restart_abandon_successor(struct restart *r)
{
	if (r->successor != NULL && r->successor->stage == STAGE_STARTING)
		give_up(r->successor, "pgweir is stopping", -1);
}

bool
restart_send_successor(struct restart *r, uint8_t type, const void *body, size_t len)
{
	if (r->successor == NULL || r->successor->stage != STAGE_MOVING)
		return false;
	link_send(r->successor->link, type, body, len, -1);
	return true;
}

static void
on_message(void *arg, uint8_t type, const uint8_t *body, size_t len, int fd)
{
	struct successor *s = arg;

	if (fd >= 0)
		close(fd);
	*restart_env(s->r)->now_us = clock_now_us();
	if (type == HANDOVER_FAILED && s->stage == STAGE_STARTING)
		give_up(s, (const char *)body, (int)(len < 1000 ? len : 1000));
	else if (type == HANDOVER_READY && s->stage == STAGE_STARTING) {
		if (len != 4 || wire_u32(body) != HANDOVER_VERSION)
			give_up(s, "its handover protocol has another version", -1);
		else
			let_successor_serve(s);
	} else if ((type == HANDOVER_TAKEN || type == HANDOVER_REFUSED) && s->stage == STAGE_MOVING)
		moving_on_message(s->moving, type, body, len);
	else if ((type == HANDOVER_CANCEL || type == HANDOVER_CANCELLED) && s->stage == STAGE_MOVING)
		restart_on_cancel(s->r, type, body, len);
	else if (type == HANDOVER_STOP && len == 1 && body[0] <= SHUTDOWN_NOW)
		s->r->host.stop(s->r->host.w, (enum shutdown_how)body[0]);
}

static void
on_batch_end(void *arg)
{
	const struct successor *s = arg;

	moving_on_batch_end(s->moving);
}

static void
on_drained(void *arg)
{
	const struct successor *s = arg;

	*restart_env(s->r)->now_us = clock_now_us();
	moving_on_drained(s->moving);
}

/* Called when the link is lost for good. The next halt takes back the clients that are on their way. */
static void
lose_successor(struct successor *s)
{
	struct restart *r = s->r;
	const struct restart_host *host = &r->host;
	struct log *log = restart_env(r)->log;
	struct fail why;

	log_error(log, "restart: process %ld %s; %s had moved there", (long)s->pid,
		  s->is_dead ? "has died" : "has closed its link to this one",
		  base_format_count(r->moved, "client", "clients").text);
	restart_env(r)->counters->restarts_failed++;
	s->stage = STAGE_OVER;
	restart_end_forwarded_cancels(r);
	if (!s->is_dead || r->end != RESTART_GOES_ON)
		return;
	/* The successor was ready, and has died: this process listens again if it can. */
	if (host->listen_again(host->w, &why) < 0) {
		log_error(log, "restart: the successor has died, and this process cannot listen again: %s", why.text);
		host->stop(host->w, SHUTDOWN_WAIT_FOR_CLIENTS);
		return;
	}
	log_warning(log, "restart: the successor has died; this process serves again");
	host->begin_service(host->w);
}

static void
forget_lost_successor(struct successor *s)
{
	struct restart *r = s->r;
	bool is_dead = s->is_dead;
	struct fail why;

	if (r->host.halt(r->host.w, &why) < 0)
		return;
	moving_take_back(s->moving, is_dead);
	restart_forget_successor(r);
	r->host.end_the_halt(r->host.w);
	if (!is_dead)
		r->host.stop(r->host.w, SHUTDOWN_WAIT_FOR_CLIENTS); /* the successor still serves */
}

static void
on_closed(void *arg)
{
	struct successor *s = arg;

	*restart_env(s->r)->now_us = clock_now_us();
	if (s->stage == STAGE_STARTING)
		give_up(s, "it ended before it was ready", -1);
	else {
		s->stage = STAGE_LOST;
		s->since_us = restart_now_us(s->r);
		moving_stop(s->moving);
		restart_successor_tick(s->r);
	}
}

void
restart_successor_tick(struct restart *r)
{
	struct successor *s = r->successor;
	uint64_t since_us = s == NULL ? 0 : restart_now_us(r) - s->since_us;
	uint64_t max_us = restart_env(r)->config->restart_timeout_us;

	if (s == NULL)
		return;
	if (s->stage == STAGE_STARTING && since_us >= START_MAX_US)
		give_up(s, "it was not ready in time", -1);
	else if (s->stage == STAGE_LOST || s->stage == STAGE_OVER) {
		s->is_dead = s->is_dead || waitpid(s->pid, NULL, WNOHANG) == s->pid;
		if (s->stage == STAGE_LOST && (s->is_dead || restart_now_us(s->r) - s->since_us >= LOST_MAX_US))
			lose_successor(s);
		if (s->stage == STAGE_OVER)
			forget_lost_successor(s);
	} else if (s->stage == STAGE_MOVING && r->end == RESTART_GOES_ON && max_us > 0 && since_us >= max_us) {
		log_warning(restart_env(r)->log, "restart_timeout is over: disconnecting %s that could not move",
			    base_format_count(clients_count(r->host.main_env), "client", "clients").text);
		r->host.stop(r->host.w, SHUTDOWN_WAIT_FOR_SERVERS);
	} else
		restart_end_if_moved(r);
}

bool
restart_has_successor(const struct restart *r)
{
	return r != NULL && r->successor != NULL;
}

/* --- starting the successor --- */

static const struct link_ops link_ops = { on_message, on_batch_end, on_drained, on_closed };

static void
send_listener(struct successor *s, char kind, const char *host, uint16_t port, int fd)
{
	struct buf b = { 0 };

	buf_put_u8(&b, (uint8_t)kind);
	buf_put_u16(&b, port);
	buf_put_str(&b, host);
	link_send_buf(s->link, HANDOVER_LISTENER, &b, fd);
}

static void
send_sql_listener(const char *host, uint16_t port, int fd, void *arg)
{
	send_listener(arg, 'S', host, port, fd);
}

static void
send_listeners(struct successor *s, int http_fd)
{
	const struct restart *r = s->r;
	const struct config_listen *http = &restart_env(r)->config->http_listen;
	struct buf b = { 0 };

	buf_put_u32(&b, HANDOVER_VERSION);
	buf_put_u64(&b, restart_env(r)->counters->restarts);
	buf_put_u8(&b, listeners_are_passed(r->host.listeners));
	link_send_buf(s->link, HANDOVER_HELLO, &b, -1);
	listeners_each(r->host.listeners, send_sql_listener, s);
	if (http_fd >= 0)
		send_listener(s, 'H', http->host, http->port, http_fd);
	link_send(s->link, HANDOVER_LISTENERS_END, NULL, 0, -1);
}

/* Checks that a restart can begin. Returns 0, or -1 with *why set. */
static int
check_restart(const struct restart *r, struct fail *why)
{
	const struct exchange_env *env = restart_env(r);

	if (r->successor != NULL)
		return fail_set(why, "55000", "a restart is under way already (process %ld)", (long)r->successor->pid);
	/* clients that still come from a dead process do not prevent a restart: they can move again */
	if (restart_predecessor_may_live(r)) {
		fail_set(why, "55000", "the last restart is not over: the previous process still has clients");
		return fail_hint(why, "It ends when they have left, or after restart_timeout.");
	}
	if (r->end != RESTART_GOES_ON)
		return fail_set(why, "55000", "pgweir is stopping");
	if (env->is_suspended || pool_set_is_paused(env->pools))
		return fail_set(why, "55000", "no restart while pgweir is paused or suspended: RESUME first");
	for (const struct pool_database *d = pool_set_databases(env->pools); d != NULL; d = d->next)
		if (d->is_paused || d->is_disabled)
			return fail_set(why, "55000", "no restart while database \"%s\" is %s: %s it first", d->name,
					d->is_paused ? "paused" : "disabled", d->is_paused ? "RESUME" : "ENABLE");
	if (r->host.program == NULL || env->config->path[0] == '\0')
		return fail_set(why, "0A000", "a restart needs a configuration file");
	if (getpid() == 1)
		return fail_set(why, "0A000", "pgweir cannot restart as process 1 of a container");
	return 0;
}

int
restart_check_owns_all_clients(const struct restart *r, struct fail *why)
{
	if (r->successor != NULL)
		return fail_set(why, "55000", "pgweir restarts: clients that are in process %ld would go on",
				(long)r->successor->pid);
	if (r->predecessor == NULL)
		return 0;
	fail_set(why, "55000", "the last restart is not over: clients in the previous process would go on");
	return fail_hint(why, "It ends when they have left, or after restart_timeout; SIGTERM ends it sooner.");
}

int
restart_begin(struct restart *r, int http_fd, struct fail *why)
{
	struct successor *s;
	pid_t pid;
	int ends[2];

	if (check_restart(r, why) < 0)
		return -1;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return fail_memory(why, "a restart");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		free(s);
		return fail_set(why, "53000", "could not create a socket pair: %s", strerror(errno));
	}
	s->r = r;
	s->since_us = restart_now_us(r);
	s->pid = os_spawn(r->host.program, r->host.argv, ends[1], HANDOVER_VARIABLE, why);
	close(ends[1]);
	if (s->pid < 0) {
		close(ends[0]);
		free(s);
		return -1;
	}
	s->link = link_new(restart_env(r)->base, ends[0], &link_ops, s);
	s->moving = s->link == NULL ? NULL : moving_new(r, s->link, s->pid);
	if (s->moving == NULL) {
		kill(s->pid, SIGKILL);
		waitpid(s->pid, NULL, 0);
		link_free(s->link);
		free(s);
		return fail_memory(why, "a restart");
	}
	r->moving = s->moving;
	r->successor = s;
	pid = s->pid;
	send_listeners(s, http_fd);
	log_info(restart_env(r)->log, "restart: the successor is process %ld", (long)pid);
	return 0;
}
