/* tests/unit/test_code_registry.c - what one loop sees of a database's code counts on all loops at once. */
#include "seal/database_code.h"

#include "base/clock.h"
#include "threads.h"
#include "unit.h"

#define T0 (1000 * US_PER_S)
#define ROUNDS 20000u

static void
answer(struct database_code *code, uint64_t asked_us)
{
	static _Atomic uint32_t numbers;

	database_code_begin_question(code, asked_us);
	database_code_end_answer(code, true, ++numbers, asked_us + 1000);
}

static void
join(struct database_code *code, struct code_registry *registry, const char *database)
{
	memset(code, 0, sizeof(*code));
	database_code_join(code, registry, database);
	answer(code, T0);
}

Test(code_registry, ddl_makes_the_answers_of_all_loops_invalid)
{
	struct code_registry *registry = code_registry_new();
	struct database_code here, there, alias, other;

	join(&here, registry, "app");
	join(&there, registry, "app");
	join(&alias, registry, "app");
	join(&other, registry, "other");
	code_registry_note_ddl(registry, "app", RISK_KEEPS);
	cr_expect_not(database_code_is_known(&here, T0 + 2000));
	cr_expect_not(database_code_is_known(&there, T0 + 2000));
	cr_expect_not(database_code_is_known(&alias, T0 + 2000));
	cr_expect(database_code_is_known(&other, T0 + 2000));
	answer(&there, T0 + 3000);
	cr_expect(database_code_is_known(&there, T0 + 5000));
	database_code_begin_question(&there, T0 + 6000);
	code_registry_note_ddl(registry, NULL, RISK_KEEPS);
	database_code_end_answer(&there, true, 77, T0 + 7000);
	cr_expect_not(database_code_is_known(&there, T0 + 8000), "it was asked before");
	cr_expect_not(database_code_is_known(&other, T0 + 8000));
	database_code_fini(&here);
	database_code_fini(&there);
	database_code_fini(&alias);
	database_code_fini(&other);
	code_registry_free(registry);
}

struct world {
	struct code_registry *registry;
	struct database_code codes[THREADS];
	_Atomic uint32_t wrong;
};

/* Each sees DDL, and then nobody may believe an answer that was asked for before. */
static void
see_ddl(unsigned number, void *arg)
{
	struct world *w = arg;
	struct database_code *own = &w->codes[number];

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t before = own->ddl_count;

		answer(own, T0 + i * 10000);
		if (database_code_is_known(own, T0 + i * 10000 + 2000) && own->ddl_at_full_question < before)
			w->wrong++;
		if (i % 4 == number % 4)
			code_registry_note_ddl(w->registry, "app", RISK_KEEPS);
	}
}

Test(code_registry, loops_see_and_ask_at_once)
{
	struct world w = { .registry = code_registry_new() };
	uint64_t seen;

	for (unsigned i = 0; i < THREADS; i++)
		join(&w.codes[i], w.registry, "app");
	in_threads(see_ddl, &w);
	cr_expect_eq(w.wrong, 0);
	seen = w.codes[0].ddl_count;
	for (unsigned i = 0; i < THREADS; i++) {
		cr_expect_eq(w.codes[i].ddl_count, seen);
		answer(&w.codes[i], T0 + ROUNDS * 10000);
		database_code_fini(&w.codes[i]);
	}
	code_registry_free(w.registry);
}
