/* tests/unit/test_cluster.c - what is known of the hosts of an upstream: readings, lag, who is the primary. */
#include "pool/cluster.h"
#include "unit.h"

#define MS 1000u
#define BEGIN (1000u * MS)

static const struct cluster_lives none;
static const struct cluster_mark primary = { .system_id = 7, .started_us = 100, .timeline = 1 };
static const struct cluster_mark standby = {
	.system_id = 7, .started_us = 200, .replayed = 0x1000, .is_standby = true
};

static struct policy_commons *all;
static struct cluster *c;
static uint32_t told; /* how often the listener was */

static void
setup(void)
{
	all = policy_commons_new(1);
	c = cluster_get_or_create(all, "db1:5432,db2:5432,db3:5432", 3);
	told = 0;
}

static void
teardown(void)
{
	cluster_put(c);
	policy_commons_free(all);
}

TestSuite(cluster, .init = setup, .fini = teardown);

/* A copy of what is known. */
static struct cluster_view
look(void)
{
	struct cluster_view v = *cluster_lock(c);

	cluster_unlock(c);
	return v;
}

static void
meet_all(void)
{
	cluster_begin_life(c, 0, &primary, &none);
	cluster_begin_life(c, 1, &standby, &none);
	cluster_begin_life(c, 2, &standby, &none);
}

/* A reading that is answered within a tenth of a millisecond. */
static void
answer(unsigned host, uint64_t position, uint64_t begun_us)
{
	struct reading r = { .number = cluster_begin_reading(c), .begun_us = begun_us, .position = position };

	cluster_note_answer(c, host, &r, begun_us + 100);
}

Test(cluster, is_one_for_each_list_of_hosts)
{
	struct cluster *same = cluster_get_or_create(all, "db1:5432,db2:5432,db3:5432", 3);
	struct cluster *other = cluster_get_or_create(all, "db1:5432,db2:5432", 2);

	cr_expect_eq(same, c);
	cr_expect_neq(other, c);
	cluster_put(same);
	cluster_put(other);
	other = cluster_get_or_create(all, "db9:5432", 100);
	cr_expect_eq(cluster_lock(other)->count, CLUSTER_HOSTS, "of more hosts, the first");
	cluster_unlock(other);
	cluster_put(other);
	cluster_put(NULL);
}

Test(cluster, begins_without_anything)
{
	struct cluster_view v = look();

	cr_expect_eq(v.count, 3);
	cr_expect_eq(v.primary, -1);
	cr_expect_eq(v.history, 0);
	cr_expect_eq(v.hosts[0].role, HOST_AWAY);
	cr_expect_eq(v.hosts[0].life, 0);
	cr_expect_eq(cluster_last_begun_reading(c), 0);
}

Test(cluster, has_roles_and_lives)
{
	const struct cluster_mark aurora = { .system_id = 7, .started_us = 300, .is_standby = true };
	struct cluster_view v;

	cluster_begin_life(c, 0, &standby, &none);
	cluster_begin_life(c, 1, &primary, &none);
	cluster_begin_life(c, 2, &aurora, &none);
	v = look();
	cr_expect_eq(v.primary, 1);
	cr_expect_eq(v.history, 1);
	cr_expect_eq(v.hosts[0].role, HOST_STANDBY);
	cr_expect_eq(v.hosts[1].role, HOST_PRIMARY);
	cr_expect_eq(v.hosts[2].role, HOST_OTHER, "a standby without a position is none that we know");
	cr_expect(v.hosts[0].life != v.hosts[1].life && v.hosts[1].life != v.hosts[2].life && v.hosts[0].life != 0);
}

Test(cluster, numbers_readings_of_all_hosts_in_one_row)
{
	meet_all();
	cr_expect_eq(cluster_begin_reading(c), 1);
	cr_expect_eq(cluster_begin_reading(c), 2);
	cr_expect_eq(cluster_last_begun_reading(c), 2);
	answer(0, 0x5000, BEGIN);
	cr_expect_eq(look().hosts[0].last.number, 3);
	cr_expect_eq(look().begun, 3);
	cr_expect_eq(look().hosts[1].last.number, 0);
	cluster_set_away(c, 0);
	cr_expect_eq(look().hosts[0].last.number, 0, "nothing is known of this life");
	cr_expect_eq(look().begun, 3);
	answer(0, 0x6000, BEGIN);
	cr_expect_eq(look().hosts[0].last.number, 0, "an answer that comes when it is away counts for nothing");
}

static void
count(void *owner)
{
	++*(int *)owner;
}

Test(cluster, everybody_hears_of_a_standby_that_falls_silent)
{
	int heard = 0;
	struct cluster_listener l = { .notify = count, .owner = &heard };
	unsigned before = cluster_count_silences(c);

	meet_all();
	cluster_listen(c, &l);
	cluster_set_silent(c, 1, true);
	cr_expect_eq(heard, 1, "nobody waits for a reading, and everybody is told");
	cr_expect_eq(cluster_count_silences(c), before + 1);
	cr_expect(look().hosts[1].is_silent && !look().hosts[2].is_silent);
	cluster_set_silent(c, 1, false);
	cr_expect_eq(heard, 1);
	cr_expect_eq(cluster_count_silences(c), before + 1);
	cr_expect_not(look().hosts[1].is_silent);
	cluster_set_waiting(&l, true);
	cluster_set_silent(c, 1, true);
	cluster_set_silent(c, 1, false);
	cr_expect_eq(heard, 3, "it waits, and another host may be asked now");
	cluster_set_silent(c, 1, true);
	cluster_set_away(c, 1);
	cluster_begin_life(c, 1, &standby, &none);
	cr_expect_not(look().hosts[1].is_silent, "in another life");
	cluster_unlisten(c, &l);
}

/* --- Lag. --- */

Test(cluster, lag_is_the_age_of_what_was_not_passed)
{
	meet_all();
	answer(0, 0x5000, BEGIN);
	answer(1, 0x5000, BEGIN + 5 * MS);
	cr_expect_eq(look().hosts[1].lag_us, 0);
	cr_expect_eq(look().hosts[2].lag_us, 5 * MS + 100, "it has not said anything yet");
	answer(2, 0x4000, BEGIN + 20 * MS);
	cr_expect_eq(look().hosts[2].lag_us, 20 * MS + 100);
	answer(0, 0x6000, BEGIN + 30 * MS);
	answer(2, 0x5000, BEGIN + 40 * MS);
	cr_expect_eq(look().hosts[2].lag_us, 10 * MS + 100, "it has passed the first reading");
	cr_expect_eq(look().hosts[1].lag_us, 10 * MS + 100);
	answer(2, 0x7000, BEGIN + 50 * MS);
	cr_expect_eq(look().hosts[2].lag_us, 0);
}

Test(cluster, lag_does_not_grow_while_nobody_writes)
{
	meet_all();
	answer(0, 0x5000, BEGIN);
	answer(1, 0x5000, BEGIN + 1 * MS);
	answer(0, 0x5000, BEGIN + 1000 * MS);
	cr_expect_eq(look().hosts[1].lag_us, 0);
}

/* However long it is, and however often the primary is read, lag is right within a 16th. */
Test(cluster, long_lags_are_known_well)
{
	const uint64_t behind_us = 3000 * MS, every_us = 1 * MS;

	meet_all();
	for (uint64_t t = 0; t < 3 * behind_us; t += every_us) {
		answer(0, 0x100000 + t, BEGIN + t);
		if (t < behind_us)
			continue;
		answer(1, 0x100000 + t - behind_us, BEGIN + t);
		cr_assert_geq(look().hosts[1].lag_us, behind_us - every_us);
		cr_assert_leq(look().hosts[1].lag_us, behind_us + behind_us / 16);
		answer(2, 0x100000 + t, BEGIN + t);
		cr_assert_eq(look().hosts[2].lag_us, 0, "another one does not suffer from that");
	}
}

Test(cluster, lag_is_known_again_after_a_restart)
{
	meet_all();
	answer(0, 0x5000, BEGIN);
	answer(1, 0x5000, BEGIN + 1 * MS);
	cluster_set_away(c, 1);
	cluster_begin_life(c, 1, &standby, &none);
	answer(1, 0x4000, BEGIN + 70 * MS);
	cr_expect_eq(look().hosts[1].lag_us, 70 * MS + 100, "a crash may have taken it back");
}

/* --- Histories. --- */

Test(cluster, the_same_primary_met_again_has_the_same_history)
{
	struct cluster_view v;
	uint64_t life;

	meet_all();
	cluster_set_history_proved(c, 1, true);
	life = look().hosts[0].life;
	cluster_set_away(c, 0);
	v = look();
	cr_expect_eq(v.primary, -1);
	cr_expect_eq(v.history, 1);
	cr_expect(v.hosts[1].is_proved);
	cluster_begin_life(c, 0, &primary, &none);
	v = look();
	cr_expect_eq(v.primary, 0);
	cr_expect_eq(v.history, 1);
	cr_expect(v.hosts[1].is_proved, "its log is the same, and the standby's");
	cr_expect_neq(v.hosts[0].life, life);
}

Test(cluster, a_proof_ends_with_the_life_of_the_standby)
{
	meet_all();
	cluster_set_history_proved(c, 1, true);
	cluster_set_away(c, 1);
	cr_expect_not(look().hosts[1].is_proved);
	cluster_begin_life(c, 1, &standby, &none);
	cr_expect_not(look().hosts[1].is_proved);
}

Test(cluster, the_word_of_a_standby_counts_in_its_life_and_history_alone)
{
	struct cluster_view v;
	const struct cluster_mark next = { .system_id = 7, .started_us = 300, .timeline = 2 };

	meet_all();
	v = look();
	cr_expect_eq(v.hosts[1].askable_from_us, 0, "before PostgreSQL 19");
	cluster_set_can_wait(c, 1);
	cr_expect_eq(look().hosts[1].askable_from_us, 1);
	cr_expect_not(cluster_note_replayed(c, 1, v.hosts[1].life, v.history, 500), "it is not proved");
	cluster_set_history_proved(c, 1, true);
	cr_expect(cluster_note_replayed(c, 1, v.hosts[1].life, v.history, 500));
	cr_expect(cluster_note_replayed(c, 1, v.hosts[1].life, v.history, 400));
	cr_expect_eq(look().hosts[1].replayed, 500);
	cr_expect_not(cluster_note_replayed(c, 1, v.hosts[1].life + 1, v.history, 600));
	cluster_note_late(c, 1, 10 * MS, BEGIN);
	cr_expect_gt(look().hosts[1].askable_from_us, BEGIN, "nobody asks it for a moment");
	cluster_begin_life(c, 2, &next, &none);
	cr_expect_eq(look().hosts[1].replayed, 0);
	cluster_set_history_proved(c, 1, true);
	cr_expect_not(cluster_note_replayed(c, 1, v.hosts[1].life, v.history, 600), "a position of the log before");
	cluster_begin_life(c, 1, &standby, &none);
	cr_expect_eq(look().hosts[1].askable_from_us, 0);
	cluster_note_late(c, 2, 10 * MS, BEGIN);
	cr_expect_eq(look().hosts[2].askable_from_us, 0, "what can't be asked stays so");
}

Test(cluster, a_standby_that_was_late_is_asked_again_once_it_lags_by_less_than_was_waited)
{
	meet_all();
	cluster_set_can_wait(c, 1);
	answer(0, 0x5000, BEGIN);
	cluster_note_late(c, 1, 10 * MS, BEGIN + 12 * MS);
	answer(1, 0x4000, BEGIN + 13 * MS);
	cr_expect_gt(look().hosts[1].askable_from_us, BEGIN + 13 * MS, "it lags by 13 ms");
	answer(0, 0x6000, BEGIN + 14 * MS);
	answer(1, 0x5000, BEGIN + 20 * MS);
	cr_expect_lt(look().hosts[1].askable_from_us, BEGIN + 21 * MS, "it lags by 6 ms");
}

Test(cluster, a_promotion_begins_a_history)
{
	const struct cluster_mark promoted = {
		.system_id = 7, .started_us = 200, .replayed = 0x5800, .received = 0x5800, .timeline = 2
	};
	struct cluster_view v;

	meet_all();
	answer(0, 0x6000, BEGIN);
	cluster_set_history_proved(c, 2, true);
	cluster_set_away(c, 0);
	cluster_begin_life(c, 1, &promoted, &none);
	v = look();
	cr_expect_eq(v.primary, 1);
	cr_expect_eq(v.history, 2);
	cr_expect_eq(v.former[1].history, 1);
	cr_expect_eq(v.former[1].end, 0x5800, "up to where it was promoted");
	cr_expect_not(v.hosts[2].is_proved);
	cr_expect_eq(v.hosts[2].lag_us, 0);

	cluster_begin_life(c, 0, &primary, &none);
	cr_expect_eq(look().primary, 1, "the old one is back, and does not know yet");
	cluster_set_away(c, 1);
	cr_expect_eq(look().primary, -1, "it is not the primary any more, even when it is alone");
	cr_expect_eq(look().history, 2);
}

Test(cluster, a_restart_of_the_primary_begins_a_history_too)
{
	const struct cluster_mark in_order = { .system_id = 7, .started_us = 900, .timeline = 1 };
	const struct cluster_mark crashed = { .system_id = 7, .started_us = 900, .replayed = 0x7000, .timeline = 1 };

	meet_all();
	cluster_set_away(c, 0);
	cluster_begin_life(c, 0, &in_order, &none);
	cr_expect_eq(look().history, 2);
	cr_expect_eq(look().former[1].end, UINT64_MAX, "nothing is lost");
	cluster_begin_life(c, 0, &crashed, &none);
	cr_expect_eq(look().history, 3, "its backends were restarted: the same start, but another recovery");
	cr_expect_eq(look().former[2].end, 0x7000);
}

Test(cluster, forgets_the_oldest_histories)
{
	struct cluster_mark mark = primary;

	for (uint64_t i = 1; i <= 3 * CLUSTER_FORMER_MAX; i++) {
		mark.started_us = 100 + i;
		cluster_begin_life(c, 0, &mark, &none);
		cr_assert_eq(look().history, i);
	}
	for (uint32_t i = 0; i < CLUSTER_FORMER_MAX; i++)
		cr_expect_gt(look().former[i].history, 2 * CLUSTER_FORMER_MAX);
}

Test(cluster, two_primaries_are_none)
{
	const struct cluster_mark other = { .system_id = 7, .started_us = 300, .timeline = 1 };
	const struct cluster_mark stranger = { .system_id = 8, .started_us = 300, .timeline = 9 };

	cluster_begin_life(c, 0, &primary, &none);
	cluster_begin_life(c, 1, &other, &none);
	cr_expect_eq(look().primary, -1);
	cluster_set_away(c, 1);
	cr_expect_eq(look().primary, 0);
	cluster_begin_life(c, 2, &stranger, &none);
	cr_expect_eq(look().primary, -1, "timelines of another cluster say nothing");
	cr_expect_eq(look().history, 1);
}

/* --- Who waits. --- */

static void
heard(void *owner)
{
	told++;
}

Test(cluster, tells_those_who_wait)
{
	struct cluster_listener a = { .notify = heard }, b = { .notify = heard };

	cluster_listen(c, &a);
	cluster_listen(c, &b);
	meet_all();
	cr_expect_eq(told, 0);
	atomic_store(&a.is_waiting, true);
	answer(0, 0x5000, BEGIN);
	cr_expect_eq(told, 1);
	cluster_set_history_proved(c, 1, true);
	cluster_set_away(c, 2);
	cr_expect_eq(told, 3);
	cluster_unlisten(c, &a);
	answer(0, 0x5000, BEGIN);
	cr_expect_eq(told, 3);
	cluster_unlisten(c, &b);
}

Test(cluster, wakes_the_watch_once_for_all_who_want)
{
	cluster_want(c, CLUSTER_ALL);
	cr_expect(cluster_take_want(c));
	cluster_set_watch(c, heard, NULL);
	cluster_want(c, CLUSTER_ALL);
	cluster_want(c, CLUSTER_ALL);
	cluster_want(c, CLUSTER_STANDBYS);
	cr_expect_eq(told, 1);
	cr_expect_eq(cluster_take_want(c), CLUSTER_ALL);
	cr_expect_eq(cluster_take_want(c), 0);
	cluster_want(c, CLUSTER_STANDBYS);
	cluster_want(c, CLUSTER_ALL);
	cr_expect_eq(told, 3, "that of the primary was not wanted before");
	cr_expect_eq(cluster_take_want(c), CLUSTER_ALL);
	cluster_want(c, CLUSTER_STANDBYS);
	cr_expect_eq(cluster_take_want(c), CLUSTER_STANDBYS);
	cluster_set_watch(c, NULL, NULL);
	cluster_want(c, CLUSTER_ALL);
	cr_expect_eq(told, 4);
}

Test(cluster, knows_whether_somebody_looks)
{
	cr_expect_not(cluster_take_use(c));
	look();
	cr_expect(cluster_take_use(c));
	cr_expect_not(cluster_take_use(c));
}
