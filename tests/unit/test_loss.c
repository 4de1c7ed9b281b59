/*
 * tests/unit/test_loss.c - what the loss of a server, or an error that it sends, means for its client: each row of the
 * table in relay/loss.c, and who gets which error.
 *
 * Everything that would act is a fake here that writes its name down.
 */
#include "relay/relay.h"

#include "exchange/report.h"
#include "listen/listen.h"
#include "policy/policy_circuit.h"
#include "pool/pool_target.h"
#include "commit_check/commit_check.h"
#include "relay/reads.h"
#include "relay/resend.h"
#include "state/compiled.h"
#include "state/linger.h"
#include "state/state.h"
#include "statements/statements.h"
#include "statements/statements_transfer.h"
#include "unit.h"

static struct {
	char calls[256];
	bool is_possible, is_in_doubt, is_dirty, ties; /* what the fakes answer */
} fake;

static void
call(const char *name)
{
	size_t len = strlen(fake.calls);

	snprintf(fake.calls + len, sizeof(fake.calls) - len, "%s%s", len > 0 ? " " : "", name);
}

#define NOTHING(function, name, ...)                                                                                   \
	void function(__VA_ARGS__)                                                                                     \
	{                                                                                                              \
		call(name);                                                                                            \
	}
#define TRUTH(function, answer, ...)                                                                                   \
	bool function(__VA_ARGS__)                                                                                     \
	{                                                                                                              \
		return answer;                                                                                         \
	}

TRUTH(resend_is_possible, fake.is_possible, struct exchange *x, const struct server *srv)
TRUTH(resend_has_only_statements, false, const struct server *srv)
TRUTH(commit_check_is_in_doubt, fake.is_in_doubt, const struct exchange *x, const struct server *srv)
TRUTH(commit_check_failed, true, struct server *srv, const char *sqlstate)
TRUTH(state_is_dirty, fake.is_dirty, const struct exchange *x, const struct server *srv)
TRUTH(state_is_tainted, false, const struct exchange *x)
TRUTH(state_ties, fake.ties &&to == TIE_SERVER, const struct exchange *x, enum feature_tie to)
TRUTH(listen_ties, false, const struct exchange *x, enum feature_tie to)
TRUTH(statements_ties, false, const struct exchange *x, enum feature_tie to)

bool
resend_unexecuted(struct exchange *x, struct server *srv)
{
	call("again");
	return true;
}

NOTHING(reject_kept_request, "refuse", struct exchange *x, const struct fail *why, enum request_failure kind)
NOTHING(relay_batch, "go_on", struct exchange *x, const uint8_t *bytes, size_t len)
NOTHING(relay_kept_bytes, "go on behind", struct exchange *x)
NOTHING(state_undo_reports, "undo", struct exchange *x, const struct gucs *before)
NOTHING(reads_note_loss, "elsewhere", struct exchange *x, const struct server *srv)
NOTHING(report_failure, "failed", struct exchange *x, const struct fail *why, enum request_failure kind,
	const char *event)
NOTHING(policy_distrust, "distrust", struct policy *p, uint64_t now_us)
void
report_transaction_lost(struct exchange *x, struct server *srv)
{
	x->pool->database->counters.transactions[TE_LOST]++;
}
void
report_flushed(struct exchange *x, struct server *srv)
{
}
void
listen_send_withheld_ready(struct exchange *x)
{
}
void
listen_unlinked(struct exchange *x, struct server *srv)
{
}
void
state_stop_lingering(struct exchange *x)
{
}
void
state_assume_unseen_code(struct exchange *x)
{
}
void
relay_unstall(struct exchange *x)
{
}
bool
relay_resume_held(struct exchange *x)
{
	return true;
}

bool
commit_check_lost(struct exchange *x, struct server *srv, const struct fail *shown, bool is_lost)
{
	call("doubt");
	return true;
}

unsigned
state_parts_to_wash(struct exchange *x)
{
	return 0;
}

int
state_refuse_next_request(struct exchange *x, const struct fail *why)
{
	call("lose");
	return 0;
}

/* As server.c has them. */
void
server_fail(struct server *srv, const struct fail *why)
{
	call("end");
	relay_lost(srv, why);
}

bool
server_get_last_words(const struct server *srv, struct fail *why)
{
	return srv->loan.end == LOAN_END_FATAL_SENT;
}

static void
on_close(struct exchange *x, const struct fail *why, const struct fail *logged)
{
	call(why != NULL ? "close" : "close_silently");
}

static uint64_t now_us = 1000000;
static const struct exchange_ops ops = { .close = on_close };
static struct exchange_env env;
static const struct server_env server_env;
static struct upstream upstream = { .target = TARGET_READ_WRITE };
static struct pool_target target = { .upstream = &upstream };
static struct pool_database database;
static struct pool pool = { .target = &target, .database = &database };
static struct exchange x;
static struct server server;

static void
setup(void)
{
	memset(&fake, 0, sizeof(fake));
	env = (struct exchange_env){ .ops = &ops, .now_us = &now_us };
	x = (struct exchange){ .env = &env, .pool = &pool, .srv = &server, .state = CL_READY };
	server = (struct server){ .env = &server_env, .borrower = &x, .tx = 'I', .is_synced = true };
	ledger_init(&server.ledger, NULL, NULL);
	pool.settings.on_outage = OUTAGE_HOLD;
}

TestSuite(loss, .init = setup);

static const struct fail gone = { .sqlstate = "08006" }, told = { .sqlstate = "57P01" };

static void
lose(const struct fail *why, bool was_owing, const char *calls)
{
	fake.calls[0] = '\0';
	server.was_owing = was_owing;
	relay_lost(&server, why);
	cr_expect_str_eq(fake.calls, calls);
	cr_expect(x.srv == NULL && server.borrower == NULL);
}

static const struct error_fields ended = { .severity = "FATAL", .sqlstate = "57P01", .routine = "ProcessInterrupts" };

static bool
take(const struct error_fields *e)
{
	fake.calls[0] = '\0';
	return loss_handle_error(&server, e, OWED_TO_CLIENT, true);
}

Test(loss, of_nothing_the_client_gets_another)
{
	lose(&gone, false, "elsewhere");
	setup();
	fake.is_dirty = true;
	lose(&gone, false, "lose elsewhere");
	setup();
	fake.is_dirty = true;
	x.state = CL_HELD;
	lose(&gone, false, "close");
}

Test(loss, of_what_was_not_executed_it_is_relayed_again)
{
	fake.is_possible = true;
	cr_expect(take(&ended));
	cr_expect_str_eq(fake.calls, "end again");
	setup();
	fake.is_possible = true;
	lose(&gone, true, "failed close");
	setup(); /* whatever pgweir calls it */
	fake.is_possible = true;
	lose(&told, true, "failed close");
	setup(); /* nothing of it was sent */
	fake.is_possible = true;
	loan_set_end(&server.loan, LOAN_REST_UNEXECUTED);
	lose(&gone, true, "again");
	setup(); /* a standby's: the primary can be asked */
	fake.is_possible = true;
	server.loan.standby = 1;
	lose(&gone, true, "again");
	setup();
	fake.is_possible = true;
	pool.settings.on_outage = OUTAGE_FAIL;
	cr_expect_not(take(&ended));
}

Test(loss, only_postgresqls_own_routine_tells_that_it_was_not_executed)
{
	static const struct error_fields forged[] = {
		{ .severity = "ERROR", .sqlstate = "57P01", .routine = "exec_stmt_raise" },
		{ .severity = "FATAL", .sqlstate = "57P01", .routine = "pltcl_elog" },
		{ .severity = "FATAL", .sqlstate = "57P05" },
		{ .severity = "ERROR", .sqlstate = "57P05", .routine = "ProcessInterrupts" },
		{ .severity = "FATAL", .sqlstate = "57014", .routine = "ProcessInterrupts" },
		{ .severity = "ERROR", .sqlstate = "25006", .routine = "PreventCommandIfReadOnly" },
	};
	struct guc_store *store = guc_store_new(1, NULL);
	struct error_fields read_only = { .severity = "ERROR", .sqlstate = "25006" };

	for (size_t i = 0; i < COUNT(forged); i++) {
		setup();
		fake.is_possible = true;
		cr_expect_not(take(&forged[i]), "row %zu", i);
		cr_expect_str_eq(fake.calls, "", "row %zu: %s", i, fake.calls);
		cr_expect_eq(server.fitness, SERVER_FIT);
	}
	setup(); /* it has reported that it is no primary any more */
	fake.is_possible = true;
	server.fitness = SERVER_MISPLACED;
	x.gucs = gucs_empty(store);
	cr_expect(take(&read_only));
	cr_expect_str_eq(fake.calls, "distrust end again");
	gucs_unref(x.gucs);
	guc_store_free(store);
}

Test(loss, a_request_is_relayed_again_once_unless_others_lose_their_servers_too)
{
	struct exchange_rare rare = { .replayed_request = 1, .replay_count = 1, .losses_at_first_replay = 1 };
	struct server_losses losses = { .total = 1 };
	struct server_env with_losses = { .losses = &losses };

	for (uint32_t count = 1; count < 4; count++) {
		setup();
		fake.is_possible = true;
		x.rare = &rare;
		server.env = &with_losses;
		losses.total = count; /* losses.count begins anew each second */
		cr_expect_eq(take(&ended), count >= 2, "%u", count);
	}
	setup();
	fake.is_possible = true;
	x.rare = &rare;
	server.env = &with_losses;
	rare.replay_count = 8;
	losses.total = 100;
	cr_expect_not(take(&ended));
}

Test(loss, of_a_commit_it_is_answered_later)
{
	fake.is_in_doubt = true;
	lose(&gone, true, "doubt");
}

Test(loss, of_a_transaction_that_is_rolled_back_the_next_request_fails)
{
	server.loan.commit.is_on = true;
	server.tx = 'T';
	lose(&gone, false, "failed undo");
	cr_expect_eq(x.block, EXCHANGE_ROLLED_BACK);
	cr_expect_eq(database.counters.transactions[TE_LOST], 1);
	setup();
	server.loan.commit.is_on = true;
	server.tx = 'T';
	x.state = CL_HELD;
	server.loan.commit.question = MARK_AWAITED;
	lose(&gone, false, "failed undo refuse go_on");
	cr_expect_eq(x.block, EXCHANGE_ORDINARY);
	setup();
	fake.ties = server.loan.commit.is_on = true;
	server.tx = 'T';
	lose(&gone, false, "failed close");
}

Test(loss, of_more_the_client_is_told_and_closed)
{
	server.tx = 'T';
	lose(&gone, false, "failed close");
	setup(); /* a session was kept there */
	fake.ties = true;
	lose(&gone, false, "close");
	cr_expect_eq(database.counters.transactions[TE_LOST], 1, "the transaction; none was open in the session");
	setup();
	lose(&gone, true, "failed close");
	setup(); /* it has PostgreSQL's FATAL */
	loan_set_end(&server.loan, LOAN_END_FATAL_SENT);
	lose(&gone, false, "close_silently");
	setup(); /* it has part of a row */
	server.ledger.body_left = 1;
	lose(&gone, true, "failed close_silently");
}

Test(loss, who_gets_which_error)
{
	static const struct {
		const char *severity, *sqlstate;
		enum owed_to to;
		bool is_owed, takes;
		const char *calls;
	} rows[] = {
		{ "ERROR", "42601", OWED_TO_CLIENT, true, false, "" },
		{ "ERROR", "42P18", OWED_TO_STATEMENT, true, false, "" },
		{ "FATAL", "57P01", OWED_TO_CLIENT, true, false, "" },
		{ "FATAL", "57P01", OWED_TO_CLIENT, false, true, "end elsewhere" },
		{ "ERROR", "XX000", OWED_TO_CLIENT, false, true, "end elsewhere" },
		/* Settings that PostgreSQL refuses are the client's; those that it could not make now end the server.
		 */
		{ "ERROR", "22023", OWED_TO_GUCS, true, false, "" },
		{ "FATAL", "22023", OWED_TO_GUCS, true, false, "" },
		{ "ERROR", "57014", OWED_TO_GUCS, true, true, "end elsewhere" },
		{ "FATAL", "57P01", OWED_TO_GUCS, true, true, "end elsewhere" },
		{ "ERROR", "57014", OWED_TO_PGWEIR, true, false, "" },
		{ "FATAL", "57P01", OWED_TO_PGWEIR, true, true, "end elsewhere" },
		{ "ERROR", "57014", OWED_TO_COMMIT, true, true, "end elsewhere" },
		{ "ERROR", "42601", OWED_TO_FEATURE, true, false, "" },
	};

	struct guc_store *store = guc_store_new(1, NULL);

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error_fields e = { .severity = rows[i].severity, .sqlstate = rows[i].sqlstate };
		bool is_refused =
		    rows[i].to == OWED_TO_GUCS && !rows[i].takes && strcmp(rows[i].severity, "FATAL") == 0;

		setup();
		x.gucs = gucs_empty(store);
		cr_expect_eq(loss_handle_error(&server, &e, rows[i].to, rows[i].is_owed), rows[i].takes, "row %zu", i);
		cr_expect_str_eq(fake.calls, rows[i].calls, "row %zu: %s", i, fake.calls);
		cr_expect_eq(server.loan.is_ours_cancelled,
			     strcmp(rows[i].sqlstate, "57014") == 0 && rows[i].to != OWED_TO_CLIENT, "row %zu", i);
		cr_expect_eq(pool.refused != NULL, is_refused, "row %zu", i);
		gucs_unref(pool.refused);
		pool.refused = NULL;
		gucs_unref(x.gucs);
	}
	guc_store_free(store);
}

Test(loss, an_error_that_says_that_nothing_was_executed_has_it_relayed_again)
{
	struct error_fields e = { .severity = "ERROR", .sqlstate = "25006" };

	fake.is_possible = true; /* a standby that can't do it stays, and so does its client */
	server.loan.standby = 1;
	x.block = EXCHANGE_ON_STANDBY;
	cr_expect(loss_handle_error(&server, &e, OWED_TO_CLIENT, true));
	cr_expect_str_eq(fake.calls, "again");
	cr_expect_eq(server.loan.end, LOAN_NOT_EXECUTED);
	setup(); /* but not one whose error is the primary's, too */
	fake.is_possible = true;
	server.loan.standby = 1;
	x.block = EXCHANGE_ON_STANDBY;
	e.sqlstate = "22012";
	cr_expect_not(loss_handle_error(&server, &e, OWED_TO_CLIENT, true));
	cr_expect_str_eq(fake.calls, "");
	cr_expect_eq(server.loan.end, LOAN_GOES_ON);
}

Test(loss, who_was_told_of_the_end_knows_of_it)
{
	struct error_fields e = { .severity = "ERROR", .sqlstate = "XX000" };

	loan_set_end(&server.loan, LOAN_END_FATAL_SENT);
	cr_expect(loss_handle_error(&server, &e, OWED_TO_CLIENT, false));
	cr_expect_str_eq(fake.calls, "end close_silently");
}
