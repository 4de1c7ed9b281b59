/*
 * tests/unit/test_state.c - what a client's SQL leaves in the session: state/ on a fake exchange, with fakes of the
 * pool.
 */
#include "fake_exchange.h"

#include "session/audit.h"
#include "pool/pool_defaults.h"
#include "state/state.h"
#include "state/observe.h"
#include "policy/policy_circuit.h"
#include "state/linger.h"
#include "wire/frame.h"
#include "wire/messages.h"
#include "unit.h"

/* --- fakes of pool/, server/ and the log --- */

static bool is_wanted;
static uint64_t keep_us;
static struct event_base *base;
static unsigned audited, cleaned;

void
audit_note(struct audit *a, const char *database, const char *user, const char *application, uint32_t flags,
	   uint64_t now_us)
{
	audited++;
}

bool
policy_has_waiters(const struct policy *p)
{
	return policy_has_unserved_waiters(p);
}

bool
policy_has_unserved_waiters(const struct policy *p)
{
	return is_wanted;
}

void
policy_get_counts(const struct policy *p, struct policy_counts *out)
{
	*out = (struct policy_counts){ .lent = 2 };
}

uint64_t
policy_keep_us(const struct policy *p, const struct policy_conn *conn, uint64_t now_us)
{
	return keep_us;
}

uint64_t
pool_set_random(struct pool_set *set)
{
	return 7;
}

bool
pool_has_sequences(const struct pool *entry, uint64_t now_us)
{
	return true;
}

void
pool_defaults_note_altered(struct pool *entry)
{
}

void
pool_code_note_ddl(struct pool *entry, unsigned risk)
{
}

void
pool_clean(struct server *srv, bool discard_all, unsigned parts, uint64_t now_us)
{
	cleaned++;
}

int
server_forget_unreported(struct server *srv)
{
	return gucs_move(&srv->gucs, gucs_empty(fake->guc_store));
}

void
log_event(struct log *log, enum log_level level, const struct log_about *about, const char *format, ...)
{
}

#define AS_NAME(reason, name) [reason] = name,
const char *const pin_reason_names[PIN_COUNT] = { PIN_REASONS(AS_NAME) };

/* --- what the relay does --- */

static void
on_settled(struct server *srv, const struct owed *o, enum owed_end how)
{
	if (o->to == OWED_TO_GUCS)
		state_discard_settled(srv, how);
}

static enum feature_step
send_query(const char *sql)
{
	struct request m = fake_query(sql);
	enum feature_step step = state_query_hide_sequences(&fake->x, &m);

	if (step == STEP_FORWARD) {
		state_note_local(&fake->x, &m);
		step = state_observe_query(&fake->x, &m);
	}
	if (step == STEP_FORWARD || step == STEP_REPLACED)
		fake_forward(&m, OWED_QUERY);
	buf_fini(&m.instead);
	return step;
}

/* The request has been answered: may the server be given back? */
static bool
is_released(void)
{
	if (fake->x.session != NULL)
		state_request_done(&fake->x);
	fake_sent();
	return state_settle(&fake->x, false);
}

static bool
run(const char *sql)
{
	cr_expect_neq(send_query(sql), STEP_FAILED, "%s", sql);
	fake_reply("CZ");
	return is_released();
}

/* PostgreSQL answers the probe with rows of kind, name and value; the last one's kind is NULL. */
static void
answer_probe(const char *const rows[][3])
{
	const char *sent = fake_sent();

	cr_expect(strncmp(sent, "Q(SET " MESSAGE_OURS "TRANSACTION ", 31) == 0, "%s", sent);
	for (; (*rows)[0] != NULL; rows++) {
		struct buf body = { 0 };

		buf_put_u16(&body, 3);
		for (size_t i = 0; i < 3; i++) {
			buf_put_u32(&body, (uint32_t)strlen((*rows)[i]));
			buf_put(&body, (*rows)[i], strlen((*rows)[i]));
		}
		state_probe_row(&fake->srv, body.bytes, body.len, true);
		buf_fini(&body);
	}
	fake_reply("CZ");
	state_probe_done(&fake->srv);
}

static const char *
value(const char *name)
{
	const char *v = gucs_get(fake->x.gucs, name);

	return v == NULL ? "" : v;
}

static void
setup(void)
{
	is_wanted = false;
	audited = cleaned = 0;
	fake_begin(on_settled);
	keep_us = UINT64_MAX;
	fake->env.base = base = event_base_new();
	state_linger_init(&fake->env);
}

static void
teardown(void)
{
	ledger_fini(&fake->srv.ledger);
	state_stop_lingering(&fake->x);
	state_free(&fake->x);
	state_linger_fini(&fake->env);
	event_base_free(base);
	fake_end();
}

TestSuite(state, .init = setup, .fini = teardown);

Test(state, plain_sql_leaves_nothing)
{
	cr_expect(run("SELECT 1"));
	cr_expect_null(fake->x.session);
	cr_expect(state_is_quiet(&fake->x));
}

Test(state, a_set_is_followed_once_it_is_answered)
{
	send_query("SET a.b = 'c'");
	cr_expect_not(state_is_quiet(&fake->x));
	cr_expect_str_eq(value("a.b"), "", "it may fail");
	fake_reply("CZ");
	cr_expect(is_released());
	cr_expect_str_eq(value("a.b"), "c");
	cr_expect_eq(fake->srv.gucs, fake->x.gucs);
}

Test(state, the_next_server_gets_the_settings_ahead)
{
	struct gucs *gucs;

	run("SET a.b = 'c'");
	gucs = fake->x.gucs;
	fake_change_server();
	gucs_move(&fake->srv.gucs, gucs_empty(fake->guc_store));
	fake_sent();
	cr_expect_eq(state_send_client_gucs(&fake->x), 0);
	cr_expect(strstr(fake_sent(), "set_config") != NULL);
	fake_reply("12CZ");
	cr_expect_eq(fake->srv.gucs, gucs);
}

Test(state, a_set_that_was_rolled_back_is_asked_about)
{
	static const char *const none[][3] = { { NULL, NULL, NULL } };

	send_query("SET a.b = 'c'");
	fake->srv.loan.undone = UNDONE_TRANSACTION;
	fake_reply("CZ");
	cr_expect_not(is_released(), "what the server has is not known");
	cr_expect_str_eq(value("a.b"), "");
	answer_probe(none);
	cr_expect_str_eq(value("a.b"), "");
	cr_expect(is_released());
}

Test(state, the_probes_answer_is_what_the_client_has)
{
	static const char *const rows[][3] = { { "s", "work_mem", "64kB" }, { NULL, NULL, NULL } };

	send_query("DO $$ BEGIN SET work_mem = '64kB'; END $$");
	fake_reply("CZ");
	cr_expect_not(is_released());
	answer_probe(rows);
	cr_expect_str_eq(value("work_mem"), "64kB");
	cr_expect(is_released());
}

Test(state, a_temporary_table_pins_until_it_is_gone)
{
	static const char *const there[][3] = { { "t", "", "" }, { NULL, NULL, NULL } };
	static const char *const none[][3] = { { NULL, NULL, NULL } };
	char reasons[64];

	cr_expect_not(run("CREATE TEMP TABLE t (a int)"));
	answer_probe(there);
	cr_expect_eq(fake->x.pins, 1u << PIN_TEMP_TABLE);
	cr_expect_str_eq(state_pin_reasons(&fake->x, reasons, sizeof(reasons)), "temp_table");
	cr_expect_not(is_released());
	cr_expect_not(run("SELECT 1"), "it keeps its server");
	cr_expect_str_eq(fake_sent(), "", "and is not asked again");
	cr_expect_not(run("DROP TABLE t"));
	answer_probe(none);
	cr_expect_eq(fake->x.pins, 0);
	cr_expect(is_released());
}

Test(state, sql_prepare_pins_until_the_last_is_deallocated)
{
	static const char *const two[][3] = { { "p", "p", "PREPARE p AS SELECT 1" },
					      { "p", "q", "PREPARE q AS SELECT set_config('app.a', $1, false)" },
					      { NULL } };
	static const char *const none[][3] = { { NULL } };

	cr_expect_not(run("PREPARE p AS SELECT 1; PREPARE q AS SELECT set_config('app.a', $1, false)"));
	answer_probe(two);
	cr_expect_eq(fake->x.pins, 1u << PIN_STATEMENT);
	cr_expect_not(run("EXECUTE p"), "it is pinned");
	cr_expect_str_eq(fake_sent(), "", "and what this leaves is known: nothing");
	cr_expect_not(run("EXECUTE q('1')"));
	answer_probe(none);
	cr_expect_eq(fake->x.pins, 1u << PIN_STATEMENT, "only settings were asked for");
	cr_expect_not(run("DEALLOCATE p"));
	answer_probe(two + 1);
	cr_expect_eq(fake->x.pins, 1u << PIN_STATEMENT);
	cr_expect_not(run("DEALLOCATE q"));
	answer_probe(none);
	cr_expect_eq(fake->x.pins, 0);
	cr_expect(run("SELECT 1"));
}

Test(state, a_probe_that_failed_pins)
{
	cr_expect_not(run("SELECT pg_advisory_lock(1)"));
	fake_sent();
	state_probe_failed(&fake->x);
	fake_reply("EZ");
	state_probe_done(&fake->srv);
	cr_expect_eq(fake->x.pins, 1u << PIN_ADVISORY_LOCK);
}

Test(state, a_library_taints_for_good)
{
	static const char *const none[][3] = { { NULL, NULL, NULL } };

	if (!run("LOAD 'x'") && fake->srv.ledger.count > 0)
		answer_probe(none);
	cr_expect(state_is_tainted(&fake->x));
	cr_expect_neq(fake->x.pins, 0);
}

Test(state, of_a_bound_set_the_execute_counts)
{
	struct statement *st = statement_get_or_create(fake->pool.home, (const uint8_t *)"SET a.b = c\0\0", 14, 11, 0);
	struct request m = fake_bind("", "s"), e;

	m.statement = st;
	m.traits = statement_traits(st);
	cr_expect_eq(state_observe_bind(&fake->x, &m), STEP_FORWARD);
	fake_forward(&m, OWED_BIND);
	cr_expect(fake->x.session != NULL);
	e = fake_execute();
	cr_expect_eq(state_before_execute(&fake->x, &e), STEP_FORWARD);
	fake_forward(&e, OWED_EXECUTE);
	state_after_execute(&fake->x, e.portal);
	fake_sync();
	fake_reply("2CZ");
	cr_expect(is_released());
	cr_expect_str_eq(value("a.b"), "c");
	statement_unref(st);
}

Test(state, a_bound_set_that_is_not_executed_does_not_count)
{
	struct statement *st = statement_get_or_create(fake->pool.home, (const uint8_t *)"SET a.b = c\0\0", 14, 11, 0);
	struct request m = fake_bind("", "s");

	m.statement = st;
	m.traits = statement_traits(st);
	state_observe_bind(&fake->x, &m);
	fake_forward(&m, OWED_BIND);
	fake_sync();
	fake_reply("2Z");
	is_released();
	cr_expect_str_eq(value("a.b"), "");
	statement_unref(st);
}

Test(state, reset_means_the_clients_startup_value)
{
	const char *sent;

	cr_assert_eq(gucs_update(&fake->x.startup, "work_mem", "1MB", GUC_OTHER), 0);
	cr_assert_eq(gucs_update(&fake->x.gucs, "work_mem", "1MB", GUC_OTHER), 0);
	cr_expect_eq(send_query("RESET work_mem"), STEP_REPLACED);
	sent = fake_sent();
	cr_expect(strncmp(sent, "Q(RESET work_mem", 16) == 0 && strstr(sent, "SET \"work_mem\" TO") != NULL, "%s",
		  sent);
	fake_reply("CZ");
	cr_expect(is_released());
	cr_expect_str_eq(value("work_mem"), "1MB");
}

Test(state, discard_all_waits_and_holds)
{
	fake_forward(&(struct request){ .type = 'Q', .message = (const uint8_t *)"Q\0\0\0\5", .total = 6 }, OWED_QUERY);
	cr_expect_eq(send_query("DISCARD ALL"), STEP_HOLD, "something is under way");
	fake_reply("CZ");
	cr_expect_eq(send_query("DISCARD ALL"), STEP_FORWARD);
	cr_expect(state_holds(&fake->x), "nothing is sent behind it");
	fake_reply("C");
	state_note_discard_all(&fake->x);
	fake_reply("Z");
	cr_expect_not(state_holds(&fake->x));
	cr_expect_eq(fake->x.gucs, fake->x.startup);
}

Test(state, sequences_of_others_are_forgotten_ahead)
{
	fake->srv.sequences_of = 99;
	send_query("SELECT currval('s')");
	cr_expect_str_eq(fake_sent(), "P(|DISCARD " MESSAGE_OURS "SEQUENCES) B(|) E S Q(SELECT currval('s'))");
	cr_expect_eq(fake->srv.sequences_of, fake->x.waiter.id);
	fake_reply("12CZCZ");
	fake->x.requests_done++;
	cr_expect_not(is_released(), "it lingers: another currval() may come");
	is_wanted = true;
	cr_expect_not(is_released(), "somebody waits");
	fake->now_us += 19999;
	cr_expect_not(is_released(), "it may be far away");
	fake->now_us += 1;
	cr_expect(is_released(), "somebody has waited");
	fake_change_server();
	is_wanted = false;
	cr_expect(run("SELECT 1"), "this server does not know what the other one returned");
}

Test(state, requests_are_counted_from_the_end_of_the_transaction)
{
	is_wanted = true;
	fake->pool.sequences_asked_us = fake->now_us;
	fake->x.sequence_questions = 1;
	for (unsigned i = 0; i < 2; i++) {
		run("INSERT INTO t VALUES (1)");
		fake->x.requests_done += 9; /* all but the first are of the same transaction */
		cr_expect_not(is_released(), "transaction %u", i);
		fake->x.requests_done += 3;
		cr_expect_not(is_released(), "a driver looks into the catalogs");
	}
	fake->x.requests_done++;
	cr_expect(is_released(), "there may be four, the last of the transaction among them");
}

static void
insert(void)
{
	run("INSERT INTO t VALUES (1)");
	fake->x.requests_done++;
}

Test(state, where_nobody_has_asked_a_server_is_kept_for_20_ms_while_nobody_waits)
{
	fake->x.requests_done = 100;
	insert();
	cr_expect_not(is_released(), "a question may follow");
	fake->now_us += 19999;
	cr_expect_not(is_released());
	fake->now_us += 1;
	cr_expect(is_released());
	fake_change_server();
	is_wanted = true;
	insert();
	cr_expect(is_released(), "somebody waits");
	fake_change_server();
	fake->x.requests_done = 0;
	insert();
	cr_expect_not(is_released(), "the client is new");
	fake->now_us += 20000;
	cr_expect(is_released());
}

Test(state, where_somebody_has_asked_a_server_is_kept_for_20_ms_for_an_hour)
{
	fake->x.requests_done = 100;
	run("SELECT currval('s')");
	fake->x.requests_done++;
	for (unsigned i = 0; i < 3; i++) {
		fake_change_server();
		is_wanted = i == 0;
		fake->env.is_moving = i == 1; /* its client is to move to another process */
		keep_us = i == 2 ? 0 : UINT64_MAX; /* it is to be closed */
		insert();
		cr_expect_not(is_released(), "a question may follow");
		fake->now_us += 19999;
		cr_expect_not(is_released());
		fake->now_us += 1;
		cr_expect(is_released());
	}
	fake_change_server();
	is_wanted = fake->env.is_moving = false;
	keep_us = UINT64_MAX;
	insert();
	cr_expect_not(is_released());
	fake->now_us += 60 * (uint64_t)1000000;
	cr_expect_not(is_released(), "nobody waits");
	fake_change_server();
	is_wanted = true;
	fake->now_us += 3600 * (uint64_t)1000000;
	insert();
	cr_expect(is_released());
}

Test(state, while_others_wait_only_those_linger_that_have_asked)
{
	fake->x.requests_done = 100;
	is_wanted = true;
	fake->pool.sequences_asked_us = fake->now_us;
	fake->pool.sequences_asked_by = 1;
	insert();
	cr_expect(is_released(), "another client has asked, of another application");
	run("SELECT currval('s')");
	fake->x.requests_done++;
	is_released();
	fake_change_server();
	insert();
	cr_expect_not(is_released(), "it has asked itself");
}

Test(state, no_more_than_a_tenth_of_a_pools_time_is_lingered_while_others_wait)
{
	uint64_t began_us, lingered_us = 0;

	is_wanted = true;
	fake->pool.sequences_asked_us = began_us = fake->now_us;
	fake->x.sequence_questions = 1;
	for (unsigned i = 0; i < 10000; i++) {
		fake_change_server();
		insert();
		for (unsigned ms = 0; ms < 30 && !is_released(); ms++, lingered_us += 1000)
			fake->now_us += 1000;
		fake->now_us += 5000; /* others are served */
	}
	cr_expect_gt(lingered_us, (fake->now_us - began_us) / 10);
	cr_expect_leq(lingered_us, (fake->now_us - began_us) * 2 / 10 + 220000, "of two servers, and a burst");
}

Test(state, who_never_rests_waits_in_line)
{
	unsigned kept = 0;

	is_wanted = true;
	fake->pool.sequences_asked_us = fake->now_us;
	fake->x.sequence_questions = 1;
	for (; kept < 100; kept++) {
		insert();
		if (is_released())
			break;
	}
	cr_expect_eq(kept, 8, "it never asks");
	fake_change_server();
	for (kept = 0; kept < 100; kept++) {
		insert();
		cr_expect_not(is_released(), "behind a statement that it asks for");
		run("SELECT currval('s')");
		fake->x.requests_done++;
		if (is_released())
			break;
	}
	cr_expect_eq(kept, 8, "behind a question");
	fake_change_server();
	insert();
	for (unsigned i = 0; i < 2; i++) {
		run("SELECT currval('s')");
		fake->x.requests_done++;
		cr_expect_eq(is_released(), i == 1, "one more may come, and no third");
	}
}

Test(state, where_it_is_allowed_nothing_is_followed)
{
	fake->pool.settings.session_state = SESSION_ALLOW;
	cr_expect(run("SET a.b = 'c'"));
	cr_expect(run("CREATE TEMP TABLE t (a int)"));
	cr_expect_null(fake->x.session);
}

Test(state, pins_that_are_not_allowed_end_the_session)
{
	static const char *const there[][3] = { { "t", "", "" }, { NULL, NULL, NULL } };
	struct fail why;

	fake->pool.settings.session_state = SESSION_ERROR;
	run("CREATE TEMP TABLE t (a int)");
	answer_probe(there);
	cr_expect(state_is_refused(&fake->x, &why));
	cr_expect_eq(cleaned, 1);
	cr_expect_null(fake->x.srv);
	fake->x.srv = &fake->srv;
}

Test(state, a_pin_that_no_question_is_asked_about_ends_the_session_too)
{
	struct fail why;

	fake->pool.settings.session_state = SESSION_ERROR;
	cr_expect_not(run("LOAD 'auto_explain'"));
	cr_expect(state_is_refused(&fake->x, &why));
	cr_expect_eq(cleaned, 1);
	cr_expect_null(fake->x.srv);
	fake->x.srv = &fake->srv;
}

Test(state, a_reply_without_memory_closes_nobody_under_its_caller)
{
	struct buf reply = { .is_broken = true };

	fake->may_spoil = true;
	exchange_answer_buf(&fake->x, &reply);
	cr_expect_eq(fake->spoiled, 1);
	cr_expect_eq(fake->closed, 0);
	cr_expect_eq(fake->x.srv, &fake->srv);
	cr_expect_neq(fake->srv.fitness, SERVER_FIT);
}

Test(state, what_is_audited)
{
	run("SET a.b = 'c'");
	cr_expect_eq(audited, 0);
	fake->pool.settings.session_state = SESSION_WARN;
	run("SET a.b = 'd'");
	cr_expect_eq(audited, 1);
	run("SELECT 1");
	cr_expect_eq(audited, 1);
}
