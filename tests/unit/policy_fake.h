/*
 * tests/unit/policy_fake.h - an owner and borrowers for one rule at a time: records all that the pool asks for, and
 * the test answers. Connections are called by number, in the order in which they were asked for.
 */
#pragma once

#include "policy/policy.h"
#include "policy/policy_budget.h"

#define MS 1000u
#define S 1000000u
#define FAKE_CONNS 512
#define FAKE_CLIENTS 64
#define FAKE_LOG 4096

struct fake;

struct fake_client {
	struct policy_waiter waiter; /* first */
	struct fake *fake;
	struct policy_conn *conn; /* what it holds; NULL: nothing */
	int grants, refusals;
	struct fail why;
	enum request_failure kind;
	void (*then)(struct fake_client *c); /* done in the callback */
};

struct fake {
	struct policy *p;
	struct policy_settings settings;
	struct policy_worker *worker;
	struct policy_commons *own; /* of a pool that shares nothing; else NULL */
	struct pool_counters counters;
	uint64_t now, due; /* due: when policy_tick is to be called; 0: never */
	struct policy_conn conns[FAKE_CONNS];
	int opened, closed, pinged; /* how many were asked for so far */
	int closed_which[FAKE_LOG], pinged_which[FAKE_LOG]; /* numbers of connections, in order */
	bool cannot_open, is_slow_to_close, cannot_give;
	int given; /* to other workers; the last one, and where it goes: */
	struct policy_conn *given_last;
	struct policy_worker *given_to;
	int granting, deepest; /* on_grants one within another: now, and at most */
	struct fake_client clients[FAKE_CLIENTS];
};

struct policy_settings fake_settings(uint32_t size, uint32_t overflow); /* 30 s timeout, all else off */
extern const struct policy_waiter_ops fake_waiters; /* for a policy worker that is given to fake_init() */
void fake_init(struct fake *f, const struct policy_settings *settings,
	       struct policy_worker *worker); /* NULL: one of its own */
void fake_fini(struct fake *f); /* closes all; nothing may be left then */

/* Client number i borrows; true: got one at once. */
bool fake_borrow(struct fake *f, int i);
bool fake_borrow_gucs(struct fake *f, int i, const void *gucs);
void fake_return(struct fake *f, int i);
int fake_holds(const struct fake *f, int i); /* number of its connection; -1: none */
void fake_opened(struct fake *f, int conn); /* it logged in */
void fake_login_all(struct fake *f); /* all that it opens */
void fake_failed(struct fake *f, int conn, enum connect_failure kind, bool is_fatal);
void fake_fill(struct fake *f, int from, int n); /* clients from.. borrow, and get what is opened for them */
void fake_at(struct fake *f, uint64_t now); /* that time comes; policy_tick is called each time it is due */
void fake_all_at(struct fake *pools, int count, uint64_t now); /* ... of all of them, as one may wake another */
uint64_t fake_next(const struct fake *f); /* when policy_tick is due next; 0: never */
struct policy_counts fake_counts(const struct fake *f);
