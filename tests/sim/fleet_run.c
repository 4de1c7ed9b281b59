/*
 * tests/sim/fleet_run.c - see fleet_sim.h. A run has four parts: everything may break; nothing breaks any more, and
 * nobody may wait while there is a place; some processes want more than there is, and must get the same; nobody wants
 * anything, and no place may stay taken for connections to come.
 */
#include "fleet_sim.h"

#include "kernel.h"
#include "session_quiet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SLOW_LOGIN_US (32 * US_PER_MS)
#define STORM_US (2 * US_PER_S)
#define RECOVERED_US (15 * US_PER_S)
#define REST_US (2 * US_PER_S)
#define CALM_US (1 * US_PER_S)
#define FAIR_US (2 * US_PER_S)
#define SERVED_US (400 * US_PER_MS) /* more than any request lasts */
#define ENOUGH (2 + 2 * PROCESSES) /* for those that are kept, fleet connections, and a place for each process */
#define TURNS_US (2 * US_PER_S) /* of all processes, where there are fewer places */
#define QUIET_US (3 * US_PER_S)

uint64_t
fleet_pause_us(struct fleet_sim *s, uint32_t most_us)
{
	uint32_t kind = fleet_draw(s) & 15;

	return kind < 6 ? 0 : fleet_below(s, kind < 12 ? most_us / 16 : kind < 15 ? most_us / 4 : most_us);
}

/* --- what breaks --- */

static void
set_weather(struct fleet_sim *s)
{
	struct kernel_weather w = { 0 };

	w.is_refusing = s->pg.down_until_us > clock_now_us();
	if (!s->is_calm) {
		w.late = fleet_chance(s, 2048) ? fleet_below(s, 256) : 0;
		w.slow_connect = fleet_chance(s, 1024) ? fleet_below(s, 256) : 0;
	}
	w.one_event = fleet_chance(s, 2048) ? fleet_below(s, 256) : 0;
	kernel_set_weather(&w);
}

static struct fleet_process *
any_process(struct fleet_sim *s)
{
	return &s->processes[fleet_below(s, PROCESSES)];
}

static void
stop(struct fleet_sim *s, struct fleet_process *p)
{
	p->stopped_until_us = clock_now_us() + fleet_pause_us(s, 1500) * US_PER_MS;
	trace_line("process %u is stopped for %u ms", p->number,
		   (unsigned)((p->stopped_until_us - clock_now_us()) / US_PER_MS));
}

static void
hold_lock(struct fleet_sim *s)
{
	if (s->pg.lock_holder != NULL)
		return;
	s->pg.lock_dba_until_us = clock_now_us() + fleet_below(s, 2000) * US_PER_MS;
	trace_line("somebody holds the lock");
}

/* Somebody has, or waits for, an exclusive lock that a fleet connection may want a share of. */
static void
hold_mark(struct fleet_sim *s)
{
	s->pg.mark_dba = fleet_below(s, 4);
	s->pg.mark_dba_until_us = clock_now_us() + fleet_below(s, 2000) * US_PER_MS;
	trace_line("somebody keeps marks of %u from being taken", s->pg.mark_dba);
}

static void
refuse(struct fleet_sim *s)
{
	s->pg.refused = 1 + fleet_below(s, PROCESSES);
	s->pg.refuses_until_us = clock_now_us() + fleet_below(s, 300) * US_PER_MS;
	trace_line("logins of process %u fail", s->pg.refused);
}

static void
break_something(struct fleet_sim *s)
{
	const struct fleet_profile *f = &s->profile;
	struct fleet_process *p = any_process(s);
	struct backend *b = postgres_fleet_conn(s, p->number);

	if (fleet_chance(s, 64))
		set_weather(s);
	if (s->pg.down_until_us > 0 && s->pg.down_until_us <= clock_now_us()) {
		s->pg.down_until_us = 0;
		set_weather(s);
	}
	if (b != NULL && b->state != BE_RUNNING && fleet_chance(s, backend_marks(b) > 0 ? f->ending : f->ending / 8)) {
		s->ends++;
		backend_leave(b, fleet_chance(s, 2048) ? "terminating connection" : NULL);
	}
	if (fleet_chance(s, f->losing) && (b = postgres_any(s)) != NULL)
		backend_leave(b, fleet_chance(s, 2048) ? "terminating connection" : NULL);
	if (p->weir != NULL && fleet_chance(s, f->killing)) {
		process_kill(s, p);
		p->down_until_us = clock_now_us() + fleet_pause_us(s, 500 * US_PER_MS);
	}
	if (process_is_running(p) && fleet_chance(s, f->stopping))
		stop(s, p);
	if (fleet_chance(s, f->restarting)) {
		postgres_restart(s, fleet_pause_us(s, 500 * US_PER_MS));
		set_weather(s);
	}
	if (fleet_chance(s, f->locking))
		hold_lock(s);
	if (f->marking > 0 && fleet_chance(s, f->marking))
		hold_mark(s);
	if (fleet_chance(s, f->strangers))
		postgres_stranger(s, fleet_below(s, 300) * US_PER_MS);
	if (fleet_chance(s, f->refusing))
		refuse(s);
}

/* --- load --- */

static void
change_load(struct fleet_sim *s)
{
	static const unsigned rates[] = { 16, 64, 256, 4096 };
	struct fleet_process *p = any_process(s);

	p->wanted = fleet_chance(s, 1024) ? 0 : fleet_chance(s, 1024) ? CLIENTS : 1 + fleet_below(s, CLIENTS);
	p->rate = rates[fleet_below(s, 4)];
	trace_line("process %u has %u clients that ask, in %u of 4096 steps", p->number, p->wanted, p->rate);
}

/* --- steps --- */

static void
pass(struct fleet_sim *s)
{
	static const uint32_t lengths_us[] = { 100, 300, 700, 1500 };
	uint32_t us = lengths_us[fleet_draw(s) & 3];

	if (s->step++ % 2 == 0)
		quiet_pass(us *= s->is_coarse ? 4 : 1);
	else
		us = 0;
	oracle_step(s, us);
}

static void
arrive(struct fleet_sim *s)
{
	unsigned count = 2 + fleet_below(s, 16);

	while (count-- > 0 && kernel_arrive(fleet_chance(s, 1024)))
		;
}

static void
step(struct fleet_sim *s)
{
	unsigned from = fleet_below(s, PROCESSES);

	pass(s);
	if (!s->is_calm)
		break_something(s);
	for (unsigned i = 0; i < PROCESSES; i++) {
		struct fleet_process *p = &s->processes[(from + i) % PROCESSES];

		if (fleet_chance(s, 2800))
			process_turn(s, p);
		load_turn(s, p);
	}
	arrive(s);
	postgres_turn(s);
}

static void
run_for(struct fleet_sim *s, uint64_t us, unsigned changing)
{
	uint64_t end_us = clock_now_us() + us;

	while (clock_now_us() < end_us) {
		if (fleet_chance(s, changing))
			change_load(s);
		step(s);
	}
}

/* Returns false if it is not so before so much time has passed. */
static bool
run_until(struct fleet_sim *s, bool (*is_so)(const struct fleet_sim *s), uint64_t us)
{
	uint64_t end_us = clock_now_us() + us;

	while (clock_now_us() < end_us) {
		step(s);
		if (s->step % 16 == 0 && is_so(s))
			return true;
	}
	return false;
}

/* --- the parts --- */

static void
calm_down(struct fleet_sim *s)
{
	struct backend *b;

	trace_line("nothing breaks any more");
	s->is_calm = true;
	s->profile.login_us = s->profile.login_us < SLOW_LOGIN_US ? s->profile.login_us : SLOW_LOGIN_US;
	s->profile.unlisted_us = 0;
	s->pg.down_until_us = s->pg.lock_dba_until_us = s->pg.mark_dba_until_us = s->pg.refuses_until_us = 0;
	TAILQ_FOREACH(b, &s->pg.backends, link)
		if (b->process == 0)
			b->due_us = clock_now_us();
	for (unsigned i = 0; i < PROCESSES; i++)
		s->processes[i].stopped_until_us = s->processes[i].down_until_us = 0;
	set_weather(s);
	s->is_coarse = true;
	if (!run_until(s, oracle_is_recovered, RECOVERED_US))
		sim_fail("not all have recovered");
	run_for(s, REST_US, 64);
	s->is_coarse = false;
}

static void
be_calm(struct fleet_sim *s)
{
	trace_line("nobody may wait");
	s->watches_waits = true;
	run_for(s, CALM_US, 16);
	s->watches_waits = false;
}

static void
want_too_much(struct fleet_sim *s)
{
	uint32_t who = 1 + fleet_below(s, (1u << PROCESSES) - 1);

	for (unsigned i = 0; i < PROCESSES; i++) {
		s->processes[i].wanted = (who >> i & 1) != 0 ? CLIENTS : 0;
		s->processes[i].rate = 4096;
	}
	trace_line("of the processes these want more than there is: %u", who);
	s->watches_waits = true;
	if (!run_until(s, oracle_is_fair, FAIR_US))
		sim_fail("places are not shared");
	for (unsigned i = 0; i < PROCESSES; i++)
		s->processes[i].answers = 0;
	run_for(s, SERVED_US + (s->profile.budget < ENOUGH ? TURNS_US : 0), 0);
	for (unsigned i = 0; i < PROCESSES; i++)
		if (s->processes[i].wanted > 0 && s->processes[i].answers == 0)
			sim_fail("no client of process %u is answered", i + 1);
	s->watches_waits = false;
}

static void
want_nothing(struct fleet_sim *s)
{
	trace_line("nobody wants anything");
	for (unsigned i = 0; i < PROCESSES; i++)
		s->processes[i].wanted = 0;
	if (!run_until(s, oracle_is_quiet, QUIET_US))
		sim_fail("places are kept for nobody: marks of %u", postgres_marks(&s->pg));
}

static void
choose_profile(struct fleet_sim *s)
{
	struct fleet_profile *f = &s->profile;

	f->budget = 8 + fleet_below(s, 7);
	f->ending = fleet_chance(s, 2500) ? 8 + fleet_below(s, 40) : 0;
	f->losing = fleet_chance(s, 3000) ? 16 + fleet_below(s, 250) : 0;
	f->killing = fleet_chance(s, 1400) ? 2 + fleet_below(s, 6) : 0;
	f->stopping = fleet_chance(s, 1400) ? 2 + fleet_below(s, 12) : 0;
	f->restarting = fleet_chance(s, 600) ? 2 : 0;
	f->locking = fleet_chance(s, 600) ? 3 : 0;
	f->strangers = fleet_chance(s, 1000) ? 2 + fleet_below(s, 40) : 0;
	f->refusing = fleet_chance(s, 800) ? 4 + fleet_below(s, 12) : 0;
	f->slow_us = 1000u << fleet_below(s, 8);
	f->login_us = 2000u << fleet_below(s, 5);
	f->has_idle = fleet_chance(s, 1000);
	if (fleet_chance(s, 1400)) { /* fleet connections end while many log in */
		f->ending = 60;
		f->losing = 120;
		f->login_us = SLOW_LOGIN_US << fleet_below(s, 5);
		f->killing = f->stopping = f->restarting = f->locking = 0;
	}
	f->marking = s->seed % 8 == 1 ? 4 : 0;
	f->has_liar = s->seed % 4 == 2;
	if (s->seed % 16 == 5) { /* they end, and are back before these are listed */
		f->ending = 30;
		f->losing = 120;
		f->login_us = 2000;
		f->unlisted_us = 300 * US_PER_MS;
		f->killing = f->stopping = f->restarting = f->locking = 0;
	}
	if (s->seed % 8 == 0)
		f->budget = ENOUGH - 1 - fleet_below(s, 2);
}

static void
listen_once(struct fleet_sim *s)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (s->folder[0] != '\0')
		return;
	snprintf(s->folder, sizeof(s->folder), "%s", quiet_folder());
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/.s.PGSQL.5432", s->folder);
	s->pg.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->pg.fd < 0 || bind(s->pg.fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(s->pg.fd, 64) < 0)
		abort();
	unlink(un.sun_path); /* it is the kernel's of this process alone */
}

static void
begin(struct fleet_sim *s, uint64_t seed)
{
	char folder[FLEET_FOLDER_LEN];
	int fd;

	kernel_reset(seed);
	quiet_reset(seed);
	listen_once(s);
	memcpy(folder, s->folder, sizeof(folder));
	fd = s->pg.fd;
	*s = (struct fleet_sim){ .seed = seed, .random = (seed + 1) * 0x9e3779b97f4a7c15u, .pg.fd = fd };
	memcpy(s->folder, folder, sizeof(folder));
	for (int i = 0; i < 4; i++)
		fleet_draw(s);
	choose_profile(s);
	postgres_begin(s);
	for (unsigned i = 0; i < PROCESSES; i++) {
		struct fleet_process *p = &s->processes[i];

		p->number = i + 1;
		p->down_until_us = clock_now_us() + fleet_below(s, 200) * US_PER_MS;
		for (unsigned j = 0; j < CLIENTS; j++)
			p->clients[j].fd = -1;
		change_load(s);
	}
	set_weather(s);
}

static void
end(struct fleet_sim *s)
{
	for (unsigned i = 0; i < PROCESSES; i++) {
		struct fleet_process *p = &s->processes[i];

		process_free(p->weir);
		config_unref(p->config);
		for (unsigned j = 0; j < CLIENTS; j++) {
			if (p->clients[j].fd >= 0)
				close(p->clients[j].fd);
			buf_fini(&p->clients[j].in);
		}
	}
	postgres_end(s);
}

void
fleet_run(struct fleet_sim *s, uint64_t seed)
{
	unsigned open_before = kernel_open_count();

	begin(s, seed);
	run_for(s, STORM_US, 24);
	calm_down(s);
	be_calm(s);
	want_too_much(s);
	want_nothing(s);
	end(s);
	if (kernel_open_count() > (open_before > 0 ? open_before : 1))
		sim_fail("%u sockets are left open", kernel_open_count());
}
