/* tests/unit/test_client_state.c - the life of a client as a table: which steps there are, and which must never be. */
#include "exchange/client_state.h"
#include "unit.h"

static enum client_state
after(const enum client_event *steps, size_t count)
{
	enum client_state at = client_state_next(CL_NONE, CE_ACCEPT);

	for (size_t i = 0; i < count; i++) {
		enum client_state to = client_state_next(at, steps[i]);

		cr_assert_neq(to, CL_NONE, "%s while %s", client_event_name(steps[i]), client_state_name(at, false));
		at = to;
	}
	return at;
}

#define AFTER(...)                                                                                                     \
	after((const enum client_event[]){ __VA_ARGS__ },                                                              \
	      sizeof((const enum client_event[]){ __VA_ARGS__ }) / sizeof(enum client_event))

Test(client_state, a_client_logs_in_by_a_password_and_is_greeted)
{
	cr_expect_eq(AFTER(CE_ASK_PROOF, CE_PROVED, CE_GREETED), CL_READY);
	cr_expect_eq(AFTER(CE_PROVED, CE_GREETED), CL_READY, "trust: no exchange");
	cr_expect_eq(AFTER(CE_ASK_PROOF, CE_PROVED, CE_NEED_SERVER, CE_GRANTED, CE_GREETED), CL_READY);
	cr_expect_eq(AFTER(CE_ASK_PROOF, CE_PROVED, CE_NEED_SERVER, CE_REFUSED, CE_CLOSE), CL_CLOSED);
}

Test(client_state, nothing_follows_a_wrong_proof_but_the_end)
{
	cr_expect_eq(AFTER(CE_ASK_PROOF, CE_WRONG_PROOF), CL_DELAYED);
	for (int ev = 0; ev < CE_EVENTS; ev++)
		if (ev != CE_CLOSE)
			cr_expect_eq(client_state_next(CL_DELAYED, (enum client_event)ev), CL_NONE);
}

Test(client_state, only_a_proof_or_none_being_needed_leads_out_of_a_login)
{
	for (int from = CL_STARTUP; from < CL_CLOSED; from++)
		for (int ev = 0; ev < CE_EVENTS; ev++) {
			enum client_state to = client_state_next((enum client_state)from, (enum client_event)ev);

			if (client_state_is_relayed(to))
				cr_expect(from == CL_WELCOME && ev == CE_GREETED, "%s while %s",
					  client_event_name((enum client_event)ev),
					  client_state_name((enum client_state)from, false));
		}
}

Test(client_state, a_commit_in_doubt_is_answered_or_refused)
{
	enum client_state in_doubt = AFTER(CE_PROVED, CE_GREETED, CE_DOUBT);

	cr_expect_eq(in_doubt, CL_IN_DOUBT);
	cr_expect(client_state_waits(in_doubt), "what it sends is kept");
	cr_expect_not(client_state_awaits_listener_or_flush(in_doubt));
	cr_expect_eq(client_state_next(in_doubt, CE_ANSWERED), CL_READY);
	cr_expect_eq(client_state_next(in_doubt, CE_REFUSED), CL_REJECTING, "the rest of its request is dropped");
	cr_expect_eq(client_state_next(CL_HELD, CE_DOUBT), CL_IN_DOUBT, "with a message that waits for the answer");
}

Test(client_state, a_request_waits_in_line_is_granted_or_rejected)
{
	enum client_state in_line = AFTER(CE_PROVED, CE_GREETED, CE_NEED_SERVER);

	cr_expect_eq(in_line, CL_IN_LINE);
	cr_expect(client_state_waits(in_line));
	cr_expect_eq(client_state_next(in_line, CE_GRANTED), CL_READY);
	cr_expect_eq(client_state_next(in_line, CE_REFUSED), CL_REJECTING);
	cr_expect_not(client_state_waits(CL_REJECTING), "what it drops must be read");
	cr_expect_eq(client_state_next(CL_READY, CE_REFUSED), CL_REJECTING, "in a transaction that has failed");
	cr_expect_eq(client_state_next(CL_HELD, CE_REFUSED), CL_REJECTING, "a COMMIT, whose transaction was lost");
	cr_expect_eq(client_state_next(CL_REJECTING, CE_REJECTION_OVER), CL_READY);
}

Test(client_state, an_error_may_turn_a_held_message_into_a_retry)
{
	cr_expect_eq(AFTER(CE_PROVED, CE_GREETED, CE_HOLD, CE_RETRY), CL_RETRYING);
	cr_expect_eq(AFTER(CE_PROVED, CE_GREETED, CE_RETRY, CE_HOLD), CL_RETRYING, "more comes meanwhile");
	cr_expect_eq(AFTER(CE_PROVED, CE_GREETED, CE_RETRY, CE_HOLD, CE_ANSWERED), CL_READY);
}

Test(client_state, a_host_catches_up)
{
	cr_expect_eq(AFTER(CE_PROVED, CE_GREETED, CE_CATCH_UP), CL_CATCHING_UP);
	cr_expect_eq(AFTER(CE_PROVED, CE_GREETED, CE_CATCH_UP, CE_CAUGHT_UP), CL_READY);
	cr_expect_eq(client_state_next(CL_CATCHING_UP, CE_NEED_SERVER), CL_NONE, "it waits for one thing at a time");
}

Test(client_state, a_listener_answers_what_waits_for_it)
{
	cr_expect_eq(AFTER(CE_PROVED, CE_GREETED, CE_AWAIT_LISTENER), CL_AWAITING_LISTENER);
	cr_expect_eq(client_state_next(CL_AWAITING_LISTENER, CE_AWAIT_LISTENER), CL_AWAITING_LISTENER,
		     "LISTEN a; LISTEN b");
	cr_expect_eq(client_state_next(CL_AWAITING_LISTENER, CE_LISTENER_ANSWERED), CL_READY);
	cr_expect_eq(AFTER(CE_PROVED, CE_GREETED, CE_WITHHOLD_READY, CE_LISTENER_ANSWERED), CL_READY);
	cr_expect_eq(AFTER(CE_PROVED, CE_GREETED, CE_WITHHOLD_READY, CE_CLOSE_AFTER_FLUSH, CE_CLOSE), CL_CLOSED);
	cr_expect_eq(client_state_next(CL_IN_LINE, CE_AWAIT_LISTENER), CL_NONE, "it waits for one thing at a time");
}

Test(client_state, everybody_may_leave_once)
{
	for (int s = CL_STARTUP; s < CL_STATES; s++)
		cr_expect_eq(client_state_next((enum client_state)s, CE_CLOSE), s == CL_CLOSED ? CL_NONE : CL_CLOSED);
}

Test(client_state, each_state_is_in_one_group_and_has_a_name)
{
	for (int i = CL_STARTUP; i < CL_STATES; i++) {
		enum client_state s = (enum client_state)i;
		bool is_other = s == CL_CLOSED || s == CL_CANCEL || s == CL_CONSOLE;

		cr_expect_eq(client_state_is_login(s) + client_state_is_relayed(s) + is_other, 1);
		cr_expect(!client_state_awaits_listener_or_flush(s) || client_state_waits(s));
		cr_expect_gt(strlen(client_state_name(s, false)), 0);
	}
	for (int ev = 0; ev < CE_EVENTS; ev++)
		cr_expect_gt(strlen(client_event_name((enum client_event)ev)), 0);
	cr_expect_str_eq(client_state_name(CL_READY, false), "idle");
	cr_expect_str_eq(client_state_name(CL_READY, true), "active");
}
