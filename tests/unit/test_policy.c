/*
 * tests/unit/test_policy.c - the rules of one pool, one by one, most of them in the words of policy_play.h. Links only
 * the pool policy and base/fail.c. Caps over several pools: test_policy_budget.c; everything at once and at random:
 * test_policy_sim.c.
 */
#include "policy/policy_state.h"
#include "policy_play.h"
#include "unit.h"

/* --- Who gets which. --- */

static const struct rule who_gets_which[] = {
	{ "an idle connection is lent at once and none is opened", "2+0",
	  "fill 0 1; return 0; borrow 1 lent; opened=1; waits=1 (only the first had to wait); checkouts[new]=1; "
	  "checkouts[idle]=1" },
	{ "whichever opens first goes to the longest waiter", "2+0",
	  "borrow 0; borrow 1; login 1; holds[0]=1; login 0; holds[1]=0" },
	{ "one who left is not called back", "1+0",
	  "fill 0 1; borrow 1; borrow 2; cancel 1; cancel 1; cancel 0 (does not wait); return 0; grants[1]=0; "
	  "refusals[1]=0; holds[2]=0" },
	{ "a returned connection goes to the longest waiter", "1+0",
	  "fill 0 1; borrow 1-3 waits; return 0; holds[1]=0; waiting=2; return 1; holds[2]=0; waiting=1; return 2; "
	  "holds[3]=0; waiting=0" },
};

Test(policy, who_gets_which)
{
	PLAY_RULES(who_gets_which);
}

/* --- Requests that are sent ahead of their turn. --- */

static const struct rule who_goes_ahead[] = {
	{ "the first in the queue, then the next, while all connections are lent", "1+0",
	  "fill 0 1; borrow 1-2 waits; may_go_ahead[1]=1; ahead 1 0; may_go_ahead[2]=1; ahead 2 0; "
	  "may_go_ahead[1-2]=0; ahead=2" },
	{ "nobody while another connection may be opened", "1+1", "fill 0 1; borrow 1 waits; may_go_ahead[1]=0" },
	{ "nobody while the pool is paused", "1+0", "fill 0 1; borrow 1 waits; pause; may_go_ahead[1]=0" },
	{ "whose request was sent gets that connection, in the order in which they were sent", "1+0",
	  "fill 0 1; borrow 1-3 waits; ahead 1 0; ahead 2 0; return 0; holds[1]=0; take 1; first=1; return 1; "
	  "holds[2]=0; take 2; first=2; return 2; holds[3]=0; first=2; second=0; again=0" },
	{ "another connection goes to the first whose request was not sent", "2+0",
	  "fill 0 2; borrow 2-3 waits; ahead 2 0; return 1; holds[3]=1; return 0; holds[2]=0; second=0" },
	{ "or becomes idle if all were, and goes to the next who comes", "2+0",
	  "fill 0 2; borrow 2 waits; ahead 2 0; return 1; idle=1; waits[2]=1; second=0; borrow 3; holds[3]=1; return "
	  "0; holds[2]=0" },
	{ "but if where it was sent takes too long, it goes to the first: what was sent for him is nobody's", "2+0",
	  "fill 0 2; borrow 2 waits; ahead 2 0; now +3ms; return 1; waits[2]=1; idle=1; at +2ms; waits[2]=1; at +1ms; "
	  "holds[2]=1; "
	  "second=1; "
	  "lost_ahead[0]=1; ahead=0" },
	{ "or another is opened then, if there may be one", "2+0",
	  "fill 0 2; borrow 2 waits; ahead 2 0; lose 1; opened=2; at +5ms; opened=2; at +1; opened=3; second=1; login "
	  "2; "
	  "holds[2]=2" },
	{ "or if that is lost", "2+0",
	  "fill 0 2; borrow 2 waits; ahead 2 0; return 1; lose 0; ping 1 ok; holds[2]=1; again=1" },
	{ "or if it is nobody's by the owner's word", "2+0",
	  "fill 0 2; borrow 2 waits; ahead 2 0; return 1; disown 0; next=+0; tick; holds[2]=1; again=1" },
	{ "or if where it was sent takes too long", "2+0",
	  "fill 0 2; borrow 2-3 waits; ahead 2 0; now +6ms; may_go_ahead[2]=1; return 1; holds[2]=1; waits[3]=1" },
	{ "who is sent twice has his place where he was sent last", "2+0",
	  "fill 0 2; borrow 2 waits; ahead 2 0; now +6ms; ahead 2 1; lost_ahead[0]=1; lost_ahead[1]=0; return 1; "
	  "holds[2]=1; take 2; first=1; second=0" },
	{ "who leaves takes nothing", "1+0",
	  "fill 0 1; borrow 1 waits; ahead 1 0; cancel 1; lost_ahead[0]=1; ahead=0" },
	{ "and nobody gets the connection with that request, which is closed as dirty", "1+0",
	  "fill 0 1; borrow 1-2 waits; ahead 1 0; cancel 1; return 0; recycles[dirty]=1; opened=2; login 1; "
	  "holds[2]=1" },
	{ "who was sent to a connection that is lost waits on, and is first again", "2+0",
	  "fill 0 2; borrow 2-3 waits; ahead 2 0; lose 0; again=1; return 1; holds[2]=1; waits[3]=1" },
	{ "as is whose request is nobody's by the owner's word", "1+0",
	  "fill 0 1; borrow 1-2 waits; ahead 1-2 0; disown 0; again=2; ahead=0; return 0; holds[1]=0" },
};

Test(policy, who_goes_ahead)
{
	PLAY_RULES(who_goes_ahead);
}

static void
give_back(struct fake_client *c)
{
	struct policy_conn *conn = c->conn;

	c->conn = NULL;
	if (conn != NULL)
		policy_return(c->fake->p, conn, c->fake->now);
}

Test(policy, who_returns_from_within_his_callback_serves_the_whole_line_in_order)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	for (int i = 1; i < 20; i++) {
		f.clients[i].then = give_back;
		fake_borrow(&f, i);
	}
	fake_return(&f, 0);
	for (int i = 1; i < 20; i++)
		cr_expect_eq(f.clients[i].grants, 1, "client %d", i);
	cr_expect_eq(fake_counts(&f).idle, 1);
	cr_expect_eq(f.deepest, 1, "the stack does not grow with the line: %d deep", f.deepest);
	fake_fini(&f);
}

static void
let_another_borrow(struct fake_client *c)
{
	c->then = NULL;
	fake_borrow(c->fake, 9);
}

Test(policy, a_newcomer_does_not_overtake_even_while_others_are_being_served)
{
	struct policy_settings set = fake_settings(4, 0);
	struct fake f;

	set.pre_ping = true;
	set.pre_ping_idle_us = S;
	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 4);
	for (int i = 0; i < 4; i++)
		fake_return(&f, i);
	fake_at(&f, f.now + 2 * S);
	fake_borrow(&f, 5);
	fake_borrow(&f, 6);
	cr_expect_eq(f.pinged, 2);
	f.clients[5].then = let_another_borrow;
	set.pre_ping = false; /* the other two can be lent as they are */
	policy_reconfigure(f.p, &set, f.now);
	cr_expect_eq(f.clients[6].grants, 1);
	cr_expect_eq(f.clients[9].grants, 0);
	cr_expect(f.clients[9].waiter.waits != WAITS_NOT);
	fake_fini(&f);
}

static const char gucs_a, gucs_b;

static const struct {
	const char *rule;
	bool lifo;
	const void *wants;
	int gucs_a_on; /* returned as number .. of 10, the last is the warmest; -1: on none */
	int gets;
} lending[] = {
	{ "lifo: the warmest goes first", true, NULL, -1, 9 },
	{ "fifo: the longest idle goes first", false, NULL, -1, 0 },
	{ "no wish: the image does not matter", true, NULL, 5, 9 },
	{ "the one with the image goes before warmer ones", true, &gucs_a, 5, 5 },
	{ "nobody has the image: the first", true, &gucs_a, -1, 9 },
	{ "eight are looked at", true, &gucs_a, 2, 2 },
	{ "the ninth is not", true, &gucs_a, 1, 9 },
	{ "fifo looks from the other end", false, &gucs_a, 7, 7 },
	{ "fifo: the ninth is not looked at", false, &gucs_a, 8, 0 },
};

Test(policy, lending_order)
{
	EACH(row, lending) {
		struct policy_settings set = fake_settings(10, 0);
		struct fake f;

		set.lifo = row->lifo;
		fake_init(&f, &set, NULL);
		fake_fill(&f, 0, 10);
		for (int k = 0; k < 10; k++) {
			f.now++;
			f.conns[k].gucs = k == row->gucs_a_on ? &gucs_a : &gucs_b;
			fake_return(&f, k);
		}
		cr_expect(fake_borrow_gucs(&f, 20, row->wants));
		cr_expect_eq(fake_holds(&f, 20), row->gets, "%s", row->rule);
		fake_fini(&f);
	}
}

Test(policy, who_comes_back_soon_gets_its_own)
{
	static const struct {
		const char *rule;
		bool lifo;
		const void *wants;
		uint64_t later_us;
		int gets;
	} cases[] = {
		{ "its own, though another is warmer", true, NULL, 1000, 0 },
		{ "with the image it wants", true, &gucs_a, 1000, 0 },
		{ "not with another", true, &gucs_b, 1000, 1 },
		{ "the warmest, later", true, NULL, 10000, 1 },
		{ "fifo", false, NULL, 1000, 2 },
	};

	EACH(row, cases) {
		struct policy_settings set = fake_settings(3, 0);
		struct fake f;

		set.lifo = row->lifo;
		fake_init(&f, &set, NULL);
		for (int k = 0; k < 3; k++)
			f.clients[k].waiter.id = (uint64_t)k + 1;
		fake_fill(&f, 0, 3);
		for (int k = 0; k < 3; k++)
			f.conns[k].gucs = k == 1 ? &gucs_b : &gucs_a;
		fake_return(&f, 2);
		fake_at(&f, f.now + 1);
		fake_return(&f, 0);
		fake_at(&f, f.now + 1);
		fake_return(&f, 1);
		fake_at(&f, f.now + row->later_us);
		cr_expect(fake_borrow_gucs(&f, 0, row->wants));
		cr_expect_eq(fake_holds(&f, 0), row->gets, "%s", row->rule);
		fake_fini(&f);
	}
}

/* --- How many. --- */

static const struct rule how_many[] = {
	{ "a burst opens one for each up to the limit at once", "5+3", "borrow 0-19 waits; opened=8; overflow=3" },
	{ "checkouts tell new ones overflow and reuse apart", "2+1",
	  "fill 0 3; checkouts[new]=2; checkouts[overflow]=1; borrow 3; return 2; checkouts[idle]=1" },
	{ "without linger overflow is closed on return", "1+1 overflow_linger_us=0",
	  "fill 0 2; borrow 2; return 0; holds[2]=0 (but not while somebody waits); return 2; closed=1; return 1; "
	  "closed=1; idle=1" },
	{ "the shortest life is one loan", "2+0 recycle_us=1",
	  "borrow 0; login 0; holds[0]=0; return 0; closed=1; opened=1" },
	{ "with a delay overflow is for those that have waited", "2+3 overflow_delay_us=2s",
	  "fill 0 2; borrow 2; at +1s; borrow 3; borrow 4; opened=2; next=+1s; at +1s-1; opened=2; at +1; opened=3 "
	  "(for the first, not for the two behind it); return 0; holds[2]=0; login 2; holds[3]=2 (whoever it was "
	  "opened for); at +1s; opened=4; login 3; holds[4]=3; checkouts[overflow]=2" },
	{ "a closing one counts until it is gone", "1+0",
	  "slow_to_close; fill 0 1; due 0; borrow 1; return 0; closing=1; opened=1; login 0 (late, and of no "
	  "interest); ping 0 ok; grants[1]=0; gone 0 down; opened=2" },
	{ "overflow is closed when it has been idle for the linger the longest idle first", "2+2",
	  "fill 0 4; at +1s; return 0; at +1s; return 1; at +1s; return 2; at +1s; return 3; next=+7s; at next-1; "
	  "closed=0; at +1; closed=1; at +100s; closed=2 (only the surplus); closed_which[0]=0; closed_which[1]=1; "
	  "recycles[overflow]=2" },
};

Test(policy, how_many)
{
	PLAY_RULES(how_many);
}

Test(policy, pacing_holds_back_what_is_above_it)
{
	struct policy_settings set = fake_settings(40, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	for (int i = 0; i < 30; i++)
		fake_borrow(&f, i);
	cr_expect_eq(f.opened, 16, "0 means 16");
	fake_opened(&f, 0);
	cr_expect_eq(f.opened, 17, "one has opened: one more");
	fake_fini(&f);

	set.opens_at_once = 2;
	fake_init(&f, &set, NULL);
	for (int i = 0; i < 30; i++)
		fake_borrow(&f, i);
	cr_expect_eq(f.opened, 2);
	fake_fini(&f);
}

/* --- Too late. --- */

static const struct rule too_late[] = {
	{ "a waiter is refused after the timeout and told what to do", "2+1",
	  "fill 0 3; borrow 3; at +1s; borrow 4; next=+29s; at +29s-1; refusals[3]=0; at +1; refusals[3]=1; "
	  "refusals[4]=0; kind[3]=pool_timeout; sqlstate[3]='53300'; text[3]='no server connection became free within "
	  "30 s'; detail[3]='The pool has 3 of 3 connections busy (2 + 1 overflow), and 2 clients are waiting.'; "
	  "hint[3]='See who keeps connections for long: SHOW HOLDERS in the pgweir console. If all of them are at "
	  "work, raise "
	  "pool_size or max_overflow.'; pool_timeouts=1" },
	{ "those who may wait are not refused while nothing can be reached", "2+0 waits_while_down",
	  "borrow 1; fail 0 refused; borrow 2; at +1ms; refusals[1]=0; refusals[2]=0; at +100ms (the back-off is over: "
	  "another one is opened); fail 1 auth fatal; refusals[1]=1 (a refusal is for good); refusals[2]=1; borrow 3; "
	  "at +1ms; refusals[3]=1 (and for those who come while it backs off)" },
	{ "a failure is told until another attempt has succeeded", "1+0 waits_while_down",
	  "borrow 0; borrow 1; fail 0 refused; explain 1; hint[1]='Opening another failed: connection refused.'; at "
	  "+1s; login 1; holds[0]=1; explain 1; detail[1]='The pool has 1 of 1 connections busy (1 + 0 overflow), and "
	  "1 "
	  "client is waiting.'; hint[1]='See who keeps connections for long: SHOW HOLDERS in the pgweir console. If "
	  "all "
	  "of them are at work, raise pool_size or max_overflow.'" },
	{ "without a timeout they wait for ever", "1+0 timeout_us=0",
	  "fill 0 1; borrow 1; at +1000000s; refusals[1]=0; next=0" },
	{ "a wait while the pool grows is not for a dead host", "3+0",
	  "fill 0 1; now +5s; borrow 1; borrow 2; now +2ms; explain 2; detail[2]='The pool has 1 of 3 connections busy "
	  "(3 + 0 overflow), and 2 clients are waiting. One more is being opened.'; hint[2]='It is lent once it has "
	  "logged in; min_idle keeps some ready.'; now +2s; explain 2; detail[2]='A connection to PostgreSQL has been "
	  "opening for 2 s without an answer.'; return 0 (to the first in line); login 2; borrow 3; explain 3; "
	  "hint[3]='It is lent once it has logged in; min_idle keeps some ready.'; login 1" },
};

Test(policy, too_late)
{
	PLAY_RULES(too_late);
}

/* A login under way is no sign that the host is dead, unless nothing else has come from there for a second. */

Test(policy, the_refusal_says_so_when_opening_failed_during_the_wait)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	set.timeout_us = 1500 * MS;
	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_borrow(&f, 1);
	f.now += S;
	fake_failed(&f, 1, CF_REFUSED, false);
	cr_expect_eq(f.clients[1].refusals, 0, "another connection lives");
	f.cannot_open = true;
	fake_at(&f, f.now + 500 * MS);
	cr_expect_eq(f.clients[1].refusals, 1);
	cr_expect_str_eq(f.clients[1].why.text, "no server connection became free within 1.5 s");
	cr_expect_str_eq(f.clients[1].why.hint, "Opening another failed: no descriptor left.");
	fake_fini(&f);

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_borrow(&f, 1);
	fake_failed(&f, 1, CF_TOO_MANY, false);
	fake_at(&f, f.now + 1500 * MS);
	cr_expect_str_eq(f.clients[1].why.hint,
			 "Raise PostgreSQL's limit, or lower pool_size; it said: sorry, too many clients already.");
	fake_fini(&f);
}

static void
try_again(struct fake_client *c)
{
	c->then = NULL;
	c->conn = policy_borrow(c->fake->p, &c->waiter, c->fake->now);
}

Test(policy, refuse_all_refuses_those_in_line_not_those_who_come_back)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fail why;
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	for (int i = 1; i <= 3; i++)
		fake_borrow(&f, i);
	f.clients[2].then = try_again;
	fail_set(&why, "57P01", "shutting down");
	policy_refuse_all(f.p, &why, RF_SHUTDOWN, f.now);
	for (int i = 1; i <= 3; i++) {
		cr_expect_eq(f.clients[i].refusals, 1);
		cr_expect_str_eq(f.clients[i].why.sqlstate, "57P01");
	}
	cr_expect_eq(fake_counts(&f).waiting, 1);
	fake_return(&f, 0);
	cr_expect_eq(f.clients[2].grants, 1);
	fake_fini(&f);
}

/* --- When opening fails. --- */

static const struct rule when_opening_fails[] = {
	{ "who comes while backing off is refused by the next tick", "5+0",
	  "borrow 0; fail 0 refused; now +10ms; borrow 1; refusals[1]=0 (not from within policy_borrow); next<=+0; at "
	  "+0; refusals[1]=1; kind[1]=backend_unreachable; text[1]='connection refused'; opened=1" },
	{ "while others live failures refuse nobody unless they are fatal", "5+0",
	  "fill 0 1; borrow 1; fail 1 timeout; refusals[1]=0; at +60ms; opened=3 (tried again); fail 2 auth fatal; "
	  "refusals[1]=1; borrow 2; at +1ms; refusals[2]=0 (the lent one may come back); return 0; holds[2]=0" },
	{ "nobody waits for an upstream that cannot be reached", "5+0",
	  "borrow 0-2; fail 0-1 refused; refusals[0]=0 (one is still being opened); fail 2 refused; refusals[0-2]=1; "
	  "kind[0-2]=backend_unreachable; sqlstate[0-2]='08001'; text[0-2]='connection refused'" },
};

Test(policy, when_opening_fails)
{
	PLAY_RULES(when_opening_fails);
}

Test(policy, without_memory_for_a_connection_all_wait_for_the_next_attempt)
{
	struct policy_settings set = fake_settings(5, 0);
	struct fail why;
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fail_set(&why, "53200", "no memory");
	policy_conn_failed(f.p, &f.conns[0], CF_OTHER, false, &why, f.now);
	fake_borrow(&f, 1);
	fake_at(&f, f.now + 100 * MS);
	cr_expect_eq(f.clients[0].refusals + f.clients[1].refusals, 0);
	cr_expect_eq(f.counters.outages, 0, "nothing is wrong with PostgreSQL");
	fake_opened(&f, 1);
	cr_expect_eq(f.clients[0].grants, 1);
	fake_fini(&f);
}

Test(policy, the_back_off_doubles_from_50_ms_to_15_s_and_starts_anew_after_a_success)
{
	struct policy_settings set = fake_settings(2, 0);
	uint64_t want = 50 * MS, seen_apart = 0;
	struct fake f;

	set.min_idle = 1;
	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fake_opened(&f, 0);
	cr_expect_eq(f.opened, 2, "one is to be kept ready, which nobody asks for");
	for (int i = 0; i < 14; i++) {
		int next = f.opened;
		uint64_t wait;

		fake_failed(&f, next - 1, CF_REFUSED, false);
		wait = fake_counts(&f).backoff_until_us - f.now;
		cr_expect(wait >= want * 8 / 10 && wait <= want * 12 / 10, "%llu, not about %llu",
			  (unsigned long long)wait, (unsigned long long)want);
		seen_apart += wait != want;
		fake_at(&f, f.now + wait - 1);
		cr_expect_eq(f.opened, next);
		fake_at(&f, f.now + 1 * S);
		cr_expect_eq(f.opened, next + 1, "min_idle is looked at once per second");
		want = want * 2 > 15 * S ? 15 * S : want * 2;
	}
	cr_expect_gt(seen_apart, 10, "with jitter");
	fake_opened(&f, f.opened - 1);
	cr_expect_eq(fake_counts(&f).backoff_until_us, 0);
	fake_borrow(&f, 1);
	fake_borrow(&f, 2);
	policy_conn_gone(f.p, f.clients[0].conn, false, f.now);
	fake_failed(&f, f.opened - 1, CF_REFUSED, false);
	cr_expect_leq(fake_counts(&f).backoff_until_us, f.now + 60 * MS);
	fake_fini(&f);
}

Test(policy, while_somebody_asks_it_tries_at_least_every_half_second)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	for (int i = 0; i < 20; i++) { /* each is refused, and the next one comes when the pool may try again */
		fake_borrow(&f, 0);
		cr_expect_eq(f.opened, i + 1);
		fake_failed(&f, i, CF_REFUSED, false);
		cr_expect_eq(f.clients[0].refusals, 1);
		cr_expect_leq(fake_counts(&f).backoff_until_us, f.now + 480 * MS);
		f.now = fake_counts(&f).backoff_until_us;
	}
	fake_fini(&f);
}

Test(policy, the_first_to_come_does_not_wait_for_a_back_off_that_nobody_asked_in)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	set.min_idle = 1;
	set.on_outage = OUTAGE_WAIT;
	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fake_opened(&f, 0);
	fake_return(&f, 0);
	policy_conn_gone(f.p, &f.conns[0], false, f.now);
	for (int i = 1; i < 14; i++) {
		fake_at(&f, f.now + 20 * S);
		fake_failed(&f, f.opened - 1, CF_OTHER, false);
	}
	cr_expect_gt(fake_counts(&f).backoff_until_us, f.now + 10 * S);
	int before = f.opened;
	fake_borrow(&f, 1);
	fake_at(&f, f.now + 400 * MS);
	cr_expect_eq(f.opened, before + 1);
	fake_opened(&f, before);
	cr_expect_not_null(f.clients[1].conn);
	fake_fini(&f);
}

/* --- An outage: opening fails, and no connection is there. --- */

static const struct rule an_outage_opening_fails_and_no_connection_is_there[] = {
	{ "those in line when postgresql restarts wait on and newcomers are told", "1+0",
	  "fill 0 1; borrow 1; borrow 2; lose 0 down; opened=2; fail 1 refused; refusals[1]=0; refusals[2]=0; "
	  "outage_held=2; borrow 3; at +0; refusals[3]=1 (it came when PostgreSQL was gone); refusals[1]=0; "
	  "refusals[2]=0; at +60ms; opened=3 (tried again); login 2; holds[1]=2 (in the order of the line); return 1; "
	  "holds[2]=2; held=2" },
	{ "an attempt at a host that refused is waited for but not for long", "5+0",
	  "borrow 0; at +1ms; fail 0 refused; refusals[0]=1; outage!=0; at +1s; borrow 1; at +499ms; borrow 2; "
	  "refusals[1]=0; at +1ms; refusals[1]=1; refusals[2]=1 (what the first has waited for is not more likely to "
	  "come now); at +1s; fail 1 other; borrow 3; at +100ms; refusals[3]=1 (it took as long as silence does)" },
	{ "a pool that holds refuses nobody for outage hold", "5+0 is_holding hold_us=10s",
	  "borrow 0; now +3s (nobody has answered yet); mark; fail 0 timeout; at +0; refusals[0]=0; outage=mark; now "
	  "+10ms; borrow 1; at +0; refusals[1]=0; outage_held=2; at mark+10s-1; refusals[0]=0; at mark+10s; "
	  "refusals[0]=1 (from the beginning of the outage: it came before); kind[0]=backend_unreachable; "
	  "refusals[1]=0 (it came later); at mark+10s+10ms; refusals[1]=1" },
	{ "after an outage pool timeout begins anew for those who were held",
	  "1+0 is_holding hold_us=10s timeout_us=5s",
	  "borrow 0; borrow 1; fail 0 refused; at +9s; mark; login 1; holds[0]=1; outage=0; outages=1; outage_us=9s; "
	  "at mark+5s-1; refusals[1]=0; at mark+5s; refusals[1]=1; kind[1]=pool_timeout" },
	{ "a wrong password is told at once even if outages are held", "5+0 is_holding hold_us=10s",
	  "borrow 0; fail 0 auth fatal; refusals[0]=1; borrow 1; at +0; refusals[1]=1; outages=0" },
	{ "an open that cannot begin is a failure told by tick", "1+0",
	  "cannot_open; borrow 0 waits; refusals[0]=0; at +0; refusals[0]=1; text[0]='no descriptor left'" },
	{ "too many connections and none of ours is a full pool", "10+0",
	  "borrow 0; fail 0 too_many_connections; refusals[0]=0; borrow 1-3; at +1s; refusals[3]=0; opened=2 (one is "
	  "tried); login 1; holds[0]=1; opened=2 (and no more for 30 s); outages=0; at +29s; refusals[1]=1; "
	  "kind[1]=pool_timeout; sqlstate[1]='53300'" },
	{ "a newcomer does not wait for a health check of a silent host", "5+0",
	  "borrow 0; at +5s; fail 0 timeout; refusals[0]=1; outage!=0; at +800ms; health_check; opened=2; borrow 1; "
	  "opened=3 (and one for those who come); at +0; refusals[1]=1; at +800ms; health_check; opened=4; borrow 2; "
	  "opened=4; at +0; refusals[2]=1; at +800ms; health_check; opened=5; borrow 3; opened=5; at +0; "
	  "refusals[3]=1; sqlstate[1-3]='08001'; login 2; outage=0; borrow 4 lent (a health check has found it)" },
	{ "a newcomer does not wait for the attempt that it begins at a silent host", "5+0",
	  "borrow 0; at +5s; fail 0 timeout; refusals[0]=1; outage!=0; at +1s; borrow 1; opened=2 (one is tried); at "
	  "+0; refusals[1]=1; borrow 2; opened=2; at +0; refusals[2]=1; borrow 3; opened=2; at +0; refusals[3]=1; "
	  "detail[1-3]~'and no answer has come since.'; login 1; borrow 4 lent (what nobody waited for is there)" },
	{ "a health check that fails says what newcomers are told", "5+0",
	  "borrow 0; at +1ms; fail 0 refused; refusals[0]=1; outage!=0; at +60s; health_check; at +5s; "
	  "health_check_fails 1 timeout; gone 1; health_check; borrow 1; at +0; refusals[1]=1; text[1]='timed out'; "
	  "health_check_fails 2 too_many_connections; gone 2; borrow 2; at +2s; refusals[2]=0 (PostgreSQL has answered "
	  "since)" },
	{ "after an outage connections are opened at a rising pace", "20+0 is_holding hold_us=10s",
	  "borrow 0-9; fail 0-9 refused; at +60ms; opened=11 (one is tried); login 10; opened=13 (then two at a time); "
	  "login 11; opened=15 (and so on); holds[0]=10; holds[1]=11 (in the order of the line); holds[2]=-1" },
	{ "what failed together is one failure and then one is tried alone", "10+0",
	  "fill 0 1; borrow 1-8; now +1ms; fail 1 refused; now +1ms; fail 2 refused; now +1ms; fail 3 refused; now "
	  "+1ms; fail 4 refused; now +1ms; fail 5 refused; now +1ms; fail 6 refused; now +1ms; fail 7 refused; now "
	  "+1ms; fail 8 refused; backoff<=+60ms; at +60ms; opened=10 (one alone); login 9; opened=17 (it works: one "
	  "for each of the seven who still wait)" },
	{ "too many connections lowers the limit for 30 s and refuses nobody", "10+0",
	  "fill 0 3; borrow 3-5; fail 3-5 too_many_connections; backoff=0; at +29s; opened=6; refusals[3]=0; lose 0; "
	  "opened=7 (up to what it had); refuse_all; borrow 6; borrow 7; at +1s; opened=8 (30 s have passed)" },
};

Test(policy, an_outage_opening_fails_and_no_connection_is_there)
{
	PLAY_RULES(an_outage_opening_fails_and_no_connection_is_there);
}

static void
lose(struct fake *f, int client)
{
	struct policy_conn *conn = f->clients[client].conn;

	f->clients[client].conn = NULL;
	policy_conn_gone(f->p, conn, true, f->now);
}

Test(policy, those_who_waited_through_a_restart_in_vain_are_told_why_at_pool_timeout)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_borrow(&f, 1);
	lose(&f, 0);
	for (uint64_t end = f.now + 30 * S - 1; f.now < end;) {
		uint64_t next = fake_next(&f);

		if (fake_counts(&f).opening > 0)
			fake_failed(&f, f.opened - 1, CF_REFUSED, false);
		fake_at(&f, next > f.now && next < end ? next : f.now + 100 * MS < end ? f.now + 100 * MS : end);
		cr_assert_eq(f.clients[1].refusals, 0);
	}
	fake_at(&f, f.now + 1);
	cr_expect_eq(f.clients[1].refusals, 1);
	cr_expect_eq(f.clients[1].kind, RF_BACKEND_UNREACHABLE);
	cr_expect_str_eq(f.clients[1].why.sqlstate, "08001");
	fake_fini(&f);
}

/* The first attempt has got no answer within 5 s; or it was refused after 1 ms. */
static void
begin_outage(struct fake *f, const struct policy_settings *set, bool is_silent)
{
	fake_init(f, set, NULL);
	fake_borrow(f, 0);
	fake_at(f, f->now + (is_silent ? 5 * S : MS));
	fake_failed(f, 0, is_silent ? CF_TIMEOUT : CF_REFUSED, false);
	cr_assert_eq(f->clients[0].refusals, 1);
	cr_assert_gt(fake_counts(f).outage.since_us, 0);
}

Test(policy, nobody_waits_for_more_than_a_second_beside_an_attempt_that_hangs)
{
	struct policy_settings set = fake_settings(5, 0);
	struct fake f;

	begin_outage(&f, &set, false);
	fake_at(&f, f.now + S);
	fake_borrow(&f, 1);
	for (int i = 0; i < 4; i++) {
		cr_expect_eq(f.clients[1].refusals, 0, "%d", i);
		f.p->backoff_until_us = f.now + 400 * MS; /* another pool was refused again: policy_circuit.h */
		fake_at(&f, f.now + 250 * MS);
	}
	cr_expect_eq(f.clients[1].refusals, 1);
	fake_fini(&f);
}

static struct policy_settings
holding(uint32_t size)
{
	struct policy_settings set = fake_settings(size, 0);

	set.on_outage = OUTAGE_HOLD;
	set.hold_us = 10 * S;
	return set;
}

Test(policy, a_trial_that_hangs_does_not_keep_another_from_beginning_soon)
{
	struct policy_settings set = holding(5);
	struct fake f;
	uint64_t began;

	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fake_failed(&f, 0, CF_REFUSED, false);
	fake_at(&f, f.now + 60 * MS);
	cr_expect_eq(f.opened, 2);
	fake_borrow(&f, 1);
	fake_borrow(&f, 2);
	began = f.conns[1].opened_us;
	fake_at(&f, began + 500 * MS - 1);
	cr_expect_eq(f.opened, 2);
	fake_at(&f, began + 500 * MS);
	cr_expect_eq(f.opened, 3);
	fake_at(&f, began + 1 * S);
	cr_expect_eq(f.opened, 4);
	fake_fini(&f);
}

/* --- Pings. --- */

static const struct rule pings[] = {
	{ "one idle for long is pinged before it is lent", "3+0 pre_ping pre_ping_idle_us=5s",
	  "fill 0 1; return 0; at +5s-1; borrow 1 lent (not yet); return 1; at +5s; borrow 2 waits; pinged=1; opened=1 "
	  "(no need for another); ping 0 ok; holds[2]=0; pings_ok=1" },
	{ "with pre ping idle 0 each lending is pinged but not a hand over",
	  "3+0 pre_ping pre_ping_idle_us=0 pool_size=1",
	  "fill 0 1; return 0; borrow 1 waits; pinged=1; borrow 2; ping 0 ok; return 1; holds[2]=0; pinged=1" },
	{ "without room for another the doubtful are pinged", "3+0 pre_ping pre_ping_idle_us=5s pool_size=2",
	  "slow_to_close; fill 0 2; return 0; return 1; at +10s; borrow 2; ping 1 failed; opened=2; pinged=2; "
	  "pinged_which[1]=0" },
	{ "a ping without an answer has failed after the timeout", "3+0 pre_ping pre_ping_idle_us=5s",
	  "fill 0 1; return 0; at +10s; borrow 1; next=+5s; at +5s-1; closed=0; at +1; recycles[failed_ping]=1; "
	  "opened=2; ping 0 ok (too late); login 1; holds[1]=1" },
	{ "one that needs no ping goes before a warmer one that does", "3+0 pre_ping pre_ping_idle_us=5s",
	  "fill 0 3; return 0-2; at +4s; alive 0; at +4s; borrow 5 lent; holds[5]=0; pinged=0" },
	{ "a failed ping opens another and casts doubt on the rest", "3+0 pre_ping pre_ping_idle_us=5s",
	  "fill 0 2; return 0; at +4s; return 1; at +4s; borrow 2 lent (the warm one); borrow 3 waits (the cold one is "
	  "pinged); return 2 (the waiter gets it, and the ping goes on); return 3; ping 0 failed; "
	  "recycles[failed_ping]=1; pings_failed=1; closed_which[0]=0; borrow 4 waits (was just returned, and still is "
	  "not trusted); opened=3 (a new one is surer than another ping); login 2; holds[4]=2; at +1s; pinged=2; "
	  "pinged_which[1]=1 (the doubtful are verified soon); ping 1 ok; borrow 5 lent" },
	{ "an idle one was lost, the upstream may be down", "3+0",
	  "fill 0 2; return 0; return 1; gone 1 down; borrow 2 waits; pinged=1; opened=2" },
	{ "an idle one ended for a reason of its own", "3+0",
	  "fill 0 2; return 0; return 1; gone 1; borrow 2 lent; pinged=0; opened=2" },
	{ "a lent one was lost, the upstream may be down", "3+0",
	  "fill 0 2; return 0; gone 1 down; borrow 2 waits; pinged=1; opened=2" },
	{ "a lent one was closed by its borrower", "3+0",
	  "fill 0 2; return 0; gone 1; borrow 2 lent; pinged=0; opened=2" },
};

Test(policy, pings)
{
	PLAY_RULES(pings);
}

Test(policy, idle_ones_are_pinged_in_the_background_half_at_a_time_and_stay_as_cold)
{
	struct policy_settings set = fake_settings(4, 0);
	uint64_t returned;
	struct fake f;

	set.ping_interval_us = 30 * S;
	set.idle_timeout_us = 600 * S;
	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 4);
	for (int i = 0; i < 4; i++)
		fake_return(&f, i);
	returned = f.now;
	fake_at(&f, returned + 30 * S - 1);
	cr_expect_eq(f.pinged, 0);
	fake_at(&f, returned + 30 * S);
	cr_expect_eq(f.pinged, 2);
	cr_expect_eq(fake_counts(&f).idle, 2, "somebody may come meanwhile");
	fake_at(&f, returned + 31 * S);
	cr_expect_eq(f.pinged, 3);
	for (int i = 0; i < 3; i++)
		policy_ping_done(f.p, &f.conns[f.pinged_which[i]], true, f.now);
	fake_at(&f, returned + 32 * S);
	cr_expect_eq(f.pinged, 4);
	policy_ping_done(f.p, &f.conns[f.pinged_which[3]], true, f.now);
	while (f.now < returned + 599 * S) {
		fake_at(&f, f.now + S);
		for (int i = 0; i < 4; i++)
			policy_ping_done(f.p, &f.conns[i], true, f.now);
	}
	cr_expect_eq(f.closed, 0);
	fake_at(&f, returned + 600 * S);
	cr_expect_gt(f.counters.recycles[RR_IDLE], 0, "being pinged is not being used");
	fake_fini(&f);
}

/* --- Age, idleness, stock. --- */

static const struct rule age_idleness_stock[] = {
	{ "an old one that is returned is replaced for who waits", "1+0 recycle_us=60s timeout_us=0",
	  "fill 0 1; borrow 1; at +70s; return 0; recycles[age]=1; opened=2; login 1; holds[1]=1" },
	{ "nothing is closed for its age while no new one can be had", "2+0 recycle_us=60s timeout_us=0",
	  "fill 0 1; borrow 1; cannot_open; fail 1 refused; at +70s; return 0; holds[1]=0 (old, but it works); "
	  "cannot_open off; return 1; at +5s; closed=0; resume (whatever ends the back-off); at +2s; recycles[age]=1" },
	{ "those that are outdated go as if they were old", "3+0",
	  "fill 0 3; return 1; return 2; age 0-2; recycles[age]=2; idle=0; borrow 1 waits; login 3; holds[1]=3; return "
	  "0; recycles[age]=3; return 1; at +600s; idle=1 (a new one stays)" },
	{ "an outdated one in use is replaced when it is returned to who waits", "1+0 timeout_us=0",
	  "fill 0 1; borrow 1; age 0; holds[0]=0; return 0; recycles[age]=1; opening=1; login 1; holds[1]=1" },
	{ "an outdated one that is pinged goes behind its ping", "1+0",
	  "fill 0 1; return 0; distrust; at +2s; pinging=1; age 0; closed=0; ping 0 ok; recycles[age]=1" },
	{ "an outdated one stays while no new one can be had", "2+0",
	  "fill 0 2; return 1; age 0-1; recycles[age]=1; borrow 1; fail 2 refused; return 0; holds[1]=0; return 1; "
	  "closed=1; age 0 (another order may mean that logins succeed again); recycles[age]=2; borrow 0; login 3; "
	  "holds[0]=3" },
	{ "idle timeout closes all but min idle", "5+0 idle_timeout_us=60s min_idle=2",
	  "borrow 0-4; login 0-4; return 0-4; at +60s-1; closed=0; at +1; recycles[idle]=3; at +600s; idle=2" },
	{ "min idle is kept once the pool is in use and within pool size", "4+10 min_idle=3",
	  "tick; at +10s; opened=0 (nobody has come yet); borrow 0; at +1s; opened=4; login 0-3; idle=3; borrow 1 "
	  "lent; at +10s; opened=4 (not above pool_size); next=0 (and no need to look again); lose 0; next<=+1s; at "
	  "+1s; opened=5 (one was lost); login 4; close_all shutdown; at +10s; opened=5 (none in stock after a "
	  "shutdown)" },
	{ "min idle backs off too", "4+0 min_idle=2",
	  "borrow 0; fail 0-2 refused; opened=3; refusals[0]=1; at +1s; opened=4 (one alone, with nobody in line)" },
};

Test(policy, age_idleness_stock)
{
	PLAY_RULES(age_idleness_stock);
}

Test(policy, one_is_recycled_by_age_when_idle_with_jitter)
{
	struct policy_settings set = fake_settings(20, 0);
	uint64_t first = UINT64_MAX, last = 0, opened;
	struct fake f;

	set.recycle_us = 3600 * (uint64_t)S;
	fake_init(&f, &set, NULL);
	opened = f.now;
	fake_fill(&f, 0, 20);
	for (int i = 0; i < 20; i++) {
		uint64_t at = f.conns[i].recycle_at_us - opened;

		first = at < first ? at : first;
		last = at > last ? at : last;
		if (i < 19)
			fake_return(&f, i);
	}
	cr_expect(first >= 3240ull * S && last <= 3960ull * S);
	cr_expect_gt(last - first, 100ull * S, "they do not end together");
	fake_at(&f, opened + first - 1);
	cr_expect_eq(f.closed, 0);
	fake_at(&f, opened + first + S);
	cr_expect_geq(f.counters.recycles[RR_AGE], 1);
	fake_at(&f, opened + last + S);
	cr_expect_eq(f.counters.recycles[RR_AGE], 19, "but not the one that is lent");
	fake_return(&f, 19);
	cr_expect_eq(f.counters.recycles[RR_AGE], 20);
	fake_fini(&f);
}

/* --- What the operator does. --- */

static const struct rule what_the_operator_does[] = {
	{ "lower limits close surplus idle ones at once and lent ones on return", "6+2",
	  "fill 0 8; return 0-2; reload; closed=0 (the same settings close nobody); reload pool_size=3 max_overflow=0; "
	  "closed=3; borrow 10; opened=8; return 3; return 4; closed=5; grants[10]=0; return 5; holds[10]=5" },
	{ "higher limits open for those in line", "1+0",
	  "borrow 0-4; reload pool_size=3 timeout_us=1s; opened=3; next=+1s (and the new timeout holds for them)" },
	{ "those in line of a paused pool time out and are told why", "4+0 min_idle=2",
	  "pause; borrow 0; at +30s; refusals[0]=1; detail[0]='The pool is paused, and 1 client is waiting.'; next=0 "
	  "(and then there is nothing to do)" },
	{ "those in line are told of the pause, and not of an outage that nothing can find to be over",
	  "1+0 is_holding hold_us=10s",
	  "borrow 0; fail 0 refused; at +1ms; outage!=0; pause; at +30s; refusals[0]=1; "
	  "detail[0]='The pool is paused, and 1 client is waiting.'; kind[0]=pool_timeout" },
	{ "a pause in an outage gives those in line outage hold anew", "1+0 is_holding hold_us=10s",
	  "borrow 0; fail 0 refused; at +1ms; outage!=0; pause; at +15s; refusals[0]=0; resume; at +9s; refusals[0]=0; "
	  "opening=1" },
	{ "a paused pool lends nothing and closes all it has", "4+0 min_idle=1",
	  "borrow 0; opened=2; login 0-1; borrow 1; return 1; pause; paused=1; idle=0; opening=0; borrow 2 waits; "
	  "return 0; lent=0; at +29s; grants[2]=0; refusals[2]=0; opened=2; resume; opened>=3; login 2; holds[2]=2" },
	{ "close all closes what nobody has now and the rest when returned", "4+0",
	  "fill 0 3; return 0-1; gone 0 down; borrow 3 (pinging); borrow 4 (opening); close_all reload; "
	  "recycles[reload]=2; opening=2 (anew for those in line); opened=6; return 2; recycles[reload]=3; login 5; "
	  "return 3; recycles[reload]=3 (new ones are not concerned)" },
};

Test(policy, what_the_operator_does)
{
	PLAY_RULES(what_the_operator_does);
}

Test(policy, a_pool_size_of_0_is_1)
{
	struct policy_settings set = fake_settings(0, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	cr_expect_eq(f.p->settings.pool_size, 1);
	fake_fill(&f, 0, 1);
	fake_fini(&f);
}

/* --- A login that takes longer than an operator's commands come. --- */

static const struct rule a_login_that_takes_longer_than_an_operator_s_commands_come[] = {
	{ "what logged in behind a reconnect serves once and what nobody waits for is closed", "2+0",
	  "borrow 0; borrow 1; reconnect; opened=2 (nothing is replaced); cancel 1; login 0; holds[0]=0; login 1; "
	  "idle=0; return 0; idle=0; recycles[reload]=2; borrow 0; login 2; return 0; idle=1 (a new one stays)" },
	{ "a pause lends what is logging in and opens nothing", "1+0",
	  "borrow 0; borrow 1; pause; opening=1 (for the first in line); login 0; holds[0]=0; return 0; "
	  "recycles[kill]=1; holds[1]=-1; opened=1; resume; login 1; holds[1]=1; return 1; idle=1" },
	{ "after a failure a reconnect or a pause gives up the login under way", "1+0 is_holding",
	  "borrow 0; fail 0 timeout; at +1s; opening=1; reconnect; closed=1 (the host may be another one now); "
	  "opening=1 (and is asked at once); opened=3; fail 2 timeout; at +1s; pause; opening=0 (a pause waits for no "
	  "host that is silent)" },
};

Test(policy, a_login_that_takes_longer_than_an_operator_s_commands_come)
{
	PLAY_RULES(a_login_that_takes_longer_than_an_operator_s_commands_come);
}

static void
reconnect(struct fake *f)
{
	policy_reconnect(f->p, f->now);
}

static void
pause_and_resume(struct fake *f)
{
	policy_pause(f->p, f->now);
	policy_resume(f->p, f->now);
}

static void
pause_for_long(struct fake *f)
{
	if (fake_counts(f).is_paused)
		policy_resume(f->p, f->now);
	else
		policy_pause(f->p, f->now);
}

Test(policy, whoever_waits_is_served_by_the_login_under_way_however_often_it_is_reconnected_or_paused)
{
	static void (*const commands[])(struct fake * f) = { reconnect, pause_and_resume, pause_for_long };

	for (size_t i = 0; i < COUNT(commands); i++) {
		struct policy_settings set = fake_settings(2, 0);
		int served = 0;
		struct fake f;

		fake_init(&f, &set, NULL);
		fake_borrow(&f, 0);
		fake_borrow(&f, 1);
		fake_borrow(&f, 2);
		for (int tick = 1; tick <= 45; tick++) { /* each login takes 0.5 s, each transaction 0.1 s */
			fake_at(&f, f.now + 100 * MS);
			for (int c = 0; c < 3; c++)
				if (f.clients[c].conn != NULL) {
					served++;
					fake_return(&f, c);
					fake_borrow(&f, c);
				}
			commands[i](&f);
			for (int n = 0; n < f.opened; n++)
				if (f.conns[n].state == PC_OPENING && f.now - f.conns[n].opened_us >= 500 * MS)
					fake_opened(&f, n);
		}
		cr_expect_geq(served, 6, "command %zu: %d", i, served);
		fake_fini(&f);
	}
}

Test(policy, pool_free_refuses_those_in_line)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	policy_pause(f.p, f.now);
	fake_borrow(&f, 0);
	policy_free(f.p);
	cr_expect_eq(f.clients[0].refusals, 1);
	cr_expect_eq(f.clients[0].kind, RF_SHUTDOWN);
	policy_free(NULL);
	policy_worker_free(f.worker);
	policy_commons_free(f.own);
}

/* --- policy_borrow_idle(). --- */

static const struct rule who_borrows_idle_ones[] = {
	{ "who borrows an idle one never waits but one is opened for later", "2+0",
	  "borrow_idle 0 none; borrow_idle 1 none (one is coming, and no other is opened); opened=1; waiting=0; "
	  "waits[0]=0; login 0; idle=1; borrow_idle 0 lent; opened=1; borrow_idle 1 none; login 1; borrow_idle 1 lent; "
	  "borrow_idle 2 none (pool_size are lent); opened=2; return 0; borrow_idle 0 lent; holds[0]=0 (its own one); "
	  "checkouts[idle]=1; checkouts[new]=2; waits=0; return 0; return 1" },
	{ "one that must be pinged is pinged for the next", "2+0",
	  "fill 0 1; return 0; distrust; borrow_idle 1 none; borrow_idle 1 none; pinged=1; opened=1; ping 0 ok; "
	  "borrow_idle 1 lent; return 1" },
	{ "a paused pool has no idle one and opens none", "2+0",
	  "fill 0 1; return 0; pause; borrow_idle 0 none; opened=1; resume; borrow_idle 0 none; opened=2; login 1; "
	  "borrow_idle 0 lent; return 0" },
};

Test(policy, who_borrows_idle_ones)
{
	PLAY_RULES(who_borrows_idle_ones);
}

/* Client number i; returns true if it has got one. */
static bool
borrow_idle(struct fake *f, int i)
{
	f->clients[i].conn = policy_borrow_idle(f->p, &f->clients[i].waiter, f->now);
	return f->clients[i].conn != NULL;
}

Test(policy, a_spare_pool_backs_off_and_knows_no_outage)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	set.lends_idle_only = true;
	fake_init(&f, &set, NULL);
	cr_expect_not(borrow_idle(&f, 0));
	for (int i = 0; i < 8; i++) {
		fake_failed(&f, i, CF_REFUSED, false);
		cr_expect_not(borrow_idle(&f, 0));
		cr_expect_eq(f.opened, i + 1, "it backs off");
		fake_at(&f, f.now + S);
		cr_expect_eq(f.opened, i + 1, "nobody asks");
		cr_expect_not(borrow_idle(&f, 0), "while somebody asks it tries at least twice a second");
		cr_expect_eq(f.opened, i + 2);
	}
	cr_expect_eq(f.counters.outages, 0);
	cr_expect_eq(fake_counts(&f).outage.since_us, 0);
	fake_opened(&f, 8);
	cr_expect(borrow_idle(&f, 0));
	fake_return(&f, 0);
	fake_fini(&f);
}

Test(policy, a_spare_pool_that_is_refused_its_login_backs_off_for_long)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;
	int opened;

	set.lends_idle_only = true;
	fake_init(&f, &set, NULL);
	cr_expect_not(borrow_idle(&f, 0));
	for (int i = 0; i < 12; i++) {
		fake_failed(&f, i, CF_AUTH, true);
		fake_at(&f, f.now + 20 * S);
		cr_expect_not(borrow_idle(&f, 0));
		cr_expect_eq(f.opened, i + 2, "it tries again");
	}
	fake_failed(&f, 12, CF_AUTH, true);
	opened = f.opened;
	for (int i = 0; i < 50; i++) {
		fake_at(&f, f.now + S / 10);
		cr_expect_not(borrow_idle(&f, 0));
	}
	cr_expect_eq(f.opened, opened, "in five seconds of reads");
	fake_at(&f, f.now + 20 * S);
	cr_expect_not(borrow_idle(&f, 0));
	fake_opened(&f, opened);
	cr_expect(borrow_idle(&f, 0), "as soon as it may log in");
	fake_return(&f, 0);
	fake_fini(&f);
}
