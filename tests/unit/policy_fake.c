/* tests/unit/policy_fake.c - see policy_fake.h. */
#include "policy_fake.h"
#include "unit.h"

static int
number_of(const struct fake *f, const struct policy_conn *conn)
{
	return conn == NULL ? -1 : (int)(conn - f->conns);
}

static int
on_open(void *owner, uint64_t now_us, struct fail *why)
{
	struct fake *f = owner;

	if (f->cannot_open)
		return fail_set(why, "08001", "no descriptor left");
	cr_assert_lt(f->opened, FAKE_CONNS);
	policy_conn_opening(f->p, &f->conns[f->opened++], now_us);
	return 0;
}

static void
on_close(void *owner, struct policy_conn *conn, enum recycle_reason reason)
{
	struct fake *f = owner;

	f->closed_which[f->closed++] = number_of(f, conn);
	if (!f->is_slow_to_close)
		policy_conn_gone(f->p, conn, false, f->now);
}

static void
on_ping(void *owner, struct policy_conn *conn)
{
	struct fake *f = owner;

	f->pinged_which[f->pinged++] = number_of(f, conn);
}

static void
on_wake(void *owner, uint64_t at_us)
{
	struct fake *f = owner;

	f->due = at_us;
}

static void
on_grant(struct policy_conn *conn, struct policy_waiter *t)
{
	struct fake_client *c = (struct fake_client *)t;

	c->grants++;
	c->conn = conn;
	if (++c->fake->granting > c->fake->deepest)
		c->fake->deepest = c->fake->granting;
	if (c->then != NULL)
		c->then(c);
	c->fake->granting--;
}

static void
on_refuse(const struct fail *why, enum request_failure kind, struct policy_waiter *t)
{
	struct fake_client *c = (struct fake_client *)t;

	c->refusals++;
	c->why = *why;
	c->kind = kind;
	if (c->then != NULL)
		c->then(c);
}

const struct policy_waiter_ops fake_waiters = { on_grant, on_refuse, NULL };

static bool
on_give(void *owner, struct policy_conn *conn, struct policy_worker *to)
{
	struct fake *f = owner;

	if (f->cannot_give)
		return false;
	f->given++;
	f->given_last = conn;
	f->given_to = to;
	return true;
}

static const struct policy_ops ops = {
	.open = on_open, .close = on_close, .ping = on_ping, .wake = on_wake, .give = on_give
};

struct policy_settings
fake_settings(uint32_t size, uint32_t overflow)
{
	return (struct policy_settings){
		.pool_size = size,
		.max_overflow = overflow,
		.timeout_us = 30 * S,
		.ping_timeout_us = 5 * S,
		.overflow_linger_us = 10 * S,
		.lifo = true,
	};
}

static void
on_tell(void *owner)
{
}

void
fake_init(struct fake *f, const struct policy_settings *settings, struct policy_worker *worker)
{
	memset(f, 0, sizeof(*f));
	f->now = 1000 * S;
	f->settings = *settings;
	for (int i = 0; i < FAKE_CLIENTS; i++) {
		struct fake_client *c = &f->clients[i];

		c->fake = f;
		c->waiter = (struct policy_waiter){ 0 };
	}
	if (worker == NULL) {
		f->own = policy_commons_new(1);
		worker = policy_worker_new(f->own, 0, on_tell, NULL, &fake_waiters);
	}
	f->worker = worker;
	f->p = policy_new(settings, &ops, f, worker, &f->counters, 42, f->now);
	cr_assert_not_null(f->p);
}

void
fake_fini(struct fake *f)
{
	f->is_slow_to_close = false;
	for (int i = 0; i < FAKE_CLIENTS; i++) {
		f->clients[i].then = NULL;
		policy_cancel(f->p, &f->clients[i].waiter, f->now);
	}
	policy_close_all(f->p, RR_SHUTDOWN, f->now);
	for (int i = 0; i < f->opened; i++)
		policy_conn_gone(f->p, &f->conns[i], false, f->now);
	policy_free(f->p);
	if (f->own == NULL)
		return;
	policy_worker_free(f->worker);
	policy_commons_free(f->own);
}

bool
fake_borrow_gucs(struct fake *f, int i, const void *gucs)
{
	struct fake_client *c = &f->clients[i];

	c->grants = c->refusals = 0;
	c->waiter.gucs = gucs;
	c->conn = policy_borrow(f->p, &c->waiter, f->now);
	return c->conn != NULL;
}

bool
fake_borrow(struct fake *f, int i)
{
	return fake_borrow_gucs(f, i, NULL);
}

void
fake_return(struct fake *f, int i)
{
	struct policy_conn *conn = f->clients[i].conn;

	cr_assert_not_null(conn, "client %d has nothing to return", i);
	f->clients[i].conn = NULL;
	policy_return(f->p, conn, f->now);
}

int
fake_holds(const struct fake *f, int i)
{
	return number_of(f, f->clients[i].conn);
}

void
fake_opened(struct fake *f, int conn)
{
	policy_conn_opened(f->p, &f->conns[conn], f->now);
}

void
fake_login_all(struct fake *f)
{
	for (int c = 0; c < f->opened; c++)
		if (f->conns[c].state == PC_OPENING || f->conns[c].state == PC_CHECKING)
			fake_opened(f, c);
}

void
fake_failed(struct fake *f, int conn, enum connect_failure kind, bool is_fatal)
{
	struct fail why;

	if (kind == CF_TOO_MANY)
		fail_set(&why, "53300", "sorry, too many clients already");
	else
		fail_set(&why, "08001", "connection refused");
	policy_conn_failed(f->p, &f->conns[conn], kind, is_fatal, &why, f->now);
}

void
fake_fill(struct fake *f, int from, int n)
{
	for (int i = from; i < from + n; i++) {
		int next = f->opened;

		if (!fake_borrow(f, i)) {
			cr_assert_eq(f->opened, next + 1, "nothing was opened for client %d", i);
			fake_opened(f, next);
		}
		cr_assert_not_null(f->clients[i].conn, "client %d got nothing", i);
	}
}

uint64_t
fake_next(const struct fake *f)
{
	return f->due;
}

void
fake_at(struct fake *f, uint64_t now)
{
	while (f->due != 0 && f->due <= now) {
		if (f->due > f->now)
			f->now = f->due;
		f->due = policy_tick(f->p, f->now);
	}
	f->now = now;
}

void
fake_all_at(struct fake *pools, int count, uint64_t now)
{
	for (int turn = 0; turn < count; turn++)
		for (int i = 0; i < count; i++)
			fake_at(&pools[i], now);
}

struct policy_counts
fake_counts(const struct fake *f)
{
	struct policy_counts counts;

	policy_get_counts(f->p, &counts);
	return counts;
}
