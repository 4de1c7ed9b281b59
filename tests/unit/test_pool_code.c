/*
 * tests/unit/test_pool_code.c - servers that come back while code of their database is not known: held at the end of
 * their reset until an answer tells, by pool_code.c and server_reset.c, on fakes of the connections.
 */
#include "pool/pool_set_state.h"
#include "server/server_parts.h"

#include "base/clock.h"
#include "unit.h"

#include <event2/event.h>

#define T0 (1000 * US_PER_S)
#define COST_US (100 * US_PER_MS)
#define HERD 3

/* --- fakes --- */

static uint64_t now_us;
static struct database_code code;
static struct pool_database database = { .name = "app" };
static struct pool_set set;
static struct pool pool = { .set = &set, .database = &database, .code = &code, .is_sealed = true };
static const struct upstream upstream;
static const struct server_target target = { .upstream = &upstream };
static struct server servers[HERD];
static struct pooled places[HERD];
static unsigned asked[HERD], cleaned[HERD], woken;

static size_t
index_of(const struct server *srv)
{
	return (size_t)(srv - servers);
}

int
server_ask(struct server *srv, const char *question)
{
	cr_expect_not_null(question);
	asked[index_of(srv)]++;
	ledger_push(&srv->ledger, OWED_QUERY, OWED_TO_OWNER, NULL);
	return 0;
}

int
server_write(struct server *srv, const void *bytes, size_t len)
{
	return 0;
}

void
server_fail(struct server *srv, const struct fail *why)
{
	cr_assert_fail("server %zu failed: %s", index_of(srv), why->text);
}

int
server_step_logged(struct server *srv, enum server_event ev, enum server_state to)
{
	cr_assert_neq(to, SV_NONE);
	srv->state = to;
	return 0;
}

bool
server_is_late(const struct server *srv, uint64_t at_us)
{
	return srv->state == SV_RESET && srv->reset.deadline_us <= at_us;
}

int
server_cancel(struct server *srv, uint64_t timeout_us, server_cancel_done done, void *arg)
{
	return 0;
}

int
event_add(struct event *ev, const struct timeval *timeout)
{
	return 0;
}

int
event_del(struct event *ev)
{
	return 0;
}

void
pool_schedule_tick(struct pool *p, uint64_t at_us)
{
	woken += p == &pool && at_us == now_us && p->set->looked_us == 0;
}

void
policy_close_all(struct policy *p, enum recycle_reason why, uint64_t at_us)
{
}

void
pool_defaults_on_answer(const struct server *srv, bool is_new)
{
}

void
pool_renew_policy(struct pool *p, uint64_t at_us)
{
}

void
standby_pools_note_new_code(struct pool *p)
{
}

static void
on_clean(struct server *srv)
{
	cleaned[index_of(srv)]++;
}

static const struct server_owner_ops ops = { .hold_if_due = pool_code_hold_if_due,
					     .clean = on_clean,
					     .answer_row = pool_code_take_row,
					     .answered = pool_code_answered };
static const struct server_env env = { .now_us = &now_us, .owner_ops = &ops };

/* --- what happens --- */

static void
answer(size_t i, bool ok)
{
	ledger_drop_head(&servers[i].ledger);
	pool_code_answered(&servers[i], ok);
	server_reset_next(&servers[i]);
}

/* As pool_set.c does it in each of its looks. */
static void
look(void)
{
	for (size_t i = 0; i < HERD; i++) {
		cr_expect_not(server_is_late(&servers[i], now_us));
		if (pool_code_may_end_hold(&servers[i]))
			server_reset_next(&servers[i]);
	}
}

static void
come_back(size_t i, bool has_run)
{
	struct server *srv = &servers[i];
	struct reset_order order = { 0 };

	srv->state = SV_LENT;
	srv->loan.has_run = has_run;
	srv->tx = 'I';
	srv->is_synced = true;
	server_reset(srv, &order, now_us);
}

/* All is known, and then a function is made. */
static void
begin(void)
{
	now_us = T0;
	set.s.env = &env;
	for (size_t i = 0; i < HERD; i++) {
		servers[i].env = &env;
		servers[i].target = &target;
		servers[i].conn = &places[i].conn;
		servers[i].owner = &pool;
		places[i].srv = &servers[i];
		places[i].pool = &pool;
		places[i].code = &code;
	}
	database_code_begin_question(&code, now_us);
	now_us += COST_US;
	database_code_end_answer(&code, true, 1, now_us);
	now_us += 10 * US_PER_S;
	database_code_note_ddl(&code, RISK_KEEPS);
}

static bool
is_held(size_t i)
{
	return servers[i].state == SV_RESET && servers[i].reset.step == RESET_STEP_HELD && cleaned[i] == 0;
}

static bool
is_closed(size_t i)
{
	return cleaned[i] == 1 && (servers[i].reset.todo.parts & STATE_BACKEND) != 0;
}

static bool
is_lent_again(size_t i)
{
	return cleaned[i] == 1 && (servers[i].reset.todo.parts & STATE_BACKEND) == 0;
}

Test(pool_code, who_may_have_run_what_was_just_made_is_held_until_an_answer_tells, .init = begin)
{
	come_back(0, true);
	come_back(1, true);
	look();
	cr_expect(is_held(0) && is_held(1));
	cr_expect_eq(asked[0] + asked[1], 1, "one asks");
	now_us += COST_US;
	answer(0, true);
	cr_expect_eq(woken, 1);
	cr_expect(is_lent_again(0) && is_held(1));
	look();
	cr_expect(is_lent_again(1));
	cr_expect_eq(asked[1], 0);
}

Test(pool_code, who_has_run_nothing_is_not_held_and_asks_at_first, .init = begin)
{
	come_back(0, false);
	cr_expect(is_held(0), "it asks");
	come_back(1, false);
	cr_expect(is_lent_again(1), "it need not be told");
	now_us += COST_US;
	answer(0, true);
	cr_expect(is_lent_again(0));
	database_code_note_ddl(&code, RISK_KEEPS);
	come_back(2, false);
	cr_expect(is_lent_again(2), "it was asked a moment ago");
	cr_expect_eq(asked[0] + asked[1] + asked[2], 1);
}

Test(pool_code, what_is_made_behind_the_return_is_no_concern_of_the_server, .init = begin)
{
	come_back(0, true);
	come_back(1, true);
	database_code_note_ddl(&code, RISK_KEEPS);
	come_back(2, true);
	now_us += COST_US;
	answer(0, true);
	look();
	cr_expect(is_lent_again(0) && is_lent_again(1));
	cr_expect(is_held(2), "the answer began ahead of it");
	cr_expect_eq(asked[2], 0, "others may come back meanwhile, who are told by the same answer");
	now_us += 2 * COST_US;
	look();
	cr_expect(is_held(2));
	cr_expect_eq(asked[2], 1);
	now_us += COST_US;
	answer(2, true);
	cr_expect(is_lent_again(2));
}

Test(pool_code, the_next_one_asks_if_the_server_that_asks_ends, .init = begin)
{
	come_back(0, true);
	come_back(1, true);
	servers[0].state = SV_DEAD;
	pool_code_note_server_gone(&servers[0]); /* on_closed() */
	cr_expect_eq(woken, 1);
	look();
	cr_expect(is_held(1));
	cr_expect_eq(asked[1], 1);
	answer(1, true);
	cr_expect(is_lent_again(1));
}

Test(pool_code, if_a_server_that_waits_ends_the_others_are_told, .init = begin)
{
	come_back(0, true);
	come_back(1, true);
	come_back(2, true);
	servers[1].state = SV_DEAD;
	pool_code_note_server_gone(&servers[1]);
	look();
	cr_expect_eq(asked[0] + asked[2], 1, "the answer is still under way");
	answer(0, true);
	look();
	cr_expect(is_lent_again(0) && is_lent_again(2));
}

Test(pool_code, who_has_waited_for_an_answer_that_failed_is_closed, .init = begin)
{
	come_back(0, true);
	come_back(1, true);
	come_back(2, false);
	answer(0, false);
	look();
	cr_expect(is_closed(0) && is_closed(1));
	cr_expect(is_lent_again(2));
}

Test(pool_code, nobody_is_held_for_longer_than_two_answers_take, .init = begin)
{
	uint64_t begin_us = now_us;

	come_back(0, true);
	now_us += US_PER_S;
	database_code_note_ddl(&code, RISK_KEEPS);
	come_back(1, true);
	cr_expect_eq(servers[0].reset.deadline_us, begin_us + 2 * CODE_ANSWER_US);
	cr_expect_eq(servers[1].reset.deadline_us, now_us + 2 * CODE_ANSWER_US);
	now_us = begin_us + CODE_ANSWER_US - 1;
	answer(0, true); /* does not tell the other, which asks */
	look();
	cr_expect_eq(asked[1], 1);
	cr_expect_eq(servers[1].reset.deadline_us, begin_us + US_PER_S + 2 * CODE_ANSWER_US, "no new one");
	now_us += CODE_ANSWER_US - 1;
	cr_expect_not(server_is_late(&servers[1], now_us), "there is time for both");
	cr_expect(server_is_late(&servers[1], begin_us + US_PER_S + 2 * CODE_ANSWER_US));
}

static void
blame(const char *sql)
{
	struct loan *l = &servers[0].loan;

	l->blame = BLAME_NOBODY;
	l->text = (uint8_t *)sql;
	l->text_len = (uint32_t)strlen(sql);
	pool_code_blame(&servers[0], &code);
	l->text = NULL;
}

Test(pool_code, who_loses_servers_to_unknown_code_is_told_once_an_hour_or_minute, .init = begin)
{
	const struct risk closes = { STATE_BACKEND, 0 };
	char name[16];

	blame("SELECT price(1)");
	cr_expect_eq(servers[0].loan.blame, BLAME_OTHERS);
	cr_expect_eq(code.blame_logged_us, 0);
	risk_names_add(code.answer->risks, RISK_FUNCTION, "price", closes, "language p");
	risk_names_add(code.answer->risks, RISK_FUNCTION, "cost", closes, "language c");
	blame("SELECT cost(1)");
	cr_expect_eq(servers[0].loan.blame, BLAME_CODE);
	cr_expect_eq(code.blame_logged_us, now_us, "the first at once");
	cr_expect_str_eq(pool_code_most_blamed(&code)->why, "language c");
	now_us += 3600 * US_PER_S - 1;
	blame("SELECT cost(1)");
	blame("SELECT price(1)");
	blame("SELECT price(1)");
	cr_expect_eq(code.closes, 3);
	now_us++;
	blame("DO $$ BEGIN PERFORM price(1); END $$");
	cr_expect_eq(code.closes, 0, "all four are told");
	cr_expect_eq(code.blame_logged_us, now_us);
	cr_expect_str_eq(pool_code_most_blamed(&code)->why, "language p");
	cr_expect_eq(pool_code_most_blamed(&code)->closes, 3);
	for (unsigned i = 0; i < 150; i++)
		blame("SELECT cost(1)");
	cr_expect_eq(code.closes, 150, "many, but the last line is of this minute");
	now_us += 60 * US_PER_S;
	blame("SELECT cost(1)");
	cr_expect_eq(code.closes, 0, "so many are told after a minute");
	for (unsigned i = 0; i < 3 * CODE_BLAMED_MAX; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		risk_names_add(code.answer->risks, RISK_FUNCTION, name, closes, name);
		blame(name);
	}
	cr_expect_eq(code.closes, 3 * CODE_BLAMED_MAX);
	cr_expect_str_eq(pool_code_most_blamed(&code)->why, "other code");
	cr_expect_eq(pool_code_most_blamed(&code)->closes, 2 * CODE_BLAMED_MAX + 1);
}
