/* tests/unit/test_database_code_news.c - what one loop sees of a database's code counts on all loops at once. */
#include "pool/database_code.h"

#include "base/clock.h"
#include "threads.h"

#include <criterion/criterion.h>
#include <string.h>

#define T0 (1000 * US_PER_S)
#define ROUNDS 20000u

static void
answer(struct database_code *code, uint64_t asked_us)
{
	static _Atomic uint32_t numbers;

	database_code_ask(code, asked_us);
	database_code_answered(code, true, ++numbers, asked_us + 1000);
}

static void
join(struct database_code *code, struct code_news *news, unsigned hosts, const char *database)
{
	memset(code, 0, sizeof(*code));
	database_code_join(code, news);
	database_code_be_called(code, database, hosts);
	answer(code, T0);
}

static bool
is_unsure(const struct database_code *code)
{
	return database_code_unsure(code, NULL, UINT64_MAX) != CODE_SAME;
}

Test(database_code_news, ddl_makes_the_answers_of_all_loops_invalid)
{
	struct code_news *news = code_news_new();
	struct database_code here, there, alias, other;

	join(&here, news, 1, "app");
	join(&there, news, 1, "app");
	join(&alias, news, 2, "app");
	join(&other, news, 3, "other");
	code_news_changed(news, "app", true);
	cr_expect_not(database_code_is_known(&here, T0 + 2000));
	cr_expect_not(database_code_is_known(&there, T0 + 2000));
	cr_expect_not(database_code_is_known(&alias, T0 + 2000));
	cr_expect(database_code_is_known(&other, T0 + 2000));
	cr_expect(database_code_has_hidden(&there, 0), "it made functions");
	answer(&there, T0 + 3000);
	cr_expect(database_code_is_known(&there, T0 + 5000));
	database_code_ask(&there, T0 + 6000);
	code_news_changed(news, NULL, true);
	database_code_answered(&there, true, 77, T0 + 7000);
	cr_expect_not(database_code_is_known(&there, T0 + 8000), "it was asked before");
	cr_expect_not(database_code_is_known(&other, T0 + 8000));
	database_code_fini(&here);
	database_code_fini(&there);
	database_code_fini(&alias);
	database_code_fini(&other);
	code_news_free(news);
}

Test(database_code_news, a_doubt_elsewhere_lasts_until_that_server_has_told)
{
	struct code_news *news = code_news_new();
	struct database_code here, there, third, late;
	struct code_doubt d = { 0 };

	join(&here, news, 1, "app");
	join(&there, news, 1, "app");
	join(&third, news, 1, "app");
	database_code_doubt(&here, &d, DOUBT_DUE, T0, T0);
	cr_expect(database_code_is_another(&there, T0 + 9000));
	cr_expect(is_unsure(&there));
	cr_expect_eq(database_code_unsure(&here, &d, UINT64_MAX), CODE_SAME, "it is its own");
	join(&late, news, 1, "app");
	cr_expect(is_unsure(&late));
	database_code_fini(&third);
	database_code_dispel(&here, &d, T0);
	cr_expect_not(is_unsure(&there));
	cr_expect_not(database_code_is_another(&there, T0 + 9000));
	cr_expect_not(is_unsure(&late));
	code_news_suspect(news, "app", &here);
	cr_expect(is_unsure(&there));
	cr_expect_not(is_unsure(&here));
	answer(&there, T0 + 10000);
	cr_expect_not(is_unsure(&there));
	cr_expect(is_unsure(&late));
	database_code_fini(&here);
	database_code_fini(&there);
	database_code_fini(&late);
	code_news_free(news);
}

Test(database_code_news, a_doubt_concerns_all_names_of_a_database_on_one_server)
{
	struct code_news *news = code_news_new();
	struct database_code here, alias, other, elsewhere;
	struct code_doubt d = { 0 };

	join(&here, news, 1, "app");
	join(&alias, news, 1, "app");
	join(&other, news, 1, "other");
	join(&elsewhere, news, 2, "app");
	database_code_doubt(&here, &d, DOUBT_SENT, T0, T0);
	cr_expect(is_unsure(&alias));
	cr_expect_not(is_unsure(&other));
	cr_expect(is_unsure(&elsewhere), "2 may be another spelling of 1");
	database_code_be_on(&here, 100);
	cr_expect(is_unsure(&elsewhere));
	database_code_be_on(&elsewhere, 200);
	cr_expect_not(is_unsure(&elsewhere));
	database_code_be_on(&here, 200);
	cr_expect(is_unsure(&elsewhere), "a restart");
	database_code_be_on(&here, 300);
	cr_expect(is_unsure(&elsewhere), "another, and the server of elsewhere is not known to be older");
	database_code_be_on(&elsewhere, 200);
	cr_expect_not(is_unsure(&elsewhere));
	database_code_be_on(&elsewhere, 100);
	cr_expect(is_unsure(&elsewhere), "there are several");
	database_code_be_on(&elsewhere, 500);
	cr_expect(is_unsure(&elsewhere));
	database_code_be_on(&here, 300);
	database_code_be_called(&elsewhere, "app", 3);
	database_code_be_on(&elsewhere, 500);
	cr_expect_not(is_unsure(&elsewhere));
	database_code_be_called(&elsewhere, "app", 0);
	database_code_be_on(&elsewhere, 500);
	cr_expect(is_unsure(&elsewhere), "several from the beginning");
	database_code_be_called(&alias, "other", 1);
	database_code_be_called(&elsewhere, "app", 1);
	cr_expect_not(is_unsure(&alias));
	cr_expect(is_unsure(&elsewhere));
	database_code_be_called(&here, "app", 2);
	database_code_be_on(&here, 700);
	database_code_be_on(&elsewhere, 800);
	cr_expect_not(is_unsure(&elsewhere));
	database_code_dispel(&here, &d, T0);
	cr_expect_not(database_code_is_another(&here, T0 + 9000));
	database_code_fini(&here);
	database_code_fini(&alias);
	database_code_fini(&other);
	database_code_fini(&elsewhere);
	code_news_free(news);
}

struct world {
	struct code_news *news;
	struct database_code codes[THREADS];
	_Atomic uint32_t wrong;
};

/* Each sees DDL, and then nobody may believe an answer that was asked for before; each asks, doubts, suspects and
 * tells. */
static void
see_ddl(unsigned number, void *arg)
{
	struct world *w = arg;
	struct database_code *own = &w->codes[number];
	struct code_doubt d = { 0 };

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t before = own->changed;

		answer(own, T0 + i * 10000);
		if (database_code_is_known(own, T0 + i * 10000 + 2000) && own->changed_answered < before)
			w->wrong++;
		database_code_doubt(own, &d, DOUBT_DUE, T0, T0);
		for (unsigned k = 0; k < THREADS; k++)
			w->wrong += !database_code_is_another(&w->codes[k], T0);
		database_code_dispel(own, &d, T0);
		if (i % 4 == number % 4)
			code_news_changed(w->news, "app", true);
		code_news_suspect(w->news, "app", own); /* which reads what the others doubt */
	}
}

Test(database_code_news, loops_see_and_ask_at_once)
{
	struct world w = { .news = code_news_new() };
	uint64_t seen;

	for (unsigned i = 0; i < THREADS; i++)
		join(&w.codes[i], w.news, 1, "app");
	in_threads(see_ddl, &w);
	cr_expect_eq(w.wrong, 0);
	seen = w.codes[0].changed;
	for (unsigned i = 0; i < THREADS; i++) {
		cr_expect_eq(w.codes[i].changed, seen);
		answer(&w.codes[i], T0 + ROUNDS * 10000);
		cr_expect_not(is_unsure(&w.codes[i]));
		database_code_fini(&w.codes[i]);
	}
	code_news_free(w.news);
}
