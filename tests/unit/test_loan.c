/* tests/unit/test_loan.c - a loan begins with nothing of the last one's. Links only server/loan.c. */
#include "server/loan.h"

#include "session/gucs.h"
#include "unit.h"

#include <stddef.h>

void
gucs_unref(struct gucs *gucs)
{
	cr_expect_null(gucs);
}

/* The last borrower has left something in every byte but those of its buffers. */
static void
use(struct loan *l, bool is_under_way)
{
	struct kept_request kept = { .copy = { .len = 7, .cap = 512 },
				     .state = KEPT_SO_FAR,
				     .from = (const uint8_t *)"" };
	struct sent_copy sent = {
		.copy = { .len = 7, .cap = 512 }, .named_before = 7, .state = SENT_CUT, .has_earlier_requests = true
	};

	memset(l, 1, sizeof(*l));
	l->commit.before = NULL;
	if (!is_under_way) {
		l->clock.since_us = 0;
		memset(l->clock.us, 0, sizeof(l->clock.us));
	}
	l->text = l->bind = NULL;
	l->kept = kept;
	l->sent = sent;
}

static void
expect_nothing_of_it(const struct loan *l)
{
	static const struct phase_clock no_clock;
	struct loan fresh;

	memset(&fresh, 0, sizeof(fresh));
	fresh.lent_us = 42;
	cr_expect_arr_eq(l, &fresh, offsetof(struct loan, clock));
	cr_expect_eq(l->clock.since_us, 0);
	cr_expect_arr_eq(l->clock.us, no_clock.us, sizeof(no_clock.us));
	cr_expect_not(l->clock.has_passed_reply || l->clock.is_flowing);
	cr_expect_eq(l->tag_text[0], '\0');
	cr_expect_eq(l->kept.state, KEPT_NOTHING);
	cr_expect_eq(l->kept.copy.len, 0);
	cr_expect_null(l->kept.from);
	cr_expect_eq(l->sent.copy.len, 0);
	cr_expect_eq(l->sent.state, SENT_WHOLE);
	cr_expect_not(l->sent.has_earlier_requests);
}

Test(loan, nothing_of_the_last_one_is_left)
{
	struct loan l;

	for (int is_under_way = 0; is_under_way <= 1; is_under_way++) {
		use(&l, is_under_way != 0);
		loan_begin(&l, 42);
		expect_nothing_of_it(&l);
		cr_expect(l.kept.copy.cap == 512 && l.sent.copy.cap == 512, "buffers stay");
	}
}
