/*
 * tests/unit/test_policy_use.c - what EXPLAIN POOL says of a pool, compared with loads that are known: the real policy
 * lends the connections of a PostgreSQL whose service times are given, and is looked at ten times a second as a pool
 * is.
 */
#include "policy/policy_use.h"
#include "base/clock.h"
#include "policy_fake.h"
#include "policy/policy_commons.h"
#include "unit.h"

#define JOBS 200000
#define LIMIT 10
#define SERVICE_US (10 * MS)

enum service { EXPONENTIAL, FIXED, MIXED /* one in a hundred takes a hundred times as long as the others */ };

/* A client of a closed load, or a request of an open one. */
struct job {
	struct policy_waiter waiter; /* first */
	struct world *world;
	struct policy_conn *conn; /* NULL: it has none */
	uint64_t begun_us, ends_us; /* while it has one */
	uint64_t comes_us; /* of a client: when it sends its next request; 0: it has one under way */
};

struct world {
	struct fake fake;
	struct policy_use use;
	enum service service;
	uint64_t service_us, think_us; /* means; think_us: of the clients of a closed load */
	uint64_t every_us; /* mean time between requests; 0: a closed load */
	uint32_t clients, processors; /* processors: more requests at once slow each other down; 0: never */
	uint64_t random, next_us, look_us, server_us, waited_us;
	uint64_t at_us[FAKE_CONNS]; /* how long so many were in use */
	uint32_t job_count, busy;
	struct job *running[FAKE_CONNS], jobs[JOBS];
};

static uint64_t
draw(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random >> 20;
}

/* Returns a time of an exponential distribution, in steps of a hundredth of its mean. */
static uint64_t
exponential(struct world *w, uint64_t mean_us)
{
	uint64_t steps = 0;

	while (draw(w) % 100 != 0)
		steps++;
	return (steps + 1) * mean_us / 100;
}

static uint64_t
service_of(struct world *w)
{
	uint64_t us = w->service == FIXED	  ? w->service_us
		      : w->service == EXPONENTIAL ? exponential(w, w->service_us)
		      : draw(w) % 100 == 0	  ? w->service_us * 100 / 2
						  : w->service_us / 2;

	return w->processors > 0 && w->busy > w->processors ? us * w->busy / w->processors : us;
}

static void
begin(struct job *j, struct policy_conn *conn)
{
	struct world *w = j->world;

	j->conn = conn;
	j->begun_us = w->fake.now;
	w->running[w->busy++] = j;
	j->ends_us = w->fake.now + service_of(w);
}

static void
on_granted(struct policy_conn *conn, struct policy_waiter *t)
{
	struct job *j = (struct job *)t;

	j->world->waited_us += j->world->fake.now - t->since_us;
	begin(j, conn);
}

static void
on_refused(const struct fail *why, enum request_failure kind, struct policy_waiter *t)
{
	struct job *j = (struct job *)t;

	cr_assert_eq(kind, RF_POOL_TIMEOUT, "%s", why->text);
	j->comes_us = j->world->every_us == 0 ? j->world->fake.now + 1 : 0; /* a client tries again at once */
}

static const struct policy_waiter_ops waiters = { on_granted, on_refused, NULL };

static void
on_tell(void *owner)
{
}

static void
send(struct world *w, struct job *j)
{
	struct policy_conn *conn;
	int opened = w->fake.opened;

	j->comes_us = 0;
	conn = policy_borrow(w->fake.p, &j->waiter, w->fake.now);
	if (conn != NULL)
		begin(j, conn);
	for (; opened < w->fake.opened; opened++)
		fake_opened(&w->fake, opened);
}

static void
end(struct world *w, uint32_t i)
{
	struct job *j = w->running[i];

	w->server_us += w->fake.now - j->begun_us;
	w->running[i] = w->running[--w->busy];
	if (w->every_us == 0)
		j->comes_us = w->fake.now + 1 + (w->think_us > 0 ? exponential(w, w->think_us) : 0);
	policy_return(w->fake.p, j->conn, w->fake.now);
}

static struct policy_use_sample
look_at(const struct world *w)
{
	const struct pool_counters *c = &w->fake.counters;

	return (struct policy_use_sample){ .loans =
					       c->checkouts[CS_IDLE] + c->checkouts[CS_NEW] + c->checkouts[CS_OVERFLOW],
					   .waits = c->waits,
					   .timeouts = c->pool_timeouts,
					   .server_us = w->server_us,
					   .waited_us = w->waited_us,
					   .uses = { [USE_RUNNING] = w->busy },
					   .in_use = w->busy,
					   .waiting = fake_counts(&w->fake).waiting,
					   .busy = w->busy,
					   .limit = w->fake.settings.pool_size,
					   .clients = w->every_us == 0 ? w->clients : JOBS };
}

static void
look(struct world *w)
{
	const struct policy_use_sample l = look_at(w);

	policy_use_record_sample(&w->use, &l, w->fake.now);
	w->look_us = w->fake.now + 100 * MS;
}

/* Returns when something happens next, or until_us. */
static uint64_t
next_event(const struct world *w, uint64_t until_us)
{
	uint64_t at_us = clock_lesser_us(until_us, w->look_us);

	if (w->next_us != 0)
		at_us = clock_lesser_us(at_us, w->next_us);
	if (w->fake.due != 0)
		at_us = clock_lesser_us(at_us, w->fake.due);
	for (uint32_t i = 0; i < w->busy; i++)
		at_us = clock_lesser_us(at_us, w->running[i]->ends_us);
	for (uint32_t i = 0; w->every_us == 0 && i < w->clients; i++)
		if (w->jobs[i].comes_us != 0)
			at_us = clock_lesser_us(at_us, w->jobs[i].comes_us);
	return at_us;
}

static void
play(struct world *w, uint64_t for_us)
{
	uint64_t until_us = w->fake.now + for_us;

	while (w->fake.now < until_us) {
		uint64_t now_us = next_event(w, until_us);

		w->at_us[w->busy] += now_us - w->fake.now;
		fake_at(&w->fake, now_us);
		for (uint32_t i = 0; i < w->busy; i++)
			if (w->running[i]->ends_us <= now_us)
				end(w, i--);
		if (w->next_us != 0 && w->next_us <= now_us) {
			cr_assert_lt(w->job_count, JOBS);
			w->jobs[w->job_count].world = w;
			send(w, &w->jobs[w->job_count++]);
			w->next_us += exponential(w, w->every_us);
		}
		for (uint32_t i = 0; w->every_us == 0 && i < w->clients; i++)
			if (w->jobs[i].comes_us != 0 && w->jobs[i].comes_us <= now_us)
				send(w, &w->jobs[i]);
		if (w->look_us <= now_us)
			look(w);
	}
}

static struct world *
world_new(uint32_t limit, enum service service, uint64_t service_us, uint64_t timeout_us)
{
	struct world *w = calloc(1, sizeof(*w));
	struct policy_settings settings = fake_settings(limit, 0);
	struct policy_commons *commons = policy_commons_new(1);

	cr_assert_not_null(w);
	settings.timeout_us = timeout_us;
	fake_init(&w->fake, &settings, policy_worker_new(commons, 0, on_tell, NULL, &waiters));
	w->fake.own = commons;
	w->service = service;
	w->service_us = service_us;
	w->random = 88172645463325252;
	w->look_us = w->fake.now;
	return w;
}

static void
world_free(struct world *w)
{
	for (uint32_t i = 0; i < JOBS && w->jobs[i].world != NULL; i++)
		policy_cancel(w->fake.p, &w->jobs[i].waiter, w->fake.now);
	while (w->busy > 0)
		end(w, w->busy - 1);
	fake_fini(&w->fake);
	free(w);
}

/* Requests arrive whatever the others wait for: so much that load connections were in use without a limit. */
static struct world *
open_load(enum service service, double load, uint64_t for_us, uint64_t timeout_us)
{
	struct world *w = world_new(LIMIT, service, SERVICE_US, timeout_us);
	double mean_us = service == MIXED ? SERVICE_US * 0.995 : SERVICE_US;

	w->every_us = (uint64_t)(mean_us / load);
	w->next_us = w->fake.now + w->every_us;
	play(w, for_us);
	return w;
}

static struct world *
closed_load(uint32_t clients, uint32_t limit, uint32_t processors, uint64_t think_us)
{
	struct world *w = world_new(limit, FIXED, 100 * MS, 0);

	w->clients = clients;
	w->processors = processors;
	w->think_us = think_us;
	for (uint32_t i = 0; i < clients; i++)
		w->jobs[i] = (struct job){ .world = w, .comes_us = w->fake.now + 1 + i * MS };
	play(w, 120 * (uint64_t)S);
	return w;
}

static void
resize(struct world *w, uint32_t limit)
{
	int opened = w->fake.opened;

	w->fake.settings.pool_size = limit;
	policy_reconfigure(w->fake.p, &w->fake.settings, w->fake.now);
	for (; opened < w->fake.opened; opened++)
		fake_opened(&w->fake, opened);
	play(w, 120 * (uint64_t)S);
}

static struct policy_sizing
sizing(const struct world *w)
{
	const struct policy_use_sample l = look_at(w);
	struct policy_use now = w->use, all = { 0 };

	policy_use_record_sample(&now, &l, w->fake.now);
	policy_use_add(&all, &now);
	return policy_use_compute_sizing(&all, 1);
}

static void
expect_near(double got, double want, double by, const char *what, double of)
{
	cr_expect(got >= want * (1 - by) && got <= want * (1 + by), "%s is %.2f, not %.2f, at a load of %.2f", what,
		  got, want, of);
}

/* Returns how many were in use, or fewer, for 95 % of the time. */
static uint32_t
percentile_95(const struct world *w)
{
	uint64_t all = 0, seen = 0;
	uint32_t n = 0;

	for (int i = 0; i < FAKE_CONNS; i++)
		all += w->at_us[i];
	while ((seen += w->at_us[n]) * 20 < all * 19)
		n++;
	return n;
}

static const double loads[] = { 0.5, 0.8, 0.95, 1.2 };

Test(policy_use, what_would_be_in_use_without_a_limit_is_the_load)
{
	for (enum service service = EXPONENTIAL; service <= MIXED; service++)
		EACH(load, loads) {
			double offered = *load * LIMIT;
			struct world *w = open_load(service, offered, 120 * (uint64_t)S, 0);
			struct policy_sizing s = sizing(w);

			expect_near(s.unlimited, offered, service == MIXED ? 0.1 : 0.05, "without a limit", *load);
			expect_near(s.in_use, offered < LIMIT ? offered : LIMIT, 0.1, "in use", *load);
			expect_near(s.at_95, percentile_95(w), 0.11, "the 95th percentile", *load);
			cr_expect_geq(s.unlimited_most, s.unlimited);
			cr_expect_geq(s.enough, offered, "advice below the load");
			cr_expect_not(policy_use_is_slowed(&s), "%.2f: %.1f: %.1f, %.1f: %.1f", *load, s.many.busy,
				      s.many.server_us, s.few.busy, s.few.server_us);
			if (*load > 1) { /* the queue is served, and nobody comes for a while */
				w->next_us = 0;
				play(w, 300 * (uint64_t)S);
				s = sizing(w);
				cr_expect_eq(s.peak, LIMIT);
				cr_expect_geq(s.enough, offered, "advice below the load, later");
			}
			world_free(w);
		}
}

Test(policy_use, a_loan_s_time_is_the_same_whatever_is_in_use_though_loans_are_longer_than_the_time_between_looks)
{
	struct world *w = world_new(LIMIT, EXPONENTIAL, 1 * S, 0);
	struct policy_sizing s;

	w->every_us = 160 * MS; /* 0.6 of the limit */
	w->next_us = w->fake.now + 1;
	play(w, 1100 * (uint64_t)S);
	s = sizing(w);
	cr_assert(s.many.busy > 8 && s.few.busy > 1 && s.few.busy < 8, "%.1f and %.1f", s.many.busy, s.few.busy);
	expect_near(s.many.server_us, 1 * S, 0.15, "a loan while many are in use", 0.6);
	expect_near(s.few.server_us, 1 * S, 0.15, "a loan while few are in use", 0.6);
	world_free(w);
}

Test(policy_use, requests_that_time_out_count_as_arrived)
{
	struct world *w = open_load(EXPONENTIAL, 1.2 * LIMIT, 60 * (uint64_t)S, 1 * S);
	struct policy_sizing s = sizing(w);

	cr_expect_gt(s.timeouts, 1000);
	expect_near(s.unlimited, 1.2 * LIMIT, 0.2, "without a limit", 1.2);
	expect_near(s.per_second, 1200, 0.05, "requests a second", 1.2);
	world_free(w);
}

Test(policy_use, where_clients_wait_for_each_answer_the_load_is_between_both_bounds)
{
	static const struct {
		uint64_t think_us;
		double unlimited;
	} rows[] = { { 0, 8 }, { 100 * MS, 4 }, { 300 * MS, 2 } };

	EACH(row, rows) {
		struct world *w = closed_load(8, 2, 0, row->think_us);
		struct policy_sizing s = sizing(w);

		cr_expect_leq(s.unlimited, row->unlimited * 1.05);
		cr_expect_geq(s.unlimited_most, row->unlimited * 0.95);
		cr_expect_leq(s.enough_most, 8, "more than there are clients");
		world_free(w);
	}
}

Test(policy_use, all_eight_that_always_have_something_to_do_are_told)
{
	struct world *w = closed_load(8, 2, 0, 0);
	struct policy_sizing s = sizing(w);

	expect_near(s.enough_most, 8, 0.01, "enough at most", 8);
	expect_near(s.wait_us, 300 * MS, 0.05, "a wait", 8);
	cr_expect_eq(s.few.busy, 0, "always as many were in use");
	world_free(w);
}

Test(policy_use, clients_that_waited_when_the_limit_changed_have_waited_and_arrived)
{
	struct world *w = closed_load(8, 2, 0, 0);
	struct policy_sizing s;

	w->service_us = 1000 * (uint64_t)S;
	play(w, 1 * S); /* these two are short, what is behind them is not */
	look(w);
	w->fake.settings.pool_size = 3;
	look(w);
	play(w, 1 * S);
	s = sizing(w);
	cr_expect_eq(s.waits, 6);
	cr_expect_geq(s.unlimited, 2);
	world_free(w);
}

Test(policy_use, postgresql_is_the_limit_where_its_time_grows_with_the_connections)
{
	static const struct {
		const char *what;
		uint32_t processors;
		bool is_slowed;
	} rows[] = { { "two processors", 2, true }, { "four", 4, false }, { "sleeping", 0, false } };

	EACH(row, rows) {
		struct world *w = closed_load(8, 2, row->processors, 0);
		struct policy_sizing s;

		resize(w, 4);
		s = sizing(w);
		cr_expect_eq(s.limit, 4);
		cr_expect(s.many.busy > 3.5 && s.few.busy <= 2.1, "%s: %.1f and %.1f", row->what, s.many.busy,
			  s.few.busy);
		cr_expect_eq(policy_use_is_slowed(&s), row->is_slowed, "%s: %.1f and %.1f ms", row->what,
			     s.many.server_us / MS, s.few.server_us / MS);
		world_free(w);
	}
}
