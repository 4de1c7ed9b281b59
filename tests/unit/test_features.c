/*
 * tests/unit/test_features.c - who sees a message, an error, the end of a request and a hand-over, in which order.
 *
 * All features are fakes here that write their name down and answer as they are told.
 */
#include "relay/features.h"

#include "listen/listen.h"
#include "commit_check/commit_check.h"
#include "relay/relay.h"
#include "exchange/report.h"
#include "relay/query_timeout.h"
#include "relay/forbid.h"
#include "relay/resend.h"
#include "state/state.h"
#include "state/compiled.h"
#include "state/linger.h"
#include "state/observe.h"
#include "statements/statements.h"
#include "unit.h"

static struct {
	char calls[512];
	const char *stops; /* who does not say FORWARD (or false) ... */
	enum feature_step step; /* ... but this */
	bool is_passed_through;
} fake;

static bool
call(const char *name)
{
	size_t len = strlen(fake.calls);

	snprintf(fake.calls + len, sizeof(fake.calls) - len, "%s%s", len > 0 ? " " : "", name);
	return fake.stops != NULL && strcmp(fake.stops, name) == 0;
}

static enum feature_step
step(const char *name)
{
	return call(name) ? fake.step : STEP_FORWARD;
}

/* Fakes that return a step or a truth; their arguments are of no interest. */
#define STEP(function, name, ...)                                                                                      \
	enum feature_step function(__VA_ARGS__)                                                                        \
	{                                                                                                              \
		return step(name);                                                                                     \
	}
#define TRUTH(function, name, ...)                                                                                     \
	bool function(__VA_ARGS__)                                                                                     \
	{                                                                                                              \
		return call(name);                                                                                     \
	}
#define NOTHING(function, name, ...)                                                                                   \
	void function(__VA_ARGS__)                                                                                     \
	{                                                                                                              \
		call(name);                                                                                            \
	}

STEP(commit_check_before_query, "mark", struct exchange *x, struct request *m)
STEP(commit_check_before_parse, "mark", struct exchange *x, struct request *m)
STEP(commit_check_before_bind, "mark", struct exchange *x, struct request *m)
STEP(commit_check_note_query, "commit", struct exchange *x, struct request *m)
STEP(commit_check_note_bind, "commit", struct exchange *x, struct request *m)
STEP(commit_check_note_execute, "commit", struct exchange *x, struct request *m)
NOTHING(commit_check_error, "commit", struct exchange *x)
NOTHING(commit_check_request_done, "commit", struct exchange *x)
STEP(exclusive_make_room, "exclusive", struct exchange *x, struct request *m)
STEP(state_note_local, "local", struct exchange *x, struct request *m)
STEP(statements_note_drop, "drop", struct exchange *x, struct request *m)
STEP(statements_deallocate_query, "deallocate", struct exchange *x, struct request *m)
STEP(statements_deallocate_bind, "deallocate", struct exchange *x, struct request *m)
STEP(statements_parse, "statements", struct exchange *x, struct request *m)
STEP(statements_find_bound, "find", struct exchange *x, struct request *m)
STEP(statements_find_described, "find", struct exchange *x, struct request *m)
STEP(statements_bind, "statements", struct exchange *x, struct request *m)
STEP(statements_describe, "statements", struct exchange *x, struct request *m)
STEP(statements_close, "statements", struct exchange *x, struct request *m)
NOTHING(statements_request_done, "statements", struct exchange *x)
TRUTH(forbid_answer, "refuse", struct exchange *x, enum forbidden what)
TRUTH(query_timeout_answer, "late", struct exchange *x)
TRUTH(statements_rewrite_error, "statements", struct exchange *x, const char *sqlstate, const uint8_t *message,
      size_t len)
STEP(listen_before_sql, "channels", struct exchange *x, struct request *m)
STEP(listen_query, "listen", struct exchange *x, struct request *m)
STEP(listen_parse, "listen", struct exchange *x, struct request *m)
STEP(listen_bind, "listen", struct exchange *x, struct request *m)
STEP(listen_execute, "listen", struct exchange *x, struct request *m)
TRUTH(listen_take_error, "listen", struct exchange *x, const struct error_fields *e)
TRUTH(listen_request_done, "listen", struct exchange *x)
TRUTH(listen_hold_server, "listen", struct exchange *x)
STEP(reads_handle_position, "position", struct exchange *x, struct request *m)
STEP(state_avoid_foreign_plans, "elsewhere", struct exchange *x, struct request *m)
STEP(state_query_hide_sequences, "sequences", struct exchange *x, struct request *m)
STEP(state_bind_hide_sequences, "sequences", struct exchange *x, struct request *m)
STEP(state_discard_before_parse, "ahead", struct exchange *x, struct request *m)
STEP(state_observe_query, "state", struct exchange *x, struct request *m)
STEP(state_observe_bind, "state", struct exchange *x, struct request *m)
STEP(state_before_execute, "state", struct exchange *x, struct request *m)
STEP(state_audit_parse, "audit", struct exchange *x, struct request *m)
NOTHING(state_request_failed, "state", struct exchange *x)
NOTHING(state_request_done, "state", struct exchange *x)
TRUTH(state_send_with_hint, "hint", struct exchange *x, const struct error_fields *e, const uint8_t *message,
      size_t len)
TRUTH(statements_need_server, "long", const struct exchange *x)
TRUTH(state_settle, "state", struct exchange *x, bool has_long_statement)
TRUTH(retry_begin, "retry", struct exchange *x, const struct error_fields *e)
NOTHING(report_count_error, "report", struct pool *entry, enum error_origin origin, const char *sqlstate)
NOTHING(report_done, "report", struct exchange *x, struct server *srv, const struct owed *ended)
NOTHING(exchange_out_of_memory, "over", struct exchange *x)
NOTHING(exchange_answer, "answer", struct exchange *x, const void *bytes, size_t len)

enum canceler
report_take_canceler(struct exchange *x, const struct error_fields *e)
{
	return CANCELED_BY_NOBODY;
}

enum forbidden
forbid_of_error(const struct error_fields *e)
{
	return FORBIDDEN_NOTHING;
}

bool
statements_pass_through(const struct exchange *x)
{
	return fake.is_passed_through;
}

static struct server server;
static char some; /* stands for a feature's own data: only its being there counts */
static struct exchange x = { .srv = &server };

static void
setup(void)
{
	memset(&fake, 0, sizeof(fake));
	memset(&x, 0, sizeof(x));
	x.srv = &server;
}

/* Everything has something to do with this client. */
static void
busy(void)
{
	x.session = (void *)&some;
	x.listen = (void *)&some;
}

static enum feature_step
see(uint8_t type)
{
	static const uint8_t message[16] = { 'x', 0, 0, 0, 15, 'S', 'E', 'L', 'E', 'C', 'T' };
	struct request m = { .type = type, .message = message, .total = 16, .have = 16, .portal = "", .name = "" };

	m.sql = (const char *)message + 5;
	m.sql_len = 6;
	m.parse.name = m.names.portal = m.names.statement = "";
	m.statement = (void *)&some;
	m.target = 'S';
	fake.calls[0] = '\0';
	return features_request(&x, &m);
}

TestSuite(features, .init = setup);

Test(features, each_message_is_seen_in_its_order)
{
	busy();
	cr_expect_eq(see('Q'), STEP_FORWARD);
	cr_expect_str_eq(
	    fake.calls,
	    "position elsewhere mark sequences exclusive local drop channels deallocate listen state commit");
	see('P');
	cr_expect_str_eq(fake.calls, "position ahead mark exclusive audit channels listen statements");
	see('B');
	cr_expect_str_eq(
	    fake.calls,
	    "find position elsewhere mark sequences channels deallocate local state listen commit statements");
	see('D');
	cr_expect_str_eq(fake.calls, "find channels statements");
	see('C');
	cr_expect_str_eq(fake.calls, "statements");
	see('E');
	cr_expect_str_eq(fake.calls, "state listen commit");
	see('S');
	cr_expect_str_eq(fake.calls, "");
}

Test(features, where_nothing_is_followed_only_some_see_it)
{
	busy();
	fake.is_passed_through = x.is_session = true;
	see('Q');
	cr_expect_str_eq(fake.calls, "position mark exclusive listen state commit");
	see('P');
	cr_expect_str_eq(fake.calls, "position mark exclusive audit");
	see('B');
	cr_expect_str_eq(fake.calls, "position mark commit");
	see('D');
	cr_expect_str_eq(fake.calls, "");
}

Test(features, a_client_without_anything_is_asked_for_little)
{
	see('B');
	cr_expect_str_eq(
	    fake.calls,
	    "find position elsewhere mark sequences channels deallocate local state listen commit statements");
	see('E');
	cr_expect_str_eq(fake.calls, "state listen commit");
}

Test(features, the_first_that_does_not_say_forward_decides)
{
	static const enum feature_step steps[] = { STEP_REPLACED, STEP_HOLD, STEP_FAILED };

	busy();
	for (size_t i = 0; i < COUNT(steps); i++) {
		fake.step = steps[i];
		fake.stops = "deallocate";
		cr_expect_eq(see('Q'), steps[i]);
		cr_expect_str_eq(fake.calls,
				 "position elsewhere mark sequences exclusive local drop channels deallocate");
		fake.stops = "find";
		cr_expect_eq(see('B'), steps[i]);
		cr_expect_str_eq(fake.calls, "find");
	}
	fake.stops = "exclusive";
	cr_expect_eq(see('P'), STEP_FAILED);
	cr_expect_str_eq(fake.calls, "position ahead mark exclusive");
}

Test(features, an_error_is_seen_until_somebody_tells_it_otherwise)
{
	struct error_fields e = { .severity = "ERROR", .sqlstate = "42601", .message = "?" };
	static const char *const order[] = { "retry", "report",	    "state",  "listen",
					     "hint",  "statements", "refuse", "late" };

	busy();
	cr_expect_not(features_error(&x, &e, NULL, 0));
	cr_expect_str_eq(fake.calls, "retry report state listen hint statements refuse late");
	cr_expect_str_eq(server.loan.sqlstate, "42601");
	cr_expect_eq(server.loan.undone, UNDONE_FAILED);
	for (size_t i = 0; i < COUNT(order); i++) {
		if (strcmp(order[i], "report") == 0 || strcmp(order[i], "state") == 0)
			continue; /* these only take note */
		setup();
		busy();
		fake.stops = order[i];
		cr_expect(features_error(&x, &e, NULL, 0), "%s", order[i]);
	}
	cr_expect_str_eq(fake.calls, "retry report state listen hint statements refuse late");
	setup();
	memset(&server, 0, sizeof(server));
	fake.stops = "retry";
	features_error(&x, &e, NULL, 0);
	cr_expect_eq(server.loan.undone, UNDONE_NOTHING, "what is sent once more has not failed");
}

Test(features, the_end_of_a_request)
{
	struct owed ended = { .kind = OWED_SYNC };

	busy();
	cr_expect_not(features_request_done(&x, &ended));
	cr_expect_str_eq(fake.calls, "statements state report listen");
	fake.stops = "listen";
	cr_expect(features_request_done(&x, &ended), "ReadyForQuery is kept");
	setup();
	server.loan.commit.is_on = true;
	features_request_done(&x, &ended);
	server.loan.commit.is_on = false;
	cr_expect_str_eq(fake.calls, "statements commit report"); /* it does not listen */
}

Test(features, an_error_while_a_commit_is_under_way_may_be_its_own)
{
	struct error_fields e = { .severity = "ERROR", .sqlstate = "23503", .message = "?" };

	server.loan.commit.phase = COMMIT_SENT;
	features_error(&x, &e, NULL, 0);
	cr_expect_str_eq(fake.calls, "retry report commit listen hint statements refuse late");
}

Test(features, a_hand_over)
{
	fake.stops = "state"; /* that is: it may */
	cr_expect(features_release(&x));
	cr_expect_str_eq(fake.calls, "long state");
	setup();
	busy();
	fake.stops = "state";
	cr_expect(features_release(&x));
	cr_expect_str_eq(fake.calls, "listen long state");
	setup();
	cr_expect_not(features_release(&x), "state is asked about");
	setup();
	busy();
	fake.stops = "listen";
	cr_expect_not(features_release(&x));
	cr_expect_str_eq(fake.calls, "listen");
}
