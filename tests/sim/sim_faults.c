/*
 * tests/sim/sim_faults.c - see sim.h. A client may be lost only if the server it has is broken. pgweir may lend one
 * that is, as the news is on its way; so is what it tells the client then, which may arrive much later.
 */
#include "sim.h"

#include "base/clock.h"
#include "client/clients.h"
#include "base/fail.h"
#include "pool/pool_set.h"
#include "kernel.h"
#include "relay/features.h"
#include "session_quiet.h"
#include "state/state.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <string.h>

/* The client that pgweir has for it; NULL: none, or one that is on its way from one worker to another. */
static const struct client *
its_client(const struct sim_client *c)
{
	return c->f->fd < 0 ? NULL : world_find_client(&c->sim->world, c->f->id);
}

void
sim_excuse_borrowers(struct sim *s, uint32_t pid)
{
	for (unsigned i = 0; i < s->profile.clients; i++) {
		struct sim_client *c = &s->clients[i];
		const struct client *of = its_client(c);

		if (of == NULL || of->x.srv == NULL || of->x.srv->pid != pid)
			continue;
		sim_trace('c', (unsigned)c->f->letter, "may lose its server", pid, 0);
		c->is_excused = true;
	}
	s->lost_us = sim_now();
	s->lost_step = s->step;
}

static bool
is_timed_out(const struct sim *s, const struct server *srv)
{
	for (unsigned i = 0; i < s->timed_out_count && i < SIM_TIMED_OUT_MAX; i++)
		if (s->timed_out[i] == srv->pid)
			return true;
	return false;
}

/* It has sent a second request behind one that is answered meanwhile: pgweir relays none again if what was sent without
 * a pause has shown something. The copy ends in the first one if that was answered before all of it was sent. */
static bool
has_sent_two(const struct server *srv)
{
	const struct request_copy *copy = &srv->loan.sent.copy;
	bool is_cut = false;
	unsigned count = 0;
	struct frame f;

	for (size_t at = 0; frame_parse_whole(copy->bytes + at, copy->len - at, &f);
	     at += FRAME_HEAD_LEN + (size_t)f.body_len) {
		is_cut = f.type != 'Q' && f.type != 'S';
		count += !is_cut;
	}
	return count > 1 || is_cut;
}

/*
 * Its server has timed out. PostgreSQL says that it has begun nothing, so this costs nobody anything who has nothing
 * there that no other server can have, nor may have (it is held while the server is asked), and has sent what pgweir
 * relays again: who listens has not.
 */
static bool
may_time_out(struct sim_client *c, const struct exchange *x)
{
	return is_timed_out(c->sim, x->srv) &&
	       (x->is_session || x->state == CL_HELD || state_is_dirty(x, x->srv) || features_tie(x, TIE_SERVER) ||
		features_tie(x, TIE_REQUEST) || !oracle_waits_for_query(c) || has_sent_two(x->srv));
}

static bool
is_broken(const struct sim *s, const struct server *srv)
{
	const struct fake_conn *c;

	if (is_timed_out(s, srv))
		return false;
	TAILQ_FOREACH(c, &s->world.fake.conns, link)
		if (c->pid == srv->pid)
			return c->is_over || c->cut != SIZE_MAX;
	return srv->state != SV_DIALING && !kernel_is_connected(srv->stream.fd);
}

static bool
has_broken_at_all(const struct sim *s)
{
	const struct fake_conn *c;

	TAILQ_FOREACH(c, &s->world.fake.conns, link)
		if (c->is_authenticated && (c->is_over || c->cut != SIZE_MAX))
			return true;
	return kernel_has_lost_one();
}

enum sim_fault
sim_worst_server(const struct sim *s)
{
	enum sim_fault worst = SIM_SOUND;
	const struct server *srv;

	if (strstr(s->profile.options, "parted") != NULL && has_broken_at_all(s))
		return SIM_BROKEN; /* one that is transferred to another worker is in no pool's list */
	for (const struct worker *k = s->world.weir->main_worker; k != NULL; k = k->next)
		for (const struct pool *e = pool_set_first(k->pools); e != NULL; e = e->next)
			TAILQ_FOREACH(srv, &e->servers, all) {
				if (is_broken(s, srv))
					return SIM_BROKEN;
				worst = is_timed_out(s, srv) ? SIM_TIMED_OUT : worst;
			}
	return worst;
}

void
sim_excuse_lost(struct sim *s, enum sim_fault worst)
{
	for (unsigned i = 0; i < s->profile.clients; i++) {
		struct sim_client *c = &s->clients[i];
		const struct client *of = its_client(c);
		bool is_closed = of == NULL /* it may be on its way from one worker to another */
				     ? c->f->fd < 0 || !kernel_is_connected(c->f->fd)
				     : of->x.is_closing || of->x.state == CL_CLOSE_AFTER_FLUSH;
		bool had_broken = worst == SIM_BROKEN || (worst == SIM_TIMED_OUT && !oracle_waits_for_query(c));

		if ((had_broken && is_closed && !c->is_closed) ||
		    (of != NULL && !is_closed && of->x.srv != NULL &&
		     (is_broken(s, of->x.srv) || may_time_out(c, &of->x))))
			c->is_excused = true;
		c->is_closed = is_closed;
	}
}

bool
sim_has_just_lost(const struct sim *s)
{
	return s->lost_us > 0 && (sim_now() - s->lost_us < 200 * US_PER_MS || s->step - s->lost_step < 500);
}

static void
lose(struct sim *s, struct fake_conn *c, uint32_t how)
{
	struct fail why;

	for (unsigned i = 0; i < SIM_TIMED_OUT_MAX; i++)
		if (s->timed_out[i] == c->pid)
			s->timed_out[i] = 0; /* nobody may be told of that any more */
	how = c->is_over ? 0 : how; /* it ends once */
	sim_trace('s', c->pid, "breaks", how, 0);
	sim_excuse_borrowers(s, c->pid);
	s->losses++;
	switch (how) {
	case 0: /* at once, with what it had not sent */
		c->cut = 0;
		break;
	case 1: /* within what it sends next */
		c->cut = sim_below(s, 40);
		break;
	case 2: /* as an administrator does it */
		if (c->is_authenticated) {
			fail_set(&why, "57P01", "terminating connection due to administrator command");
			fake_error_of(c, "FATAL", "ProcessInterrupts", &why);
		}
		c->is_asleep = c->is_copying = false;
		c->is_over = true;
		break;
	default:
		kernel_break(c->fd);
		c->cut = 0;
	}
}

/* With several workers: then nobody could say what it may lose. */
static bool
is_any_client_in_transfer(const struct sim *s)
{
	for (unsigned i = 0; i < s->profile.clients && s->profile.workers > 1; i++)
		if (s->clients[i].f->fd >= 0 && its_client(&s->clients[i]) == NULL)
			return true;
	return false;
}

/*
 * idle_session_timeout passes between two requests: what has been sent meanwhile is not read. Returns false if c is in
 * a request, or its borrower may be on its way to another worker.
 */
static bool
time_out(struct sim *s, struct fake_conn *c)
{
	struct fail why;

	if (!c->is_ready || c->tx != 'I' || c->is_over || c->cut != SIZE_MAX || is_any_client_in_transfer(s))
		return false;
	sim_trace('s', c->pid, "times out", 0, 0);
	fail_set(&why, "57P05", "terminating connection due to idle-session timeout");
	fake_error_of(c, "FATAL", "ProcessInterrupts", &why);
	c->is_over = true;
	s->timed_out[s->timed_out_count++ % SIM_TIMED_OUT_MAX] = c->pid;
	for (unsigned i = 0; i < s->profile.clients; i++) {
		const struct client *of = its_client(&s->clients[i]);

		if (of != NULL && of->x.srv != NULL && may_time_out(&s->clients[i], &of->x))
			s->clients[i].is_excused = true;
	}
	return true;
}

/* PostgreSQL crashes, or a standby takes its place: the end of its log is lost, as far as nobody was told of it. */
static void
crash(struct sim *s)
{
	struct fake *f = &s->world.fake;
	bool is_failover = sim_chance(s, 128);
	struct fake_conn *c;

	sim_trace('s', 0, "crashes", is_failover, 0);
	while ((c = TAILQ_FIRST(&f->conns)) != NULL) {
		sim_excuse_borrowers(s, c->pid);
		if (sim_chance(s, 128))
			fake_conn_execute(c);
		fake_conn_free(c);
		s->losses++;
	}
	cluster_crash(&f->cluster, is_failover, sim_chance(s, 128) ? sim_below(s, 257) : 0, sim_below(s, 6), sim_now());
}

/* PostgreSQL has not recovered yet, or pgweir has heard of the last recovery. */
static bool
is_life_known(const struct sim *s)
{
	const struct fake_cluster *l = &s->world.fake.cluster;
	struct cluster_lives lives;

	pool_set_exchange_lives(s->world.weir->main_worker->pools, NULL, &lives);
	for (unsigned i = 0; i < lives.count; i++)
		if (cluster_is_life(l, &lives.seen[i]))
			return true;
	return l->replayed == 0;
}

/* Of two recoveries the first one may stay unknown; commit_check's promise leaves that out. */
static bool
crash_if_seen(struct sim *s)
{
	if (!is_life_known(s))
		return false;
	crash(s);
	s->lost_us = sim_now();
	s->lost_step = s->step;
	s->refused_until_us = sim_now() + 1 + sim_below(s, 3 * US_PER_S);
	sim_weather(s);
	return true;
}

bool
sim_crash_at_commit(struct sim *s, struct fake_conn *c)
{
	if (!s->profile.is_stormy || !sim_chance(s, 60))
		return false;
	fake_conn_execute(c);
	return c->commit_lsn > s->world.fake.cluster.told && sim_chance(s, 100) && crash_if_seen(s);
}

/* What is made now is run by most for a while. */
void
sim_see_code(struct sim *s)
{
	struct fake *f = &s->world.fake;
	unsigned there = f->code;

	if (!s->profile.makes_code)
		return;
	state_tell_code(f);
	if ((f->code & ~there) != 0) {
		s->made = f->code & ~there;
		s->made_step = s->step;
	}
}

static void
fall_silent(struct sim *s)
{
	s->mute_us = sim_now();
	s->mute_until_us = s->mute_us + 4 * (s->refused_until_us - s->mute_us);
	s->refused_until_us = 0;
	sim_trace('w', 0, "PostgreSQL is silent", s->mute_until_us, 0);
}

void
sim_lose_server(struct sim *s)
{
	struct fake *f = &s->world.fake;
	uint32_t how = sim_below(s, 4);
	struct fake_conn *c;

	if (sim_chance(s, s->profile.is_stormy ? 128 : 40) && crash_if_seen(s))
		return;
	if (sim_chance(s, 40)) { /* the primary is gone; for a while nobody answers */
		TAILQ_FOREACH(c, &f->conns, link)
			lose(s, c, how);
		s->lost_us = sim_now();
		s->refused_until_us = sim_now() + 1 + sim_below(s, 3 * US_PER_S);
		if ((s->refused_until_us & 1) != 0) /* or nobody refuses, either, and for longer */
			fall_silent(s);
		sim_weather(s);
		return;
	}
	c = fake_find(f, sim_draw(s));
	if (c != NULL && (sim_chance(s, 128) || !time_out(s, c)))
		lose(s, c, how);
}

void
sim_lose_names(struct sim *s)
{
	if (s->nameless_until_us > 0)
		return;
	s->is_misnamed = sim_chance(s, 40);
	s->nameless_until_us = sim_now() + 1 + sim_below(s, 3 * US_PER_S);
	sim_trace('w', 0, "names are lost", s->nameless_until_us, s->is_misnamed);
	sim_weather(s);
}

void
sim_weather(struct sim *s)
{
	struct kernel_weather w = { 0 };

	w.is_refusing = s->refused_until_us > sim_now();
	w.is_mute = s->mute_until_us > sim_now();
	s->lost_us = s->mute_until_us > 0 ? sim_now() : s->lost_us;
	w.is_nameless = s->nameless_until_us > sim_now() && !s->is_misnamed;
	w.is_misnamed = s->nameless_until_us > sim_now() && s->is_misnamed;
	s->nameless_us = s->nameless_until_us > 0 ? sim_now() : s->nameless_us;
	if (!s->is_over) {
		w.late = sim_chance(s, 100) ? sim_below(s, 256) : 0;
		w.narrow = sim_chance(s, 60) ? sim_below(s, 256) : 0;
		w.slow_connect = sim_chance(s, 60) ? sim_below(s, 256) : 0;
		w.one_event = sim_chance(s, 128) ? sim_below(s, 256) : 0;
	}
	kernel_set_weather(&w);
	if (s->profile.workers > 1) {
		quiet_delay_notes(!s->is_over && sim_chance(s, 100) ? sim_below(s, 256) : 0);
		s->early_notes = !s->is_over && sim_chance(s, 100) ? sim_below(s, 256) : 0;
		quiet_give_up_halts(!s->is_over && sim_chance(s, 60) ? sim_below(s, 256) : 0);
	}
}
