/* tests/sim/sim_run.c - see sim.h. */
#include "sim.h"

#include "base/clock.h"
#include "client/clients.h"
#include "kernel.h"
#include "dedicated/notify_listener.h"
#include "policy/policy_state.h"
#include "session_quiet.h"
#include "wire/frame.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#define TURN_US 20
#define STORM_STEPS 4 /* times as many: what is rare must come together in them */
#define SLACK_US (2 * US_PER_S) /* what is due is done within */
#define CLIENT_OUT_MAX ((size_t)64 << 10)
#define PIDS_MAX 14000 /* a run opens some hundreds of connections */

uint64_t
sim_now(void)
{
	return clock_now_us();
}

static unsigned
list_workers(const struct sim *s, const struct worker *list[static WORKERS_MAX])
{
	unsigned n = 0;

	for (const struct worker *k = s->world.weir->main_worker; k != NULL; k = k->next)
		list[n++] = k;
	return n;
}

/* One that is alone needs no drawing. */
static const struct worker *
take_any(struct sim *s, const struct worker **list, unsigned count)
{
	unsigned at = count > 1 ? sim_below(s, count) : 0;
	const struct worker *k = list[at];

	list[at] = list[count - 1];
	return k;
}

/* Clients may read later, and the time jump meanwhile. */
static void
note_heard(struct sim *s)
{
	for (unsigned i = 0; i < s->profile.clients; i++) {
		struct sim_client *c = &s->clients[i];
		const struct client *of = c->f->fd < 0 ? NULL : world_find_client(&s->world, c->f->id);

		if (of != NULL && stream_queued_len(&of->x.stream) == 0 && kernel_unread(c->f->fd) == 0)
			c->heard_us = sim_now();
	}
}

void
sim_turn(struct sim *s)
{
	enum sim_fault worst = sim_worst_server(s);
	const struct worker *list[WORKERS_MAX];

	quiet_pass(TURN_US);
	if (s->slow_until_us < sim_now())
		s->slow = NULL;
	for (unsigned n = list_workers(s, list); n > 0; n--) {
		const struct worker *k = take_any(s, list, n);

		if (k != s->slow)
			quiet_turn(k, s->early_notes);
	}
	sim_excuse_lost(s, worst);
	note_heard(s);
}

/* A worker that has much to do, or a processor that others have, too; or it hangs until the main worker has found it
 * silent.
 */
static void
slow_down(struct sim *s)
{
	const struct worker *list[WORKERS_MAX];
	unsigned count = list_workers(s, list);

	if (count == 1 || !sim_chance(s, 16))
		return;
	s->slow = take_any(s, list, count);
	s->slow_until_us = sim_now() + (1 + sim_below(s, 30)) * US_PER_MS;
	if (s->slow->number != 0 && sim_chance(s, 100))
		s->slow_until_us = s->hangs_until_us = sim_now() + (2200 + sim_below(s, 1500)) * US_PER_MS;
	sim_trace('w', s->slow->number, "is slow", s->slow_until_us, 0);
}

/* --- what a run is like --- */

static void
add_word(struct sim *s, unsigned of_256, const char *words)
{
	size_t len = strlen(s->profile.options);

	if (sim_chance(s, of_256))
		snprintf(s->profile.options + len, sizeof(s->profile.options) - len, " %s", words);
}

static void
choose_profile(struct sim *s)
{
	static const char *const hidden[] = { "hidden_setting", "hidden_unnamed", "hidden_role", "hidden_temp",
					      "hidden_lock",	"hidden_cursor",  "hidden_sql",	 "hidden_seed",
					      "hidden_plan",	"hidden_listen" };
	struct sim_profile *p = &s->profile;

	*p = (struct sim_profile){ .clients = 2 + sim_below(s, TEXT_CLIENTS - 1) };
	p->leaving = sim_chance(s, 180) ? 1 : 0;
	p->cancelling = sim_chance(s, 128) ? 1 + sim_below(s, 2) : 0;
	p->is_sleepy = sim_chance(s, 50);
	if (p->is_sleepy)
		p->cancelling = 4;
	p->is_wide = sim_chance(s, 30);
	p->is_stormy = sim_chance(s, 50);
	if (p->is_stormy)
		p->clients = 2 + sim_below(s, 2);
	p->losing = p->is_stormy || p->is_wide ? 3 : sim_chance(s, 80) ? 1 : 0;
	p->unnaming = sim_chance(s, 40) ? 2 : 0;
	p->jumping = p->unnaming > 0 || sim_chance(s, p->is_sleepy ? 160 : 80) ? 1 : 0;
	p->reloading = sim_chance(s, 60) ? 1 : 0;
	p->pausing = sim_chance(s, 40) ? 1 : 0;
	p->stalling = sim_chance(s, 60) ? 1 : 0;
	p->pipeline = sim_chance(s, p->is_stormy ? 200 : 128) ? 1 : 2 + sim_below(s, 4);
	p->has_hidden = sim_chance(s, 80);
	p->has_listen = sim_chance(s, 100);
	p->has_roles = !p->has_hidden && sim_chance(s, 60);
	if (sim_chance(s, 128))
		sim_leave_out(s);
	snprintf(p->options, sizeof(p->options), "trust");
	add_word(s, 80, "old");
	add_word(s, 100, "two");
	add_word(s, 100, "overflow");
	add_word(s, 60, "nolinger");
	add_word(s, 40, "idle");
	add_word(s, 30, "ping");
	add_word(s, 30, "fifo");
	add_word(s, 50, "lru");
	add_word(s, 20, "short");
	add_word(s, 30, "recycle");
	add_word(s, 30, "isolate");
	add_word(s, 20, "comments");
	add_word(s, 30, "slow full");
	add_word(s, 20, "few");
	add_word(s, 20, "capped");
	add_word(s, p->is_stormy || p->is_wide ? 180 : 60, sim_chance(s, 160) ? "hold" : "wait");
	if (p->unnaming > 0)
		add_word(s, 256, "named");
	if (p->losing > 0)
		add_word(s, p->is_stormy ? 200 : 100, "checked");
	if (p->jumping > 0) {
		add_word(s, 80, "impatient");
		add_word(s, p->is_sleepy ? 160 : 60, "query");
		add_word(s, 60, "transaction");
		add_word(s, 60, "idling");
		add_word(s, 60, "silent");
	}
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]) && p->has_hidden; i++)
		add_word(s, 80, hidden[i]);
}

/* --- clients --- */

static void
come(struct sim *s, struct sim_client *c)
{
	static const char *const databases[] = { "app", "app", "shared" };
	const char *user = sim_chance(s, 60) ? "v" : "u";

	if (s->profile.has_transfers || s->profile.is_sharing)
		user = "u";
	world_connect(&s->world, c->f);
	if (c->f->fd < 0)
		return;
	oracle_begin(c);
	c->f->piece = sim_chance(s, 60) ? 1 + sim_below(s, 30) : 0;
	sim_trace('c', (unsigned)c->f->letter, "comes", (uint64_t)user[0], 0);
	fclient_login(c->f, user, databases[s->profile.has_transfers || s->profile.is_sharing ? 0 : sim_below(s, 3)],
		      NULL, 0);
	if (s->profile.workers > 1 && sim_chance(s, 60)) /* it does not wait for its proof */
		sim_say(c, 'Q', "SELECT 'of all'", sizeof("SELECT 'of all'"));
}

static void
leave(struct sim_client *c)
{
	sim_trace('c', (unsigned)c->f->letter, "leaves", c->f->out.len, 0);
	if (c->alone != NULL && c->alone->tx == 'I' && c->f->out.len == 0 && oracle_is_answered(c))
		oracle_check_writes(c);
	fclient_close(c->f);
	oracle_end(c);
	c->sim->departures++;
}

static void
cancel(struct sim *s, struct sim_client *c)
{
	struct fake_client *k = &s->world.canceller;
	bool is_wrong = sim_chance(s, 60);

	if ((k->fd >= 0 && k->out.len > 0) || c->f->secret == 0)
		return;
	world_connect(&s->world, k);
	if (k->fd < 0)
		return;
	sim_trace('c', (unsigned)c->f->letter, "cancels", is_wrong, 0);
	buf_put_u32(&k->out, 16);
	buf_put_u32(&k->out, 80877102);
	buf_put_u32(&k->out, c->f->pid);
	buf_put_u32(&k->out, c->f->secret ^ (is_wrong ? 1u : 0));
	c->cancels += !is_wrong;
	c->has_cancelled |= !is_wrong;
	s->cancels++;
}

static bool
may_say_more(struct sim_client *c)
{
	unsigned waiting = 1 + c->f->sent.requests - c->f->ready_count;

	if (c->sim->profile.is_bulky && oracle_is_answered(c)) /* a Query that was skipped gets no answer */
		waiting = 0;
	return c->alone != NULL && !c->is_ending && !c->sim->is_over && c->f->out.len < CLIENT_OUT_MAX &&
	       waiting < c->sim->profile.pipeline + 1 && c->unfed.len < CLIENT_OUT_MAX;
}

static void
client_turn(struct sim_client *c)
{
	bool had = c->f->fd >= 0;

	if (!had)
		return;
	fclient_turn(c->f);
	if (c->f->fd < 0) {
		sim_trace('c', (unsigned)c->f->letter, "is gone", 0, 0);
		oracle_gone(c);
	}
}

static void
step_client(struct sim *s)
{
	struct sim_client *c = &s->clients[sim_below(s, s->profile.clients)];

	if (c->f->fd < 0) {
		if (!s->is_over && sim_chance(s, 60))
			come(s, c);
		return;
	}
	if (c->stopped_us > 0) {
		c->f->is_deaf = !sim_chance(s, 20);
		c->stopped_us = c->f->is_deaf ? c->stopped_us : 0;
	}
	if (may_say_more(c) && sim_chance(s, 128))
		sim_say_something(c);
	if (c->alone != NULL && sim_chance(s, s->profile.cancelling * (c->alone->is_asleep ? 30u : 1u)))
		cancel(s, c);
	client_turn(c);
	if (c->f->fd >= 0 && sim_chance(s, s->profile.leaving) && sim_chance(s, 128))
		leave(c);
	else if (sim_chance(s, s->profile.stalling)) {
		c->f->is_deaf = true;
		c->stopped_us = sim_now();
	}
}

/* --- servers --- */

static void
step_server(struct sim *s)
{
	struct fake *f = &s->world.fake;
	struct fake_conn *c;

	fake_accept(f);
	if (f->are_cancels_late && sim_chance(s, 20))
		f->are_cancels_late = false;
	c = fake_find(f, sim_draw(s));
	if (c == NULL)
		return;
	if (c->is_asleep && sim_chance(s, s->profile.is_sleepy ? 90 : 20)) {
		sim_trace('s', c->pid, "wakes", 0, 0);
		fake_wake(c, false);
	}
	if (sim_crash_at_commit(s, c))
		return;
	sim_see_code(s);
	if (sim_chance(s, s->profile.stalling) ||
	    (f->are_cancels_late && sim_chance(s, 60))) /* one may hit what begins */
		c->is_held = true;
	else if (c->is_held && sim_chance(s, 60))
		c->is_held = false;
	fake_conn_turn(c);
}

/* --- rare things --- */

/* What pgweir has asked for itself is not answered while the time passes, nor its cancel carried out, perhaps. */
static void
delay_own(struct sim *s)
{
	struct fake_conn *c;
	uint64_t since_us;

	s->world.fake.are_cancels_late = sim_chance(s, 128);
	TAILQ_FOREACH(c, &s->world.fake.conns, link) {
		struct server *srv = sim_find_server(s, c->pid);

		if (srv != NULL && ledger_owes_own_request(&srv->ledger, &since_us) && c->in.len == 0 &&
		    sim_chance(s, 200)) {
			sim_trace('s', c->pid, "owes pgweir an answer for long", 0, 0);
			c->is_held = true;
		}
	}
}

static bool
is_any_logging_in(const struct sim *s)
{
	for (const struct worker *k = s->world.weir->main_worker; k != NULL; k = k->next)
		for (const struct pool *e = pool_set_first(k->pools); e != NULL; e = e->next) {
			struct policy_counts counts;

			policy_get_counts(e->policy, &counts);
			if (counts.opening > 0)
				return true;
		}
	return false;
}

static void
jump(struct sim *s)
{
	static const uint64_t lengths_us[] = { 1 * US_PER_MS, 12 * US_PER_MS, 120 * US_PER_MS, 1100 * US_PER_MS,
					       4 * US_PER_S };
	/* Behind it there is an answer again about the database's code. */
	uint64_t us = lengths_us[s->profile.is_code_late ? 2 + sim_below(s, 2)
				 : s->profile.makes_code ? 2
							 : sim_below(s, 5)];
	const struct fake_conn *c;

	if (s->profile.is_asking) {
		delay_own(s);
		us = (2600 + sim_below(s, 2200)) *
		     US_PER_MS; /* it cancels a probe after 2.5 s, and ends a server after 5 s */
	}
	sim_trace('t', 0, "passes", us, 0);
	if (us > US_PER_S && strstr(s->profile.options, "named") != NULL && is_any_logging_in(s))
		s->lost_us = sim_now(); /* connect_timeout = 1s: the login may be late */
	/* PostgreSQL answers meanwhile, but for connections that are held: they may be given up. */
	TAILQ_FOREACH(c, &s->world.fake.conns, link)
		if (c->is_held && us >= US_PER_S)
			sim_excuse_borrowers(s, c->pid);
	for (uint64_t left = us; left > 0;) {
		uint64_t part = left < 100 * US_PER_MS ? left : 100 * US_PER_MS;

		quiet_pass(part);
		for (bool has_moved = true; has_moved;) {
			uint64_t before = kernel_bytes();

			sim_turn(s);
			while (kernel_arrive(true))
				;
			fake_turn(&s->world.fake);
			has_moved = kernel_bytes() != before;
		}
		left -= part;
	}
}

static void
pause_or_resume(struct sim *s)
{
	sim_trace('w', 0, s->paused_us > 0 ? "resumes" : "pauses", 0, 0);
	if (!world_pause(&s->world, s->paused_us == 0)) {
		sim_trace('w', 0, "does not", 0, 0);
		return;
	}
	s->paused_us = s->paused_us > 0 ? 0 : sim_now();
	if (s->mute_us > 0)
		s->mute_us = sim_now(); /* RESUME has a silent host tried anew, and those who were held wait for that */
}

struct server *
sim_find_server(const struct sim *s, uint32_t pid)
{
	return world_find_server(&s->world, pid);
}

/* Connections that are on their way to another worker must not be used there; those whose login pgweir has not read yet
 * may be, by one that waits. */
static void
reconnect(struct sim *s)
{
	struct fake_conn *c;

	sim_trace('w', 0, "reconnects", 0, 0);
	TAILQ_FOREACH(c, &s->world.fake.conns, link) {
		if (c->is_outdated || !c->was_asked || !kernel_is_connected(c->fd) ||
		    sim_find_server(s, c->pid) != NULL)
			continue;
		c->is_outdated = true;
		c->sent_before = c->in.len + kernel_unread(c->fd);
	}
	world_reconnect(&s->world);
	if (s->mute_us > 0)
		s->mute_us = sim_now(); /* a silent host is tried anew, as if nothing was known of it */
}

static void
step_rarely(struct sim *s)
{
	const struct sim_profile *p = &s->profile;

	if (sim_chance(s, 8))
		sim_weather(s);
	if (s->refused_until_us > 0 && s->refused_until_us < sim_now()) {
		s->refused_until_us = 0;
		sim_weather(s);
	}
	if (s->mute_until_us > 0 && s->mute_until_us < sim_now()) {
		sim_weather(s);
		s->mute_us = s->mute_until_us = 0;
	}
	if (s->nameless_until_us > 0 && s->nameless_until_us < sim_now()) {
		s->nameless_until_us = 0;
		sim_weather(s);
	}
	if (sim_chance(s, p->losing * 6))
		sim_lose_server(s);
	if (sim_chance(s, p->unnaming * 6))
		sim_lose_names(s);
	if (sim_chance(s, p->jumping * 10))
		jump(s);
	if (sim_chance(s, p->reloading * 4)) {
		sim_trace('w', 0, "reloads", 0, 0);
		s->has_reloaded |= world_reload(&s->world);
	}
	if (sim_chance(s, p->pausing * (s->paused_us > 0 ? 40u : 6u)))
		pause_or_resume(s);
	if (sim_chance(s, p->reconnecting * 20))
		reconnect(s);
	if (p->is_code_late && s->world.fake.code == 0 && sim_chance(s, 12)) {
		sim_trace('w', 0, "another program has made code", 0, 0);
		s->world.fake.code = RISK_CONTEXT;
	}
	slow_down(s);
}

/* --- what must hold at any time --- */

/* A connection that pgweir has not given up. */
static unsigned
count_servers(const struct sim *s)
{
	const struct fake_conn *c;
	unsigned count = 0;

	TAILQ_FOREACH(c, &s->world.fake.conns, link)
		count += c->is_authenticated && !c->is_over && kernel_is_connected(c->fd);
	return count;
}

static bool
has_part_before(const struct sim *s, const struct worker *last, const struct pool *part)
{
	for (const struct worker *k = s->world.weir->main_worker; k != last; k = k->next)
		for (const struct pool *e = pool_set_first(k->pools); e != NULL; e = e->next)
			if (strcmp(e->database->name, part->database->name) == 0 && strcmp(e->user, part->user) == 0)
				return true;
	return false;
}

static void
check_limits(struct sim *s)
{
	unsigned allowed = 0, clients = 0, fates = 0, servers = count_servers(s);
	bool is_ample = strstr(s->profile.options, "ample") != NULL; /* then a reload only changes max_overflow */
	bool is_reading =
	    strstr(s->profile.options, "marked") != NULL || strstr(s->profile.options, "preferring") != NULL;

	for (const struct worker *k = s->world.weir->main_worker; k != NULL; k = k->next) {
		clients += k->clients.pool_client_count;
		for (const struct pool *e = pool_set_first(k->pools); e != NULL; e = e->next) {
			if (!has_part_before(s, k, e))
				allowed += !s->has_reloaded ? e->settings.pool_size + e->settings.max_overflow
					   : is_ample	    ? e->settings.pool_size + 1
							    : 3; /* the most that any reload has allowed */
			fates += e->commit_asker != NULL; /* who asks for a COMMIT's fate is beside all limits */
		}
	}
	allowed += s->profile.has_listen ? clients + 3 : 0; /* listeners */
	allowed += is_reading ? 1 : 0; /* pgweir's own, which asks the host */
	if (strstr(s->profile.options, "capped") != NULL && !s->profile.has_listen && !is_reading && allowed > 1)
		allowed = 1;
	if (servers > allowed + fates)
		sim_fail("%u connections to PostgreSQL, not %u", servers, allowed + fates);
	if (strstr(s->profile.options, "few") != NULL && clients > 2)
		sim_fail("%u clients, not 2", clients);
}

/* A reload and a PAUSE are for all workers, or for none. */
static void
check_workers(const struct sim *s)
{
	const struct worker *main_worker = s->world.weir->main_worker;

	for (const struct worker *k = main_worker; k != NULL; k = k->next)
		if (k->clients.x.config != s->world.weir->config)
			sim_fail("worker %u has a configuration of its own", k->number);
		else if (pool_set_is_paused(k->pools) != pool_set_is_paused(main_worker->pools))
			sim_fail("worker %u is paused, or alone is not", k->number);
}

/* Of equal GUC sets there is one in a store: this one is of this store, as it is a worker's own. */
static void
check_gucs(struct guc_store *store, const struct gucs *gucs, const struct server *srv)
{
	struct gucs *own = gucs == NULL ? NULL : gucs_adopt(store, gucs_copy(gucs));

	if (own != gucs)
		sim_fail("server %u has an image of another worker", srv->pid);
	gucs_unref(own);
}

static void
check_all_gucs(const struct sim *s)
{
	const struct server *srv;

	for (const struct worker *k = s->world.weir->main_worker; k != NULL; k = k->next)
		for (const struct pool *e = pool_set_first(k->pools); e != NULL; e = e->next)
			TAILQ_FOREACH(srv, &e->servers, all) {
				check_gucs(k->servers.guc_store, srv->gucs, srv);
				check_gucs(k->servers.guc_store, srv->plan_gucs, srv);
			}
}

/* Who waits for longer than he may has been forgotten. */
static void
check_waits(struct sim *s)
{
	bool is_impatient = strstr(s->profile.options, "impatient") != NULL;
	uint64_t limit_us = strstr(s->profile.options, "hold") != NULL ? 10 * US_PER_S : 2 * US_PER_S;

	if (!is_impatient || s->paused_us > 0)
		return;
	for (unsigned i = 0; i < s->profile.clients; i++) {
		const struct sim_client *c = &s->clients[i];
		const struct client *of = c->f->fd < 0 ? NULL : world_find_client(&s->world, c->f->id);
		uint64_t from_us = of == NULL ? 0 : of->x.waiter.since_us;

		from_us = from_us > s->lost_us ? from_us : s->lost_us; /* each outage counts anew */
		from_us = from_us > s->nameless_us ? from_us : s->nameless_us;
		from_us = from_us > s->hangs_until_us ? from_us : s->hangs_until_us;
		if (of != NULL && of->x.waiter.waits != WAITS_NOT && sim_now() > from_us + limit_us + SLACK_US)
			sim_fail("client %c waits in line for %llu us", c->f->letter,
				 (unsigned long long)(sim_now() - from_us));
	}
}

/*
 * PostgreSQL starts again; or it has answered another pool since, so that what is opened here will tell: who comes
 * waits, up to connect_timeout if the attempt hangs. Who came before the last shard has lost its connection was there
 * when the outage began, and waits on.
 */
static bool
may_wait_in_outage(const struct policy *p, uint64_t since_us)
{
	return strcmp(p->last_fail.sqlstate, "57P01") == 0 || p->outlook == HOST_ANSWERS ||
	       (p->shard.shared != NULL && since_us <= p->shard.shared->lost_us);
}

/* Who comes while PostgreSQL is silent, and his pool knows, is told at once: by the end of two seconds and a half. */
static void
check_newcomers(const struct sim *s)
{
	bool is_patient = strstr(s->profile.options, "hold") != NULL || strstr(s->profile.options, "wait") != NULL;

	for (unsigned i = 0; i < s->profile.clients && s->mute_us > 0 && !is_patient && s->paused_us == 0; i++) {
		const struct fake_client *f = s->clients[i].f;
		const struct client *of = f->fd < 0 ? NULL : world_find_client(&s->world, f->id);
		struct policy_counts counts;

		if (of == NULL || of->x.waiter.waits == WAITS_NOT || of->x.pool == NULL)
			continue;
		policy_get_counts(of->x.pool->policy, &counts);
		if (may_wait_in_outage(of->x.pool->policy, of->x.waiter.since_us))
			continue;
		if (counts.outage.since_us > s->mute_us && of->x.waiter.since_us > counts.outage.since_us &&
		    of->x.waiter.since_us > s->hangs_until_us &&
		    sim_now() - of->x.waiter.since_us > 500 * US_PER_MS + SLACK_US)
			sim_fail("client %c waits for %llu us, and its pool is in an outage", f->letter,
				 (unsigned long long)(sim_now() - of->x.waiter.since_us));
	}
}

/* --- the end --- */

static void
settle(struct sim *s)
{
	for (int quiet = 0, i = 0; quiet < 3 && i < 3000; i++) {
		uint64_t before = kernel_bytes();

		while (kernel_arrive(true))
			;
		sim_turn(s);
		fake_turn(&s->world.fake);
		for (unsigned k = 0; k < s->profile.clients; k++)
			client_turn(&s->clients[k]);
		fclient_turn(&s->world.canceller);
		quiet = kernel_bytes() == before ? quiet + 1 : 0;
	}
}

static bool
is_anyone_here(const struct sim *s)
{
	for (unsigned i = 0; i < s->profile.clients; i++)
		if (s->clients[i].f->fd >= 0)
			return true;
	return false;
}

static void
behave(struct sim *s)
{
	struct fake_conn *c;

	s->is_over = true;
	s->slow = NULL;
	s->refused_until_us = s->nameless_until_us = s->mute_us = s->mute_until_us = 0;
	sim_weather(s);
	fake_behave(&s->world.fake);
	TAILQ_FOREACH(c, &s->world.fake.conns, link)
		if (c->cut != SIZE_MAX) {
			sim_excuse_borrowers(s, c->pid);
			c->cut = 0;
		}
	if (s->paused_us > 0)
		pause_or_resume(s);
	for (unsigned i = 0; i < s->profile.clients; i++) {
		struct fake_client *f = s->clients[i].f;

		f->is_deaf = false;
		f->piece = 0;
	}
}

/* All get all of their answers, one after the other leaves, and the next ones get their servers. */
static void
finish(struct sim *s)
{
	behave(s);
	for (int round = 0; round < 400 && is_anyone_here(s); round++) {
		bool has_moved = false;

		fake_behave(&s->world.fake);
		settle(s);
		for (unsigned i = 0; i < s->profile.clients; i++) {
			struct sim_client *c = &s->clients[i];

			if (c->f->fd < 0 || !oracle_is_answered(c))
				continue;
			has_moved = true;
			if (c->is_copying || c->alone->is_copying || c->is_mid_request || c->alone->tx != 'I')
				sim_say_end(c);
			else
				leave(c);
		}
		if (!has_moved) /* a back-off, or a login that lasts */
			quiet_pass(100 * US_PER_MS);
	}
	for (unsigned i = 0; i < s->profile.clients; i++)
		if (s->clients[i].f->fd >= 0)
			sim_fail("client %c has no answer", s->clients[i].f->letter);
}

static const struct fake_conn *
find_unclean_server(const struct sim *s)
{
	const struct fake_conn *c;

	TAILQ_FOREACH(c, &s->world.fake.conns, link)
		if (kernel_is_connected(c->fd) && c->is_authenticated &&
		    (c->tx != 'I' || c->is_copying || c->is_asleep || !TAILQ_EMPTY(&c->portals) || c->save_count > 0))
			return c;
	return NULL;
}

/* Servers that are kept for others. One that is being brought back from its last client may need its time. */
static void
check_servers(struct sim *s)
{
	const struct fake_conn *c;

	settle(s);
	for (int i = 0; i < 3 && find_unclean_server(s) != NULL; i++) {
		quiet_pass(6 * US_PER_S);
		settle(s);
	}
	if ((c = find_unclean_server(s)) != NULL)
		sim_fail("server %u is kept in a transaction", c->pid);
}

static void
on_server_message(struct fake_conn *c, uint8_t type, const uint8_t *body, size_t len)
{
	char text[80];
	size_t n = len < sizeof(text) - 1 ? len : sizeof(text) - 1;

	text[0] = (char)type;
	memcpy(text + 1, body, n);
	sim_trace_text('s', c->pid, "gets", text, n + 1);
	c->was_asked |= c->is_authenticated;
	if (c->sent_before >= FRAME_HEAD_LEN + len)
		c->sent_before -= FRAME_HEAD_LEN + len;
	else if (c->is_outdated && type != 'X')
		sim_fail("server %u is used, though all were to be opened anew", c->pid);
}

static void
on_notify(struct fake *f, const char *channel, const char *payload)
{
	struct sim *s = (struct sim *)((char *)f - offsetof(struct sim, world.fake));
	struct sim_notice *n;

	if (strncmp(channel, "ch", 2) != 0)
		return;
	must(++s->notice_count < SIM_NOTICES_MAX);
	n = &s->notices[s->notice_count];
	n->channel = channel[2];
	snprintf(n->payload, sizeof(n->payload), "%s", payload);
}

/* Who asks for what the code can touch does not know before the answer. */
static bool
is_code_known(const struct fake_conn *c)
{
	const struct sim *s = (const struct sim *)((const char *)c->fake - offsetof(struct sim, world.fake));
	const struct server *srv = sim_find_server(s, c->pid);
	const struct pool *pool = srv == NULL ? NULL : srv->owner;
	const struct code_answer *a = pool == NULL ? NULL : pool->code->answer;

	return a != NULL && (risk_of_opaque_sql(a->risks) & RISK_CONTEXT) != 0 &&
	       pool->code->full_answer_us < srv->loan.lent_us;
}

/* Returns true if the cancel that hits c now is of a request of pgweir's own. */
static bool
is_own_cancel(const struct fake_conn *c)
{
	const struct sim *s = (const struct sim *)((const char *)c->fake - offsetof(struct sim, world.fake));
	const struct server *srv = sim_find_server(s, c->pid);

	sim_trace('s', c->pid, "is cancelled while something begins", srv != NULL && srv->own_cancel_us != 0, 0);
	return srv == NULL || srv->own_cancel_us != 0;
}

/* Draws nothing of the run's: one with one worker is the run that it would be if there never were more. */
static void
choose_workers(struct sim *s)
{
	static const unsigned counts[] = { 1, 1, 2, 3, 5 };
	uint64_t drawn = (s->seed + 1) * 0xd1342543de82ef95u >> 40;

	s->profile.workers = counts[drawn % 5];
	if (s->profile.workers > 1 && drawn / 5 % 3 > 0) /* any pool of two connections has parts on several */
		strcat(s->profile.options, " parted");
}

/* Draws nothing of the run's, either. */
static void
choose_bulk(struct sim *s)
{
	uint64_t drawn = (s->seed + 1) * 0xd1342543de82ef95u >> 32;

	s->profile.is_bulky = (drawn & 7) == 0;
	if (s->profile.is_bulky && (drawn & 24) == 0 && strstr(s->profile.options, "short") == NULL)
		strcat(s->profile.options, " short"); /* a common length is over max_statement_size, and kept apart */
}

/* Draws nothing of the run's, either. */
static void
choose_begin(struct sim *s)
{
	uint64_t drawn = (s->seed + 1) * 0xd1342543de82ef95u >> 48;

	strcat(s->profile.options, drawn % 3 == 0 ? " sent" : " deferred");
}

/* Most that clients send may go ahead of its turn, if so: their sessions are alike, and many share few servers. */
static void
choose_sharing(struct sim *s, uint64_t drawn)
{
	struct sim_profile *p = &s->profile;

	p->is_sharing = true;
	p->clients = 5 + sim_below(s, TEXT_CLIENTS - 4);
	p->pipeline = sim_chance(s, 200) ? 1 : 2;
	p->has_listen = p->has_roles = p->is_wide = false;
	p->has_hidden &= sim_chance(s, 60);
	p->stalling = p->stalling > 0 && sim_chance(s, 60);
	if (sim_chance(s, 200))
		sim_leave_out_sessions(s);
	snprintf(p->options, sizeof(p->options), "trust %s", (drawn & 2) == 0 ? "deeply" : "sharing");
	add_word(s, 200, "patiently");
	add_word(s, 60, "two");
	add_word(s, 40, "overflow");
	add_word(s, 30, "ping");
	add_word(s, 30, "recycle");
	add_word(s, 30, "hidden_seed");
	add_word(s, 30, "lru");
	add_word(s, 60, sim_chance(s, 160) ? "hold" : "wait");
	add_word(s, p->unnaming > 0 ? 256 : 0, "named");
	add_word(s, p->jumping > 0 ? 80 : 0, "impatient");
	add_word(s, p->jumping > 0 ? 80 : 0, "query");
	add_word(s, p->jumping > 0 ? 80 : 0, "silent");
	if (p->workers > 1)
		add_word(s, 128, "parted two");
}

/* Draws nothing of the run's, either, unless clients share. */
static void
choose_pipeline(struct sim *s)
{
	uint64_t drawn = (s->seed + 1) * 0xd1342543de82ef95u >> 29;

	if ((drawn & 1) == 0)
		return;
	if ((drawn & 4) != 0 && !s->profile.has_transfers && !s->profile.makes_code)
		choose_sharing(s, drawn);
	else
		strcat(s->profile.options, (drawn & 2) == 0 ? " deeply" : " sharing");
}

/*
 * In a few runs pgweir's own questions are answered late, and cancelled while clients' requests begin. Draws nothing of
 * the run's, as above.
 */
static void
choose_asking(struct sim *s)
{
	uint64_t drawn = (s->seed + 1) * 0xda942042e4dd58b5u >> 40;

	if (drawn % 12 != 0 || s->profile.makes_code || s->profile.is_code_late)
		return;
	s->profile.is_asking = true;
	s->profile.jumping = 6;
	s->profile.cancelling = 0;
}

/* Draws nothing of the run's, as above: half of the runs keep what is sent unnamed. */
static void
choose_keeping(struct sim *s)
{
	uint64_t drawn = (s->seed + 1) * 0x2545f4914f6cdd1du >> 40;

	if ((drawn & 1) == 0)
		strcat(s->profile.options, " keeping");
}

/* What servers take with them from one worker to another counts. */
static void
choose_transfer(struct sim *s)
{
	struct sim_profile *p = &s->profile;

	if (strstr(p->options, "parted") == NULL || !sim_chance(s, 128))
		return;
	p->has_transfers = p->has_hidden = true;
	p->has_roles = p->has_listen = p->makes_code = p->is_stormy = p->is_wide = p->is_sleepy = false;
	p->clients = 4 + sim_below(s, TEXT_CLIENTS - 3);
	p->losing = p->losing > 0;
	p->unnaming = 0;
	p->reconnecting = sim_chance(s, 64);
	p->is_code_late = sim_chance(s, 128);
	p->jumping = p->is_code_late ? 3 : 0;
	snprintf(p->options, sizeof(p->options), "trust parted two hidden_plan");
	add_word(s, 60, "overflow");
	add_word(s, 60, "idle");
	add_word(s, 60, "lru");
	add_word(s, 60, "recycle");
	add_word(s, 60, "fifo");
	memset(p->left_out, 0, sizeof(p->left_out));
}

/*
 * A quarter of the runs has another pool_mode, session_state, compat or reads than the rest: two of these. Draws
 * nothing of the run's: the others stay what they were.
 */
static void
choose_session(struct sim *s)
{
	static const char *const ways[][4] = { { "pin", "warn", "error", "allow" },
					       { "session ample", "statement", "session ample", "statement" },
					       { "bouncer", "earlier", "bouncer", "earlier" },
					       { "marked", "preferring", "marked", "preferring" } };
	uint64_t random = (s->seed + 1) * 0x9e6c63d0876a9a49u;
	uint32_t first, second;

	for (int i = 0; i < 4; i++)
		draw_number(&random);
	if (!draw_chance(&random, 64, 256))
		return;
	first = draw_below(&random, 4);
	second = (first + 1 + draw_below(&random, 3)) % 4;
	snprintf(s->profile.options + strlen(s->profile.options),
		 sizeof(s->profile.options) - strlen(s->profile.options), " %s %s", ways[first][draw_below(&random, 4)],
		 ways[second][draw_below(&random, 4)]);
	if (strstr(s->profile.options, "allow") != NULL)
		sim_allow_sessions(s);
}

static void
begin(struct sim *s, uint64_t seed)
{
	*s = (struct sim){ .seed = seed, .random = (seed + 1) * 0x9e3779b97f4a7c15u };
	for (int i = 0; i < 4; i++)
		sim_draw(s);
	kernel_reset(seed);
	choose_profile(s);
	choose_workers(s);
	choose_bulk(s);
	s->profile.makes_code = s->profile.workers > 1 && !s->profile.has_hidden && sim_chance(s, 160);
	if (s->profile.makes_code) {
		s->profile.jumping = 2;
		s->profile.clients = s->profile.clients < 4 ? 4 : s->profile.clients;
		if (strstr(s->profile.options, "two") == NULL)
			strcat(s->profile.options, " two");
	}
	choose_transfer(s);
	choose_pipeline(s);
	choose_begin(s);
	choose_keeping(s);
	choose_asking(s);
	choose_session(s);
	world_init(&s->world, s->profile.options, s->profile.workers);
	if (s->profile.is_code_late) {
		s->world.fake.code = 0;
		s->world.fake.is_code_known = is_code_known;
	}
	s->world.fake.tells_transfer =
	    strstr(s->profile.options, "sharing") != NULL || strstr(s->profile.options, "deeply") != NULL;
	s->world.fake.hits_what_begins = s->profile.is_asking ? is_own_cancel : NULL;
	s->world.fake.signals_twice = (s->seed & 11) == 1; /* drawn from nothing: what other seeds found stays found */
	s->world.fake.on_message = on_server_message;
	s->world.fake.on_notify = on_notify;
	s->world.fake.sent_max = SIZE_MAX; /* as of each client's mirror */
	for (int i = 0; i < TEXT_CLIENTS; i++) {
		struct sim_client *c = &s->clients[i];

		c->sim = s;
		c->f = &s->world.clients[i];
		c->f->on_message = oracle_message;
		c->f->arg = c;
	}
	sim_weather(s);
}

void
sim_run(struct sim *s, uint64_t seed, uint64_t steps)
{
	unsigned open_before = kernel_open_count();

	begin(s, seed);
	steps *= s->profile.is_stormy || s->profile.is_sharing ? STORM_STEPS : 1;
	for (s->step = 0; s->step < steps; s->step++) {
		uint32_t kind = sim_draw(s) & 15;

		if (kind < 5)
			sim_turn(s);
		else if (kind < 9)
			step_client(s);
		else if (kind < 12)
			step_server(s);
		else if (kind < 14)
			kernel_arrive(sim_chance(s, 60));
		else if (kind == 14)
			fclient_turn(&s->world.canceller);
		else
			step_rarely(s);
		if ((s->step & 15) == 0) {
			check_limits(s);
			check_waits(s);
			check_newcomers(s);
			check_workers(s);
			if (s->profile.has_transfers && (s->step & 63) == 0)
				check_all_gucs(s);
		}
	}
	finish(s);
	check_servers(s);
	oracle_check_twice(s);
	world_leave(&s->world);
	world_free(&s->world);
	for (int i = 0; i < TEXT_CLIENTS; i++)
		buf_fini(&s->clients[i].unfed);
	if (resolver_count() > 0)
		sim_fail("%u lookups are not over", resolver_count());
	if (s->world.fake.last_pid > PIDS_MAX)
		sim_fail("more connections to PostgreSQL were opened than can be of use");
	/* The fake's own listener stays. */
	if (kernel_open_count() > (open_before > 0 ? open_before : 1))
		sim_fail("%u sockets are left open", kernel_open_count());
}
