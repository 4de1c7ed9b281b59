/*
 * tests/unit/test_causality.c - what a client must not fall behind. Each test tells one story with a primary (host 0)
 * and two standbys; tests/sim/reads_sim.h draws all others from a seed.
 */
#include "policy/causality.h"
#include "unit.h"

#define LAG_US 1000000u

enum { PRIMARY, EAST, WEST };

static struct cluster_view view;
static struct read_token token;
static uint64_t lost_at, lost_end;

static void
begin(void)
{
	memset(&token, 0, sizeof(token));
	memset(&view, 0, sizeof(view));
	view.count = 3;
	view.history = 1;
	view.begun = 3;
	view.former[1].history = 1;
	view.former[1].end = UINT64_MAX;
	for (unsigned i = 0; i < 3; i++)
		view.hosts[i] = (struct host_view){ .role = i == PRIMARY ? HOST_PRIMARY : HOST_STANDBY,
						    .is_proved = i != PRIMARY,
						    .life = 10 + i,
						    .last = { .number = 1 + i, .position = 100, .xmax = 50 } };
	view.hosts[PRIMARY].last.next_xid = 50;
	causality_take_loss(&token, &view, &lost_at, &lost_end);
}
TestSuite(causality, .init = begin);

/* A reading is begun and answered. */
static struct reading *
reads(unsigned host, uint64_t position, uint64_t xmax)
{
	struct host_view *h = &view.hosts[host];

	h->last = (struct reading){ .number = ++view.begun, .position = position, .xmax = xmax };
	return &h->last;
}

static void
wrote(void)
{
	causality_note_write(&token, view.begun);
}

static void
was_shown(unsigned host)
{
	causality_note_read(&token, view.begun, host, view.hosts[host].life);
}

static enum causality
may_read(unsigned host)
{
	return causality_check_read(&token, &view, host, LAG_US);
}

static enum causality
may_write(void)
{
	return causality_check_write(&token, &view);
}

static bool
is_lost(void)
{
	return causality_take_loss(&token, &view, &lost_at, &lost_end);
}

Test(causality, who_has_seen_nothing_reads_anywhere)
{
	cr_assert_eq(may_read(EAST), CAUSALITY_NOW);
	cr_assert_eq(may_write(), CAUSALITY_NOW);
	cr_assert_lt(sizeof(token), 81u);
}

Test(causality, these_are_never_read_from)
{
	struct cluster_view usual = view;

	cr_assert_eq(may_read(PRIMARY), CAUSALITY_NEVER);
	cr_assert_eq(may_read(3), CAUSALITY_NEVER, "no such host");
	view.hosts[EAST].is_proved = false;
	cr_assert_eq(may_read(EAST), CAUSALITY_NEVER, "not proved");
	view = usual;
	view.hosts[EAST].lag_us = LAG_US + 1;
	cr_assert_eq(may_read(EAST), CAUSALITY_NEVER, "late");
	view = usual;
	view.hosts[EAST].is_silent = true;
	cr_assert_eq(may_read(EAST), CAUSALITY_NEVER, "it does not answer");
	view = usual;
	view.hosts[EAST].role = HOST_OTHER;
	cr_assert_eq(may_read(EAST), CAUSALITY_NEVER, "no standby");
	view = usual;
	view.primary = -1;
	cr_assert_eq(may_read(EAST), CAUSALITY_NEVER, "whose log it replays nobody knows");
	view = usual;
	view.hosts[EAST].last.number = 0;
	cr_assert_eq(may_read(EAST), CAUSALITY_LATER, "nothing is known of it yet");
}

Test(causality, a_write_is_seen_where_a_later_reading_of_the_primary_has_been_replayed)
{
	wrote();
	cr_assert_eq(may_read(EAST), CAUSALITY_LATER, "no reading covers it");
	reads(EAST, 500, 50);
	cr_assert_eq(may_read(EAST), CAUSALITY_LATER, "a reading of the standby says nothing of the write");
	reads(PRIMARY, 200, 51);
	cr_assert_eq(may_read(EAST), CAUSALITY_NOW);
	cr_assert_eq(may_read(WEST), CAUSALITY_LATER, "it is behind");
	reads(PRIMARY, 900, 60);
	cr_assert_eq(may_read(EAST), CAUSALITY_NOW, "it is held to the first reading only");
	reads(WEST, 199, 51);
	cr_assert_eq(may_read(WEST), CAUSALITY_LATER);
	reads(WEST, 200, 51);
	cr_assert_eq(may_read(WEST), CAUSALITY_NOW);
}

Test(causality, a_reading_begun_before_the_reply_covers_nothing)
{
	view.begun++;
	wrote();
	view.hosts[PRIMARY].last = (struct reading){ .number = view.begun, .position = 100, .xmax = 50 };
	cr_assert_eq(may_read(EAST), CAUSALITY_LATER);
}

Test(causality, a_standby_has_what_it_has_shown)
{
	was_shown(EAST);
	cr_assert_eq(may_read(EAST), CAUSALITY_NOW, "in the same life it needs no reading");
	view.hosts[EAST].life = 20;
	cr_assert_eq(may_read(EAST), CAUSALITY_LATER, "its replay may have gone back");
	reads(PRIMARY, 150, 51);
	cr_assert_eq(may_read(EAST), CAUSALITY_LATER, "it may have shown all that the primary had written");
	reads(EAST, 150, 51);
	cr_assert_eq(may_read(EAST), CAUSALITY_NOW);
}

Test(causality, another_standby_needs_what_the_first_has_shown)
{
	reads(WEST, 400, 50);
	was_shown(EAST);
	cr_assert_eq(may_read(WEST), CAUSALITY_LATER);
	reads(EAST, 410, 51);
	cr_assert_eq(may_read(WEST), CAUSALITY_LATER);
	reads(WEST, 410, 51);
	cr_assert_eq(may_read(WEST), CAUSALITY_NOW);
}

Test(causality, the_primary_stands_for_a_standby_that_says_nothing)
{
	was_shown(EAST);
	reads(PRIMARY, 500, 55);
	reads(WEST, 499, 55);
	cr_assert_eq(may_read(WEST), CAUSALITY_LATER);
	reads(PRIMARY, 600, 55);
	reads(WEST, 500, 55);
	cr_assert_eq(may_read(WEST), CAUSALITY_NOW);
	reads(EAST, 300, 52);
	view.hosts[WEST].last.position = 300;
	cr_assert_eq(may_read(WEST), CAUSALITY_NOW, "what it says itself is less");
}

Test(causality, a_standby_is_asked_for_what_a_reading_has_told)
{
	wrote();
	cr_assert_eq(may_read(EAST), CAUSALITY_LATER);
	cr_assert_eq(causality_needed_position(&token, &view, EAST), UINT64_MAX, "no reading covers the write yet");
	reads(PRIMARY, 200, 60);
	cr_assert_eq(may_read(EAST), CAUSALITY_LATER);
	cr_assert_eq(causality_needed_position(&token, &view, EAST), 200);
	view.hosts[EAST].replayed = 199;
	cr_assert_eq(may_read(EAST), CAUSALITY_LATER);
	view.hosts[EAST].replayed = 200;
	cr_assert_eq(may_read(EAST), CAUSALITY_NOW, "its own word counts for others, too");
	cr_assert_eq(may_read(WEST), CAUSALITY_LATER);
	was_shown(EAST);
	cr_assert_eq(may_read(WEST), CAUSALITY_LATER);
	cr_assert_eq(causality_needed_position(&token, &view, WEST), UINT64_MAX,
		     "it may have been shown more than that");
	reads(PRIMARY, 300, 70)->next_xid = 70;
	cr_assert_eq(may_read(WEST), CAUSALITY_LATER);
	cr_assert_eq(causality_needed_position(&token, &view, WEST), 300);
	view.history++;
	cr_assert_eq(causality_needed_position(&token, &view, WEST), UINT64_MAX);
}

Test(causality, nothing_is_unsettled_without_a_standby)
{
	wrote();
	cr_assert_eq(may_write(), CAUSALITY_NOW);
}

Test(causality, settled_when_the_primary_shows_all_below_the_xmax)
{
	was_shown(EAST);
	cr_assert_eq(may_write(), CAUSALITY_LATER);
	reads(EAST, 120, 53);
	cr_assert_eq(may_write(), CAUSALITY_LATER, "52 may have been shown, and the primary's snapshot ends at 50");
	reads(PRIMARY, 130, 53);
	cr_assert_eq(may_write(), CAUSALITY_NOW);
	cr_assert_eq(may_write(), CAUSALITY_NOW);
}

Test(causality, what_the_primary_has_shown_before_is_settled_as_well)
{
	reads(PRIMARY, 130, 53);
	was_shown(EAST);
	reads(EAST, 120, 53);
	cr_assert_eq(may_write(), CAUSALITY_NOW);
}

static void
opens(unsigned host, uint32_t count, const uint64_t *xids)
{
	view.hosts[host].last.open_count = count;
	memcpy(view.hosts[host].last.open, xids, count * sizeof(xids[0]));
}

Test(causality, what_has_not_ended_on_the_standby_was_not_shown)
{
	was_shown(EAST);
	reads(EAST, 120, 53);
	opens(EAST, 2, (uint64_t[]){ 40, 45 });
	reads(PRIMARY, 130, 60);
	opens(PRIMARY, 3, (uint64_t[]){ 40, 41, 58 });
	cr_assert_eq(may_write(), CAUSALITY_LATER, "41 may have been shown");
	opens(PRIMARY, 2, (uint64_t[]){ 45, 58 });
	cr_assert_eq(may_write(), CAUSALITY_NOW);
}

Test(causality, lists_that_are_too_long_say_nothing)
{
	was_shown(EAST);
	reads(EAST, 120, 53)->open_count = UINT32_MAX;
	reads(PRIMARY, 130, 53)->open_count = UINT32_MAX;
	cr_assert_eq(may_write(), CAUSALITY_LATER);
	opens(PRIMARY, 1, (uint64_t[]){ 40 });
	cr_assert_eq(may_write(), CAUSALITY_LATER);
	view.hosts[PRIMARY].last.open_count = 0;
	cr_assert_eq(may_write(), CAUSALITY_NOW);
}

Test(causality, a_standby_that_has_read_further_is_a_witness)
{
	was_shown(EAST);
	view.hosts[EAST].life = 0;
	view.hosts[EAST].role = HOST_AWAY;
	reads(PRIMARY, 130, 60);
	opens(PRIMARY, 1, (uint64_t[]){ 40 });
	cr_assert_eq(may_write(), CAUSALITY_LATER);
	reads(WEST, 129, 53);
	opens(WEST, 1, (uint64_t[]){ 40 });
	cr_assert_eq(may_write(), CAUSALITY_LATER, "it may lack what was shown");
	view.hosts[WEST].last.position = 130;
	view.hosts[WEST].is_proved = false;
	cr_assert_eq(may_write(), CAUSALITY_LATER, "it may lack it at any position");
	view.hosts[WEST].is_proved = true;
	cr_assert_eq(may_write(), CAUSALITY_NOW);
}

Test(causality, without_any_standby_all_that_had_a_number_must_be_visible)
{
	was_shown(EAST);
	view.hosts[EAST].role = view.hosts[WEST].role = HOST_AWAY;
	view.hosts[EAST].life = view.hosts[WEST].life = 0;
	reads(PRIMARY, 130, 60);
	cr_assert_eq(may_write(), CAUSALITY_LATER, "which had one is not known");
	was_shown(EAST);
	reads(PRIMARY, 140, 60)->next_xid = 63;
	cr_assert_eq(may_write(), CAUSALITY_LATER, "62 may have been shown");
	reads(PRIMARY, 150, 64)->next_xid = 70;
	cr_assert_eq(may_write(), CAUSALITY_NOW);
}

/* --- Another primary. --- */

static void
fail_over(uint64_t end, uint64_t kept)
{
	view.former[1].end = end;
	view.former[1].last_reading = kept;
	view.former[2] = (struct former_primary){ .history = 2, .end = UINT64_MAX };
	view.history = 2;
	view.primary = EAST;
	view.hosts[PRIMARY] = (struct host_view){ .role = HOST_AWAY };
	view.hosts[EAST] = (struct host_view){ .role = HOST_PRIMARY, .life = 30 };
}

Test(causality, until_asked_nothing_goes_anywhere)
{
	was_shown(WEST);
	fail_over(1000, 0);
	cr_assert_eq(may_read(WEST), CAUSALITY_LATER);
	cr_assert_eq(may_write(), CAUSALITY_LATER);
	cr_assert_eq(causality_require(&token, &view, 1, 1), CAUSALITY_LATER);
}

Test(causality, what_lies_before_the_fork_is_kept)
{
	wrote();
	reads(PRIMARY, 200, 51);
	may_read(WEST);
	fail_over(200, 0);
	cr_assert_not(is_lost());
	reads(EAST, 210, 51);
	reads(WEST, 199, 51);
	cr_assert_eq(may_read(WEST), CAUSALITY_LATER);
	reads(WEST, 200, 51);
	cr_assert_eq(may_read(WEST), CAUSALITY_NOW);
}

Test(causality, what_lies_behind_the_fork_is_told_of_once)
{
	wrote();
	reads(PRIMARY, 200, 51);
	may_read(WEST);
	fail_over(199, view.begun);
	cr_assert(is_lost());
	cr_assert_eq(lost_at, 200u);
	cr_assert_eq(lost_end, 199u);
	cr_assert_not(is_lost());
	cr_assert_eq(may_read(WEST), CAUSALITY_LATER, "what was not lost must be seen all the same");
	reads(EAST, 199, 51);
	reads(WEST, 199, 51);
	cr_assert_eq(may_read(WEST), CAUSALITY_NOW);
}

Test(causality, what_a_kept_reading_covers_is_kept)
{
	struct read_token other;

	wrote();
	other = token;
	fail_over(1000, token.primary_due);
	cr_assert_not(is_lost());
	cr_assert_eq(may_read(WEST), CAUSALITY_LATER);
	reads(EAST, 300, 51);
	reads(WEST, 300, 51);
	cr_assert_eq(may_read(WEST), CAUSALITY_NOW);
	token = other;
	view.former[1].last_reading--;
	cr_assert(is_lost());
	cr_assert_eq(lost_at, 0u, "where it was is not known");
	cr_assert_eq(lost_end, 1000u);
}

Test(causality, what_a_standby_has_shown_may_be_lost_too)
{
	was_shown(WEST);
	fail_over(1000, token.host_due - 1);
	cr_assert(is_lost());
}

Test(causality, a_history_that_nobody_remembers_may_lack_anything)
{
	wrote();
	view.history = 1 + CLUSTER_FORMER_MAX;
	view.former[1] = (struct former_primary){ .history = view.history, .end = UINT64_MAX };
	cr_assert(is_lost());
	cr_assert_eq(lost_end, 0u);
}

Test(causality, a_restart_in_order_loses_nothing)
{
	wrote();
	was_shown(WEST);
	fail_over(UINT64_MAX, 0);
	cr_assert_not(is_lost());
}

Test(causality, before_the_first_history_there_is_no_claim)
{
	memset(&token, 0, sizeof(token));
	wrote();
	cr_assert_not(is_lost());
	cr_assert_eq(may_read(WEST), CAUSALITY_LATER);
}

Test(causality, what_was_shown_before_is_settled_by_the_new_primary_alone)
{
	was_shown(WEST);
	reads(WEST, 120, 53);
	cr_assert_eq(may_write(), CAUSALITY_LATER);
	fail_over(1000, view.begun);
	cr_assert_not(is_lost());
	reads(EAST, 130, 52)->next_xid = 60;
	cr_assert_eq(may_write(), CAUSALITY_LATER);
	reads(EAST, 130, 59)->next_xid = 60;
	cr_assert_eq(may_write(), CAUSALITY_LATER, "the standby may follow the new primary already");
	reads(EAST, 130, 60)->next_xid = 60;
	cr_assert_eq(may_write(), CAUSALITY_NOW);
}

/* --- Positions that travel. --- */

Test(causality, a_position_from_elsewhere_holds_reads_back)
{
	cr_assert_eq(causality_require(&token, &view, 100, view.begun + 1), CAUSALITY_NOW);
	cr_assert_eq(may_read(WEST), CAUSALITY_NOW);
	reads(PRIMARY, 200, 51);
	cr_assert_eq(causality_require(&token, &view, 101, view.begun + 1), CAUSALITY_NOW);
	cr_assert_eq(may_read(WEST), CAUSALITY_LATER);
	cr_assert_eq(causality_require(&token, &view, 50, view.begun + 1), CAUSALITY_NOW);
	cr_assert_eq(may_read(WEST), CAUSALITY_LATER, "it never goes back");
}

Test(causality, a_position_may_be_younger_than_all_readings)
{
	uint64_t due = view.begun + 1;

	cr_assert_eq(causality_require(&token, &view, 150, due), CAUSALITY_LATER);
	reads(WEST, 140, 51);
	cr_assert_eq(causality_require(&token, &view, 150, due), CAUSALITY_LATER);
	reads(PRIMARY, 150, 51);
	cr_assert_eq(causality_require(&token, &view, 150, due), CAUSALITY_NOW);
	cr_assert_eq(causality_require(&token, &view, 151, due), CAUSALITY_NEVER);
	cr_assert_eq(token.position, 150u);
}

static const struct {
	const char *text;
	bool is_position;
	uint64_t want;
} positions[] = {
	{ "0/0", true, 0 },
	{ "0/5F21A90", true, 0x5F21A90 },
	{ "16/B374D848", true, 0x16B374D848 },
	{ "ffffffff/FFFFFFFF", true, UINT64_MAX },
	{ "00000001/00000002", true, 0x100000002 },
	{ "", false, 0 },
	{ "/", false, 0 },
	{ "0/", false, 0 },
	{ "/0", false, 0 },
	{ "0", false, 0 },
	{ "00", false, 0 },
	{ "0/0/0", false, 0 },
	{ "0//0", false, 0 },
	{ " 0/0", false, 0 },
	{ "0/0 ", false, 0 },
	{ "0x1/0", false, 0 },
	{ "-1/0", false, 0 },
	{ "0/G", false, 0 },
	{ "0/@", false, 0 },
	{ "0/`", false, 0 },
	{ "000000001/0", false, 0 },
	{ "0/000000001", false, 0 },
};

Test(causality, positions_are_read_as_postgresql_does)
{
	uint64_t position;

	EACH(row, positions) {
		bool is_position = causality_parse(row->text, &position);

		cr_expect_eq(is_position, row->is_position, "%s", row->text);
		cr_expect(!is_position || position == row->want, "%s", row->text);
	}
}
