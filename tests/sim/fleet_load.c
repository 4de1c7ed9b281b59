/* tests/sim/fleet_load.c - see fleet_sim.h. */
#include "fleet_sim.h"

#include "auth/encoding.h"
#include "client/clients.h"
#include "kernel.h"
#include "load/load_state.h"
#include "session_quiet.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What is told of a process is as long in each run as in any other. */
#define IN_PLACE_OF_LIBRARY __attribute__((visibility("default")))

IN_PLACE_OF_LIBRARY pid_t
getpid(void)
{
	return 1000;
}

IN_PLACE_OF_LIBRARY int
gethostname(char *name, size_t len)
{
	snprintf(name, len, "host");
	return 0;
}

/* --- processes --- */

static struct config *
make_config(const struct fleet_sim *s, unsigned number)
{
	struct config_problems problems = { 0 };
	struct config *config;
	struct buf b = { 0 };
	char path[FLEET_FOLDER_LEN + 32];

	buf_printf(&b,
		   "[pgweir]\nlisten = unix:%s/.s.PGSQL.643%u\nsession_state = allow\n"
		   "[pool]\npool_size = 40\nmax_overflow = 0\nmin_idle = %d\npool_timeout = 30s\n"
		   "[auth]\nmethod = trust\n"
		   "[limits]\nbudget = on\nbudget_connections = %u\ncluster_user = c\n"
		   "[slow_query]\nthreshold = off\n[http]\nlisten = off\n"
		   "[database app]\nupstream = host=%s port=5432 user=u dbname=app\n",
		   s->folder, number, s->profile.has_idle, s->profile.budget, s->folder);
	snprintf(path, sizeof(path), "%s/pgweir%u.ini", s->folder, number); /* it need not be there */
	config = load_text((const char *)b.bytes, b.len, path, NULL, 0, &problems);
	for (size_t i = 0; i < problems.count && config == NULL; i++)
		fprintf(stderr, "%s\n", problems.list[i].text);
	if (config == NULL)
		abort();
	config_problems_fini(&problems);
	buf_fini(&b);
	return config;
}

void
process_start(struct fleet_sim *s, struct fleet_process *p)
{
	struct process_start start = { .predecessor_fd = -1, .workers = 1 };
	struct fail why;

	if (p->config == NULL)
		p->config = make_config(s, p->number);
	trace_line("process %u starts", p->number);
	kernel_own(p->number);
	p->weir = process_new(p->config, &start, &why);
	kernel_own(0);
	if (p->weir == NULL)
		sim_fail("process %u does not start: %s", p->number, why.text);
	p->stopped_until_us = 0;
}

void
process_kill(struct fleet_sim *s, struct fleet_process *p)
{
	trace_line("process %u is killed", p->number);
	s->kills++;
	oracle_unmarked(s, p->number);
	kernel_kill(p->number);
	process_free(p->weir);
	p->weir = NULL;
}

bool
process_is_running(const struct fleet_process *p)
{
	return p->weir != NULL && p->stopped_until_us <= clock_now_us();
}

void
process_turn(struct fleet_sim *s, struct fleet_process *p)
{
	if (p->weir == NULL && p->down_until_us <= clock_now_us())
		process_start(s, p);
	if (!process_is_running(p))
		return;
	kernel_own(p->number);
	quiet_turn(p->weir->main_worker, 0);
	kernel_own(0);
}

static void
take_budget(const struct fleet_budget *b, void *arg)
{
	*(const struct fleet_budget **)arg = b;
}

const struct fleet_budget *
process_budget(const struct fleet_process *p)
{
	const struct fleet_budget *b = NULL;

	if (p->weir != NULL)
		fleet_each(p->weir->shared.fleet, take_budget, &b);
	return b;
}

/* --- clients --- */

static void
leave(struct load_client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->is_in = c->is_asking = false;
	c->in.len = 0;
}

static void
say(struct load_client *c, struct buf *b)
{
	if (!buf_ok(b) || send(c->fd, b->bytes, b->len, MSG_NOSIGNAL) != (ssize_t)b->len)
		leave(c); /* it is short: it does not happen for want of room */
	buf_fini(b);
}

static void
come(struct fleet_process *p, struct load_client *c)
{
	static const char startup[] = "\0\0\0\x23\0\3\0\0user\0u\0database\0app";
	struct sockaddr_un {
		sa_family_t family;
	} peer = { AF_UNIX };
	struct buf b = { 0 };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	p->weir->main_worker->now_us = clock_now_us();
	kernel_own(p->number);
	client_accept(&p->weir->main_worker->clients, pair[1], (const struct sockaddr *)&peer, true);
	kernel_own(0);
	c->fd = pair[0];
	buf_put(&b, startup, sizeof(startup));
	buf_put_u8(&b, 0);
	wire_set_u32(b.bytes, (uint32_t)b.len);
	say(c, &b);
}

static void
ask(struct load_client *c)
{
	struct buf b = { 0 };

	message_query(&b, "SELECT 'load'");
	c->is_asking = true;
	c->asked_us = clock_now_us();
	say(c, &b);
}

static void
hear(struct fleet_sim *s, struct fleet_process *p, struct load_client *c)
{
	uint8_t bytes[1024];
	struct frame f;
	ssize_t n;
	size_t at = 0;

	while ((n = recv(c->fd, bytes, sizeof(bytes), 0)) > 0)
		buf_put(&c->in, bytes, (size_t)n);
	for (; frame_parse_whole(c->in.bytes + at, c->in.len - at, &f); at += FRAME_HEAD_LEN + f.body_len) {
		if (f.type != 'Z')
			continue;
		s->answers += c->is_asking;
		p->answers += c->is_asking;
		c->is_in = true;
		c->is_asking = false;
	}
	buf_drop_front(&c->in, at);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		leave(c);
}

void
load_turn(struct fleet_sim *s, struct fleet_process *p)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct load_client *c = &p->clients[i];

		if (c->fd >= 0)
			hear(s, p, c);
		if (c->fd < 0 && process_is_running(p) && fleet_chance(s, 200))
			come(p, c);
		else if (c->fd >= 0 && c->is_in && !c->is_asking && i < p->wanted && fleet_chance(s, p->rate))
			ask(c);
	}
}

unsigned
load_asking(const struct fleet_process *p)
{
	unsigned count = 0;

	for (unsigned i = 0; i < CLIENTS; i++)
		count += p->clients[i].is_asking;
	return count;
}

unsigned
load_connected(const struct fleet_process *p)
{
	unsigned count = 0;

	for (unsigned i = 0; i < CLIENTS; i++)
		count += p->clients[i].is_in;
	return count;
}
