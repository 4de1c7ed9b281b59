/*
 * tests/unit/test_statements.c - a client's prepared statements, on whatever server it has: statements/ on a fake
 * exchange, with fakes of state/.
 */
#include "fake_exchange.h"

#include "state/compiled.h"
#include "state/observe.h"
#include "state/linger.h"
#include "state/state.h"
#include "statements/statements.h"
#include "statements/unnamed.h"
#include "unit.h"

/* --- fakes of state/ --- */

static bool is_unshared, waits;

enum feature_step
state_observe_passed_parse(struct exchange *x, const char *sql, size_t have, size_t len)
{
	return STEP_FORWARD;
}

void
state_observe_plain_bind(struct exchange *x, uint32_t flags)
{
}

bool
state_reads_as_gucs(const struct exchange *x)
{
	return true;
}

bool
state_statement_context(const struct exchange *x, const struct sql_traits *v, uint32_t *context)
{
	*context = 0;
	return !is_unshared;
}

void
state_put_sql(struct exchange *x, struct buf *b, const char *sql, enum owed_to to, void *ref)
{
}

unsigned
state_risk_of(const struct exchange *x, struct statement *st)
{
	return 0;
}

void
state_note_run(struct exchange *x, unsigned risk)
{
}

unsigned
state_risk_of_unknown_sql(const struct exchange *x)
{
	return 0;
}

bool
state_waits_for_sequences(const struct exchange *x, uint32_t flags)
{
	return waits;
}

/* --- what the relay does with messages --- */

static enum feature_step
parse_sql(const char *name, const char *sql)
{
	struct request m = fake_parse(name, sql);
	enum feature_step step = statements_parse(&fake->x, &m);

	if (step == STEP_FORWARD)
		fake_forward(&m, OWED_PARSE);
	if (step == STEP_REPLACED)
		fake->srv.is_synced = false;
	outbox_flush_early(&fake->env.to_server);
	return step;
}

static enum feature_step
bind_to(const char *statement)
{
	struct request m = fake_bind("", statement);
	enum feature_step step = statements_find_bound(&fake->x, &m);

	if (step == STEP_FORWARD)
		step = statements_deallocate_bind(&fake->x, &m);
	if (step == STEP_FORWARD)
		step = statements_bind(&fake->x, &m);
	if (step == STEP_FORWARD)
		fake_forward(&m, OWED_BIND);
	if (step == STEP_REPLACED) {
		outbox_copy(&fake->env.to_server, m.message + m.skip_len, m.total - m.skip_len);
		fake->srv.is_synced = false;
	}
	return step;
}

static enum feature_step
target(uint8_t type, const char *name)
{
	struct request m = fake_target(type, 'S', name);
	enum feature_step step = type == 'C' ? STEP_FORWARD : statements_find_described(&fake->x, &m);

	if (step == STEP_FORWARD)
		step = type == 'C' ? statements_close(&fake->x, &m) : statements_describe(&fake->x, &m);
	if (step == STEP_FORWARD)
		fake_forward(&m, type == 'C' ? OWED_CLOSE : OWED_DESCRIBE_STATEMENT);
	if (step == STEP_REPLACED)
		fake->srv.is_synced = false;
	outbox_flush_early(&fake->env.to_server);
	return step;
}

static void
query(const char *sql)
{
	struct request m = fake_query(sql);

	cr_expect_neq(statements_deallocate_query(&fake->x, &m), STEP_FAILED);
	statements_note_unnamed_dropped(&fake->x, "SELECT 1", 8);
	fake_forward(&m, OWED_QUERY);
	buf_fini(&m.instead);
}

static void
sync_all(const char *replies)
{
	fake_sync();
	statements_note_sync(&fake->x);
	fake_reply(replies);
	statements_request_done(&fake->x);
}

static void
setup(void)
{
	is_unshared = waits = false;
	fake_begin(statements_settled);
}

static void
teardown(void)
{
	ledger_fini(&fake->srv.ledger);
	statements_free(&fake->x);
	fake_end();
}

TestSuite(statements, .init = setup, .fini = teardown);

Test(statements, a_named_statement_has_pgweirs_name_on_the_server)
{
	cr_expect_eq(parse_sql("s", "SELECT 1"), STEP_REPLACED);
	cr_expect_eq(bind_to("s"), STEP_REPLACED);
	cr_expect_str_eq(fake_sent(), "CS(#1) P(#1|SELECT 1) B(|#1)");
	sync_all("312Z");
	cr_expect_eq(statements_count(&fake->x), 1);
	fake_sent();
	bind_to("s");
	cr_expect_str_eq(fake_sent(), "B(|#1)", "it is there");
	sync_all("2Z");
}

Test(statements, a_begin_with_a_mode_is_known_by_its_name_until_that_is_closed)
{
	cr_expect(statements_may_be_begin_with_mode(&fake->x, ""), "nothing is known of it");
	parse_sql("s", "SELECT 1");
	parse_sql("b", "BEGIN;");
	cr_expect_not(statements_may_be_begin_with_mode(&fake->x, "s"));
	cr_expect_not(statements_may_be_begin_with_mode(&fake->x, "b"), "it has no mode");
	cr_expect_not(statements_may_be_begin_with_mode(&fake->x, "r"), "nothing runs under a name that there is not");
	parse_sql("r", "BEGIN READ ONLY");
	sync_all("313131Z");
	cr_expect(statements_may_be_begin_with_mode(&fake->x, "r"));
	cr_expect_not(statements_may_be_begin_with_mode(&fake->x, "s"));
	target('C', "r");
	sync_all("Z");
	cr_expect_not(statements_may_be_begin_with_mode(&fake->x, "r"));
	parse_sql("r", "START TRANSACTION READ ONLY");
	cr_expect(statements_may_be_begin_with_mode(&fake->x, "r"));
	sync_all("3EZ");
	cr_expect_not(statements_may_be_begin_with_mode(&fake->x, "r"), "PostgreSQL has refused it");
}

Test(statements, on_another_server_it_is_parsed_ahead_of_its_use)
{
	parse_sql("s", "SELECT 1");
	sync_all("31Z");
	fake_sent();
	fake_change_server();
	bind_to("s");
	cr_expect_str_eq(fake_sent(), "CS(#1) P(#1|SELECT 1) B(|#1)");
	sync_all("312Z");
	fake_change_server();
	fake_sent();
	target('D', "s");
	cr_expect_str_eq(fake_sent(), "CS(#1) P(#1|SELECT 1) DS(#1)");
	sync_all("31tnZ");
}

Test(statements, what_the_server_has_is_answered_by_pgweir)
{
	parse_sql("a", "SELECT 1");
	sync_all("31Z");
	fake_sent();
	fake_told();
	parse_sql("b", "SELECT 1");
	cr_expect_str_eq(fake_sent(), "", "the same SQL has the same name there");
	sync_all("Z");
	cr_expect_str_eq(fake_told(), "1");
	cr_expect_eq(statements_count(&fake->x), 2);
}

Test(statements, sql_that_must_not_be_shared_has_a_name_of_its_own)
{
	parse_sql("a", "SELECT 'x'");
	sync_all("31Z");
	is_unshared = true;
	fake_sent();
	parse_sql("b", "SELECT 'x'");
	cr_expect_str_eq(fake_sent(), "CS(#2) P(#2|SELECT 'x')");
	sync_all("31Z");
}

Test(statements, a_parse_that_fails_leaves_no_name)
{
	parse_sql("s", "SELEC");
	bind_to("s");
	sync_all("3EZ");
	cr_expect_eq(statements_count(&fake->x), 0);
	fake_sent();
	bind_to("s");
	cr_expect_str_eq(fake_sent(), "B(|s)", "PostgreSQL itself says that there is none");
	sync_all("EZ");
}

Test(statements, a_name_that_is_taken_is_refused_by_postgresql)
{
	const char *sent;

	parse_sql("s", "SELECT 1");
	sync_all("31Z");
	fake_sent();
	cr_expect_eq(parse_sql("s", "SELECT 2"), STEP_REPLACED);
	sent = fake_sent();
	cr_expect_str_eq(sent, "CS(#taken) P(#taken|) P(#taken|SELECT 2)");
	sync_all("31EZ");
	fake_sent();
	bind_to("s");
	cr_expect_str_eq(fake_sent(), "B(|#1)", "the name still is the first one's");
	sync_all("2Z");
}

Test(statements, a_close_is_answered_by_pgweir_and_frees_the_name)
{
	parse_sql("s", "SELECT 1");
	sync_all("31Z");
	fake_sent();
	bind_to("s");
	target('C', "s");
	cr_expect_str_eq(fake_sent(), "B(|#1)", "other clients may use it");
	cr_expect_eq(parse_sql("s", "SELECT 2"), STEP_REPLACED, "in the same request");
	cr_expect_str_eq(fake_sent(), "CS(#2) P(#2|SELECT 2)");
	sync_all("231Z");
	cr_expect_str_eq(fake_told(), "3");
	cr_expect_eq(statements_count(&fake->x), 1);
}

Test(statements, a_close_that_an_error_skips_has_not_happened)
{
	parse_sql("s", "SELECT 1");
	sync_all("31Z");
	bind_to("none");
	target('C', "s");
	parse_sql("s", "SELECT 2");
	sync_all("EZ");
	cr_expect_eq(statements_count(&fake->x), 1);
	fake_sent();
	bind_to("s");
	cr_expect_str_eq(fake_sent(), "B(|#1)");
	sync_all("2Z");
}

Test(statements, a_message_waits_where_an_earlier_request_decides)
{
	parse_sql("s", "SELECT 1");
	fake_sync();
	statements_note_sync(&fake->x);
	cr_expect_eq(bind_to("s"), STEP_HOLD, "its Parse may fail");
	fake_reply("31Z");
	cr_expect_eq(bind_to("s"), STEP_REPLACED);
	sync_all("2Z");
}

Test(statements, the_unnamed_statement_is_each_clients_own)
{
	parse_sql("", "SELECT 1");
	bind_to("");
	cr_expect_str_eq(fake_sent(), "P(|SELECT 1) B(|)");
	sync_all("12Z");
	fake_sent();
	fake->srv.unnamed_owner = 0; /* another client has used this server */
	bind_to("");
	cr_expect_str_eq(fake_sent(), "P(|SELECT 1) B(|)");
	sync_all("12Z");
}

Test(statements, a_simple_query_drops_the_unnamed_statement)
{
	parse_sql("", "SELECT 1");
	sync_all("1Z");
	fake_sent();
	query("SELECT 2");
	fake_reply("CZ");
	bind_to("");
	cr_expect_str_eq(fake_sent(), "Q(SELECT 2) B(|)", "PostgreSQL says that there is none");
	sync_all("EZ");
	parse_sql("", "SELECT 1");
	sync_all("EZ");
	fake_sent();
	query("SELECT 2");
	cr_expect_str_eq(fake_sent(), "Q(SELECT 2)");
}

Test(statements, of_a_pipelined_query_a_close_shows_whether_it_ran)
{
	parse_sql("", "SELECT 1");
	query("SELECT 2");
	cr_expect_str_eq(fake_sent(), "P(|SELECT 1) CS() Q(SELECT 2)");
	fake_reply("E"); /* Parse fails: Close and Query are skipped */
}

static enum feature_step
deallocate_here(const char *sql)
{
	struct request m = fake_query(sql);

	return statements_deallocate_here(&fake->x, &m);
}

Test(statements, a_query_that_deallocates_is_answered_from_the_table)
{
	for (size_t i = 0; i < 2; i++) {
		parse_sql("s", "SELECT 1");
		sync_all(i == 0 ? "31Z" : "Z");
		fake_sent();
		cr_expect_eq(deallocate_here("DEALLOCATE t"), STEP_FORWARD, "PostgreSQL knows the right error");
		cr_expect_eq(deallocate_here("DEALLOCATE s; SELECT 1"), STEP_FORWARD);
		cr_expect_eq(deallocate_here("DISCARD ALL"), STEP_FORWARD);
		fake->srv.tx = 'E';
		cr_expect_eq(deallocate_here("DEALLOCATE s"), STEP_FORWARD, "in a failed transaction, too");
		fake->srv.tx = 'T';
		fake->x.pins = 1u << PIN_STATEMENT;
		cr_expect_eq(deallocate_here("DEALLOCATE ALL"), STEP_FORWARD, "SQL has prepared some on the server");
		fake->x.pins = 0;
		cr_expect_eq(statements_count(&fake->x), 1);
		cr_expect_eq(deallocate_here(i == 0 ? "DEALLOCATE s" : "DEALLOCATE ALL"), STEP_REPLACED);
		cr_expect_eq(statements_count(&fake->x), 0);
		cr_expect_str_eq(fake_sent(), "Q(SELECT /* pgweir */ 1)", "the server has it still");
		fake_reply("TDCZ");
		fake->srv.tx = 'I';
	}
	query("SELECT 2");
	cr_expect_eq(deallocate_here("DEALLOCATE ALL"), STEP_HOLD, "its answer comes first");
	fake_reply("CZ");
}

Test(statements, a_bind_that_deallocates_gets_an_empty_statement)
{
	parse_sql("s", "SELECT 1");
	sync_all("31Z");
	parse_sql("d", "DEALLOCATE s");
	sync_all("31Z");
	fake_sent();
	bind_to("d");
	cr_expect_str_eq(fake_sent(), "CS(s) P(s|) B(|#2)");
	fake_reply("312");
	statements_deallocated(&fake->x, false);
	sync_all("Z");
	cr_expect_eq(statements_count(&fake->x), 1);
	cr_expect_eq(fake->srv.fitness, SERVER_FIT);
	parse_sql("s", "SELECT 1");
	sync_all("Z");
	bind_to("d");
	fake_reply("312");
	sync_all("Z");
	cr_expect_eq(statements_count(&fake->x), 2, "it was not executed");
	cr_expect_neq(fake->srv.fitness, SERVER_FIT, "nobody else must meet what is there");
}

Test(statements, deallocate_of_another_name_is_left_alone)
{
	query("DEALLOCATE other");
	cr_expect_str_eq(fake_sent(), "Q(DEALLOCATE other)");
	fake_reply("EZ");
}

Test(statements, a_name_like_pgweirs_reaches_no_other_clients_statement)
{
	const char *prefix = statement_store_prefix(fake->store);
	char name[STATEMENT_NAME_MAX + 1];

	parse_sql("s", "SELECT 1");
	sync_all("31Z");
	snprintf(name, sizeof(name), "%s1", prefix);
	fake_sent();
	bind_to(name);
	cr_expect_str_neq(fake_sent(), "B(|#1)");
	sync_all("EZ");
}

Test(statements, the_fast_lane_takes_plain_sql_only)
{
	struct request m;

	parse_sql("s", "SELECT 1");
	sync_all("31Z");
	parse_sql("t", "SET a.b = 1");
	sync_all("31Z");
	fake_sent();
	m = fake_bind("", "s");
	cr_expect_eq(statements_bind_plain(&fake->x, &m), STEP_REPLACED);
	outbox_copy(&fake->env.to_server, m.message + m.skip_len, m.total - m.skip_len);
	cr_expect_str_eq(fake_sent(), "B(|#1)");
	fake->srv.is_synced = false;
	m = fake_bind("", "t");
	cr_expect_eq(statements_bind_plain(&fake->x, &m), STEP_FORWARD);
	cr_expect(m.is_found && m.statement != NULL, "what was found need not be looked up again");
	m = fake_bind("", "none");
	cr_expect_eq(statements_bind_plain(&fake->x, &m), STEP_FORWARD);
	cr_expect_str_eq(fake_sent(), "");
	sync_all("2Z");
}
