/*
 * tests/unit/test_statement_store.c - who shares a statement, how long it is kept, what it is called. Links only
 * session/statement_store.c.
 */
#include "session/statement_store.h"
#include "unit.h"

#define SEED 7

#define TAG 0x1234567890abcdefu

/* Of each test. */
static struct statement_store *store;
static struct statement_home *home;

static void
begin(void)
{
	store = statement_store_new(SEED, TAG, NULL, 1 << 20);
	home = statement_home_get_or_create(store, "db");
}

static void
end(void)
{
	statement_home_unref(home);
	statement_store_free(store);
}

TestSuite(statement_store, .init = begin, .fini = end);

/* A query without parameters, as fields_read_parse gives it. */
static struct statement *
get(struct statement_home *of, const char *sql)
{
	uint8_t bytes[128] = { 0 };
	size_t len = strlen(sql);

	memcpy(bytes, sql, len);
	return statement_get_or_create(of, bytes, len + 3, len, 0);
}

static struct statement *
get_unshared(struct statement_home *of, const char *sql)
{
	uint8_t bytes[128] = { 0 };
	size_t len = strlen(sql);

	memcpy(bytes, sql, len);
	return statement_new_unshared(of, bytes, len + 3, len);
}

static void
expect_named(const struct statement *st)
{
	char want[STATEMENT_NAME_MAX];

	snprintf(want, sizeof(want), STATEMENT_PREFIX "1234567890abcdef_%llu", (unsigned long long)st->id);
	cr_expect_str_eq(st->name, want);
	cr_expect_eq(st->name_len, strlen(want));
}

Test(statement_store, equal_texts_are_one_statement)
{
	struct statement *a = get(home, "SELECT 1"), *b = get(home, "SELECT 1"), *c = get(home, "SELECT 2");

	cr_expect_eq(a, b);
	cr_expect_neq(a, c);
	cr_expect_neq(a->id, c->id);
	cr_expect_eq(statement_store_count(store), 2);
	cr_expect_eq(a->query_len, 8);
	cr_expect_eq(a->len, 11);
	cr_expect_arr_eq(a->bytes, "SELECT 1\0\0", 11);
	expect_named(a);
	expect_named(c);
	statement_unref(a);
	statement_unref(b);
	statement_unref(c);
}

/* A long text, in which one letter is another. */
static struct statement *
get_long(struct statement_home *of, size_t at, char letter, uint32_t context)
{
	uint8_t bytes[600];

	memset(bytes, 'a', sizeof(bytes));
	bytes[at] = (uint8_t)letter;
	memset(bytes + sizeof(bytes) - 3, 0, 3);
	return statement_get_or_create(of, bytes, sizeof(bytes), sizeof(bytes) - 3, context);
}

/* These are found by a few of their bytes first, which are the same in all of them but in home and context. */
Test(statement_store, long_texts_are_told_apart)
{
	struct statement_home *other = statement_home_get_or_create(store, "other");
	struct statement *first[26], *again, *elsewhere, *in_context;

	for (size_t round = 0; round < 3; round++)
		for (size_t i = 0; i < 26; i++) {
			struct statement *st = get_long(home, 20, (char)('a' + i), 0);

			cr_expect_eq(st->bytes[20], 'a' + i);
			if (round == 0)
				first[i] = st;
			else {
				cr_expect_eq(st, first[i]);
				statement_unref(st);
			}
		}
	elsewhere = get_long(other, 20, 'a', 0);
	in_context = get_long(home, 20, 'a', 1);
	cr_expect(elsewhere != first[0] && in_context != first[0]);
	cr_expect_eq(statement_store_count(store), 28);
	again = get_long(home, 20, 'a', 0);
	cr_expect_eq(again, first[0]);
	statement_unref(again);
	for (size_t i = 0; i < 26; i++)
		statement_unref(first[i]);
	statement_unref(elsewhere);
	statement_unref(in_context);
	statement_home_unref(other);
}

Test(statement_store, a_long_text_that_is_gone_is_made_anew)
{
	struct statement *st = get_long(home, 1, 'b', 0);
	uint64_t id = st->id;

	statement_unref(st);
	statement_store_set_idle_max(store, 0);
	cr_expect_eq(statement_store_count(store), 0);
	st = get_long(home, 1, 'b', 0);
	cr_expect_neq(st->id, id);
	cr_expect_eq(statement_store_count(store), 1);
	statement_unref(st);
}

/* PostgreSQL said what type its parameter has: after DDL it is another statement than the one that declares none. */
Test(statement_store, a_long_text_whose_types_were_learnt_is_found_as_what_it_is)
{
	struct statement *st = get_long(home, 0, '$', 0), *again, *third;

	statement_learn_types(st, (const uint8_t *)"\0\1\0\0\0\27", 6);
	statement_home_renew(home);
	again = get_long(home, 0, '$', 0);
	third = get_long(home, 0, '$', 0);
	cr_expect_neq(again, st);
	cr_expect_eq(third, again);
	cr_expect_eq(again->len, 600);
	cr_expect_eq(st->len, 604);
	statement_unref(st);
	statement_unref(again);
	statement_unref(third);
}

Test(statement_store, parameter_types_tell_statements_apart)
{
	struct statement *none = statement_get_or_create(home, (const uint8_t *)"X\0\0\0", 4, 1, 0);
	struct statement *int4 = statement_get_or_create(home, (const uint8_t *)"X\0\0\1\0\0\0\27", 8, 1, 0);
	struct statement *text = statement_get_or_create(home, (const uint8_t *)"X\0\0\1\0\0\0\31", 8, 1, 0);

	cr_expect(none != int4 && int4 != text && none != text);
	cr_expect_eq(int4->query_len, 1);
	statement_unref(none);
	statement_unref(int4);
	statement_unref(text);
}

Test(statement_store, an_unshared_one_is_nobody_elses)
{
	struct statement *own = get_unshared(home, "SELECT 1"), *shared = get(home, "SELECT 1");
	struct statement *other = get_unshared(home, "SELECT 1");

	cr_expect(own != shared && shared != other && own != other);
	cr_expect(own->id != shared->id && shared->id != other->id);
	expect_named(own);
	cr_expect_eq(statement_store_count(store), 3);
	statement_ref(own);
	statement_unref(own);
	cr_expect_eq(statement_store_count(store), 3, "it is held once more");
	statement_unref(own);
	cr_expect_eq(statement_store_count(store), 2, "it goes at once, others may stay");
	statement_unref(other);
	statement_unref(shared);
	cr_expect_eq(statement_store_count(store), 1);
}

Test(statement_store, one_nobody_holds_is_kept_and_found_again)
{
	struct statement *a = get(home, "SELECT 1"), *again;
	uint64_t id = a->id;

	statement_unref(a);
	again = get(home, "SELECT 1");
	cr_expect_eq(again->id, id, "servers know it by this name");
	cr_expect_eq(statement_store_count(store), 1);
	statement_unref(again);
}

Test(statement_store, the_one_unused_for_longest_goes_first)
{
	struct statement *a = get(home, "SELECT a"), *b, *c;
	size_t one = statement_store_bytes(store);
	uint64_t a_id = a->id, b_id, c_id;

	statement_store_set_idle_max(store, 2 * one);
	b = get(home, "SELECT b");
	b_id = b->id;
	c = get(home, "SELECT c");
	c_id = c->id;
	cr_expect_eq(statement_store_bytes(store), 3 * one, "those that are held are not counted against the limit");
	statement_unref(b);
	statement_unref(a);
	statement_unref(get(home, "SELECT b")); /* used again: now a is the oldest */
	statement_unref(c);
	cr_expect_eq(statement_store_count(store), 2);
	cr_expect_eq(statement_store_bytes(store), 2 * one);
	b = get(home, "SELECT b");
	c = get(home, "SELECT c");
	cr_expect_eq(b->id, b_id);
	cr_expect_eq(c->id, c_id);
	a = get(home, "SELECT a");
	cr_expect_gt(a->id, c_id, "an id is never used again");
	cr_expect_neq(a->id, a_id);
	statement_unref(a);
	statement_unref(b);
	statement_unref(c);
}

Test(statement_store, with_no_bytes_to_keep_each_goes_with_its_last_holder)
{
	struct statement *a = get(home, "SELECT 1");

	statement_store_set_idle_max(store, 0);
	statement_ref(a);
	statement_unref(a);
	cr_expect_eq(statement_store_count(store), 1);
	statement_unref(a);
	cr_expect_eq(statement_store_count(store), 0);
	cr_expect_eq(statement_store_bytes(store), 0);
}

Test(statement_store, fewer_bytes_to_keep_drop_the_oldest_at_once)
{
	struct statement *held = get(home, "SELECT 1"), *a = get(home, "SELECT a"), *b = get(home, "SELECT b");
	size_t one = statement_store_bytes(store) / 3;
	uint64_t b_id = b->id;

	statement_unref(a);
	statement_unref(b);
	statement_store_set_idle_max(store, one);
	cr_expect_eq(statement_store_count(store), 2);
	b = get(home, "SELECT b");
	cr_expect_eq(b->id, b_id);
	statement_unref(b);
	statement_store_set_idle_max(store, 0);
	cr_expect_eq(statement_store_count(store), 1, "one that is held stays");
	statement_unref(held);
	cr_expect_eq(statement_store_count(store), 0);
}

struct seen {
	size_t count;
	uint32_t refs;
};

static void
see(const struct statement *st, uint32_t refs, void *arg)
{
	struct seen *seen = arg;

	seen->count++;
	seen->refs += refs;
	expect_named(st);
}

Test(statement_store, a_list_of_those_that_are_shared)
{
	struct statement *a = get(home, "SELECT 1"), *idle = get(home, "SELECT 2"),
			 *own = get_unshared(home, "SELECT 3");
	struct seen seen = { 0 };

	statement_ref(a);
	statement_unref(idle);
	statement_store_each(store, see, &seen);
	cr_expect_eq(seen.count, 2);
	cr_expect_eq(seen.refs, 2);
	statement_unref(a);
	statement_unref(a);
	statement_unref(own);
}

Test(statement_store, renewed_statements_have_new_names_and_stay_where_they_are)
{
	struct statement *a = get(home, "SELECT 1"), *idle = get(home, "SELECT 2");
	uint64_t a_id = a->id, idle_id = idle->id;

	a->valid_pool = a->valid_gucs = store;
	statement_unref(idle);
	statement_home_renew(home);
	cr_expect_eq(a->id, a_id, "not before it is used");
	statement_refresh(a);
	statement_refresh(idle);
	cr_expect_gt(a->id, idle_id);
	cr_expect_gt(idle->id, idle_id);
	cr_expect_neq(a->id, a_id);
	cr_expect_neq(a->id, idle->id);
	expect_named(a);
	expect_named(idle);
	cr_expect_null(a->valid_pool, "it must be prepared anew to be known as good");
	cr_expect_null(a->valid_gucs);
	cr_expect_eq(get(home, "SELECT 1"), a, "the text is known as before");
	cr_expect_eq(get(home, "SELECT 2"), idle);
	cr_expect_eq(statement_store_count(store), 2);
	statement_unref(a);
	statement_unref(a);
	statement_unref(idle);
}

Test(statement_store, many_texts)
{
	struct statement *held[2000];
	char sql[32];

	statement_store_set_idle_max(store, 0);
	for (size_t i = 0; i < 2000; i++) {
		snprintf(sql, sizeof(sql), "SELECT %zu", i);
		held[i] = get(home, sql);
	}
	for (size_t i = 0; i < 2000; i++) {
		snprintf(sql, sizeof(sql), "SELECT %zu", i);
		cr_assert_eq(get(home, sql), held[i]);
		cr_assert_eq(held[i]->id, i + 1, "one after the other");
		statement_unref(held[i]);
	}
	cr_expect_eq(statement_store_count(store), 2000);
	for (size_t i = 0; i < 2000; i++)
		statement_unref(held[i]);
	cr_expect_eq(statement_store_count(store), 0);
}

Test(statement_store, nothing_may_be_released)
{
	statement_unref(NULL);
	statement_store_free(NULL);
}

/* X with one parameter whose type is left open, or is int4. */
#define OPEN (const uint8_t *)"X\0\0\0", 4, 1
#define INT4 (const uint8_t *)"X\0\0\1\0\0\0\27", 8, 1

static void
learn_int4(struct statement *st)
{
	statement_learn_types(st, (const uint8_t *)"\0\1\0\0\0\27", 6);
}

Test(statement_store, a_renewed_one_keeps_the_types_it_was_found_to_have)
{
	struct statement *old = statement_get_or_create(home, OPEN, 0), *fresh;
	uint64_t id = old->id;

	learn_int4(old);
	cr_expect_eq(old->len, 4, "not before it is prepared anew");
	statement_home_renew(home);
	statement_refresh(old);
	cr_expect_neq(old->id, id);
	cr_assert_eq(old->len, 8);
	cr_expect_arr_eq(old->bytes, "X\0\0\1\0\0\0\27", 8);
	fresh = statement_get_or_create(home, OPEN, 0);
	cr_expect_neq(fresh, old, "who comes later leaves the types open again");
	cr_expect_eq(fresh->len, 4);
	id = old->id;
	statement_home_renew(home);
	statement_refresh(old);
	cr_expect_neq(old->id, id);
	cr_expect_neq(old->id, fresh->id);
	statement_unref(old);
	statement_unref(fresh);
}

Test(statement_store, equal_statements_of_two_generations_have_one_name)
{
	struct statement *first = statement_get_or_create(home, OPEN, 0), *second, *declared;
	uint64_t id;

	learn_int4(first);
	statement_renew(first);
	second = statement_get_or_create(home, OPEN, 0);
	learn_int4(second);
	id = first->id;
	statement_renew(second);
	cr_expect_neq(second->id, id, "a new name, not the other's old one");
	declared = statement_get_or_create(home, INT4, 0);
	cr_expect_eq(first, declared, "the first to be renewed has the key");
	cr_expect_neq(second, first);
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(second->id, first->id);
		cr_expect_str_eq(second->name, first->name);
		cr_expect_arr_eq(second->bytes, "X\0\0\1\0\0\0\27", 8);
		if (i == 0)
			statement_home_renew(home);
		else
			statement_renew(second);
		statement_refresh(i == 1 ? first : second);
		statement_refresh(i == 1 ? second : first);
	}
	statement_unref(first);
	statement_unref(declared);
	statement_home_renew(home);
	statement_refresh(second);
	cr_expect_eq(second->id, first->id, "held by its twin");
	statement_unref(second);
}

Test(statement_store, what_nobody_holds_forgets_its_types)
{
	struct statement *st = statement_get_or_create(home, OPEN, 0);
	size_t bytes = statement_store_bytes(store);

	learn_int4(st);
	cr_expect_gt(statement_store_bytes(store), bytes);
	statement_unref(st);
	statement_home_renew(home);
	cr_expect_eq(statement_get_or_create(home, OPEN, 0), st);
	cr_expect_eq(statement_store_bytes(store), bytes);
	cr_expect_eq(st->len, 4);
	statement_unref(st);
}

Test(statement_store, what_is_malformed_teaches_nothing)
{
	struct statement *st = statement_get_or_create(home, OPEN, 0);

	statement_learn_types(st, (const uint8_t *)"", 0);
	statement_learn_types(st, (const uint8_t *)"\0\2\0\0\0\27", 6);
	statement_learn_types(st, (const uint8_t *)"\0\0", 2);
	learn_int4(st); /* after the first that is right, nothing */
	statement_renew(st);
	cr_expect_eq(st->len, 4);
	statement_unref(st);
}

Test(statement_store, another_database_has_statements_of_its_own)
{
	struct statement_home *other = statement_home_get_or_create(store, "other");
	struct statement *a = statement_get_or_create(home, OPEN, 0), *b = statement_get_or_create(other, OPEN, 0);
	uint64_t b_id = b->id;

	cr_expect_eq(statement_home_get_or_create(store, "db"), home);
	cr_expect_neq(a, b);
	cr_expect_neq(a->id, b->id);
	learn_int4(a);
	statement_home_renew(home);
	statement_refresh(a);
	statement_refresh(b);
	cr_expect_eq(a->len, 8);
	cr_expect_eq(b->len, 4, "it has learnt nothing");
	cr_expect_eq(b->id, b_id);
	statement_unref(a);
	statement_home_unref(home);
	statement_home_unref(home);
	cr_expect_eq(statement_get_or_create(other, OPEN, 0), b);
	statement_unref(b);
	statement_unref(b);
	statement_home_unref(other);
	home = statement_home_get_or_create(store, "db"); /* for end() */
}

/* Of int4, a type of its own (16500), and a third that the client declared so. */
Test(statement_store, types_that_a_database_made_are_asked_for_anew)
{
	struct statement *st =
	    statement_get_or_create(home, (const uint8_t *)"X\0\0\3\0\0\0\0\0\0\0\0\0\0\x40\x75", 16, 1, 0);
	static const char want[] = "X\0\0\3\0\0\0\27\0\0\0\0\0\0\x40\x75";
	uint64_t id = st->id;

	for (int i = 0; i < 3; i++) {
		statement_learn_types(st, (const uint8_t *)"\0\3\0\0\0\27\0\0\x40\x74\0\0\x40\x75", 14);
		statement_home_renew(home);
		statement_refresh(st);
		cr_assert_eq(st->len, 16);
		cr_expect_arr_eq(st->bytes, want, 16);
		cr_expect_gt(st->id, id);
		id = st->id;
	}
	statement_unref(st);
}

/* Ids are given one after the other, each for one piece of work: they count it. */
Test(statement_store, ddl_costs_nobody_who_does_not_use_a_statement)
{
	struct statement_home *other = statement_home_get_or_create(store, "other");
	enum { HELD = 200000 };
	struct statement **held = calloc(HELD, sizeof(struct statement *)), *probe;
	char sql[32];

	statement_store_set_idle_max(store, 0);
	for (size_t i = 0; i < HELD; i++) {
		snprintf(sql, sizeof(sql), "SELECT %zu", i);
		held[i] = get(i % 2 == 0 ? home : other, sql);
	}
	for (int i = 0; i < 1000; i++)
		statement_home_renew(home);
	probe = get(home, "SELECT");
	cr_expect_eq(probe->id, HELD + 1, "none was renewed");
	for (size_t i = 0; i < 20; i++)
		statement_refresh(held[i]);
	statement_renew(probe);
	cr_expect_eq(probe->id, HELD + 1 + 10 + 1, "ten were used, once each for all that DDL; in the other, none");
	for (size_t i = 0; i < HELD; i++)
		statement_unref(held[i]);
	statement_unref(probe);
	free(held);
	statement_home_unref(other);
}
