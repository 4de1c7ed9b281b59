/*
 * tests/unit/test_session_commons.c - equal texts have one name on all loops, and what one loop learns of them all
 * know; and no id has two texts, whatever several threads do at once.
 */
#include "session/session_commons.h"
#include "session/gucs.h"
#include "session/statement_store.h"
#include "threads.h"
#include "unit.h"

#include <pthread.h>

#define LOOPS 3

struct loops {
	struct session_commons *commons;
	struct statement_store *stores[LOOPS];
	struct statement_home *homes[LOOPS];
};

static struct loops
begin(size_t idle_bytes_max)
{
	struct loops all = { .commons = session_commons_new(7) };

	for (uint64_t i = 0; i < LOOPS; i++) {
		all.stores[i] = statement_store_new(i, 1, all.commons, idle_bytes_max);
		all.homes[i] = statement_home_get_or_create(all.stores[i], "db");
	}
	return all;
}

/* All statements are given up before. */
static void
end(struct loops *all)
{
	for (int i = 0; i < LOOPS; i++) {
		statement_home_unref(all->homes[i]);
		statement_store_free(all->stores[i]);
	}
	cr_expect_eq(session_commons_count_texts(all->commons), 0, "no loop has any");
	session_commons_free(all->commons);
}

/* X with one parameter whose type is left open, or is int4. */
#define OPEN (const uint8_t *)"X\0\0\0", 4, 1
#define INT4 (const uint8_t *)"X\0\0\1\0\0\0\27", 8, 1
#define OTHER (const uint8_t *)"Y\0\0\0", 4, 1
#define TYPES_INT4 (const uint8_t *)"\0\1\0\0\0\27", 6
#define TYPES_TEXT (const uint8_t *)"\0\1\0\0\0\31", 6

/* Its id, when it is used. */
static uint64_t
used(struct statement *st)
{
	statement_refresh(st);
	return st->id;
}

Test(session_commons, a_text_has_one_name_on_all_loops)
{
	struct loops all = begin(1 << 20);
	struct statement_home *elsewhere = statement_home_get_or_create(all.stores[1], "other");
	struct statement *st[] = {
		statement_get_or_create(all.homes[0], OPEN, 0),	 statement_get_or_create(all.homes[1], OPEN, 0),
		statement_get_or_create(all.homes[2], OPEN, 0),	 statement_get_or_create(all.homes[0], INT4, 0),
		statement_get_or_create(all.homes[1], OTHER, 0), statement_get_or_create(all.homes[1], OPEN, 5),
		statement_get_or_create(elsewhere, OPEN, 0),	 statement_new_unshared(all.homes[0], OPEN),
		statement_new_unshared(all.homes[1], OPEN)
	};
	enum { COUNT = COUNT(st) };

	for (int i = 0; i < COUNT; i++) {
		cr_expect_neq(st[i]->id, 0u);
		for (int j = 0; j < i; j++) {
			cr_expect_eq(st[i]->id == st[j]->id, i < LOOPS, "%d and %d", i, j);
			cr_expect_eq(strcmp(st[i]->name, st[j]->name) == 0, i < LOOPS, "%d and %d", i, j);
			cr_expect(st[i] != st[j]);
		}
	}
	cr_expect_eq(session_commons_count_texts(all.commons), 5, "those that are shared");
	for (int i = 0; i < COUNT; i++)
		statement_unref(st[i]);
	statement_home_unref(elsewhere);
	end(&all);
}

Test(session_commons, a_text_lives_as_long_as_one_loop_has_it)
{
	struct loops all = begin(0);
	struct statement *first = statement_get_or_create(all.homes[0], OPEN, 0),
			 *second = statement_get_or_create(all.homes[1], OPEN, 0), *third;
	uint64_t id = first->id;

	statement_unref(first);
	cr_expect_eq(session_commons_count_texts(all.commons), 1);
	third = statement_get_or_create(all.homes[2], OPEN, 0);
	cr_expect_eq(third->id, id, "servers know it by that");
	statement_unref(second);
	statement_unref(third);
	cr_expect_eq(session_commons_count_texts(all.commons), 0);
	third = statement_get_or_create(all.homes[2], OPEN, 0);
	cr_expect_gt(third->id, id, "what a server has under the old one may have been forgotten since");
	statement_unref(third);
	end(&all);
}

Test(session_commons, ddl_renews_a_text_once_for_all)
{
	struct loops all = begin(1 << 20);
	struct statement_home *late;
	struct statement *st[LOOPS];
	uint64_t id;

	for (int i = 0; i < 2; i++)
		st[i] = statement_get_or_create(all.homes[i], OPEN, 0);
	id = st[0]->id;
	statement_home_renew(all.homes[1]);
	cr_expect_eq(used(st[0]), id + 1);
	cr_expect_eq(used(st[1]), id + 1, "renewed already");
	st[2] = statement_get_or_create(all.homes[2], OPEN, 0);
	cr_expect_eq(st[2]->id, id + 1);
	cr_expect_str_eq(st[0]->name, st[1]->name);
	statement_home_renew(all.homes[0]);
	cr_expect_eq(statement_get_or_create(all.homes[2], OPEN, 0), st[2], "found and refreshed");
	cr_expect_eq(st[2]->id, id + 2);
	for (int i = 0; i < 3; i++)
		cr_expect_eq(used(st[i]), id + 2);
	statement_home_unref(all.homes[2]); /* its statements have references */
	late = statement_home_get_or_create(all.stores[2], "db");
	cr_expect_eq(used(st[2]), id + 2);
	all.homes[2] = late;
	for (int i = 0; i < 3; i++)
		statement_unref(st[i]);
	statement_unref(st[2]);
	end(&all);
}

Test(session_commons, a_home_that_one_loop_makes_later_is_in_the_same_epoch)
{
	struct loops all = begin(1 << 20);
	struct statement_home *home = statement_home_get_or_create(all.stores[0], "late"), *late;
	struct statement *st, *there;
	uint64_t id;

	statement_home_renew(home);
	st = statement_get_or_create(home, OPEN, 0);
	id = st->id;
	late = statement_home_get_or_create(all.stores[1], "late");
	there = statement_get_or_create(late, OPEN, 0);
	cr_expect_eq(there->id, id);
	cr_expect_eq(used(st), id);
	cr_expect_eq(used(there), id);
	statement_unref(st);
	statement_unref(there);
	statement_home_unref(home);
	statement_home_unref(late);
	end(&all);
}

Test(session_commons, what_one_loop_renews_is_renewed_on_all)
{
	struct loops all = begin(1 << 20);
	struct statement *st[LOOPS], *other = statement_get_or_create(all.homes[1], OTHER, 0);
	uint64_t id, other_id = other->id;

	for (int i = 0; i < LOOPS; i++)
		st[i] = statement_get_or_create(all.homes[i], OPEN, 0);
	st[1]->valid_pool = st[1]->valid_gucs = &all;
	id = st[0]->id;
	statement_renew(st[0]);
	cr_expect_gt(st[0]->id, id);
	for (int i = 1; i < LOOPS; i++)
		cr_expect_eq(used(st[i]), st[0]->id);
	cr_expect(st[1]->valid_pool == NULL && st[1]->valid_gucs == NULL);
	cr_expect_eq(used(other), other_id);
	id = st[0]->id;
	statement_renew(st[0]);
	statement_renew(st[1]); /* has seen the same, under the old id */
	cr_expect_eq(st[0]->id, id + 1);
	cr_expect_eq(st[1]->id, id + 1, "once is enough");
	for (int i = 0; i < LOOPS; i++)
		statement_unref(st[i]);
	statement_unref(other);
	end(&all);
}

Test(session_commons, types_that_one_loop_has_learnt_are_known_to_all)
{
	struct loops all = begin(1 << 20);
	struct statement *st[LOOPS], *fresh;
	uint64_t id;
	size_t len;

	for (int i = 0; i < LOOPS; i++)
		st[i] = statement_get_or_create(all.homes[i], OPEN, 0);
	id = st[0]->id;
	cr_expect_not(statement_check_types(st[1], TYPES_INT4), "not known yet");
	statement_learn_types(st[0], TYPES_INT4);
	cr_expect(statement_check_types(st[1], TYPES_INT4));
	statement_learn_types(st[2], TYPES_TEXT); /* the first that are learnt count */
	cr_expect(statement_check_types(st[2], TYPES_INT4));
	cr_expect_not(statement_check_types(st[2], TYPES_TEXT));
	statement_home_renew(all.homes[0]);
	for (int i = 0; i < LOOPS; i++) {
		cr_expect_gt(used(st[i]), id);
		cr_expect_eq(st[i]->id, st[0]->id, "renewed alike");
		cr_expect_eq(st[i]->len, 8);
		cr_expect_arr_eq(st[i]->bytes, "X\0\0\1\0\0\0\27", 8);
	}
	fresh = statement_get_or_create(all.homes[1], OPEN, 0);
	cr_expect_neq(fresh->id, st[1]->id);
	cr_expect_eq(statement_learnt_types(fresh, &len), NULL);
	cr_expect_not(statement_check_types(fresh, TYPES_INT4), "those of the old name");
	statement_unref(fresh);
	for (int i = 0; i < LOOPS; i++)
		statement_unref(st[i]);
	end(&all);
}

Test(session_commons, a_text_that_a_loop_leaves_as_outdated_is_outdated_for_all)
{
	struct loops all = begin(1 << 20);
	struct statement *st = statement_get_or_create(all.homes[0], OPEN, 0),
			 *there = statement_get_or_create(all.homes[1], OPEN, 0), *late;
	uint64_t id = st->id;

	statement_learn_types(st, TYPES_INT4);
	statement_renew(st);
	cr_expect_eq(st->len, 8, "it has another text now");
	late = statement_get_or_create(all.homes[2], OPEN, 0);
	cr_expect_gt(late->id, id);
	cr_expect_eq(used(there), late->id);
	cr_expect_neq(st->id, late->id);
	statement_unref(st);
	statement_unref(there);
	statement_unref(late);
	end(&all);
}

/* Two generations of a text meet in the same key on one loop; the others have the first alone. */
Test(session_commons, equal_statements_of_two_generations_have_one_name_on_all_loops)
{
	struct loops all = begin(1 << 20);
	struct statement *first = statement_get_or_create(all.homes[0], OPEN, 0), *second, *there;
	uint64_t id;

	statement_learn_types(first, TYPES_INT4);
	statement_renew(first);
	there = statement_get_or_create(all.homes[1], INT4, 0);
	cr_expect_eq(there->id, first->id);
	second = statement_get_or_create(all.homes[0], OPEN, 0);
	statement_learn_types(second, TYPES_INT4);
	id = first->id;
	statement_renew(second);
	cr_expect_gt(second->id, id, "a new name: what servers have of the other may be as old");
	cr_expect_eq(used(first), second->id);
	cr_expect_eq(used(there), second->id);
	for (int i = 0; i < 3; i++) {
		id = there->id;
		if (i == 0)
			statement_home_renew(all.homes[2]);
		else
			statement_renew(i == 1 ? there : second);
		cr_expect_gt(used(second), id);
		cr_expect_eq(used(there), second->id);
		cr_expect_eq(used(first), second->id);
	}
	statement_unref(first);
	statement_unref(second);
	statement_unref(there);
	end(&all);
}

Test(session_commons, rows_that_one_loop_has_seen_are_compared_on_all)
{
	struct loops all = begin(1 << 20);
	struct statement *st[LOOPS];

	for (int i = 0; i < LOOPS; i++)
		st[i] = statement_get_or_create(all.homes[i], OPEN, 0);
	cr_expect(statement_agree_on_shape(st[0], 5));
	cr_expect(statement_agree_on_shape(st[1], 5));
	cr_expect_not(statement_agree_on_shape(st[2], 6));
	statement_renew(st[2]);
	cr_expect(statement_agree_on_shape(st[2], 6), "under its new name");
	used(st[0]);
	cr_expect_not(statement_agree_on_shape(st[0], 5));
	for (int i = 0; i < LOOPS; i++)
		statement_unref(st[i]);
	end(&all);
}

static uint32_t
context_of(struct guc_store *store, const char *zone)
{
	struct gucs *gucs = gucs_empty(store);
	uint32_t context;

	gucs_update(&gucs, "TimeZone", zone, GUC_REPORTED);
	context = gucs_context(gucs);
	gucs_unref(gucs);
	return context;
}

Test(session_commons, equal_settings_have_one_number_on_all_loops)
{
	struct session_commons *commons = session_commons_new(7);
	struct guc_store *stores[] = { guc_store_new(1, commons), guc_store_new(2, commons) };
	struct gucs *held = gucs_empty(stores[0]);
	uint32_t context, gone;

	gucs_update(&held, "TimeZone", "UTC", GUC_REPORTED);
	context = gucs_context(held);
	cr_expect_eq(context_of(stores[1], "UTC"), context);
	cr_expect_eq(context_of(stores[1], "UTC"), context, "the other loop has it");
	gone = context_of(stores[1], "CET");
	cr_expect_neq(gone, context);
	cr_expect_gt(context_of(stores[0], "CET"), gone, "a number is never used again");
	gucs_unref(held);
	cr_expect_gt(context_of(stores[0], "UTC"), context);
	for (int i = 0; i < 2; i++)
		guc_store_free(stores[i]);
	session_commons_free(commons);
}

#define TEXTS 8
#define ROUNDS 20000

/* One loop's finds: which text, of those with open types and those with int4, has an id. */
struct thread_loop {
	struct session_commons *commons;
	unsigned wrong; /* ids that have two texts */
	uint8_t *text_of; /* by id: 0, or number of the text + 1 */
	pthread_barrier_t *all; /* all have the first text */
};
#define IDS (THREADS * ROUNDS * 2 + 1)

static void
note_text(struct thread_loop *l, struct statement *st)
{
	uint64_t id = used(st); /* which may declare types */
	uint8_t text = (uint8_t)(1 + 2 * (st->bytes[0] - 'A') + (st->len > 4));

	if (id >= IDS || (l->text_of[id] != 0 && l->text_of[id] != text))
		l->wrong++;
	else
		l->text_of[id] = text;
}

static void
use_texts(unsigned number, void *arg)
{
	struct thread_loop *l = (struct thread_loop *)arg + number;
	struct statement_store *store = statement_store_new(number, 1, l->commons, 300);
	struct statement_home *home = statement_home_get_or_create(store, "db");
	struct statement *held[TEXTS] = { statement_get_or_create(home, (const uint8_t[]){ 'A', 0, 0, 0 }, 4, 1, 0) };
	unsigned seed = number;

	note_text(l, held[0]);
	pthread_barrier_wait(l->all);
	for (int i = 0; i < ROUNDS; i++) {
		unsigned n = (unsigned)rand_r(&seed) % TEXTS, what = (unsigned)rand_r(&seed) % 64;
		uint8_t bytes[] = { (uint8_t)('A' + n), 0, 0, 0 };
		struct statement *st = statement_get_or_create(home, bytes, sizeof(bytes), 1, 0);

		note_text(l, st);
		if (held[n] != NULL)
			note_text(l, held[n]);
		if (what == 0)
			statement_home_renew(home);
		else if (what < 4)
			statement_renew(st);
		else if (what < 8)
			statement_learn_types(st, TYPES_INT4);
		else if (!statement_agree_on_shape(st, 5))
			statement_renew(st);
		statement_unref(what < 32 ? held[n] : st);
		if (what < 32)
			held[n] = st;
	}
	for (int i = 0; i < TEXTS; i++)
		statement_unref(held[i]);
	statement_home_unref(home);
	statement_store_free(store);
}

Test(session_commons, no_id_has_two_texts_whatever_loops_do_at_once)
{
	struct thread_loop loops[THREADS];
	struct session_commons *commons = session_commons_new(7);
	pthread_barrier_t all;
	unsigned several = 0;

	pthread_barrier_init(&all, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		loops[i] = (struct thread_loop){ commons, 0, calloc(IDS, 1), &all };
	in_threads(use_texts, loops);
	pthread_barrier_destroy(&all);
	for (size_t id = 0; id < IDS; id++) {
		uint8_t text = 0;
		unsigned loops_with_it = 0;

		for (int i = 0; i < THREADS; i++) {
			uint8_t its = loops[i].text_of[id];

			cr_assert(its == 0 || text == 0 || its == text, "id %zu", id);
			text = its != 0 ? its : text;
			loops_with_it += its != 0;
		}
		several += loops_with_it > 1;
	}
	cr_expect_gt(several, 0u, "ids are shared");
	cr_expect_eq(session_commons_count_texts(commons), 0);
	for (int i = 0; i < THREADS; i++) {
		cr_expect_eq(loops[i].wrong, 0u);
		free(loops[i].text_of);
	}
	session_commons_free(commons);
}
